"""The Mailbox, driven by the standard library's client and by raw sockets."""

from __future__ import annotations

import re
import smtplib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator

import pytest
import trustme

from mailer.errors import DeadlineExceeded
from mailer.mailbox import Mailbox, ReceivedMail
from mailer.smtp.reply import Reply

MAIL = b"Subject: hi\r\n\r\n.hello\r\n..\r\n"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


@pytest.fixture(scope="module")
def client_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with Mailbox() as mailbox:
        yield mailbox


def client(mailbox: Mailbox) -> smtplib.SMTP:
    return smtplib.SMTP(mailbox.host, mailbox.port, local_hostname="client.test", timeout=10)


class Raw:
    """A client that says exactly what it is told."""

    def __init__(self, mailbox: Mailbox) -> None:
        self.sock = socket.create_connection((mailbox.host, mailbox.port), timeout=10)
        self.reader = self.sock.makefile("rb")
        assert self.reply().startswith("220 ")

    def reply(self) -> str:
        while (line := self.reader.readline())[3:4] == b"-":
            pass
        return line.decode("ascii").removesuffix("\r\n")

    def say(self, line: bytes) -> str:
        self.sock.sendall(line + b"\r\n")
        return self.reply()

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.reader.close()
        self.sock.close()


@pytest.fixture
def raw(mailbox: Mailbox) -> Iterator[Raw]:
    with Raw(mailbox) as raw:
        raw.say(b"EHLO client.test")
        yield raw


def test_a_mail_arrives_byte_for_byte(mailbox: Mailbox) -> None:
    with client(mailbox) as smtp:
        smtp.sendmail("a@b.test", ["c@d.test", "e@f.test"], MAIL, ["BODY=8BITMIME"], ["NOTIFY=NEVER"])
    (mail,) = mailbox.wait_for(1)
    assert mail == ReceivedMail(
        sender="a@b.test",
        recipients=("c@d.test", "e@f.test"),
        content=MAIL,
        parameters={"SIZE": str(len(MAIL)), "BODY": "8BITMIME"},
        recipient_parameters=({"NOTIFY": "NEVER"}, {"NOTIFY": "NEVER"}),
        helo_name="client.test",
        is_tls=False,
        user=None,
    )


def test_the_null_sender_is_none(mailbox: Mailbox) -> None:
    with client(mailbox) as smtp:
        smtp.sendmail("", ["c@d.test"], MAIL)
    assert mailbox.wait_for(1)[0].sender is None


def test_a_big_mail_arrives_whole(mailbox: Mailbox) -> None:
    content = b"".join(b".%d\r\n" % number for number in range(400_000))
    with client(mailbox) as smtp:
        smtp.sendmail("a@b.test", ["c@d.test"], content)
    assert mailbox.wait_for(1)[0].content == content


def test_internationalised_addresses_need_smtputf8(mailbox: Mailbox, raw: Raw) -> None:
    assert raw.say("MAIL FROM:<jösé@b.test>".encode()).startswith("553 5.6.7")
    assert raw.say("MAIL FROM:<jösé@b.test> SMTPUTF8".encode()).startswith("250")
    assert raw.say("RCPT TO:<müller@b.test>".encode()).startswith("250")
    assert raw.say(b"DATA").startswith("354")
    assert raw.say(b"x\r\n.").startswith("250")
    assert mailbox.mails[0].sender == "jösé@b.test"
    assert mailbox.mails[0].recipients == ("müller@b.test",)


def test_many_clients_at_once(mailbox: Mailbox) -> None:
    def send(number: int) -> None:
        with client(mailbox) as smtp:
            for index in range(5):
                smtp.sendmail("a@b.test", [f"n{number}.{index}@d.test"], MAIL)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({mail.recipients for mail in mailbox.mails}) == 50


# ---- TLS ----


@pytest.mark.parametrize("implicit", [False, True])
def test_mail_under_tls(server_tls: ssl.SSLContext, client_tls: ssl.SSLContext, implicit: bool) -> None:
    with Mailbox(tls=server_tls, implicit_tls=implicit) as mailbox:
        smtp: smtplib.SMTP
        if implicit:
            smtp = smtplib.SMTP_SSL(mailbox.host, mailbox.port, context=client_tls, timeout=10)
        else:
            smtp = client(mailbox)
            smtp.ehlo()
            assert smtp.has_extn("STARTTLS")
            smtp.starttls(context=client_tls)
        with smtp:
            smtp.ehlo()
            assert not smtp.has_extn("STARTTLS")
            smtp.sendmail("a@b.test", ["c@d.test"], MAIL)
        assert mailbox.wait_for(1)[0].is_tls
    assert mailbox.url.startswith("smtps://127.0.0.1:" if implicit else "smtp://127.0.0.1:")


