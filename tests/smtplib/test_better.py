"""Where ours is other than smtplib, and has to be: docs/howto/smtplib.md lists it."""

from __future__ import annotations

import contextlib
import pickle
import smtplib as std
import socket
import ssl
import subprocess
import sys
import time
from email.mime.text import MIMEText

import pytest
from cases import each

import mailer
from mailer import errors
from mailer import smtplib as ours
from mailer.testing import ScriptedServer, SmtpServer

TEXT = "Subject: Hi\r\n\r\nHello\r\n"


@pytest.fixture(scope="module")
def tls_server():
    with SmtpServer(tls=True, users={"ann": "s3cret-word"}) as server:
        yield server


@pytest.fixture
def server(plain_server):
    plain_server.clear()
    plain_server.rules.clear()
    return plain_server


@pytest.fixture(scope="module")
def plain_server():
    with SmtpServer() as server:
        yield server


def connected(server, kind=ours.SMTP, **keywords):
    return contextlib.closing(
        kind(server.host, server.port, local_hostname="client.test", **{"timeout": 10.0} | keywords)
    )


def played(script, **keywords):
    """A server that plays this after its greeting, and a client."""
    stack = contextlib.ExitStack()
    server = stack.enter_context(ScriptedServer(f"S: 220 hi\n{script}"))
    return stack, stack.enter_context(connected(_At(server.port), **keywords))


class _At:
    host = "127.0.0.1"

    def __init__(self, port):
        self.port = port


# --- TLS and logins ---------------------------------------------------------------------------------------------------


def test_starttls_verifies_unless_the_context_says_otherwise(tls_server):
    tls_server.clear()
    with connected(tls_server) as smtp, pytest.raises(ours.SMTPCertificateError, match="unknown CA") as caught:
        smtp.starttls()
    assert smtp.sock is None
    for kind in (ssl.SSLCertVerificationError, OSError, std.SMTPException, mailer.TlsError):
        assert isinstance(caught.value, kind)
    with connected(tls_server) as smtp:
        assert smtp.ehlo()[0] == 250
        assert smtp.starttls(context=tls_server.client_context())[0] == 220
        assert (smtp.ehlo_resp, smtp.esmtp_features, smtp.does_esmtp) == (None, {}, False)
        assert smtp.sock.version() == "TLSv1.3"
        assert smtp.login("ann", "s3cret-word")[0] == 235
        assert smtp.sendmail("me@example.com", "ann@example.org", TEXT) == {}
    assert (tls_server.mails[0].is_tls, tls_server.mails[0].user) == (True, "ann")
    assert any(line.startswith("AUTH SCRAM-SHA-256-PLUS") for line in tls_server.commands)


def test_smtp_ssl_verifies_the_name_too():
    with SmtpServer(implicit_tls=True) as server:
        with pytest.raises(ours.SMTPCertificateError):
            ours.SMTP_SSL(server.host, server.port, timeout=10)
        with connected(server, ours.SMTP_SSL, context=server.client_context()) as smtp:
            assert smtp.sendmail("me@example.com", "ann@example.org", TEXT) == {}
    with SmtpServer(implicit_tls=True, tls="wrong_host") as server:
        context = server.client_context()
        with pytest.raises(ours.SMTPCertificateError, match="another"):
            ours.SMTP_SSL(server.host, server.port, timeout=10, context=context)


def test_a_subclass_may_bring_a_secured_socket():
    class Own(ours.SMTP_SSL):
        def _get_socket(self, host, port, timeout):
            return self.context.wrap_socket(super()._get_socket(host, port, timeout), server_hostname=host)

    with SmtpServer(implicit_tls=True) as server:
        with connected(server, Own, context=server.client_context()) as smtp:
            assert smtp.sendmail("me@example.com", "ann@example.org", TEXT) == {}
        assert server.mails[0].is_tls


def test_context_and_files_exclude_each_other():
    context = ssl.create_default_context()
    for keywords in ({"keyfile": "k"}, {"certfile": "c"}):
        with pytest.raises(ValueError, match=f"context and {next(iter(keywords))}"):
            ours.SMTP_SSL(context=context, **keywords)
    with pytest.warns(DeprecationWarning, match="custom context"), pytest.raises(mailer.ConfigError, match="cert_file"):
        ours.SMTP_SSL(certfile="/nowhere/cert.pem")


