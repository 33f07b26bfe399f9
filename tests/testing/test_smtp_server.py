"""SmtpServer: a correct server, and the faults that a test lays over it, seen by other clients than our own."""

from __future__ import annotations

import base64
import contextlib
import itertools
import re
import smtplib
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from worlds import World

from mailer import DeliveryDeferred, Envelope, Mailer, Message
from mailer.errors import AuthError, ConfigError
from mailer.mailbox.sasl import MECHANISMS, Accounts, Login
from mailer.mailbox.server import EXTENSIONS
from mailer.smtp.reply import Reply
from mailer.testing import SmtpCommand, SmtpServer

MAIL = b"From: a@b.test\r\nSubject: hi\r\n\r\n.hello\r\n"
#: A whole dialogue: what is said, and the code of each reply.
DIALOGUE = [
    (b"", "220"),
    (b"EHLO c.test\r\n", "250"),
    (b"NOOP\r\n", "250"),
    (b"MAIL FROM:<a@b.test>\r\n", "250"),
    (b"RCPT TO:<ann@d.test>\r\n", "250"),
    (b"RCPT TO:<bob@d.test>\r\n", "250"),
    (b"DATA\r\n", "354"),
    (b"Subject: hi\r\n\r\nhello\r\n.\r\n", "250"),
    (b"MAIL FROM:<a@b.test>\r\n", "250"),
    (b"RCPT TO:<ann@d.test>\r\n", "250"),
    (b"BDAT 4\r\none\n", "250"),
    (b"BDAT 3 LAST\r\ntwo", "250"),
    (b"MAIL FROM:<a@b.test>\r\n", "250"),
    (b"RSET\r\n", "250"),
    (b"QUIT\r\n", "221"),
]
SAID = b"".join(said for said, _ in DIALOGUE)


