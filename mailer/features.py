"""What a backend can carry, as data, and what a message needs of it."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from .errors import ConfigError, UnsupportedFeature
from .message import Message

__all__ = ["Features", "Limits", "Unsupported", "carried", "is_advice", "left_out", "noted", "uses"]

#: What to do with what a backend cannot carry: "default" refuses what changes who gets what and when, and notes the
#: rest; "error" refuses everything; "degrade" notes everything.
Unsupported = str
POLICIES = ("default", "error", "degrade")


@dataclass(frozen=True, slots=True)
class Features:
    """What a backend carries of a message beyond addresses, subject, text and html. True means carried.

    The first group decides who gets what, and when; the second is advice that a mail is complete without. ``merge`` is
    to merge by itself: elsewhere a message with merge fields becomes a mail for each recipient before. ``raw`` is about
    content that no message composes: ready-made mail, and what a ``mail`` filter or a signer has changed.
    ``idempotency_key`` means that a mail sent twice with the same key goes out once.
    """

    attachments: bool = True
    inline: bool = True
    reply_to: bool = True
    headers: bool = True
    alternatives: bool = True
    amp_html: bool = True
    sender: bool = True
    return_path: bool = True
    raw: bool = True
    send_at: bool = False
    merge: bool = False
    provider_template: bool = False
    require_tls: bool = False

    tags: bool = False
    metadata: bool = False
    tracking: bool = False
    priority: bool = True
    message_id: bool = True
    date: bool = True
    idempotency_key: bool = False
    notify: bool = False
    deliver_by: bool = False
    mt_priority: bool = False
    provider_options: bool = False

    @classmethod
    def of_api(cls, **differing: bool) -> Features:
        """For an API that composes the mail anew, as most do.

        It carries attachments, inline images, Reply-To, headers, priority and options of its own.

        Args:
            differing: Features in which this API does more, or less.
        """
        anew = cls(
            alternatives=False,
            amp_html=False,
            sender=False,
            return_path=False,
            raw=False,
            message_id=False,
            date=False,
            provider_options=True,
        )
        return replace(anew, **differing)

    @classmethod
    def everything(cls) -> Features:
        """For backends that record rather than deliver, and for groups, whose members decide. None of them merges."""
        return cls(**{field.name: field.name != "merge" for field in fields(cls)})


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of it a backend carries; None: as much as there is.

    Attributes:
        recipients: In one mail, To, Cc and Bcc together.
        to, cc, bcc: In one mail, of this kind.
        reply_to: Addresses in Reply-To.
        tags: In one mail.
        size_bytes: A whole mail, attachments encoded.
        schedule_s: How far ahead ``send_at`` may lie, in seconds.
    """

    recipients: int | None = None
    to: int | None = None
    cc: int | None = None
    bcc: int | None = None
    reply_to: int | None = None
    tags: int | None = None
    size_bytes: int | None = None
    schedule_s: int | None = None


