"""Flask-Mailman's API where it is ours: backends, receipts, one connection, and the names by which it is known."""

from __future__ import annotations

import copy
import io
import logging
import pickle
import smtplib
import subprocess
import sys
from collections.abc import Iterator
from email import charset, message_from_bytes, policy
from email.mime.text import MIMEText
from pathlib import Path
from typing import Any

import pytest
from cases import each
from flask import Flask

import mailer.contrib.flask_mailman as flask_mailman
from mailer import ConfigError, DeliveryDeferred, MessageError, Outcome, TlsError
from mailer.contrib.flask_mailman import BadHeaderError, EmailMessage, EmailMultiAlternatives, Mail
from mailer.contrib.flask_mailman.backends import base, console, dummy, file, locmem, smtp
from mailer.contrib.flask_mailman.message import SafeMIMEText, forbid_multi_line_headers, sanitize_address
from mailer.contrib.flask_mailman.utils import force_str, punycode
from mailer.testing import SmtpServer

TO = "ann@example.org"


@pytest.fixture(scope="module")
def running() -> Iterator[SmtpServer]:
    with SmtpServer() as server:
        yield server


@pytest.fixture
def server(running: SmtpServer) -> SmtpServer:
    running.clear()
    running.rules.clear()
    return running


def new_app(server: SmtpServer | None = None, **config: Any) -> Flask:
    app = Flask("shop")
    app.config["MAIL_DEFAULT_SENDER"] = "shop@example.com"
    if server is not None:
        app.config.update(MAIL_SERVER="127.0.0.1", MAIL_PORT=server.port)
    app.config.update(config)
    return app


def hello(**more: Any) -> EmailMessage:
    return EmailMessage(**{"subject": "Hi", "body": "Hello", "to": [TO, "bob@example.org"], **more})


# --- smtp -------------------------------------------------------------------------------------------------------------


def test_sends_share_one_connection_and_have_receipts(server: SmtpServer) -> None:
    app = new_app(server)
    mail = Mail(app)
    server.on("RCPT", "bob@*").times(1).reply("550 5.1.1 no such user")
    with app.app_context():
        message = hello()
        assert message.send() == 1
        assert mail.send_mail("a", "b", None, [TO]) == 1
        with mail.get_connection() as connection:
            assert connection.send_messages(iter([hello(), hello(to=[])])) == 1
    assert message.mailer_receipt is not None
    assert [result.outcome for result in message.mailer_receipt.results] == [Outcome.ACCEPTED, Outcome.REJECTED]
    assert sum(line.startswith("EHLO") for line in server.commands) == 1


def test_what_nobody_accepts_raises_with_its_receipt_or_is_left_out(server: SmtpServer) -> None:
    app = new_app(server)
    mail = Mail(app)
    server.on("RCPT", "bob@*").reply("550 5.1.1 no such user")
    with app.app_context():
        message = hello(to=["bob@example.org"])
        with pytest.raises(smtplib.SMTPRecipientsRefused) as caught:
            message.send()
        error: Any = caught.value
        assert error.receipt is message.mailer_receipt
        assert pickle.loads(pickle.dumps(error)).recipients == error.recipients
        connection = mail.get_connection(fail_silently=True)
        assert connection.send_messages([message, hello(to=[TO])]) == 1


def test_hooks_see_every_mail_of_the_app(server: SmtpServer) -> None:
    app = new_app(server)
    mail = Mail(app)
    seen = []
    mail.get_connection().mailer.hooks.add_action("sent", lambda context: seen.append(context.message.subject))
    with app.app_context():
        mail.send_mail("a", "b", None, [TO])
        mail.send_mail("c", "d", None, [TO], auth_user="u", auth_password="p", fail_silently=True)
    assert seen == ["a"]


def test_a_backend_of_other_options_is_one_of_its_own(server: SmtpServer) -> None:
    app = new_app(server, MAIL_SERVER="mail.invalid", MAIL_USERNAME="u", MAIL_PASSWORD="S3cr3t-word")
    mail = Mail(app)
    connection = mail.get_connection(host="127.0.0.1", username="", timeout=5)
    assert (connection.host, connection.port, connection.username, connection.timeout) == (
        "127.0.0.1",
        server.port,
        "",
        5,
    )
    assert connection.mailer.backend.endpoint.timeouts.command_s == 5
    with app.app_context():
        assert hello(connection=connection).send() == 1
    usual = mail.get_connection()
    assert usual.mailer is not connection.mailer
    assert "S3cr3t-word" not in f"{usual!r}{usual.mailer!r}{usual.mailer.backend}{mail.state!r}"


