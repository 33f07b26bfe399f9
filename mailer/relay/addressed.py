"""Content that says by itself to whom it goes, for an API that reads its recipients there and nowhere else."""

from __future__ import annotations

import re

from .. import header
from ..address import Address
from ..errors import AddressError, UnsupportedFeature
from ..mail import Content, Mail
from .letter import Letter

__all__ = ["addressed", "header_of"]

_FIELD = re.compile(rb"^(to|cc|bcc)[ \t]*:(.*(?:\r\n[ \t].*)*)\r\n", re.IGNORECASE | re.MULTILINE)


def addressed(mail: Mail, letter: Letter) -> bytes:
    """The mail's content with the header of :func:`header_of`. Raises what that does."""
    head, length = header_of(mail, letter)
    return head + bytes(letter.content or mail.content)[length:]


def header_of(mail: Mail, letter: Letter) -> tuple[bytes, int]:
    """The content's header with the envelope's recipients, and nobody else, in its To, Cc and Bcc.

    Whom To and Cc do not name stands in a Bcc in front, which such an API takes out before anybody sees it. Where they
    name somebody who is not to get it any more, they are written anew.

    Args:
        letter: The mail's, with its content.

    Returns:
        The fields, each with its CRLF, without the blank line; and how many bytes of the content they replace.

    Raises:
        UnsupportedFeature: They name such a one in content that must stay as it is, ready-made or signed; or cannot be
            read.
    """
    head = _header(letter.content or mail.content)
    length = len(head)
    left = {address.key: address for address in mail.envelope.recipients}
    named = {address.key for found in _FIELD.finditer(head) for address in _mailboxes(found[2])}
    if not named <= left.keys():
        if mail.is_raw:
            text = "are not all whom To and Cc of the content name, and ready-made or signed content is not changed"
            raise UnsupportedFeature(text, field="recipients")
        head = _FIELD.sub(b"", head)
        for name, addresses in (("Cc", letter.cc), ("To", letter.to)):
            if addresses:
                head = header.addresses(name, addresses).encode() + head
        named = {address.key for address in (*letter.to, *letter.cc)}
    if hidden := [address for key, address in left.items() if key not in named]:
        head = header.addresses("Bcc", hidden).encode() + head
    return head, length


def _header(content: Content) -> bytes:
    """Up to the blank line, which need not be there: then all of it."""
    head = b""
    for chunk in content:
        head += chunk
        if (end := head.find(b"\r\n\r\n")) >= 0:
            return head[: end + 2]
    return head


def _mailboxes(body: bytes) -> tuple[Address, ...]:
    try:
        return Address.parse_list(body.replace(b"\r\n", b"").decode().strip())
    except (AddressError, UnicodeDecodeError) as error:
        text = "cannot be read in To and Cc of the content, where this API looks for them"
        raise UnsupportedFeature(text, field="recipients") from error
