"""The standard library's MIME classes whose headers take no line break, and encode what is not ASCII by themselves."""

from __future__ import annotations

import io
from email.charset import QP, Charset
from email.generator import BytesGenerator, Generator
from email.header import Header
from email.message import Message as StandardMessage
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.utils import formataddr, getaddresses
from typing import TYPE_CHECKING, Any

from ...address import Address
from ...errors import AddressError, MessageError
from .names import force_str, punycode
from .state import state_of

if TYPE_CHECKING:
    _Base = StandardMessage
else:
    _Base = object

__all__ = [
    "ADDRESS_HEADERS",
    "RFC5322_EMAIL_LINE_LENGTH_LIMIT",
    "BadHeaderError",
    "InvalidMessageError",
    "MIMEMixin",
    "SafeMIMEMessage",
    "SafeMIMEMultipart",
    "SafeMIMEText",
    "forbid_multi_line_headers",
    "sanitize_address",
    "utf8_charset",
    "utf8_charset_qp",
]

#: Of a line, in octets, without its end (RFC 5322 section 2.1.1).
RFC5322_EMAIL_LINE_LENGTH_LIMIT = 998
#: Headers of mailboxes, in lower case.
ADDRESS_HEADERS = set("from sender reply-to to cc bcc resent-from resent-sender resent-to resent-cc resent-bcc".split())

#: Texts in UTF-8 that stay readable; and those with lines that are too long for it.
utf8_charset = Charset("utf-8")
utf8_charset.body_encoding = None  # type: ignore[assignment]  # typeshed's is too narrow
utf8_charset_qp = Charset("utf-8")
utf8_charset_qp.body_encoding = QP


class BadHeaderError(ValueError):
    """A line break in a header, which would begin another one; or a header that cannot be written."""


class InvalidMessageError(MessageError, BadHeaderError):
    """The message cannot be built; its cause is the :class:`~mailer.MessageError` that says why."""


def forbid_multi_line_headers(name: str, val: Any, encoding: str | None) -> tuple[str, str]:
    """A header as it may be written: in ASCII, the names of mailboxes and free text as encoded-words.

    Raises:
        BadHeaderError: The value holds a line break.
    """
    text = str(val)
    if "\n" in text or "\r" in text:
        raise BadHeaderError(f"Header values can't contain newlines (got {text!r} for header {name!r})")
    if not text.isascii():
        charset = encoding or state_of().default_charset
        if name.lower() in ADDRESS_HEADERS:
            return name, ", ".join(sanitize_address(pair, charset) for pair in getaddresses([text]))
        return name, Header(text, charset).encode()
    return name, Header(text).encode() if name.lower() == "subject" else text


def sanitize_address(addr: str | tuple[str, str], encoding: str) -> str:
    """A mailbox as it stands in a header: what is not ASCII as encoded-words, the domain in A-labels.

    Raises:
        ValueError: It is no address, or more than one, or holds a line break.
    """
    if isinstance(addr, tuple):
        name, spec = addr
        local, _, domain = spec.rpartition("@")
    else:
        try:
            read = Address.parse(force_str(addr))
        except AddressError as error:
            raise InvalidMessageError(f"Invalid address {addr!r}: {error}") from error
        name, local, domain = read.name, read.local, read.domain
    if any(char in f"{name}{local}{domain}" for char in "\r\n"):
        raise InvalidMessageError("Invalid address; address parts cannot contain newlines.")
    name = (Header(name) if name.isascii() else Header(name, encoding)).encode()
    if not local.isascii():
        local = Header(local, encoding).encode()
    domain = punycode(domain)
    try:
        return formataddr((name, Address("", local, domain).addr_spec))
    except AddressError as error:
        raise InvalidMessageError(f"Invalid address {addr!r}: {error}") from error


class MIMEMixin(_Base):
    """Lines that begin with "From " are written as they are, without the ">" of mailbox files."""

    def as_string(self, unixfrom: bool = False, linesep: str = "\n") -> str:  # type: ignore[override]  # as Flask-Mailman's
        """All of it as text.

        Args:
            unixfrom: Begin with the "From " line of mailbox files.
            linesep: Between lines.
        """
        out = io.StringIO()
        Generator(out, mangle_from_=False).flatten(self, unixfrom=unixfrom, linesep=linesep)
        return out.getvalue()

    def as_bytes(self, unixfrom: bool = False, linesep: str = "\n") -> bytes:  # type: ignore[override]  # as Flask-Mailman's
        """All of it as bytes. As :meth:`as_string`."""
        out = io.BytesIO()
        BytesGenerator(out, mangle_from_=False).flatten(self, unixfrom=unixfrom, linesep=linesep)
        return out.getvalue()


class SafeMIMEMessage(MIMEMixin, MIMEMessage):
    """A message within a message."""

    def __setitem__(self, name: str, val: Any) -> None:
        super().__setitem__(*forbid_multi_line_headers(name, val, "ascii"))


class SafeMIMEText(MIMEMixin, MIMEText):
    """A text."""

    def __init__(self, _text: str, _subtype: str = "plain", _charset: Any = None) -> None:
        self.encoding = _charset
        super().__init__(_text, _subtype, _charset)

    def __setitem__(self, name: str, val: Any) -> None:
        super().__setitem__(*forbid_multi_line_headers(name, val, self.encoding))

    def set_payload(self, payload: Any, charset: Any = None) -> None:
        """Take this text; UTF-8 stays readable unless a line is too long."""
        if charset == "utf-8" and not isinstance(charset, Charset):
            lines = (line.encode(errors="surrogateescape") for line in payload.splitlines())
            is_long = any(len(line) > RFC5322_EMAIL_LINE_LENGTH_LIMIT for line in lines)
            charset = utf8_charset_qp if is_long else utf8_charset
        super().set_payload(payload, charset)


class SafeMIMEMultipart(MIMEMixin, MIMEMultipart):
    """Parts."""

    def __init__(
        self,
        _subtype: str = "mixed",
        boundary: str | None = None,
        _subparts: Any = None,
        encoding: str | None = None,
        **_params: Any,
    ) -> None:
        self.encoding = encoding
        super().__init__(_subtype, boundary, _subparts, **_params)

    def __setitem__(self, name: str, val: Any) -> None:
        super().__setitem__(*forbid_multi_line_headers(name, val, self.encoding))