def test_bytes_pipelined_behind_starttls_are_refused(server_tls: ssl.SSLContext) -> None:
    """CVE-2011-0411."""
    with Mailbox(tls=server_tls) as mailbox, Raw(mailbox) as raw:
        raw.say(b"EHLO client.test")
        assert raw.say(b"STARTTLS\r\nMAIL FROM:<evil@b.test>").startswith("554")
        assert raw.reader.read() == b""
        assert mailbox.dialogue[-1].startswith("S: 554")


def test_starttls_forgets_what_was_said_before(server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    with Mailbox(tls=server_tls) as mailbox, client(mailbox) as smtp:
        smtp.ehlo()
        smtp.mail("a@b.test")
        smtp.starttls(context=client_tls)
        assert smtp.docmd("MAIL FROM:<a@b.test>")[0] == 503
        assert smtp.docmd("STARTTLS")[0] == 503


def test_starttls_without_a_context_is_not_offered(mailbox: Mailbox, raw: Raw) -> None:
    assert raw.say(b"STARTTLS").startswith("502")
    assert not any("STARTTLS" in line for line in mailbox.dialogue if line.startswith("S: 250"))


def test_a_failed_handshake_leaves_the_server_alive(server_tls: ssl.SSLContext) -> None:
    with Mailbox(tls=server_tls) as mailbox:
        with client(mailbox) as smtp, pytest.raises(ssl.SSLCertVerificationError):
            smtp.starttls(context=ssl.create_default_context())
        with client(mailbox) as smtp:
            smtp.sendmail("a@b.test", ["c@d.test"], MAIL)
        assert len(mailbox.wait_for(1)) == 1


def test_implicit_tls_needs_a_context() -> None:
    with pytest.raises(ValueError, match="implicit_tls"):
        Mailbox(implicit_tls=True)


# ---- AUTH ----


@pytest.mark.parametrize("method", ["auth_plain", "auth_login"])
@pytest.mark.parametrize("initial", [True, False])
def test_authentication(method: str, initial: bool) -> None:
    with Mailbox(users={"ada": "s3cret"}) as mailbox, client(mailbox) as smtp:
        assert smtp.docmd("EHLO client.test")[0] == 250
        assert smtp.docmd("MAIL FROM:<a@b.test>")[0] == 530
        smtp.ehlo()
        smtp.user, smtp.password = "ada", "wrong"
        name = method.removeprefix("auth_").upper()
        with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
            smtp.auth(name, getattr(smtp, method), initial_response_ok=initial)
        assert refused.value.smtp_code == 535
        smtp.password = "s3cret"
        assert smtp.auth(name, getattr(smtp, method), initial_response_ok=initial)[0] == 235
        assert smtp.docmd("AUTH PLAIN")[0] == 503
        smtp.sendmail("a@b.test", ["c@d.test"], MAIL)
        assert mailbox.wait_for(1)[0].user == "ada"
        dialogue = "\n".join(mailbox.dialogue)
        assert f"C: AUTH {name}" in dialogue
        for secret in ("s3cret", "czNjcmV0", "AGFkYQ", "d3Jvbmc"):
            assert secret not in dialogue


def test_auth_waits_for_tls(server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    with Mailbox(tls=server_tls, users={"ada": "s3cret"}) as mailbox, client(mailbox) as smtp:
        smtp.ehlo()
        assert not smtp.has_extn("AUTH")
        assert smtp.docmd("AUTH PLAIN AGFkYQBzM2NyZXQ=")[0] == 538
        smtp.starttls(context=client_tls)
        smtp.login("ada", "s3cret")
        smtp.sendmail("a@b.test", ["c@d.test"], MAIL)
        assert mailbox.wait_for(1)[0].user == "ada"


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ([b"AUTH"], "504"),
        ([b"AUTH CRAM-MD5"], "504"),
        ([b"AUTH PLAIN ="], "501"),
        ([b"AUTH PLAIN !!!"], "501"),
        ([b"AUTH PLAIN", b"*"], "501"),
        ([b"AUTH LOGIN", b"YWRh", b"*"], "501"),
        ([b"AUTH LOGIN", b"\xff"], "501"),
        ([b"AUTH PLAIN " + b"A" * 13000], "500"),
    ],
)
def test_malformed_authentication(lines: list[bytes], code: str) -> None:
    with Mailbox(users={"ada": "s3cret"}) as mailbox, Raw(mailbox) as raw:
        raw.say(b"EHLO client.test")
        answers = [raw.say(line) for line in lines]
        assert answers[-1].startswith(code)
        assert all(answer.startswith("334") for answer in answers[:-1])
        assert raw.say(b"NOOP").startswith("250")


