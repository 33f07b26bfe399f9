"""What a submitted mail is as the server gets it; and each check and fault of PROTOCOL.md has a test by its number."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from exchange import DATA, EHLO, HI, MAIL, OK, QUIT, RCPT, exchange, message, sent, url
from worlds import World

from mailer import NULL_SENDER, DeliveryDeferred, Envelope, Outcome
from mailer.smtp.data import unstuffed
from mailer.testing import ScriptedServer
from mailer.verdict import verdict_of_reply

TESTS = Path(__file__).parent.parent


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA", "dot"])
def test_check_19_4xx_defers_and_5xx_rejects_whatever_follows_the_digit(step: str) -> None:
    for code in range(400, 600):
        assert verdict_of_reply(step, code).outcome is (Outcome.DEFERRED if code < 500 else Outcome.REJECTED)


def test_check_20_a_hundred_mails_to_a_dead_host_are_one_connection(world: World) -> None:
    with ScriptedServer("S: 421 busy\n") as peer, world.mailer(url(peer)) as mailer:
        receipts = mailer.send_many([message() for _ in range(100)])
        assert peer.connections == 1
    assert {receipt.results[0].outcome for receipt in receipts} == {Outcome.DEFERRED}


def test_check_21_the_null_sender_is_said_as_such(world: World) -> None:
    script = HI + EHLO + "C: MAIL FROM:<>\nS: 250 ok\n" + RCPT + DATA + OK + QUIT
    with exchange(world, script) as (peer, mailer):
        assert sent(mailer, message(return_path=NULL_SENDER, headers={"Auto-Submitted": "auto-replied"}))[0].ok
    assert b"\r\nAuto-Submitted: auto-replied\r\n" in peer.received[0]


def fields(content: bytes) -> list[str]:
    head = content.partition(b"\r\n\r\n")[0]
    return [name.decode().lower() for name in re.findall(rb"^([!-9;-~]+):", head, re.MULTILINE)]


@pytest.mark.parametrize("is_ready_made", [False, True])
def test_check_25_what_is_submitted_has_its_fields_and_no_others(world: World, is_ready_made: bool) -> None:
    script = HI + EHLO + "C: MAIL FROM:<bounce@x.test>\nS: 250 ok\n" + RCPT
    script += "C: RCPT TO:<secret@y.test>\nS: 250 ok\n" + DATA + OK + QUIT
    raw = b"Return-Path: <old@x.test>\r\nFrom: a@x.test\r\nTo: b@y.test\r\nBcc: secret@y.test\r\n\r\nhi\r\n"
    with exchange(world, script) as (peer, mailer):
        if is_ready_made:
            assert mailer.send_raw(raw, Envelope("bounce@x.test", ["b@y.test", "secret@y.test"])).ok
        else:
            assert sent(mailer, message(bcc="secret@y.test", return_path="bounce@x.test"))[0].ok
    content = unstuffed(peer.received[0])
    names = fields(content)
    assert all(names.count(name) == 1 for name in ("date", "message-id", "from"))
    assert not {"return-path", "received", "bcc", "sender"} & set(names)
    assert b"secret" not in content
    assert b"bounce" not in content


def test_f42_greylisting_is_left_for_later(world: World) -> None:
    """A retry within seconds would not pass; in minutes is the outbox's."""
    refused = HI + EHLO + MAIL + "C: RCPT TO:<b@y.test>\nS: 450 4.2.0 greylisted\nC: RSET\nS: 250 ok\n" + QUIT
    with ScriptedServer(refused) as peer:
        from mailer.retry import DEFAULT_RETRY

        with world.mailer(url(peer), retry=DEFAULT_RETRY) as mailer, pytest.raises(DeliveryDeferred) as caught:
            mailer.send(message())
        assert peer.connections == 1
    [result] = caught.value.receipt.results
    assert (result.code, result.enhanced_code) == (450, "4.2.0")


# --- by number --------------------------------------------------------------------------------------------------------

#: A word and numbers, as in "check_44_to_48", "f47_f48", "check_10_check_11".
_NUMBERED = re.compile(r"(?<![a-z0-9])(check|f)_?(\d+)(?:_to_(?:check_|f)?(\d+))?(?![a-z0-9])")
_MORE = re.compile(r"(?<![a-z0-9])check_(\d+(?:_\d+)+)(?!\d)")


def numbered() -> set[tuple[str, int]]:
    """The checks and faults that tests and dialogues are named for."""
    names = [path.stem for path in (TESTS / "dialogues").glob("*.txt")]
    for path in TESTS.rglob("test_*.py"):
        text = path.read_text(encoding="utf-8")
        names += re.findall(r"^(?:async )?def (test_\w+)", text, re.MULTILINE)
        names += re.findall(r"^ +\"(f\d\d_\w+)\":", text, re.MULTILINE)  # cases of a table
    found: set[tuple[str, int]] = set()
    for name in names:
        for word, first, last in _NUMBERED.findall(name):
            found |= {(word, number) for number in range(int(first), int(last or first) + 1)}
        for numbers in _MORE.findall(name):
            found |= {("check", int(number)) for number in numbers.split("_")}
    return found


def test_every_check_and_fault_of_the_client_has_a_test_of_its_name() -> None:
    checks = {("check", number) for number in range(1, 54)}  # 54, TLSRPT, is optional
    faults = {("f", number) for number in (*range(1, 74), 91, 92)}
    assert sorted((checks | faults) - numbered()) == []
