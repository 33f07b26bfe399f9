"""From Django's message to ours.

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
kept, X- fields are not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message as StandardMessage
from email.utils import collapse_rfc2231_value, parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import django
import django.core.mail.message
from django.core.mail import EmailMessage
from django.utils.functional import Promise

from ...address import Address
from ...attachment import Attachment
from ...errors import AddressError, HeaderError, MessageError
from ...standard import bytes_of
from .anymail import fields_with
from .asked import asked_of

if TYPE_CHECKING:
    from ...relay.provider import Provider

__all__ = ["InvalidMessageError", "address_of", "addresses_of", "fields_of"]

# Django 6 has it as another name of ValueError, and will drop it.
_BadHeaderError: Any = getattr(django.core.mail.message, "BadHeaderError", ValueError)


class InvalidMessageError(MessageError, _BadHeaderError):  # type: ignore[misc]
    """The message cannot be built: a line break in a header, not an address ...

    For apps that catch what Django's own backends raise: ``BadHeaderError``, a ``ValueError``. Its cause is the
    :class:`~mailer.MessageError` as it was.
    """


_FIELD_OF = {"text/plain": "text", "text/html": "html", "text/x-amp-html": "amp_html"}
# Django 5.2 says quoted-printable where a line is too long, and its apps' tests read that; later ones as we do.
_FOLDS_LONG_LINES = django.VERSION < (6, 0)
_LONG_LINE = 998  # octets, RFC 5322 section 2.1.1
_KNOWN_PART_FIELDS = {"content-type", "content-transfer-encoding", "content-disposition", "content-id"}


def fields_of(message: Any, provider: Provider | None = None) -> dict[str, Any] | None:
    """The arguments of our Message; None for one that our fields cannot say.

    Args:
        provider: What it goes by, if that is one relay: some attributes of :mod:`.anymail` mean what they do there.
    """
    message, asked = asked_of(message, provider)
    if _builds_itself(message):
        return None
    sender = address_of(message.from_email, "from_email")
    fields: dict[str, Any] = {
        "from_": sender,
        "to": addresses_of(message.to, "to"),
        "cc": addresses_of(message.cc, "cc"),
        "bcc": addresses_of(message.bcc, "bcc"),
        "reply_to": addresses_of(message.reply_to, "reply_to"),
        "subject": "" if message.subject is None else _read(str(message.subject)),
        "headers": [],
        "alternatives": [],
        "attachments": [],
    }
    for name, value in (message.extra_headers or {}).items():
        match name.lower():
            case "to" | "cc":
                return None
            case "from":
                fields.setdefault("return_path", sender)
                fields["from_"] = _mailboxes(value)
            case "sender":
                fields.setdefault("return_path", sender)
                fields["sender"] = address_of(value, name)
            case "return-path":
                fields["return_path"] = address_of(value, name)
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
                fields["headers"].append((name, _read(str(value))))
    for kind, text in _ways(message):
        base = kind.partition(";")[0].strip().lower()
        if not base.startswith("text/") or (_FOLDS_LONG_LINES and _has_long_line(text)):
            return None
        field = _FIELD_OF.get(base)
        if field and field not in fields:
            fields[field] = text
        else:
            fields["alternatives"].append((kind, text))
    attachment: Attachment | None
    for item in message.attachments:
        if not isinstance(item, StandardMessage):
            attachment = _of_tuple(*item)
        elif _is_shown(item) and (provider is None or provider.features.raw):
            return None
        else:
            attachment = _of_part(item)
        if attachment is None:
            return None
        fields["attachments"].append(attachment)
    return fields_with(fields, asked, provider)


def _builds_itself(message: Any) -> bool:
    """Whether a subclass, or the object itself, has another way to build the mail, or to say who it is for."""
    scopes = [vars(cls) for cls in type(message).__mro__ if cls.__module__ != EmailMessage.__module__]
    return any(
        name in ("message", "recipients") or name.startswith(("_create_", "_add_", "_set_"))
        for scope in (vars(message), *scopes)
        for name in scope
    )


class LocalMailbox(Address):
    """A mailbox of the server's own, without a domain, as Django takes it: "webmaster" (its ticket 15042)."""

    __slots__ = ()

    def __init__(self, local: str) -> None:
        for part, value in (("name", ""), ("local", local), ("domain", "")):
            object.__setattr__(self, part, value)

    @property
    def addr_spec(self) -> str:
        """The local part alone."""
        return self.local

    ascii = addr_spec

    @property
    def key(self) -> tuple[str, str]:
        """As of this machine; a Message-ID takes its domain from there."""
        return self.local, "localhost"


_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")


def address_of(value: Any, field: str) -> Address:
    """The one mailbox that a text of Django's names. Raises AddressError, in the words that Django's apps know."""
    text = str(value)
    try:
        return _decoded(Address.of(text, field=field))
    except AddressError as error:
        if value is not None and _LOCAL.fullmatch(text):
            return LocalMailbox(text)
        raise AddressError(f"Invalid address {text!r}: {str(error).removeprefix(f'{field}: ')}", field=field) from None


def addresses_of(values: Iterable[Any] | None, field: str) -> list[Address]:
    if isinstance(values, (str, Promise)):
        raise AddressError("must be a list of addresses, not a text", field=field)
    return [address_of(value, field) for value in values or () if value]


def _mailboxes(value: Any) -> list[Address]:
    return [_decoded(address) for address in Address.parse_list(str(value))]


def _decoded(address: Address) -> Address:
    """With its name read: email.utils.formataddr writes encoded-words."""
    name = _read(address.name)
    return address if name == address.name else Address(name, address.local, address.domain)


def _read(text: str) -> str:
    """With encoded-words decoded, as whoever gets them from Django reads them."""
    if "=?" not in text:
        return text
    try:
        return str(make_header(decode_header(text)))
    except (HeaderParseError, LookupError, ValueError):  # it only looks like one
        return text


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


def _has_long_line(text: str) -> bool:
    if len(text) * 4 <= _LONG_LINE or (text.isascii() and len(text) <= _LONG_LINE):
        return False
    return any(len(line) > _LONG_LINE for line in text.encode("utf-8", "surrogatepass").split(b"\n"))


def _of_tuple(name: str | None, content: Any, content_type: str | None = None) -> Attachment:
    if isinstance(content, EmailMessage):
        content = content.message()
    if isinstance(content, StandardMessage):
        content = bytes_of(content)
    elif not isinstance(content, (bytes, bytearray, memoryview)):
        content = str(content).encode()
    return Attachment.from_bytes(name or "", content, content_type=content_type)


def _is_shown(part: StandardMessage) -> bool:
    """Whether it is a text that clients show below the body, not a file: where it stands, only the whole mail says."""
    names = part.get_content_disposition(), part.get_filename(), part.get("Content-ID")
    return part.get_content_maintype() == "text" and names == (None, None, None)


def _of_part(part: StandardMessage) -> Attachment | None:
    """A part of the standard library's; None for one that is no file."""
    names = {name.lower() for name in part}
    if any(name.startswith("content-") for name in names - _KNOWN_PART_FIELDS):
        return None
    kind = part.get_content_type()
    content: Any
    if kind == "message/rfc822":
        content = bytes_of(part.get_payload(0))  # type: ignore[arg-type]  # which is a message
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