# ---- Limits and order ----


def test_size_is_enforced_at_mail_and_at_the_end_of_the_data() -> None:
    with Mailbox(max_size=1000) as mailbox, Raw(mailbox) as raw:
        raw.say(b"EHLO client.test")
        assert "S: 250-SIZE 1000" in mailbox.dialogue
        assert raw.say(b"MAIL FROM:<a@b.test> SIZE=1001").startswith("552 5.3.4")
        for size, code in ((1001, "552 5.3.4"), (5000, "552 5.3.4"), (1000, "250")):
            assert raw.say(b"MAIL FROM:<a@b.test> SIZE=1000").startswith("250")
            raw.say(b"RCPT TO:<c@d.test>")
            raw.say(b"DATA")
            assert raw.say(b"." * (size - 1) + b"\r\n.").startswith(code)  # unstuffed: one dot fewer, CRLF more
        assert [len(mail.content) for mail in mailbox.mails] == [1000]


def test_the_thousand_and_first_recipient_is_deferred(mailbox: Mailbox, raw: Raw) -> None:
    raw.say(b"MAIL FROM:<a@b.test>")
    raw.sock.sendall(b"RCPT TO:<c@d.test>\r\n" * 1001)
    answers = [raw.reply() for _ in range(1001)]
    assert all(answer.startswith("250") for answer in answers[:1000])
    assert answers[1000].startswith("452 4.5.3")


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ([b"RCPT TO:<a@b>"], "503"),
        ([b"DATA"], "503"),
        ([b"MAIL FROM:<a@b>", b"DATA"], "554"),
        ([b"MAIL FROM:<a@b>", b"MAIL FROM:<a@b>"], "503"),
        ([b"MAIL FROM:a@b"], "501"),
        ([b"MAIL FROM:<a b@c>"], "501"),
        ([b"MAIL FROM:<a@b> SIZE=x"], "501"),
        ([b"MAIL FROM:<a@b> BODY=BINARYMIME"], "501"),
        ([b"MAIL FROM:<a@b> X=1"], "555"),
        ([b"MAIL FROM:<a@b> AUTH=<>"], "555"),
        ([b"MAIL FROM:<a@b>", b"RCPT TO:<>"], "501"),
        ([b"MAIL FROM:<a@b>", b"RCPT TO:<c@d> X=1"], "555"),
        ([b"MAIL FROM:<a@b>", b"RSET x"], "501"),
        ([b"MAIL FROM:<a@b>", b"RSET", b"RCPT TO:<c@d>"], "503"),
        ([b"MAIL FROM:<a@b>", b"EHLO again.test", b"RCPT TO:<c@d>"], "503"),
        ([b"EHLO"], "501"),
        ([b"EHLO a b"], "501"),
        ([b"LHLO a.test"], "500"),
        ([b"AUTH PLAIN"], "502"),
        ([b"VRFY a"], "252"),
        ([b"EXPN a"], "502"),
        ([b"HELP"], "214"),
        ([b"noop x"], "250"),
        ([b"XYZZY"], "500"),
        ([b""], "500"),
        ([b"\xff\xfe\x00"], "500"),
        ([b"MAIL FROM:<a\x00@b>"], "500"),
        ([b"NOOP\nRSET"], "500"),
        ([b"NOOP " + b"x" * 3000], "500"),
        ([b"NOOP " + b"x" * 300_000], "500"),
    ],
)
def test_wrong_commands_are_refused_and_the_session_goes_on(raw: Raw, lines: list[bytes], code: str) -> None:
    if lines == [b"NOOP\nRSET"]:
        raw.sock.sendall(b"NOOP\n")  # a line without CR
        assert raw.reply().startswith("500")
        lines = [b"XYZZY"]
    assert [raw.say(line) for line in lines][-1].startswith(code)
    assert raw.say(b"NOOP").startswith("250")