# Feature -> whether the message uses it. Those behind the bar in Features are advisory.
_USED: dict[str, Callable[[Message], object]] = {
    "attachments": lambda m: any(not a.inline for a in m.attachments),
    "inline": lambda m: any(a.inline for a in m.attachments),
    "reply_to": lambda m: m.reply_to,
    "headers": lambda m: m.headers,
    "alternatives": lambda m: m.alternatives,
    "amp_html": lambda m: m.amp_html is not None,
    "sender": lambda m: m.sender is not None,
    "return_path": lambda m: m.return_path is not None,
    "send_at": lambda m: m.send_at,
    "merge": lambda m: m.merge_data or m.merge_metadata or m.merge_headers,
    "provider_template": lambda m: m.provider_template,
    "require_tls": lambda m: m.delivery and m.delivery.require_tls,
    "tags": lambda m: m.tags,
    "metadata": lambda m: m.metadata,
    "tracking": lambda m: m.track_opens is not None or m.track_clicks is not None,
    "priority": lambda m: m.priority is not None,
    "message_id": lambda m: m.message_id is not None,
    "date": lambda m: m.date is not None,
    "idempotency_key": lambda m: m.idempotency_key is not None,
    "notify": lambda m: m.delivery and (m.delivery.notify or m.delivery.ret or m.delivery.envid),
    "deliver_by": lambda m: m.delivery and m.delivery.deliver_by_s is not None,
    "mt_priority": lambda m: m.delivery and m.delivery.mt_priority is not None,
    "provider_options": lambda m: m.provider_options,
}
# Every backend carries these. In most messages all other fields are blank, and nothing is to be asked about them: one
# comparison, a tenth of asking for each feature.
_BASIC = ("from_", "to", "cc", "bcc", "subject", "text", "html", "template", "context", "locale")
_further = operator.attrgetter(*[field.name for field in fields(Message) if field.name not in _BASIC])
_NOTHING_FURTHER = _further(Message())
_ADVISORY = frozenset(list(_USED)[list(_USED).index("tags") :])

# Feature -> the fields of a message without it. Those that an API has no field for need none.
_WITHOUT: dict[str, Callable[[Message], Mapping[str, Any]]] = {
    "attachments": lambda m: {"attachments": [a for a in m.attachments if a.inline]},
    "inline": lambda m: {"attachments": [a for a in m.attachments if not a.inline]},
    "reply_to": lambda m: {"reply_to": ()},
    "headers": lambda m: {"headers": ()},
    "alternatives": lambda m: {"alternatives": ()},
    "amp_html": lambda m: {"amp_html": None},
    "send_at": lambda m: {"send_at": None},
    "provider_template": lambda m: {"provider_template": None},
    "tags": lambda m: {"tags": ()},
    "metadata": lambda m: {"metadata": {}},
    "tracking": lambda m: {"track_opens": None, "track_clicks": None},
    "priority": lambda m: {"priority": None},
    "provider_options": lambda m: {"provider_options": {}},
}


def uses(message: Message, feature: str) -> bool:
    """Whether the message needs this feature, of :class:`Features`."""
    return bool(_USED[feature](message))


def left_out(message: Message | None, features: Features, backend: str, policy: Unsupported) -> tuple[str, ...]:
    """What the backend leaves out of the message, a line each, fit for ``receipt.notes``.

    Raises:
        UnsupportedFeature: It would leave out what the policy says must not be.
    """
    if policy not in POLICIES:
        raise ConfigError(f"unsupported={policy!r}: choose one of {', '.join(POLICIES)}")
    if message is None or _further(message) == _NOTHING_FURTHER:
        return ()
    return tuple(
        [
            noted(name, f"is not carried by {backend}", policy)
            for name, used in _USED.items()
            if not getattr(features, name) and used(message)
        ]
    )


def is_advice(feature: str) -> bool:
    """Whether a mail is complete without it, as the bar in :class:`Features` says."""
    return feature in _ADVISORY


def noted(feature: str, text: str, policy: Unsupported, *, is_advice: bool | None = None) -> str:
    """The note that says what is not carried.

    Args:
        feature: Of :class:`Features`, or finer: "names".
        text: What about it.
        is_advice: Whether a mail is complete without it; None: as its place in :class:`Features` says.

    Raises:
        UnsupportedFeature: The policy says that it must not be left out.
    """
    only_advice = feature in _ADVISORY if is_advice is None else is_advice
    if policy == "error" or (policy == "default" and not only_advice):
        raise UnsupportedFeature(text, field=feature)
    return f"{feature} {text}"


def carried(message: Message, features: Features) -> Message:
    """The message with only what the features carry; the same one if that is all of it."""
    if _further(message) == _NOTHING_FURTHER:
        return message
    for name, without in _WITHOUT.items():
        if not getattr(features, name) and _USED[name](message):
            message = message.with_(**without(message))
    return message
