"""Messages with the attributes of Django's ``EmailMessage``, as several frameworks have them, read into our fields.

``subject, body, from_email, to, cc, bcc, reply_to, extra_headers, attachments, alternatives, content_subtype``: what
they mean is Django's, whoever's class it is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from email.message import Message as StandardMessage
from email.utils import collapse_rfc2231_value
from typing import Any

from ..attachment import Attachment
from .message_fields import header_fields, mailbox, mailboxes

__all__ = ["fields_of"]

_FIELD_OF = {"text/plain": "text", "text/html": "html", "text/x-amp-html": "amp_html"}
_KNOWN_PART_FIELDS = {"content-type", "content-transfer-encoding", "content-disposition", "content-id"}
_OWN_WAYS = ("message", "recipients")


def fields_of(message: Any, *, made_in: Collection[str]) -> dict[str, Any] | None:
    """The arguments of our Message; None for one that our fields cannot say.

    Args:
        message: The framework's.
        made_in: The modules of the framework's own classes: whatever else in its class builds it, builds it otherwise.

    Raises:
        MessageError: Something in it is wrong.
    """
    if _builds_itself(message, made_in):
        return None
    further = message.extra_headers or {}
    if any(str(name).lower() in ("to", "cc") for name in further):
        return None
    sender = mailbox(message.from_email, "from_email")
    fields: dict[str, Any] = {
        "from_": sender,
        "to": mailboxes(message.to, "to"),
        "cc": mailboxes(message.cc, "cc"),
        "bcc": mailboxes(message.bcc, "bcc"),
        "reply_to": mailboxes(message.reply_to, "reply_to"),
        "subject": "" if message.subject is None else str(message.subject),
        "alternatives": [],
        "attachments": [],
        **header_fields(further, sender),
    }
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


def _builds_itself(message: Any, made_in: Collection[str]) -> bool:
    """Whether a subclass, or the object itself, has another way to build the mail, or to say who it is for."""
    scopes = [vars(cls) for cls in type(message).__mro__ if cls.__module__ not in made_in]
    return any(
        name in _OWN_WAYS or name.startswith(("_create_", "_add_", "_set_"))
        for scope in (vars(message), *scopes)
        for name in scope
    )


def _ways(message: Any) -> Iterator[tuple[str, str]]:
    """Each (content type, text) to show it, the body first."""
    alternatives = getattr(message, "alternatives", ())
    if message.body or not (alternatives or message.attachments):
        yield f"text/{message.content_subtype}", str(message.body or "")
    for text, kind in alternatives:
        yield kind, text.decode() if isinstance(text, bytes) else str(text)


def _of_tuple(name: str | None, content: Any, content_type: str | None = None) -> Attachment:
    if not isinstance(content, StandardMessage) and callable(getattr(content, "message", None)):
        content = content.message()  # the framework's own
    if isinstance(content, StandardMessage):
        content = content.as_bytes()
    elif not isinstance(content, (bytes, bytearray, memoryview)):
        content = str(content)
        if not content.isascii() and (content_type or "").startswith("text/") and ";" not in (content_type or ""):
            content_type = f"{content_type}; charset=utf-8"
        content = content.encode()
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
