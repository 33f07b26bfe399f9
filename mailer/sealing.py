"""Sealing: the filters over a message, then its bytes and its envelope."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from .address import Address
from .envelope import Envelope
from .errors import MessageError, TemplateError
from .field import field_name, line, shown
from .hooks import Hooks
from .hookspecs import Context
from .log import SEALED
from .mail import Content, Mail
from .message import Message
from .mime import Plan
from .ready_made import ReadyMade
from .receipt import Receipt
from .twin import twin_of

if TYPE_CHECKING:
    from email.message import Message as StandardMessage

    from .template_engine import TemplateEngine

__all__ = ["Sealer", "knowing"]


class Sealer:
    """Runs the filters up to ``sign``, renders and composes."""

    def __init__(
        self,
        hooks: Hooks,
        *,
        from_: tuple[Address, ...],
        clock: Callable[[], datetime],
        templates: TemplateEngine | None,
    ) -> None:
        self._hooks = hooks
        self._from = from_
        self._clock = clock
        self._templates = templates

    async def render(self, message: Message, context: Context) -> Message:
        """The message with its From, rendered and filtered: what is composed, but for the ``headers`` filter."""
        given, message = message, await self._rendered(message, context)
        if self._hooks.listens("message"):
            # The only place where a filter can learn that the app wants no text part, which is None by now.
            unwanted = given.text is False  # type: ignore[comparison-overlap]  # until it is rendered
            known = message.with_(text=False) if unwanted else message
            message = await self._hooks.apply("message", message, knowing(context, message=known), Message)
        return message

    async def _rendered(self, message: Message, context: Context) -> Message:
        if not isinstance(message, Message):
            raise MessageError(f"takes a Message, not {type(message).__name__}")
        if not message.from_ and self._from:
            message = message.with_(from_=self._from)
        if message.template is None:  # text=False has done its work
            return message if message.text is None or isinstance(message.text, str) else message.with_(text=None)
        templates = self._templates
        if templates is None:
            raise TemplateError(
                f"there are no templates to look for {shown(message.template)} in: give Mailer(templates=...)",
                field="template",
            )
        knows = knowing(context, message=message)
        variables: Mapping[str, Any] = await self._hooks.apply("template_context", message.context, knows, Mapping)
        # In a thread under async: filters, lazy querysets and __str__ in a template are anybody's code, and may block.
        return await context.runtime.run(lambda: templates.render(message, variables))

    async def seal(self, message: Message, context: Context, plan: Plan | None = None) -> Mail | Receipt:
        """Run the filters over a message and compose it; a Receipt is why it is not to be sent.

        Args:
            plan: Of the messages that it is composed with.
        """
        if self._hooks.listens(*_SEALING):
            return await self._filtered(message, context, plan)
        given, message = message, await self._rendered(message, context)
        return _told(self._composed(message, Envelope.of(message), context, plan, given.template))

    async def _filtered(self, message: Message, context: Context, plan: Plan | None) -> Mail | Receipt:
        given, message = message, await self.render(message, context)
        context = knowing(context, message=message)
        recipients = await self._filtered_recipients((*message.to, *message.cc, *message.bcc), context)
        headers = await self._hooks.apply("headers", message.headers, context, _not_headers)
        if headers is not message.headers:
            message = message.with_(headers=tuple(headers))
            context = knowing(context, message=message)
        if (kept_back := await self._kept_back(recipients, context)) is not None:
            return kept_back
        mail = self._composed(message, Envelope.of(message, recipients), context, plan, given.template)
        return await self._finished(mail, context)

    def _composed(
        self, message: Message, envelope: Envelope, context: Context, plan: Plan | None, template: str | None
    ) -> Mail:
        plan = plan or Plan(os.urandom(16).hex(), kept_bytes=0)
        mail = _MailTwin()
        mail.id = context.mail_id
        mail.envelope = envelope
        mail.message = message
        # An API that composes anew has no use for it.
        is_late = context.backend is not None and not context.backend.features.raw
        mail.content = plan.content(message, message_id=_message_id(message.from_), date=self._clock(), is_late=is_late)
        mail.is_altered = False
        mail.template = template
        mail.__class__ = Mail
        return mail  # type: ignore[no-any-return]  # it has become one

    async def seal_raw(
        self, data: bytes | StandardMessage, envelope: Envelope | None, context: Context
    ) -> Mail | Receipt:
        """The same for ready-made mail, which no filter of messages sees."""
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
        return tuple(await self._hooks.apply("recipients", recipients, context, _not_addresses))

    async def _kept_back(self, recipients: tuple[Address, ...], context: Context) -> Receipt | None:
        """Why it is not to be sent: nobody is left, or a filter answers in its place."""
        if not recipients and self._hooks.has("recipients"):
            return Receipt(id=context.mail_id, skipped="the recipients filter left nobody")
        nothing: Receipt | None = None
        short = await self._hooks.apply("short_circuit", nothing, context, Receipt)
        if short is None:
            return None
        why = short.skipped or "a short_circuit filter answered in its place"
        return short.with_(id=short.id or context.mail_id, skipped=why)

    async def _finished(self, mail: Mail, context: Context) -> Mail:
        """The filters behind sealing; what they change is not what the message composes any more."""
        finished = await self._hooks.apply("mail", mail, knowing(context, mail=mail), _not_mail(mail.id))
        finished = await self._hooks.apply("sign", finished, knowing(context, mail=finished), _not_mail(mail.id))
        if finished.content is not mail.content or finished.message is not mail.message:
            finished = finished.with_(is_altered=True)
        return _told(finished)


# Filters that any mail passes.
_SEALING = ("message", "recipients", "headers", "short_circuit", "mail", "sign")
_MailTwin = twin_of(Mail)


def _told(mail: Mail) -> Mail:
    if SEALED.wanted():
        SEALED(mail_id=mail.id, size_bytes=mail.content.about_bytes, recipients=len(mail.envelope.recipients))
    return mail


def knowing(context: Context, **changes: Any) -> Context:
    """The context with what has become known."""
    copy = _Twin()
    copy.mailer = context.mailer
    copy.mail_id = context.mail_id
    copy.runtime = context.runtime
    copy.message = context.message
    copy.mail = context.mail
    copy.backend = context.backend
    copy.attempt = context.attempt
    copy.receipt = context.receipt
    copy.recipients = context.recipients
    copy.error = context.error
    copy.event = context.event
    for name, value in changes.items():
        setattr(copy, name, value)
    copy.__class__ = Context
    return copy  # type: ignore[no-any-return]  # it has become one


_Twin = twin_of(Context)


def _message_id(from_: tuple[Address, ...]) -> str:
    """A Message-ID that tells nothing about this machine: 128 random bits at the sender's own domain."""
    domain = from_[0].key[1] if from_ else "mailer.invalid"
    return f"<{os.urandom(16).hex()}@{domain}>"


