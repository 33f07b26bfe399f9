"""Credentials: the mechanisms, and that no password stands in any text, whatever the server does with it."""

from __future__ import annotations

import base64
import json
import logging
import pickle
import ssl
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
from exchange import HI, exchange, sent, url
from worlds import World

from mailer import DeliveryDeferred, Mailer
from mailer.errors import AuthError, ProtocolError
from mailer.smtp.auth import Login, Plain
from mailer.smtp.endpoint import Endpoint
from mailer.testing import ScriptedServer, SmtpServer

PASSWORD = "s3cr+t pä55/wörd%&@:#?"
ENCODED = "s3cr%2Bt%20p%C3%A455%2Fw%C3%B6rd%25%26%40%3A%23%3F"


def forms(password: str = PASSWORD) -> list[str]:
    """The ways a password can show: plain, escaped, percent-encoded, in base64 alone and in PLAIN's response."""
    data = password.encode()
    return [
        password,
        data.decode("ascii", "backslashreplace"),
        ENCODED,
        base64.b64encode(data).decode(),
        base64.b64encode(b"\0user\0" + data).decode(),
    ]


def errors_of(error: BaseException | None) -> Iterator[BaseException]:
    """The error and all that it is chained from, by cause and by context."""
    waiting, seen = [error], set()
    while waiting:
        found = waiting.pop()
        if found is None or id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        waiting += [found.__cause__, found.__context__]


def texts_of(error: BaseException) -> Iterator[str]:
    for found in errors_of(error):
        yield from (str(found), repr(found), repr(found.args), repr(vars(found)))
        if isinstance(found, AuthError):
            yield repr(pickle.loads(pickle.dumps(found)).__dict__)
    yield "".join(traceback.format_exception(error))


def test_check_33_plain_is_rfc_4616() -> None:
    assert Plain("tim", "tanstaaftanstaaf").initial == b"\0tim\0tanstaaftanstaaf"
    assert Plain("jösé", "pä").initial == "\0jösé\0pä".encode()
    assert Plain("a", "b").answer(b"") is None


@pytest.mark.parametrize("pair", [("a\0b", "hush!"), ("a", "hush!\0c")])
def test_check_33_plain_takes_no_nul(pair: tuple[str, str]) -> None:
    with pytest.raises(AuthError, match="NUL") as caught:
        Plain(*pair)
    assert "hush!" not in str(caught.value)


def test_check_34_login_answers_by_order() -> None:
    login = Login("u", "p")
    assert [login.initial, login.answer(b"Password:"), login.answer(b""), login.answer(b"Username:")] == [
        None,
        b"u",
        b"p",
        None,
    ]


def test_an_endpoint_shows_no_password() -> None:
    endpoint = Endpoint(host="h.test", port=25, username="user", password=PASSWORD)
    assert not any(form in repr(endpoint) + str(endpoint) for form in forms())


