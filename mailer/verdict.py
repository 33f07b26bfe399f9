"""Verdicts: what an event on a mail's way means, for whom, and what is to be done next. One table for all backends.

The event gives an outcome and its scope; outcome and scope give the next step. Code that retries reads those two off
the receipt and never a text. The reasons stand in ``docs/explain/outcomes.md``.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from .errors import AuthError, ConfigError, ConnectError, MessageError, Outcome, TlsError, TransportError

__all__ = ["VERDICTS", "NextStep", "Scope", "Verdict", "event_of", "next_step", "verdict_of_reply"]


class Scope(enum.Enum):
    """What an outcome is about, and so what else it concerns."""

    RECIPIENT = "recipient"
    """This mailbox."""
    DOMAIN = "domain"
    """Every mailbox of this domain."""
    MESSAGE = "message"
    """This mail; others to the same host go on."""
    SESSION = "session"
    """This connection; another to the same host may do."""
    HOST = "host"
    """The next hop, whatever the mail."""
    ACCOUNT = "account"
    """Our settings or login there; nothing changes until somebody sees to it."""


class NextStep(enum.Enum):
    """What to do about an outcome."""

    DONE = "done"
    AGAIN = "again"
    """Try again, within seconds if there is time."""
    LATER = "later"
    """Try again in minutes: greylisting and full mailboxes take no less."""
    PAUSE = "pause"
    """Keep the mail, and leave the account alone until somebody has seen to it."""
    NEVER = "never"
    ASK = "ask"
    """Sending again may duplicate: only if that is wanted."""


class Verdict(NamedTuple):
    """What an event means.

    Attributes:
        outcome: For each recipient in the scope that is not settled yet.
        scope: What it is about.
    """

    outcome: Outcome
    scope: Scope

    @property
    def next_step(self) -> NextStep:
        """What to do now."""
        return next_step(self.outcome, self.scope)


_A, _D, _R, _U = Outcome.ACCEPTED, Outcome.DEFERRED, Outcome.REJECTED, Outcome.UNKNOWN

VERDICTS: dict[str, Verdict] = {
    # The recipient's domain (mx)
    "domain does not exist": Verdict(_R, Scope.DOMAIN),
    "domain takes no mail": Verdict(_R, Scope.DOMAIN),
    "mail loops": Verdict(_R, Scope.DOMAIN),
    "name server failed": Verdict(_D, Scope.DOMAIN),
    "host not allowed": Verdict(_D, Scope.DOMAIN),  # by the domain's own MTA-STS policy
    # The connection
    "no connection": Verdict(_D, Scope.HOST),
    "greeting 4xx": Verdict(_D, Scope.HOST),
    "greeting 5xx": Verdict(_D, Scope.ACCOUNT),  # of a server of our choice: a block, a wrong host
    "EHLO and HELO 5xx": Verdict(_R, Scope.HOST),
    "no TLS": Verdict(_D, Scope.ACCOUNT),
    # Before the dot; so are 421 to anything, the time being over, and EHLO and HELO 4xx.
    "connection lost": Verdict(_D, Scope.HOST),
    "reply malformed": Verdict(_D, Scope.SESSION),
    "cut short": Verdict(_D, Scope.MESSAGE),  # by cancellation, or by content that cannot be read
    # The account
    "AUTH refused": Verdict(_D, Scope.ACCOUNT),  # and MAIL 530, 534, 535, 538
    "settings wrong": Verdict(_D, Scope.ACCOUNT),
    # The transaction
    "MAIL 4xx": Verdict(_D, Scope.MESSAGE),
    "MAIL 5xx": Verdict(_R, Scope.MESSAGE),
    "RCPT 4xx": Verdict(_D, Scope.RECIPIENT),
    "RCPT 5xx": Verdict(_R, Scope.RECIPIENT),
    "DATA 4xx": Verdict(_D, Scope.MESSAGE),
    "DATA 5xx": Verdict(_R, Scope.MESSAGE),
    "dot 4xx": Verdict(_D, Scope.MESSAGE),
    "dot 5xx": Verdict(_R, Scope.MESSAGE),
    "answer lost": Verdict(_U, Scope.MESSAGE),  # anything but a reply, after the dot
    # The message
    "not carried here": Verdict(_R, Scope.MESSAGE),  # SIZE, SMTPUTF8, REQUIRETLS, a signed 8-bit part; not composable
}

_NEXT_AFTER_DEFERRED = {
    Scope.RECIPIENT: NextStep.LATER,
    Scope.DOMAIN: NextStep.AGAIN,
    Scope.MESSAGE: NextStep.AGAIN,
    Scope.SESSION: NextStep.AGAIN,
    Scope.HOST: NextStep.AGAIN,
    Scope.ACCOUNT: NextStep.PAUSE,
    None: NextStep.AGAIN,
}
_NEXT = {_A: NextStep.DONE, _R: NextStep.NEVER, _U: NextStep.ASK}

# The first that fits.
_EVENT_OF: tuple[tuple[type[Exception], str], ...] = (
    (ConfigError, "settings wrong"),
    (AuthError, "AUTH refused"),
    (TlsError, "no TLS"),
    (ConnectError, "no connection"),
    (TransportError, "connection lost"),
    (MessageError, "not carried here"),
)


def next_step(outcome: Outcome, scope: Scope | None) -> NextStep:
    """What to do about an outcome; a DEFERRED of unknown scope (None) may be tried again."""
    return _NEXT.get(outcome) or _NEXT_AFTER_DEFERRED[scope]


def event_of(error: BaseException | None, otherwise: str) -> str:
    """The event that an error is.

    Args:
        error: One of ours that ended an attempt.
        otherwise: The event where the class does not tell; it depends on whether the mail had been handed over.
    """
    for kind, event in _EVENT_OF:
        if isinstance(error, kind):
            reply = getattr(error, "reply", None)
            return event if kind is not ConnectError or reply is None else f"greeting {reply.code // 100}xx"
    return otherwise


def verdict_of_reply(step: str, code: int) -> Verdict:
    """What a negative reply means, by its first digit (RFC 5321 section 4.2.1).

    Args:
        step: "MAIL", "RCPT", "DATA" or "dot".
        code: 400 to 599.
    """
    return VERDICTS[f"{step} {code // 100}xx"]
