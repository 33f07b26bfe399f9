"""Flask-Mail's Message and Attachment: the same arguments, attributes and methods."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable, KeysView, Mapping
from email.mime.base import MIMEBase
from email.utils import parseaddr
from mimetypes import guess_type
from typing import TYPE_CHECKING, Any

from .state import state_of
from .text import FOLD, AddressLike, breaks_off, force_text
from .written import written

if TYPE_CHECKING:
    from ...receipt import Receipt
    from .mail import Connection

__all__ = ["Attachment", "Message"]


class Attachment:
    """A file to attach.

    Args:
        filename: Its name; None has none.
        content_type: Its media type; None guesses by the name, else by the kind of data.
        data: The content, needed; text is sent as UTF-8.
        disposition: "attachment", or "inline".
        headers: Further headers of its part, a mapping or pairs: ``{"Content-ID": "<logo>"}``.
    """

    def __init__(
        self,
        filename: str | None = None,
        content_type: str | None = None,
        data: str | bytes | None = None,
        disposition: str | None = None,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] | None = None,
    ) -> None:
        if data is None:
            raise ValueError("The 'data' argument is required: the attachment's content, str or bytes.")
        if content_type is None and filename is not None:
            content_type = guess_type(filename)[0]
        if content_type is None:
            content_type = "text/plain" if isinstance(data, str) else "application/octet-stream"
        self.data = data
        self.filename = filename
        self.content_type = content_type
        self.disposition = disposition or "attachment"
        self.headers: dict[str, str] = headers if isinstance(headers, dict) else dict(headers or {})


class Message:
    """A mail to be.

    Args:
        subject: The subject.
        recipients: Who it is to: addresses, or (name, address) pairs.
        body: The text.
        html: The html.
        alts: Further ways to show it, subtype of text to content: ``{"html": "<p>...", "calendar": "BEGIN:..."}``.
        sender: Who it is from; None takes ``MAIL_DEFAULT_SENDER``.
        cc: Who gets a copy.
        bcc: Who gets a copy unseen.
        attachments: Of :class:`Attachment`.
        reply_to: Whom answers go to.
        date: Seconds since 1970; None is when it is sent.
        charset: What :meth:`as_bytes` writes the texts in; sent are they in UTF-8.
        extra_headers: Further headers; one that names a header of the message's own takes its place.
        mail_options: Parameters of MAIL, ``["RET=HDRS"]``: see :meth:`mailer.DeliveryOptions.from_esmtp`.
        rcpt_options: Parameters of RCPT, ``["NOTIFY=FAILURE"]``.

    Attributes:
        msgId: The Message-ID, with angle brackets.
        mailer_receipt: What became of it, once it was sent: one outcome for each recipient.
    """

    mailer_receipt: Receipt | None = None

    def __init__(
        self,
        subject: str = "",
        recipients: Iterable[AddressLike] | None = None,
        body: str | None = None,
        html: str | None = None,
        alts: Mapping[str, str] | Iterable[tuple[str, str]] | None = None,
        sender: AddressLike | None = None,
        cc: Iterable[AddressLike] | None = None,
        bcc: Iterable[AddressLike] | None = None,
        attachments: Iterable[Attachment] | None = None,
        reply_to: AddressLike | None = None,
        date: float | None = None,
        charset: str | None = None,
        extra_headers: Mapping[str, str] | None = None,
        mail_options: Iterable[str] | None = None,
        rcpt_options: Iterable[str] | None = None,
    ) -> None:
        self.recipients = _listed(recipients, "recipients")
        self.subject = subject
        self.sender = _sender(sender or state_of().default_sender)
        self.reply_to = reply_to
        self.cc = _listed(cc, "cc")
        self.bcc = _listed(bcc, "bcc")
        self.body = body
        self.alts: dict[str, str] = dict(alts or {})
        self.html = html
        self.date = date
        self.msgId = f"<{os.urandom(16).hex()}@{_domain(self.sender)}>"
        self.charset = charset
        self.extra_headers = extra_headers
        self.mail_options = list(mail_options or ())
        self.rcpt_options = list(rcpt_options or ())
        self.attachments: list[Attachment] = list(attachments or ())

    @property
    def send_to(self) -> KeysView[AddressLike]:
        """Everybody who is to get it, each once: recipients, cc, bcc, in their order. Compares as a set."""
        return dict.fromkeys([*(self.recipients or ()), *(self.cc or ()), *(self.bcc or ())]).keys()

    @property
    def html(self) -> str | None:
        """The html, which is one of ``alts``."""
        return self.alts.get("html")

    @html.setter
    def html(self, value: str | None) -> None:
        if value is None:
            self.alts.pop("html", None)
        else:
            self.alts["html"] = value

    def add_recipient(self, recipient: AddressLike) -> None:
        """One more whom it is to."""
        self.recipients.append(recipient)

    def attach(
        self,
        filename: str | None = None,
        content_type: str | None = None,
        data: str | bytes | None = None,
        disposition: str | None = None,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] | None = None,
    ) -> None:
        """Attach a file. Arguments as of :class:`Attachment`."""
        self.attachments.append(Attachment(filename, content_type, data, disposition, headers))

    def send(self, connection: Connection) -> None:
        """Send it over this connection."""
        connection.send(self)

    def has_bad_headers(self) -> bool:
        """Whether a header holds a line break that does not fold it (RFC 5322 section 2.2.3)."""
        extra = self.extra_headers or {}
        for text in (self.sender, *self.send_to, self.reply_to, *extra):
            if text and any(char in _shown(text) for char in "\r\n"):
                return True
        return breaks_off(force_text(self.subject or "")) or any(breaks_off(value, FOLD) for value in extra.values())

    def is_bad_headers(self) -> bool:
        """The old name of :meth:`has_bad_headers`."""
        warnings.warn("'is_bad_headers' is now 'has_bad_headers'", DeprecationWarning, stacklevel=2)
        return self.has_bad_headers()

    def _message(self) -> MIMEBase:
        return written(self, ascii_names=bool(state_of().ascii_attachments))

    def as_string(self) -> str:
        """The mail in Flask-Mail's form, with CRLF.

        What is sent is the same to whoever reads it; its parts and encodings are our own.

        Raises:
            BadHeaderError: A header holds a line break.
        """
        return self._message().as_string()

    def as_bytes(self) -> bytes:
        """As :meth:`as_string`, in bytes."""
        return self._message().as_bytes()

    def __str__(self) -> str:
        return self.as_string()

    def __bytes__(self) -> bytes:
        return self.as_bytes()


def _listed(values: Iterable[Any] | None, name: str) -> list[Any]:
    if isinstance(values, (str, bytes)):
        raise TypeError(f"{name} must be a list of addresses, not one: [{values!r}]")
    return list(values or ())


def _sender(value: Any) -> Any:
    """A pair as Flask-Mail keeps it, "Name <address>"; with the name in quotes, where it would be misread without."""
    if not isinstance(value, (tuple, list)):
        return value
    name, spec = map(force_text, value)
    text = f"{name} <{spec}>"
    if parseaddr(text)[0] == name:
        return text
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}" <{spec}>'


def _domain(sender: Any) -> str:
    """Of the Message-ID: the sender's, rather than this machine's name, which is nobody's business."""
    domain = parseaddr(_shown(sender or ""))[1].rpartition("@")[2]
    return domain if re.fullmatch(r"[A-Za-z0-9.-]{1,255}", domain) else "localhost"


def _shown(value: Any) -> str:
    return f"{value[0]} <{value[1]}>" if isinstance(value, (tuple, list)) else force_text(value)