def _not_addresses(value: Any) -> str | None:
    """What is wrong with what a ``recipients`` filter returned."""
    if isinstance(value, (tuple, list)) and all([isinstance(item, Address) for item in value]):
        return None
    return f"{_kinds(value)}: it must return a tuple of Address"


def _not_mail(mail_id: str) -> Callable[[Any], str | None]:
    """What is wrong with what a filter returned in the place of the mail of this id, which keeps it to the last."""

    def problem(value: Any) -> str | None:
        if not isinstance(value, Mail):
            return f"{_kinds(value)}: it must return Mail"
        return None if value.id == mail_id else "a Mail of another id: change a copy, mail.with_(...)"

    return problem


def _not_headers(value: Any) -> str | None:
    """What is wrong with what a ``headers`` filter returned."""
    try:
        if not isinstance(value, (tuple, list)):
            raise TypeError("no list")
        for name, body in value:
            field_name(name)
            line(body, name)
    except MessageError as error:
        return f"an unsafe header: {shown(str(error), 200)}"
    except (TypeError, ValueError):
        return f"{_kinds(value)}: it must return a tuple of (name, value)"
    return None


def _kinds(value: Any) -> str:
    """What it is, and what is in it."""
    kind = type(value).__name__
    if not isinstance(value, (tuple, list)):
        return kind
    return f"{kind} of {' and '.join(dict.fromkeys(type(item).__name__ for item in value)) or 'nothing'}"
