"""Sending from async views: one :class:`~mailer.AsyncMailer` for each event loop, closed when that ends.

::

    async def order(request):
        await asend_mail("Your order", "It is on its way.", None, [request.user.email])

Under ASGI there is one loop for each process, so connections are pooled as ever; Django under WSGI makes a loop for
each request to an async view.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncGenerator, Hashable, Iterable
from typing import Any

from asgiref.sync import sync_to_async
from django.core import mail
from django.core.mail import EmailMultiAlternatives

from ...errors import DeliveryError, MessageError
from ...mailer import AsyncMailer
from ...merge import has_merge
from ...message import Message
from ...receipt import Receipt
from ...relay.provider import Provider
from ...smtplib.delivery import as_smtplib
from . import batch, signals
from .anymail_signals import may_go
from .backend import EmailBackend, invalid, noted, ready_made
from .mailers import get_mailer, made, named_plan
from .message import fields_of
from .project import CAN_HAVE_MAILERS, DEFAULT, backend_and_options, has_mailers, own_backend
from .status import note, provider_of

__all__ = ["asend_mail", "asend_messages", "get_async_mailer"]


class _OfLoop:
    """The mailers of one event loop."""

    def __init__(self) -> None:
        self.mailers: dict[Hashable, AsyncMailer] = {}
        self.end: AsyncGenerator[None, None] = self._until_the_end()

    async def _until_the_end(self) -> AsyncGenerator[None, None]:
        """What asyncio closes with the loop (``shutdown_asyncgens``), when its mailers can still be closed."""
        try:
            yield
        finally:
            mailers, self.mailers = self.mailers, {}
            for mailer in mailers.values():
                await mailer.aclose()


_loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _OfLoop] = weakref.WeakKeyDictionary()


async def get_async_mailer(name: str = DEFAULT) -> AsyncMailer:
    """The mailer that Django's settings say under this name, for the running event loop, which closes it.

    Raises:
        ConfigError: There is no such mailer, or its settings are wrong.
    """
    loop = asyncio.get_running_loop()
    own = _loops.get(loop)
    if own is None:
        for other in [one for one in list(_loops) if one.is_closed()]:  # its connections hold it
            del _loops[other]
        own = _loops[loop] = _OfLoop()
        await anext(own.end)
    plan = named_plan(name)
    mailer = own.mailers.get(plan.key)
    if mailer is None:
        mailer = own.mailers[plan.key] = made(plan, AsyncMailer, name if has_mailers() else None)
        signals.bridge(mailer.hooks, is_async=True)
    return mailer


async def asend_mail(
    subject: str,
    message: str,
    from_email: str | None,
    recipient_list: Iterable[str],
    *,
    html_message: str | None = None,
    fail_silently: bool = False,
    using: str = DEFAULT,
) -> int:
    """Django's ``send_mail``, awaited. ``using`` is an alias of ``MAILERS``, or one of ``MAILER["mailers"]``.

    Returns, raises: As :func:`asend_messages`.
    """
    made = EmailMultiAlternatives(subject, message, from_email, list(recipient_list))
    if html_message:
        made.attach_alternative(html_message, "text/html")
    return await asend_messages([made], fail_silently=fail_silently, using=using)


async def asend_messages(messages: Iterable[Any], *, fail_silently: bool = False, using: str = DEFAULT) -> int:
    """Send Django's messages one after the other.

    Where Django has another backend than :class:`EmailBackend`, as in tests, that sends them, in a thread.

    Returns:
        How many were accepted for at least one recipient; receipts stand on the messages.

    Raises:
        DeliveryError: Nobody accepted a message, unless ``fail_silently``; those behind it are not sent.
        InvalidMessageError: A message cannot be built.
        ConfigError: There is no such mailer, or its settings are wrong.
    """
    path, options = backend_and_options(using) or ("", {})
    is_ours = not path or own_backend(path) is EmailBackend
    if not is_ours:
        return await sync_to_async(_sent_blocking)(list(messages), fail_silently, using)
    mailer = await get_async_mailer(using)
    is_silent = fail_silently or bool(options.get("fail_silently"))
    return sum([await _sent(mailer, message, is_silent, using) for message in messages])


async def _sent(mailer: AsyncMailer, message: Any, is_silent: bool, using: str) -> int:
    provider = provider_of(mailer.backend)
    try:
        # In a thread: a message may be made of lazy texts, and a subclass builds itself by any code.
        step = await sync_to_async(_step)(message, provider)
        if step is None:
            return 0
        receipt: Receipt
        if isinstance(step, Message) and has_merge(step) and (step.cc or step.bcc):
            receipt = await sync_to_async(batch.send)(get_mailer(using), step)
        elif isinstance(step, Message):
            receipt = await mailer.send(step)
        else:
            content, envelope, notes = step
            receipt = noted(await mailer.send_raw(content, envelope), notes)
    except DeliveryError as error:
        note(message, error.receipt, provider)
        if is_silent:
            return 0
        raise as_smtplib(error) from error.__cause__
    except MessageError as error:
        raise invalid(error) from error
    note(message, receipt, provider)
    return int(bool(receipt.accepted))


def _step(message: Any, provider: Provider | None) -> Message | tuple[Any, ...] | None:
    """The message as ours, or as ready-made mail; None if nobody is to get it."""
    if not may_go(message, provider) or not message.recipients():
        return None
    fields = fields_of(message, provider)
    if fields is None:
        return ready_made(message, provider)
    return Message(**fields)


def _sent_blocking(messages: list[Any], fail_silently: bool, using: str) -> int:
    """By the backend that Django has."""
    found = backend_and_options(using)
    own = own_backend(found[0]) if found else None
    if has_mailers() or (CAN_HAVE_MAILERS and own is not None and using == DEFAULT):
        backend = mail.mailers[using]  # without MAILERS the one of EMAIL_BACKEND, which is no alias
        if own is not None:
            backend.fail_silently = backend.fail_silently or fail_silently
    elif own is not None:
        backend = own(alias=using, fail_silently=fail_silently)
    else:
        backend = mail.get_connection(fail_silently=fail_silently)
    return int(backend.send_messages(messages) or 0)
