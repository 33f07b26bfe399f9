"""The same calls on smtplib's classes and on ours: the same results, exceptions, commands and mails."""

from __future__ import annotations

import contextlib
import smtplib as std
from email.message import EmailMessage
from email.mime.text import MIMEText

import pytest
from cases import each

from mailer import smtplib as ours
from mailer.testing import ScriptedServer, SmtpServer

TEXT = "Subject: Hi\r\n\r\n.dot\r\nend"
BOTH = ["ann@example.org", "bob@example.org"]


def _message(*, charset: str = "ascii", **headers: str) -> EmailMessage:
    message = EmailMessage()
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    message.set_content("Grüße" if charset == "utf-8" else "Hello")
    return message


def _send(smtp, to=BOTH, **keywords):
    return smtp.sendmail("me@example.com", to, TEXT, **keywords)


# name -> (rules: verb, argument, replies; the calls)
CASES = {
    "accepted": ([], _send),
    "one string": ([], lambda s: _send(s, "ann@example.org")),
    "bytes": ([], lambda s: s.sendmail("me@example.com", BOTH, b"Subject: \xc3\xbc\r\n\r\nx\r\n")),
    "no recipient": ([], lambda s: _send(s, [])),
    "display names": ([], lambda s: s.sendmail("Me <me@example.com>", ["Ann <ann@example.org>"], TEXT)),
    "null sender": ([], lambda s: s.sendmail("<>", BOTH, TEXT)),
    "empty sender": ([], lambda s: s.sendmail("", BOTH, TEXT)),
    "no address": ([], lambda s: _send(s, ["what is this@example.org", "ann@example.org"])),
    "quoted": ([], lambda s: _send(s, ['"a b"@example.org'])),
    "options": ([], lambda s: _send(s, mail_options=["RET=HDRS"], rcpt_options=["NOTIFY=NEVER"])),
    "lone line ends in text": ([], lambda s: s.sendmail("me@example.com", BOTH, "a\nb\rc\n.\n")),
    "one refused": ([("RCPT", "bob@*", "550 5.1.1 no")], _send),
    "all refused": ([("RCPT", "*", "550 5.1.1 no")], _send),
    "two mails": ([("RCPT", "*", "550 5.1.1 no", "550 no", "250 ok")], lambda s: (_caught(_send, s), _send(s))),
    "sender refused": ([("MAIL", "*", "550 5.7.1 not\xa0you")], _send),
    "421 to MAIL": ([("MAIL", "*", "421 4.3.2 bye")], _send),
    "421 to RCPT": ([("RCPT", "bob@*", "421 4.3.2 bye")], _send),
    "refused at DATA": ([("DATA", "*", "451 4.3.0 later")], _send),
    "refused at the end": ([(".", "*", "554-5.6.0 spam\n554 5.6.0 really")], _send),
    "421 at the end": ([(".", "*", "421 bye")], _send),
    "no EHLO": ([("EHLO", "*", "502 no")], lambda s: (_send(s), s.esmtp_features, s.does_esmtp)),
    "no greeting": ([("EHLO", "*", "550 no"), ("HELO", "*", "550 no")], _send),
    "not text": ([], lambda s: (s.ehlo(), _caught(s.sendmail, "me@example.com", BOTH, "Grüße"))),
    "not ASCII": ([], lambda s: s.sendmail("mé@example.com", BOTH, TEXT)),
    "UTF-8": ([], lambda s: s.sendmail("mé@example.com", ["änn@example.org"], TEXT, ["SMTPUTF8", "BODY=8BITMIME"])),
    "features": ([], lambda s: (s.ehlo(), s.esmtp_features, s.has_extn("SIZE"), s.has_extn("x"), s.ehlo_resp)),
    "auth, old style": (
        [("EHLO", "*", "250-x\n250-AUTH=LOGIN\n250-AUTH PLAIN\n250 HELP  me")],
        lambda s: (s.ehlo(), s.esmtp_features),
    ),
    "helo": ([], lambda s: (s.helo("there.test"), s.helo_resp, s.ehlo_resp)),
    "small commands": (
        [("VRFY", "*", "252 maybe"), ("EXPN", "*", "250-a\n250 b"), ("HELP", "*", "214 no")],
        lambda s: (s.ehlo(), s.noop(), s.rset(), s.vrfy("a@b.test"), s.verify("A <a@b.test>"), s.expn("all"), s.help()),
    ),
    "by hand": (
        [],
        lambda s: (s.ehlo(), s.mail("me@example.com"), s.rcpt("ann@example.org"), s.data(TEXT), s.docmd("NOOP")),
    ),
    "putcmd": ([], lambda s: (s.putcmd("ehlo", "x.test"), s.getreply(), s.putcmd("noop"), s.getreply())),
    "no code": ([("NOOP", "*", b"what?\r\n")], lambda s: (s.noop(), s.docmd("RSET"))),
    "out of order": ([], lambda s: (s.ehlo(), s.rcpt("ann@example.org"), _caught(s.data, TEXT))),
    "closed": ([("NOOP", "*", "421 bye")], lambda s: (s.noop(), _caught(s.noop), _caught(s.noop), s.sock)),
    "close": ([], lambda s: (s.close(), _caught(s.noop), _caught(s.send, "x"))),
    "quit": ([], lambda s: (s.ehlo(), s.quit(), s.sock, s.esmtp_features, s.ehlo_resp, _caught(s.noop))),
    "message": ([], lambda s: s.send_message(_message(From="Me <me@example.com>", To="ann@example.org"))),
    "Bcc, Sender": (
        [],
        lambda s: s.send_message(
            _message(From="a@x.test, b@x.test", Sender="c@x.test", To="d@x.test", Cc="e@x.test", Bcc="f@x.test")
        ),
    ),
    "resent": (
        [],
        lambda s: s.send_message(
            _message(From="a@x.test", To="b@x.test", Resent_Date="x", Resent_From="c@x.test", Resent_To="d@x.test")
        ),
    ),
    "own addresses": ([], lambda s: s.send_message(_message(From="a@x.test"), "b@x.test", ["c@x.test"])),
    "8 bit": ([], lambda s: s.send_message(_message(charset="utf-8", From="a@x.test", To="b@x.test"))),
    "UTF-8 message": ([], lambda s: s.send_message(_message(charset="utf-8", From="ä@x.test", To="b@x.test"))),
    "MIMEText": ([], lambda s: s.send_message(MIMEText("Grüße", "plain", "utf-8"), "a@x.test", "b@x.test")),
    "no AUTH": ([], lambda s: s.login("ann", "secret")),
    "no STARTTLS": ([], lambda s: s.starttls()),
}


