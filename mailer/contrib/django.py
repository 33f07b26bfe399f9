"""Django's mail, sent by a :class:`~mailer.Mailer`.

::

    EMAIL_BACKEND = "mailer.contrib.django.EmailBackend"                        # Django 5.2 and 6.0
    MAILER_URL = "smtp://user:secret@smtp.example.com"

    MAILERS = {                                                                 # Django 6.1
        "default": {
            "BACKEND": "mailer.contrib.django.EmailBackend",
            "OPTIONS": {"url": "smtp://user:secret@smtp.example.com"},
        }
    }

The URL is the ``url`` option, else Django's setting ``MAILER_URL``; with neither it is a mailer of
:class:`~mailer.Settings`: the environment with ``MAILER_URL_FILE``, ``.env``, ``mailer.toml``. No ``EMAIL_`` setting is
read, and the From is Django's (``DEFAULT_FROM_EMAIL``). All backends of one URL in a process share one mailer, so
``send_mail()`` after ``send_mail()`` goes over one connection.

======================================  ================================================================================
a Django message                        what is sent
======================================  ================================================================================
as Django makes it                      a :class:`~mailer.Message` of the same fields, without its slow ``message()``
with ``headers={"From": ...}``          that From, and ``from_email`` as the envelope sender; Sender, Reply-To, Date,
                                        Message-ID, Return-Path and X-Priority go to their fields likewise
with ``headers={"To": ...}`` or Cc, a   what its ``message()`` gives, to ``recipients()``: ready-made mail
part that is no file, or a subclass
that builds itself in its own way
======================================  ================================================================================

Texts are sent as UTF-8 whatever ``encoding`` says. Of an attached MIME part type, name, Content-ID and disposition are
kept, X- fields are not. A message's receipt stands on it afterwards: ``message.mailer_receipt``.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message as StandardMessage
from email.utils import collapse_rfc2231_value, parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import django.core.mail.message
from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend

from ..address import Address
from ..attachment import Attachment
from ..envelope import Envelope
from ..errors import ConfigError, DeliveryError, HeaderError, MessageError
from ..mailer import Mailer
from ..message import Message

if TYPE_CHECKING:
    from ..receipt import Receipt

__all__ = ["EmailBackend", "InvalidMessageError"]

# Django 6 has it as another name of ValueError, and will drop it.
_BadHeaderError: Any = getattr(django.core.mail.message, "BadHeaderError", ValueError)


class InvalidMessageError(MessageError, _BadHeaderError):  # type: ignore[misc]
    """The message cannot be built: a line break in a header, not an address ...

    For apps that catch what Django's own backends raise: ``BadHeaderError``, a ``ValueError``. Its cause is the
    :class:`~mailer.MessageError` as it was.
    """


class EmailBackend(BaseEmailBackend):  # type: ignore[misc]
    """What ``EMAIL_BACKEND`` and ``MAILERS`` name. Threads may share it.

    Attributes:
        fail_silently: Leave out messages that nobody accepted, rather than raise. Wrong messages and settings raise
            all the same, as under Django's own backends.
        mailer: The mailer behind it, for its ``hooks`` and ``backend``.
    """

    def __init__(self, *, url: str | None = None, fail_silently: bool = False, **options: Any) -> None:
        """Made by Django. Opens no connection.

        Raises:
            ConfigError: There is no URL, it is wrong, or there are other options (a login stands in the URL).
        """
        # Django up to 6.0 gives username=None, password=None, and ignores what it does not know.
        given = {name: value for name, value in options.items() if value is not None}
        if given and "alias" not in given:
            raise ConfigError(f"{__name__}.EmailBackend takes url and fail_silently, not {', '.join(given)}")
        super().__init__(**given)
        self.fail_silently = fail_silently
        self.mailer = _mailer_of(url)

    def send_messages(self, email_messages: Iterable[Any]) -> int:
        """Send Django's messages one after the other, over one connection.

        Args:
            email_messages: Read lazily, once. Those without recipients are passed over.

        Returns:
            How many were accepted for at least one recipient.

        Raises:
            DeliveryError: Nobody accepted a message, unless ``fail_silently``; those behind it are not sent.
            InvalidMessageError: A message cannot be built.
            MailerError: As :meth:`mailer.Mailer.send`.
        """
        count = 0
        for message in email_messages:
            if not message.recipients():
                continue
            try:
                message.mailer_receipt = self._sent(message)
            except DeliveryError as error:
                message.mailer_receipt = error.receipt
                if not self.fail_silently:
                    raise
            count += bool(message.mailer_receipt.accepted)
        return count

    def close(self) -> None:
        """Let go of the connection; the next message opens a new one."""
        self.mailer.close()

    def _sent(self, message: Any) -> Receipt:
        try:
            fields = _fields(message)
            if fields is None:
                envelope = Envelope(
                    _address(message.from_email, "from_email"), _addresses(message.recipients(), "recipients")
                )
            else:
                ours = Message(**fields)
        except MessageError as error:
            invalid = InvalidMessageError(str(error))
            invalid.field = error.field
            raise invalid from error
        if fields is None:
            return self.mailer.send_raw(message.message().as_bytes(), envelope)
        return self.mailer.send(ours)


# --- the mailers of this process --------------------------------------------------------------------------------------

_mailers: dict[object, Mailer] = {}  # by URL, or by the environment where that says it


def _mailer_of(url: str | None) -> Mailer:
    named = "OPTIONS['url']" if url else "MAILER_URL"
    url = url or getattr(settings, "MAILER_URL", None)
    key: object = url or frozenset(item for item in os.environ.items() if item[0].startswith("MAILER_"))
    if key not in _mailers:
        try:
            # One of two threads that come first may make one in vain: it has no connection yet. No lock, so none to be
            # held at a fork.
            _mailers.setdefault(key, Mailer(url) if url else Mailer())
        except ConfigError as error:
            if not url:  # it names the place itself
                raise
            raise ConfigError(f"{named}: {error}") from error
    return _mailers[key]


@atexit.register
def _close() -> None:
    for mailer in _mailers.values():
        mailer.close()


# --- from Django's message to ours ------------------------------------------------------------------------------------

_FIELD_OF = {"text/plain": "text", "text/html": "html", "text/x-amp-html": "amp_html"}
_KNOWN_PART_FIELDS = {"content-type", "content-transfer-encoding", "content-disposition", "content-id"}


def _fields(message: Any) -> dict[str, Any] | None:
    """The arguments of our Message; None for one that our fields cannot say."""
    if _builds_itself(message):
        return None
    sender = _address(message.from_email, "from_email")
    fields: dict[str, Any] = {
        "from_": sender,
        "to": _addresses(message.to, "to"),
        "cc": _addresses(message.cc, "cc"),
        "bcc": _addresses(message.bcc, "bcc"),
        "reply_to": _addresses(message.reply_to, "reply_to"),
        "subject": str(message.subject),
        "headers": [],
        "alternatives": [],
        "attachments": [],
    }
    for name, value in message.extra_headers.items():
        match name.lower():
            case "to" | "cc":
                return None
            case "from":
                fields.setdefault("return_path", sender)
                fields["from_"] = _mailboxes(value)
            case "sender":
                fields.setdefault("return_path", sender)
                fields["sender"] = _address(value, name)
            case "return-path":
                fields["return_path"] = _address(value, name)
            case "reply-to":
                fields["reply_to"] = _mailboxes(value)
            case "message-id":
                fields["message_id"] = str(value).strip()
            case "date":
                fields["date"] = _date(value)
            case "x-priority":
                level = str(value).partition(" ")[0]  # "1 (Highest)"
                fields["priority"] = int(level) if level.isdecimal() else level
            case _:
                fields["headers"].append((name, str(value)))
    for kind, text in _ways(message):
        base = kind.partition(";")[0].strip().lower()
        if not base.startswith("text/"):
            return None
        field = _FIELD_OF.get(base)
        if field and field not in fields:
            fields[field] = text
        else:
            fields["alternatives"].append((kind, text))
    for item in message.attachments:
        attachment = _of_part(item) if isinstance(item, StandardMessage) else _of_tuple(*item)
        if attachment is None:
            return None
        fields["attachments"].append(attachment)
    return fields


def _builds_itself(message: Any) -> bool:
    """Whether a subclass, or the object itself, has another way to build the mail, or to say who it is for."""
    scopes = [vars(cls) for cls in type(message).__mro__ if cls.__module__ != EmailMessage.__module__]
    return any(
        name in ("message", "recipients") or name.startswith(("_create_", "_add_", "_set_"))
        for scope in (vars(message), *scopes)
        for name in scope
    )


def _address(value: Any, field: str) -> Address:
    return _decoded(Address.of(str(value), field=field))


def _addresses(values: Iterable[Any], field: str) -> list[Address]:
    return [_address(value, field) for value in values if value]


def _mailboxes(value: Any) -> list[Address]:
    return [_decoded(address) for address in Address.parse_list(str(value))]


def _decoded(address: Address) -> Address:
    """With encoded-words in the name decoded, as Django reads them: email.utils.formataddr writes them."""
    if "=?" not in address.name:
        return address
    try:
        name = str(make_header(decode_header(address.name)))
    except (HeaderParseError, LookupError, ValueError):  # it only looks like one
        return address
    return Address(name, address.local, address.domain)


def _date(value: Any) -> datetime:
    try:
        date = value if isinstance(value, datetime) else parsedate_to_datetime(str(value))
    except ValueError as error:
        raise HeaderError(str(error), field="Date") from error
    return date if date.tzinfo else date.replace(tzinfo=UTC)  # "-0000": UTC, and no word of the zone (RFC 5322, 3.3)


def _ways(message: Any) -> Iterator[tuple[str, str]]:
    """Each (content type, text) to show it, Django's body first."""
    alternatives = getattr(message, "alternatives", ())
    if message.body or not (alternatives or message.attachments):
        yield f"text/{message.content_subtype}", str(message.body or "")
    for text, kind in alternatives:
        yield kind, text.decode() if isinstance(text, bytes) else str(text)


