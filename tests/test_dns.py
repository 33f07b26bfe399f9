"""DNS questions, to a real server on loopback: what is found, what is not, what lies, and what cannot be learnt."""

from __future__ import annotations

import importlib
import socket
import sys
from typing import Any

import pytest
from worlds import World

from mailer.dns import Answer, DnsClient, Mx, Tlsa
from mailer.errors import ConfigError, ConnectError, DeadlineExceeded
from mailer.testing.dns import DnsServer

ZONE = """
a.test 60 IN MX 20 Mx2.A.test.
a.test 60 IN MX 10 mx1.a.test.
null.test 60 IN MX 0 .
mx1.a.test 60 IN A 192.0.2.1
mx1.a.test 60 IN A 192.0.2.2
mx1.a.test 60 IN AAAA 2001:db8::1
alias.test 60 IN CNAME other.test.
other.test 30 IN CNAME a.test.
loop.test 60 IN CNAME loop.test.
text.test 60 IN TXT "v=STSv1; " "id=1"
"""
HASH = "0c72ac70b745ac19998811b131d662c9ac69dbdbe7cb23e5b514b56664c5d3d6"
ZONE += f"_25._tcp.mx1.a.test 60 IN TLSA 3 1 1 {HASH}\n"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def asked(world: World, server: DnsServer, name: str, kind: str, *, within_s: float = 30, **more: Any) -> Answer:
    client = DnsClient([server.address], **more)
    return world.run(client.look_up, world.runtime, name, kind, world.runtime.now() + within_s)


def test_records_of_each_kind(world: World) -> None:
    with DnsServer(ZONE) as server:
        found = asked(world, server, "A.test.", "MX")
        assert (found.status, set(found.records)) == ("found", {Mx(20, "mx2.a.test"), Mx(10, "mx1.a.test")})
        assert asked(world, server, "null.test", "MX") == Answer("found", (Mx(0, ""),))
        assert asked(world, server, "text.test", "TXT").records == ("v=STSv1; id=1",)
        tlsa = asked(world, server, "_25._tcp.mx1.a.test", "TLSA").records
        assert tlsa == (
            Tlsa(3, 1, 1, bytes.fromhex("0c72ac70b745ac19998811b131d662c9ac69dbdbe7cb23e5b514b56664c5d3d6")),
        )
        aliased = asked(world, server, "ALIAS.test.", "MX")
        assert set(aliased.records) == set(found.records)
        assert (found.name, aliased.name) == ("a.test", "a.test")


def test_nothing_and_nobody_are_told_apart(world: World) -> None:
    with DnsServer(ZONE) as server:
        assert asked(world, server, "mx1.a.test", "MX") == Answer("none")
        assert asked(world, server, "nobody.test", "MX") == Answer("missing")


@pytest.mark.parametrize("fault", ["servfail", "refused"])
def test_f70_a_server_that_fails_is_no_answer(world: World, fault: str) -> None:
    with DnsServer(ZONE, {("a.test", "MX"): fault}) as server:
        with pytest.raises(ConnectError, match=fault.upper()):
            asked(world, server, "a.test", "MX")
        assert len(server.asked) == 2


@pytest.mark.parametrize("fault", ["silent", "junk"])
def test_f70_no_answer_ends_in_time(world: World, fault: str) -> None:
    with DnsServer(ZONE, {("a.test", "MX"): fault}) as server, pytest.raises((DeadlineExceeded, ConnectError)):
        asked(world, server, "a.test", "MX", within_s=0.2)


def test_the_next_server_is_asked(world: World) -> None:
    with DnsServer(ZONE, {("a.test", "MX"): "servfail"}) as bad, DnsServer(ZONE) as good:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
            closed.bind(("127.0.0.1", 0))
            nobody = closed.getsockname()
        client = DnsClient([nobody, bad.address, good.address])
        answer = world.run(client.look_up, world.runtime, "a.test", "MX", world.runtime.now() + 30)
    assert answer.status == "found"


def test_a_forged_answer_is_not_taken(world: World) -> None:
    with DnsServer(ZONE, {("a.test", "MX"): "forged"}) as server:
        assert {mx.host for mx in asked(world, server, "a.test", "MX").records} == {"mx1.a.test", "mx2.a.test"}


