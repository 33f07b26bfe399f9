"""What a message asks of a server's extensions beyond being carried: MAIL parameters, or why there is none.

DSN, DELIVERBY, FUTURERELEASE and MT-PRIORITY. What hangs on the mail's octets (8BITMIME, SMTPUTF8, SIZE), and
REQUIRETLS, without which a mail must not go at all, is :meth:`mailer.smtp.transaction.Transaction.fit`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from ..features import Unsupported, noted, uses
from ..message import Message
from .capabilities import Capabilities
from .command import xtext

__all__ = ["Parameters", "asked_of"]

#: MAIL parameters: keyword to value, None for a bare one.
Parameters = dict[str, str | None]

_LONGEST_HOLD_S = 999_999_999
"""RFC 4865 section 4: HOLDFOR has nine digits at most; no mail waits 31 years."""


def asked_of(
    offered: Capabilities, message: Message, *, now: datetime, policy: Unsupported
) -> tuple[Parameters, list[str]]:
    """Return the MAIL parameters for what the message asks, and a note for what is left out.

    Args:
        offered: What the server offers.
        message: Of its ``delivery`` and ``send_at``.
        now: With a time zone: a ``send_at`` that is not after it asks nothing more.
        policy: "default", "error" or "degrade" (:mod:`mailer.features`).

    Raises:
        UnsupportedFeature: The server cannot do it, and the policy says that it must not be left out.
    """
    parameters: Parameters = {}
    notes: list[str] = []
    for feature, keyword, made_for in _ASKED:
        if not uses(message, feature) or (feature == "send_at" and not _is_early(message, now)):
            continue
        said = made_for(message, offered, now) if offered.has(keyword) else f"{keyword} not offered"
        if isinstance(said, str):
            noted(feature, f"cannot be kept by this server: {said}", policy)  # raises, or
            notes.append(said)
        else:
            parameters |= said
    return parameters, notes


def _is_early(message: Message, now: datetime) -> bool:
    return message.send_at is not None and message.send_at > now


def _dsn(message: Message, offered: Capabilities, now: datetime) -> Parameters | str:
    """RET and ENVID (RFC 3461 sections 4.3 and 4.4). NOTIFY and ORCPT go with each RCPT."""
    options = message.delivery
    given = {} if options is None else {"RET": options.ret, "ENVID": options.envid}
    return {keyword: xtext(value) for keyword, value in given.items() if value}


def _by(message: Message, offered: Capabilities, now: datetime) -> Parameters | str:
    """RFC 2852 section 4. The server's minimum is for mode R: it cannot promise to return a mail sooner."""
    options, least = message.delivery, offered.least_deliver_by_s
    if options is None or options.deliver_by_s is None:
        return {}
    if options.deliver_by_mode == "R" and least is not None and options.deliver_by_s < least:
        return f"DELIVERBY not offered for less than {least} seconds"
    return {"BY": f"{options.deliver_by_s};{options.deliver_by_mode}"}


def _priority(message: Message, offered: Capabilities, now: datetime) -> Parameters | str:
    """RFC 6710 section 5."""
    options = message.delivery
    return {} if options is None else {"MT-PRIORITY": str(options.mt_priority)}


def _hold(message: Message, offered: Capabilities, now: datetime) -> Parameters | str:
    """RFC 4865 section 4: the moment, which no clock of ours shifts; how long, for a server that says no latest one."""
    send_at = message.send_at
    if send_at is None:
        return {}
    longest_s, latest = offered.longest_hold_s, offered.latest_release
    second = timedelta(seconds=1)
    wait_s = -((now - send_at) // second)  # rounded up: not before
    most_s = _LONGEST_HOLD_S if longest_s is None else min(longest_s, _LONGEST_HOLD_S)
    if wait_s > most_s:
        return f"FUTURERELEASE not offered for more than {most_s} seconds"
    if latest is not None and send_at > latest:
        return f"FUTURERELEASE not offered beyond {latest.isoformat()}"
    if latest is None and longest_s is not None:
        return {"HOLDFOR": str(wait_s)}
    until = send_at.astimezone(UTC)
    if until.microsecond:
        until = until.replace(microsecond=0) + second
    return {"HOLDUNTIL": until.strftime("%Y-%m-%dT%H:%M:%SZ")}


_Maker = Callable[[Message, Capabilities, datetime], Parameters | str]

#: Feature, the extension's keyword, and what makes its parameters, or says why it is none.
_ASKED: tuple[tuple[str, str, _Maker], ...] = (
    ("send_at", "FUTURERELEASE", _hold),
    ("notify", "DSN", _dsn),
    ("deliver_by", "DELIVERBY", _by),
    ("mt_priority", "MT-PRIORITY", _priority),
)
