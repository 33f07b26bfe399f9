"""From Flask-Mail's message to ours.

======================================  ================================================================================
a message of Flask-Mail's               what is sent
======================================  ================================================================================
as Flask-Mail makes it                  a :class:`~mailer.Message` of the same fields
whose subclass has its own ``_message`` what its ``as_bytes()`` gives, to its ``send_to``: ready-made mail
or ``as_bytes``; or with an attachment
whose headers are more than Content-ID
======================================  ================================================================================

Texts are sent as UTF-8, whatever ``charset`` says. A text that is None is not there, where there is another way to show
the mail; an attachment without a name is called "attachment".
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from ...address import Address
from ...attachment import Attachment, media_type
from ...delivery import DeliveryOptions
from ...envelope import Envelope
from ...errors import MessageError
from ..message_fields import header_fields, mailbox, mailboxes, read
from .message import Message
from .text import FOLD, force_text
from .written import ascii_name

__all__ = ["envelope_of", "fields_of"]

_OWN_WAYS = ("_message", "as_bytes", "send_to")


def envelope_of(message: Any, envelope_from: Any) -> Envelope:
    """Who it is from and for, of one that builds itself.

    Raises:
        MessageError: An address is none.
    """
    return Envelope(mailbox(envelope_from or message.sender, "sender"), mailboxes(message.send_to, "recipients"))


def fields_of(message: Any, envelope_from: Any, *, ascii_names: bool) -> dict[str, Any] | None:
    """The arguments of our Message; None for one that our fields cannot say.

    Args:
        message: Flask-Mail's own, or one of ours that is called the same.
        envelope_from: Another sender for the envelope; None has none.
        ascii_names: Attachments have names in ASCII.

    Raises:
        MessageError: Something in it is wrong.
    """
    if _builds_itself(message):
        return None
    attachments = [_attachment(attachment, ascii_names) for attachment in message.attachments or ()]
    if any(attachment is None for attachment in attachments):
        return None
    sender = mailbox(message.sender, "sender")
    fields: dict[str, Any] = {
        "from_": sender,
        "to": mailboxes(dict.fromkeys(message.recipients or ()), "recipients"),
        "cc": mailboxes(dict.fromkeys(message.cc or ()), "cc"),
        "bcc": mailboxes(message.bcc or (), "bcc"),
        "reply_to": _reply_to(message.reply_to),
        "subject": read(_unfolded(message.subject or "")),
        "date": datetime.fromtimestamp(message.date, UTC).astimezone(),
        "message_id": message.msgId,
        "attachments": attachments,
        **_texts(message),
        **header_fields({name: _unfolded(value) for name, value in (message.extra_headers or {}).items()}, sender),
    }
    if envelope_from:
        fields["return_path"] = mailbox(envelope_from, "envelope_from")
    if message.mail_options or message.rcpt_options:
        fields["delivery"] = DeliveryOptions.from_esmtp(message.mail_options or (), message.rcpt_options or ())
    return fields


def _builds_itself(message: Any) -> bool:
    """Whether its class, or the object itself, builds it, or says who it is for, in another way than Flask-Mail's."""
    scopes = [vars(cls) for cls in type(message).__mro__ if cls is not Message and cls.__module__ != "flask_mail"]
    return any(name in scope for scope in (vars(message), *scopes) for name in _OWN_WAYS)


def _unfolded(value: Any) -> str:
    return re.sub(f"{FOLD}(?=[ \t])", "", force_text(value))


def _reply_to(value: Any) -> list[Address]:
    if not value:
        return []
    return mailboxes(value, "reply_to") if isinstance(value, list) else [mailbox(value, "reply_to")]


def _texts(message: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {"alternatives": []}
    for subtype, content in message.alts.items():
        if content is None:
            continue
        text = force_text(content)
        if subtype == "html":
            fields["html"] = text
        else:
            fields["alternatives"].append((subtype if "/" in subtype else f"text/{subtype}", text))
    if message.body is not None or not (message.alts or message.attachments):
        fields["text"] = force_text(message.body or "")
    return fields


def _attachment(attachment: Any, ascii_names: bool) -> Attachment | None:
    """An attachment of ours; None for one with headers or a disposition that ours have no field for."""
    headers = {name.lower(): value for name, value in attachment.headers.items()}
    cid = headers.pop("content-id", None)
    disposition = attachment.disposition.lower()
    if headers or disposition not in ("attachment", "inline"):
        return None
    content, kind = attachment.data, attachment.content_type
    if isinstance(content, str):
        if not content.isascii() and "charset" not in (parsed := media_type(kind))[1] and parsed[0].startswith("text/"):
            kind = f"{kind.rstrip('; ')}; charset=utf-8"
        content = content.encode()
    name = attachment.filename or ""
    try:
        return Attachment.from_bytes(
            ascii_name(name) if ascii_names else name,
            content,
            content_type=kind,
            content_id=cid,
            inline=disposition == "inline",
        )
    except MessageError as error:
        raise MessageError(f"{name!r}: {error}", field="attachments") from error