@each("options", [{"use_tls": True, "use_ssl": True}, {"port": "smtp"}, {"timeout": -1}])
def test_wrong_options_are_a_value_error_that_names_the_key(options: dict[str, Any]) -> None:
    mail = Mail(new_app())
    with pytest.raises(ValueError, match="MAIL_") as caught:
        mail.get_connection(**options)
    assert isinstance(caught.value, ConfigError)


def test_certificates_are_verified() -> None:
    with SmtpServer(tls=True, users={"ann": "S3cr3t-word"}) as server:
        app = new_app(server, MAIL_USE_TLS=True, MAIL_USERNAME="ann", MAIL_PASSWORD="S3cr3t-word")
        mail = Mail(app)
        with app.app_context(), pytest.raises(DeliveryDeferred) as caught:
            mail.send_mail("a", "b", None, [TO])
        assert isinstance(caught.value.__cause__, TlsError)
        assert mail.get_connection(fail_silently=True).open() is None
        assert not server.mails
        app = new_app(MAILER_URL=server.url)
        mail = Mail(app)
        with app.app_context():
            assert mail.send_mail("a", "b", None, [TO]) == 1
        assert server.mails[0].user == "ann"


def test_open_says_whether_a_connection_was_needed(server: SmtpServer) -> None:
    connection = Mail(new_app(server)).get_connection()
    assert connection.open() is True
    assert connection.open() is False
    assert connection.connection.sendmail("a@example.com", TO, "From: a@example.com\r\n\r\nx") == {}
    connection.close()
    assert connection.connection is None


def test_send_options_and_local_time_are_the_mails(server: SmtpServer) -> None:
    app = new_app(server, MAIL_SEND_OPTIONS=["RET=HDRS"], MAIL_USE_LOCALTIME=True)
    mail = Mail(app)
    with app.app_context():
        mail.send_mail("a", "b", None, [TO])
        mail.state.mail_options = ["HOLDFOR=60"]
        with pytest.raises(BadHeaderError, match="HOLDFOR"):
            mail.send_mail("a", "b", None, [TO])
    assert server.mails[0].parameters["RET"] == "HDRS"
    assert server.mails[0].message["Date"].datetime.tzinfo is not None


def test_subclasses_are_used_and_what_nobody_would_call_is_refused(server: SmtpServer) -> None:
    class Counting(smtp.EmailBackend):
        asked = 0

        def _send(self, email_message: Any) -> bool:
            self.asked += 1
            return super()._send(email_message)

    app = new_app(server, MAIL_BACKEND=Counting)
    mail = Mail(app)
    connection = mail.get_connection()
    with app.app_context():
        assert connection.send_messages([hello(), hello()]) == 2
    assert connection.asked == 2
    with pytest.raises(ConfigError, match="ssl_context"):
        type("Own", (smtp.EmailBackend,), {"ssl_context": None})


class Signed(EmailMultiAlternatives):
    """Builds itself."""

    def message(self) -> Any:
        message = super().message()
        message["X-Signed"] = "yes"
        return message


def test_a_message_that_builds_itself_is_sent_as_it_says(server: SmtpServer) -> None:
    app = new_app(server)
    Mail(app)
    with app.app_context():
        message = Signed("Hi", "x", to=[TO], bcc=["b@example.org"])
        message.attach_alternative("<p>x</p>", "text/html")
        assert message.send() == 1
    assert server.mails[0].message["X-Signed"] == "yes"
    assert server.mails[0].recipients == (TO, "b@example.org")


# --- the others -------------------------------------------------------------------------------------------------------


