"""The event: what became of a mail after the provider took it, the same whoever tells it."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from .address import Address
from .field import printable, reads_json
from .message import FrozenDict

__all__ = ["MAIL_ID_KEY", "Event", "EventKind", "RejectReason", "mail_id_in"]

#: The key of a provider's metadata under which :attr:`Mail.id` travels, and comes back in its events. Letters and an
#: underscore alone, at most 20 characters: what the strictest provider takes.
MAIL_ID_KEY = "mailer_id"

_MAIL_ID = re.compile(r"[A-Za-z0-9_-]{1,80}", re.ASCII)
_ENHANCED_CODE = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}", re.ASCII)
_MAX_TEXT = 1000


class EventKind(enum.StrEnum):
    """What happened. Equal to its word: ``event.kind == "bounced"``."""

    QUEUED = "queued"
    """The provider has taken it, or holds it until its time."""
    SENT = "sent"
    """It left for the recipient's host; whether that takes it is yet to come."""
    DELIVERED = "delivered"
    """The recipient's host took it."""
    DEFERRED = "deferred"
    """Not now; the provider tries again by itself."""
    BOUNCED = "bounced"
    """The recipient's host refused it, and the provider gave up."""
    REJECTED = "rejected"
    """The provider would not send it there: a suppressed or wrong address, a policy."""
    FAILED = "failed"
    """The provider could not send it: a template that does not render, an error of its own."""
    OPENED = "opened"
    CLICKED = "clicked"
    COMPLAINED = "complained"
    """The recipient called it spam."""
    UNSUBSCRIBED = "unsubscribed"
    SUBSCRIBED = "subscribed"
    UNKNOWN = "unknown"
    """None of these, or new at the provider: see ``raw``."""


