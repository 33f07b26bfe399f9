"""The backend: carries a mail, returns a receipt. And the one place where carrying is timed, checked and settled."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from ..clock import utc_now
from ..errors import ConfigError, MailerError, Outcome, UnsupportedFeature
from ..features import Features, Limits, Unsupported, left_out, noted
from ..log import ATTEMPT, SENDING, counts
from ..mail import Mail
from ..receipt import Receipt, RecipientResult, attempt_of
from ..redaction import Unpickled, words_of
from ..verdict import VERDICTS, Scope, Verdict, event_of
from .caught import catchers

if TYPE_CHECKING:
    from ..oauth2.token import TokenSource
    from ..runtime import Runtime

__all__ = ["Backend", "Health", "called", "carry", "carry_many", "examine"]


@dataclass(frozen=True, slots=True)
class Health:
    """What ``check`` found.

    Attributes:
        ok: Whether a mail could be sent now, as far as can be told without sending one.
        backend: The backend's URL, secrets masked.
        facts: What it offers or is set to, in the order to show.
        cause: What is wrong, if it is not ok.
        transcript: What was said to find it out, if that was asked for; as on receipts.
    """

    ok: bool
    backend: str
    facts: Mapping[str, str] = field(default_factory=dict)
    cause: MailerError | None = field(default=None, compare=False)
    transcript: tuple[str, ...] = ()

    def raise_unless_ok(self) -> Health:
        """Return self, or raise the cause."""
        if not self.ok:
            raise self.cause or MailerError(f"{self.backend} is not well")
        return self

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        cause = None if self.cause is None else {"type": type(self.cause).__name__, "text": str(self.cause)}
        return {
            "ok": self.ok,
            "backend": self.backend,
            "facts": dict(self.facts),
            "cause": cause,
            "transcript": list(self.transcript),
        }


#: Feature that a backend lacks -> the header field that is then another's.
_REWRITTEN = {"message_id": "message-id", "date": "date"}


class Backend(Unpickled):
    """Carries mails. Subclass it and write ``send``, plain or async; everything else has a default.

    Attributes:
        features: What it can carry; what a message needs beyond that is refused or noted before ``send`` is called.
        limits: How much.
        url: How it prints itself, secrets masked.
        batch_size: How many mails one call of ``send_many`` takes at most; 1 if it has none.
        runtime: The mailer's, once there is one. All waiting goes through it.
        transcript: Receipts and errors are to have what was said, where it says anything.
        raw_remedy: What an error says beside that ready-made mail is not carried, where something would carry it.
        has_stand_in: Another member of a group carries what it defers: it is not to keep a mail waiting for long.
        passes_on: It carries nothing itself: each mail goes to another backend through :func:`carry_many`.
        keeps_in_process: Nothing that it is given leaves the process.
    """

    features: Features = Features()
    limits: Limits = Limits()
    url: str = ""
    batch_size: int = 1
    runtime: Runtime
    unsupported: Unsupported = "default"
    transcript: bool = False
    has_stand_in: bool = False
    is_group = False
    passes_on: bool = False
    keeps_in_process: bool = False
    raw_remedy: str = ""

    def attach(self, runtime: Runtime, unsupported: Unsupported = "default") -> None:
        """Bind to the runtime of the mailer that uses it; a mailer calls this once.

        Raises:
            ConfigError: It belongs to a mailer of the other kind already, or its ``batch_size`` is no count.
        """
        check_batch_size(self)
        bound = getattr(self, "runtime", None)
        if bound is not None and bound.is_async != runtime.is_async:
            raise ConfigError(f"{self} is in use by {'an async' if bound.is_async else 'a blocking'} mailer already")
        if bound is None:
            self.runtime = runtime
        self.unsupported = unsupported

    @property
    def rewrites(self) -> frozenset[str]:
        """Header fields, in lower case, that it writes anew whatever the mail has: signatures leave them out."""
        return frozenset(field for feature, field in _REWRITTEN.items() if not getattr(self.features, feature))

    @property
    def wants_tokens(self) -> bool:
        """Whether it logs in with OAuth 2 access tokens, and has no source of them yet."""
        return False

    def use_tokens(self, tokens: TokenSource) -> None:
        """Log in with access tokens from there; called by the mailer that was given them, before anything is sent.

        Raises:
            ConfigError: It has no use for them.
        """
        raise ConfigError(f"{self} has no use for access tokens: it does not log in with any")

    def left_out(self, mail: Mail) -> tuple[str, ...]:
        """What it leaves out of this mail, a line each, fit for ``receipt.notes``. Asked before ``send``.

        Raises:
            UnsupportedFeature: It would leave out what the policy says must not be.
        """
        notes = left_out(mail.message, self.features, str(self), self.unsupported)
        if self.features.raw or not mail.is_raw:
            return notes
        if mail.message is None:
            raise UnsupportedFeature(
                f"ready-made mail is not carried by {self}, which composes anew{self.raw_remedy}", field="raw"
            )
        text = f"is not carried by {self}: what a mail filter or a signer changed in the bytes{self.raw_remedy}"
        return (*notes, noted("raw", text, self.unsupported))

    def send(self, mail: Mail) -> Receipt | Awaitable[Receipt]:
        """Carry the mail and say what became of it for each recipient.

        What goes wrong on the way is told by outcomes, its cause by the receipt's ``error``. An exception means that
        nobody accepted it: ConfigError,
        AuthError and TransportError defer everyone, MessageError rejects, any other leaves everyone UNKNOWN.
        """
        raise NotImplementedError(f"{type(self).__name__} has no send")

    def send_many(
        self, mails: Sequence[Mail]
    ) -> Sequence[Receipt | UnsupportedFeature] | Awaitable[Sequence[Receipt | UnsupportedFeature]]:
        """Carry several mails at once, at most ``batch_size``: a receipt for each, in their order.

        An UnsupportedFeature in a receipt's place says that this one was not sent. An exception means for all of them
        what it means from ``send``. Called only where ``batch_size`` is more than 1.
        """
        raise NotImplementedError(f"{type(self).__name__} has no send_many")

    def settled(self, mail: Mail) -> Receipt:
        """What became of a mail whose ``send`` or ``send_many`` was cut short. Called once, then."""
        return Receipt.for_all(mail, Outcome.UNKNOWN, text="cut short", backend=str(self))

    async def connect(self) -> None:
        """Have a connection ready for the next mail, where any are kept. Raises MailerError, as a send's cause."""

    def check(self) -> Health | Awaitable[Health]:
        """Try everything but sending."""
        return Health(ok=True, backend=str(self))

    def close(self) -> Awaitable[None] | None:
        """Let go of connections and files. May be called more than once; a closed backend may be used again."""
        return None

    def __str__(self) -> str:
        return self.url or f"{type(self).__name__}()"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"


