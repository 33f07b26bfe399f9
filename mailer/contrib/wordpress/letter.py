"""What ``phpmailer_init`` may change: PHPMailer's names for what a mail says, and none for its way."""

from __future__ import annotations

import codecs
import email
import email.policy
import os
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from ...address import Address
from ...attachment import Attachment, media_type
from ...envelope import NULL_SENDER
from ...errors import ConfigError, HeaderError, MessageError
from ...field import shown
from ...gate import Gate
from ...html_to_text import html_to_text
from ...message import Message
from .arguments import decoded

__all__ = ["PHPMailer"]

#: Header fields that are fields of a message: name -> what it is there.
_FIELDS = {"sender": "sender", "return-path": "return_path", "message-id": "message_id", "x-priority": "priority"}


class PHPMailer:
    """What ``wp_mail`` has made so far. May be changed, as PHPMailer's object may; is no transport.

    Attributes:
        From: The sender's address.
        FromName: The sender's name.
        Sender: The envelope's sender; "" is From.
        Subject: One line.
        Body: Html if ``ContentType`` or an ``AltBody`` says so; any line ends.
        AltBody: The text beside html; "" has it made of the html.
        ContentType: "text/plain", "text/html", another text, or a multipart type with its boundary.
        CharSet: Any that there is. The mail is written in UTF-8, whatever it is.
        Priority: None, or 1 (highest) to 5.
        MessageID: "" is one of our own.
    """

    __slots__ = (
        "AltBody",
        "Body",
        "CharSet",
        "ContentType",
        "From",
        "FromName",
        "MessageID",
        "Priority",
        "Sender",
        "Subject",
        "_files",
        "_gate",
        "_headers",
        "_lists",
    )

    def __init__(self, gate: Gate) -> None:
        self.From = self.FromName = self.Sender = self.Subject = ""
        self.Body = self.AltBody = self.MessageID = ""
        self.ContentType = "text/plain"
        self.CharSet = "UTF-8"
        self.Priority: int | None = None
        self._gate = gate
        self._lists: dict[str, list[Address]] = {"to": [], "cc": [], "bcc": [], "reply_to": []}
        self._headers: list[tuple[str, str]] = []
        self._files: list[Attachment] = []

    def __setattr__(self, name: str, value: object) -> None:
        if name not in self.__slots__:
            raise ConfigError(f"phpmailer_init: {name} is not set here: how mail travels is said by the mailer's URL")
        object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"a letter has no {name}: how mail travels is said by the mailer's URL")

    def __repr__(self) -> str:
        return f"<PHPMailer to {len(self._lists['to'])}, {len(self._files)} files>"

    # --- PHPMailer's methods ------------------------------------------------------------------------------------------

    def setFrom(self, address: str, name: str = "", auto: bool = True) -> bool:  # noqa: N802 - PHPMailer's name
        """Set From and its name; with ``auto`` the envelope's sender too, if it has none."""
        self.From, self.FromName = address, name
        if auto and not self.Sender:
            self.Sender = address
        return True

    def isHTML(self, is_html: bool = True) -> None:  # noqa: N802 - PHPMailer's name
        """Say that Body is html, or plain text."""
        self.ContentType = "text/html" if is_html else "text/plain"

    def addAddress(self, address: str | Address, name: str = "") -> bool:  # noqa: N802 - PHPMailer's name
        """Add to To."""
        return self._add("to", address, name)

    def addCC(self, address: str | Address, name: str = "") -> bool:  # noqa: N802 - PHPMailer's name
        """Add to Cc."""
        return self._add("cc", address, name)

    def addBCC(self, address: str | Address, name: str = "") -> bool:  # noqa: N802 - PHPMailer's name
        """Add to Bcc."""
        return self._add("bcc", address, name)

    def addReplyTo(self, address: str | Address, name: str = "") -> bool:  # noqa: N802 - PHPMailer's name
        """Add to Reply-To."""
        return self._add("reply_to", address, name)

    def _add(self, field: str, address: str | Address, name: str) -> bool:
        self._lists[field].append(Address.of((name, address) if isinstance(address, str) else address, field=field))
        return True

    def clearAddresses(self) -> None:  # noqa: N802 - PHPMailer's name
        """Empty To."""
        self._lists["to"].clear()

    def clearCCs(self) -> None:  # noqa: N802 - PHPMailer's name
        """Empty Cc."""
        self._lists["cc"].clear()

    def clearBCCs(self) -> None:  # noqa: N802 - PHPMailer's name
        """Empty Bcc."""
        self._lists["bcc"].clear()

    def clearReplyTos(self) -> None:  # noqa: N802 - PHPMailer's name
        """Empty Reply-To."""
        self._lists["reply_to"].clear()

    def clearAllRecipients(self) -> None:  # noqa: N802 - PHPMailer's name
        """Empty To, Cc and Bcc."""
        self.clearAddresses()
        self.clearCCs()
        self.clearBCCs()

    def addCustomHeader(self, name: str, value: str | None = None) -> bool:  # noqa: N802 - PHPMailer's name
        """Add a header field: its name and value, or both in one with a colon between."""
        if value is None:
            name, colon, value = name.partition(":")
            if not colon:
                raise HeaderError(f"{shown(name)} is not a line like 'Name: value'", field="headers")
        self._headers.append((name.strip(), value.strip(" \t")))
        return True

    def clearCustomHeaders(self) -> None:  # noqa: N802 - PHPMailer's name
        """Take the header fields away that were added."""
        self._headers.clear()

    def addAttachment(  # noqa: N802 - PHPMailer's name
        self,
        path: str | os.PathLike[str] | Attachment,
        name: str = "",
        *,
        type: str = "",  # noqa: A002 - as there
    ) -> bool:
        """Attach a file of an allowed folder, or what is an attachment already."""
        self._files.append(self._file(path, "attachments", name=name, type=type))
        return True

    def addEmbeddedImage(  # noqa: N802 - PHPMailer's name
        self,
        path: str | os.PathLike[str] | Attachment,
        cid: str,
        name: str = "",
        *,
        type: str = "",  # noqa: A002 - as there
        disposition: str = "inline",
    ) -> bool:
        """Attach a file that the html shows by ``cid:``."""
        if disposition not in ("inline", "attachment"):
            raise MessageError(f"disposition {shown(disposition)} is neither 'inline' nor 'attachment'", field="embeds")
        file = self._file(path, "embeds", name=name, type=type)
        self._files.append(file.with_(content_id=cid, inline=disposition == "inline"))
        return True

    def addStringAttachment(self, content: bytes, name: str, *, type: str = "") -> bool:  # noqa: A002, N802 - as there
        """Attach bytes."""
        self._files.append(Attachment.from_bytes(name, content, content_type=type or None))
        return True

    def clearAttachments(self) -> None:  # noqa: N802 - PHPMailer's name
        """Take the files away."""
        self._files.clear()

    def _file(self, given: object, field: str, *, name: str, type: str) -> Attachment:  # noqa: A002 - as there
        if isinstance(given, Attachment):
            changes: dict[str, Any] = {key: value for key, value in (("name", name), ("content_type", type)) if value}
            return given.with_(**changes)
        if not isinstance(given, (str, os.PathLike)):
            raise MessageError(f"each must be a path, not {given.__class__.__name__}", field=field)
        path = self._gate.path(given, field)
        # The name is that of what was asked for, not of what a link led to.
        name = name or os.path.basename(os.fspath(given))
        return Attachment.from_path(path, name=name, content_type=type or None)

    # --- what becomes of it -------------------------------------------------------------------------------------------

    def message(self) -> Message:
        """The message that this is.

        Raises:
            MessageError: Something in it cannot stand in a mail.
        """
        subject = decoded(self.Subject) if isinstance(self.Subject, str) else self.Subject  # which is refused
        fields: dict[str, Any] = {"subject": subject, "headers": [], **self._lists, **self._body()}
        if not self.From:
            raise MessageError(
                "there is no sender: give Mailer(from_=...), WordPress(site=...) or a From line", field="from_"
            )
        fields["from_"] = Address.of((self.FromName, self.From), field="from_")
        for name, value in self._headers:
            lower = name.lower()
            if lower == "date":
                fields["date"] = _date(value)
            elif lower in _FIELDS:
                fields[_FIELDS[lower]] = _READ.get(lower, str)(value)
            else:
                fields["headers"].append((name, value))
        own = {"return_path": self.Sender, "message_id": self.MessageID, "priority": self.Priority}
        fields |= {field: value for field, value in own.items() if value not in ("", None)}
        fields["attachments"] = [*fields.get("attachments", ()), *self._files]
        return Message(**fields)

    def _body(self) -> Mapping[str, Any]:
        try:
            codecs.lookup(self.CharSet or "utf-8")
        except (LookupError, ValueError, TypeError):
            raise MessageError(f"CharSet {shown(self.CharSet)} is none that there is", field="text") from None
        if not isinstance(self.Body, str):
            raise MessageError(f"must be a string, not {type(self.Body).__name__}", field="text")
        kind, parameters = media_type(self.ContentType, "ContentType")
        if kind == "text/html" or (kind == "text/plain" and self.AltBody):
            return {"html": self.Body, "text": self.AltBody or html_to_text(self.Body)}
        if kind == "text/plain":
            return {"text": self.Body}
        if kind.startswith("multipart/"):
            return _multipart(self.ContentType, parameters, self.Body)
        return {"alternatives": [(self.ContentType, self.Body)]}  # of a type that is not text it says so


def _multipart(content_type: str, parameters: Mapping[str, str], body: str) -> Mapping[str, Any]:
    """A body that the caller has put together from parts, taken apart."""
    if not parameters.get("boundary"):
        raise MessageError(f"{shown(content_type)} says no boundary", field="ContentType")
    content = f"MIME-Version: 1.0\r\nContent-Type: {content_type}\r\n\r\n{body}"
    parsed = Message.from_email_message(email.message_from_bytes(content.encode(), policy=email.policy.SMTP))
    return {field: getattr(parsed, field) for field in ("text", "html", "amp_html", "alternatives", "attachments")}


def _date(value: str) -> Any:
    try:
        return parsedate_to_datetime(value)
    except (ValueError, TypeError):
        raise HeaderError(f"{shown(value)} is not a date of mail (RFC 5322 section 3.3)", field="Date") from None


def _level(value: str) -> int:
    if value[:1].isdecimal():
        return int(value[:1])  # "1 (Highest)"
    raise HeaderError(f"{shown(value)} is not 1 (highest) to 5", field="X-Priority")


def _return_path(value: str) -> Any:
    return NULL_SENDER if value == "<>" else value


_READ = {"x-priority": _level, "return-path": _return_path}
