"""A mail to be looked at in a browser: whoever wrote it may be an enemy of who reads it.

Its html is for a frame of its own, ``<iframe sandbox src=...>``, answered with ``SafeView.headers()``: no script runs,
no form is sent, nothing is loaded from elsewhere, be it only to tell that the mail is read. What CSP does not govern
(``<link rel=preconnect>``, ``<meta http-equiv>``, ``<base>``) is made an element that does nothing.
"""

from __future__ import annotations

import base64
import email
import email.policy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any

__all__ = ["AttachedFile", "SafeView"]

# Tags that act beyond what CSP says. A start tag is "<" and the name, and nothing between them (HTML, 13.2.5.6).
_ACTING = re.compile(r"<(?=/?(?:link|meta|base)\b)", re.IGNORECASE)
_CID = re.compile(r"""(?<=["'(=])cid:([^"'()<>\s]+)""", re.IGNORECASE)
#: Beyond so many octets an inline image is not shown in the html: it is written there anew for each time it appears.
_MAX_INLINE = 1_000_000
_MAX_PARTS = 500
_SHOWN_AS_IMAGE = ("image/png", "image/jpeg", "image/gif", "image/webp")

_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; font-src data:; img-src {images}; form-action 'none'; "
    "base-uri 'none'; frame-ancestors 'self'; sandbox"
)
_SAFE = {
    "Content-Type": "text/html; charset=utf-8",
    "X-Frame-Options": "SAMEORIGIN",
    "X-Content-Type-Options": "nosniff",
    "X-DNS-Prefetch-Control": "off",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True, slots=True)
class AttachedFile:
    """What is attached: name, type as the mail says it, and size in octets."""

    name: str
    content_type: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class SafeView:
    """What of a mail can be shown. All of it but ``html`` is text, to be escaped.

    Attributes:
        fields: The header, (name, value), decoded, in its order.
        text: The text part, or "".
        html: The html part for the frame, or "". Its images by ``cid:`` are in it.
        files: What is attached.
    """

    fields: tuple[tuple[str, str], ...]
    text: str
    html: str
    files: tuple[AttachedFile, ...]

    @classmethod
    def of(cls, content: bytes) -> SafeView:
        """Read a mail, however broken: what cannot be read is left out."""
        message = email.message_from_bytes(content, policy=email.policy.default)
        texts: dict[str, str] = {"plain": "", "html": ""}
        files: list[AttachedFile] = []
        images: dict[str, str] = {}
        for part in _leaves(message):
            kind = part.get_content_type()
            is_text = part.get_content_maintype() == "text" and part.get_content_disposition() != "attachment"
            way = part.get_content_subtype()
            if is_text and way in texts and not texts[way]:
                texts[way] = _text(part)
                continue
            data = _octets(part)
            cid = str(part.get("Content-ID") or "").strip().strip("<>")
            if cid and kind in _SHOWN_AS_IMAGE and len(data) <= _MAX_INLINE:
                images[cid] = f"data:{kind};base64,{base64.b64encode(data).decode()}"
            files.append(AttachedFile(_name(part), kind, len(data)))
        return cls(_fields(message), texts["plain"], _harmless(texts["html"], images), tuple(files))

    @staticmethod
    def headers(*, remote_images: bool = False) -> dict[str, str]:
        """What the html is answered with, on a URL of its own.

        Args:
            remote_images: The reader wants what the mail loads from elsewhere, and may be seen to read it.
        """
        images = "data: https: http:" if remote_images else "data:"
        return {**_SAFE, "Content-Security-Policy": _POLICY.format(images=images)}


def _harmless(html: str, images: dict[str, str]) -> str:
    html = _ACTING.sub("<x-", html.replace("\0", ""))
    return _CID.sub(lambda found: images.get(found[1], found[0]), html)


def _leaves(message: EmailMessage) -> Iterator[EmailMessage]:
    """The parts that have content; a mail within the mail is one."""
    waiting: list[Any] = [message]  # whose payload the standard library types as anything
    seen = 0
    while waiting and seen < _MAX_PARTS:
        part = waiting.pop(0)
        seen += 1
        if part.get_content_maintype() == "multipart" and part.is_multipart():
            waiting[:0] = part.get_payload()
        else:
            yield part


def _text(part: EmailMessage) -> str:
    data = _octets(part)
    try:
        return data.decode(part.get_content_charset() or "utf-8", "replace")
    except (LookupError, ValueError):
        return data.decode("latin-1")


def _octets(part: EmailMessage) -> bytes:
    try:
        data: Any = part.get_payload(decode=True)
        if data is None:  # a mail within the mail
            inner: Any = part.get_payload()
            return b"".join([bytes(one) for one in inner])
    except Exception:  # noqa: BLE001 - the parser meets anything
        return b""
    return data if isinstance(data, bytes) else b""


def _name(part: EmailMessage) -> str:
    try:
        return str(part.get_filename() or "")
    except Exception:  # noqa: BLE001 - as above
        return ""


def _fields(message: EmailMessage) -> tuple[tuple[str, str], ...]:
    read = []
    for name, raw in message.raw_items():
        try:
            value = str(message.policy.header_fetch_parse(name, raw))
        except Exception:  # noqa: BLE001 - as above
            value = str(raw)
        read.append((name, value))
    return tuple(read)