def test_under_test_messages_are_in_the_outbox_and_hooks_run(caplog: pytest.LogCaptureFixture) -> None:
    app = new_app(TESTING=True, MAILER_PLUGINS={"subject_prefix": {"prefix": "[test]"}})
    mail = Mail(app)
    assert mail.outbox is None
    with app.app_context(), caplog.at_level(logging.WARNING):
        message = hello(to=[TO])
        assert message.send() == 1
        assert hello(to=["root"]).send() == 1
        assert hello(from_email=None, to=[]).send() == 0
        with pytest.raises(BadHeaderError):
            hello(subject="a\nb").send()
        assert mail.send_mass_mail([("s", "b", None, [TO]), ("t", "b", None, [TO])]) == 2
    assert [kept.subject for kept in mail.outbox] == ["Hi", "Hi", "s", "t"]
    assert message.mailer_receipt is not None
    assert "root" in caplog.text


def test_without_a_sender_the_outbox_takes_it_and_smtp_does_not(server: SmtpServer) -> None:
    app = new_app(server, MAIL_DEFAULT_SENDER=None, MAIL_BACKEND="locmem")
    mail = Mail(app)
    with app.app_context():
        assert hello().send() == 1
        assert mail.outbox[0].from_email is None
        with pytest.raises(BadHeaderError, match="from_email"):
            hello(connection=mail.get_connection("smtp")).send()


def test_console_and_file_write_the_mail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app = new_app(MAIL_BACKEND="console")
    mail = Mail(app)
    stream = io.StringIO()
    with app.app_context():
        hello().send()
        hello(connection=mail.get_connection(stream=stream), subject="Grüße").send()
        mail.state.backend, mail.state.file_path = "file", tmp_path / "mails"
        with mail.get_connection() as connection:
            hello(connection=connection).send()
            hello(connection=connection).send()
    assert "To: ann@example.org, bob@example.org" in capsys.readouterr().out
    assert "=?utf-8?" in stream.getvalue()
    [written] = (tmp_path / "mails").iterdir()
    assert written.read_text().count("-" * 79) == 2
    assert written == Path(connection._fname)


def test_a_folder_that_cannot_be_had_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    mail = Mail(new_app(MAIL_BACKEND="file"))
    for path in (None, tmp_path / "taken", tmp_path / "taken" / "below"):
        with pytest.raises(file.ImproperlyConfigured, match="MAIL_FILE_PATH"):
            mail.get_connection(file_path=path)


def test_console_fails_silently_where_it_is_told_to() -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError("disk full")

    app = new_app(MAIL_BACKEND="console")
    mail = Mail(app)
    with app.app_context():
        assert hello(connection=mail.get_connection(stream=Broken(), fail_silently=True)).send() == 0
        with pytest.raises(OSError, match="disk full"):
            hello(connection=mail.get_connection(stream=Broken())).send()
        assert mail.get_connection("dummy").send_messages([hello(), hello()]) == 2


# --- the extension ----------------------------------------------------------------------------------------------------


class OwnBackend(base.BaseEmailBackend):
    def send_messages(self, email_messages: Any) -> int:
        return 66


@each(
    ("name", "kind"),
    [
        ("smtp", smtp.EmailBackend),
        ("flask_mailman.backends.locmem", locmem.EmailBackend),
        ("flask_mailman.backends.dummy.EmailBackend", dummy.EmailBackend),
        ("mailer.contrib.flask_mailman.backends.console", console.EmailBackend),
        ("mailer.contrib.flask_mailman.backends.console.EmailBackend", console.EmailBackend),
        (f"{__name__}.OwnBackend", OwnBackend),
        (OwnBackend, OwnBackend),
    ],
)
def test_backends_by_each_kind_of_name(name: Any, kind: type) -> None:
    assert type(Mail(new_app()).get_connection(name)) is kind


@each("name", ["unknown", "no.such.module", f"{__name__}.Missing", f"{__name__}"])
def test_an_unknown_backend_says_what_there_is(name: str) -> None:
    mail = Mail(new_app(MAIL_BACKEND=name))
    with pytest.raises(RuntimeError, match="available built-in mail backends"):
        mail.get_connection()


def test_a_factorys_extension_serves_each_app(server: SmtpServer) -> None:
    mail = Mail()
    assert mail.state is None
    assert copy.copy(mail).app is None
    one, two = new_app(server), new_app(server, MAIL_DEFAULT_SENDER=("Two, Inc", "two@example.com"))
    for app in (one, two):
        assert mail.init_app(app) is app.extensions["mailman"]
    with one.app_context():
        hello().send()
        with two.app_context():
            mail.send_mail("a", "b", recipient_list=[TO])
    assert [got.sender for got in server.mails] == ["shop@example.com", "two@example.com"]
    assert server.mails[1].message["From"].addresses[0].display_name == "Two, Inc"
    with Flask("bare").app_context():
        for call in (mail.get_connection, hello, base.BaseEmailBackend):
            with pytest.raises(RuntimeError, match="init_app"):
                call()


