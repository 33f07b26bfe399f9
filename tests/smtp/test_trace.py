"""Transcripts and timings: what was said without the secrets, where the time went, and nothing kept unasked."""

from __future__ import annotations

import pickle
import ssl
from typing import Any

import pytest
from exchange import DATA, EHLO, HI, MAIL, OK, QUIT, RCPT, exchange, message, sent, url
from worlds import World

from mailer import Mailer, Receipt, TransportError
from mailer.backends.smtp import SmtpBackend
from mailer.smtp.endpoint import Endpoint
from mailer.smtp.trace import PHASES, Trace
from mailer.testing import ScriptedServer


def said(lines: tuple[str, ...]) -> list[str]:
    """The transcript without its times, which never run backwards."""
    times = [float(line.split(" ", 1)[0]) for line in lines]
    assert times == sorted(times)
    assert all(line[0] == "+" for line in lines)
    return [line.split(" ", 1)[1] for line in lines]


# --- the value --------------------------------------------------------------------------------------------------------


def test_phases_add_up() -> None:
    trace = Trace(10.0)
    for phase, at in (("resolve", 10.0), ("connect", 11.0), ("", 13.0), ("data", 20.0), ("", 21.0), ("data", 30.0)):
        trace.enter(phase, at)
    assert trace.timings == {"resolve": 1.0, "connect": 2.0, "data": 1.0}
    trace.enter("", 30.5)
    assert trace.timings["data"] == 1.5


def test_a_transcript_is_bounded_and_keeps_both_ends() -> None:
    trace = Trace(1.0, is_kept=True)
    for number in range(1000):
        trace.say(1.0 + number / 1000, "C", f"RCPT {number} " + "x" * (2000 if number > 990 else 9))
    lines = trace.lines()
    assert len(lines) == 501
    assert lines[0].startswith("+0.000 C: RCPT 0 x")
    assert lines[399].startswith("+0.399 C: RCPT 399 ")
    assert lines[400] == "... 500 lines left out ..."
    assert [line.split()[3] for line in lines[-2:]] == ["998", "999"]
    assert max(map(len, lines)) < 1100


def test_nothing_is_kept_unasked_and_what_is_kept_is_one_harmless_line() -> None:
    trace = Trace(0.0)
    trace.say(0.0, "C", "x")
    assert trace.lines() == ()
    trace = Trace(0.0, is_kept=True)
    trace.say(0.0, "S", "250 \x1b[2J\r\n\u202e AUTH PLAIN AHVzZXIAc2VjcmV0 password=hunter2")
    [line] = trace.lines()
    assert line.isprintable()
    assert line.isascii()
    assert "hunter2" not in line
    assert "AHVz" not in line


# --- on receipts and errors -------------------------------------------------------------------------------------------

LOGIN = "C: AUTH PLAIN AHVzZXIAY29ycmVjdCBob3JzZQ==\nS: {}\n"
SECURED = (
    HI
    + "C: EHLO [127.0.0.1]\nS: 250-hello\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nS: tls\n"
    + "C: EHLO [127.0.0.1]\nS: 250-hello\nS: 250-PIPELINING\nS: 250 AUTH PLAIN\n"
)


def test_a_whole_transcript_without_the_secrets(world: World, server_tls: ssl.SSLContext, ca_file: str) -> None:
    script = (
        SECURED + LOGIN.format("235 hello, correct horse") + MAIL + RCPT + DATA + OK + MAIL + RCPT + DATA + OK + QUIT
    )
    options = {"tls": "required", "host": "localhost", "ca_file": ca_file, "transcript": "yes"}
    login = "user:correct%20horse"
    with exchange(world, script, login=login, server={"tls": server_tls}, **options) as (peer, mailer):
        first, _ = sent(mailer, message(text="the body"))
        second, _ = sent(mailer)
    lines = said(first.transcript)
    assert lines[0].startswith("*: connection #")
    size = len(peer.received[0]) - 3  # the dot and its line end
    assert [line for line in lines[1:] if not line.startswith("*: TLSv1")] == [
        "S: 220 hi",
        "C: EHLO [127.0.0.1]",
        "S: 250-hello",
        "S: 250 STARTTLS",
        "C: STARTTLS",
        "S: 220 go",
        "C: EHLO [127.0.0.1]",
        "S: 250-hello",
        "S: 250-PIPELINING",
        "S: 250 AUTH PLAIN",
        "C: AUTH PLAIN ***",
        "S: 235 hello, ***",
        "C: MAIL FROM:<a@x.test>",
        "C: RCPT TO:<b@y.test>",
        "C: DATA",
        "S: 250 ok",
        "S: 250 ok",
        "S: 354 go",
        f"C: <{size} octets of mail>",
        "S: 250 2.0.0 queued as ABC123",
    ]
    assert said(second.transcript)[0].endswith(", used before")
    assert said(second.transcript)[1] == "C: MAIL FROM:<a@x.test>"
    assert set(first.timings) == set(PHASES)
    assert set(second.timings) == {"envelope", "data", "final"}
    for receipt in (first, second):
        [attempt] = receipt.attempts
        assert receipt.timings == attempt.timings
        assert 0 < sum(attempt.timings.values()) <= attempt.duration_s
        assert min(attempt.timings.values()) >= 0
        back = Receipt.from_dict(receipt.to_dict())
        assert (back.timings, back.transcript) == (receipt.timings, receipt.transcript)


