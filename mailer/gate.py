"""The one gate for what data names and code does not: files by their paths, and what lies at a URL. Shut by default.

A path or URL that stands in a template, in html or in a form is somebody else's choice: without a gate, ``/etc/passwd``
and ``http://169.254.169.254/`` go out as attachments. What code names itself (``Attachment.from_path``) needs no leave.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urljoin, urlsplit

from .attachment import Attachment
from .errors import ConfigError, MessageError, TransportError
from .field import shown

if TYPE_CHECKING:
    from .runtime import AddrInfo, Runtime

__all__ = ["Fetched", "Gate", "PathLike", "is_public"]

PathLike = str | os.PathLike[str]

_MAX_BYTES = 25 << 20  # more than that no server takes in a mail
_PORTS = {"https": 443, "http": 80}
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052 section 2.1
# What a URL may be written in; a backslash is a slash to some readers and not to others.
_URL = re.compile(r"[!-\[\]-~]{1,2000}", re.ASCII)
_HOST = re.compile(r"(?:\*\.)?[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?|\*|[0-9a-f:.]+", re.ASCII)
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class Fetched:
    """What lay at a URL.

    Attributes:
        url: Where it lay in the end, behind all redirects.
        content: All of it.
        content_type: As the server says, in lower case and without parameters; "" if it says nothing.
    """

    url: str
    content: bytes
    content_type: str


class Gate:
    """Folders and hosts that were allowed, and nothing else.

    Args:
        folders: One or several, whose files may be read, and those of the folders below.
        hosts: From where may be fetched: "cdn.example.com", "*.example.com" for all below it, "*" for any; with
            ":8443" behind it for a port that is not the scheme's own.
        schemes: "https", and "http" if you add it.
        private: Whether a host may be at an address that is none of the public internet: loopback, a private network,
            a cloud's metadata service; also those written as IPv6. Each address is looked at after the name was
            resolved, and is the one that is connected to.
        max_bytes: More is not read, of a file or an answer; None: any size of a file, 25 MiB of an answer.
        timeout_s: The most that a fetch may take in all.
        max_redirects: How many are followed; each goes through the gate anew.
        ca_file: A PEM file with the only authorities to trust; None: the system's.

    Raises:
        ConfigError: A folder is not there, or a host or scheme is none.
    """

    def __init__(
        self,
        folders: PathLike | Iterable[PathLike] = (),
        hosts: str | Iterable[str] = (),
        *,
        schemes: Iterable[str] = ("https",),
        private: bool = False,
        max_bytes: int | None = _MAX_BYTES,
        timeout_s: float = 10.0,
        max_redirects: int = 3,
        ca_file: str | None = None,
    ) -> None:
        self._folders = tuple(map(_folder, [folders] if isinstance(folders, (str, os.PathLike)) else folders))
        self._hosts = tuple(map(_host, [hosts] if isinstance(hosts, str) else hosts))
        self._schemes = frozenset(schemes)
        if not self._schemes <= _PORTS.keys():
            raise ConfigError(
                f"schemes: there are https and http, not {', '.join(sorted(self._schemes - set(_PORTS)))}"
            )
        self._private = private
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._max_redirects = max_redirects
        self._ca_file = ca_file

    def __repr__(self) -> str:
        hosts = [name if port is None else f"{name}:{port}" for name, port in self._hosts]
        return f"<Gate {', '.join([*map(str, self._folders), *hosts]) or 'shut'}>"

    async def attachment(
        self, source: str, runtime: Runtime, *, field: str = "attachments", inline: bool = False
    ) -> Attachment:
        """What a path or a URL names, as an attachment with its last part as name.

        Raises:
            MessageError: It is not allowed, or cannot be read.
            TransportError: It cannot be fetched.
        """
        if "://" not in source:
            return Attachment.from_path(self.path(source, field), inline=inline)
        fetched = await self.fetch(source, runtime, field=field)
        name = urlsplit(fetched.url).path.rpartition("/")[2] or "attachment"
        kind = fetched.content_type or None
        return Attachment.from_bytes(name, fetched.content, content_type=kind, inline=inline)

    # --- files --------------------------------------------------------------------------------------------------------

    def path(self, given: PathLike, field: str = "attachments") -> Path:
        """The file that a path means, seen from a folder if it is relative; links have been followed.

        Raises:
            MessageError: No folder is allowed, it is in none of them, it is not a file that is there, or too large.
        """
        name = shown(os.fspath(given))
        if not self._folders:
            raise MessageError(
                f"{name}: no file is attached by its path unless folders=... allows its folder", field=field
            )
        is_inside = False
        for folder in self._folders:
            try:
                path = (folder / given).resolve()
                inside = path.is_relative_to(folder)
                if inside and path.is_file():
                    if self._max_bytes is not None and path.stat().st_size > self._max_bytes:
                        raise MessageError(f"{name} is larger than {self._max_bytes} bytes", field=field)
                    return path
            except (OSError, RuntimeError, ValueError, TypeError):
                continue  # as a name with NUL, or a circle of links
            is_inside = is_inside or inside
        said = "there is no such file" if is_inside else "is in none of the folders that folders=... allows"
        raise MessageError(f"{name}: {said}", field=field)

    # --- URLs ---------------------------------------------------------------------------------------------------------

    def allows(self, url: str) -> bool:
        """Whether such a URL may be fetched, as far as its text tells."""
        try:
            self._checked(url, "")
        except MessageError:
            return False
        return True

    async def fetch(self, url: str, runtime: Runtime, *, field: str = "") -> Fetched:
        """What lies at a URL. Nothing is sent there but the request: no credential, no cookie.

        Raises:
            MessageError: The URL, one that it redirects to, or the address of its host is not allowed.
            TransportError: It cannot be had within ``timeout_s`` and ``max_bytes``.
        """
        from .http import HttpClient

        async def resolved(host: str, port: int, deadline: float) -> Sequence[AddrInfo]:
            found = await runtime.resolve(host, port, deadline)
            for address in found:
                if not self._private and not is_public(str(address.sockaddr[0])):
                    raise MessageError(f"{shown(host)} is at an address that is not public: not fetched", field=field)
            return found

        most = _MAX_BYTES if self._max_bytes is None else self._max_bytes
        deadline = runtime.now() + self._timeout_s
        for _ in range(self._max_redirects + 1):
            parts = self._checked(url, field)
            http = HttpClient(runtime, ca_file=self._ca_file, resolve=resolved, max_answer_bytes=most)
            try:
                response = await http.send("GET", parts.geturl(), deadline=deadline)
            finally:
                await http.aclose()
            location = response.headers.get("location", "")
            if response.status not in _REDIRECTS or not location:
                break
            url = urljoin(url, location)
        else:
            raise TransportError(f"{shown(parts.netloc)} redirects more than {self._max_redirects} times")
        if response.cut is not None:
            raise TransportError(f"{shown(parts.netloc)}: {response.cut}") from response.cut
        if response.status != 200:
            raise TransportError(f"{shown(parts.netloc)} answered HTTP {response.status}")
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        return Fetched(parts.geturl(), response.content, kind)

    def _checked(self, url: str, field: str) -> SplitResult:
        """The URL read, its fragment gone."""
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").rstrip("."), parts.port
        except ValueError:
            raise MessageError(f"{shown(url)} is not a URL", field=field) from None
        place = shown(f"{parts.scheme}://{parts.hostname}")  # what else it has may be a secret
        if not _URL.fullmatch(url) or not host or parts.username is not None:
            raise MessageError(f"{place}: a URL is printable ASCII, with a host and without a login", field=field)
        if parts.scheme not in self._schemes:
            raise MessageError(f"{place}: only {' and '.join(sorted(self._schemes))} is fetched", field=field)
        own = _PORTS[parts.scheme]
        if not any(_fits(host, name) and (port or own) == (at or own) for name, at in self._hosts):
            raise MessageError(f"{place} is not fetched: hosts=... does not allow it", field=field)
        return parts._replace(fragment="")


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet.

    One that carries an IPv4 address in it (mapped, 6to4, NAT64) is what that is; a connection would go there.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        carried = ip.ipv4_mapped or ip.sixtofour
        if ip in _NAT64:
            carried = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if carried is not None:
            return is_public(str(carried))
        if ip.is_site_local:  # deprecated, and counted as global
            return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def _fits(host: str, name: str) -> bool:
    return name in ("*", host) or (name.startswith("*.") and host.endswith(name[1:]) and len(host) >= len(name))


def _host(entry: str) -> tuple[str, int | None]:
    """Name, and the port if it is said."""
    try:
        parts = urlsplit(f"//{entry}")
        name, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        name, port = "", None
    if not _HOST.fullmatch(name) or parts.netloc != entry or parts.username is not None:
        raise ConfigError(f"hosts: {shown(entry)} is no host: write cdn.example.com, *.example.com or *, in ASCII")
    return name, port


def _folder(given: PathLike) -> Path:
    try:
        root = Path(given).expanduser().resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as error:
        said = getattr(error, "strerror", None) or "that is no folder's name"
        raise ConfigError(f"folders: {shown(os.fspath(given))} cannot be used: {said}") from None
    if not root.is_dir():
        raise ConfigError(f"folders: {shown(os.fspath(given))} is not a folder")
    return root
