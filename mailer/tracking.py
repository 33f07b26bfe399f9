"""Tracking: links and an image in html that tell, by a signed token, which mail was opened and what was clicked."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from html import escape, unescape
from urllib.parse import quote, urlsplit

from .address import Address
from .errors import ProtocolError
from .redaction import Unpickled, forgets_arguments
from .signed_token import SignedTokens, checked_url

__all__ = ["Tracked", "TrackingLinks", "target_of", "with_links", "with_pixel"]

#: With the endpoint before it, a URL that every browser and proxy takes; a longer link is left as it is.
_MAX_TOKEN = 1700
_PURPOSE = b"mailer tracking links 1"
# A value with "<" in it is no URL; to stop there keeps this linear whatever is broken.
_LINK = re.compile(r"""<(?:a|area)(?=[\s/])(?:[^<>"']|"[^<"]*"|'[^<']*')*>""", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""([^\s/>="'<]+)(?:\s*=\s*("[^<"]*"|'[^<']*'|[^\s>"'<]+))?""")
_BODY_END = re.compile(r"</body\s*>", re.IGNORECASE)
_UNSAFE = re.compile(r"[\x00-\x20\x7f\\]")
_KEPT = "%/:?#[]@!$&'()*+,;=~"


@dataclass(frozen=True, slots=True)
class Tracked:
    """What a token says.

    Attributes:
        mail_id: Of which mail.
        recipient: Whose; None where the mail was to several.
        url: Where the link leads, http or https; "" of the image.
        issued_s: When it was written, in seconds since 1970.
    """

    mail_id: str
    recipient: Address | None
    url: str
    issued_s: int


class TrackingLinks(Unpickled):
    """Writes links and reads them back. Shows its URL and no secret.

    The target stands in the token, under its MAC: the endpoint leads nowhere that we have not written.

    Args:
        url: Where the endpoint is mounted: https (http on this machine alone), no query. The token is put behind it.
        secrets: Of at least 32 characters; the first makes new links, the others' still count.

    Raises:
        ConfigError: One of these is wrong; the text shows no secret.
    """

    __slots__ = ("_tokens", "url")

    @forgets_arguments
    def __init__(self, url: str, secrets: Iterable[str]) -> None:
        self.url = checked_url("tracking", url)
        self._tokens = SignedTokens("tracking", _PURPOSE, secrets, longest=_MAX_TOKEN)

    def link(self, mail_id: str, recipient: Address | None, url: str = "", *, now_s: float) -> str | None:
        """The URL that tells and, with a target, leads there; None if it would be too long, or the target is none."""
        if url and target_of(url) != url:
            return None
        token = self._tokens.write([int(now_s), mail_id, recipient.addr_spec if recipient else "", url])
        return None if token is None else f"{self.url}/{token}"

    def read(self, token: str) -> Tracked:
        """What a token says.

        Raises:
            ProtocolError: We have not written it.
        """
        issued_s, mail_id, recipient, url = self._tokens.read(token)
        if (
            url and target_of(url) != url
        ):  # it would have to be ours; a second look at where a browser is led costs nothing
            raise ProtocolError("tracking: this is no link of ours")
        return Tracked(mail_id, Address.parse(recipient) if recipient else None, url, issued_s)

    def __repr__(self) -> str:
        return f"<TrackingLinks {self.url}>"


def target_of(href: str) -> str | None:
    """Where a link leads, as a header field may have it: http or https, in ASCII; None for what is not tracked.

    Not tracked are other schemes (``mailto:``, ``javascript:``), what has no host or one that is not ASCII, a user in
    front of the host, and what browsers would read as something else: spaces, control characters, backslashes.
    """
    href = href.strip("\t\n\f\r ")
    if _UNSAFE.search(href):
        return None
    try:
        parts = urlsplit(href)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not host or not parts.netloc.isascii() or "@" in parts.netloc:
        return None
    return quote(href, safe=_KEPT)


def with_links(html: str, link: Callable[[str], str | None], left_alone: Collection[str] = ()) -> str:
    """The html with other URLs in ``<a href>`` and ``<area href>``; nothing else of it is changed.

    Args:
        link: Target to the URL in its place, or None.
        left_alone: Targets that stay, and hosts.
    """
    parts: list[str] = []
    done = 0
    for tag in _LINK.finditer(html):
        for found in _ATTRIBUTE.finditer(html, tag.start() + 2, tag.end() - 1):
            if found[1].lower() != "href" or found[2] is None:
                continue
            target = target_of(unescape(found[2].strip("\"'")))
            if target and target not in left_alone and urlsplit(target).hostname not in left_alone:
                own = link(target)
                if own is not None:
                    parts += (html[done : found.start(2)], f'"{escape(own)}"')
                    done = found.end(2)
            break  # of several attributes of a name the first counts
    return "".join([*parts, html[done:]])


def with_pixel(html: str, url: str) -> str:
    """The html with an image that nobody sees, at its end."""
    image = f'<img src="{escape(url)}" alt="" width="1" height="1" style="border:0;width:1px;height:1px">'
    ends = list(_BODY_END.finditer(html))
    at = ends[-1].start() if ends else len(html)
    return f"{html[:at]}{image}{html[at:]}"
