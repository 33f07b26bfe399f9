"""What a provider's URL says: its host, and its options."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..errors import ConfigError
from ..field import shown

if TYPE_CHECKING:
    from ..backends.options import BackendURL

__all__ = ["api", "base_url", "is_loopback", "word", "yes_no"]

_FACTS = {"yes": True, "no": False, "true": True, "false": False, "1": True, "0": False}
_LOOPBACK = re.compile(r"localhost|127(?:\.[0-9]{1,3}){3}|::1", re.ASCII)


def base_url(url: BackendURL, bases: Mapping[str, str], *, is_http: bool = False) -> str:
    """The base URL that a backend's URL means: its host is "default", a region's name, or a host in their place.

    Without bases it is a host always.

    Raises:
        ConfigError: There is no such region, the host is not ASCII, or http is asked for beyond loopback.
    """
    url.refuse("path")
    port = "" if url.port is None else f":{url.port}"
    if url.host in bases and not is_http and not port:
        return bases[url.host]
    host = url.host or "default"
    if is_http and not is_loopback(host):
        raise ConfigError(f"{url.scheme}: option scheme=http is for this machine alone: a token is never sent in clear")
    if host == "default" or host in bases or not ("." in host or ":" in host or host == "localhost" or port):
        named = ", ".join(bases)
        kinds = (
            f"a host's name or one of: {named}" if bases else f"your own server's, {url.scheme}://KEY@mail.example.com"
        )
        raise ConfigError(f"{url.scheme}: the host must be {kinds}; not {shown(host)}")
    if not host.isascii():
        raise ConfigError(f"{url.scheme}: write the host {shown(host)} in its ASCII form, xn--...")
    bare = f"[{host}]" if ":" in host else host
    _, _, path = bases.get("default", "").partition("://")[2].partition("/")
    return f"{'http' if is_http else 'https'}://{bare}{port}" + (f"/{path}" if path else "")


def is_loopback(host: str) -> bool:
    """Whether the host is this machine by its very name: no name is resolved."""
    return _LOOPBACK.fullmatch(host) is not None


def word(value: str) -> str:
    """An option's value that a URL, a header or JSON may hold as it is.

    Raises:
        ValueError: Empty, or not printable.
    """
    if not value or not value.isprintable():
        raise ValueError("must not be empty, nor hold control characters")
    return value


def yes_no(value: str) -> bool:
    """An option that is a fact, in the words that every backend's options take.

    Raises:
        ValueError: It is none of them.
    """
    if (known := _FACTS.get(value.lower())) is None:
        raise ValueError(f"must be one of {', '.join(_FACTS)}")
    return known


def api(value: str) -> str:
    """The option that chooses how a mail is given: "json", in parts; "mime", whole.

    Raises:
        ValueError: It is neither.
    """
    if value not in ("json", "mime"):
        raise ValueError("must be one of json, mime")
    return value