class Clock:
    """A clock that stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Raw:
    """A client that says exactly what it is told."""

    def __init__(self, server: SmtpServer) -> None:
        self.sock = socket.create_connection((server.host, server.port), timeout=10)
        self.reader = self.sock.makefile("rb")

    def reply(self) -> str:
        """The last line of the next reply, without its line end; "" at the end of the connection."""
        while (line := self.reader.readline())[3:4] == b"-":
            pass
        return line.decode("utf-8").rstrip("\r\n")

    def say(self, *lines: str) -> str:
        for line in lines:
            self.sock.sendall(line.encode() + b"\r\n")
            last = self.reply()
        return last

    def play(self, steps: int) -> list[str]:
        """The dialogue up to there; the reply to each step."""
        replies = []
        for said, _ in DIALOGUE[:steps]:
            self.sock.sendall(said)
            replies.append(self.reply())
        return replies

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.reader.close()
        self.sock.close()


@contextlib.contextmanager
def greeted(server: SmtpServer, *lines: str) -> Iterator[Raw]:
    with Raw(server) as raw:
        raw.reply()
        raw.say("LHLO c.test" if server.lmtp else "EHLO c.test", *lines)
        yield raw


def client(server: SmtpServer) -> smtplib.SMTP:
    kind = smtplib.LMTP if server.lmtp else smtplib.SMTP
    return kind(server.host, server.port, local_hostname="c.test", **({} if server.lmtp else {"timeout": 10}))


# --- a correct server -------------------------------------------------------------------------------------------------


def test_without_rules_it_is_a_correct_server() -> None:
    clock = Clock()
    with SmtpServer(tls=True, users={"ann": "s3cret"}, clock=clock) as server:
        with client(server) as smtp:
            smtp.starttls(context=server.client_context())
            smtp.login("ann", "s3cret")
            clock.now = 1005.0
            smtp.sendmail("a@b.test", ["c@d.test"], MAIL)
        assert server.wait_idle()
        (mail,) = server.mails
        assert (mail.sender, mail.recipients, mail.content) == ("a@b.test", ("c@d.test",), MAIL)
        assert (mail.user, mail.is_tls, mail.message["Subject"]) == ("ann", True, "hi")
        assert mail.message.get_content() == ".hello\r\n"
        assert mail.envelope == Envelope("a@b.test", "c@d.test")
        (session,) = server.sessions
        assert server.commands == session.commands
        assert next(line for line in session.commands if "AUTH" in line).startswith("AUTH CRAM-MD5")
        assert session.tls.startswith("TLSv1.")
        assert {event.time for event in session.events} == {1000.0, 1005.0}
        assert b"Subject: hi\r\n\r\n..hello\r\n.\r\n" in session.received
        assert session.sent.startswith(b"220 smtp.test ESMTP\r\n250-smtp.test\r\n")
        assert "s3cret" not in "\n".join(server.dialogue) + repr(server.sessions)
        assert server.url.startswith(f"smtp://ann:s3cret@127.0.0.1:{server.port}?tls=required&ca_file=")
        ca_file = Path(server.ca_file)
        server.clear()
        assert (server.mails, server.sessions, server.commands) == ([], [], [])
    assert not ca_file.exists()
    with pytest.raises(ConfigError, match="ca_file"):
        _ = server.ca_file


#: Verb, which of its kind, where in the dialogue: and what of its two mails is kept if that is refused.
MOMENTS = [
    ("CONNECT", 0, 0, []),
    ("EHLO", 0, 1, []),
    ("NOOP", 0, 2, [1, 2]),
    ("MAIL", 0, 3, [2]),
    ("RCPT", 0, 4, [1, 2]),
    ("RCPT", 1, 5, [1, 2]),
    ("DATA", 0, 6, []),
    (".", 0, 7, [2]),
    ("MAIL", 1, 8, [1]),
    ("RCPT", 2, 9, [1]),
    ("BDAT", 0, 10, [1]),
    ("BDAT", 1, 11, [1]),
    (".", 1, 11, [1]),
    ("MAIL", 2, 12, [1, 2]),
    ("RSET", 0, 13, [1, 2]),
    ("QUIT", 0, 14, [1, 2]),
]


@pytest.mark.parametrize(("verb", "nth", "index", "kept"), MOMENTS)
def test_any_reply_at_any_moment(verb: str, nth: int, index: int, kept: list[int]) -> None:
    """Only that one changes, and what it refuses has no effect."""
    mails = {b"Subject: hi\r\n\r\nhello\r\n": 1, b"one\ntwo": 2}
    with SmtpServer(extensions=EXTENSIONS) as server:
        rule = server.on(verb).skip(nth).times(1).reply("554-5.0.0 no\n554 5.0.0 never")
        with Raw(server) as raw:
            # A refused greeting ends it; and behind a refused DATA the mail would be read as commands.
            replies = raw.play(index + 1 if verb in ("CONNECT", "DATA") else len(DIALOGUE))
        assert rule.count == 1
    assert replies[index] == "554 5.0.0 never"
    assert replies.count("554 5.0.0 never") == 1
    assert [reply[:3] for reply in replies[:index]] == [code for _, code in DIALOGUE[:index]]
    assert [mails[mail.content] for mail in server.mails] == kept
    if verb == "RCPT" and nth < 2:
        assert server.mails[0].recipients == (["bob@d.test", "ann@d.test"][nth],)


def test_the_whole_dialogue_as_it_is_without_rules() -> None:
    with SmtpServer(extensions=EXTENSIONS) as server, Raw(server) as raw:
        assert [reply[:3] for reply in raw.play(len(DIALOGUE))] == [code for _, code in DIALOGUE]
        assert [mail.content for mail in server.mails] == [b"Subject: hi\r\n\r\nhello\r\n", b"one\ntwo"]
        assert server.sessions[0].received == SAID


def test_f32_f43_rules_for_the_steps_of_a_mail_apply_by_default(world: World) -> None:
    with SmtpServer() as server, world.mailer(server.url) as mailer:
        server.on("DATA").times(1).reply("250 not 354")
        server.on("MAIL").skip(1).times(1).drop()
        for _ in range(2):
            with pytest.raises(DeliveryDeferred):
                mailer.send(Message(from_="a@b.test", to="ann@d.test", subject="hi", text="hello"))
    assert server.mails == []


def test_check_40_binarymime_without_8bitmime_takes_8_bits(world: World) -> None:
    content = b"From: a@b.test\r\nTo: ann@d.test\r\nSubject: hi\r\n\r\n\xc3\xbc\r\n"
    with SmtpServer(extensions=("CHUNKING", "BINARYMIME")) as server, world.mailer(server.url) as mailer:
        assert mailer.send_raw(content).ok
    assert server.commands[1] == "MAIL FROM:<a@b.test> BODY=BINARYMIME"
    assert server.mails[0].content.endswith(b"\r\n\r\n\xc3\xbc\r\n")


@pytest.mark.parametrize(
    ("replies", "seen"),
    [
        (["251 elsewhere"], ["251 elsewhere"] * 3),
        (["250"], ["250"] * 3),
        (["250-a\n250 b"], ["250-a", "250 b"] * 3),
        ([b"250 bare\n"], ["250 bare"] * 3),
        ([Reply(252, ("a", "b"))], ["252-a", "252 b"] * 3),
        ([[b"250 ", b"pieces\r\n"]], ["250 pieces"] * 3),
        (["451 a", None, "550 c"], ["451 a", "250 2.0.0 ok", "550 c"]),
        ([lambda c: f"550 {c.verb} {c.argument} {c.usual.code} {c.helo_name}"], ["550 NOOP x 250 c.test"] * 3),
        ([lambda c: bytes(c.line)[::-1] + b"\r\n"], ["x POON"] * 3),
        ([lambda c: None], ["250 2.0.0 ok"] * 3),
    ],
)
def test_a_reply_in_every_form(replies: list[Any], seen: list[str]) -> None:
    with SmtpServer() as server, greeted(server) as raw:
        rule = server.on("noop").reply(*replies)
        raw.sock.sendall(b"NOOP x\r\n" * 3)
        assert [raw.reader.readline().decode().rstrip("\r\n") for _ in seen] == seen
        assert rule.count == 3


def test_rules_choose_by_argument_order_number_and_condition() -> None:
    with SmtpServer() as server, greeted(server, "MAIL FROM:<a@b.test>") as raw:
        server.on("RCPT", "bob@*").reply("550 5.1.1 bob")
        server.on("RCPT", re.compile(r"\d+@.*")).reply("553 5.1.3 number")
        server.on("RCPT", "c@d").times(2).reply("451 c")
        server.on("RCPT", "c@d").skip(1).times(1).reply("452 c")
        server.on("RCPT").where(lambda command: len(command.recipients) > 2).reply("452 4.5.3 enough")
        answers = {
            "BOB@d": "550",
            "7@d": "553",
            "a7@d": "250",
            "c@d": "451",
            "C@D": "451",
            "c@d ": "452",  # the first rule has had its two, and the second has seen one
            "<c@d>": "250",
            "e@d": "452",
        }
        for path, code in answers.items():
            assert raw.say(f"RCPT TO:<{path.strip(' <>')}>")[:3] == code, path
        assert raw.say("DATA")[:3] == "354"
        raw.say("x\r\n.")
        assert server.mails[0].recipients == ("a7@d", "c@d")


@pytest.mark.parametrize(
    ("lmtp", "end"), [(False, ["DATA", "spam\r\n."]), (False, ["BDAT 6 LAST\r\nspam\r"]), (True, ["DATA", "spam\r\n."])]
)
def test_a_rule_can_look_at_the_mail(lmtp: bool, end: list[str]) -> None:
    with (
        SmtpServer(lmtp=lmtp, extensions=EXTENSIONS) as server,
        greeted(server, "MAIL FROM:<a@b>", "RCPT TO:<c@d>") as raw,
    ):
        server.on(".").where(lambda command: b"spam" in command.content).reply(
            lambda c: f"554 {c.verb} {c.argument} {c.sender} {c.recipients[0]} {len(c.content)}"
        )
        assert raw.say(*end) == f"554 . {'c@d' if lmtp else ''} a@b c@d 6"
    assert server.mails == []


def test_rules_that_fit_together_add_up() -> None:
    with SmtpServer() as server, greeted(server) as raw:
        drip = server.on("*").drip(0)
        server.on("NOOP").reply("250 first").times(1)
        server.on("NOOP").reply("250 second")
        assert [raw.say("NOOP"), raw.say("NOOP"), raw.say("RSET")] == ["250 first", "250 second", "250 2.0.0 ok"]
        assert drip.count == 3
        events = [event.data for event in server.sessions[0].events if event.side == "server"]
        assert events[-len("250 2.0.0 ok\r\n") :] == [bytes([octet]) for octet in b"250 2.0.0 ok\r\n"]
        server.rules.clear()
        assert raw.say("NOOP") == "250 2.0.0 ok"


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda server: server.on("RCTP"), "did you mean 'RCPT'"),
        (lambda server: server.on("MAIL").reply("250 ok", 550), "550 is no reply: give its whole text"),
        (lambda server: server.on("MAIL").delay(-1), "seconds must be 0 or more"),
        (lambda server: server.on("MAIL").drip(float("nan")), "seconds"),
        (lambda server: server.on("MAIL").drop(after=-1), "after must be"),
        (lambda server: server.on("MAIL").times(-1), "count"),
        (lambda server: SmtpServer(mechanisms=["PLAIN", "MAGIC"]), "no mechanism 'MAGIC'; there are: SCRAM"),
        (lambda server: SmtpServer(tls="rusty"), "no TLS fault 'rusty'; there are: good, expired"),
    ],
)
def test_what_makes_no_sense_is_refused_when_it_is_said(make: Callable[[SmtpServer], object], error: str) -> None:
    with pytest.raises(ValueError, match=re.escape(error)):
        make(SmtpServer())


def test_a_function_that_raises_ends_the_session_and_the_test_hears_of_it() -> None:
    def broken(command: SmtpCommand) -> str:
        raise KeyError(command.verb)

    with pytest.raises(KeyError, match="NOOP"), SmtpServer() as server, greeted(server) as raw:
        server.on("NOOP").reply(broken)
        assert raw.say("NOOP") == ""


def test_a_function_that_gives_no_reply_ends_the_session_and_the_test_hears_of_it() -> None:
    with pytest.raises(ValueError, match="550 is no reply"), SmtpServer() as server, greeted(server) as raw:
        server.on("NOOP").reply(lambda command: 550)  # type: ignore[arg-type, return-value]
        assert raw.say("NOOP") == ""


# --- faults of the connection -----------------------------------------------------------------------------------------


def whole_of(server: SmtpServer) -> bytes:
    """All that comes back when everything is said at once."""
    data = b""
    with socket.create_connection((server.host, server.port), timeout=10) as sock:
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            sock.sendall(SAID)
        with contextlib.suppress(ConnectionResetError):
            while piece := sock.recv(65536):
                data += piece
    return data


def test_a_drop_after_any_octet_written() -> None:
    with SmtpServer(extensions=EXTENSIONS) as server:
        whole = whole_of(server)
        assert len(whole) > 300
        for after in [0, 1, *range(2, len(whole), 37), len(whole) - 1]:
            server.rules.clear()
            server.on("CONNECT").drop(after=after, reset=after > 40 and after % 2 == 1)
            assert whole_of(server) == whole[:after]


def test_a_drop_after_any_octet_read() -> None:
    with SmtpServer(extensions=EXTENSIONS) as server:
        for read in [1, *range(2, len(SAID), 29), len(SAID) - 1]:
            server.rules.clear()
            server.on("CONNECT").drop(read=read, reset=True)
            whole_of(server)
            assert server.wait_idle()
            assert server.sessions[-1].received == SAID[:read]


@pytest.mark.parametrize("reset", [False, True])
def test_a_drop_in_the_place_of_a_reply_and_after_one(reset: bool) -> None:
    with SmtpServer() as server:
        server.on("NOOP").drop(reset=reset)
        server.on("RSET").reply("250 bye").drop(reset=reset, saying="421 really")
        for line, last in (("NOOP", b""), ("RSET", b"250 bye\r\n421 really\r\n")):
            with greeted(server) as raw:
                raw.sock.sendall(f"{line}\r\n".encode())
                data = b""
                with pytest.raises(ConnectionResetError) if reset else contextlib.nullcontext():
                    while piece := raw.sock.recv(100):
                        data += piece
                    raw.sock.sendall(b"QUIT\r\n")
                assert data == last
        assert server.wait_idle()
        assert [b"QUIT" in session.received for session in server.sessions] == [not reset] * 2


def test_a_refusal_in_the_middle_of_the_mail() -> None:
    with SmtpServer() as server, greeted(server, "MAIL FROM:<a@b>", "RCPT TO:<c@d>") as raw:
        server.on("DATA").drop(read=1000, saying="552 5.3.4 too big")
        assert raw.say("DATA")[:3] == "354"
        assert raw.say("x" * 998 + "\r\ny") == "552 5.3.4 too big"
        assert raw.reply() == ""
    assert server.mails == []


def test_a_reply_that_is_lost_is_no_refusal() -> None:
    with SmtpServer() as server, greeted(server, "MAIL FROM:<a@b>", "RCPT TO:<c@d>", "DATA") as raw:
        server.on(".").drop()
        assert raw.say("x\r\n.") == ""
        assert len(server.mails) == 1


def test_half_closed_it_reads_on() -> None:
    with SmtpServer() as server, greeted(server, "MAIL FROM:<a@b>") as raw:
        server.on("RCPT").half_close()
        assert raw.say("RCPT TO:<c@d>")[:3] == "250"
        assert raw.reply() == ""
        raw.sock.sendall(b"DATA\r\nx\r\n.\r\n")
        assert server.wait_for(1)[0].content == b"x\r\n"


def test_it_waits_drips_and_holds() -> None:
    started = time.monotonic()
    with SmtpServer() as server, greeted(server) as raw:
        server.on("RSET").delay(0.1)
        server.on("NOOP").reply("250 123456789").drip(0.01)
        raw.say("RSET", "NOOP")
        assert time.monotonic() - started >= 0.25
        server.on("HELP").hold()
        server.on("VRFY").reply(b"250-a\r\n").hold()
        for line in (b"VRFY a\r\n", b"HELP\r\n"):
            with greeted(server) as held:
                held.sock.sendall(line + b"QUIT\r\n")
                held.sock.shutdown(socket.SHUT_WR)
                assert held.reader.read() == (b"250-a\r\n" if line.startswith(b"VRFY") else b"")
        server.on("EHLO", "endless").reply(itertools.repeat(b"250-x\r\n" * 1000))
        raw.sock.sendall(b"EHLO endless\r\n")
        assert len(raw.reader.read(500_000)) == 500_000
        server.on("EHLO", "late").delay(60)
        with Raw(server) as late:
            late.sock.sendall(b"EHLO late\r\n")
            late.reply()
            server.stop()
    assert time.monotonic() - started < 20


# --- TLS --------------------------------------------------------------------------------------------------------------

REFUSED = {
    "expired": "certificate has expired",
    "not_yet_valid": "not yet valid",
    "wrong_host": "IP address mismatch",
    "common_name_only": "IP address mismatch",
    "self_signed": "self.signed certificate",
    "unknown_ca": "unable to get local issuer|self.signed certificate in",
    "old_protocol": "unsupported protocol|protocol version|no protocols available|handshake failure|internal error",
}


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("fault", REFUSED)
def test_a_tls_fault_is_what_it_says(fault: str, implicit: bool) -> None:
    with SmtpServer(tls=fault, implicit_tls=implicit) as server:
        trusting = server.client_context()
        with pytest.raises((ssl.SSLError, ConnectionResetError), match=REFUSED[fault]):
            if implicit:
                smtplib.SMTP_SSL(server.host, server.port, context=trusting, timeout=10)
            else:
                with client(server) as smtp:
                    smtp.starttls(context=trusting)
        assert server.wait_idle()
        assert "SSL" in server.sessions[0].tls


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize(
    ("how", "seen"),
    [
        ({}, b""),
        ({"after": 3}, b"\x16\x03\x03"),
        ({"after": 1, "reset": True}, b"\x16"),
        ({"read": 50, "saying": "421 enough"}, b"421 enough\r\n"),
        ({"after": 100_000}, None),
    ],
)
def test_the_handshake_can_be_cut_at_any_octet(implicit: bool, how: dict[str, Any], seen: bytes | None) -> None:
    server = SmtpServer(tls=True, implicit_tls=implicit)
    server.on("TLS").drop(**how)
    with server, Raw(server) as raw:
        if not implicit:
            raw.reply()
            raw.say("EHLO c.test", "STARTTLS")
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        with pytest.raises(ssl.SSLWantReadError):
            server.client_context().wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
        data = b""
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            raw.sock.sendall(outgoing.read())
            if seen is None:  # it goes on, for want of octets
                raw.sock.shutdown(socket.SHUT_WR)
            while piece := raw.sock.recv(1):
                data += piece
        assert data.startswith(b"\x16") if seen is None else data == seen


def test_a_handshake_can_stall_and_be_something_else() -> None:
    with SmtpServer(tls=True) as server:
        server.on("TLS").times(1).hold()
        server.on("TLS").skip(1).reply(b"220 what?\r\n")
        for seen in (b"", b"220 what?\r\n"):
            with greeted(server, "STARTTLS") as raw:
                raw.sock.shutdown(socket.SHUT_WR)
                assert raw.reader.read() == seen


def test_a_context_of_ones_own_and_no_cryptography(monkeypatch: pytest.MonkeyPatch) -> None:
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    assert SmtpServer(tls=True).tls is not SmtpServer(tls=True).tls  # what one does to it, the other does not see
    monkeypatch.setitem(sys.modules, "mailer.testing.certificates", None)
    assert SmtpServer(tls=server_context).tls is server_context
    with pytest.raises(ConfigError, match=r"pip install 'mailwright\[crypto\]'"):
        SmtpServer(tls=True)


# --- AUTH -------------------------------------------------------------------------------------------------------------


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


# RFC 5802 section 5, RFC 7677 section 3; RFC 7628 section 4.1; Google's and Microsoft's XOAUTH2.
SCRAM = {
    "SCRAM-SHA-1": (
        "3rfcNHYJY1ZVvWVs7j",
        "QSXCR+Q6sek8bf92",
        b"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
        b"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
        b"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
    ),
    "SCRAM-SHA-256": (
        "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
        "W22ZaJ0SNY7soEsUEjb6gQ==",
        b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
    ),
}


@pytest.mark.parametrize("name", SCRAM)
def test_scram_is_the_rfc_s(name: str) -> None:
    nonce, salt, first, server_first, final, server_final = SCRAM[name]
    accounts = Accounts({"user": "pencil"}, nonce=nonce, salt=base64.b64decode(salt))
    login = Login(name, accounts)
    assert (login.challenge, login.take(first), login.take(final)) == (b"", server_first, server_final)
    assert login.take(b"") is None
    assert login.user == "user"
    for wrong in (final[:-4] + b"AAA=", final.replace(b"biws", b"eSws"), final.replace(b"r=", b"r=x")):
        login = Login(name, accounts)
        login.take(first)
        assert login.take(wrong) is None
        assert (login.is_done, login.user) == (True, None)
    with pytest.raises(ValueError, match="not a response"):
        Login(name, accounts).take(b"n,,nonsense")
    bound = Accounts({"user": "pencil"}, end_point=b"x")
    assert Login(name, bound).take(b"y" + first[1:]) is None  # someone in the middle took the offer away


@pytest.mark.parametrize("name", ["PLAIN", "LOGIN", "CRAM-MD5"])
def test_smtplib_logs_in(name: str) -> None:
    with SmtpServer(users={"ann": "s3cret"}, mechanisms=[name]) as server:
        for password, is_good in (("wrong", False), ("s3cret", True)):
            with client(server) as smtp:
                with pytest.raises(smtplib.SMTPAuthenticationError) if not is_good else contextlib.nullcontext():
                    smtp.login("ann", password)
                assert smtp.docmd("MAIL FROM:<a@b.test>")[0] == (250 if is_good else 530)
        assert f"S: 250 AUTH {name}" in server.dialogue
        assert "auth_in_clear=yes" in server.url


@pytest.mark.parametrize("name", [name for name in MECHANISMS if "SCRAM" in name])
def test_scram_over_tls_ties_the_login_to_the_connection(name: str) -> None:
    with SmtpServer(tls=True, users={"jösé,=": "s3cret ²"}, mechanisms=[name]) as server:
        with Mailer(server.url, from_="a@b.test", retry=None) as mailer:
            assert mailer.send(Message(to="c@d.test", subject="s", text="t")).ok
        assert server.mails[0].user == "jösé,="
        assert f"S: 250 AUTH {name}" in server.dialogue
        wrong = server.url.replace("s3cret", "wrong")
        with Mailer(wrong, from_="a@b.test", retry=None) as mailer, pytest.raises(DeliveryDeferred) as refused:
            mailer.send(Message(to="c@d.test", subject="s", text="t"))
        assert isinstance(refused.value.__cause__, AuthError)


@pytest.mark.parametrize(
    ("mechanism", "response", "codes"),
    [
        ("XOAUTH2", b"user=ann\x01auth=Bearer t0ken\x01\x01", ["235"]),
        ("XOAUTH2", b"user=ann\x01auth=Bearer old\x01\x01", ["334", "535"]),
        ("XOAUTH2", b"user=eve\x01auth=Bearer t0ken\x01\x01", ["334", "535"]),
        ("OAUTHBEARER", b"n,a=ann,\x01host=s.test\x01port=587\x01auth=Bearer t0ken\x01\x01", ["235"]),
        ("OAUTHBEARER", b"n,a=ann,\x01auth=Bearer old\x01\x01", ["334", "535"]),
        ("OAUTHBEARER", b"nonsense", ["501"]),
        ("CRAM-MD5", b"ann x", ["501"]),  # it takes no initial response
    ],
)
def test_auth_with_an_initial_response(mechanism: str, response: bytes, codes: list[str]) -> None:
    server = SmtpServer(users={"ann": "x"}, tokens={"ann": "t0ken"})
    with server, greeted(server) as raw:
        assert "AUTH SCRAM-SHA-256 SCRAM-SHA-1 OAUTHBEARER XOAUTH2 CRAM-MD5 PLAIN LOGIN" in server.dialogue[-1]
        answers = [raw.say(f"AUTH {mechanism} {b64(response)}")]
        if answers[0].startswith("334"):
            assert b'"status": "401"' in base64.b64decode(answers[0][4:])
            answers.append(raw.say("" if mechanism == "XOAUTH2" else b64(b"\x01")))
        assert [answer[:3] for answer in answers] == codes


def test_rules_see_each_step_of_auth() -> None:
    with SmtpServer(users={"ann": "s3cret"}) as server:
        server.on("AUTH", "LOGIN").reply("334 QmVudXR6ZXJuYW1lOg==", "334 S2VubndvcnQ6", None)
        server.on("AUTH", "PLAIN").reply("334 ")
        server.on("AUTH", "CRAM-MD5").reply("235 fooled")
        with greeted(server) as raw:
            assert raw.say("AUTH LOGIN", b64(b"ann"))[4:] == "S2VubndvcnQ6"
            assert raw.say(b64(b"s3cret"))[:3] == "235"
        with greeted(server) as raw:
            assert [raw.say("AUTH PLAIN"), raw.say("AAAA"), raw.say("!"), raw.say("*")] == ["334 "] * 4
        with greeted(server) as raw:
            assert raw.say("AUTH CRAM-MD5") == "235 fooled"
            assert raw.say("MAIL FROM:<a@b>")[:3] == "530"  # only said
        assert server.commands[1:4] == ["AUTH LOGIN", "YW5u", b64(b"s3cret")]


def test_what_is_offered_depends_on_tls_and_login() -> None:
    with (
        SmtpServer(
            tls=True,
            users={"ann": "s"},
            extensions=["SIZE", "XCLIENT", "LIMITS RCPTMAX=5"],
            extensions_before_tls=["AUTH PLAIN", "PIPELINING"],
            extensions_after_auth=["8BITMIME"],
        ) as server,
        client(server) as smtp,
    ):
        offered = []
        for step in (
            lambda: None,
            lambda: smtp.starttls(context=server.client_context()),
            lambda: smtp.login("ann", "s"),
        ):
            step()
            smtp.ehlo()
            offered.append({name for name in smtp.esmtp_features if name != "auth"})
        assert offered == [{"pipelining", "starttls"}, {"size", "xclient", "limits"}, {"8bitmime"}]
        assert smtp.docmd("MAIL FROM:<a@b> SIZE=1")[0] == 555


# --- limits and time --------------------------------------------------------------------------------------------------


def test_greylisting_goes_by_its_clock() -> None:
    clock = Clock()
    with SmtpServer(greylist_s=60, clock=clock) as server, greeted(server, "MAIL FROM:<a@b>") as raw:
        assert raw.say("RCPT TO:<c@d>") == "450 4.2.0 greylisted, come back later"
        clock.now += 59
        assert raw.say("RCPT TO:<c@d>")[:3] == "450"
        clock.now += 1
        assert raw.say("RCPT TO:<c@d>")[:3] == "250"
        assert raw.say("RCPT TO:<e@d>")[:3] == "450"
        assert raw.say("DATA", "x\r\n.")[:3] == "250"
    assert server.mails[0].recipients == ("c@d",)


def test_limits() -> None:
    with SmtpServer(max_connections=1, max_messages=1, max_recipients=1, max_size=100) as server:
        with greeted(server) as raw:
            with Raw(server) as second:
                assert second.reply() == "421 4.7.0 too many connections"
                assert second.reply() == ""
            assert raw.say("MAIL FROM:<a@b> SIZE=101")[:3] == "552"
            assert raw.say("MAIL FROM:<a@b>", "RCPT TO:<c@d>")[:3] == "250"
            assert raw.say("RCPT TO:<e@d>")[:9] == "452 4.5.3"
            assert raw.say("DATA", "x\r\n.")[:3] == "250"
            assert raw.say("MAIL FROM:<a@b>")[:3] == "421"
            assert raw.reply() == ""
        assert server.wait_idle()
        with greeted(server) as raw:
            assert raw.say("NOOP")[:3] == "250"


# --- LMTP, worlds, pytest ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [["DATA", "x\r\n."], ["BDAT 1 LAST\r\nx"]])
def test_lmtp_answers_for_each_recipient(end: list[str]) -> None:
    with SmtpServer(lmtp=True, extensions=EXTENSIONS) as server:
        server.on(".", "bob@*").reply("450 4.2.2 full")
        server.on(".", "cyd@*").drop()
        for names, seen in ((["ann", "bob"], ["250", "450"]), (["bob"], ["450"]), (["ann", "cyd"], ["250", ""])):
            with greeted(server, "MAIL FROM:<a@b>", *(f"RCPT TO:<{name}@d>" for name in names)) as raw:
                first = raw.say(*end).rstrip("x")
                assert [first[:3], *(raw.reply()[:3] for _ in seen[1:])] == seen
        assert [mail.recipients for mail in server.mails] == [("ann@d",), ("ann@d", "cyd@d")]
        with Raw(server) as raw:
            assert raw.reply() == "220 smtp.test LMTP"
            assert raw.say("EHLO c.test")[:3] == "500"
        assert server.url == f"lmtp://127.0.0.1:{server.port}?tls=none"


def test_lmtp_on_a_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "lmtp")
    with SmtpServer(lmtp=True, host=path) as server:
        with smtplib.LMTP(path) as lmtp:
            assert lmtp.sendmail("a@b", ["c@d"], MAIL) == {}
        assert server.mails[0].content == MAIL
        assert server.url == f"lmtp://{path}"
    assert not Path(path).exists()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_async_with(backend: str) -> None:
    async def use() -> SmtpServer:
        async with SmtpServer() as server, await anyio.connect_tcp(server.host, server.port) as stream:
            assert (await stream.receive()).startswith(b"220 ")
        return server

    server = anyio.run(use, backend=backend)
    assert not [thread.name for thread in threading.enumerate() if str(server.port) in thread.name]


def test_it_can_stop_and_start_again() -> None:
    server = SmtpServer()
    for _ in range(2):
        with server, client(server) as smtp:
            smtp.sendmail("a@b", ["c@d"], MAIL)
    assert len(server.mails) == len(server.sessions) == 2


def test_the_fixture(mailer_smtp_server: SmtpServer) -> None:
    assert mailer_smtp_server.hostname == "smtp.test"
    with client(mailer_smtp_server) as smtp:
        smtp.sendmail("a@b", ["c@d"], MAIL)
    assert mailer_smtp_server.mails[0].content == MAIL


@pytest.mark.mailer_smtp_server(hostname="x.test", users={"ann": "secret"})
def test_the_fixture_with_options(mailer_smtp_server: SmtpServer) -> None:
    with client(mailer_smtp_server) as smtp:
        assert smtp.ehlo()[1].startswith(b"x.test")
        assert smtp.login("ann", "secret")[0] == 235