def test_nothing_before_a_greeting(mailbox: Mailbox) -> None:
    with Raw(mailbox) as raw:
        assert raw.say(b"MAIL FROM:<a@b>").startswith("503")
        assert raw.say(b"HELO client.test") == "250 mailbox.invalid"
        assert raw.say(b"MAIL FROM:<a@b>").startswith("250")


def test_endless_nonsense_ends_the_session(raw: Raw) -> None:
    answers = [raw.say(b"XYZZY") for _ in range(51)]
    assert answers[49].startswith("500")
    assert answers[50].startswith("421")
    assert raw.reader.read() == b""


@pytest.mark.parametrize("fake_end", [b"\n.\n", b"\r.\r", b"\n.\r\n", b"\r\n.\n", b"\r\n.\r"])
def test_only_crlf_dot_crlf_ends_a_mail(mailbox: Mailbox, raw: Raw, fake_end: bytes) -> None:
    """SMTP smuggling."""
    raw.say(b"MAIL FROM:<a@b>")
    raw.say(b"RCPT TO:<c@d>")
    raw.say(b"DATA")
    smuggled = b"one" + fake_end + b"MAIL FROM:<evil@b>\r\nRCPT TO:<c@d>\r\nDATA\r\ntwo"
    assert raw.say(smuggled + b"\r\n.").startswith("250")
    (mail,) = mailbox.mails
    assert mail.sender == "a@b"
    assert b"MAIL FROM:<evil@b>" in mail.content


def test_a_whole_pipelined_session_in_one_segment(mailbox: Mailbox) -> None:
    with Raw(mailbox) as raw:
        raw.sock.sendall(
            b"EHLO c.test\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\none\r\n.\r\n"
            b"MAIL FROM:<e@f>\r\nRCPT TO:<g@h>\r\nBDAT 3 LAST\r\ntwoQUIT\r\n"
        )
        codes = re.findall(r"^(\d{3})(?: |$)", raw.reader.read().decode(), re.MULTILINE)
    assert codes == ["250", "250", "250", "354", "250", "250", "250", "250", "221"]
    assert [mail.content for mail in mailbox.mails] == [b"one\r\n", b"two"]


# ---- BDAT ----


def test_bdat_takes_any_octets(mailbox: Mailbox, raw: Raw) -> None:
    raw.say(b"MAIL FROM:<a@b>")
    raw.say(b"RCPT TO:<c@d>")
    raw.sock.sendall(b"BDAT 7\r\n.\r\n.\n\0\r")
    assert raw.reply().startswith("250")
    assert raw.say(b"DATA").startswith("503")
    assert raw.say(b"RCPT TO:<e@f>").startswith("503")
    assert raw.say(b"BDAT 0 LAST").startswith("250")
    assert mailbox.mails[0].content == b".\r\n.\n\0\r"


def test_a_refused_bdat_is_read_and_breaks_the_transaction() -> None:
    with Mailbox(max_size=10) as mailbox, Raw(mailbox) as raw:
        raw.say(b"EHLO client.test")
        raw.sock.sendall(b"BDAT 4\r\nQUITBDAT 4 LAST\r\nQUIT")
        assert raw.reply().startswith("503")
        assert raw.reply().startswith("503")
        raw.say(b"MAIL FROM:<a@b>")
        raw.say(b"RCPT TO:<c@d>")
        raw.sock.sendall(b"BDAT 6\r\n123456BDAT 6\r\n123456BDAT 1 LAST\r\n1")
        assert [raw.reply()[:3] for _ in range(3)] == ["250", "552", "503"]
        assert raw.say(b"RSET").startswith("250")
        assert raw.say(b"MAIL FROM:<a@b>").startswith("250")
        assert raw.say(b"BDAT x").startswith("501")
    assert mailbox.mails == []


# ---- Options ----


def test_extensions_can_be_left_out() -> None:
    with Mailbox(extensions=["8BITMIME"]) as mailbox, Raw(mailbox) as raw:
        raw.say(b"EHLO client.test")
        assert mailbox.dialogue[-2:] == ["S: 250-mailbox.invalid", "S: 250 8BITMIME"]
        assert raw.say(b"MAIL FROM:<a@b> SIZE=1").startswith("555 parameter")
        assert raw.say(b"MAIL FROM:<a@b> SMTPUTF8").startswith("555")
        assert raw.say(b"MAIL FROM:<a@b>") == "250 ok"
        assert raw.say(b"RCPT TO:<c@d> NOTIFY=NEVER").startswith("555")
        assert raw.say(b"BDAT 0 LAST").startswith("502")