def test_an_abstract_backend_says_what_to_override() -> None:
    with pytest.raises(NotImplementedError, match="send_messages"):
        base.BaseEmailBackend(mailman=object()).send_messages([])


# --- messages ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def context() -> Iterator[None]:
    app = new_app()
    Mail(app)
    with app.app_context():
        yield


@pytest.mark.usefixtures("context")
def test_attached_files_and_their_types(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"x\xff")
    message = hello(attachments=[("b.txt", b"y", "text/plain"), MIMEText("z")])
    message.attach_file(tmp_path / "a.txt")
    assert message.attachments[0] == ("b.txt", "y", "text/plain")
    assert message.attachments[2] == ("a.txt", b"x\xff", "application/octet-stream")
    parsed = message_from_bytes(message.message().as_bytes(), policy=policy.default)
    assert len(list(parsed.iter_parts())) == 4  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="Both"):
        EmailMultiAlternatives().attach_alternative(None, "text/html")


@pytest.mark.usefixtures("context")
def test_headers_take_no_line_break_and_encode_themselves() -> None:
    part = SafeMIMEText("x", "plain", "utf-8")
    with pytest.raises(BadHeaderError):
        part["Subject"] = "a\nb"
    assert forbid_multi_line_headers("To", "Ä <a@bücher.example>, b@example.org", None)[1] == (
        "=?utf-8?b?w4Q=?= <a@xn--bcher-kva.example>, b@example.org"
    )
    assert sanitize_address(("A", "a@example.org"), "utf-8") == "A <a@example.org>"
    for wrong in ("a@example.org, b@example.org", "a b", ("A\n", "a@example.org"), ("A", "a@-")):
        with pytest.raises(ValueError, match=r"nvalid|line"):
            sanitize_address(wrong, "utf-8")


def test_text_and_names() -> None:
    assert (force_str(b"\xc3\xa4"), force_str(None, strings_only=True), force_str(1)) == ("ä", None, "1")
    with pytest.raises(UnicodeDecodeError, match="You passed in"):
        force_str(b"\xff")
    assert punycode("bücher.example") == "xn--bcher-kva.example"
    assert str(flask_mailman.DNS_NAME) == flask_mailman.CachedDnsName().get_fqdn()


def test_importing_it_leaves_the_standard_librarys_charsets_alone() -> None:
    assert charset.Charset("utf-8").body_encoding == charset.BASE64


def test_errors_before_sending_are_both_theirs_and_ours(server: SmtpServer) -> None:
    app = new_app(server)
    Mail(app)
    with app.app_context(), pytest.raises(ValueError, match="Bcc") as caught:
        hello(headers={"Bcc": "e@example.org"}).send()
    assert isinstance(caught.value, MessageError)


def test_what_variables_give_is_read() -> None:
    app = new_app(MAIL_USE_LOCALTIME="false", MAIL_DEFAULT_SENDER=["Shop", "shop@example.com"])
    assert Mail(app).state.use_localtime is False  # type: ignore[union-attr]
    with app.app_context():
        assert hello().from_email == "Shop <shop@example.com>"


def test_it_goes_by_flask_mailmans_name_whole() -> None:
    program = """
import sys
import mailer.contrib.flask_mailman as ours
sys.modules["flask_mailman"] = ours
from flask import Flask
from flask_mailman import EmailMessage, Mail
from flask_mailman.backends import locmem, smtp
from flask_mailman.message import BadHeaderError, sanitize_address
from flask_mailman.utils import DNS_NAME
assert BadHeaderError is ours.BadHeaderError and DNS_NAME is ours.DNS_NAME
app = Flask("shop")
mail = Mail(app)
assert type(mail.get_connection()) is smtp.EmailBackend
with app.app_context(), mail.get_connection(backend=locmem.EmailBackend) as connection:
    EmailMessage("a", "b", "a@example.com", ["b@example.org"], connection=connection).send()
assert len(mail.outbox) == 1
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=60)