def test_clear_text_behind_the_220_to_starttls_is_an_attack():
    stack, smtp = played(
        "C: ehlo *\nS: 250-x\nS: 250 STARTTLS\nC: STARTTLS\nS: bytes b'220 go\\r\\n250 mine\\r\\n'\nS: hold"
    )
    with stack, pytest.raises(ours.SMTPTlsError, match="injected"):
        smtp.starttls()
    assert smtp.sock is None


def test_no_password_goes_out_in_clear_but_on_this_machine():
    offer = "C: ehlo *\nS: 250-x\nS: 250 AUTH PLAIN\n"
    stack, smtp = played(offer + "C: AUTH PLAIN *\nS: 235 ok\nS: hold")
    with stack:
        assert smtp.login("ann", "secret") == (235, b"ok")
    stack, smtp = played(offer + "C: NOOP\nS: 250 ok\nC: AUTH PLAIN *\nS: 235 ok\nS: hold")
    with stack:
        smtp._line._ip = "192.0.2.1"  # as it would be on another machine
        smtp.ehlo()
        smtp.user = smtp.password = "secret"
        for call in (
            lambda: smtp.login("ann", "secret"),
            lambda: smtp.auth("PLAIN", smtp.auth_plain),
            lambda: smtp.docmd("auth", "PLAIN AHguAHg="),
        ):
            with pytest.raises(ours.SMTPNotSupportedError, match=r"starttls\(\)") as caught:
                call()
            assert "secret" not in str(caught.value)
        assert smtp.docmd("NOOP")[0] == 250
        smtp.auth_in_clear = True
        assert smtp.login("ann", "secret") == (235, b"ok")


def test_a_proxy_on_this_machine_is_not_the_server():
    class Tunnelled(ours.SMTP):
        def _get_socket(self, host, port, timeout):
            return super()._get_socket("127.0.0.1", port, timeout)

    script = "C: ehlo *\nS: 250-x\nS: 250 AUTH PLAIN\nC: AUTH PLAIN *\nS: 235 ok\nS: hold"
    for host, is_here in (("smtp.example.com", False), ("192.0.2.1", False), ("localhost", True), ("127.0.0.2", True)):
        with (
            ScriptedServer(f"S: 220 hi\n{script}") as server,
            contextlib.closing(Tunnelled(host, server.port, "client.test", timeout=10)) as smtp,
        ):
            if is_here:
                assert smtp.login("ann", "secret") == (235, b"ok")
            else:
                with pytest.raises(ours.SMTPNotSupportedError, match=f"{host}: there is no TLS"):
                    smtp.login("ann", "secret")


def test_a_wrong_password_is_said_by_one_mechanism_of_each_kind(tls_server):
    tls_server.clear()
    with connected(tls_server) as smtp:
        smtp.starttls(context=tls_server.client_context())
        with pytest.raises(ours.SMTPAuthenticationError) as caught:
            smtp.login("ann", "wr0ng-word")
        assert smtp.noop()[0] == 250
    assert (caught.value.smtp_code, caught.value.reply.code) == (535, 535)
    assert isinstance(caught.value, (mailer.AuthError, std.SMTPAuthenticationError))
    tried = [line.split()[1] for line in tls_server.commands if line.startswith("AUTH")]
    assert tried == ["SCRAM-SHA-256-PLUS", "PLAIN"]


def test_a_mechanism_that_is_offered_in_vain_is_passed_over():
    script = """C: ehlo *\nS: 250-x\nS: 250 AUTH CRAM-MD5 PLAIN LOGIN
        C: AUTH CRAM-MD5\nS: 535 not for hashed passwords\nC: AUTH PLAIN *\nS: 504 not really
        C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: YW5u\nS: 334 UGFzc3dvcmQ6\nC: c2VjcmV0\nS: 235 ok\nS: hold"""
    stack, smtp = played(script)
    with stack:
        assert smtp.login("ann", "secret") == (235, b"ok")


