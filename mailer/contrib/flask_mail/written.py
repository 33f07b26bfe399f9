"""A message as Flask-Mail writes it, with the standard library: its parts, charsets and encodings.

::

    text                                            nothing else
    mixed( text, attachments )                      with attachments
    mixed( alternative( text, alts ), attachments ) with html or others

For ``as_string()`` and ``as_bytes()``, and for messages and hosts that build or send mail in their own way.
"""

from __future__ import annotations

import re
import unicodedata
from email import policy
from email.charset import Charset
from email.encoders import encode_base64
from email.mime.base import MIMEBase
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

from .text import (
    FOLD,
    BadHeaderError,
    breaks_off,
    force_text,
    sanitize_address,
    sanitize_addresses,
    sanitize_subject,
)

if TYPE_CHECKING:
    from .message import Attachment, Message

__all__ = ["ascii_name", "written"]


def written(message: Message, *, ascii_names: bool) -> MIMEBase:
    """The message as an object of the standard library's.

    Args:
        message: Flask-Mail's.
        ascii_names: Attachments have names in ASCII (``MAIL_ASCII_ATTACHMENTS``).

    Raises:
        BadHeaderError: A header that is not read as an address holds a line break.
    """
    charset = message.charset or "utf-8"
    body = _text(message.body, "plain", charset)
    if message.alts:
        ways = MIMEMultipart("alternative", _subparts=[body])
        for subtype, content in message.alts.items():
            ways.attach(_text(content, subtype, charset))
        whole: MIMEBase = MIMEMultipart(_subparts=[ways])
    else:
        whole = MIMEMultipart(_subparts=[body]) if message.attachments else body
    for name, value in _headers(message, charset):
        whole[name] = value
    for attachment in message.attachments or ():
        whole.attach(_file(attachment, ascii_names))
    whole.policy = policy.SMTP
    return whole


def _headers(message: Message, charset: str) -> list[tuple[str, str]]:
    subject = force_text(message.subject or "")
    extra = dict(message.extra_headers or {})
    bad = [name for name, value in extra.items() if "\r" in name or "\n" in name or breaks_off(value, FOLD)]
    if bad or re.search(r"\r(?!\n)|(?<!\r)\n|\r\n(?![ \t])", subject):
        raise BadHeaderError(f"a line break in {bad[0]!r}" if bad else "a line break in the subject")

    def listed(addresses: Any) -> str:
        return ", ".join(dict.fromkeys(sanitize_addresses(addresses, charset)))

    own = {
        "Subject": sanitize_subject(subject, charset),
        "From": sanitize_address(message.sender, charset),
        "To": listed(message.recipients or ()),
        "Date": formatdate(message.date, localtime=True),
        "Message-ID": message.msgId,
        "Cc": listed(message.cc or ()),
        "Reply-To": sanitize_address(message.reply_to, charset) if message.reply_to else "",
    }
    replaced = {name.lower() for name in extra}
    needed = ("From", "To", "Date", "Message-ID")
    return [
        *((name, value) for name, value in own.items() if name.lower() not in replaced and (value or name in needed)),
        *extra.items(),
    ]


def _text(content: Any, subtype: str, charset: str) -> MIMEText:
    text: Any = None if content is None else force_text(content)
    encoding: Any = charset
    if charset.lower() in ("utf-8", "utf8"):
        encoding = Charset("utf-8")
        encoding.body_encoding = None  # readable, rather than in base64
    return MIMEText(text, subtype, encoding)


def ascii_name(name: str) -> str:
    """A file name without what ASCII lacks: accents are dropped, other characters left out."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode("ascii")
    return re.sub(r"\s+", " ", plain).strip()


def _file(attachment: Attachment, ascii_names: bool) -> MIMEBase:
    said = (attachment.filename or "", attachment.content_type, attachment.disposition, *attachment.headers.items())
    if any(char in "".join(one) for one in said for char in "\r\n"):
        raise BadHeaderError(f"a line break in a header of the attachment {attachment.filename!r}")
    kind, _, subtype = attachment.content_type.partition("/")
    part = MIMEBase(kind, subtype)
    data = attachment.data
    if isinstance(data, str):
        if not data.isascii() and kind == "text" and part.get_param("charset") is None:
            part.set_param("charset", "utf-8")
        data = data.encode()
    part.set_payload(data)
    encode_base64(part)
    if (name := attachment.filename) is not None:
        name = ascii_name(name) if ascii_names else name
        shown = name if name.isascii() else ("UTF8", "", name)
        part.add_header("Content-Disposition", attachment.disposition, filename=shown)
    for header, value in attachment.headers.items():
        part.add_header(header, value)
    return part