def test_a_long_answer_comes_by_tcp(world: World) -> None:
    with DnsServer(ZONE, {("a.test", "MX"): "truncated"}) as server:
        assert len(asked(world, server, "a.test", "MX").records) == 2
        assert [by for _, _, by in server.asked] == ["udp", "tcp"]
    with DnsServer(ZONE, {("a.test", "MX"): "tcp cut"}) as server, pytest.raises(ConnectError, match="ended within"):
        asked(world, server, "a.test", "MX")


def test_aliases_in_a_circle_end(world: World) -> None:
    with DnsServer(ZONE) as server, pytest.raises(ConnectError, match="aliases"):
        asked(world, server, "loop.test", "MX")


def test_answers_are_kept_for_as_long_as_they_hold(world: World) -> None:
    clock = Clock()
    with DnsServer(ZONE) as server:
        client = DnsClient([server.address], clock=clock)

        def ask(name: str) -> None:
            world.run(client.look_up, world.runtime, name, "MX", world.runtime.now() + 30)

        for at, name, questions in [
            (0, "a.test", 1),
            (59, "A.TEST.", 1),
            (61, "a.test", 2),
            (61, "alias.test", 3),  # its shortest link holds 30 s
            (92, "alias.test", 4),
            (92, "nobody.test", 5),  # the SOA's minimum, 60 s
            (151, "nobody.test", 5),
            (153, "nobody.test", 6),
        ]:
            clock.now = at
            ask(name)
            assert len(server.asked) == questions, (at, name)


def test_what_failed_is_asked_again(world: World) -> None:
    faults = {("a.test", "MX"): "servfail"}
    with DnsServer(ZONE, faults) as server:
        client = DnsClient([server.address])
        with pytest.raises(ConnectError):
            world.run(client.look_up, world.runtime, "a.test", "MX", world.runtime.now() + 30)
        faults.clear()
        assert world.run(client.look_up, world.runtime, "a.test", "MX", world.runtime.now() + 30).status == "found"


def test_addresses_take_turns(world: World) -> None:
    with DnsServer(ZONE, {("half.test", "AAAA"): "servfail"}) as server:
        server.records["half.test", "A"] = ["60 192.0.2.9"]
        client = DnsClient([server.address])

        def of(host: str) -> list[Any]:
            found = world.run(client.addresses, world.runtime, host, 25, world.runtime.now() + 30)
            return [address.sockaddr[0] for address in found]

        first, *others = of("mx1.a.test")
        assert (first, sorted(others)) == ("2001:db8::1", ["192.0.2.1", "192.0.2.2"])
        assert of("half.test") == ["192.0.2.9"]
        assert of("nobody.test") == []
        server.faults["none.test", "A"] = server.faults["none.test", "AAAA"] = "servfail"
        with pytest.raises(ConnectError):
            of("none.test")


def test_aaaa_that_is_never_answered_leaves_time_for_a(world: World) -> None:
    with DnsServer(ZONE, {("mx1.a.test", "AAAA"): "silent"}) as server:
        client = DnsClient([server.address])
        found = world.run(client.addresses, world.runtime, "mx1.a.test", 25, world.runtime.now() + 0.4)
    assert sorted(address.sockaddr[0] for address in found) == ["192.0.2.1", "192.0.2.2"]


def test_only_a_trusted_server_vouches(world: World) -> None:
    with DnsServer(ZONE, authentic=True) as server:
        assert asked(world, server, "a.test", "MX").is_authentic  # it is on this machine
        assert not asked(world, server, "a.test", "MX", trusts_ad=False).is_authentic
    with DnsServer(ZONE) as server:
        assert not asked(world, server, "a.test", "MX", trusts_ad=True).is_authentic


@pytest.mark.parametrize("name", ["a..test", "x" * 64 + ".test", "a." * 140 + "test", "\ud800.test"])
def test_a_name_that_is_none_is_an_error_of_ours(world: World, name: str) -> None:
    with DnsServer(ZONE) as server, pytest.raises(ConnectError, match="cannot be asked"):
        asked(world, server, name, "MX")


def test_without_dnspython_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("dns.flags", "dns.message"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "mailer.testing.dns")
    with pytest.raises(ConfigError, match=r"pip install 'mailwright\[dns\]'"):
        importlib.import_module("mailer.testing.dns")
    with pytest.raises(ConfigError, match=r"DNS needs dnspython: pip install 'mailwright\[dns\]'"):
        DnsClient()