def test_a_server_that_does_not_know_the_password_is_not_believed():
    stack, smtp = played(
        "C: ehlo *\nS: 250-x\nS: 250 AUTH SCRAM-SHA-256 PLAIN\nC: AUTH SCRAM-SHA-256 *\nS: 235 ok\nS: hold"
    )
    with stack, pytest.raises(ours.SMTPAuthenticationError, match="without proving") as caught:
        smtp.login("ann", "secret")
    assert (caught.value.smtp_code, caught.value.reply, smtp.sock) == (-1, None, None)


def test_no_secret_in_debug_output_or_errors(capsys):
    script = """C: ehlo *\nS: 250-x\nS: 250 AUTH PLAIN LOGIN
        C: AUTH PLAIN *\nS: 534 pa55-word, AGFubgBwYTU1LXdvcmQ=
        C: AUTH LOGIN\nS: 334 x\nC: *\nS: 334 x\nC: *\nS: 535 no\nS: hold"""
    stack, smtp = played(script)
    smtp.set_debuglevel(1)
    with stack, pytest.raises(ours.SMTPAuthenticationError) as caught:
        smtp.login("ann", "pa55-word")
    shown = capsys.readouterr().err
    assert "250-x" in shown
    for text in (shown, str(caught.value), repr(caught.value.__context__)):
        assert "pa55" not in text
        assert "cGE1NS13b3Jk" not in text
        assert "AGFubgBwYTU1" not in text
    frame = caught.value.__traceback__
    while frame:
        if frame.tb_frame.f_globals["__name__"].startswith("mailer."):
            assert "pa55-word" not in repr(frame.tb_frame.f_locals)
        frame = frame.tb_next


# --- what breaks out --------------------------------------------------------------------------------------------------

BREAKS = [
    "a@b.test\r\nRCPT TO:<x@y.test>",
    "a@b.test\nDATA",
    "<a@b.test>\rQUIT",
    "a@b.test\0",
    " <> SIZE=1",
    "(> NOTIFY=NEVER",
    "<a@b.test> NOTIFY=NEVER",
    "<a@b.test",
    'a"b@c.test',
    "a>b@c.test",
    "a@x.test, b@y.test",
    "A <a@x.test>, B <b@y.test>",
]


@each("address", BREAKS)
def test_an_address_cannot_break_out(server, address):
    server.clear()
    with connected(server) as smtp:
        smtp.ehlo()
        for call in (
            lambda: smtp.mail(address),
            lambda: smtp.rcpt(address),
            lambda: smtp.sendmail("me@example.com", ["ann@example.org", address], TEXT),
            lambda: smtp.sendmail(address, "ann@example.org", TEXT),
        ):
            with pytest.raises(ValueError, match=r"prohibited newline|not one mailbox") as caught:
                call()
            assert isinstance(caught.value, mailer.MessageError)
    assert server.commands == ["ehlo client.test"]


def test_what_a_file_or_a_header_has_around_an_address_is_no_part_of_it(server):
    for address in ("ann@example.org\r\n", "\n ann@example.org", "Ann\n <ann@example.org>", "ann@example.org (Ann)"):
        with connected(server) as smtp:
            assert smtp.sendmail("me@example.com", address, TEXT) == {}
    assert [mail.recipients for mail in server.mails] == [("ann@example.org",)] * 4


def test_words_cannot_break_out(server):
    with connected(server) as smtp:
        smtp.ehlo()
        for call in (
            lambda: smtp.mail("me@example.com", ["SIZE=1\r\nX"]),
            lambda: smtp.help("a\nb"),
            lambda: smtp.helo("a\0b"),
            lambda: smtp.docmd("NOOP", "\r"),
        ):
            with pytest.raises(ours.SMTPCommandError, match="prohibited newline characters"):
                call()
    assert server.commands == ["ehlo client.test"]


def test_a_mail_cannot_smuggle_another(server):
    inner = b"\n.\nMAIL FROM:<x@x.test>\n"
    for end in (b"\n.\n", b"\r.\r", b"\r\n.\n", b"\n.\r\n", b"\r\n.\r\n"):
        server.clear()
        with connected(server) as smtp:
            assert smtp.sendmail("me@example.com", "ann@example.org", b"a" + end + b"b" + inner + b"c") == {}
            assert smtp.noop()[0] == 250
        [mail] = server.mails
        assert mail.content == b"a\r\n.\r\nb\r\n.\r\nMAIL FROM:<x@x.test>\r\nc\r\n"
        assert mail.parameters == {"SIZE": str(len(mail.content) - 2)}


