"""What an HTTP status means for a mail, in one table. A provider's exceptions stand in its own file."""

from __future__ import annotations

from typing import NamedTuple

from ..errors import AuthError, ConfigError, MailerError, Outcome
from ..verdict import Scope

__all__ = ["ACCOUNT", "DEFERRED", "REJECTED", "SETTINGS", "UNKNOWN", "Meaning", "meaning_of"]


class Meaning(NamedTuple):
    """What an answer means.

    Attributes:
        outcome: For everyone whom the answer is about.
        scope: What else it is about, which decides when to try again.
        cause: The error that stands behind it on the receipt, or None: the answer is about the mail or the moment.
    """

    outcome: Outcome
    scope: Scope
    cause: type[MailerError] | None = None


DEFERRED = Meaning(Outcome.DEFERRED, Scope.HOST)
REJECTED = Meaning(Outcome.REJECTED, Scope.MESSAGE)
UNKNOWN = Meaning(Outcome.UNKNOWN, Scope.MESSAGE)
#: The credentials, or what the account may do.
ACCOUNT = Meaning(Outcome.DEFERRED, Scope.ACCOUNT, AuthError)
#: The URL or the account's settings: the mail is not at fault.
SETTINGS = Meaning(Outcome.DEFERRED, Scope.ACCOUNT, ConfigError)

_STATUS = {
    401: ACCOUNT,
    403: ACCOUNT,
    407: SETTINGS,  # a proxy on the way
    # RFC 9110 section 15.5.9, 15.5.20, RFC 8470 section 5.2: not acted upon, and to be sent again.
    408: DEFERRED,
    421: DEFERRED,
    425: DEFERRED,
    429: DEFERRED,
    500: DEFERRED,
    503: DEFERRED,
    # A gateway did not hear the provider's answer.
    502: UNKNOWN,
    504: UNKNOWN,
}
_CLASS = {
    3: SETTINGS,  # a redirect is never followed: it would carry credentials elsewhere (RFC 9110 section 15.4)
    4: REJECTED,
}


def meaning_of(status: int) -> Meaning:
    """The meaning of a status that is no success. What the tables do not know says nothing about the mail."""
    return _STATUS.get(status) or _CLASS.get(status // 100, UNKNOWN)