def _caught(function, *args):
    """What it returns; of an exception, what smtplib's users see of it."""
    try:
        return function(*args)
    except OSError as error:
        kind = next(kind.__name__ for kind in type(error).mro() if kind.__module__ in ("smtplib", "builtins"))
        said = error.args if isinstance(error, (std.SMTPResponseException, std.SMTPRecipientsRefused)) else ()
        return kind, said
    except ValueError as error:
        return next(kind.__name__ for kind in type(error).mro() if kind.__module__ == "builtins")


@pytest.fixture(scope="module")
def server():
    with SmtpServer() as server:
        yield server


def seen(server, module, rules, calls):
    server.clear()
    server.rules.clear()
    for verb, argument, *replies in rules:
        server.on(verb, argument).reply(*replies)
    smtp = module.SMTP(server.host, server.port, "client.test", timeout=10)
    try:
        result = _caught(calls, smtp)
    finally:
        smtp.close()
    mails = [(m.sender, m.recipients, m.parameters, m.recipient_parameters, m.content) for m in server.mails]
    return result, [line.replace("DATA", "data") for line in server.commands], mails


@each("name", CASES)
def test_the_same_calls(server, name):
    rules, calls = CASES[name]
    theirs = seen(server, std, rules, calls)
    assert seen(server, ours, rules, calls) == theirs


def test_the_same_greetings():
    for greeting in ("554 5.7.1 no", "421 later", "199 no", "220-a\nS: 220 b"):
        found = []
        for module in (std, ours):
            with ScriptedServer(f"S: {greeting}\nS: hold") as server:
                smtp = module.SMTP(local_hostname="client.test", timeout=10)
                found.append(smtp.connect("127.0.0.1", server.port))
                smtp.close()
                found.append(_caught(greeted, module, server.port))
        assert found[:2] == found[2:], greeting


def greeted(module, port):
    with contextlib.closing(module.SMTP(f"127.0.0.1:{port}", local_hostname="client.test", timeout=10)) as smtp:
        return smtp.sock is None


def test_nobody_there():
    with ScriptedServer("S: close") as server:
        port = server.port
    for module in (std, ours):
        with pytest.raises(ConnectionRefusedError):
            module.SMTP("127.0.0.1", port)
