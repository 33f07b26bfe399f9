"""Flask-Mail's API where it is ours: receipts, one connection, what is mended; what its users replace is still used."""

from __future__ import annotations

import copy
import email
import email.policy
import logging
import pickle
import smtplib
import threading
from collections.abc import Iterator
from email import charset
from email.header import Header, decode_header, make_header
from pathlib import Path
from typing import Any

import pytest
from cases import each
from flask import Flask, current_app

from mailer import (
    ConfigError,
    DeliveryDeferred,
    DeliveryError,
    DeliveryOptions,
    DeliveryRefused,
    Mailer,
    MessageError,
    Outcome,
    TlsError,
)
from mailer.contrib import flask_mail, flask_mailman
from mailer.contrib.flask_mail import Attachment, BadHeaderError, Connection, Mail, Message, email_dispatched
from mailer.testing import SmtpServer

TO = "ann@example.org"


@pytest.fixture(scope="module")
def smtp() -> Iterator[SmtpServer]:
    with SmtpServer() as server:
        yield server


@pytest.fixture
def server(smtp: SmtpServer) -> SmtpServer:
    smtp.clear()
    smtp.rules.clear()
    return smtp


def new_app(server: SmtpServer | None = None, **config: Any) -> Flask:
    app = Flask("shop")
    app.config["MAIL_DEFAULT_SENDER"] = "shop@example.com"
    if server is not None:
        app.config["MAIL_PORT"] = server.port
    app.config.update(config)
    return app


def hello(**more: Any) -> Message:
    return Message(**{"subject": "Hi", "recipients": [TO, "bob@example.org"], "body": "Hello", **more})


def connections_of(server: SmtpServer) -> int:
    return sum(line.startswith("EHLO") for line in server.commands)


# --- sending ----------------------------------------------------------------------------------------------------------


def test_sends_share_one_connection_and_have_receipts(server: SmtpServer) -> None:
    app = new_app(server)
    mail = Mail(app)
    with app.app_context():
        messages = [hello() for _ in range(3)]
        for message in messages[:2]:
            mail.send(message)
        with mail.connect() as connection:
            connection.send(messages[2])
    assert [message.mailer_receipt.ok for message in messages if message.mailer_receipt] == [True] * 3
    assert connections_of(server) == 1
    assert server.mails[0].recipients == (TO, "bob@example.org")


def test_max_emails_is_how_many_a_connection_takes(server: SmtpServer) -> None:
    app = new_app(server, MAIL_MAX_EMAILS=2)
    mail = Mail(app)
    with app.app_context(), mail.connect() as connection:
        counts = []
        for _ in range(5):
            connection.send(hello())
            counts.append(connection.num_emails)
    assert counts == [1, 0, 1, 0, 1]
    assert connections_of(server) == 3


def test_a_refusal_of_one_is_on_the_receipt_and_of_all_is_raised_with_it(server: SmtpServer) -> None:
    app = new_app(server)
    mail = Mail(app)
    server.on("RCPT", "bob@*").reply("550 5.1.1 no such user")
    with app.app_context():
        mail.send(message := hello())
        assert message.mailer_receipt is not None
        assert [result.outcome for result in message.mailer_receipt.results] == [Outcome.ACCEPTED, Outcome.REJECTED]
        with pytest.raises(smtplib.SMTPRecipientsRefused) as caught:
            mail.send(message := hello(recipients=["bob@example.org"]))
    error: Any = caught.value
    assert isinstance(error, DeliveryRefused)
    assert error.receipt is message.mailer_receipt
    assert error.recipients == {"bob@example.org": (550, b"no such user")}
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.recipients, str(again)) == (type(error), error.recipients, str(error))


def test_the_signal_and_the_record_tell_of_what_was_sent_alone(server: SmtpServer) -> None:
    app = new_app(server)
    mail = Mail(app)
    server.on("RCPT", "bob@*").reply("550 no")
    heard = []

    def hear(sender: Any, message: Any) -> None:
        heard.append((sender, message))

    with email_dispatched.connected_to(hear), app.app_context(), mail.record_messages() as outbox:
        mail.send(message := hello())
        with pytest.raises(DeliveryError):
            mail.send(hello(recipients=["bob@example.org"]))
    assert heard == [(app, message)]
    assert outbox == [message]


