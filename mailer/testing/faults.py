"""What a test's outbox answers otherwise than a backend that is well: any outcome, for whom, how often."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from types import NoneType

from ..address import Address
from ..errors import DeliveryError, MailerError, Outcome
from ..receipt import RecipientResult
from ..verdict import VERDICTS, Scope, event_of
from .expectation import OneMailbox, check_mailbox, fits_mailbox

__all__ = ["OutboxFault"]

_USUAL: dict[Outcome, tuple[int | None, str | None, str]] = {
    Outcome.ACCEPTED: (250, None, "ok"),
    Outcome.DEFERRED: (451, "4.3.0", "try again later"),
    Outcome.REJECTED: (550, "5.1.1", "no such user"),
    Outcome.UNKNOWN: (None, None, "the answer was lost"),
}
_CODES = {Outcome.ACCEPTED: range(200, 300), Outcome.DEFERRED: range(400, 600), Outcome.REJECTED: range(400, 600)}
_KINDS: dict[str, tuple[type, ...]] = {
    "backend": (str,),
    "times": (int, NoneType),
    "code": (int, NoneType),
    "enhanced_code": (str, NoneType),
    "text": (str,),
    "retry_after_s": (int, float, NoneType),
    "scope": (Scope, NoneType),
}


@dataclass(slots=True, kw_only=True, eq=False)
class OutboxFault:
    """An answer that an outbox was asked for.

    Attributes:
        outcome: What becomes of whom it is for.
        cause: What went wrong, as on the attempt; None where there was an answer.
        to: For whom.
        backend: For what is meant for a backend of this URL; ``*`` stands for any text.
        times: For how many mails more; None: for all.
        times_met: For how many it was so far.
    """

    outcome: Outcome
    cause: MailerError | None = None
    to: OneMailbox = "*"
    backend: str = "*"
    times: int | None = None
    code: int | None = None
    enhanced_code: str | None = None
    text: str = ""
    retry_after_s: float | None = None
    scope: Scope | None = None
    times_met: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        check_mailbox("to", self.to)
        for name, kinds in _KINDS.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, kinds):
                raise TypeError(f"{name}={value!r}: must not be {type(value).__name__}")
        if self.times is not None and self.times < 1:
            raise ValueError(f"times={self.times!r}: must be 1 or more, or None for always")
        if self.code is not None and self.code not in _CODES.get(self.outcome, ()):
            raise ValueError(f"code={self.code}: no answer with it means {self.outcome.name}")
        if self.retry_after_s is not None and self.outcome is not Outcome.DEFERRED:
            raise ValueError(f"retry_after_s is for DEFERRED, not for {self.outcome.name}")
        if self.retry_after_s is not None and not 0 <= self.retry_after_s < math.inf:
            raise ValueError(f"retry_after_s={self.retry_after_s}: must be a number of seconds, 0 or more")
        if self.enhanced_code is not None and not re.fullmatch(r"[245](\.\d{1,3}){2}", self.enhanced_code):
            raise ValueError(f"enhanced_code={self.enhanced_code!r}: must be like '5.1.1'")

    @classmethod
    def of(cls, what: Outcome | MailerError | type[MailerError], *, text: str = "", **options: object) -> OutboxFault:
        """The fault that an outcome, or an error with the outcome that every backend gives it, stands for.

        Raises:
            TypeError: It is neither.
        """
        if isinstance(what, Outcome):
            code, enhanced_code, said = _USUAL[what]
            if options.get("code") is None:
                options["code"] = code
                options["enhanced_code"] = options.get("enhanced_code") or enhanced_code
            return cls(outcome=what, text=text or said, **options)  # type: ignore[arg-type]  # the dataclass checks them
        if isinstance(what, type) and issubclass(what, MailerError) and not issubclass(what, DeliveryError):
            what = what(text or "as the test wants it")
        if not isinstance(what, MailerError) or isinstance(what, DeliveryError):
            said = what.__name__ if isinstance(what, type) else type(what).__name__
            raise TypeError(
                f"an outbox fails with an Outcome, or with what a backend raises (ConnectError, TlsError, AuthError,"
                f" DeadlineExceeded ...), not with {said}"
            )
        verdict = VERDICTS[event_of(what, "answer lost")]
        options.setdefault("scope", None)
        options["scope"] = options["scope"] or verdict.scope
        return cls(outcome=verdict.outcome, cause=what, text=text or str(what), **options)  # type: ignore[arg-type]  # as above

    @property
    def is_over(self) -> bool:
        """It was for as many mails as it was to be."""
        return self.times is not None and self.times_met >= self.times

    def is_for(self, recipient: Address) -> bool:
        """Whether it is this one's answer."""
        return fits_mailbox(self.to, recipient)

    def result(self, recipient: Address) -> RecipientResult:
        """What becomes of a recipient."""
        return RecipientResult(
            recipient, self.outcome, self.code, self.enhanced_code, self.text, self.retry_after_s, scope=self.scope
        )
