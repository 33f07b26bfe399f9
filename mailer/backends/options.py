"""Backend URLs: their grammar, and options that are read strictly.

::

    scheme://user:password@host:port/path?option=value
    scheme:path?option=value
    group(URL URL ...)?option=value

User, password and values are percent-decoded. What a URL holds is never echoed but with its secrets masked.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote, unquote

from ..errors import ConfigError
from ..rate import Rate
from ..redaction import MASK, Unpickled

__all__ = ["BackendURL", "choice", "dns_servers", "flag", "ip_addresses", "pace", "seconds", "text", "whole"]

T = TypeVar("T")

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):", re.ASCII)
_LOGIN = re.compile(r"(?<=//).*@")  # of a URL within a value: proxy=http://user:password@host
_SECRET = re.compile(r"pass|pw|secret|token|key|credential", re.IGNORECASE)
_HOST = re.compile(r"[^\s\x00-\x20\x7f<>\[\]@/\\?#%:\"'`{}|^]+")
_UNSAFE = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True, slots=True, repr=False)
class BackendURL(Unpickled):
    """A backend's URL, taken apart.

    Attributes:
        scheme: In lower case.
        username: Decoded; None if there is none.
        password: Decoded; None if there is none.
        host: In lower case, an IPv6 address without brackets; "" if there is none.
        port: 1-65535, or None.
        path: Decoded, as it stands behind the authority; "" if there is none.
        query: The options, each once, in order.
    """

    scheme: str
    username: str | None = None
    password: str | None = None
    host: str = ""
    port: int | None = None
    path: str = ""
    query: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, url: str) -> BackendURL:
        """Take a URL apart.

        Raises:
            ConfigError: It is not a URL, or a part of it cannot be. The text names the part and shows no secret.
        """
        if not isinstance(url, str):
            raise ConfigError(f"a backend's URL must be a string, not {type(url).__name__}")
        url = url.strip(" ")
        found = _SCHEME.match(url)
        if not found:
            raise ConfigError("a backend's URL must begin with a scheme, like smtp:// or file:")
        scheme, rest = found[1].lower(), url[found.end() :]
        if _UNSAFE.search(rest):
            raise ConfigError(f"{scheme}: the URL holds a blank or control character: percent-encode it")
        rest, fragment, _ = rest.partition("#")
        if fragment:
            raise ConfigError(f"{scheme}: the URL holds '#': percent-encode it as %23")
        rest, _, query = rest.partition("?")
        authority, path = "", rest
        if rest.startswith("//"):
            authority, slash, path = rest[2:].partition("/")
            path = slash + path
            if authority and "@" not in authority and "@" in path + query.partition("=")[0]:
                raise ConfigError(f"{scheme}: '/' and '?' in user or password must be percent-encoded: %2F, %3F")
        username, password, host, port = _authority(scheme, authority, is_whole="@" not in path + query)
        return cls(scheme, username, password, host, port, _decoded(scheme, path), parse_query(scheme, query))

    def __str__(self) -> str:
        """The URL with its secrets masked: passwords, tokens, and options that sound like one."""
        who = ""
        if self.username is not None:
            # A name without a password is a token: postmark://TOKEN@default. So is one that is its own password.
            user = MASK if self.username == self.password else quote(self.username, safe="")
            who = f"{user}:{MASK}@" if self.password is not None else f"{MASK}@"
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = f":{self.port}" if self.port is not None else ""
        slashes = "//" if host or who or self.path.startswith("/") else ""
        return f"{self.scheme}:{slashes}{who}{host}{port}{quote(self.path)}{shown_query(self.query)}"

    def __repr__(self) -> str:
        return f"<BackendURL {self}>"

    def options(self, **converters: Callable[[str], Any]) -> dict[str, Any]:
        """The options that are given, converted.

        Args:
            converters: Option name to what reads its value; one that raises ValueError says why in its text.

        Raises:
            ConfigError: An option that is not among them (the nearest is named), or a value that cannot be read.
        """
        return read_options(self.scheme, self.query, converters)

    def refuse(self, *parts: str) -> None:
        """Raise ConfigError if one of these parts ("host", "path", ...) is given: it means nothing here."""
        for part in parts:
            if getattr(self, part) not in ("", None, "/"):
                raise ConfigError(f"{self.scheme}: the URL takes no {part}")  # which may be a misplaced password


def _authority(scheme: str, authority: str, *, is_whole: bool) -> tuple[str | None, str | None, str, int | None]:
    who, at, where = authority.rpartition("@")
    username, colon, password = who.partition(":")
    host, port = where, ""
    if where.startswith("["):
        host, bracket, port = where[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            raise ConfigError(f"{scheme}: the host's brackets do not close")
        _check_ipv6(scheme, host)
        port = port[1:]
    else:
        host, _, port = where.partition(":")
        host = _decoded(scheme, host)
        if host and not _HOST.fullmatch(host):
            bad = "".join(dict.fromkeys(char for char in host if not _HOST.fullmatch(char)))
            raise ConfigError(f"{scheme}: the host holds {bad!r}, which no host name has")
    return (
        _decoded(scheme, username) if at else None,
        _decoded(scheme, password) if at and colon else None,
        host.lower(),
        _port(scheme, port, is_whole=is_whole) if port else None,
    )


def _check_ipv6(scheme: str, host: str) -> None:
    import ipaddress

    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        raise ConfigError(f"{scheme}: [{host}] is not an IPv6 address") from None


def _port(scheme: str, port: str, *, is_whole: bool) -> int:
    if not (port.isascii() and port.isdigit() and len(port) <= 6 and 1 <= int(port) <= 65535):
        # With an "@" behind it, it is the beginning of a password with a raw "/" or "?": not shown.
        shown = f"port {port!r} is not 1-65535" if is_whole and port.isdigit() else "the port is not 1-65535"
        raise ConfigError(f"{scheme}: {shown} (or '/', '?', '#' in a password are not percent-encoded)")
    return int(port)


def _decoded(scheme: str, part: str) -> str:
    try:
        decoded = unquote(part, errors="strict")
    except UnicodeDecodeError:
        raise ConfigError(f"{scheme}: the URL's percent-encoding is not UTF-8") from None
    if any(char in decoded for char in "\r\n\0"):
        raise ConfigError(f"{scheme}: the URL holds an encoded line break or NUL")
    return decoded


def parse_query(scheme: str, query: str) -> tuple[tuple[str, str], ...]:
    """``a=1&b=2`` as decoded pairs.

    Raises:
        ConfigError: An option without value, or given twice.
    """
    pairs: dict[str, str] = {}
    for item in filter(None, query.split("&")):
        name, equals, value = item.partition("=")
        name = _decoded(scheme, name)
        if not equals:
            raise ConfigError(f"{scheme}: option {name!r} has no value: write {name}=...")
        if name in pairs:
            raise ConfigError(f"{scheme}: option {name!r} is given twice")
        pairs[name] = _decoded(scheme, value.replace("+", "%20"))
    return tuple(pairs.items())


def shown_query(query: tuple[tuple[str, str], ...]) -> str:
    """The pairs as a query again, ``?`` included, with values that sound secret masked; "" if there are none."""
    shown = [f"{name}={_shown_value(name, value)}" for name, value in query]
    return "?" + "&".join(shown) if shown else ""


def _shown_value(name: str, value: str) -> str:
    return MASK if _SECRET.search(name) else quote(_LOGIN.sub(f"{MASK}@", value), safe="/:@,[]*")


def read_options(
    scheme: str, query: tuple[tuple[str, str], ...], converters: Mapping[str, Callable[[str], T]]
) -> dict[str, T]:
    """See :meth:`BackendURL.options`."""
    values = {}
    for name, value in query:
        if name not in converters:
            near = difflib.get_close_matches(name, converters, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(converters)) or 'none'}"
            raise ConfigError(f"{scheme}: there is no option {name!r}; {hint}")
        try:
            values[name] = converters[name](value)
        except ValueError as error:
            shown = MASK if _SECRET.search(name) else repr(_LOGIN.sub(f"{MASK}@", value))
            raise ConfigError(f"{scheme}: option {name}={shown}: {error}") from None
    return values


# --- what options mean ------------------------------------------------------------------------------------------------


def text(value: str) -> str:
    """Anything but nothing."""
    if not value:
        raise ValueError("must not be empty")
    return value


def seconds(value: str) -> float:
    """A time in seconds, more than 0 and at most a day."""
    try:
        number = float(value)
    except ValueError:
        raise ValueError("must be a number of seconds") from None
    if not 0 < number <= 86_400:
        raise ValueError("must be more than 0 and at most 86400 seconds")
    return number


def whole(lowest: int, highest: int) -> Callable[[str], int]:
    """A whole number in this range."""

    def number(value: str) -> int:
        if not (value.isascii() and value.isdigit() and len(value) <= 9 and lowest <= int(value) <= highest):
            raise ValueError(f"must be a whole number from {lowest} to {highest}")
        return int(value)

    return number


def flag(value: str) -> bool:
    """yes or no."""
    return choice("yes", "no", "true", "false", "1", "0")(value) in ("yes", "true", "1")


def choice(*words: str) -> Callable[[str], str]:
    """One of these words."""

    def one_of(value: str) -> str:
        if value.lower() not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return value.lower()

    return one_of


def pace(value: str) -> str:
    """A rate as :meth:`mailer.rate.Rate.parse` reads it, or "off"."""
    if value != "off":
        try:
            Rate.parse(value)
        except ConfigError:
            raise ValueError("must be a rate such as 50/s, 1000/m or 3600/h, or off") from None
    return value


def ip_addresses(value: str) -> tuple[str, ...]:
    """IP addresses of this machine, parted by a comma: one, or one of each family."""
    import ipaddress

    try:
        found = [ipaddress.ip_address(item.strip()) for item in value.split(",")]
    except ValueError:
        raise ValueError("must be an IP address, or an IPv4 and an IPv6 address parted by a comma") from None
    if len({address.version for address in found}) != len(found):
        raise ValueError("must be at most one address of each family")
    return tuple(str(address) for address in found)


_SERVER = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):([0-9]{1,5})", re.ASCII)


def dns_servers(value: str) -> list[tuple[str, int]]:
    """IP addresses of DNS servers, parted by commas, each with a port or without."""
    import ipaddress

    found = []
    for item in value.split(","):
        server = _SERVER.fullmatch(item.strip())
        address, port = (server[1] or server[2], int(server[3])) if server else (item.strip().strip("[]"), 53)
        try:
            found.append((str(ipaddress.ip_address(address)), port))
        except ValueError:
            raise ValueError("must be IP addresses, each with a port or without: 127.0.0.1,[::1]:5353") from None
        if not 1 <= port <= 65535:
            raise ValueError(f"port {port} is not 1-65535")
    return found
