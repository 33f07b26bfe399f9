"""Flask-Mailman's EmailMessage and EmailMultiAlternatives, which are Django's of old."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterable, Mapping
from email import encoders, message_from_string
from email.message import Message as StandardMessage
from email.mime.base import MIMEBase
from email.utils import formataddr, formatdate, make_msgid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .names import DNS_NAME, force_str
from .safe_mime import SafeMIMEMessage, SafeMIMEMultipart, SafeMIMEText
from .state import state_of

if TYPE_CHECKING:
    from ...receipt import Receipt

__all__ = ["DEFAULT_ATTACHMENT_MIME_TYPE", "EmailMessage", "EmailMultiAlternatives"]

#: Of attachments whose type nobody said, and nobody can guess.
DEFAULT_ATTACHMENT_MIME_TYPE = "application/octet-stream"


class EmailMessage:
    """A mail to be.

    Args:
        subject: The subject.
        body: The text; of the type ``text/`` and ``content_subtype``.
        from_email: Who it is from, an address or a (name, address) pair; None takes ``MAIL_DEFAULT_SENDER``.
        to: Whom it is to: a list of addresses.
        bcc: Who gets a copy unseen.
        connection: A backend to send it by; None makes one.
        attachments: MIME parts, or (name, content, type) of each.
        headers: Further headers; those of the message's own take their place.
        cc: Who gets a copy.
        reply_to: Whom answers go to: a list of addresses.

    Attributes:
        encoding: What :meth:`message` writes in; None takes ``MAIL_DEFAULT_CHARSET``. Sent is UTF-8.
        mailer_receipt: What became of it, once it was sent: one outcome for each recipient.
    """

    content_subtype = "plain"
    mixed_subtype = "mixed"
    encoding: str | None = None
    mailer_receipt: Receipt | None = None

    def __init__(
        self,
        subject: str = "",
        body: str | None = "",
        from_email: Any = None,
        to: Iterable[str] | None = None,
        bcc: Iterable[str] | None = None,
        connection: Any = None,
        attachments: Iterable[Any] | None = None,
        headers: Mapping[str, Any] | None = None,
        cc: Iterable[str] | None = None,
        reply_to: Iterable[str] | None = None,
    ) -> None:
        self.to = _listed(to, "to")
        self.cc = _listed(cc, "cc")
        self.bcc = _listed(bcc, "bcc")
        self.reply_to = _listed(reply_to, "reply_to")
        sender = from_email or state_of().default_sender
        self.from_email = formataddr(tuple(map(force_str, sender))) if isinstance(sender, (tuple, list)) else sender
        self.subject = subject
        self.body = body or ""
        self.attachments: list[Any] = []
        for attachment in attachments or ():
            if isinstance(attachment, MIMEBase):
                self.attach(attachment)
            else:
                self.attach(*attachment)
        self.extra_headers = headers or {}
        self.connection = connection

    # --- sending ------------------------------------------------------------------------------------------------------

    def get_connection(self, fail_silently: bool = False) -> Any:
        """The backend it is sent by; made once, as the current app's config says."""
        if not self.connection:
            self.connection = state_of().get_connection(fail_silently=fail_silently)
        return self.connection

    def recipients(self) -> list[str]:
        """Everybody who is to get it: to, cc, bcc, in their order; empty ones left out."""
        return [address for address in (*self.to, *self.cc, *self.bcc) if address]

    def send(self, fail_silently: bool = False) -> int:
        """Send it.

        Returns:
            1 if anybody accepted it, else 0; 0 if it is for nobody.
        """
        if not self.recipients():
            return 0
        return self.get_connection(fail_silently).send_messages([self])  # type: ignore[no-any-return]  # of any backend

    # --- attaching ----------------------------------------------------------------------------------------------------

    def attach(self, filename: Any = None, content: Any = None, mimetype: str | None = None) -> None:
        """Attach a MIME part, or a file.

        Args:
            filename: The part, alone; or the file's name, or None.
            content: The file's content. Bytes of a ``text/`` type are read as UTF-8; what is none becomes
                ``application/octet-stream``.
            mimetype: Its type; None guesses by the name.

        Raises:
            ValueError: A part with content or type, or a file without content.
        """
        if isinstance(filename, MIMEBase):
            if content is not None or mimetype is not None:
                raise ValueError("content and mimetype must not be given when a MIMEBase instance is provided.")
            self.attachments.append(filename)
            return
        if content is None:
            raise ValueError("content must be provided.")
        mimetype = mimetype or (filename and mimetypes.guess_type(filename)[0]) or DEFAULT_ATTACHMENT_MIME_TYPE
        if isinstance(content, bytes) and mimetype.startswith("text/"):
            try:
                content = content.decode()
            except UnicodeDecodeError:
                mimetype = DEFAULT_ATTACHMENT_MIME_TYPE
        self.attachments.append((filename, content, mimetype))

    def attach_file(self, path: Any, mimetype: str | None = None) -> None:
        """Attach a file of this machine under its own name. As :meth:`attach`."""
        path = Path(path)
        self.attach(path.name, path.read_bytes(), mimetype)

    # --- writing ------------------------------------------------------------------------------------------------------

    def message(self) -> Any:
        """The mail as an object of the standard library's.

        What is sent is the same to whoever reads it; its parts and encodings are our own.

        Raises:
            BadHeaderError: A header holds a line break.
        """
        state = state_of()
        message: Any = self._create_message(SafeMIMEText(self.body, self.content_subtype, self._charset()))
        further = {name.lower(): (name, value) for name, value in self.extra_headers.items()}
        own: dict[str, Any] = {"Subject": self.subject, "From": self.from_email}
        own |= {name: ", ".join(map(str, listed)) for name, listed in self._listed_headers() if listed}
        own["Date"] = formatdate(localtime=state.use_localtime)
        own["Message-ID"] = make_msgid(domain=str(DNS_NAME)) if "message-id" not in further else None
        for name, value in own.items():
            if name.lower() in further:
                value = further.pop(name.lower())[1]
            message[name] = value
        for name, value in further.values():
            message[name] = value
        return message

    def _listed_headers(self) -> tuple[tuple[str, list[str]], ...]:
        return ("To", self.to), ("Cc", self.cc), ("Reply-To", self.reply_to)

    def _charset(self) -> str:
        return self.encoding or state_of().default_charset

    def _create_message(self, msg: Any) -> Any:
        return self._create_attachments(msg)

    def _create_attachments(self, msg: Any) -> Any:
        if not self.attachments:
            return msg
        whole = SafeMIMEMultipart(self.mixed_subtype, encoding=self._charset())
        if self.body or msg.is_multipart():
            whole.attach(msg)
        for attachment in self.attachments:
            whole.attach(attachment if isinstance(attachment, MIMEBase) else self._create_attachment(*attachment))
        return whole

    def _create_attachment(self, filename: str | None, content: Any, mimetype: str | None = None) -> Any:
        part = self._create_mime_attachment(content, mimetype or DEFAULT_ATTACHMENT_MIME_TYPE)
        if filename:
            shown = filename if filename.isascii() else ("utf-8", "", filename)
            part.add_header("Content-Disposition", "attachment", filename=shown)
        return part

    def _create_mime_attachment(self, content: Any, mimetype: str) -> Any:
        kind, _, subtype = mimetype.partition("/")
        if kind == "text":
            return SafeMIMEText(content, subtype, self._charset())
        if mimetype == "message/rfc822":  # never in base64: RFC 2046 section 5.2.1
            if not isinstance(content, StandardMessage) and callable(getattr(content, "message", None)):
                content = content.message()
            if not isinstance(content, StandardMessage):
                content = message_from_string(force_str(content))
            return SafeMIMEMessage(content, subtype)
        part = MIMEBase(kind, subtype)
        part.set_payload(content)
        encoders.encode_base64(part)
        return part


