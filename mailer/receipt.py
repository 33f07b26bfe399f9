"""The receipt: one honest outcome for each recipient, and what was tried to get it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from . import errors
from .address import Address
from .errors import DeliveryDeferred, DeliveryError, DeliveryRefused, DeliveryUnknown, MailerError, Outcome
from .field import printable, reads_json
from .twin import twin_of
from .verdict import Scope

if TYPE_CHECKING:
    from .mail import Mail

__all__ = ["Attempt", "Receipt", "RecipientResult", "attempt_of", "result_of"]

# None accepted: the first of these outcomes that occurs names the error.
_ERROR_OF: tuple[tuple[Outcome, type[DeliveryError]], ...] = (
    (Outcome.UNKNOWN, DeliveryUnknown),
    (Outcome.DEFERRED, DeliveryDeferred),
    (Outcome.REJECTED, DeliveryRefused),
)


@dataclass(frozen=True, slots=True)
class RecipientResult:
    """What became of the mail for one recipient.

    Attributes:
        address: The recipient.
        outcome: What to do.
        code: The SMTP reply or HTTP status code that decided it (200-599), or None if none came.
        enhanced_code: The enhanced status code of that reply ("5.1.1", RFC 3463), or None.
        text: The peer's words, or ours; one line, control characters escaped. For people only.
        retry_after_s: Seconds the peer asked us to wait, or None.
        provider_id: The id the next hop gave (queue id, provider's message id), or None.
        scope: What the outcome is about, which decides when to try again; None if the backend did not say. Not
            compared.
        remote_mta: The host that answered, or was tried last ("mx1.example.org"), where the backend chose among
            several; else None.
        tls: How the way to that host was protected: "dane", "mta-sts" and "verified" say by what its certificate was
            checked, "unverified" that it was not, "none" that there was no TLS; None if it did not come to that, or
            the backend does not say.
    """

    address: Address
    outcome: Outcome
    code: int | None = None
    enhanced_code: str | None = None
    text: str = ""
    retry_after_s: float | None = None
    provider_id: str | None = None
    scope: Scope | None = field(default=None, compare=False)
    remote_mta: str | None = None
    tls: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.outcome, Outcome):
            raise TypeError(f"outcome must be an Outcome, not {self.outcome!r}")
        if self.code is not None and not 200 <= self.code <= 599:
            raise ValueError(f"code {self.code} is outside 200-599")
        if self.retry_after_s is not None and not isinstance(self.retry_after_s, (int, float)):
            raise TypeError(f"retry_after_s must be a number of seconds, not {type(self.retry_after_s).__name__}")
        if not self.text.isprintable():  # whoever wrote it, a terminal or a log is to show it
            object.__setattr__(self, "text", printable(self.text))

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it; the outcome in lower case."""
        return {
            "address": self.address.to_dict(),
            "outcome": self.outcome.value,
            "code": self.code,
            "enhanced_code": self.enhanced_code,
            "text": self.text,
            "retry_after_s": self.retry_after_s,
            "provider_id": self.provider_id,
            "scope": None if self.scope is None else self.scope.value,
            "remote_mta": self.remote_mta,
            "tls": self.tls,
        }

    @classmethod
    @reads_json
    def from_dict(cls, data: Mapping[str, Any]) -> RecipientResult:
        """Read back what :meth:`to_dict` gave; unknown keys are ignored, wrong values raise :class:`MessageError`."""
        return cls(
            address=Address.from_dict(data["address"]),
            outcome=Outcome(data["outcome"]),
            code=data.get("code"),
            enhanced_code=data.get("enhanced_code"),
            text=data.get("text", ""),
            retry_after_s=data.get("retry_after_s"),
            provider_id=data.get("provider_id"),
            scope=None if data.get("scope") is None else Scope(data["scope"]),
            remote_mta=data.get("remote_mta"),
            tls=data.get("tls"),
        )


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of one backend.

    Attributes:
        backend: The backend's URL, secrets masked.
        started_at: When it began, with a time zone.
        duration_s: How long it took, in seconds.
        outcomes: How many recipients got each outcome.
        cause: What went wrong, or None. Not compared.
        timings: Where the time went: phase to seconds, of "resolve", "connect", "greeting", "ehlo", "tls", "auth" (of a
            connection that was opened for this mail), "envelope", "data" and "final" (waiting for the answer to the
            data). What goes in one write counts as "envelope". Empty where the backend does not say.
        transcript: What was said, if that was asked for (``transcript=yes``): ``+0.012 C: MAIL FROM:<a@x.test>``, the
            seconds since it began, C for us and S for the peer. No credentials; of the mail its size.
    """

    backend: str
    started_at: datetime
    duration_s: float
    outcomes: Mapping[Outcome, int]
    cause: MailerError | None = field(default=None, compare=False)
    timings: Mapping[str, float] = field(default_factory=dict)
    transcript: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it; the time in RFC 3339, the cause as its class name and text."""
        cause = self.cause
        return {
            "backend": self.backend,
            "started_at": self.started_at.isoformat(),
            "duration_s": self.duration_s,
            "outcomes": {outcome.value: count for outcome, count in self.outcomes.items()},
            "cause": None if cause is None else {"type": type(cause).__name__, "text": str(cause)},
            "timings": dict(self.timings),
            "transcript": list(self.transcript),
        }

    @classmethod
    @reads_json
    def from_dict(cls, data: Mapping[str, Any]) -> Attempt:
        """Read back what :meth:`to_dict` gave; a cause of an unknown class becomes a :class:`MailerError`."""
        return cls(
            backend=data["backend"],
            started_at=datetime.fromisoformat(data["started_at"]),
            duration_s=data["duration_s"],
            outcomes={Outcome(word): count for word, count in data.get("outcomes", {}).items()},
            cause=_cause_from(data.get("cause")),
            timings={str(phase): float(seconds) for phase, seconds in data.get("timings", {}).items()},
            transcript=tuple(map(str, data.get("transcript", ()))),
        )


def _cause_from(data: Mapping[str, str] | None) -> MailerError | None:
    if data is None:
        return None
    cls = getattr(errors, data.get("type", ""), MailerError)
    known = isinstance(cls, type) and issubclass(cls, MailerError) and not issubclass(cls, DeliveryError)
    return (cls if known else MailerError)(data.get("text", ""))


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a backend did with one mail.

    Attributes:
        id: The mail's id, the same on every try; "" if it never became a mail.
        backend: The URL of the backend that carried it, secrets masked.
        results: One for each recipient of the envelope, in its order.
        attempts: What was tried, oldest first.
        notes: What the backend could not carry and left out, a line each.
        skipped: Why it was not sent at all, if a filter decided so, or a plug-in that stands before the backend: then
            the results are those of the mail that it names. Else None.
        error: Why it could not be composed (``send_many`` only); else None. Not compared.
        message_index: Its place in ``send_many``'s input, from 0; else None.
    """

    id: str
    backend: str = ""
    results: tuple[RecipientResult, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    notes: tuple[str, ...] = ()
    skipped: str | None = None
    error: MailerError | None = field(default=None, compare=False)
    message_index: int | None = None

    @classmethod
    def for_all(
        cls,
        mail: Mail,
        outcome: Outcome,
        *,
        code: int | None = None,
        enhanced_code: str | None = None,
        text: str = "",
        retry_after_s: float | None = None,
        provider_id: str | None = None,
        scope: Scope | None = None,
        backend: str = "",
        notes: Iterable[str] = (),
    ) -> Receipt:
        """A receipt that says the same for every recipient of the mail."""
        return cls(
            id=mail.id,
            backend=backend,
            results=tuple(
                RecipientResult(address, outcome, code, enhanced_code, text, retry_after_s, provider_id, scope)
                for address in mail.envelope.recipients
            ),
            notes=tuple(notes),
        )

    def _with_outcome(self, outcome: Outcome) -> tuple[RecipientResult, ...]:
        return tuple([result for result in self.results if result.outcome is outcome])

    @property
    def accepted(self) -> tuple[RecipientResult, ...]:
        """The results that are ACCEPTED."""
        return self._with_outcome(Outcome.ACCEPTED)

    @property
    def deferred(self) -> tuple[RecipientResult, ...]:
        """The results that are DEFERRED."""
        return self._with_outcome(Outcome.DEFERRED)

    @property
    def rejected(self) -> tuple[RecipientResult, ...]:
        """The results that are REJECTED."""
        return self._with_outcome(Outcome.REJECTED)

    @property
    def unknown(self) -> tuple[RecipientResult, ...]:
        """The results that are UNKNOWN."""
        return self._with_outcome(Outcome.UNKNOWN)

    @property
    def ok(self) -> bool:
        """Whether there are recipients and every one of them is ACCEPTED."""
        return bool(self.results) and all([result.outcome is Outcome.ACCEPTED for result in self.results])

    @property
    def provider_ids(self) -> tuple[str, ...]:
        """The ids that the next hop gave, each once, in the order of the recipients."""
        return tuple(dict.fromkeys(r.provider_id for r in self.results if r.provider_id is not None))

    @property
    def timings(self) -> dict[str, float]:
        """Where the time went: the phases of all attempts, in seconds, added up."""
        total: dict[str, float] = {}
        for attempt in self.attempts:
            for phase, seconds in attempt.timings.items():
                total[phase] = total.get(phase, 0.0) + seconds
        return total

    @property
    def transcript(self) -> tuple[str, ...]:
        """What was said in all attempts, if that was asked for; each counts its seconds anew."""
        return tuple([line for attempt in self.attempts for line in attempt.transcript])

    @property
    def cause(self) -> MailerError | None:
        """What went wrong last, of :attr:`error` and the attempts' causes; None if nothing did."""
        return self.error or next((a.cause for a in reversed(self.attempts) if a.cause is not None), None)

    def with_(self, **changes: Any) -> Receipt:
        """A copy with other values for the fields named."""
        copy = _Twin()
        copy.id = self.id
        copy.backend = self.backend
        copy.results = self.results
        copy.attempts = self.attempts
        copy.notes = self.notes
        copy.skipped = self.skipped
        copy.error = self.error
        copy.message_index = self.message_index
        try:
            for name, value in changes.items():
                setattr(copy, name, value)
        except AttributeError:
            raise TypeError(f"Receipt has no field {name!r}") from None
        copy.__class__ = Receipt
        return copy  # type: ignore[no-any-return]  # it has become one

    def raise_for_rejected(self) -> Receipt:
        """Return self, or raise :class:`DeliveryRefused` if any recipient is REJECTED."""
        if self.rejected:
            raise DeliveryRefused(self._said(self.rejected), self) from self.cause
        return self

    def raise_unless_ok(self) -> Receipt:
        """Return self, or raise the :class:`DeliveryError` of the worst outcome (unknown, deferred, refused).

        Raises:
            MailerError: :attr:`error` itself, if the mail could not be composed.
        """
        if self.error is not None:
            raise self.error
        if self.ok or self.skipped is not None:
            return self
        for outcome, error in _ERROR_OF:
            if results := self._with_outcome(outcome):
                raise error(self._said(results), self) from self.cause
        raise DeliveryRefused("the receipt names no recipient", self)

    def raise_if_none_accepted(self) -> Receipt:
        """Return self, or, if not one recipient accepted, raise as :meth:`raise_unless_ok` does. So does ``send``."""
        return self if self.accepted else self.raise_unless_ok()

    def _said(self, results: tuple[RecipientResult, ...]) -> str:
        first = results[0]
        said = " ".join(str(part) for part in (first.code, first.enhanced_code, first.text) if part)
        more = f" (and {len(results) - 1} more)" if len(results) > 1 else ""
        by = f" by {self.backend}" if self.backend else ""
        return f"{first.outcome.value}{by}: {first.address.addr_spec}{more}: {said or 'no reason given'}"

    def delivery_status(self, reporting_mta: str = "") -> str:
        """What a delivery status notification says of it (RFC 3464); see :func:`mailer.dsn.delivery_status`."""
        from .dsn import delivery_status

        return delivery_status(self, reporting_mta)

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "id": self.id,
            "backend": self.backend,
            "results": [result.to_dict() for result in self.results],
            "attempts": [attempt.to_dict() for attempt in self.attempts],
            "notes": list(self.notes),
            "skipped": self.skipped,
            "error": None if self.error is None else {"type": type(self.error).__name__, "text": str(self.error)},
            "message_index": self.message_index,
        }

    __json__ = to_dict  # for Celery's encoder, and others that ask for it

    @classmethod
    @reads_json
    def from_dict(cls, data: Mapping[str, Any]) -> Receipt:
        """Read back what :meth:`to_dict` gave; unknown keys are ignored, wrong values raise :class:`MessageError`."""
        return cls(
            id=data["id"],
            backend=data.get("backend", ""),
            results=tuple(RecipientResult.from_dict(r) for r in data.get("results", ())),
            attempts=tuple(Attempt.from_dict(a) for a in data.get("attempts", ())),
            notes=tuple(data.get("notes", ())),
            skipped=data.get("skipped"),
            error=_cause_from(data.get("error")),
            message_index=data.get("message_index"),
        )


