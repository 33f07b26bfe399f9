"""The server faults of PROTOCOL.md section 3 that are the client's, F1-F73, F91, F92, each by its number.

Here each is a few lines of script for `SmtpServer` and what becomes of three recipients, on one of the three worlds in
turn. What a fault means in full (timers, memory, the bytes on the wire) is tested where `ELSEWHERE` says, or by the
dialogue of that number in ``tests/dialogues``, on all three.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from exchange import message, sent
from worlds import NAMES, World, new_world

from mailer import Attachment, DeliveryOptions, Receipt, RetryPolicy
from mailer.backends.mx import MxBackend
from mailer.dns import DnsClient
from mailer.errors import AuthError, DeadlineExceeded, ProtocolError, TlsError, TransportError
from mailer.smtp.endpoint import Timeouts
from mailer.testing import SmtpCommand, SmtpServer
from mailer.testing.dns import DnsServer

TO = ("ann@y.test", "bob@y.test", "cyd@y.test")
LETTERS = {"accepted": "a", "deferred": "d", "rejected": "r", "unknown": "u"}
PIPELINED = ("SIZE", "8BITMIME", "SMTPUTF8", "PIPELINING", "ENHANCEDSTATUSCODES", "DSN")
CHUNKED = (*PIPELINED, "CHUNKING")
LOGIN = {"tls": True, "users": {"user": "secret"}}
#: For a peer that says nothing: no case with it needs an answer within that time.
IMPATIENT = {"command_timeout": 0.2}
BIG = {"attachments": [Attachment.from_bytes("big.bin", bytes(range(256)) * 4096)]}


@dataclass(frozen=True)
class Case:
    """A fault, and what comes of it.

    Attributes:
        script: Lays it over the server.
        outcomes: The initials of what becomes of the recipients.
        server: Options of the server.
        url: Options of the client.
        message: Fields of the message.
        cause: The error behind the outcome.
        says: Stands in the error or the results' texts.
        never: A command that is not sent.
        then: What the same message comes to afterwards; "" if it is not sent again.
        sessions: How many connections that makes.
        check: Looks at the rest.
    """

    script: Callable[[SmtpServer], Any] = lambda server: None
    outcomes: str = "aaa"
    server: dict[str, Any] = field(default_factory=dict)
    url: dict[str, Any] = field(default_factory=dict)
    message: dict[str, Any] = field(default_factory=dict)
    cause: type[Exception] | None = None
    says: str = ""
    never: str = "-"
    then: str = ""
    sessions: int = 1
    check: Callable[[SmtpServer, Receipt], object] = lambda server, receipt: True


def forged(command: SmtpCommand) -> str:
    """The server's signature with one bit altered."""
    signature = bytearray(base64.b64decode(base64.b64decode(command.usual.lines[0])[2:]))
    signature[0] ^= 1
    return f"334 {base64.b64encode(b'v=' + base64.b64encode(signature)).decode()}"


def no_mail(server: SmtpServer, receipt: Receipt) -> bool:
    return not server.mails


DROPS = ["CONNECT", "EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA"]
JUNK = ["2500 ok", " 250 ok", "abc", "999 x"]