OFFER = HI + "C: EHLO *\nS: 250-hello\nS: 250 AUTH {mechanism}\n"
PLAIN64 = base64.b64encode(b"\0user\0" + PASSWORD.encode()).decode()
PASSWORD64 = base64.b64encode(PASSWORD.encode()).decode()
RAW = repr(PASSWORD.encode())[2:-1]
#: A server that says back what it was told: its reply, as bytes in a script.
ECHOES = {
    "plain": rf"535 5.7.8 wrong password {RAW} for user\r\n",
    "base64": rf"535-5.7.8 no\r\n535 5.7.8 {PASSWORD64}\r\n",
    "whole_response": rf"535 5.7.8 cannot take AUTH PLAIN {PLAIN64}\r\n",
    "421": rf"421 4.7.0 {RAW} {PLAIN64}\r\n",
    "454": rf"454 4.7.0 {RAW} {PASSWORD64}\r\n",
    "no_reply_at_all": rf"AUTH PLAIN {PLAIN64}\r\n",
    "a_reply_and_more": rf"235 ok\r\n250 {RAW}\r\n",
    "250": rf"250 {RAW}\r\n",
    "mixed_codes": rf"535-{RAW}\r\n435 {PLAIN64}\r\n",
    "334": rf"334 {PLAIN64}\r\n",
    "334_to_the_cancel": rf"334 {PLAIN64}\r\n'" + "\nC: *\nS: bytes b'" + rf"334-{RAW}\r\n334 {PASSWORD64}\r\n",
}


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("echo", ECHOES)
def test_f26_b45_a_failed_login_shows_no_password(
    world: World, echo: str, mechanism: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    script = OFFER.format(mechanism=mechanism)
    if mechanism == "PLAIN":
        script += f"C: AUTH PLAIN {PLAIN64}\n"
    else:
        script += f"C: AUTH LOGIN\nS: 334\nC: dXNlcg==\nS: 334\nC: {PASSWORD64}\n"
    script += f"S: bytes b'{ECHOES[echo]}'\n"
    with ScriptedServer(script) as peer:
        with world.mailer(url(peer, login=f"user:{ENCODED}", auth_in_clear="yes")) as mailer:
            receipt, error = sent(mailer)
            health = mailer.check()
            shown = [repr(mailer.wrapped), str(mailer.backend), repr(mailer.backend), repr(mailer.backend.endpoint)]
        assert peer.wait_idle()
    assert type(error) is DeliveryDeferred
    assert error.__cause__ is not None
    shown += [*texts_of(error), repr(receipt), json.dumps(receipt.to_dict(), ensure_ascii=False)]
    shown += [repr(health), str(health.cause), json.dumps(health.to_dict(), ensure_ascii=False)]
    shown += [
        *texts_of(health.cause),
        caplog.text,
        *(repr(record.__dict__) for record in caplog.records),
        *capfd.readouterr(),
    ]
    for form in forms():
        found = [text for text in shown if form in text]
        assert not found, f"{form!r} in {found[0]!r}"


def test_a_short_password_that_stands_in_a_challenge_by_chance_does_not_spoil_it(world: World) -> None:
    """What is hidden from people is not hidden from the mechanism: nearly every challenge has a letter of one."""
    for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5", "PLAIN", "LOGIN"):
        for password in ("p", "4"):
            with SmtpServer(users={"u": password}, mechanisms=[mechanism]) as server:
                with world.mailer(server.url, retry=None) as mailer:
                    assert mailer.check().ok, mechanism
                    server.on("RCPT").times(1).reply("550 5.1.4 perhaps")
                    assert sent(mailer)[0].results[0].enhanced_code == "5.1.4"
                assert server.commands[1].startswith(f"AUTH {mechanism}")


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "garbage"])
def test_b45_a_password_said_back_later_is_not_shown_either(world: World, step: str) -> None:
    script = OFFER.format(mechanism="PLAIN") + f"C: AUTH PLAIN {PLAIN64}\nS: 235 ok\nC: MAIL *\n"
    if step == "MAIL":
        script += f"S: bytes b'550 5.7.1 {RAW} {PASSWORD64}\\r\\n'\nC: RSET\nS: 250\nC: QUIT\n"
    elif step == "RCPT":
        script += f"S: 250 ok\nC: RCPT *\nS: bytes b'550 5.7.1 {RAW} {PLAIN64}\\r\\n'\nC: RSET\nS: 250\nC: QUIT\n"
    else:
        script += f"S: bytes b'{RAW}\\r\\n'\nC: <eof>\n"
    with exchange(world, script, login=f"user:{ENCODED}", auth_in_clear="yes") as (_, mailer):
        receipt, error = sent(mailer)
    shown = [*texts_of(error), repr(receipt), json.dumps(receipt.to_dict(), ensure_ascii=False)]
    assert not [text for text in shown for form in forms() if form in text]
    if step == "garbage":
        assert type(error.__cause__) is ProtocolError


def test_the_account_is_named_in_the_error_and_the_reply_kept(world: World) -> None:
    script = OFFER.format(mechanism="PLAIN") + f"C: AUTH PLAIN {PLAIN64}\nS: 535 5.7.8 wrong\nC: <eof>\n"
    with exchange(world, script, login=f"user:{ENCODED}", auth_in_clear="yes") as (peer, mailer):
        _, error = sent(mailer)
    cause = error.__cause__
    assert type(cause) is AuthError
    assert "'user'" in str(cause)
    assert (cause.reply.code, cause.reply.enhanced_code, cause.reply.text) == (535, "5.7.8", "wrong")
    assert len(peer.log[0]) == 2  # once: not hammered


def test_login_goes_under_tls_after_the_second_ehlo(world: World, server_tls: ssl.SSLContext, ca_file: str) -> None:
    script = (
        HI
        + "C: EHLO *\nS: 250 STARTTLS\n".replace("250 ", "250-h\nS: 250 ")
        + "C: STARTTLS\nS: 220 go\nS: tls\n"
        + OFFER.removeprefix(HI).format(mechanism="PLAIN")
        + f"C: AUTH PLAIN {PLAIN64}\nS: 235 ok\nC: QUIT\n"
    )
    options: dict[str, Any] = {
        "tls": "required",
        "ca_file": ca_file,
        "host": "localhost",
        "server": {"tls": server_tls},
    }
    with exchange(world, script, login=f"user:{ENCODED}", **options) as (peer, mailer):
        health = mailer.check()
        assert peer.wait_idle()
    assert health.ok
    assert health.facts["login"] == "user"
    assert health.facts["tls"].startswith("TLSv1.")
    assert not any(form in repr(health) for form in forms())


def test_a_long_password_goes_whole_or_is_refused_locally(world: World) -> None:
    """RFC 4954 section 4: an AUTH line has at most 12288 octets."""
    script = HI + "C: EHLO *\nS: 250-h\nS: 250 AUTH PLAIN\nC: <eof>\n"
    with exchange(world, script, login=f"user:{'x' * 12000}", auth_in_clear="yes") as (_, mailer):
        receipt, error = sent(mailer)
    assert "x" * 20 not in str(error) + repr(receipt)
    assert receipt.deferred  # the account's fault, not the mail's
    assert type(error.__cause__) is AuthError


def test_the_mailer_shows_no_password() -> None:
    with Mailer(f"failover(smtp://user:{ENCODED}@a.test smtps://user:{ENCODED}@b.test)?rest=5") as mailer:
        shown = repr(mailer) + str(mailer.backend) + repr(mailer.backend) + repr(mailer.backend.members)
    assert "user:***@a.test" in shown
    assert not any(form in shown for form in forms())
