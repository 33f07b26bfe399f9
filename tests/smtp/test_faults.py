"""Servers that misbehave, at every step: what the client says of it, and that it lets go of the connection."""

from __future__ import annotations

import re
import socket
import ssl
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
import trustme
from exchange import DATA, EHLO, HI, MAIL, OK, QUIT, RCPT, exchange, message, sent, shown, url
from worlds import World

from mailer import DeliveryDeferred, DeliveryRefused, DeliveryUnknown, Envelope, Outcome
from mailer.delivery import DeliveryOptions
from mailer.errors import (
    AuthError,
    ConnectError,
    DeadlineExceeded,
    MessageError,
    ProtocolError,
    TlsError,
    TransportError,
)
from mailer.smtp.data import unstuffed
from mailer.testing import ScriptedServer, SmtpServer

#: Longer than a busy machine stalls a peer that answers at once, and short enough to be waited for.
TIMER_S = 0.3
EHLOX = "C: EHLO [127.0.0.1]\nS: 250-hello\n"
#: The way to a delivered mail: (step, what the client says, what the server says).
WAY = [
    ("greeting", "", "220 hi"),
    ("EHLO", "C: EHLO [127.0.0.1]", "250 STARTTLS"),
    ("STARTTLS", "C: STARTTLS", "220 go"),
    ("handshake", "", "tls"),
    ("EHLO again", "C: EHLO [127.0.0.1]", "250 AUTH PLAIN"),
    ("AUTH", "C: AUTH PLAIN AHVzZXIAc2VjcmV0", "235 ok"),
    ("MAIL", "C: MAIL FROM:<a@x.test>", "250 ok"),
    ("RCPT", "C: RCPT TO:<b@y.test>", "250 ok"),
    ("second RCPT", "C: RCPT TO:<c@y.test>", "250 ok"),
    ("DATA", "C: DATA", "354 go"),
    ("the final dot", "C: <data>", "250 2.0.0 queued as ABC123"),
]
STEPS = [step for step, _, _ in WAY]
CLEAR = [step for step in STEPS if step not in ("STARTTLS", "handshake", "EHLO again", "AUTH")]


def way_until(step: str, instead: str, *, skip: tuple[str, ...] = ()) -> str:
    """The script up to a step's command, with something else than its reply."""
    lines = []
    for name, said, replied in WAY:
        if name in skip:
            continue
        greeted = "250-hello\nS: " if name.startswith("EHLO") else ""
        lines.append(said)
        if name == step:
            return "\n".join([*lines, instead]) + "\n"
        lines.append(
            f"S: {greeted}{replied.replace('STARTTLS', 'DSN') if skip else f'{greeted}{replied}'[len(greeted) :]}"
        )
    raise AssertionError(step)


def outcome_at(step: str) -> Outcome:
    return Outcome.UNKNOWN if step == "the final dot" else Outcome.DEFERRED