def test_it_sends_outside_of_a_context_and_in_threads(server: SmtpServer) -> None:
    app = new_app(server, MAIL_ASCII_ATTACHMENTS=True)
    mail = Mail(app)
    heard = []

    def hear(sender: Any, message: Any) -> None:
        heard.append(sender)

    def send() -> None:
        written = [Attachment("é.txt", data="x", headers={"X-Kind": "note"})]
        mail.send(Message("Hi", [TO], "x", sender="a@example.com", attachments=written))

    with email_dispatched.connected_to(hear):
        threads = [threading.Thread(target=send) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(server.mails) == 4
    assert heard == [app] * 4
    assert b'filename="e.txt"' in server.mails[0].content


def test_attributes_may_be_set_to_none_and_to_other_kinds_later(server: SmtpServer) -> None:
    app = new_app(server)
    mail = Mail(app)
    with app.app_context():
        message = hello(reply_to=["r@example.org", "s@example.org"])
        message.cc = message.bcc = message.attachments = message.mail_options = message.rcpt_options = None  # type: ignore[assignment]
        message.recipients, message.sender, message.body = (TO,), ("N, x", "n@example.com"), b"octets"  # type: ignore[assignment]
        mail.send(message)
    got = server.mails[0].message
    assert got["From"].addresses[0].display_name == "N, x"
    assert [one.addr_spec for one in got["Reply-To"].addresses] == ["r@example.org", "s@example.org"]
    assert got.get_content().strip() == "octets"


def test_the_envelope_may_have_another_sender(server: SmtpServer) -> None:
    app = new_app(server)
    with app.app_context(), Mail(app).connect() as connection:
        connection.send(hello(), envelope_from="bounces@example.com")
        connection.send(hello(extra_headers={"Sender": "list@example.com"}))
    assert [got.sender for got in server.mails] == ["bounces@example.com", "shop@example.com"]


def test_delivery_options_are_carried_and_unknown_ones_refused(server: SmtpServer) -> None:
    app = new_app(server)
    mail = Mail(app)
    with app.app_context():
        mail.send(
            hello(mail_options=["RET=HDRS", "ENVID=a+2Bb", "BODY=8BITMIME"], rcpt_options=["NOTIFY=SUCCESS,DELAY"])
        )
        [asked] = server.mails
        assert asked.parameters.items() >= {"RET": "HDRS", "ENVID": "a+2Bb"}.items()
        assert [given["NOTIFY"] for given in asked.recipient_parameters] == ["SUCCESS,DELAY"] * 2
        with pytest.raises(BadHeaderError, match="HOLDFOR"):
            mail.send(hello(mail_options=["HOLDFOR=60"]))


@each(
    ("mail", "rcpt", "wanted"),
    [
        ([], [], DeliveryOptions()),
        (["size=12", "SMTPUTF8", "body=7bit"], ["ORCPT=rfc822;a@b"], DeliveryOptions()),
        (["ret=full", "ENVID=x+3Dy"], ["NOTIFY=never"], DeliveryOptions(ret="FULL", envid="x=y", notify="NEVER")),
        (["BY=120;NT"], [], DeliveryOptions(deliver_by_s=120, deliver_by_mode="N")),
        (["REQUIRETLS", "MT-PRIORITY=-3"], [], DeliveryOptions(require_tls=True, mt_priority=-3)),
    ],
)
def test_esmtp_parameters_are_delivery_options(mail: list[str], rcpt: list[str], wanted: DeliveryOptions) -> None:
    assert DeliveryOptions.from_esmtp(mail, rcpt) == wanted


@each("mail", [["BY=soon"], ["RET"], ["REQUIRETLS=1"], ["RET=HDRS", "ret=FULL"], ["X=1"], ["A\r\nRCPT TO:<e@x>"], [7]])
def test_wrong_esmtp_parameters_are_refused(mail: list[Any]) -> None:
    with pytest.raises(MessageError):
        DeliveryOptions.from_esmtp(mail)


# --- safety -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tls() -> Iterator[SmtpServer]:
    with SmtpServer(tls=True, users={"ann": "S3cr3t-word"}) as server:
        yield server


def test_a_certificate_that_nobody_vouches_for_stops_it(tls: SmtpServer) -> None:
    app = new_app(tls, MAIL_USE_TLS=True, MAIL_USERNAME="ann", MAIL_PASSWORD="S3cr3t-word")
    mail = Mail(app)
    tls.clear()
    with app.app_context(), pytest.raises(DeliveryDeferred) as caught:
        mail.send(hello())
    assert isinstance(caught.value.__cause__, TlsError)
    assert "S3cr3t-word" not in str(caught.value)
    assert not tls.mails


def test_a_verified_one_takes_the_login(tls: SmtpServer) -> None:
    app = new_app(MAILER_URL=tls.url)
    with app.app_context():
        Mail(app).send(hello())
    assert tls.mails[-1].user == "ann"


@each(
    "config",
    [
        {"MAIL_USE_TLS": True, "MAIL_USE_SSL": True},
        {"MAIL_PORT": "smtp"},
        {"MAIL_MAX_EMAILS": -1},
    ],
)
def test_wrong_settings_fail_at_once_but_where_nothing_is_sent(config: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Mail(new_app(**config))
    Mail(new_app(**config, TESTING=True))


def test_nothing_shows_the_password() -> None:
    mail = Mail(new_app(MAIL_USERNAME="ann", MAIL_PASSWORD="S3cr3t-word"))
    for shown in (repr(mail), repr(mail.state), repr(mail.state.mailer), str(mail.state.mailer.backend)):
        assert "S3cr3t-word" not in shown


@each(
    "fields",
    [
        {"cc": ["a@example.org\nX: y"]},
        {"bcc": ["a@example.org\rX: y"]},
        {"extra_headers": {"X": "a\r\nY: z"}},
        {"extra_headers": {"X": "a\r\n \r\n b"}},
        {"extra_headers": {"X: y\r\nZ": "a"}},
        {"sender": ("a\nX: y", "a@example.com")},
        {"subject": "a\rb"},
    ],
)
def test_no_header_takes_a_line_break(server: SmtpServer, fields: dict[str, Any]) -> None:
    app = new_app(server)
    mail = Mail(app)
    with app.app_context():
        message = hello(**fields)
        assert message.has_bad_headers()
        with pytest.raises(BadHeaderError):
            mail.send(message)
        with pytest.warns(DeprecationWarning, match="has_bad_headers"):
            assert message.is_bad_headers()
    assert not server.mails


@each("fields", [{"subject": "a\nX: y"}, {"extra_headers": {"X": "a\r\nY: z"}}])
def test_as_string_writes_no_injected_header(fields: dict[str, Any]) -> None:
    app = new_app()
    Mail(app)
    with app.app_context(), pytest.raises(BadHeaderError):
        hello(**fields).as_string()
    with app.app_context(), pytest.raises(BadHeaderError):
        hello(attachments=[Attachment('a\r\nX: y"', "text/plain", "x")]).as_bytes()


@each("headers", [{"To": "e@example.org"}, {"Bcc": "e@example.org"}, {"Subject": "x"}, {"Content-Type": "text/html"}])
def test_headers_that_are_the_messages_own_are_refused(server: SmtpServer, headers: dict[str, str]) -> None:
    app = new_app(server)
    with app.app_context(), pytest.raises(BadHeaderError, match=next(iter(headers))) as caught:
        Mail(app).send(hello(extra_headers=headers))
    assert isinstance(caught.value, MessageError)
    assert not server.mails


def test_a_further_header_may_be_folded_as_pythons_header_does(server: SmtpServer) -> None:
    text = "Grüße aus München " * 8
    app = new_app(server)
    mail = Mail(app)
    with app.app_context():
        message = hello(extra_headers={"X-Long": Header(text, "utf-8").encode(), "X-Folded": "a\r\n b"})
        assert "X-Folded: a\r\n b" in message.as_string()
        mail.send(message)
    sent = server.mails[-1].message
    assert (str(make_header(decode_header(sent["X-Long"]))), sent["X-Folded"]) == (text.strip(), "a b")


# --- suppressed -------------------------------------------------------------------------------------------------------


@each("config", [{"TESTING": True}, {"MAIL_SUPPRESS_SEND": True}])
def test_suppressed_mail_goes_nowhere_and_is_told_of(config: dict[str, Any]) -> None:
    app = new_app(**config, MAIL_SERVER="mail.invalid")
    mail = Mail(app)
    with app.app_context(), mail.record_messages() as outbox, mail.connect() as connection:
        assert connection.host is None
        connection.send_message("Hi", [TO], "x")
    [message] = outbox
    assert message.date is not None
    assert message.mailer_receipt is not None


def test_our_from_is_the_default_sender_where_it_is_one_mailbox() -> None:
    ours = "Ours <ours@example.com>"
    for module in (flask_mail, flask_mailman):
        found = []
        for given in (ours, [ours], [ours, TO], None):
            app = new_app(MAILER_FROM=given, MAIL_DEFAULT_SENDER="theirs@example.com")
            found.append(module.Mail(app).state.default_sender)
        assert found == [ours, ours, "theirs@example.com", "theirs@example.com"]


@each("word", ["false", "0", "No"])
def test_words_of_the_environment_switch_nothing_on(word: str) -> None:
    state = Mail(new_app(MAIL_SUPPRESS_SEND=word, MAIL_ASCII_ATTACHMENTS=word, MAIL_DEBUG=word, TESTING=True)).state
    assert state is not None
    assert not any([state.suppress, state.ascii_attachments, state.debug])


def test_suppressed_mail_runs_hooks_and_what_could_not_be_sent_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    app = new_app(TESTING=True)
    mail = Mail(app)
    seen = []
    mail.state.mailer.hooks.add_action("sent", lambda context: seen.append(context.message.subject))
    with app.app_context(), mail.record_messages() as outbox, caplog.at_level(logging.WARNING):
        mail.send(hello(recipients=["nobody"]))
        mail.send(hello())
    assert len(outbox) == 2
    assert seen == ["Hi"]
    assert "nobody" in caplog.text


def test_the_state_counts_as_it_is_now(server: SmtpServer) -> None:
    app = new_app(TESTING=True)
    mail = Mail(app)
    hooks = mail.state.mailer.hooks
    mail.state.port, mail.state.suppress, mail.state.default_sender = server.port, False, ("Shop", "s@example.com")
    with app.app_context():
        mail.send(hello())
    assert server.mails[0].sender == "s@example.com"
    assert mail.state.mailer.hooks is hooks
    assert isinstance(mail.mailer, Mailer)


# --- the extension ----------------------------------------------------------------------------------------------------


def test_a_factorys_extension_serves_each_app(server: SmtpServer) -> None:
    mail = Mail()
    assert mail.state is None
    assert mail.suppress is None
    one, two = new_app(server), new_app(server, MAIL_DEFAULT_SENDER="two@example.com")
    for app in (one, two):
        assert mail.init_app(app) is app.extensions["mail"]
    with one.app_context():
        mail.send(hello())
        with two.app_context():
            mail.send_message("Hi", [TO], "x")
            current_app.extensions["mail"].send(hello())
    assert [got.sender for got in server.mails] == ["shop@example.com", "two@example.com", "two@example.com"]


def test_an_app_without_it_is_told_what_to_call() -> None:
    mail, app = Mail(), Flask("bare")
    with app.app_context(), pytest.raises(RuntimeError, match="init_app"):
        mail.connect()
    with app.app_context(), pytest.raises(RuntimeError, match="init_app"):
        Message("x")


def test_messages_and_the_extension_are_copied_and_pickled() -> None:
    app = new_app()
    mail = Mail(app)
    with app.app_context():
        message = hello(attachments=[Attachment("a.txt", None, "x")])
    again = pickle.loads(pickle.dumps(message))
    assert (again.msgId, again.attachments[0].data) == (message.msgId, "x")
    assert copy.copy(mail).app is app


def test_what_the_caller_gave_is_not_changed() -> None:
    given = [TO]
    app = new_app()
    Mail(app)
    with app.app_context():
        message = Message("x", given)
    message.add_recipient("bob@example.org")
    assert given == [TO]
    assert message.send_to == {TO, "bob@example.org"}
    assert list(message.send_to) == [TO, "bob@example.org"]


def test_message_ids_are_of_the_senders_domain_and_tell_no_host_name() -> None:
    app = new_app()
    Mail(app)
    with app.app_context():
        assert hello().msgId.endswith("@example.com>")
        assert hello(sender=("Ü", "a@bücher.example")).msgId.endswith("@localhost>")
        assert hello().msgId != hello().msgId


def test_importing_it_leaves_the_standard_librarys_charsets_alone() -> None:
    assert charset.Charset("utf-8").body_encoding == charset.BASE64


def test_the_old_version_attribute_warns() -> None:
    with pytest.warns(DeprecationWarning, match="importlib"):
        assert flask_mail.__version__ == "0.10.0"
    with pytest.raises(AttributeError, match="nonsense"):
        _ = flask_mail.nonsense


# --- what users replace -----------------------------------------------------------------------------------------------


class Signed(Message):
    """Builds itself."""

    def as_bytes(self) -> bytes:
        return super().as_bytes() + b"-- signed\r\n"


def test_a_message_that_builds_itself_is_sent_as_it_says(server: SmtpServer) -> None:
    app = new_app(server)
    with app.app_context():
        Mail(app).send(message := Signed("Hi", [TO], "x", bcc=["b@example.org"]))
    [got] = server.mails
    assert got.content.endswith(b"-- signed\r\n")
    assert got.recipients == (TO, "b@example.org")
    assert message.mailer_receipt is not None
    assert message.msgId.encode() in got.content


def test_attachments_with_headers_of_their_own_keep_them(server: SmtpServer) -> None:
    app = new_app(server)
    mail = Mail(app)
    with app.app_context():
        message = hello()
        message.attach("a.ics", "text/calendar", "BEGIN", headers=[("Content-Description", "an event")])
        mail.send(message)
    parsed: Any = email.message_from_bytes(server.mails[0].content, policy=email.policy.default)
    [part] = parsed.iter_attachments()
    assert part["Content-Description"] == "an event"


def test_a_host_of_the_users_own_is_used_as_smtplibs(server: SmtpServer) -> None:
    class OwnConnection(Connection):
        def configure_host(self) -> Any:
            return smtplib.SMTP("127.0.0.1", self.mail.port)

    class OwnMail(Mail):
        def connect(self) -> Connection:
            return OwnConnection(self.state)

    app = new_app(server, MAIL_MAX_EMAILS=1)
    with app.app_context(), OwnMail(app).connect() as connection:
        first = connection.host
        connection.send(message := hello())
        assert connection.host is not first
    assert server.mails[0].recipients == (TO, "bob@example.org")
    assert message.mailer_receipt is None


def test_a_connection_without_with_sends_too_and_says_what_is_wrong(server: SmtpServer) -> None:
    app = new_app(server)
    connection = Mail(app).connect()
    with app.app_context():
        connection.send(hello())
        with pytest.raises(BadHeaderError):
            connection.send(hello(recipients=["nobody"]))
    assert len(server.mails) == 1


def test_the_host_takes_ready_made_mail(server: SmtpServer) -> None:
    app = new_app(server)
    with app.app_context(), Mail(app).connect() as connection:
        server.on("RCPT", "bob@*").reply("550 5.1.1 no")
        refused = connection.host.sendmail("a@example.com", [TO, "bob@example.org"], b"From: a@example.com\r\n\r\nx")
    assert refused == {"bob@example.org": (550, b"no")}


def test_any_backend_takes_its_place(tmp_path: Path) -> None:
    app = new_app(MAILER_URL=f"file://{tmp_path}")
    with app.app_context():
        Mail(app).send(hello(html="<p>x</p>"))
    assert len(list(tmp_path.glob("*.eml"))) == 1


def test_the_other_mailer_keys_count_and_plugins_stay_when_settings_change(server: SmtpServer) -> None:
    plugins = {"subject_prefix": {"prefix": "[test]"}}
    app = new_app(server, TESTING=True, MAILER_RETRY="none", MAILER_PLUGINS=plugins)
    mail = Mail(app)
    seen = []
    mail.state.mailer.hooks.add_action("sent", lambda context: seen.append(context.message.subject))
    with app.app_context():
        mail.send(hello())
        mail.state.suppress = False
        mail.send(hello())
    assert seen == ["[test] Hi", "[test] Hi"]
    assert b"Subject: [test] Hi" in server.mails[0].content
    with pytest.raises(ConfigError, match="MAILER_RETRI"):
        Mail(new_app(TESTING=True, MAILER_RETRI="none"))
    with pytest.raises(ConfigError, match="MAILER_URL"):
        Mail(new_app(MAILER_URL="smpt://x"))