def test_a_header_cannot_hold_another(server):
    for name, value in (("Subject", "Hi\nBcc: x@x.test"), ("X-A", "a\r\n\r\nbody"), ("X-B", "a\rb")):
        message = MIMEText("Hello")
        message._headers.append((name, value))
        with connected(server) as smtp, pytest.raises(ours.SMTPCommandError, match=name):
            smtp.send_message(message, "a@x.test", "b@x.test")
    folded = MIMEText("Hello")
    folded["Subject"] = "a\n b"
    with connected(server) as smtp:
        assert smtp.send_message(folded, "a@x.test", "b@x.test") == {}
    assert len(server.mails) == 1


def test_an_empty_mail_is_sent_empty(server):
    with connected(server) as smtp:
        assert smtp.sendmail("me@example.com", "ann@example.org", b"") == {}
    assert server.mails[0].content == b""


# --- honest results ---------------------------------------------------------------------------------------------------


def test_nobody_left_is_refused_also_when_named_twice(server):
    server.on("RCPT").reply("550 no")
    for recipients in (["a@x.test", "a@x.test"], iter(["a@x.test", "b@x.test"])):
        with connected(server) as smtp, pytest.raises(ours.SMTPRecipientsRefused):
            smtp.sendmail("me@example.com", recipients, TEXT)
    assert "data" not in [line.lower() for line in server.commands]


def test_an_answer_that_never_came_is_said_to_be_unknown(server):
    server.on(".").drop()
    with connected(server) as smtp, pytest.raises(ours.SMTPServerDisconnected, match="may have arrived") as caught:
        smtp.sendmail("me@example.com", "ann@example.org", TEXT)
    assert isinstance(caught.value, (mailer.TransportError, std.SMTPServerDisconnected))
    assert smtp.sock is None


def test_a_reply_that_drips_does_not_stretch_its_limit():
    slow = "x" * 100  # five seconds in all, and no read waits for more than 50 ms
    stack, smtp = played(f"C: noop\nS: drip 0.05 250 {slow}\nS: hold", timeout=0.4)
    with stack, pytest.raises(ours.SMTPServerDisconnected, match=r"in time|too long"):
        smtp.noop()
    assert smtp.sock is None


def test_replies_are_bounded():
    for lines in ("S: repeat 100000 250-x", "S: repeat 400 250-" + "x" * 1000):
        stack, smtp = played(f"C: noop\n{lines}\nS: hold")
        with stack, pytest.raises(ours.SMTPResponseException, match="Reply too long"):
            smtp.noop()


def test_half_a_reply_is_none():
    stack, smtp = played("C: noop\nS: bytes b'250 o'\nS: close")
    with stack, pytest.raises(ours.SMTPServerDisconnected):
        smtp.noop()


def test_lmtp_reads_every_recipients_answer(tmp_path):
    to = ["a@x.test", "b@x.test", "c@x.test"]
    with SmtpServer(lmtp=True, host=str(tmp_path / "lmtp")) as server:
        server.on("RCPT", "a@*").reply("550 no")
        server.on(".", "b@*").reply("452 full", "250 ok")
        with contextlib.closing(ours.LMTP(server.host, local_hostname="client.test")) as lmtp:
            refused = lmtp.sendmail("me@example.com", to, TEXT)
            assert {address: code for address, (code, _) in refused.items()} == {"a@x.test": 550, "b@x.test": 452}
            assert lmtp.noop()[0] == 250  # in step: no answer is left over
            assert set(lmtp.sendmail("me@example.com", to, TEXT)) == {"a@x.test"}
            server.on(".").reply("554 no")
            with pytest.raises(ours.SMTPDataError):
                lmtp.sendmail("me@example.com", to[2:], TEXT)
            assert lmtp.noop()[0] == 250


# --- the surface ------------------------------------------------------------------------------------------------------


def test_the_whole_surface_is_there():
    assert set(std.__all__) <= set(ours.__all__) | {"SMTP_SSL"}
    for name in [*std.__all__, "LMTP", "CRLF", "SMTP_PORT", "SMTP_SSL_PORT", "LMTP_PORT"]:
        assert hasattr(ours, name), name
    with pytest.raises(AttributeError):
        ours.nonsense  # noqa: B018
    for kind in (std.SMTP, std.SMTP_SSL, std.LMTP):
        mine = getattr(ours, kind.__name__)
        assert issubclass(mine, std.SMTP)
        assert {name for name in dir(kind) if not name.startswith("_")} <= set(dir(mine))