class RejectReason(enum.StrEnum):
    """Why a mail did not arrive, in the few words that an app decides by."""

    INVALID = "invalid"
    """There is no such address."""
    BOUNCED = "bounced"
    """Refused for another reason, or the address has bounced before."""
    TIMED_OUT = "timed_out"
    """The recipient's host could not be reached in time."""
    BLOCKED = "blocked"
    """A policy refused it: the recipient's host's, or the provider's."""
    SPAM = "spam"
    """Taken for spam, by a filter or by the recipient."""
    UNSUBSCRIBED = "unsubscribed"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that a provider's webhook told about a mail and one recipient.

    What the provider did not say, or said in a form that it does not document, is None or blank: ``raw`` has it.

    Attributes:
        kind: What happened; the word for it ("bounced") becomes an :class:`EventKind`.
        provider: The provider's name, as in its URL.
        provider_id: The provider's id of the mail, as ``receipt.provider_ids`` has it; "" if it gave none.
        mail_id: Ours, :attr:`Mail.id <mailer.Mail>`, where the provider repeats metadata; else None.
        event_id: The provider's id of this very event, the same when it tells it again; "" if it has none.
        recipient: Whom it is about; None where the provider does not say.
        time: When it happened, in UTC.
        reject_reason: Why the mail did not arrive, or why no other is to follow it; a word for it becomes a
            :class:`RejectReason`. What bounced, was rejected, failed, complained or unsubscribed has one, with all
            providers; nothing else has.
        is_hard: Of what bounced: True if the address is at fault and sending there again cannot help, False if the mail
            or the moment was; None where the provider does not say, and of other kinds.
        is_machine: Of what was opened or clicked: a proxy or scanner did it, as far as the provider knows.
        text: What the recipient's host replied, or the provider's words for what went wrong; one line of at most 1000
            characters, those that cannot be printed escaped.
        code: The SMTP reply code, 200-599.
        enhanced_code: The RFC 3463 status code, "5.1.1".
        url: What was clicked.
        user_agent: What opened or clicked it.
        tags: The message's, as far as the provider repeats them.
        metadata: The message's, without our own entry.
        raw: What the provider said of it, as its JSON has it.

    Raises:
        ValueError, TypeError: A value is none of these.
    """

    kind: EventKind
    provider: str
    provider_id: str = ""
    mail_id: str | None = None
    event_id: str = ""
    recipient: Address | None = None
    time: datetime | None = None
    reject_reason: RejectReason | None = None
    is_hard: bool | None = None
    is_machine: bool = False
    text: str = ""
    code: int | None = None
    enhanced_code: str | None = None
    url: str = ""
    user_agent: str = ""
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=FrozenDict)
    raw: Mapping[str, Any] = field(default_factory=FrozenDict)

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "kind", EventKind(self.kind))
        if self.reject_reason is not None:
            put(self, "reject_reason", RejectReason(self.reject_reason))
        for name in ("provider", "provider_id", "event_id", "text", "url", "user_agent"):
            if not isinstance(value := getattr(self, name), str):
                raise TypeError(f"{name} must be str, not {type(value).__name__}")
            put(self, name, printable(value))
        if not self.provider:
            raise ValueError("provider must name the one who tells it")
        put(self, "text", self.text[:_MAX_TEXT])
        if self.mail_id is not None and not (isinstance(self.mail_id, str) and _MAIL_ID.fullmatch(self.mail_id)):
            raise ValueError("mail_id must be the id of a mail: up to 80 letters, digits, - and _")
        if self.recipient is not None and not isinstance(self.recipient, Address):
            raise TypeError(f"recipient must be an Address, not {type(self.recipient).__name__}")
        if self.time is not None:
            if not isinstance(self.time, datetime) or self.time.tzinfo is None:
                raise ValueError("time must be a datetime with a time zone")
            put(self, "time", self.time.astimezone(UTC))
        if self.code is not None and not (type(self.code) is int and 200 <= self.code <= 599):
            raise ValueError(f"code {self.code!r} is outside 200-599")
        if self.enhanced_code is not None and not _ENHANCED_CODE.fullmatch(self.enhanced_code):
            raise ValueError(f"enhanced_code {self.enhanced_code!r} is not of the form 5.1.1")
        tags: object = self.tags
        if not isinstance(tags, (list, tuple)) or not all(isinstance(tag, str) for tag in tags):
            raise TypeError("tags must be several str")
        put(self, "tags", tuple(tags))
        for name in ("metadata", "raw"):
            if not isinstance(value := getattr(self, name), Mapping):
                raise TypeError(f"{name} must be a mapping, not {type(value).__name__}")
            put(self, name, FrozenDict(value))

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it: kind and reason in lower case, the time in RFC 3339."""
        return {
            "kind": self.kind.value,
            "provider": self.provider,
            "provider_id": self.provider_id,
            "mail_id": self.mail_id,
            "event_id": self.event_id,
            "recipient": None if self.recipient is None else self.recipient.to_dict(),
            "time": None if self.time is None else self.time.isoformat(),
            "reject_reason": None if self.reject_reason is None else self.reject_reason.value,
            "is_hard": self.is_hard,
            "is_machine": self.is_machine,
            "text": self.text,
            "code": self.code,
            "enhanced_code": self.enhanced_code,
            "url": self.url,
            "user_agent": self.user_agent,
            "tags": list(self.tags),
            "metadata": dict(self.metadata),
            "raw": dict(self.raw),
        }

    @classmethod
    @reads_json
    def from_dict(cls, data: Mapping[str, Any]) -> Event:
        """Read back what :meth:`to_dict` gave; unknown keys are ignored, wrong values raise :class:`MessageError`."""
        recipient, time = data.get("recipient"), data.get("time")
        return cls(
            kind=data["kind"],
            provider=data["provider"],
            provider_id=data.get("provider_id", ""),
            mail_id=data.get("mail_id"),
            event_id=data.get("event_id", ""),
            recipient=None if recipient is None else Address.from_dict(recipient),
            time=None if time is None else datetime.fromisoformat(time),
            reject_reason=data.get("reject_reason"),
            is_hard=data.get("is_hard"),
            is_machine=bool(data.get("is_machine", False)),
            text=data.get("text", ""),
            code=data.get("code"),
            enhanced_code=data.get("enhanced_code"),
            url=data.get("url", ""),
            user_agent=data.get("user_agent", ""),
            tags=tuple(data.get("tags", ())),
            metadata=data.get("metadata", {}),
            raw=data.get("raw", {}),
        )


def mail_id_in(metadata: Mapping[str, Any]) -> str | None:
    """Our mail's id in a provider's metadata; None if there is none that could be one."""
    value = metadata.get(MAIL_ID_KEY)
    return value if isinstance(value, str) and _MAIL_ID.fullmatch(value) else None