FAULTS: dict[str, tuple[str, type[Exception] | tuple[type[Exception], ...]]] = {
    "f32_end": ("S: close", TransportError),
    "f32_reset": ("S: reset", TransportError),
    "check_09_421": ("S: 421 4.3.2 closing\nC: <eof>", TransportError),
    "f61_garbage": ("S: *** hello\nC: <eof>", ProtocolError),
    "f12_half_a_reply_and_the_end": ("S: bytes b'250-2'\nS: close", TransportError),
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("fault", FAULTS)
def test_fault_at_each_step(world: World, step: str, fault: str, server_tls: ssl.SSLContext, ca_file: str) -> None:
    instead, cause = FAULTS[fault]
    if step == "handshake":
        cause = TlsError
        instead = instead.replace("C: <eof>", "S: hold")  # the ClientHello is on its way
    options = {"tls": "required", "ca_file": ca_file, "host": "localhost", "server": {"tls": server_tls}}
    with exchange(world, way_until(step, instead), login="user:secret", **options) as (peer, mailer):
        receipt, error = sent(mailer, message("b@y.test", "c@y.test"))
        assert peer.wait_idle()  # closed already, not only by the mailer's end
    expected = outcome_at(step)
    if "421" in fault and step != "handshake":
        expected = Outcome.DEFERRED
        assert {(r.code, r.enhanced_code, r.text) for r in receipt.results} == {(421, "4.3.2", "closing")}
    assert [r.outcome for r in receipt.results] == [expected] * 2
    assert type(error) is (DeliveryUnknown if expected is Outcome.UNKNOWN else DeliveryDeferred)
    assert isinstance(error.__cause__, cause)
    assert peer.connections == 1
    assert len(receipt.attempts) == 1
    assert (peer.received != []) is (step == "the final dot")


@pytest.mark.parametrize("step", CLEAR)
def test_f04_check_02_a_slow_drip_cannot_stretch_the_timer(world: World, step: str) -> None:
    slow = way_until(
        step, "S: drip 0.05 250-this reply takes its time, and then some more", skip=tuple(set(STEPS) - set(CLEAR))
    )
    started = time.monotonic()
    with exchange(world, slow + "S: hold\n", command_timeout=TIMER_S, final_timeout=TIMER_S) as (peer, mailer):
        receipt, error = sent(mailer, message("b@y.test", "c@y.test"))
        took = time.monotonic() - started
        assert peer.wait_idle()
    assert 0.8 * TIMER_S < took < 5 * TIMER_S
    assert isinstance(error.__cause__, DeadlineExceeded)
    assert ("the connection" if step == "greeting" else step.removeprefix("second ")) in str(error.__cause__)
    assert {r.outcome for r in receipt.results} == {outcome_at(step)}


@pytest.mark.parametrize("step", ["greeting", "EHLO", "the final dot"])
def test_f12_an_incomplete_reply_runs_into_the_timer(world: World, step: str) -> None:
    script = way_until(step, "S: 250-a\nS: hold\n", skip=tuple(set(STEPS) - set(CLEAR)))
    with exchange(world, script, command_timeout=TIMER_S, final_timeout=TIMER_S) as (_, mailer):
        receipt, error = sent(mailer, message("b@y.test", "c@y.test"))
    assert isinstance(error.__cause__, DeadlineExceeded)
    assert {r.outcome for r in receipt.results} == {outcome_at(step)}


@pytest.mark.parametrize("step", ["STARTTLS", "handshake"])
def test_f24_a_stalled_handshake_runs_into_the_timer(world: World, step: str, server_tls: ssl.SSLContext) -> None:
    instead = "S: hold"
    with exchange(
        world, way_until(step, instead), server={"tls": server_tls}, tls="required", command_timeout=TIMER_S
    ) as (peer, mailer):
        receipt, error = sent(mailer)
        assert peer.wait_idle()
    assert isinstance(error.__cause__, DeadlineExceeded)
    assert [r.outcome for r in receipt.results] == [Outcome.DEFERRED]


def test_check_05_nothing_is_sent_before_the_greeting(world: World) -> None:
    with exchange(world, "S: hold\n", command_timeout=0.15) as (peer, mailer):
        _, error = sent(mailer)
        assert peer.wait_idle()
        assert peer.raw == [b""]
    assert isinstance(error.__cause__, DeadlineExceeded)


def test_the_whole_attempt_has_a_deadline_too(world: World) -> None:
    """No reply takes longer than its timer; together they take too long."""
    script = "S: delay 0.1\n" + HI + "C: EHLO [127.0.0.1]\nS: 250-hello\nS: hold\n"
    started = time.monotonic()
    with exchange(world, script, timeout=2 * TIMER_S, command_timeout=60) as (_, mailer):
        receipt, error = sent(mailer)
    assert time.monotonic() - started < 10 * TIMER_S
    assert isinstance(error.__cause__, DeadlineExceeded)
    assert [r.outcome for r in receipt.results] == [Outcome.DEFERRED]


def test_f41_the_timer_is_for_each_command(world: World) -> None:
    names = [f"r{n}@y.test" for n in range(6)]
    slow = "".join(f"C: RCPT TO:<{name}>\nS: delay 0.1\nS: 250 ok\n" for name in names)
    with exchange(world, HI + EHLO + MAIL + slow + DATA + OK + QUIT, command_timeout=0.5) as (_, mailer):
        receipt, error = sent(mailer, message(*names))
    assert error is None
    assert receipt.ok


def test_f55_the_final_reply_has_a_timer_of_its_own(world: World) -> None:
    script = HI + EHLO + MAIL + RCPT + DATA + f"S: delay {2 * TIMER_S}\n" + OK + QUIT
    with exchange(world, script, command_timeout=TIMER_S, final_timeout=10) as (_, mailer):
        receipt, _ = sent(mailer)
    assert receipt.ok


@pytest.mark.parametrize("step", ["reset", "nothing", "421"])
def test_f47_f48_check_18_check_23_what_comes_after_the_250_changes_nothing(world: World, step: str) -> None:
    after = {"reset": "S: reset\n", "nothing": QUIT + "S: hold\n", "421": QUIT + "S: 421 4.3.2 no\nS: hold\n"}[step]
    script = HI + EHLO + MAIL + RCPT + DATA + OK + after
    started = time.monotonic()
    with exchange(world, script) as (peer, mailer):
        receipt, error = sent(mailer)
        if step == "reset":
            assert peer.wait_idle()
    assert time.monotonic() - started < 3.0
    assert error is None
    assert shown(receipt) == [("b@y.test", "accepted", 250, "2.0.0", "queued as ABC123")]
    assert receipt.provider_ids == ("ABC123",)
    assert peer.connections == 1
    assert len(peer.received) == 1


def test_f02_reset_before_the_greeting(world: World) -> None:
    with exchange(world, "S: reset\n") as (_, mailer):
        receipt, error = sent(mailer)
    assert type(error) is DeliveryDeferred
    assert isinstance(error.__cause__, TransportError)
    assert [r.outcome for r in receipt.results] == [Outcome.DEFERRED]


def test_nobody_listens(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with world.mailer(f"smtp://127.0.0.1:{port}?tls=none") as mailer:
        receipt, error = sent(mailer, message("b@y.test", "c@y.test"))
        health = mailer.check()
    assert type(error) is DeliveryDeferred
    assert type(error.__cause__) is ConnectError
    assert f"127.0.0.1:{port}" in str(error.__cause__)
    assert len(receipt.deferred) == 2
    assert not health.ok
    assert type(health.cause) is ConnectError


def test_f01_the_second_address_is_tried_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo
    with exchange(world, HI + EHLO + MAIL + RCPT + DATA + OK + QUIT, host="two.test") as (peer, mailer):

        def both(host: str, *args: Any, **keywords: Any) -> Any:
            if host != "two.test":
                return real(host, *args, **keywords)
            if keywords.get("flags"):
                raise socket.gaierror(socket.EAI_NONAME, "not a number")
            ends = [("127.0.0.2", peer.port), ("127.0.0.1", peer.port)]  # the server listens on the second only
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", end) for end in ends]

        monkeypatch.setattr(socket, "getaddrinfo", both)
        started = time.monotonic()
        receipt, _ = sent(mailer)
        monkeypatch.undo()
    assert receipt.ok
    assert time.monotonic() - started < 3.0


# --- floods -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("instead", "limit"),
    [
        ("S: repeat 250000 250-" + "x" * 400, "lines"),
        ("S: repeat 250000 250-X", "lines"),
        ("S: bytes b'250 " + "x" * 20000 + "'\nS: hold", "line exceeds"),
    ],
    ids=["long_lines", "short_lines", "one_line"],
)
@pytest.mark.parametrize("step", ["greeting", "EHLO", "the final dot"])
def test_f14_check_04_an_endless_reply_is_cut_off(world: World, instead: str, limit: str, step: str) -> None:
    script = way_until(step, instead, skip=tuple(set(STEPS) - set(CLEAR)))
    with exchange(world, script) as (peer, mailer):
        tracemalloc.start()
        try:
            receipt, error = sent(mailer, message("b@y.test", "c@y.test"))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peer.wait_idle()
    assert type(error.__cause__) is ProtocolError
    assert limit in str(error.__cause__)
    assert peak < 16e6
    assert {r.outcome for r in receipt.results} == {outcome_at(step)}


# --- what came out of turn --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("extra", ["250 ok", "*** hello", "550 no", "221 bye"])
@pytest.mark.parametrize("step", ["greeting", "EHLO", "MAIL", "RCPT", "second RCPT", "DATA"])
def test_f67_check_39_a_reply_too_many_never_shifts_the_others(world: World, step: str, extra: str) -> None:
    """Above all the 250 behind the 354: taken for the answer to the dot, it would call a lost mail delivered."""
    replied = {name: reply for name, _, reply in WAY}[step].replace("STARTTLS", "DSN")
    script = way_until(step, f"S: {replied}\nS: {extra}\nS: hold\n", skip=tuple(set(STEPS) - set(CLEAR)))
    with exchange(world, script) as (peer, mailer):
        receipt, error = sent(mailer, message("b@y.test", "c@y.test"))
        assert peer.wait_idle()
    # A clean refusal while the data is still to be sent is an answer: the server will not have the mail.
    if step == "DATA" and extra == "550 no":
        assert {(r.outcome, r.code) for r in receipt.results} == {(Outcome.REJECTED, 550)}
        assert type(error) is DeliveryRefused
    else:
        assert {r.outcome for r in receipt.results} == {Outcome.DEFERRED}
        assert type(error.__cause__) is ProtocolError
    assert not peer.received


def test_f67_a_421_out_of_turn_says_why(world: World) -> None:
    script = HI + EHLO + "C: MAIL *\nS: 250 ok\nS: 421 4.3.2 shutting down\nS: close\n"
    with exchange(world, script) as (_, mailer):
        receipt, error = sent(mailer)
    assert shown(receipt) == [("b@y.test", "deferred", 421, "4.3.2", "shutting down")]
    assert type(error.__cause__) is TransportError


@pytest.mark.parametrize(
    "early", ["S: bytes b'250-hello\\r\\n250 STARTTLS\\r\\n250 evil\\r\\n'", "S: bytes b'250 STARTTLS\\r\\n25'"]
)
def test_f16_check_28_text_injected_before_starttls_aborts(
    world: World, early: str, server_tls: ssl.SSLContext
) -> None:
    early = early.replace("b'250 STARTTLS", "b'250-hello\\r\\n250 STARTTLS")
    script = HI + "C: EHLO [127.0.0.1]\n" + early + "\nC: <eof>\n"
    with exchange(world, script, tls="required", server={"tls": server_tls}) as (_, mailer):
        receipt, error = sent(mailer)
    assert type(error.__cause__) is ProtocolError
    assert "out of turn before STARTTLS" in str(error.__cause__)
    assert [r.outcome for r in receipt.results] == [Outcome.DEFERRED]


@pytest.mark.parametrize("injected", ["S: 250 evil", "S: bytes b'25'", "S: 250-hello\nS: 250 AUTH PLAIN"])
def test_f16_check_28_text_injected_behind_220_aborts(world: World, injected: str, server_tls: ssl.SSLContext) -> None:
    script = HI + EHLOX + "S: 250 STARTTLS\nC: STARTTLS\nS: 220 go\n" + injected + "\nC: <eof>\n"
    with exchange(world, script, login="user:secret", tls="required", server={"tls": server_tls}) as (peer, mailer):
        receipt, error = sent(mailer)
    assert type(error.__cause__) is TlsError
    assert "injected" in str(error.__cause__)
    assert [r.outcome for r in receipt.results] == [Outcome.DEFERRED]
    assert b"\x16" not in peer.raw[0]  # no handshake was begun


# --- certificates -----------------------------------------------------------------------------------------------------


def context_of(ca: trustme.CA, *names: str, **more: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(*names, **more).configure_cert(context)
    return context


def old_context(ca: trustme.CA) -> ssl.SSLContext:
    context = context_of(ca, "localhost")
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.options &= ~ssl.OP_NO_TLSv1_1
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1_1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


CERTIFICATES: dict[str, tuple[Callable[[trustme.CA], ssl.SSLContext], str]] = {
    "f17_unknown_authority": (lambda ca: context_of(trustme.CA(), "localhost"), "not trusted|self-signed"),
    "f18_check_30_another_name": (lambda ca: context_of(ca, "other.test"), "for another name"),
    "check_26_common_name_only": (lambda ca: context_of(ca, "other.test", common_name="localhost"), "for another name"),
    "f23_tls_1_1_only": (old_context, "no TLS version that is safe|handshake failed|no cipher"),
}


@pytest.mark.parametrize("implicit", [True, False], ids=["smtps", "starttls"])
@pytest.mark.parametrize("case", CERTIFICATES)
def test_check_26_a_certificate_that_does_not_hold_is_refused(
    world: World, case: str, implicit: bool, ca: trustme.CA, ca_file: str
) -> None:
    make, reason = CERTIFICATES[case]
    before = "" if implicit else HI + EHLOX + "S: 250 STARTTLS\nC: STARTTLS\nS: 220 go\n"
    with ScriptedServer(before + "S: tls\n" + EHLO, tls=make(ca)) as peer:
        where = url(
            peer,
            login="user:secret",
            scheme="smtps" if implicit else "smtp",
            host="localhost",
            tls="required",
            ca_file=ca_file,
        )
        with world.mailer(where) as mailer:
            receipt, error = sent(mailer)
        assert peer.wait_idle()
        assert len(peer.handshake_failures) == 1
    assert [r.outcome for r in receipt.results] == [Outcome.DEFERRED]
    assert type(error.__cause__) is TlsError
    assert "localhost" in str(error.__cause__)
    assert re.search(reason, str(error.__cause__))
    assert peer.connections == 1  # no second try in clear


def test_check_30_a_host_given_as_an_address_needs_it_in_the_certificate(
    world: World, ca: trustme.CA, ca_file: str
) -> None:
    script = "S: tls\n" + HI + EHLO + MAIL + RCPT + DATA + OK + QUIT
    for name, is_good in (("127.0.0.1", True), ("localhost", False)):
        with ScriptedServer(script, tls=context_of(ca, name)) as peer:
            with world.mailer(url(peer, scheme="smtps", tls="required", ca_file=ca_file)) as mailer:
                receipt, error = sent(mailer)
            assert peer.wait_idle()
        assert receipt.ok is is_good
        assert is_good or "another IP address" in str(error.__cause__)


def test_check_30_the_server_name_is_indicated(world: World, ca: trustme.CA, ca_file: str) -> None:
    context, names = context_of(ca, "localhost"), []
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    script = "S: tls\n" + HI + EHLO + MAIL + RCPT + DATA + OK + QUIT
    with exchange(
        world, script, server={"tls": context}, scheme="smtps", tls="required", host="localhost", ca_file=ca_file
    ) as (_, mailer):
        assert sent(mailer)[0].ok
    assert names == ["localhost"]


@pytest.mark.parametrize(
    ("tls", "verify", "is_good"),
    [("required", "no", True), ("opportunistic", "no", True), ("opportunistic", "yes", False)],
)
def test_f17_only_the_url_can_turn_the_check_off(world: World, tls: str, verify: str, is_good: bool) -> None:
    """Opportunistic means without TLS where there is none, not with a certificate that does not hold."""
    script = HI + EHLOX + "S: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nS: tls\n" + EHLO + MAIL + RCPT + DATA + OK + QUIT
    with ScriptedServer(script, tls=context_of(trustme.CA(), "other.test")) as peer:
        with world.mailer(url(peer, host="localhost", tls=tls, verify=verify)) as mailer:
            receipt, error = sent(mailer)
        assert peer.wait_idle()
    assert receipt.ok is is_good
    assert receipt.notes == ()
    assert is_good or type(error.__cause__) is TlsError
    assert peer.connections == 1


# --- the data ---------------------------------------------------------------------------------------------------------

BODIES = {
    "dot": b".\r\n",
    "dots": b"..\r\n.\r\n..x\r\n.x\r\n\r\n.\r\n",
    "no_last_line_end": b".x",
    "empty": b"",
    "crlfs": b"\r\n\r\n\r\n",
    "blocks": (b"." + b"x" * 76 + b"\r\n") * 3000,
    "bare_lf_dot": b"a\n.\nMAIL FROM:<evil@x.test>\r\n",
    "bare_cr_dot": b"a\r.\rb\r\n",
    "lf_dot_crlf": b"a\n.\r\nb\r\n",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_f52_check_10_check_11_check_12_the_text_arrives_as_it_was(world: World, body: bytes) -> None:
    head = b"From: a@x.test\r\nTo: b@y.test\r\nDate: Tue, 24 Nov 2026 00:00:00 +0000\r\nMessage-ID: <1@x.test>\r\n\r\n"
    with exchange(world, HI + EHLO + MAIL + RCPT + DATA + OK + QUIT) as (peer, mailer):
        assert mailer.send_raw(head + body, Envelope("a@x.test", "b@y.test")).ok
    (wire,) = peer.received
    lines = re.sub(rb"\r\n?|\n", b"\r\n", body)
    assert unstuffed(wire) == head + lines + (b"" if lines.endswith(b"\r\n") or not lines else b"\r\n")
    bare = wire.replace(b"\r\n", b"")
    assert b"\r" not in bare
    assert b"\n" not in bare
    # A sink that takes LF.LF, CR.CR or a mix for the end sees one message all the same.
    assert [found.end() for found in re.finditer(rb"(?:\r\n|\r|\n)\.(?:\r\n|\r|\n)", wire)] == [len(wire)]
    assert max(map(len, wire.split(b"\r\n"))) <= 998


def test_f49_check_41_an_8_bit_body_is_re_encoded_for_a_7_bit_server(world: World) -> None:
    text = "Grüße, 你好\r\n.\r\n".encode()
    head = b"From: a@x.test\r\nTo: b@y.test\r\nDate: Tue, 24 Nov 2026 00:00:00 +0000\r\nMessage-ID: <1@x.test>\r\n"
    head += b"MIME-Version: 1.0\r\n"
    made = head + b'Content-Type: text/plain; charset="utf-8"\r\nContent-Transfer-Encoding: 8bit\r\n\r\n' + text
    with exchange(world, HI + EHLO + MAIL + RCPT + DATA + OK + QUIT) as (peer, mailer):
        assert mailer.send_raw(made).ok
    assert peer.received[0].isascii()
    import email
    import email.policy

    read = email.message_from_bytes(unstuffed(peer.received[0]), policy=email.policy.SMTP)
    assert read.get_payload(decode=True) == text
    script = (
        HI
        + EHLOX
        + "S: 250-SIZE\nS: 250 8BITMIME\n"
        + f"C: MAIL FROM:<a@x.test> SIZE={len(made)} BODY=8BITMIME\nS: 250 ok\n"
    )
    with exchange(world, script + RCPT + DATA + OK + QUIT) as (peer, mailer):
        assert mailer.send_raw(made).ok
    assert unstuffed(peer.received[0]) == made


def test_check_41_a_signed_8_bit_mail_is_never_re_encoded(world: World) -> None:
    made = (
        b"DKIM-Signature: v=1; a=rsa-sha256; d=x.test; s=s; h=from; bh=x; b=x\r\nFrom: a@x.test\r\nTo: b@y.test\r\n"
        b"Date: Tue, 24 Nov 2026 00:00:00 +0000\r\nMessage-ID: <1@x.test>\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\ngr\xc3\xbc\xc3\x9fe\r\n"
    )
    with exchange(world, HI + EHLO + QUIT) as (_, mailer), pytest.raises(DeliveryRefused) as caught:
        mailer.send_raw(made)
    (result,) = caught.value.receipt.results
    assert (result.outcome, result.enhanced_code) == (Outcome.REJECTED, "5.6.3")


def test_f50_check_43_too_big_for_the_announced_size(world: World) -> None:
    big = message(text="x" * 70 + "\n" + "y\n" * 2500)
    script = HI + EHLOX + "S: 250 SIZE 1000\n" + "C: MAIL FROM:<a@x.test> SIZE=*\nS: 250 ok\n" + RCPT + DATA + OK + QUIT
    with exchange(world, script) as (peer, mailer):
        receipt, error = sent(mailer, big)
        assert type(error) is DeliveryRefused
        (result,) = receipt.results
        assert (result.outcome, result.enhanced_code) == (Outcome.REJECTED, "5.3.4")
        assert "1000" in result.text
        assert sent(mailer)[0].ok  # nothing was begun: the session is as good as new
    assert peer.log[0][1].startswith("MAIL FROM:<a@x.test> SIZE=")


@pytest.mark.parametrize("offered", ["SIZE", "SIZE 0", "SIZE 99999999"])
def test_check_43_size_is_exact_to_the_octet(world: World, offered: str) -> None:
    script = (
        HI + EHLOX + f"S: 250 {offered}\n" + "C: MAIL FROM:<a@x.test> SIZE=*\nS: 250 ok\n" + RCPT + DATA + OK + QUIT
    )
    with exchange(world, script) as (peer, mailer):
        assert sent(mailer, message(text=".\n..\nx"))[0].ok
    content = unstuffed(peer.received[0])
    assert peer.log[0][1] == f"MAIL FROM:<a@x.test> SIZE={len(content)}"
    assert len(peer.received[0]) > len(content) + 3  # dots were doubled after the counting


def test_check_43_a_mail_of_just_the_limit_goes(world: World) -> None:
    with world.mailer("null:") as composing:
        made = bytes(composing.compose(message()).content)
    for limit, is_good in ((len(made), True), (len(made) - 1, False)):
        mail = f"C: MAIL FROM:<a@x.test> SIZE={len(made)}\nS: 250 ok\n" + RCPT + DATA + OK if is_good else ""
        with exchange(world, HI + EHLOX + f"S: 250 SIZE {limit}\n" + mail + QUIT) as (_, mailer):
            assert sent_raw_ok(mailer, made) is is_good


def sent_raw_ok(mailer: Any, made: bytes) -> bool:
    try:
        return bool(mailer.send_raw(made).ok)
    except DeliveryRefused:
        return False


def test_f51_check_42_a_recipient_that_needs_smtputf8_fails_alone(world: World) -> None:
    with exchange(world, HI + EHLO + MAIL + RCPT + DATA + OK + QUIT) as (peer, mailer):
        receipt, error = sent(mailer, message("b@y.test", bcc="jösé@b.test"))
    assert error is None
    assert [(r.outcome, r.code, r.enhanced_code) for r in receipt.results] == [
        (Outcome.ACCEPTED, 250, "2.0.0"),
        (Outcome.REJECTED, None, "5.6.7"),
    ]
    assert peer.received[0].isascii()


def test_check_42_smtputf8_is_said_only_where_it_is_needed(world: World) -> None:
    offer = EHLOX + "S: 250-8BITMIME\nS: 250 SMTPUTF8\n"
    foreign = "C: MAIL FROM:<a@x.test>* SMTPUTF8\nS: 250 ok\nC: RCPT TO:<j\u00f6s\u00e9@b.test>\nS: 250 ok\n"
    with exchange(world, HI + offer + MAIL + RCPT + DATA + OK + foreign + DATA + OK + QUIT) as (peer, mailer):
        assert sent(mailer)[0].ok
        assert sent(mailer, message("jösé@b.test"))[0].ok
    assert b"SMTPUTF8" not in peer.raw[0].partition(b"DATA")[0]


def test_check_42_a_sender_that_needs_smtputf8_is_refused_before_mail(world: World) -> None:
    with exchange(world, HI + EHLO + QUIT) as (_, mailer):
        receipt, error = sent(mailer, message("b@y.test", "c@y.test", return_path="jösé@x.test"))
    assert type(error) is DeliveryRefused
    assert [(r.outcome, r.enhanced_code) for r in receipt.results] == [(Outcome.REJECTED, "5.6.7")] * 2


@pytest.mark.parametrize("offered", [True, False])
def test_f53_dsn_is_asked_for_where_it_is_offered_and_noted_where_not(world: World, offered: bool) -> None:
    wanted = DeliveryOptions(notify=("SUCCESS", "FAILURE"), ret="HDRS", envid="e+1")
    said = (
        " RET=HDRS ENVID=e+2B1" if offered else "",
        " NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;b@y.test" if offered else "",
    )
    script = HI + (EHLOX + "S: 250 DSN\n" if offered else EHLO)
    script += (
        f"C: MAIL FROM:<a@x.test>{said[0]}\nS: 250 ok\nC: RCPT TO:<b@y.test>{said[1]}\nS: 250 ok\n" + DATA + OK + QUIT
    )
    with exchange(world, script) as (_, mailer):
        receipt, _ = sent(mailer, message(delivery=wanted))
    assert receipt.ok
    assert receipt.notes == (() if offered else ("DSN not offered",))


def test_f39_check_17_more_recipients_than_a_transaction_takes(world: World) -> None:
    names = [f"r{n}@y.test" for n in range(35)]
    script = HI + EHLO
    for start in range(0, 35, 10):
        ten, more = names[start : start + 10], names[start + 10 : start + 11]
        script += MAIL + "".join(f"C: RCPT TO:<{name}>\nS: 250 ok\n" for name in ten)
        script += "".join(f"C: RCPT TO:<{name}>\nS: 452 4.5.3 too many\n" for name in more)
        script += DATA + f"S: 250 2.0.0 queued as Q{start:03}\n"
    with exchange(world, script + QUIT) as (peer, mailer):
        receipt, _ = sent(mailer, message(*names))
    assert receipt.ok
    assert [r.address.addr_spec for r in receipt.results] == names
    assert receipt.provider_ids == ("Q000", "Q010", "Q020", "Q030")
    assert peer.connections == 1
    assert len(peer.received) == 4
    assert len(set(peer.received)) == 1


@pytest.mark.parametrize("way", ["PIPELINING", "PIPELINING CHUNKING"])
def test_f39_check_17_a_full_transaction_is_not_asked_for_more(world: World, way: str) -> None:
    """Of 452 without an enhanced code nothing is learnt (it may be one mailbox's); the group it stands in is enough."""
    names = [f"r{n}@y.test" for n in range(500)]
    with SmtpServer(extensions=way.split(), max_recipients=100) as peer, world.mailer(peer.url) as mailer:
        assert sent(mailer, message(*names))[0].ok
    assert [recipient for mail in peer.mails for recipient in mail.recipients] == names
    assert sum(line.startswith("RCPT") for line in peer.commands) == 500 + 400


def test_f54_a_refusal_in_the_middle_of_the_mail_is_its_result(world: World) -> None:
    script = HI + EHLO + MAIL + RCPT + "C: DATA\nS: 354 go\nC: <bytes 65536>\nS: 552 5.3.4 too big\nS: close\n"
    big = message(text=("x" * 78 + "\n") * 150_000)
    started = time.monotonic()
    with exchange(world, script) as (_, mailer):
        receipt, error = sent(mailer, big)
    assert time.monotonic() - started < 5
    assert type(error) is DeliveryRefused
    assert shown(receipt) == [("b@y.test", "rejected", 552, "5.3.4", "too big")]


def test_f54_a_refusal_and_a_reset_in_the_middle_of_the_mail_is_its_result(world: World) -> None:
    script = HI + EHLO + MAIL + RCPT + "C: DATA\nS: 354 go\nC: <bytes 65536>\nS: 552 5.3.4 too big\nS: reset\n"
    with exchange(world, script) as (_, mailer):
        receipt, error = sent(mailer, message(text=("x" * 78 + "\n") * 150_000))
    assert type(error) is DeliveryRefused
    assert shown(receipt) == [("b@y.test", "rejected", 552, "5.3.4", "too big")]


@pytest.mark.parametrize(
    ("said", "outcome"), [("451 4.3.1 full", "deferred"), ("421 4.3.2 going", "deferred"), ("250 ok", "deferred")]
)
def test_f54_another_answer_in_the_middle_of_the_mail(world: World, said: str, outcome: str) -> None:
    script = HI + EHLO + MAIL + RCPT + f"C: DATA\nS: 354 go\nC: <bytes 65536>\nS: {said}\nS: close\n"
    with exchange(world, script) as (_, mailer):
        receipt, error = sent(mailer, message(text=("x" * 78 + "\n") * 150_000))
    (result,) = receipt.results
    assert result.outcome.value == outcome
    assert result.code == (None if said.startswith("250") else int(said[:3]))
    assert error.__cause__ is not None
    assert error.__cause__.__cause__ is not error.__cause__


@pytest.mark.parametrize(
    "address",
    ["a" * 65 + "@y.test", "a@" + "b" * 64 + ".test", "a@" + "b." * 130 + "test"],
    ids=["local_part", "label", "domain"],
)
def test_check_13_an_address_that_is_too_long_is_refused_before_connecting(world: World, address: str) -> None:
    with ScriptedServer(HI) as peer, world.mailer(url(peer)) as mailer:
        with pytest.raises(MessageError):
            mailer.send(message(address))
        assert peer.connections == 0


def test_f27_credentials_never_go_where_tls_is_off(world: World) -> None:
    with ScriptedServer(HI) as peer, world.mailer(url(peer, login="user:secret")) as mailer:
        receipt, error = sent(mailer)
        assert peer.connections == 0
    assert type(error.__cause__) is AuthError
    assert "auth_in_clear=yes" in str(error.__cause__)
    assert [r.outcome for r in receipt.results] == [Outcome.DEFERRED]
