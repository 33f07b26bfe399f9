"""The pipeline: a message's way from the app to a receipt, written once for both faces.

::

    template_context -> render -> message -> recipients -> headers -> short_circuit -> seal -> mail -> sign
        -> backend -> send -> actions

Filters run once for each mail. ``compose`` runs them too, up to ``sign``, and fires no action. A message that differs
by recipient becomes a mail for each of them first, unless the backend merges by itself.
"""

from __future__ import annotations

import contextlib
import functools
import os
import weakref
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from .address import Address
from .backends.base import Backend, Health, called, carry_many, examine
from .clock import utc_now
from .envelope import Envelope
from .errors import ConfigError, MailerError, MessageError, Outcome
from .hooks import Hooks
from .hookspecs import ONE_EACH, Context
from .log import FAILED, SKIPPED, log_outcome
from .mail import Mail
from .merge import Merge, has_merge, merged_receipt
from .message import Message
from .mime import Plan
from .receipt import Receipt
from .retry import RetryPolicy
from .sealing import Sealer, knowing
from .settled import ACTION_OF
from .tally import Tally

if TYPE_CHECKING:
    from email.message import Message as StandardMessage

    from .event import Event
    from .runtime import Runtime
    from .template_engine import TemplateEngine

__all__ = ["Pipeline"]

#: Makes a mail, or the receipt that says why there is none, for a fresh context.
_Seal = Callable[[Context], Awaitable[Mail | Receipt]]

_MAX_AT_ONCE = 1000
#: Mails for each connection in one round of ``send_many``: they are all at work but at its end.
_ROUND = 8
#: No round begins another mail beyond so many octets: memory stays bounded whatever is attached.
_ROUND_BYTES = 16 * 1024 * 1024


class _Unit:
    """One mail on its way.

    Attributes:
        mail: Once it is sealed.
        receipt: What became of it, or why it was not sent.
        error: Why there is no receipt.
        attempt: How often it was tried; None before it is sealed.
        is_begun: The backend has been called with it.
    """

    __slots__ = ("_context", "attempt", "backend", "error", "is_begun", "mail", "receipt")

    def __init__(self, context: Context) -> None:
        self._context = context
        self.mail: Mail | None = None
        self.backend: Backend | None = context.backend
        self.receipt: Receipt | None = None
        self.error: MailerError | None = None
        self.attempt: int | None = None
        self.is_begun = False

    def context(self, **known: Any) -> Context:
        """What a hook is told: made for each that somebody listens to, and for no other."""
        now: dict[str, Any] = {"mail": self.mail, "backend": self.backend, "attempt": self.attempt}
        if self.mail is not None:
            now["message"] = self.mail.message
        return knowing(self._context, **{**now, **known})

    def forget(self) -> None:
        """Let go of the mail, once all is told: of ten thousand only the receipts are kept."""
        self.mail = None
        del self._context

    @property
    def said(self) -> Receipt | MailerError:
        """How it ended."""
        return self.receipt or self.error or MailerError("the mail was not sent")


class _Order:
    """One message given to ``send_many``, and the mails that it became, each with its recipient if it was merged."""

    __slots__ = ("is_merged", "parts")

    def __init__(self, is_merged: bool) -> None:
        self.is_merged = is_merged
        self.parts: list[tuple[Address | None, MailerError | _Unit]] = []

    @property
    def units(self) -> list[_Unit]:
        """Its mails that are to be carried."""
        return [part for _, part in self.parts if isinstance(part, _Unit) and part.mail is not None]

    def receipt(self, index: int | None, backend: str) -> Receipt:
        """What became of it; its mails have all been told."""
        parts = [(to, part.said if isinstance(part, _Unit) else part) for to, part in self.parts]
        if self.is_merged:
            receipt = merged_receipt(os.urandom(16).hex(), parts)
        else:
            [(_, said)] = parts
            receipt = said if isinstance(said, Receipt) else Receipt(id="", error=said)
        return receipt.with_(backend=receipt.backend or backend, message_index=index)


