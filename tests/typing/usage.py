"""Typical user code, type-checked by mypy --strict and never run (STYLE.md): the annotations are part of the contract.

``assert_type`` holds what is inferred. Each ``type: ignore`` holds a mistake that the types must catch: mypy reports it
when it is none any more.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterable, AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.mime.text import MIMEText
from pathlib import Path
from typing import Any, assert_type

import mailer
from mailer import (
    NULL_SENDER,
    AccessToken,
    Address,
    AsyncMailer,
    Attachment,
    AuthError,
    Backend,
    BackendURL,
    ConnectError,
    Content,
    Context,
    DeliveryError,
    DeliveryOptions,
    Envelope,
    EventKind,
    Features,
    Health,
    Hooks,
    Mail,
    Mailer,
    Message,
    MessageError,
    Outcome,
    Plugin,
    PluginSettings,
    Receipt,
    RecipientResult,
    RejectReason,
    TokenProvider,
    backend_from_url,
    register_backend,
)
from mailer.backends.memory import MemoryBackend
from mailer.contrib.flask import FlaskMailer, QuartMailer
from mailer.dkim import DkimKey, DkimSigner
from mailer.mailbox import Mailbox
from mailer.plugins.dkim import Dkim
from mailer.plugins.list_unsubscribe import ListUnsubscribe
from mailer.plugins.redirect import Redirect
from mailer.runtime import Runtime
from mailer.smtp.reply import Reply
from mailer.testing import (
    FakeClock,
    MailOutbox,
    MailSnapshot,
    SentAttachment,
    SentMail,
    SmtpCommand,
    SmtpServer,
    assert_matches_snapshot,
    assert_sent,
    one_time_codes,
)
from mailer.unsubscribe_app import UnsubscribeApp
from mailer.webhooks import AsgiWebhooks, WsgiWebhooks, parse

# --- a message: wide in, narrow stored --------------------------------------------------------------------------------

addresses: list[str] = ["ann@example.org", "Bob <bob@example.org>"]
message = Message(
    from_=("Shop", "shop@example.com"),
    to=addresses,
    cc=(Address.parse(text) for text in addresses),
    bcc="archive@example.com",
    sender=Address("", "desk", "example.com"),
    subject="Your order",
    text="It is on its way.",
    html="<p>It is on its way.</p>",
    alternatives=[("text/calendar; method=REQUEST", "BEGIN:VCALENDAR")],
    attachments=[Path("terms.pdf"), Attachment.from_path("order.csv"), Attachment.from_bytes("a.bin", bytearray(3))],
    headers={"X-Order": "7"},
    tags="orders",
    metadata={"order": 7},
    priority="high",
    send_at=datetime.now(UTC),
    return_path=NULL_SENDER,
    delivery=DeliveryOptions(notify=["SUCCESS", "FAILURE"], require_tls=True),
)
assert_type(message.to, tuple[Address, ...])
assert_type(message.sender, Address | None)
assert_type(message.headers, tuple[tuple[str, str], ...])
assert_type(message.with_(headers=[("X-Order", "8"), ("X-Order", "9")]), Message)
assert_type(message.inline(Attachment.from_bytes("logo.png", b"")), Message)
assert_type(Message.from_dict(message.to_dict()), Message)
assert_type(Message.from_email_message(EmailMessage()), Message)
assert_type(Address.parse_list("a@b.test, c@d.test"), tuple[Address, ...])

Message(too="ann@example.org")  # type: ignore[call-arg]
Message(to=5)  # type: ignore[arg-type]
Message(subject=None)  # type: ignore[arg-type]
message.with_(text=b"x")  # type: ignore[arg-type]
message.subject = "Hello"  # type: ignore[misc]
Envelope(None, "ann@example.org").recipients += ()  # type: ignore[misc]


# --- sending ----------------------------------------------------------------------------------------------------------


def newsletter() -> Iterator[Message]:
    yield message


def blocking() -> None:
    with Mailer("smtp://user:secret@smtp.example.com", from_="shop@example.com") as one:
        assert_type(one, Mailer)
        assert_type(one.send(message), Receipt)
        assert_type(one.compose(message), Mail)
        assert_type(one.check(), Health)
        assert_type(one.send_raw(b"From: a@b.test\n\n", Envelope("a@b.test", ["c@d.test"])), Receipt)
        one.send_raw(EmailMessage())
        one.send_raw(MIMEText("x"))
        for receipt in one.send_many(newsletter()):
            assert_type(receipt, Receipt)
            assert_type(receipt.message_index, int | None)
        one.send(addresses)  # type: ignore[arg-type]
    assert_type(mailer.send(message), Receipt)


async def feed() -> AsyncIterator[Message]:
    yield message


async def awaited() -> None:
    async with AsyncMailer(backend_from_url("memory:")) as one:
        assert_type(await one.send(message), Receipt)
        async with contextlib.aclosing(one.send_many(feed())) as receipts:
            async for receipt in receipts:
                assert_type(receipt, Receipt)
        one.send(message)  # type: ignore[unused-coroutine]


# --- the receipt ------------------------------------------------------------------------------------------------------


def read(receipt: Receipt) -> str:
    for result in receipt.results:
        assert_type(result, RecipientResult)
        match result.outcome:
            case Outcome.ACCEPTED:
                assert_type(result.provider_id, str | None)
            case Outcome.DEFERRED:
                assert_type(result.retry_after_s, float | None)
            case Outcome.REJECTED | Outcome.UNKNOWN:
                assert_type(result.code, int | None)
    try:
        return receipt.raise_unless_ok().id
    except MessageError as error:
        return error.field
    except DeliveryError as error:
        assert_type(error.receipt, Receipt)
        return str(error)


# --- hooks and backends -----------------------------------------------------------------------------------------------

hooks = Hooks()


@hooks.filter("message")
def mark(value: Message, context: Context) -> Message:
    assert_type(context.mail, Mail | None)
    return value.with_(subject=f"[test] {value.subject}")


@hooks.filter("recipients")
async def nobody(value: tuple[Address, ...], context: Context) -> tuple[Address, ...]:
    await context.runtime.sleep(0)
    return value[:0]


@hooks.action("sent", priority=5)
def count(context: Context) -> None:
    assert_type(context.recipients, tuple[Address, ...])


assert_type(mark(message, Context(mailer=None, mail_id="", runtime=Mailer("null:").backend.runtime)), Message)
hooks.add_action("sent", mark)  # type: ignore[type-var]
hooks.add_filter("message", mark, once=True, on_error="skip")
hooks.add_filter("message", mark, on_error="ignore")  # type: ignore[arg-type]
assert_type(hooks.remove("message", mark, priority=5, owner="shop"), int)


class FooterSettings(PluginSettings):
    text: str


class Footer(Plugin[FooterSettings]):
    name = "footer"

    def register(self, hooks: Hooks) -> None:
        assert_type(self.settings, FooterSettings)
        hooks.add_filter("message", mark)


class Bare(Plugin):
    name = "bare"
    requires = ("footer",)

    def register(self, hooks: Hooks) -> None:
        assert_type(self.settings, PluginSettings)


Mailer("null:", plugins=[Footer(text="x"), Bare, "dkim"], on_plugin_error="disable", trace_hooks=True)
AsyncMailer("null:", plugins={"footer": {"text": "x"}})
Mailer("null:", plugins=[Hooks])  # type: ignore[list-item]


class Pigeon(Backend):
    features = Features(return_path=False)

    def send(self, mail: Mail) -> Receipt:
        return Receipt.for_all(mail, Outcome.ACCEPTED, text=f"{len(mail.content)} octets", backend=str(self))


class Swift(Backend):
    async def send(self, mail: Mail) -> Receipt:
        await self.runtime.sleep(1)
        return Receipt.for_all(mail, Outcome.ACCEPTED)

    async def check(self) -> Health:
        return Health(ok=True, backend=str(self))


def pigeon_from_url(url: BackendURL, runtime: Runtime | None) -> Backend:
    assert_type(url.options(speed=float), dict[str, Any])
    return Pigeon()


register_backend("pigeon", pigeon_from_url)
Mailer(Pigeon(), hooks=hooks)
Mailer("smtp+gmail://me%40x.test@default", tokens=TokenProvider(lambda: AccessToken("t", 1.0)))
AsyncMailer("smtp+gmail://me%40x.test@default", tokens=lambda: {"access_token": "t", "expires_in": 3600})
Mailer("smtp+gmail://me%40x.test@default", tokens="t")  # type: ignore[arg-type]
Mailer(Pigeon)  # type: ignore[arg-type]


# --- built-in plug-ins ------------------------------------------------------------------------------------------------

key = DkimKey.parse("x.test", "mail", "PEM", senders=["x.test", "y.test"])
unsubscribe = ListUnsubscribe(url="https://x.test/u", secret="s" * 32)
Mailer("memory:", plugins=[Dkim(keys=[key]), unsubscribe, Redirect(to="qa@x.test", allow="@x.test")])
assert_type(DkimSigner([key]).signed(Content.of(b""), now=1), Content | None)
assert_type(unsubscribe.link("ann@x.test", "news"), str)
assert_type(unsubscribe.app(Mailer("memory:")), UnsubscribeApp)
unsubscribe.app(AsyncMailer("memory:"), render=lambda name, about: f"{name} {about and about.address}")
unsubscribe.app(lambda event: event.recipient)
unsubscribe.app("mailer")  # type: ignore[arg-type]


# --- in tests and frameworks ------------------------------------------------------------------------------------------


def in_tests() -> None:
    backend = MemoryBackend()
    with Mailer(backend) as one:
        one.send(message)
    assert_type(backend.mails, list[Mail])

    def refused(verb: str, argument: str) -> Reply | None:
        return Reply(550, ("5.1.1 gone",)) if verb == "RCPT" else None

    with Mailbox(replies=refused) as mailbox:
        assert_type(mailbox.url, str)

    def said(command: SmtpCommand) -> str | None:
        return f"550 5.1.1 not {command.argument}" if len(command.recipients) > 1 else None

    with SmtpServer(tls="expired", users={"ann": "secret"}) as server:
        server.on("RCPT", "bob@*").reply(said, "451 4.3.0 later", None).times(3)
        server.on(".").delay(0.2).drop(after=10, reset=True)
        assert_type(server.mails[0].content, bytes)
        assert_type(server.sessions[0].received, bytes)


def with_the_kit(mailer_outbox: MailOutbox, mailer_snapshot: MailSnapshot, backend: MemoryBackend) -> None:
    mailer_outbox.fail_with(Outcome.DEFERRED, to="*@gone.example", times=1, code=451, retry_after_s=60)
    mailer_outbox.fail_with(ConnectError, to=lambda address: address.domain == "x.test")
    mailer_outbox.fail_with("deferred")  # type: ignore[arg-type]
    assert_type(mailer_outbox.assert_sent(to=["ann@x.test", Address.parse("b@x.test")], subject="Hi"), SentMail)
    assert_type(mailer_outbox.assert_sent(count=2, headers={"X-A": None}, attachments=1), list[SentMail])
    assert_type(assert_sent(backend, text=re.compile("Hi"), html=["a", "b"], template=None), SentMail)
    mailer_outbox.assert_sent(too="ann@x.test")  # type: ignore[call-overload]
    mailer_outbox.assert_nothing_sent(bcc=None)
    with FakeClock("2026-12-24T18:00Z") as clock:
        clock.advance(timedelta(hours=1), minutes=3)
        assert_type(clock.sleeps, list[float])
    mail = mailer_outbox[0]
    mailer_snapshot(mail, replace={re.compile("[0-9a-f]{32}"): "token"})
    assert_matches_snapshot(mail, "welcome", folder=Path("snapshots"))
    assert_type(mail.link("/reset"), str)
    assert_type(one_time_codes(mail, r"\d{4}"), list[str])
    assert_type(mail.attachments, tuple[SentAttachment, ...])
    assert_type(mail.receipt, Receipt | None)


def on_webhook(mailer: Mailer, headers: Mapping[str, str], body: bytes) -> int:
    try:
        events = parse("sendgrid", headers, body, ["new key", "old key"])
    except AuthError:
        return 401
    for event in events:
        assert_type(event.kind, EventKind)
        assert_type(event.recipient, Address | None)
        assert_type(event.reject_reason, RejectReason | None)
        if event.kind == "bounced" and event.is_hard:
            assert_type(event.metadata, Mapping[str, Any])
    assert_type(AsgiWebhooks(AsyncMailer("null:"), {"ses": "arn:aws:sns:eu-west-1:1:mail"}), AsgiWebhooks)
    WsgiWebhooks(AsyncMailer("null:"), {"ses": "arn:aws:sns:eu-west-1:1:mail"})  # type: ignore[arg-type]
    return 500 if mailer.publish(events) else 200


async def in_quart(extension: QuartMailer, messages: AsyncIterable[Message]) -> list[Receipt]:
    assert_type(extension.get("news"), AsyncMailer)
    return [await extension.send(Message(to="ann@example.org")), *[one async for one in extension.send_many(messages)]]


def in_flask(extension: FlaskMailer) -> Mapping[str, object]:
    assert_type(extension.mailer, Mailer)
    return extension.send(message).to_dict()