TABLE: dict[str, Case] = {
    # Connect and greeting
    "F2": Case(lambda s: s.on("CONNECT").drop(reset=True), "ddd", cause=TransportError),
    "F3": Case(lambda s: s.on("CONNECT").reply("554 no service"), "ddd", never="EHLO", says="no service"),
    "F4": Case(
        lambda s: s.on("CONNECT").reply("220 " + 99 * "x").drip(0.05), "ddd", url=IMPATIENT, cause=DeadlineExceeded
    ),
    "F5": Case(lambda s: s.on("CONNECT").reply(b"\x15\x03\x01\0\2\2\x46"), "ddd", cause=ProtocolError, says="smtps://"),
    "F7": Case(lambda s: s.on("CONNECT").reply(49 * "220-x\n" + "220 ok")),
    # EHLO
    "F8": Case(lambda s: s.on("EHLO").reply("502 no"), check=lambda s, r: s.commands[1].startswith("HELO")),
    "F9": Case(lambda s: s.on("EHLO").drop(), "ddd", cause=TransportError),
    "F10": Case(lambda s: s.on("EHLO").reply(f"250-x\n250-{1000 * 'K'}\n250-XUNKNOWN a=b\n250 8bitMIME  ")),
    "F11": Case(lambda s: s.on("EHLO").reply("250-a\n550 b"), "ddd", cause=ProtocolError),
    "F12": Case(lambda s: s.on("EHLO").reply(b"250-a\r\n").hold(), "ddd", url=IMPATIENT, cause=DeadlineExceeded),
    "F13": Case(
        lambda s: s.on("EHLO").reply(
            "250-a\n250-AUTH=LOGIN\n250-auth plain cram-md5\n250-AUTH LOGIN\n250-SIZE\n250 8bitmime "
        ),
        server={"users": {"user": "secret"}},
        check=lambda s, r: s.commands[1] == "AUTH CRAM-MD5" and "BODY=8BITMIME" not in s.commands[3],
    ),
    "F14": Case(
        lambda s: s.on("EHLO").reply(itertools.repeat(b"250-" + 400 * b"x" + b"\r\n")), "ddd", cause=ProtocolError
    ),
    # TLS
    "F15": Case(outcomes="ddd", url={"tls": "required"}, cause=TlsError, never="AUTH|MAIL"),
    "F16": Case(
        lambda s: s.on("STARTTLS").reply(b"220 go\r\n250 evil\r\n"),
        "ddd",
        server={"tls": True},
        cause=TlsError,
        says="injected",
    ),
    "F17": Case(outcomes="ddd", server={"tls": "self_signed"}, cause=TlsError, says="self-signed"),
    "F18": Case(outcomes="ddd", server={"tls": "wrong_host"}, cause=TlsError, says="another"),
    "F19": Case(lambda s: s.on("TLS").drop(), "ddd", server={"tls": True}, cause=TlsError, never="MAIL"),
    "F20": Case(
        outcomes="ddd",
        server={**LOGIN, "mechanisms": (), "extensions_before_tls": ("AUTH PLAIN",)},
        cause=AuthError,
        never="AUTH",
    ),
    "F21 required": Case(
        lambda s: s.on("STARTTLS").reply("454 TLS not available"), "ddd", server={"tls": True}, never="MAIL"
    ),
    "F21 opportunistic": Case(
        lambda s: s.on("STARTTLS").reply("454 TLS not available"),
        server={"tls": True},
        url={"tls": "opportunistic"},
        check=lambda s, r: "tls: none" in " ".join(r.notes),
    ),
    "F22 expired": Case(outcomes="ddd", server={"tls": "expired"}, cause=TlsError, says="expired"),
    "F22 future": Case(outcomes="ddd", server={"tls": "not_yet_valid"}, cause=TlsError, says="not yet valid"),
    "F23": Case(outcomes="ddd", server={"tls": "old_protocol"}, cause=TlsError),
    "F24": Case(
        lambda s: s.on("TLS").hold(), "ddd", server={"tls": True}, url={"tls_timeout": 0.2}, cause=DeadlineExceeded
    ),
    # AUTH
    "F25": Case(
        outcomes="ddd",
        server={**LOGIN, "extensions": ("AUTH NTLM GSSAPI",)},
        cause=AuthError,
        never="AUTH",
        says="NTLM",
    ),
    "F26": Case(
        lambda s: s.on("AUTH").reply("535 5.7.8 no"),
        "ddd",
        server=LOGIN,
        cause=AuthError,
        check=lambda s, r: sum(line.startswith("AUTH") for line in s.commands) == 1,
    ),
    "F27": Case(outcomes="ddd", server={"users": {"user": "secret"}}, url={"auth_in_clear": "no"}, sessions=0),
    "F28": Case(lambda s: s.on("AUTH").reply("454 4.7.0 later"), "ddd", server=LOGIN, never="MAIL", says="later"),
    "F29": Case(
        lambda s: s.on("AUTH").reply("334 "),
        "ddd",
        server={**LOGIN, "mechanisms": ("PLAIN",)},
        cause=AuthError,
        check=lambda s, r: s.sessions[0].received.count(base64.b64encode(b"\0user\0secret")) == 1,
    ),
    "F30": Case(
        lambda s: s.on("AUTH").reply("334 QmVudXR6ZXJuYW1lOg==", "334 S2VubndvcnQ6", None),
        server={**LOGIN, "mechanisms": ("LOGIN",)},
    ),
    "F31": Case(
        lambda s: s.on("AUTH").reply(None, forged, "235 come in"),
        "ddd",
        server={**LOGIN, "mechanisms": ("SCRAM-SHA-256",)},
        cause=AuthError,
        never="MAIL",
    ),
    # Envelope
    **{
        f"F32 {verb}": Case(lambda s, verb=verb: s.on(verb).drop(), "ddd", server=LOGIN, cause=TransportError)
        for verb in DROPS
    },
    "F32 EHLO2": Case(lambda s: s.on("EHLO").skip(1).drop(), "ddd", server=LOGIN, cause=TransportError),
    "F33": Case(lambda s: s.on("MAIL").reply("451 4.3.0 later"), "ddd", says="later", check=no_mail),
    "F34": Case(lambda s: s.on("MAIL").times(1).reply("550 5.7.1 no"), "rrr", then="aaa"),
    "F35": Case(lambda s: s.on("RCPT").reply("250 ok", "550 5.1.1 no", "451 4.7.1 later"), "ard"),
    "F36": Case(lambda s: s.on("RCPT").reply("550 no"), "rrr", server={"extensions": ()}, never="DATA"),
    "F37": Case(lambda s: s.on("RCPT").reply("251 elsewhere", "252 perhaps", "250 ok")),
    "F38": Case(lambda s: s.on("RCPT", "cyd@*").reply("421 4.3.2 closing"), "ddd", check=no_mail),
    "F39": Case(
        server={"max_recipients": 1}, check=lambda s, r: [m.recipients for m in s.mails] == [(to,) for to in TO]
    ),
    "F40": Case(
        lambda s: (
            s.on("RCPT", "bob@*").reply("552 5.3.4 too big"),
            s.on("RCPT", "cyd@*").times(1).reply("552 5.5.3 too many recipients"),
        ),
        "ara",
        check=lambda s, r: len(s.mails) == 2,
    ),
    # Data
    "F43": Case(
        lambda s: s.on("DATA").reply("250 ok"), "ddd", check=lambda s, r: b"Subject" not in s.sessions[0].received
    ),
    "F44": Case(lambda s: s.on(".").reply("451 4.3.0 later"), "ddd", says="later"),
    "F45": Case(lambda s: s.on(".").reply("554 5.7.1 no"), "rrr", says="no"),
    "F46": Case(lambda s: s.on(".").drop(), "uuu", check=lambda s, r: len(s.mails) == 1),
    "F47": Case(lambda s: s.on(".").reply("250 2.0.0 ok").drop(reset=True)),
    "F48": Case(lambda s: s.on("QUIT").hold()),
    "F49": Case(
        server={"extensions": ()}, message={"text": "Grüße"}, check=lambda s, r: s.sessions[0].received.isascii()
    ),
    "F50": Case(outcomes="rrr", server={"max_size": 1000}, message={"text": 5000 * "x"}, never="DATA"),
    "F51": Case(outcomes="ar", server={"extensions": ("PIPELINING",)}, message={"to": ["ann@y.test", "jösé@y.test"]}),
    "F52": Case(
        message={"text": ".\n..\n.x\n\n\n."},
        check=lambda s, r: s.mails[0].content.endswith(b"\r\n\r\n.\r\n..\r\n.x\r\n\r\n\r\n.\r\n"),
    ),
    "F53": Case(
        server={"extensions": ("PIPELINING",)},
        message={"delivery": DeliveryOptions(notify="SUCCESS")},
        check=lambda s, r: "DSN" in " ".join(r.notes) and "NOTIFY" not in " ".join(s.commands),
    ),
    "F54": Case(
        lambda s: s.on("DATA").drop(read=65536, saying="552 5.3.4 too big", reset=True),
        "rrr",
        message=BIG,
        says="too big",
    ),
    "F56": Case(lambda s: s.on(".").reply("250-2.0.0 a\n250 2.0.0 queued as X").drip(0), says="queued as X"),
    "F57": Case(
        lambda s: s.on("BDAT").reply("250 ok", "503 5.5.1 no"),
        "rrr",
        server={"extensions": CHUNKED},
        message=BIG,
        never="DATA",
        check=no_mail,
    ),
    "F58": Case(
        lambda s: (s.on(".", "bob@*").reply("450 4.2.2 full"), s.on(".", "cyd@*").drop()), "adu", server={"lmtp": True}
    ),
    # Pipelining and replies
    "F59 one segment": Case(),
    "F59 single octets": Case(lambda s: s.on("*").drip(0)),
    "F60": Case(lambda s: s.on("MAIL").reply("250")),
    **{f"F61 {junk}": Case(lambda s, junk=junk: s.on("MAIL").reply(junk), "ddd", cause=ProtocolError) for junk in JUNK},
    "F62": Case(lambda s: s.on("*").reply(lambda c: c.usual.format().replace(b"\r\n", b"\n"))),
    "F63": Case(
        lambda s: s.on("RCPT", "bob@*").reply(b"550 5.1.1 \xff\0\x1b[31m no\r\n"),
        "ara",
        check=lambda s, r: all(result.text.isprintable() for result in r.results),
    ),
    "F64": Case(lambda s: s.on("RCPT").reply("250 " + 4090 * "x"), check=lambda s, r: len(r.results[0].text) < 4000),
    "F65 refused": Case(
        lambda s: (s.on("MAIL").times(1).reply("550 no"), s.on("RSET").reply("500 no")), "rrr", then="aaa", sessions=2
    ),
    "F65 lost": Case(
        lambda s: (s.on("MAIL").times(1).reply("550 no"), s.on("RSET").drop()), "rrr", then="aaa", sessions=2
    ),
    "F66": Case(lambda s: s.on(".").times(1).reply(None).drop(), then="aaa", sessions=2),
    "F67": Case(
        lambda s: s.on("MAIL").times(1).reply(b"250 ok\r\n*** hello\r\n"),
        "ddd",
        cause=ProtocolError,
        then="aaa",
        sessions=2,
    ),
}

