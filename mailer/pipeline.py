"""The pipeline: a message's way from the app to a receipt, written once for both faces.

::

    message -> recipients -> headers -> short_circuit -> seal -> mail -> sign -> backend -> send -> actions

Filters run once for each message. ``compose`` runs them too, up to ``sign``, and fires no action.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from .address import Address
from .backends.base import Backend, Health, called, carry, examine
from .envelope import Envelope
from .errors import HookError, MailerError, MessageError, Outcome, UnsupportedFeature
from .field import field_name, line, shown
from .hooks import Hooks
from .hookspecs import Context
from .mail import Content, Mail
from .message import Message
from .mime import compose
from .ready_made import ReadyMade
from .receipt import Receipt

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
        self._from = from_
        self._clock = clock

    # --- what the faces call ------------------------------------------------------------------------------------------

    async def send(self, message: Message) -> Receipt:
        """See :meth:`mailer.Mailer.send`."""
        return (await self._sent(message)).raise_if_none_accepted()

    async def send_raw(self, content: bytes | StandardMessage, envelope: Envelope | None) -> Receipt:
        """See :meth:`mailer.Mailer.send_raw`."""
        receipt = await self._settled(lambda context: self._sealed_raw(content, envelope, context), None)
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
        sealed = await self._sealed(message, context)
        if isinstance(sealed, Receipt):
            raise MessageError(f"a filter keeps this message from being sent: {sealed.skipped}")
        return sealed

    async def check(self) -> Health:
        """See :meth:`mailer.Mailer.check`."""
        return await examine(self.backend)

    async def close(self) -> None:
        """See :meth:`mailer.Mailer.close`."""
        await called(self._runtime, self.backend.close)

    # --- sealing ------------------------------------------------------------------------------------------------------

    def _context(self, message: Message | None) -> Context:
        return Context(
            mailer=self._mailer,
            mail_id=os.urandom(16).hex(),
            runtime=self._runtime,
            message=message,
            backend=self.backend,
        )

    async def _sealed(self, message: Message, context: Context) -> Mail | Receipt:
        """Run the filters and compose; a Receipt is why it is not to be sent."""
        if not isinstance(message, Message):
            raise MessageError(f"send takes a Message, not {type(message).__name__}")
        if not message.from_ and self._from:
            message = message.with_(from_=self._from)
        message = await self.hooks.apply("message", message, _with(context, message=message), Message)
        context = _with(context, message=message)
        if message.merge_data or message.merge_metadata or message.merge_headers:
            raise UnsupportedFeature("one mail for each recipient is not made yet", field="merge")
        recipients = await self._filtered_recipients((*message.to, *message.cc, *message.bcc), context)
        headers = _safe_headers(await self.hooks.apply("headers", message.headers, context))
        if headers is not message.headers:
            message = message.with_(headers=headers)
            context = _with(context, message=message)
        if (kept_back := await self._kept_back(recipients, context)) is not None:
            return kept_back
        envelope = Envelope.of(message, recipients)
        content = compose(
            message,
            message_id=_message_id(message.from_),
            date=message.date or self._clock(),
            boundary=os.urandom(16).hex(),
        )
        return await self._finished(Mail(context.mail_id, envelope, message, content), context)

    async def _sealed_raw(
        self, data: bytes | StandardMessage, envelope: Envelope | None, context: Context
    ) -> Mail | Receipt:
        if envelope is not None and not isinstance(envelope, Envelope):
            raise MessageError(f"must be an Envelope, not {type(envelope).__name__}", field="envelope")
        if not isinstance(data, bytes):
            from .standard import bytes_of

            data = bytes_of(data)
        made = ReadyMade.of(data, message_id=_message_id(self._from), date=self._clock())
        envelope = envelope or made.envelope
        if envelope is None:
            raise MessageError("the header does not say who it is for: give an envelope", field="envelope")
        recipients = await self._filtered_recipients(envelope.recipients, context)
        if (kept_back := await self._kept_back(recipients, context)) is not None:
            return kept_back
        mail = Mail(context.mail_id, envelope.for_recipients(recipients), None, Content.of(made.content))
        return await self._finished(mail, context)

    async def _filtered_recipients(self, recipients: tuple[Address, ...], context: Context) -> tuple[Address, ...]:
        if not self.hooks.has("recipients"):
            return recipients
        value: Any = await self.hooks.apply("recipients", recipients, context)
        try:
            filtered = tuple(value)
        except TypeError as error:
            raise HookError(f"filter 'recipients' returned {type(value).__name__}, not addresses") from error
        if not all(isinstance(item, Address) for item in filtered):
            raise HookError("filter 'recipients' returned something else than addresses")
        return filtered

    async def _kept_back(self, recipients: tuple[Address, ...], context: Context) -> Receipt | None:
        """Why it is not to be sent: nobody is left, or a filter answers in its place."""
        if not recipients and self.hooks.has("recipients"):
            return Receipt(id=context.mail_id, skipped="the recipients filter left nobody")
        nothing: Receipt | None = None
        short = await self.hooks.apply("short_circuit", nothing, context, Receipt)
        if short is None:
            return None
        why = short.skipped or "a short_circuit filter answered in its place"
        return short.with_(id=short.id or context.mail_id, skipped=why)

    async def _finished(self, mail: Mail, context: Context) -> Mail:
        mail = await self.hooks.apply("mail", mail, _with(context, mail=mail), Mail)
        return await self.hooks.apply("sign", mail, _with(context, mail=mail), Mail)

    # --- sending ------------------------------------------------------------------------------------------------------

    async def _sent(self, message: Message) -> Receipt:
        return await self._settled(
            lambda context: self._sealed(message, context), message if isinstance(message, Message) else None
        )

    async def _settled(self, seal: Any, message: Message | None) -> Receipt:
        """Seal, carry and tell: the receipt of one mail, whatever its outcomes."""
        context = self._context(message)
        backend = self.backend
        is_carried = False
        try:
            mail = await seal(context)
            if isinstance(mail, Receipt):
                await self.hooks.do("skipped", _with(context, receipt=mail))
                return mail
            context = _with(context, mail=mail, message=mail.message)
            backend = await self._chosen(context)
            context = _with(context, backend=backend, attempt=1)
            await self.hooks.do("sending", context)
            is_carried = True
            receipt = await carry(backend, mail)
        except MailerError as error:
            await self.hooks.do("failed", _with(context, error=error))
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
                told.append((name, _with(context, receipt=receipt, recipients=recipients)))
        return told


def _with(context: Context, **changes: Any) -> Context:
    return replace(context, **changes)


def _message_id(from_: tuple[Address, ...]) -> str:
    """A Message-ID that tells nothing about this machine: 128 random bits at the sender's own domain."""
    domain = from_[0].ascii.rpartition("@")[2] if from_ else "mailer.invalid"
    return f"<{os.urandom(16).hex()}@{domain}>"


def _safe_headers(value: Any) -> tuple[tuple[str, str], ...]:
    try:
        for name, body in value:
            field_name(name)
            line(body, name)
    except (MessageError, TypeError, ValueError) as error:
        raise HookError(f"a filter 'headers' returned an unsafe header: {shown(str(error), 200)}") from error
    return value if isinstance(value, tuple) else tuple(value)


async def _each(messages: Iterable[Message] | AsyncIterable[Message]) -> AsyncGenerator[Message, None]:
    if isinstance(messages, AsyncIterable):
        async for message in messages:
            yield message
    else:
        for message in messages:
            yield message