def check_batch_size(backend: Backend) -> int:
    """Return it, or raise ConfigError if it is no whole number of 1 or more."""
    size = backend.batch_size
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise ConfigError(f"{backend}: batch_size={size!r}: must be a whole number of 1 or more")
    return size


async def called(runtime: Runtime, method: Any, *args: Any) -> Any:
    """Call a backend's method, plain or async; a plain one runs in a thread where the runtime is async."""
    if not runtime.is_async or inspect.iscoroutinefunction(method):
        value = method(*args)
    else:
        value = await runtime.run(lambda: method(*args))
    return await value if inspect.isawaitable(value) else value


async def examine(backend: Backend) -> Health:
    """The backend's ``check``, which may also say just yes or no; whatever it raises is what is wrong."""
    name = str(backend)
    if catchers.latest is not None and not (backend.passes_on or backend.keeps_in_process):
        return Health(ok=True, backend=name, facts={"caught": "by a test's outbox: not tried"})
    try:
        health = await called(backend.runtime, backend.check)
    except Exception as error:  # noqa: BLE001 - as in carry
        return Health(ok=False, backend=name, cause=_as_ours(error, name, backend.runtime))
    return health if isinstance(health, Health) else Health(ok=bool(health), backend=name)


async def carry(backend: Backend, mail: Mail) -> Receipt:
    """One attempt: features compared, the backend called, every recipient settled, the attempt recorded.

    Never raises for a delivery that failed.

    Raises:
        UnsupportedFeature: The backend cannot carry the message; it was not called.
        BaseException: Cancellation or an interrupt, once the backend has closed what it had open; what is known then
            is in ``backend.settled(mail)``.
    """
    name = str(backend)
    [said] = await _attempted(backend, name, [(mail, _left_out(backend, mail))], _one)
    if isinstance(said, UnsupportedFeature):
        raise said
    return said


async def carry_many(backend: Backend, mails: Sequence[Mail]) -> list[Receipt | UnsupportedFeature]:
    """The same for several mails at once, or one after the other where the backend takes no batches.

    Returns:
        One for each, in their order; where :func:`carry` raises UnsupportedFeature, that stands in its place.
    """
    name = str(backend)
    settled: list[Receipt | UnsupportedFeature | None] = [None] * len(mails)
    fitting: list[tuple[int, tuple[Mail, tuple[str, ...]]]] = []
    for index, mail in enumerate(mails):
        try:
            fitting.append((index, (mail, _left_out(backend, mail))))
        except UnsupportedFeature as error:
            settled[index] = error
    size = backend.batch_size
    for start in range(0, len(fitting), size):
        batch = fitting[start : start + size]
        try:
            receipts = await _attempted(backend, name, [item for _, item in batch], _one if len(batch) == 1 else _all)
        except UnsupportedFeature as error:
            receipts = [error] * len(batch)
        for (index, _), receipt in zip(batch, receipts, strict=True):
            settled[index] = receipt
    return cast("list[Receipt | UnsupportedFeature]", settled)


def _left_out(backend: Backend, mail: Mail) -> tuple[str, ...]:
    try:
        return backend.left_out(mail)
    except UnsupportedFeature:
        raise
    except Exception as error:
        raise UnsupportedFeature(f"{backend} could not look at it: {words_of(error)}") from error