#: Where the rest is, and what needs more than three recipients and one server: file, and the test's name in it.
ELSEWHERE: dict[str, str] = {
    "F1": "tests/smtp/test_faults.py test_f01_the_second_address_is_tried_at_once",
    "F4": "tests/smtp/test_faults.py test_f04_check_02_a_slow_drip_cannot_stretch_the_timer",
    "F6": "tests/smtp/test_fault_table.py test_f6_a_silent_greeting_leads_to_the_next_host",
    "F14": "tests/smtp/test_faults.py test_f14_check_04_an_endless_reply_is_cut_off",
    "F17": "tests/smtp/test_faults.py test_f17_only_the_url_can_turn_the_check_off",
    "F22": "tests/smtp/test_tls.py test_f22_f23_what_does_not_hold_is_refused_by_name_and_reason",
    "F24": "tests/smtp/test_faults.py test_f24_a_stalled_handshake_runs_into_the_timer",
    "F31": "tests/smtp/test_mechanisms.py test_f31_a_server_without_the_password_gets_no_mail",
    "F32": "tests/smtp/test_faults.py test_fault_at_each_step",
    "F41": "tests/smtp/test_faults.py test_f41_the_timer_is_for_each_command",
    "F42": "tests/smtp/test_fault_table.py test_f42_a_greylisted_mail_is_left_to_a_later_try",
    "F52": "tests/smtp/test_faults.py test_f52_check_10_check_11_check_12_the_text_arrives_as_it_was",
    "F54": "tests/smtp/test_ways.py test_f54_a_refusal_is_seen_though_the_server_reads_no_more",
    "F55": "tests/smtp/test_faults.py test_f55_the_final_reply_has_a_timer_of_its_own",
    "F66": "tests/backends/test_smtp_backend.py test_f66_an_idle_connection_that_the_server_closed_is_replaced",
    "F68": "tests/smtp/test_route.py test_check_51_f68_null_mx_takes_no_mail",
    "F69": "tests/smtp/test_route.py test_check_22_f69_without_mx_the_domain_is_the_host",
    "F70": "tests/test_dns.py test_f70_a_server_that_fails_is_no_answer",
    "F71": "tests/backends/test_mx.py test_f1_f71_a_host_that_fails_leads_to_the_next_in_the_same_attempt",
    "F72": "tests/smtp/test_route.py test_f72_equal_hosts_share_the_load",
    "F73": "tests/test_race.py test_f73_a_black_hole_costs_a_head_start_and_no_more",
    "F91": "tests/smtp/test_cancellation.py test_f91_cancelled_at_each_await_point",
    "F92": "tests/test_retry.py test_f92_tries_times_members_is_all_there_is",
}
ROOT = Path(__file__).parents[2]


