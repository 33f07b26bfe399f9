"""Messages with the attributes of Django's ``EmailMessage``, as several frameworks have them, read into our fields.

``subject, body, from_email, to, cc, bcc, reply_to, extra_headers, attachments, alternatives, content_subtype``: what
they mean is Django's, whoever's class it is.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Iterator
from email.message import Message as StandardMessage
from email.utils import collapse_rfc2231_value
from typing import Any

from ..address import Address
from ..attachment import Attachment
from ..standard import bytes_of
from .message_fields import header_fields, mailbox, mailboxes, priority_of, read

__all__ = ["fields_of"]

#: The type of a text -> the field that it is.
_FIELD_OF = {"text/plain": "text", "text/html": "html", "text/x-amp-html": "amp_html"}
_KNOWN_PART_FIELDS = {"content-type", "content-transfer-encoding", "content-disposition", "content-id"}
_OWN_WAYS = ("message", "recipients")


def _never(text: str) -> bool:
    return False


def fields_of(
    message: Any,
    *,
    made_in: Collection[str],
    one: Callable[[Any, str], Address] = mailbox,
    many: Callable[[Iterable[Any], str], list[Address]] = mailboxes,
    goes_whole: Callable[[str], bool] = _never,
    can_go_whole: bool = True,
) -> dict[str, Any] | None:
    """The arguments of our Message; None for one that our fields cannot say.

    Args:
        message: The framework's.
        made_in: The modules of the framework's own classes: whatever else in its class builds it, builds it otherwise.
        one: Reads a mailbox, given the attribute's name too.
        many: Reads a list of them.
        goes_whole: Whether a message with this text is to go as the framework writes it.
        can_go_whole: Ready-made mail is taken; where it is not, a text part that is no file becomes one.

    Raises:
        MessageError: Something in it is wrong.
    """
    if _builds_itself(message, made_in):
        return None
    further = message.extra_headers or {}
    if any(_is_beyond_fields(str(name).lower(), value) for name, value in further.items()):
        return None
    sender = one(message.from_email, "from_email")
    fields: dict[str, Any] = {
        "from_": sender,
        "to": many(message.to, "to"),
        "cc": many(message.cc, "cc"),
        "bcc": many(message.bcc, "bcc"),
        "reply_to": many(message.reply_to, "reply_to"),
        "subject": "" if message.subject is None else read(str(message.subject)),
        "alternatives": [],
        "attachments": [],
        **header_fields(further, sender, one=one),
    }
    for kind, text in _ways_of(message):
        base = kind.partition(";")[0].strip().lower()
        if not base.startswith("text/") or goes_whole(text):
            return None
        field = _FIELD_OF.get(base)
        if field and field not in fields:
            fields[field] = text
        else:
            fields["alternatives"].append((kind, text))
    for item in message.attachments:
        attachment = None
        if not isinstance(item, StandardMessage):
            attachment = _attachment_of(*item)
        elif not (can_go_whole and _is_shown(item)):
            attachment = _part_of(item)
        if attachment is None:
            return None
        fields["attachments"].append(attachment)
    return fields


def _is_beyond_fields(name: str, value: Any) -> bool:
    """Whether a header says what no field of ours can: others than who gets it, a priority of somebody's own."""
    return name in ("to", "cc") or (name == "x-priority" and priority_of(value) is None)


def _builds_itself(message: Any, made_in: Collection[str]) -> bool:
    """Whether a subclass, or the object itself, has another way to build the mail, or to say who it is for.

    Args:
        message: The framework's.
        made_in: As in :func:`fields_of`.
    """
    cls: Any = type(message)
    return any(map(_is_a_way, vars(message))) or _has_own_way(cls, tuple(made_in))


@functools.lru_cache(maxsize=1024)
def _is_a_way(name: str) -> bool:
    return name in _OWN_WAYS or name.startswith(("_create_", "_add_", "_set_"))


@functools.lru_cache(maxsize=256)
def _has_own_way(cls: Any, made_in: tuple[str, ...]) -> bool:
    return any(_is_a_way(name) for base in cls.__mro__ if base.__module__ not in made_in for name in vars(base))


def _ways_of(message: Any) -> Iterator[tuple[str, str]]:
    """Each (content type, text) to show it, the body first."""
    alternatives = getattr(message, "alternatives", ())
    if message.body or not (alternatives or message.attachments):
        yield f"text/{message.content_subtype}", _text(message.body or "")
    for text, kind in alternatives:
        yield kind, _text(text)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _attachment_of(name: str | None, content: Any, content_type: str | None = None) -> Attachment:
    """An attachment of what the framework's ``attach`` takes: text is UTF-8; a message of whosever class is whole."""
    if not isinstance(content, StandardMessage) and callable(getattr(content, "message", None)):
        content = content.message()  # the framework's own
    if isinstance(content, StandardMessage):
        content = bytes_of(content)
    elif not isinstance(content, (bytes, bytearray, memoryview)):
        content = str(content)
        if not content.isascii() and (content_type or "").startswith("text/") and ";" not in (content_type or ""):
            content_type = f"{content_type}; charset=utf-8"
        content = content.encode()
    return Attachment.from_bytes(name or "", content, content_type=content_type)


def _is_shown(part: StandardMessage) -> bool:
    """Whether it is a text that clients show below the body, not a file: where it stands, only the whole mail says."""
    names = part.get_content_disposition(), part.get_filename(), part.get("Content-ID")
    return part.get_content_maintype() == "text" and names == (None, None, None)


def _part_of(part: StandardMessage) -> Attachment | None:
    """A part of the standard library's as an attachment; None for one that is no file."""
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