async def _one(backend: Backend, mails: Sequence[Mail]) -> Sequence[Any]:
    return [await called(backend.runtime, backend.send, mails[0])]


async def _all(backend: Backend, mails: Sequence[Mail]) -> Any:
    return await called(backend.runtime, backend.send_many, mails)


async def _attempted(
    backend: Backend,
    name: str,
    batch: Sequence[tuple[Mail, tuple[str, ...]]],
    call: Callable[[Backend, Sequence[Mail]], Awaitable[Any]],
) -> list[Receipt | UnsupportedFeature]:
    """Call the backend with mails that it can carry, each with the notes of what is left out."""
    runtime = backend.runtime
    if (catcher := catchers.latest) is not None and not backend.passes_on:
        call = catcher.carry
    if SENDING.wanted() and not backend.is_group:
        for mail, _ in batch:
            SENDING(mail_id=mail.id, backend=name, recipients=len(mail.envelope.recipients))
    started_at, start = utc_now(), runtime.now()
    mails = [mail for mail, _ in batch]
    causes: list[MailerError | None]
    try:
        receipts = list(await call(backend, mails))
        for receipt in receipts:
            if not isinstance(receipt, (Receipt, UnsupportedFeature)):
                raise TypeError(f"{name} returned {type(receipt).__name__}, not a Receipt")
        if len(receipts) != len(mails):
            raise TypeError(f"{name} returned {len(receipts)} receipts for {len(mails)} mails")
        causes = [receipt.cause if isinstance(receipt, Receipt) else None for receipt in receipts]
    except UnsupportedFeature:
        raise
    except Exception as error:  # noqa: BLE001 - a backend may be anybody's code; whatever it raises becomes an outcome
        ours = _as_ours(error, name, runtime)
        causes = [ours] * len(mails)
        outcome, scope = _verdict_of(ours)
        receipts = [Receipt.for_all(mail, outcome, scope=scope, text=str(ours), backend=name) for mail in mails]
    duration_s = runtime.now() - start
    settled: list[Receipt | UnsupportedFeature] = []
    for (mail, notes), receipt, cause in zip(batch, receipts, causes, strict=True):
        if isinstance(receipt, UnsupportedFeature):
            settled.append(receipt)
            continue
        receipt = _complete(receipt, mail)
        changes: dict[str, Any] = {"backend": receipt.backend or name, "notes": (*notes, *receipt.notes)}
        if not backend.is_group:
            outcomes: dict[Outcome, int] = {}
            for result in receipt.results:
                outcomes[result.outcome] = outcomes.get(result.outcome, 0) + 1
            attempt = attempt_of(name, started_at, duration_s, outcomes, cause, *_observed(receipt))
            results = receipt.results if cause is None else _scoped(receipt.results, _verdict_of(cause).scope)
            changes |= {"results": results, "attempts": (attempt,), "error": None}
            if ATTEMPT.wanted():
                ATTEMPT(
                    mail_id=mail.id,
                    backend=name,
                    duration_s=duration_s,
                    **counts(outcomes),
                    error=None if cause is None else type(cause).__name__,
                    reason=cause,
                )
        settled.append(receipt.with_(**changes))
    return settled


def _observed(receipt: Receipt) -> tuple[Mapping[str, float], tuple[str, ...]]:
    """Timings and transcript, as the backend's own receipt has them."""
    return (receipt.attempts[-1].timings, receipt.attempts[-1].transcript) if receipt.attempts else ({}, ())


def _as_ours(error: Exception, backend: str, runtime: Runtime) -> MailerError:
    if isinstance(error, MailerError):
        return error
    # asyncio, anyio and httpx say so in words of their own when no loop runs.
    needs_loop = isinstance(error, RuntimeError) and not runtime.is_async
    remedy = " (if it needs an event loop, use AsyncMailer)" if needs_loop else ""
    ours = MailerError(f"{backend} raised {words_of(error)}{remedy}")
    ours.__cause__ = error
    return ours


def _verdict_of(cause: MailerError) -> Verdict:
    # What the class does not tell may have happened after the mail was handed over.
    return VERDICTS[event_of(cause, "answer lost")]


def _scoped(results: tuple[RecipientResult, ...], scope: Scope) -> tuple[RecipientResult, ...]:
    """The results with the cause's scope for every deferral whose scope the backend did not say."""
    return tuple(
        [
            replace(result, scope=scope) if result.outcome is Outcome.DEFERRED and result.scope is None else result
            for result in results
        ]
    )


def _complete(receipt: Receipt, mail: Mail) -> Receipt:
    """Exactly one result for each recipient, in the envelope's order; one that the backend forgot is UNKNOWN."""
    wanted = mail.envelope.recipients
    if len(receipt.results) == len(wanted) and all(
        [result.address is address for result, address in zip(receipt.results, wanted, strict=True)]
    ):
        return receipt
    said = {result.address.key: result for result in receipt.results}
    silent = "the backend did not say what became of it"
    results = tuple(
        said.get(address.key) or RecipientResult(address, Outcome.UNKNOWN, text=silent) for address in wanted
    )
    return receipt.with_(results=results)