@contextlib.contextmanager
def peer_and_mailer(world: World, server: dict[str, Any], options: dict[str, Any]) -> Iterator[tuple[SmtpServer, Any]]:
    """A server, and a mailer for its URL with these options instead."""
    with SmtpServer(**{"extensions": PIPELINED, **server}) as peer:
        where, _, query = peer.url.partition("?")
        given = dict(pair.split("=", 1) for pair in query.split("&"))
        with world.mailer(f"{where}?{urlencode(given | options, safe='%/')}") as mailer:
            yield peer, mailer


def initials(receipt: Receipt) -> str:
    return "".join(LETTERS[result.outcome.value] for result in receipt.results)


@pytest.mark.parametrize("name", TABLE)
def test_fault(name: str) -> None:
    case = TABLE[name]
    mail = message(**{"to": TO, **case.message})
    with (
        new_world(NAMES[list(TABLE).index(name) % len(NAMES)]) as world,
        peer_and_mailer(world, case.server, case.url) as (server, mailer),
    ):
        case.script(server)
        receipt, error = sent(mailer, mail)
        assert initials(receipt) == case.outcomes, [str(result) for result in receipt.results]
        cause = error.__cause__ if error else None
        assert case.cause is None or isinstance(cause, case.cause), repr(cause)
        assert case.says in " ".join([str(error), *(result.text for result in receipt.results)])
        assert case.check(server, receipt)
        if case.then:
            assert initials(sent(mailer, mail)[0]) == case.then
    assert not [line for line in server.commands if re.match(case.never, line)]
    assert len(server.sessions) == case.sessions


