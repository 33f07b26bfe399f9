"""What a backend can carry, as data, and what a message needs of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

from .errors import ConfigError, UnsupportedFeature
from .message import Message

__all__ = ["Features", "Unsupported", "left_out"]

#: What to do with what a backend cannot carry: "default" refuses what changes who gets what and when, and notes the
#: rest; "error" refuses everything; "degrade" notes everything.
Unsupported = str
POLICIES = ("default", "error", "degrade")


@dataclass(frozen=True, slots=True)
class Features:
    """What a backend carries of a message beyond addresses, subject, text and html. True means carried.

    ``merge`` is to merge by itself: elsewhere a message with merge fields becomes a mail for each recipient before.

    The first group decides who gets what, and when; the second is advice that a mail is complete without.
    """

    attachments: bool = True
    inline: bool = True
    reply_to: bool = True
    headers: bool = True
    alternatives: bool = True
    amp_html: bool = True
    return_path: bool = True
    send_at: bool = False
    merge: bool = False
    provider_template: bool = False
    require_tls: bool = False

    tags: bool = False
    metadata: bool = False
    tracking: bool = False
    priority: bool = True
    notify: bool = False
    deliver_by: bool = False
    mt_priority: bool = False
    provider_options: bool = False

    @classmethod
    def everything(cls) -> Features:
        """For backends that record rather than deliver, and for groups, whose members decide. None of them merges."""
        return cls(**{field.name: field.name != "merge" for field in fields(cls)})


# Feature -> whether the message uses it. Those behind the bar in Features are advisory.
_USED: dict[str, Callable[[Message], object]] = {
    "attachments": lambda m: any(not a.inline for a in m.attachments),
    "inline": lambda m: any(a.inline for a in m.attachments),
    "reply_to": lambda m: m.reply_to,
    "headers": lambda m: m.headers,
    "alternatives": lambda m: m.alternatives,
    "amp_html": lambda m: m.amp_html is not None,
    "return_path": lambda m: m.return_path is not None,
    "send_at": lambda m: m.send_at,
    "merge": lambda m: m.merge_data or m.merge_metadata or m.merge_headers,
    "provider_template": lambda m: m.provider_template,
    "require_tls": lambda m: m.delivery and m.delivery.require_tls,
    "tags": lambda m: m.tags,
    "metadata": lambda m: m.metadata,
    "tracking": lambda m: m.track_opens is not None or m.track_clicks is not None,
    "priority": lambda m: m.priority is not None,
    "notify": lambda m: m.delivery and (m.delivery.notify or m.delivery.ret or m.delivery.envid),
    "deliver_by": lambda m: m.delivery and m.delivery.deliver_by_s is not None,
    "mt_priority": lambda m: m.delivery and m.delivery.mt_priority is not None,
    "provider_options": lambda m: m.provider_options,
}
_ADVISORY = frozenset(list(_USED)[list(_USED).index("tags") :])


def left_out(message: Message | None, features: Features, backend: str, policy: Unsupported) -> tuple[str, ...]:
    """What the backend leaves out of the message, a line each, fit for ``receipt.notes``.

    Raises:
        UnsupportedFeature: It would leave out what the policy says must not be.
    """
    if policy not in POLICIES:
        raise ConfigError(f"unsupported={policy!r}: choose one of {', '.join(POLICIES)}")
    if message is None:
        return ()
    notes = []
    for name, used in _USED.items():
        if getattr(features, name) or not used(message):
            continue
        if policy == "error" or (policy == "default" and name not in _ADVISORY):
            raise UnsupportedFeature(f"is not carried by {backend}", field=name)
        notes.append(f"{name} is not carried by {backend}")
    return tuple(notes)