def refusing(verb: str, argument: str) -> Reply | None:
    return Reply(550, ("5.1.1 gone",)) if (verb, argument) == ("RCPT", "gone@d.test") else None


@pytest.mark.parametrize("replies", [refusing, {"RCPT gone@*": Reply(550, ("5.1.1 gone",))}])
def test_one_recipient_is_refused(replies: Callable[[str, str], Reply | None] | dict[str, Reply]) -> None:
    with Mailbox(replies=replies) as mailbox, client(mailbox) as smtp:
        refused = smtp.sendmail("a@b.test", ["gone@d.test", "here@d.test"], MAIL)
        assert refused == {"gone@d.test": (550, b"5.1.1 gone")}
        assert mailbox.wait_for(1)[0].recipients == ("here@d.test",)


def test_replies_at_every_place() -> None:
    replies = {
        "MAIL deferred@*": Reply(451, ("4.7.1 later",)),
        "RCPT elsewhere@*": Reply(251, ("2.1.5 will forward",)),
        ".": Reply(554, ("5.6.0 no",)),
        "NOOP": Reply(421, ("4.3.2 shutting down",)),
    }
    with Mailbox(replies=replies) as mailbox, Raw(mailbox) as raw:
        raw.say(b"EHLO client.test")
        assert raw.say(b"MAIL FROM:<deferred@b>").startswith("451")
        assert raw.say(b"RCPT TO:<c@d>").startswith("503")
        assert raw.say(b"MAIL FROM:<a@b>").startswith("250")
        assert raw.say(b"RCPT TO:<elsewhere@d>").startswith("251")
        assert raw.say(b"DATA").startswith("354")
        assert raw.say(b"x\r\n.").startswith("554 5.6.0")
        assert raw.say(b"NOOP").startswith("421")
        assert raw.reader.read() == b""
        assert mailbox.mails == []


@pytest.mark.parametrize("code", [421, 554])
def test_the_greeting_can_refuse(code: int) -> None:
    with (
        Mailbox(replies={"CONNECT": Reply(code, ("no",))}) as mailbox,
        socket.create_connection((mailbox.host, mailbox.port), timeout=10) as sock,
        sock.makefile("rb") as reader,
    ):
        assert reader.read() == b"%d no\r\n" % code


def test_the_dialogue_shows_a_mail_by_its_size(mailbox: Mailbox) -> None:
    with client(mailbox) as smtp:
        smtp.sendmail("a@b.test", ["c@d.test"], MAIL)
        assert f"C: ({len(MAIL)} octets of mail)" in mailbox.dialogue
        assert mailbox.dialogue[:2] == ["S: 220 mailbox.invalid ESMTP", "C: EHLO client.test"]
        mailbox.clear()
        assert mailbox.dialogue == []
        assert mailbox.mails == []


def test_keep_drops_the_oldest() -> None:
    with Mailbox(keep=2) as mailbox, client(mailbox) as smtp:
        for number in range(3):
            smtp.sendmail("a@b.test", [f"n{number}@d.test"], MAIL)
        assert [mail.recipients[0] for mail in mailbox.mails] == ["n1@d.test", "n2@d.test"]


def test_wait_for_ends_in_time(mailbox: Mailbox) -> None:
    with pytest.raises(DeadlineExceeded, match="0 of 1"):
        mailbox.wait_for(1, timeout_s=0.01)


@pytest.mark.parametrize("state", ["idle", "in data", "in tls"])
def test_stop_ends_open_connections_and_threads(
    state: str, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    mailbox = Mailbox(tls=server_tls).start()
    smtp = client(mailbox)
    smtp.ehlo()
    if state == "in tls":
        smtp.starttls(context=client_tls)
    if state == "in data":
        smtp.mail("a@b.test")
        smtp.rcpt("c@d.test")
        smtp.docmd("DATA")
    mailbox.stop()
    mailbox.stop()
    assert not [thread.name for thread in threading.enumerate() if thread.name.endswith(f"-{mailbox.port}")]
    assert not [thread.name for thread in threading.enumerate() if f"connection-{mailbox.port}-" in thread.name]
    with pytest.raises(OSError):
        socket.create_connection((mailbox.host, mailbox.port), timeout=1)
    smtp.close()


def test_it_can_start_again_with_its_mails(mailbox: Mailbox) -> None:
    for _ in range(2):
        mailbox.start()
        with client(mailbox) as smtp:
            smtp.sendmail("a@b.test", ["c@d.test"], MAIL)
        mailbox.stop()
    assert len(mailbox.mails) == 2