def test_f6_a_silent_greeting_leads_to_the_next_host(world: World) -> None:
    """F6: the greeting's timer ends the first host, and the second delivers in the same attempt."""
    zone = """
        y.test 60 IN MX 10 silent.y.test.
        y.test 60 IN MX 20 well.y.test.
        silent.y.test 60 IN A 127.0.0.2
        well.y.test 60 IN A 127.0.0.3
    """
    with DnsServer(zone) as dns, SmtpServer(host="127.0.0.2") as silent:
        silent.on("CONNECT").hold()
        with SmtpServer(host="127.0.0.3", port=silent.port) as well:
            backend = MxBackend(port=well.port, dns=DnsClient([dns.address]), timeouts=Timeouts(greeting_s=0.3))
            with world.mailer(backend) as mailer:
                receipt, _ = sent(mailer, message(*TO))
        assert silent.commands == []
    assert initials(receipt) == "aaa"
    assert [mail.recipients for mail in well.mails] == [TO]
    assert isinstance(receipt.attempts[0].cause, DeadlineExceeded)
    assert [attempt.cause is None for attempt in receipt.attempts] == [False, True]


def test_f42_a_greylisted_mail_is_left_to_a_later_try(world: World) -> None:
    """F42: within one call it is tried once; the next, of the same sender and from the same address, succeeds."""
    now = [0.0]
    server = {"greylist_s": 60, "clock": lambda: now[0]}
    with SmtpServer(**server) as peer, world.mailer(peer.url, retry=RetryPolicy()) as mailer:
        first, _ = sent(mailer, message(*TO))
        assert initials(first) == "ddd"
        assert {(result.code, result.enhanced_code) for result in first.results} == {(450, "4.2.0")}
        assert len(first.attempts) == 1
        now[0] = 60.0
        assert initials(sent(mailer, message(*TO))[0]) == "aaa"
    assert [line.split()[1] for line in peer.commands if line.startswith("MAIL")] == ["FROM:<a@x.test>"] * 2


def test_every_fault_of_the_client_is_somewhere() -> None:
    """By number, and where a test is named it is there."""
    wanted = {f"F{number}" for number in (*range(1, 74), 91, 92)}
    here = {name.split()[0] for name in TABLE}
    assert here | set(ELSEWHERE) == wanted
    for place in ELSEWHERE.values():
        file, test = place.split()
        assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8"), place
