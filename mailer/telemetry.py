"""What is measured of a mail, and what it is called: for the plug-ins ``metrics`` and ``otel``, and in one place.

OpenTelemetry has no convention for mail. Where it has one for what is said (``server.address``, ``error.type``), that
is taken; ``email.*`` are names of the Elastic Common Schema, as semantic-conventions#927 proposes; the rest begins
with ``mailer.``. No name here is of a recipient, a subject or a secret but those in ``DETAILS``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from urllib.parse import urlsplit

from .errors import Outcome
from .hookspecs import Context
from .receipt import Attempt, Receipt

__all__ = ["Endpoint", "Metric", "Sent", "worst"]

# --- spans and their attributes ---------------------------------------------------------------------------------------

SCOPE = "mailer"
SPAN_SEND = "mail send"
SPAN_ATTEMPT = "mail attempt"

MAIL_ID = "mailer.mail.id"
BACKEND = "mailer.backend"
SCHEME = "url.scheme"
HOST = "server.address"
PORT = "server.port"
ERROR_TYPE = "error.type"
STATUS_CODE = "mailer.reply.code"
RECIPIENTS = "mailer.recipients"
SIZE = "mailer.mail.size"
ATTEMPTS = "mailer.attempts"
OUTCOME = "mailer.outcome"
#: Outcome to the attribute with its count.
COUNTS = {outcome: f"mailer.recipients.{outcome.value}" for outcome in Outcome}
#: Only where they are asked for.
DETAILS = {"from": "email.from.address", "to": "email.to.address", "subject": "email.subject"}
PROVIDER = "mailer.provider"
KIND = "mailer.event"
REASON = "mailer.reason"

# --- metrics ----------------------------------------------------------------------------------------------------------


class Metric(NamedTuple):
    """A metric.

    Attributes:
        name: As OpenTelemetry has it; with "_" for "." and the unit behind it, as Prometheus has it.
        unit: In UCUM.
        labels: Attributes of OpenTelemetry; behind the last dot is Prometheus' label.
        text: What it is.
    """

    name: str
    unit: str
    labels: tuple[str, ...]
    text: str


M_RECIPIENTS = Metric("mailer.recipients", "{recipient}", (BACKEND, OUTCOME), "Recipients, by what became of the mail")
M_DURATION = Metric("mailer.send.duration", "s", (BACKEND, OUTCOME), "From the first attempt's begin to the last's end")
M_SIZE = Metric("mailer.mail.size", "By", (BACKEND,), "Octets of a mail")
M_ATTEMPTS = Metric("mailer.attempts", "{attempt}", (BACKEND, ERROR_TYPE), "Attempts of a backend, by error")
M_UNSENT = Metric("mailer.unsent", "{mail}", (REASON, ERROR_TYPE), "Mails that no backend was given")
M_EVENTS = Metric("mailer.events", "{event}", (PROVIDER, KIND), "Events that providers told by webhooks")
METRICS = (M_RECIPIENTS, M_DURATION, M_SIZE, M_ATTEMPTS, M_UNSENT, M_EVENTS)
#: Bounds of histograms.
DURATIONS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0)
SIZES_BYTES = (1_000.0, 4_000.0, 16_000.0, 64_000.0, 256_000.0, 1_000_000.0, 4_000_000.0, 16_000_000.0)

# --- what is measured -------------------------------------------------------------------------------------------------

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+._-]*)[:(]", re.ASCII)


class Endpoint(NamedTuple):
    """Where a backend's URL leads: no user, no path, no option of it.

    Attributes:
        scheme: "smtp", "postmark", "failover"; "other" for one without a URL.
        host: "" where there is none, and for a provider's own.
        port: None where the URL has none.
    """

    scheme: str
    host: str = ""
    port: int | None = None

    @classmethod
    def of(cls, url: str) -> Endpoint:
        """Read it off a backend's URL, as the backend prints itself."""
        found = _SCHEME.match(url)
        scheme = found[1].lower() if found else "other"
        if found is None or url[found.end() - 1] == "(":
            return cls(scheme)
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            return cls(scheme)
        return cls(scheme) if host == "default" else cls(scheme, host, port)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port is None else f":{self.port}"
        return f"{self.scheme}://{host}{port}" if host else self.scheme


def worst(receipt: Receipt) -> Outcome:
    """The outcome that a mail is counted by: UNKNOWN, REJECTED, DEFERRED, and ACCEPTED if it is everybody's."""
    outcomes = {result.outcome for result in receipt.results}
    order = (Outcome.UNKNOWN, Outcome.REJECTED, Outcome.DEFERRED)
    return next((outcome for outcome in order if outcome in outcomes), Outcome.ACCEPTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A mail that was carried, measured.

    Attributes:
        backend: Of the mailer, or the group.
        outcome: The worst.
        outcomes: How many recipients had each.
        size_bytes: The mail's, about.
        attempts: What was tried.
        began_at: When the first of them began; None without any.
        duration_s: From there to the end of the last.
        codes: The reply codes of those who did not get it, each once.
    """

    backend: Endpoint
    outcome: Outcome
    outcomes: Counter[Outcome]
    size_bytes: int
    attempts: tuple[Attempt, ...]
    began_at: datetime | None
    duration_s: float
    codes: tuple[int, ...]

    @classmethod
    def of(cls, context: Context) -> Sent:
        """What a result action tells."""
        receipt, mail = context.receipt, context.mail
        assert receipt is not None  # noqa: S101 - for type checkers
        attempts = receipt.attempts
        began_at = min([one.started_at for one in attempts], default=None)
        ends = [one.started_at + timedelta(seconds=one.duration_s) for one in attempts]
        bad = [result.code for result in receipt.results if result.outcome is not Outcome.ACCEPTED]
        return cls(
            backend=Endpoint.of(receipt.backend),
            outcome=worst(receipt),
            outcomes=Counter([result.outcome for result in receipt.results]),
            size_bytes=mail.content.about_bytes if mail else 0,
            attempts=attempts,
            began_at=began_at,
            duration_s=(max(ends) - began_at).total_seconds() if began_at else 0.0,
            codes=tuple(dict.fromkeys([code for code in bad if code is not None])),
        )

    def measured(self) -> Iterator[tuple[Metric, float, tuple[str, ...]]]:
        """Its metrics: each with a value, and the values of its labels."""
        backend = str(self.backend)
        for outcome, count in self.outcomes.items():
            yield M_RECIPIENTS, count, (backend, outcome.value)
        yield M_DURATION, self.duration_s, (backend, self.outcome.value)
        yield M_SIZE, self.size_bytes, (backend,)
        for attempt in self.attempts:
            yield M_ATTEMPTS, 1, (str(Endpoint.of(attempt.backend)), error_type(attempt))


def error_type(attempt: Attempt) -> str:
    """The class of what went wrong, or ""."""
    return "" if attempt.cause is None else type(attempt.cause).__name__