MADE = {
    "SMTPException": (("no",), mailer.MailerError),
    "SMTPNotSupportedError": (("no",), mailer.UnsupportedFeature),
    "SMTPServerDisconnected": (("no",), mailer.TransportError),
    "SMTPResponseException": ((550, b"no"), mailer.ProtocolError),
    "SMTPSenderRefused": ((550, b"no", "me@x.test"), mailer.MailerError),
    "SMTPRecipientsRefused": (({"a@x.test": (550, b"no")},), mailer.MailerError),
    "SMTPDataError": ((550, b"a\nb"), mailer.MailerError),
    "SMTPConnectError": ((421, b"no"), mailer.ConnectError),
    "SMTPHeloError": ((550, b"no"), mailer.MailerError),
    "SMTPAuthenticationError": ((535, b"no"), mailer.AuthError),
}


def test_exceptions_are_smtplibs_and_ours_and_survive_pickling():
    assert {name for name in std.__all__ if name.startswith("SMTP") and issubclass(getattr(std, name), OSError)} == set(
        MADE
    )
    for name, (args, kind) in MADE.items():
        error = getattr(ours, name)(*args)
        for base in (getattr(std, name), kind, ours.SMTPException, errors.MailerError):
            assert isinstance(error, base), name
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), again.args, vars(again)) == (type(error), error.args, vars(error))
        assert str(again) == str(error)
    assert ours.SMTPDataError(550, b"a\nb").reply.lines == ("a", "b")
    assert ours.SMTPNotSupportedError("no").field == ""


def test_the_sock_is_a_socket_to_its_users(server):
    with connected(server) as smtp:
        assert smtp.sock.gettimeout() == 10
        smtp.sock.settimeout(5)
        assert smtp.sock.gettimeout() == 5
        assert smtp.sock.getpeername() == (server.host, server.port)
        smtp.sock.sendall(b"noop\r\n")
        assert smtp.sock.recv(1024).startswith(b"250")
    smtp = ours.SMTP(local_hostname="client.test")
    smtp.sock = socket.create_connection((server.host, server.port), 7)
    with contextlib.closing(smtp):
        assert smtp.getreply()[0] == 220
        assert smtp.sock.gettimeout() == 7


def test_nothing_waits_for_ever_unless_it_is_asked_to(server):
    for timeout, most in ((10.0, 10), (None, float("inf"))):
        with connected(server, timeout=timeout) as smtp:
            assert smtp._line.until("MAIL") - time.monotonic() == pytest.approx(most, abs=5)
    with contextlib.closing(ours.SMTP(server.host, server.port, "client.test")) as smtp:
        for step, most in (("MAIL", 300), ("DATA", 120), ("the final dot", 600)):  # RFC 5321 section 4.5.3.2
            assert smtp._line.until(step) - time.monotonic() == pytest.approx(most, abs=5)


def test_a_mail_is_text_or_bytes(server):
    for mail in (5, [1, 2], None, object()):
        with connected(server) as smtp, pytest.raises(TypeError):
            smtp.sendmail("me@example.com", "ann@example.org", mail)
    for mail in (bytearray(TEXT.encode()), memoryview(TEXT.encode())):
        with connected(server) as smtp:
            assert smtp.sendmail("me@example.com", "ann@example.org", mail) == {}
    assert [mail.content for mail in server.mails] == [TEXT.encode()] * 2


def test_connecting_again_begins_anew(server):
    with connected(server) as smtp:
        smtp.ehlo()
        smtp.connect(server.host, server.port)  # the first is closed
        assert (smtp.ehlo_resp, smtp.esmtp_features) == (None, {})
        assert smtp.sendmail("me@example.com", "ann@example.org", TEXT) == {}


def test_import_is_as_light_as_smtplib():
    code = "import sys, smtplib; from mailer import smtplib as ours; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "mailer.smtplib" in loaded
    assert not loaded & {"httpx", "jinja2", "pydantic", "asyncio", "anyio", "trio", "cryptography", "tenacity", "click"}