class EmailMultiAlternatives(EmailMessage):
    """A mail with further ways to show it.

    Args:
        alternatives: (content, type) of each. The others: :class:`EmailMessage`.
    """

    alternative_subtype = "alternative"

    def __init__(
        self,
        subject: str = "",
        body: str | None = "",
        from_email: Any = None,
        to: Iterable[str] | None = None,
        bcc: Iterable[str] | None = None,
        connection: Any = None,
        attachments: Iterable[Any] | None = None,
        headers: Mapping[str, Any] | None = None,
        alternatives: Iterable[tuple[Any, str]] | None = None,
        cc: Iterable[str] | None = None,
        reply_to: Iterable[str] | None = None,
    ) -> None:
        super().__init__(subject, body, from_email, to, bcc, connection, attachments, headers, cc, reply_to)
        self.alternatives = list(alternatives or ())

    def attach_alternative(self, content: Any, mimetype: str) -> None:
        """Add a way to show it: ``("<p>Hello</p>", "text/html")``.

        Raises:
            ValueError: One of the two is None.
        """
        if content is None or mimetype is None:
            raise ValueError("Both content and mimetype must be provided.")
        self.alternatives.append((content, mimetype))

    def _create_message(self, msg: Any) -> Any:
        return self._create_attachments(self._create_alternatives(msg))

    def _create_alternatives(self, msg: Any) -> Any:
        if not self.alternatives:
            return msg
        ways = SafeMIMEMultipart(self.alternative_subtype, encoding=self._charset())
        if self.body:
            ways.attach(msg)
        for alternative in self.alternatives:
            ways.attach(self._create_mime_attachment(*alternative))
        return ways


def _listed(values: Iterable[str] | None, name: str) -> list[str]:
    if isinstance(values, str):
        raise TypeError(f'"{name}" argument must be a list or tuple')
    return list(values or ())