_Twin = twin_of(Receipt)
_AttemptTwin = twin_of(Attempt)
_ResultTwin = twin_of(RecipientResult)


def result_of(
    address: Address,
    outcome: Outcome,
    code: int,
    enhanced_code: str | None,
    text: str,
    provider_id: str | None,
    scope: Scope,
) -> RecipientResult:
    """The result that a reply gives, whose code and text have been checked: one is made for each recipient."""
    made = _ResultTwin()
    made.address = address
    made.outcome = outcome
    made.code = code
    made.enhanced_code = enhanced_code
    made.text = text
    made.retry_after_s = None
    made.provider_id = provider_id
    made.scope = scope
    made.remote_mta = None
    made.tls = None
    made.__class__ = RecipientResult
    return made  # type: ignore[no-any-return]  # it has become one


def attempt_of(
    backend: str,
    started_at: datetime,
    duration_s: float,
    outcomes: Mapping[Outcome, int],
    cause: MailerError | None,
    timings: Mapping[str, float],
    transcript: tuple[str, ...],
) -> Attempt:
    """An attempt, as its constructor makes it: two are made for each mail."""
    made = _AttemptTwin()
    made.backend = backend
    made.started_at = started_at
    made.duration_s = duration_s
    made.outcomes = outcomes
    made.cause = cause
    made.timings = timings
    made.transcript = transcript
    made.__class__ = Attempt
    return made  # type: ignore[no-any-return]  # it has become one
