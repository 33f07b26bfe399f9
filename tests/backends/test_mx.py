"""Direct delivery: hosts by DNS, in order, each recipient apart. Hosts live on 127.0.0.x, one port for all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from exchange import DATA, EHLO, HI, OK, QUIT, sent
from mx_hosts import TIMEOUTS, ZONE, hosts, message, mx, outcomes
from worlds import World

from mailer import Outcome
from mailer.errors import ConfigError, ConnectError, DeadlineExceeded, TlsError
from mailer.mailbox import Mailbox

# --- the ways that lead somewhere -------------------------------------------------------------------------------------


def test_each_domain_gets_its_own_mail_at_its_best_host(world: World) -> None:
    with hosts("mailbox", "mailbox", "mailbox") as (port, (one, spare, two)), mx(world, port) as mailer:
        receipt, _ = sent(mailer, message("a@one.test", "b@two.test", "c@ONE.test", "d@bare.test"))
    assert receipt.ok
    assert [r.address.local for r in receipt.results] == ["a", "b", "c", "d"]
    assert [mail.recipients for mail in one.mails] == [("a@one.test", "c@one.test")]
    assert sorted(mail.recipients for mail in two.mails) == [("b@two.test",), ("d@bare.test",)]
    assert spare.mails == []
    assert [attempt.backend for attempt in receipt.attempts] == [
        f"smtp://{host}:{port}?tls=opportunistic" for host in ("mx1.one.test", "mx.two.test", "bare.test")
    ]


def test_domains_can_be_served_at_once(world: World) -> None:
    with hosts("mailbox", "mailbox", "mailbox") as (port, (one, _, two)), mx(world, port, concurrency=5) as mailer:
        receipt, _ = sent(mailer, message("a@one.test", "b@two.test"))
    assert receipt.ok
    assert (len(one.mails), len(two.mails)) == (1, 1)


def test_an_address_literal_needs_no_dns(world: World) -> None:
    with hosts("mailbox") as (port, (one,)), mx(world, port, faults={("one.test", "MX"): "servfail"}) as mailer:
        receipt, _ = sent(mailer, message("a@[127.0.0.2]"))
        assert mailer.dns.asked == []
    assert receipt.ok
    assert one.mails[0].recipients == ("a@[127.0.0.2]",)


TO_RCPT = HI + EHLO + "C: MAIL *\nS: 250 ok\nC: RCPT *\n"


@pytest.mark.parametrize(
    "first",
    [
        "refused",
        "S: reset\n",  # F2
        "S: 554 no service\n" + QUIT,  # F3
        "S: 421 later\n",
        HI + "C: EHLO *\nS: 421 later\n",
        HI + "C: EHLO *\nS: 550 no\nC: HELO *\nS: 550 no\n" + QUIT,
        HI + EHLO + "C: MAIL *\nS: 421 later\n",
        HI + EHLO + "C: MAIL *\nS: 250 ok\nC: RCPT *\nS: close\n",
        HI + EHLO + "C: MAIL *\nS: 250 ok\nC: RCPT *\nS: 250 ok\nC: DATA\nS: close\n",
    ],
)
def test_f1_f71_a_host_that_fails_leads_to_the_next_in_the_same_attempt(world: World, first: str) -> None:
    with hosts(first, "mailbox") as (port, (_, spare)), mx(world, port) as mailer:
        receipt, error = sent(mailer, message("a@one.test"))
    assert error is None
    assert receipt.ok
    assert len(spare.mails) == 1
    assert len(receipt.attempts) == 2
    assert receipt.attempts[0].cause is not None


def test_f06_a_silent_host_is_given_up_at_its_timer_and_the_next_delivers(world: World) -> None:
    timeouts = replace(TIMEOUTS, greeting_s=0.2)
    with hosts("S: hold\n", "mailbox") as (port, (_, spare)), mx(world, port, timeouts=timeouts) as mailer:
        receipt, _ = sent(mailer, message("a@one.test"))
    assert receipt.ok
    assert len(spare.mails) == 1
    first, second = receipt.attempts
    assert isinstance(first.cause, DeadlineExceeded)
    assert first.timings["greeting"] >= 0.19
    assert second.cause is None


@pytest.mark.parametrize(
    ("first", "outcome"),
    [
        (
            HI + EHLO + "C: MAIL *\nS: 250 ok\nC: RCPT *\nS: 450 4.2.0 greylisted\nC: RSET\nS: 250 ok\n" + QUIT,
            "deferred",
        ),
        (HI + EHLO + "C: MAIL *\nS: 250 ok\nC: RCPT *\nS: 550 5.1.1 no\nC: RSET\nS: 250 ok\n" + QUIT, "rejected"),
        (HI + EHLO + "C: MAIL *\nS: 550 5.7.1 no\nC: RSET\nS: 250 ok\n" + QUIT, "rejected"),
        (TO_RCPT + "S: 250 ok\n" + DATA + "S: close\n", "unknown"),
    ],
)
def test_what_a_host_has_answered_is_not_asked_of_another(world: World, first: str, outcome: str) -> None:
    with hosts(first, "mailbox") as (port, (_, spare)), mx(world, port) as mailer:
        receipt, _ = sent(mailer, message("a@one.test"))
    assert [r.outcome.value for r in receipt.results] == [outcome]
    assert spare.mails == []


def test_who_was_accepted_before_the_host_failed_is_not_sent_again(world: World) -> None:
    script = (
        HI
        + EHLO
        + "C: MAIL *\nS: 250 ok\nC: RCPT TO:<a@*\nS: 250 ok\nC: RCPT TO:<b@*\nS: 452 4.5.3 one at a time\n"
        + DATA
        + OK
        + "C: MAIL *\nS: 421 enough\n"
    )
    with hosts(script, "mailbox") as (port, (_, spare)), mx(world, port) as mailer:
        receipt, _ = sent(mailer, message("a@one.test", "b@one.test"))
    assert receipt.ok
    assert [mail.recipients for mail in spare.mails] == [("b@one.test",)]


# --- the ways that end ------------------------------------------------------------------------------------------------


def test_f68_to_f70_what_dns_says_decides(world: World) -> None:
    faults = {("later.test", "MX"): "servfail", ("asleep.test", "MX"): "refused"}
    with hosts("mailbox", "mailbox", "mailbox") as (port, boxes), mx(world, port, faults=faults) as mailer:
        receipt, _ = sent(
            mailer,
            message("a@null.test", "b@nobody.test", "c@later.test", "d@homeless.test", "e@two.test", "f@asleep.test"),
        )
    assert outcomes(receipt) == [
        ("a@null.test", "rejected", "5.1.10"),
        ("b@nobody.test", "rejected", "5.1.2"),
        ("c@later.test", "deferred", None),
        ("d@homeless.test", "rejected", "5.4.4"),
        ("e@two.test", "accepted", "2.0.0"),
        ("f@asleep.test", "deferred", None),
    ]
    assert len(boxes[2].mails) == 1
    assert "null MX" in receipt.results[0].text


def test_every_host_down_is_deferred_with_each_cause(world: World) -> None:
    with hosts("refused", "refused") as (port, _), mx(world, port) as mailer:
        receipt, error = sent(mailer, message("a@one.test"))
    assert [r.outcome for r in receipt.results] == [Outcome.DEFERRED]
    assert [type(a.cause) for a in receipt.attempts] == [ConnectError, ConnectError]
    assert isinstance(error.__cause__, ConnectError)


def test_a_host_whose_address_cannot_be_learnt_is_passed_over(world: World) -> None:
    faults = {("mx1.one.test", kind): "servfail" for kind in ("A", "AAAA")}
    with hosts("refused", "mailbox") as (port, (_, spare)), mx(world, port, faults=faults) as mailer:
        assert sent(mailer, message("a@one.test"))[0].ok
        assert len(spare.mails) == 1
    faults |= {("mx2.one.test", kind): "servfail" for kind in ("A", "AAAA")}
    with hosts("refused") as (port, _), mx(world, port, faults=faults) as mailer:
        receipt, _ = sent(mailer, message("a@one.test"))
    assert [r.outcome for r in receipt.results] == [Outcome.DEFERRED]


def test_ourselves_among_the_hosts_is_a_loop(world: World) -> None:
    zone = "loop.test 60 IN MX 10 me.test.\nloop.test 60 IN MX 20 mx2.one.test.\n" + ZONE
    with hosts("mailbox", "mailbox") as (port, boxes), mx(world, port, zone, helo="me.test") as mailer:
        receipt, _ = sent(mailer, message("a@loop.test"))
    assert outcomes(receipt) == [("a@loop.test", "rejected", "5.4.6")]
    assert not any(box.mails for box in boxes)


def test_the_deadline_is_the_mails_and_not_each_hosts(world: World) -> None:
    timeouts = replace(TIMEOUTS, total_s=0.3)
    with hosts("S: hold\n", "S: hold\n") as (port, _), mx(world, port, timeouts=timeouts) as mailer:
        start = world.runtime.now()
        receipt, _ = sent(mailer, message("a@one.test", "b@two.test"))
        assert world.runtime.now() - start < 3
        assert not mailer.backend._rests._failures  # the want of time was ours
    assert [r.outcome for r in receipt.results] == [Outcome.DEFERRED] * 2


def test_f3_what_a_strangers_greeting_refuses_is_the_hosts_affair(world: World) -> None:
    """At a smarthost it pauses the account; here the next try may go elsewhere."""
    with hosts("S: 554 no service\n" + QUIT, "S: 421 later\n") as (port, _), mx(world, port) as mailer:
        receipt, _ = sent(mailer, message("a@one.test"))
        assert [(r.outcome.value, r.scope.value) for r in receipt.results] == [("deferred", "host")]
        mailer.dns.records["one.test", "MX"].pop()
        mailer.backend._dns._cache.clear()
        receipt, _ = sent(mailer, message("a@one.test"))
    assert [(r.outcome.value, r.scope.value) for r in receipt.results] == [("deferred", "host")]


def test_names_that_are_not_ascii_and_aliases_lead_there_too(world: World) -> None:
    zone = "xn--bcher-kva.test 60 IN CNAME alias.test.\nalias.test 60 IN MX 5 mx.alias.test.\n" + ZONE
    zone += "mx.alias.test 60 IN CNAME mx1.one.test.\n"
    with hosts("mailbox") as (port, (one,)), mx(world, port, zone) as mailer:
        receipt, _ = sent(mailer, message("a@bücher.test"))
    assert [(r.outcome.value, r.remote_mta) for r in receipt.results] == [("accepted", "mx.alias.test")]
    assert one.mails[0].recipients == ("a@xn--bcher-kva.test",)


def test_the_report_names_host_status_and_words(world: World) -> None:
    script = HI + EHLO + "C: MAIL *\nS: 250 ok\nC: RCPT *\nS: 550 5.1.1 no such user\nC: RSET\nS: 250 ok\n" + QUIT
    with hosts(script) as (port, _), mx(world, port) as mailer:
        receipt, _ = sent(mailer, message("a@one.test", "b@null.test"))
    text = receipt.delivery_status("mail.x.test")
    assert "Final-Recipient: rfc822; a@one.test\r\nAction: failed\r\nStatus: 5.1.1\r\n" in text
    assert "Remote-MTA: dns; mx1.one.test\r\nDiagnostic-Code: smtp; 550 5.1.1 no such user\r\n" in text
    assert "Final-Recipient: rfc822; b@null.test\r\nAction: failed\r\nStatus: 5.1.10\r\nDiagnostic-Code: x-" in text


def test_check_20_a_hundred_mails_to_a_dead_host_cost_a_few_connections(world: World) -> None:
    with hosts("S: 421 later\n---\n" * 9 + "S: 421 later\n") as (port, _), mx(world, port) as mailer:
        mailer.dns.records["one.test", "MX"] = ["60 10 mx1.one.test."]
        receipts = [sent(mailer, message("a@one.test"))[0] for _ in range(100)]
    assert all(receipt.results[0].outcome is Outcome.DEFERRED for receipt in receipts)
    assert sum(len(receipt.attempts) for receipt in receipts) == 5
    last = receipts[-1].results[0]
    assert 0 < last.retry_after_s <= 60
    assert "mx1.one.test is left alone after failing again and again" in last.text


# --- TLS between strangers --------------------------------------------------------------------------------------------


def test_tls_is_used_unchecked_and_done_without_where_it_fails(world: World, server_tls: Any) -> None:
    with hosts("mailbox") as (port, (one,)), mx(world, port) as mailer:
        assert sent(mailer, message("a@one.test"))[0].results[0].tls == "none"
        assert not one.mails[0].is_tls
    with Mailbox(host="127.0.0.2", tls=server_tls) as secure, mx(world, secure.port) as mailer:
        assert sent(mailer, message("a@one.test"))[0].results[0].tls == "unverified"
        assert secure.mails[0].is_tls  # its certificate is for another name, by an unknown authority
    broken = HI + "C: EHLO *\nS: 250-hello\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nS: close\n---\n" + HI
    broken += (
        "C: EHLO *\nS: 250-hello\nS: 250 STARTTLS\nC: MAIL *\nS: 250 ok\nC: RCPT *\nS: 250 ok\n" + DATA + OK + QUIT
    )
    with hosts(broken) as (port, (peer,)), mx(world, port) as mailer:
        receipt, _ = sent(mailer, message("a@one.test"))
    assert receipt.ok
    assert isinstance(receipt.attempts[0].cause, TlsError)
    assert len(peer.received) == 1


def test_f19_required_tls_is_never_done_without(world: World, server_tls: Any) -> None:
    with Mailbox(host="127.0.0.2", tls=server_tls) as secure, mx(world, secure.port, tls="required") as mailer:
        receipt, _ = sent(mailer, message("a@one.test"))
    assert [r.outcome for r in receipt.results] == [Outcome.DEFERRED]
    assert secure.mails == []


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "match"),
    [
        ("mx://host", "host"),
        ("mx:?helo=localhost", "helo"),
        ("mx:?tls=maybe", "tls"),
        ("mx:?concurrency=0", "concurrency"),
        ("mx:?timeout=0", "timeout"),
        ("mx:?prot=1", "prot"),
        ("mx:?dane=maybe", "dane"),
        ("mx:?resolver=dns.test", "resolver=.*IP addresses"),
        ("mx:?resolver=127.0.0.1:0", "resolver=.*port 0"),
        ("mx:?max_connections=21", "max_connections"),
        ("mx:?port=0", "port"),
        ("mx:?rest=-1", "rest"),
        ("mx:?source_address=host", "source_address"),
    ],
)
def test_wrong_urls_are_errors(url: str, match: str) -> None:
    from mailer import Mailer

    with pytest.raises(ConfigError, match=match):
        Mailer(url)


def test_it_prints_itself_and_checks_dns(world: World) -> None:
    with world.mailer("mx://?helo=mail.example.com&concurrency=3") as mailer:
        assert str(mailer.backend) == "mx:?helo=mail.example.com&concurrency=3"
    with mx(world, 1) as mailer:
        assert mailer.check().ok
    with mx(world, 1, faults={("", "NS"): "servfail"}) as mailer:
        assert isinstance(mailer.check().cause, ConnectError)


def test_settings_arrive_where_they_count() -> None:
    from mailer import backend_from_url

    backend: Any = backend_from_url(
        "mx:?port=2525&rest=7&resolver=127.0.0.1:5353,[::1]:54,192.0.2.1&trust_resolver=yes&dane=no&mta_sts=no&greeting_timeout=7"
        "&max_connections=3&source_address=192.0.2.7,2001:db8::7&proxy=socks5://gate.test"
    )
    assert backend._dns._recursive_servers() == (("127.0.0.1", 5353), ("::1", 54), ("192.0.2.1", 53))
    assert backend._dns.is_trusted
    assert (backend.port, backend._rests._rest_s) == (2525, 7)
    assert (backend._timeouts.greeting_s, backend._timeouts.data_s, backend._hosts._limits.connections) == (7, 120, 3)
    assert backend.source_address == ("192.0.2.7", "2001:db8::7")
    assert str(backend.proxy) == "socks5://gate.test:1080"
    assert (backend._facts["dane"], backend._facts["mta_sts"]) == ("no", "no")