@pytest.mark.parametrize("asked", [True, False])
def test_a_failed_send_tells_it_on_receipt_and_errors(world: World, asked: bool) -> None:
    script = HI + EHLO + MAIL + RCPT + "C: DATA\nS: close\n"
    with exchange(world, script, **({"transcript": "yes"} if asked else {})) as (_, mailer):
        receipt, error = sent(mailer)
    assert error is not None
    assert error.__cause__ is not None
    assert set(receipt.timings) == {"resolve", "connect", "greeting", "ehlo", "envelope"}
    if not asked:
        assert receipt.transcript == error.transcript == error.__cause__.transcript == ()
        return
    assert said(receipt.transcript)[-2] == "C: DATA"
    assert "TransportError: " in said(receipt.transcript)[-1]
    assert error.transcript == error.__cause__.transcript == receipt.transcript
    assert pickle.loads(pickle.dumps(error)).transcript == receipt.transcript


def test_what_fails_before_a_mail_tells_it_too(world: World) -> None:
    script = (
        HI + "C: EHLO [127.0.0.1]\nS: 250-hello\nS: 250 AUTH PLAIN\n" + LOGIN.format("535 no, correct horse") + QUIT
    )
    options = {"auth_in_clear": "yes", "transcript": "yes", "login": "user:correct%20horse"}
    with ScriptedServer(script + "---\n" + script) as peer, world.mailer(url(peer, **options)) as mailer:
        receipt, error = sent(mailer)
        health = mailer.check()
    assert error is not None
    for lines in (receipt.transcript, error.transcript, health.cause.transcript):
        assert "C: AUTH PLAIN ***" in said(lines)
        assert "S: 535 no, ***" in said(lines)
        assert "correct horse" not in "\n".join(lines)
    assert set(receipt.timings) == {"resolve", "connect", "greeting", "ehlo", "auth"}


@pytest.mark.parametrize("keywords", [(), ("PIPELINING",), ("PIPELINING", "CHUNKING"), ("CHUNKING",)])
def test_each_mail_of_many_has_its_own_lines_and_phases(world: World, keywords: tuple[str, ...]) -> None:
    from rules import Rules, RuleServer

    with RuleServer(Rules(offers=keywords, rcpt={"no": "550 5.1.1 no"})) as server:
        with world.mailer(url(server, transcript="yes")) as mailer:
            receipts = mailer.send_many([message(to) for to in ("one@y.test", "no@y.test", "two@y.test")])
        assert server.wait_idle()
    for receipt, to in zip(receipts, ("one", "no", "two"), strict=True):
        lines = said(receipt.transcript)
        paths = [line for line in lines if "RCPT TO" in line]
        assert paths == [f"C: RCPT TO:<{to}@y.test>"]
        assert sum(line.startswith("C: MAIL ") for line in lines) == 1
        assert ("S: 550 5.1.1 no" in lines) is (to == "no")
        assert "envelope" in receipt.timings
        assert ("final" in receipt.timings) is (to != "no" or len(keywords) == 2)
    assert "connect" in receipts[0].timings
    assert all("connect" not in receipt.timings for receipt in receipts[1:])


def test_the_mailer_asks_for_all_its_members(world: World) -> None:
    with (
        ScriptedServer("S: 421 busy\nS: close\n") as busy,
        ScriptedServer(HI + EHLO + MAIL + RCPT + DATA + OK + QUIT) as peer,
    ):
        with world.mailer(f"failover({url(busy)} {url(peer)})", transcript=True) as mailer:
            receipt = mailer.send(message())
        assert peer.wait_idle()
    one, other = receipt.attempts
    assert said(one.transcript)[1:] == ["S: 421 busy", said(one.transcript)[-1]]
    assert "C: DATA" in said(other.transcript)
    assert receipt.transcript == one.transcript + other.transcript
    assert receipt.timings["connect"] == pytest.approx(one.timings["connect"] + other.timings["connect"])


def test_a_backend_made_by_hand_keeps_its_own_choice() -> None:
    backend = SmtpBackend(Endpoint(host="localhost", port=1, tls="none"), transcript=True)
    with Mailer(backend, retry=None) as mailer, pytest.raises(Exception) as caught:
        mailer.send(message())
    cause: Any = caught.value.__cause__
    assert isinstance(cause, TransportError)
    assert "ConnectError" in cause.transcript[-1]
