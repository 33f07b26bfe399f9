"""The pipeline: a message's way from the app to a receipt, written once for both faces.

::

    message -> recipients -> headers -> short_circuit -> seal -> mail -> sign -> backend -> send -> actions

Filters run once for each message. ``compose`` runs them too, up to ``sign``, and fires no action.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from .address import Address
from .backends.base import Backend, Health, called, carry, examine
from .envelope import Envelope
from .errors import MailerError, MessageError, Outcome
from .hooks import Hooks
from .hookspecs import Context
from .mail import Mail
from .message import Message
from .receipt import Receipt
from .sealing import Sealer, knowing

if TYPE_CHECKING:
    from email.message import Message as StandardMessage

    from .runtime import Runtime

__all__ = ["Pipeline"]

_ACTION_OF = {
    Outcome.ACCEPTED: "sent",
    Outcome.DEFERRED: "deferred",
    Outcome.REJECTED: "rejected",
    Outcome.UNKNOWN: "unknown",
}


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Pipeline:
    """One backend, one registry of hooks, one sender by default; all waiting goes through one runtime."""

    def __init__(
        self,
        mailer: Any,
        backend: Backend,
        runtime: Runtime,
        hooks: Hooks,
        *,
        from_: tuple[Address, ...] = (),
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        self.backend = backend
        self.hooks = hooks
        self._mailer = mailer
        self._runtime = runtime
        self._sealer = Sealer(hooks, from_=from_, clock=clock)

    # --- what the faces call ------------------------------------------------------------------------------------------

    async def send(self, message: Message) -> Receipt:
        """See :meth:`mailer.Mailer.send`."""
        return (await self._sent(message)).raise_if_none_accepted()

    async def send_raw(self, content: bytes | StandardMessage, envelope: Envelope | None) -> Receipt:
        """See :meth:`mailer.Mailer.send_raw`."""
        receipt = await self._settled(lambda context: self._sealer.seal_raw(content, envelope, context), None)
        return receipt.raise_if_none_accepted()

    async def send_many(self, messages: Iterable[Message] | AsyncIterable[Message]) -> AsyncGenerator[Receipt, None]:
        """See :meth:`mailer.Mailer.send_many`. Nothing is in flight at a ``yield``."""
        index = 0
        async with contextlib.aclosing(_each(messages)) as source:
            async for message in source:
                try:
                    receipt = await self._sent(message)
                except MailerError as error:
                    receipt = Receipt(id="", backend=str(self.backend), error=error)
                yield receipt.with_(message_index=index)
                index += 1

    async def compose(self, message: Message) -> Mail:
        """See :meth:`mailer.Mailer.compose`."""
        context = self._context(message)
        sealed = await self._sealer.seal(message, context)
        if isinstance(sealed, Receipt):
            raise MessageError(f"a filter keeps this message from being sent: {sealed.skipped}")
        return sealed

    async def check(self) -> Health:
        """See :meth:`mailer.Mailer.check`."""
        return await examine(self.backend)

    async def close(self) -> None:
        """See :meth:`mailer.Mailer.close`."""
        await called(self._runtime, self.backend.close)

    def _context(self, message: Message | None) -> Context:
        return Context(
            mailer=self._mailer,
            mail_id=os.urandom(16).hex(),
            runtime=self._runtime,
            message=message,
            backend=self.backend,
        )

    # --- sending ------------------------------------------------------------------------------------------------------

    async def _sent(self, message: Message) -> Receipt:
        return await self._settled(
            lambda context: self._sealer.seal(message, context), message if isinstance(message, Message) else None
        )

    async def _settled(self, seal: Any, message: Message | None) -> Receipt:
        """Seal, carry and tell: the receipt of one mail, whatever its outcomes."""
        context = self._context(message)
        backend = self.backend
        is_carried = False
        try:
            mail = await seal(context)
            if isinstance(mail, Receipt):
                await self.hooks.do("skipped", knowing(context, receipt=mail))
                return mail
            context = knowing(context, mail=mail, message=mail.message)
            backend = await self._chosen(context)
            context = knowing(context, backend=backend, attempt=1)
            await self.hooks.do("sending", context)
            is_carried = True
            receipt = await carry(backend, mail)
        except MailerError as error:
            await self.hooks.do("failed", knowing(context, error=error))
            raise
        except BaseException:
            if context.mail is not None:
                unsent = Receipt.for_all(context.mail, Outcome.DEFERRED, text="cut short", backend=str(backend))
                self._tell_now(backend.settled(context.mail) if is_carried else unsent, context)
            raise
        await self._tell(receipt, context)
        return receipt

    async def _chosen(self, context: Context) -> Backend:
        backend = await self.hooks.apply("backend", self.backend, context, Backend)
        if backend is not self.backend:
            backend.attach(self._runtime, self.backend.unsupported)
        return backend

    async def _tell(self, receipt: Receipt, context: Context) -> None:
        waiting = self._told(receipt, context)
        try:
            while waiting:
                await self.hooks.do(*waiting.pop(0))
        except BaseException:  # cancelled in one hook: the other outcomes are told all the same
            for name, told in waiting:
                self.hooks.do_now(name, told)
            raise

    def _tell_now(self, receipt: Receipt, context: Context) -> None:
        """Cut short: the outcome is told to the hooks that need not wait, for nobody else will hear of it."""
        for name, told in self._told(receipt, context):
            self.hooks.do_now(name, told)

    def _told(self, receipt: Receipt, context: Context) -> list[tuple[str, Context]]:
        told = []
        for outcome, name in _ACTION_OF.items():
            recipients = tuple(result.address for result in receipt.results if result.outcome is outcome)
            if recipients:
                told.append((name, knowing(context, receipt=receipt, recipients=recipients)))
        return told


async def _each(messages: Iterable[Message] | AsyncIterable[Message]) -> AsyncGenerator[Message, None]:
    if isinstance(messages, AsyncIterable):
        async for message in messages:
            yield message
    else:
        for message in messages:
            yield message