def _of_tuple(name: str | None, content: Any, content_type: str | None = None) -> Attachment:
    if isinstance(content, EmailMessage):
        content = content.message()
    if isinstance(content, StandardMessage):
        content = content.as_bytes()
    elif not isinstance(content, (bytes, bytearray, memoryview)):
        content = str(content).encode()
    return Attachment.from_bytes(name or "", content, content_type=content_type)


def _of_part(part: StandardMessage) -> Attachment | None:
    """A part of the standard library's; None for one that is no file."""
    names = {name.lower() for name in part}
    if any(name.startswith("content-") for name in names - _KNOWN_PART_FIELDS):
        return None
    kind = part.get_content_type()
    if kind == "message/rfc822":
        inner: Any = part.get_payload(0)
        content = inner.as_bytes()
    elif part.is_multipart():
        return None
    else:
        content = part.get_payload(decode=True)
    parameters = [
        (name, collapse_rfc2231_value(value).replace("\\", "\\\\").replace('"', '\\"'))
        for name, value in part.get_params([])[1:]
        if name.lower() not in ("name", "boundary")
    ]
    cid = part.get("Content-ID")
    disposition = part.get_content_disposition()
    return Attachment.from_bytes(
        part.get_filename() or "",
        content,
        content_type="".join([kind, *(f'; {name}="{value}"' for name, value in parameters)]),
        content_id=None if cid is None else str(cid).strip(),
        inline=disposition == "inline" or (disposition is None and cid is not None),
    )