class Pipeline:
    """One backend, one registry of hooks, one sender by default; all waiting goes through one runtime."""

    def __init__(
        self,
        mailer: Any,
        backend: Backend,
        runtime: Runtime,
        hooks: Hooks,
        *,
        retry: RetryPolicy | None = None,
        from_: tuple[Address, ...] = (),
        templates: TemplateEngine | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.backend = backend
        self.hooks = hooks
        self.runtime = runtime
        self._retry = retry
        self._blank = Context(mailer=mailer, mail_id="", runtime=runtime, backend=backend)
        # What backend filters gave instead, to be closed too; one that is made for a mail goes with it.
        self._others: weakref.WeakValueDictionary[int, Backend] = weakref.WeakValueDictionary()
        self._sealer = Sealer(hooks, from_=from_, clock=clock, templates=templates)

    # --- what the faces call ------------------------------------------------------------------------------------------

    async def send(self, message: Message) -> Receipt:
        """See :meth:`mailer.Mailer.send`."""
        if self._is_merged(message):
            [receipt] = [receipt async for receipt in self.send_many((message,))]
            if receipt.error is not None:
                raise receipt.error
            return receipt.with_(message_index=None).raise_if_none_accepted()
        return await self._sent(lambda context: self._sealer.seal(message, context), message)

    async def hold(self, message: Message) -> _Order:
        """Do all that comes before the backend now. What is returned is carried, or dropped, once.

        Raises:
            MailerError: It comes to no mail, or merge fields do not fit somebody. Whose own mail alone is at fault is
                told to ``failed``, and the others get theirs.
        """
        order = _Order(self._is_merged(message))
        plan = Plan(os.urandom(16).hex())
        parts: list[tuple[Address | None, Message]] = []
        for to, own in _expanded(message, order.is_merged):
            if isinstance(own, MailerError):
                raise own
            parts.append((to, own))
        errors = []
        try:
            for to, part in parts:
                seal = functools.partial(self._sealer.seal, part, plan=plan)
                unit = await self._prepared(seal, part, is_sending=False)
                order.parts.append((to, unit))
                if unit.error is not None:
                    errors.append(unit.error)
        except BaseException:
            self._tell_dropped(order)
            raise
        if len(errors) == len(parts):
            raise errors[0]
        return order

    async def carry_held(self, order: _Order) -> Receipt:
        """Carry what was held. Its outcome is told as that of ``send``, and raises nothing."""
        if units := order.units:
            try:
                for unit in units:
                    await self._do("sending", unit)
            except BaseException:
                self._tell_dropped(order)
                raise
            await self._carry(units, self.backend.batch_size, 1)
        return order.receipt(None, str(self.backend))

    def drop(self, order: _Order) -> Receipt:
        """Tell, of what was held and nobody began to carry, that it is deferred; to the hooks that need not wait."""
        self._tell_dropped(order)
        return order.receipt(None, str(self.backend))

    def _tell_dropped(self, order: _Order) -> None:
        for unit in order.units:
            self._tell_cut_short(unit)

    async def send_raw(self, content: bytes | StandardMessage, envelope: Envelope | None) -> Receipt:
        """See :meth:`mailer.Mailer.send_raw`."""
        return await self._sent(lambda context: self._sealer.seal_raw(content, envelope, context), None)

    async def send_many(
        self,
        messages: Iterable[Message] | AsyncIterable[Message],
        *,
        concurrency: int = 1,
        window: int | None = None,
    ) -> AsyncGenerator[Receipt, None]:
        """See :meth:`mailer.Mailer.send_many`. Nothing is in flight at a ``yield``."""
        _check_count("concurrency", concurrency)
        _check_count("window", 1 if window is None else window)
        batch = min(self.backend.batch_size, window or self.backend.batch_size)
        # A window asked for in words is kept to: no message is read before its place is free.
        ahead = max(batch, _ROUND) if window is None else batch
        room = batch if concurrency == 1 else concurrency * ahead
        orders: deque[_Order] = deque()
        units: list[_Unit] = []
        size_bytes = index = 0
        plan = Plan(os.urandom(16).hex())
        name = str(self.backend)
        failure: Exception | None = None
        async with contextlib.aclosing(_each(messages)) as source:
            while True:
                try:
                    message = await anext(source)
                except StopAsyncIteration:
                    break
                except Exception as error:  # noqa: BLE001 - it is the caller's iterable; raised when all is told
                    failure = error
                    break
                orders.append(order := _Order(self._is_merged(message)))
                for to, own in _expanded(message, order.is_merged):
                    if isinstance(own, MailerError):
                        order.parts.append((to, own))
                        continue
                    seal = functools.partial(self._sealer.seal, own, plan=plan)
                    unit = await self._prepared(seal, own)
                    order.parts.append((to, unit))
                    if unit.mail is None:
                        continue
                    units.append(unit)
                    size_bytes += unit.mail.content.about_bytes
                    if len(units) >= room or size_bytes >= _ROUND_BYTES:
                        await self._carry(units, batch, concurrency)
                        units, size_bytes = [], 0
                if units and order.is_merged:
                    await self._carry(units, batch, concurrency)
                    units, size_bytes = [], 0
                if not units:
                    while orders:
                        yield orders.popleft().receipt(index, name)
                        index += 1
        if units:
            await self._carry(units, batch, concurrency)
        while orders:
            yield orders.popleft().receipt(index, name)
            index += 1
        if failure is not None:
            raise failure

    async def render(self, message: Message) -> Message:
        """See :meth:`mailer.Mailer.render`."""
        return await self._sealer.render(message, self._context(message))

    async def compose(self, message: Message) -> Mail:
        """See :meth:`mailer.Mailer.compose`."""
        if isinstance(message, Message) and has_merge(message):
            raise MessageError("is a mail for each recipient: use compose_all", field="merge_data")
        return _sealed(await self._sealer.seal(message, self._context(message)))

    async def compose_all(self, message: Message) -> AsyncGenerator[Mail, None]:
        """See :meth:`mailer.Mailer.compose_all`."""
        plan = Plan(os.urandom(16).hex())
        for own in Merge(message) if isinstance(message, Message) and has_merge(message) else (message,):
            yield _sealed(await self._sealer.seal(own, self._context(own), plan))

    async def check(self) -> Health:
        """See :meth:`mailer.Mailer.check`."""
        return await examine(self.backend)

    async def close(self) -> None:
        """See :meth:`mailer.Mailer.close`."""
        async with contextlib.AsyncExitStack() as backends:  # each is closed whatever another does
            for backend in (self.backend, *self._others.values()):
                backends.push_async_callback(called, self.runtime, backend.close)

    async def publish(self, events: Iterable[Event]) -> int:
        """See :meth:`mailer.Mailer.publish`."""
        failed = self.hooks.errors["event"]
        for event in events:
            if self.hooks.listens("event"):
                await self.hooks.do("event", knowing(self._blank, mail_id=event.mail_id or "", event=event))
        return self.hooks.errors["event"] - failed

    # --- sealing ------------------------------------------------------------------------------------------------------

    def _is_merged(self, message: object) -> bool:
        """Whether it becomes a mail for each recipient here."""
        if not isinstance(message, Message) or not has_merge(message):
            return False
        return not self.backend.features.merge or self.hooks.has(ONE_EACH)

    def _context(self, message: Message | None) -> Context:
        return knowing(self._blank, mail_id=os.urandom(16).hex(), message=message)

    async def _prepared(self, seal: _Seal, message: Message | None, *, is_sending: bool = True) -> _Unit:
        """Seal, choose the backend and, if it is sent now, say that it is about to be; or why not."""
        context = self._context(message if isinstance(message, Message) else None)
        unit = _Unit(context)
        try:
            sealed = await seal(context)
            if isinstance(sealed, Receipt):
                unit.receipt = sealed
                if SKIPPED.wanted():
                    SKIPPED(mail_id=sealed.id)
                await self._do("skipped", unit, receipt=sealed)
                return unit
            unit.mail, unit.attempt = sealed, 1
            if self.hooks.listens("backend"):
                unit.backend = await self._chosen(unit.context(attempt=None))
            if is_sending and self.hooks.listens("sending"):
                await self.hooks.do("sending", unit.context())
        except MailerError as error:
            unit.mail, unit.error = None, error
            await self._failed(unit)
        except BaseException:
            self._tell_cut_short(unit)
            raise
        return unit

    async def _chosen(self, context: Context) -> Backend:
        backend = await self.hooks.apply("backend", self.backend, context, Backend)
        if backend is not self.backend:
            backend.transcript = backend.transcript or self.backend.transcript
            backend.attach(self.runtime, self.backend.unsupported)
            given: Backend | None = backend
            while given is not None and given is not self.backend:  # a plug-in may keep no wrapper of it by then
                self._others[id(given)] = given
                given = getattr(given, "inner", None)
        return backend

    # --- sending ------------------------------------------------------------------------------------------------------

    async def _sent(self, seal: _Seal, message: Message | None) -> Receipt:
        unit = await self._prepared(seal, message)
        if unit.mail is not None:
            await self._carry([unit], 1, 1)
        if isinstance(unit.said, MailerError):
            raise unit.said
        return unit.said.raise_if_none_accepted()

    async def _carry(self, units: list[_Unit], batch: int, concurrency: int) -> None:
        """Carry sealed mails and tell what became of them; each has a receipt or an error afterwards."""
        untold = deque(units)
        try:
            if len(units) == 1:
                await self._exchange(units)
            else:
                share = min(batch, -(-len(units) // concurrency))  # a last round that is not full is for all of them
                jobs = [functools.partial(self._exchange, part) for part in _batches(units, share)]
                for ended in await self.runtime.gather(jobs, concurrency):
                    if ended is not None:
                        raise ended
            while untold:
                unit = untold.popleft()
                await self._tell(unit)
                unit.forget()
        except BaseException:
            for unit in untold:
                self._tell_cut_short(unit)
            raise

    async def _exchange(self, units: list[_Unit]) -> None:
        """Hand mails to their one backend, and again for whom the policy says so."""
        backend = units[0].backend or self.backend
        begun_at = self.runtime.now()
        for unit in units:
            unit.is_begun = True
        for unit, said in zip(units, await carry_many(backend, [_mail_of(unit) for unit in units]), strict=True):
            if isinstance(said, Receipt):
                unit.receipt = said
            else:
                unit.error = said
        if self._retry is not None:
            unfinished = [unit for unit in units if unit.receipt and self._retry.wants(unit.receipt)]
            if unfinished:
                await self._try_again(unfinished, backend, self._retry, begun_at)

    async def _try_again(self, units: list[_Unit], backend: Backend, policy: RetryPolicy, begun_at: float) -> None:
        """Let the policy try mails again; each unit's receipt always holds what is known."""
        unit_of = {Tally(_mail_of(unit), unit.receipt): unit for unit in units}

        def settle(tally: Tally, receipt: Receipt) -> None:
            tally.add(receipt)
            unit_of[tally].receipt = tally.receipt()

        async def carry_again(parts: Sequence[tuple[Tally, Mail]]) -> None:
            for tally, mail in parts:
                unit = unit_of[tally]
                unit.attempt = len(tally.receipts) + 1
                await self._do("sending", unit, mail=mail)
            try:
                said = await carry_many(backend, [mail for _, mail in parts])
            except BaseException:
                for tally, mail in parts:
                    settle(tally, backend.settled(mail))
                raise
            for (tally, mail), receipt in zip(parts, said, strict=True):
                if isinstance(receipt, MailerError):  # not even taken, this time; what is known of it stands
                    receipt = Receipt(mail.id, notes=(f"not tried again: {receipt}",))
                settle(tally, receipt)

        await policy.try_again(
            list(unit_of), carry_again, begun_at=begun_at, now=self.runtime.now, sleep=self.runtime.sleep
        )

    async def _tell(self, unit: _Unit) -> None:
        if unit.receipt is None:
            return await self._failed(unit)
        waiting = _told(unit.receipt)
        try:
            while waiting:
                name, known = waiting.pop(0)
                await self._do(name, unit, **known)
        except BaseException:  # cancelled in one hook: the other outcomes are told all the same
            for name, known in waiting:
                self.hooks.do_now(name, unit.context(**known))
            raise

    async def _failed(self, unit: _Unit) -> None:
        if FAILED.wanted():
            field = getattr(unit.error, "field", None)
            FAILED(mail_id=unit.context().mail_id, error=type(unit.error).__name__, field=field)
        await self._do("failed", unit, error=unit.error)

    def _tell_cut_short(self, unit: _Unit) -> None:
        """The outcome is told to the hooks that need not wait, for nobody else will hear of it."""
        if unit.mail is None or unit.error is not None:
            return
        backend = unit.backend or self.backend
        if unit.receipt is None and unit.is_begun:
            unit.receipt = backend.settled(unit.mail)
        elif unit.receipt is None:
            unit.receipt = Receipt.for_all(unit.mail, Outcome.DEFERRED, text="cut short", backend=str(backend))
        for name, known in _told(unit.receipt):
            self.hooks.do_now(name, unit.context(**known))

    async def _do(self, name: str, unit: _Unit, **known: object) -> None:
        """Run an action; its context is made only where somebody reads it."""
        if self.hooks.listens(name):
            await self.hooks.do(name, unit.context(**known))


def _told(receipt: Receipt) -> list[tuple[str, dict[str, Any]]]:
    """Log the outcome; the result actions of the receipt, and what their contexts know beside the mail."""
    if receipt.skipped is not None:  # by a backend: the results are those of another mail
        if SKIPPED.wanted():
            SKIPPED(mail_id=receipt.id)
        return [("skipped", {"receipt": receipt})]
    results = receipt.results
    outcomes = [result.outcome for result in results]
    told = []
    for outcome, name in ACTION_OF.items():
        if outcome in outcomes:
            recipients = tuple([result.address for result in results if result.outcome is outcome])
            told.append((name, {"receipt": receipt, "recipients": recipients}))
    log_outcome(receipt, is_all_well=len(told) == 1 and told[0][0] == "sent")
    return told


def _sealed(sealed: Mail | Receipt) -> Mail:
    if isinstance(sealed, Receipt):
        raise MessageError(f"a filter keeps this message from being sent: {sealed.skipped}")
    return sealed


def _mail_of(unit: _Unit) -> Mail:
    assert unit.mail is not None, "only sealed mails are carried"  # noqa: S101 - for type checkers
    return unit.mail


def _batches(units: list[_Unit], size: int) -> Iterator[list[_Unit]]:
    """Stretches of at most so many, each for one backend and one call of it."""
    part: list[_Unit] = []
    room = size
    for unit in units:
        if part and (len(part) == room or unit.backend is not part[0].backend):
            yield part
            part = []
        if unit.backend is not None:
            room = min(size, unit.backend.batch_size)
        part.append(unit)
    if part:
        yield part


def _expanded(message: Message, is_merged: bool) -> Iterator[tuple[Address | None, Message | MailerError]]:
    """The messages that one message is, each with its recipient; just itself if it is not merged."""
    if not is_merged:
        yield None, message
        return
    try:
        merge = Merge(message)
    except MessageError as error:
        yield None, error
        return
    for recipient in merge.recipients:
        try:
            yield recipient, merge.message_for(recipient)
        except MailerError as error:
            yield recipient, error


def _check_count(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MAX_AT_ONCE:
        raise ConfigError(f"{name}={value!r}: must be a whole number from 1 to {_MAX_AT_ONCE}")


async def _each(messages: Iterable[Message] | AsyncIterable[Message]) -> AsyncGenerator[Message, None]:
    if isinstance(messages, AsyncIterable):
        async for message in messages:
            yield message
    else:
        for message in messages:
            yield message
