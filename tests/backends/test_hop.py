"""The terms of talking to a host: what the domain, DNS and our own settings say together. No sockets."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from mailer.backends.hop import Hop, HopFinder, Route
from mailer.backends.rest import Rests
from mailer.dns import Answer, Mx, Tlsa
from mailer.errors import TlsError
from mailer.runtime import AddrInfo, drive
from mailer.smtp.mta_sts import StsPolicy

ROUTE = Route("one.test", ["mx.one.test"], is_authentic=True)
UNUSABLE = Tlsa(1, 1, 1, bytes(32))


def address(ip: str, port: int = 25) -> AddrInfo:
    if ":" in ip:
        return AddrInfo(socket.AF_INET6, (ip, port, 0, 0))
    return AddrInfo(socket.AF_INET, (ip, port))


class Dns:
    """Says what it was given."""

    def __init__(
        self,
        *ips: str,
        tlsa: tuple[Tlsa, ...] = (),
        at: str = "mx.one.test",
        mx: tuple[Mx, ...] = (),
        alias: str = "mx.one.test",
        is_signed: bool = True,
    ) -> None:
        self.found = [address(ip) for ip in ips], is_signed, alias
        self.records: dict[tuple[str, str], tuple[Any, ...]] = {
            (f"_25._tcp.{at}", "TLSA"): tlsa,
            ("one.test", "MX"): mx,
        }

    async def look_up(self, runtime: Any, name: str, kind: str, deadline: float) -> Answer:
        records = self.records.get((name, kind), ())
        return Answer("found" if records else "none", records, is_authentic=True)

    async def located(self, runtime: Any, host: str, port: int, deadline: float) -> tuple[list[AddrInfo], bool, str]:
        return self.found


class NoDns:
    """A runtime that only knows literals."""

    async def resolve(self, host: str, port: int, deadline: float) -> list[AddrInfo]:
        return [address(host)]


def finder(dns: Dns, **more: Any) -> HopFinder:
    fields = {"port": 25, "tls": "opportunistic", "own_names": {"me.test"}, "shuffle": list.sort, "uses_dane": True}
    return HopFinder(dns, **{**fields, "sts": None, **more})  # type: ignore[arg-type]


def hop(made: HopFinder, route: Route = ROUTE, host: str = "mx.one.test") -> tuple[Hop, list[str]]:
    found, addresses = drive(made.hop(NoDns(), route, host, 0.0))  # type: ignore[arg-type]
    return found, [found.sockaddr[0] for found in addresses]


@pytest.mark.parametrize(
    ("tls", "policy", "verify", "protection"),
    [
        ("opportunistic", None, False, "unverified"),
        ("opportunistic", StsPolicy("testing", ("mx.one.test",)), False, "unverified"),
        ("opportunistic", StsPolicy("enforce", ("mx.one.test",)), True, "mta-sts"),
        ("required", None, True, "verified"),
    ],
)
def test_check_53_records_that_cannot_be_used_take_nothing_from_what_is_asked_for_besides(
    tls: str, policy: StsPolicy | None, verify: bool, protection: str
) -> None:
    found, _ = hop(finder(Dns("192.0.2.1", tlsa=(UNUSABLE,)), tls=tls), Route("one.test", [], True, policy))
    assert (found.tls, found.verify, found.protection) == ("required", verify, protection)
    assert any("none of its TLSA records can be used" in note for note in found.notes) is not verify


@pytest.mark.parametrize(
    ("at", "is_signed", "found"),
    [
        ("real.host.test", True, ("real.host.test", "dane", ("real.host.test", "one.test"))),
        ("mx.one.test", True, ("mx.one.test", "dane", ("mx.one.test", "one.test"))),
        ("elsewhere.test", True, ("mx.one.test", "unverified", ())),
        ("real.host.test", False, ("mx.one.test", "unverified", ())),
    ],
)
def test_check_53_an_alias_has_the_records_of_where_it_leads(
    at: str, is_signed: bool, found: tuple[str, str, tuple[str, ...]]
) -> None:
    dns = Dns("192.0.2.1", tlsa=(Tlsa(2, 1, 1, bytes(32)),), at=at, alias="real.host.test", is_signed=is_signed)
    made, addresses = hop(finder(dns))
    assert (made.host, made.protection, made.names) == found
    assert addresses == ["192.0.2.1"]


def test_check_52_records_that_cannot_be_used_let_no_other_host_in() -> None:
    route = Route("one.test", [], True, StsPolicy("enforce", ("mx9.one.test",)))
    with pytest.raises(TlsError, match="is no mail host of"):
        hop(finder(Dns("192.0.2.1", tlsa=(UNUSABLE,))), route)


def test_check_22_an_address_of_this_machine_is_none() -> None:
    """A domain of anybody's may say that its host is 127.0.0.1; our own MTA there may trust whoever comes from here."""
    here = ("127.0.0.1", "127.9.9.9", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1")
    assert hop(finder(Dns(*here, "192.0.2.1", "10.0.0.1", "2001:db8::1")))[1] == [
        "192.0.2.1",
        "10.0.0.1",  # within a company mail hosts may have such
        "2001:db8::1",
    ]
    assert hop(finder(Dns()), host="[127.0.0.1]")[1] == hop(finder(Dns()), host="[ipv6:::1]")[1] == []
    assert hop(finder(Dns()), host="[192.0.2.7]")[1] == ["192.0.2.7"]
    assert hop(finder(Dns("127.0.0.1"), port=2525))[1] == ["127.0.0.1"]


def test_a_domain_cannot_make_us_try_thousands() -> None:
    ips = [f"192.0.{n // 256}.{n % 256}" for n in range(1000)]
    mx = tuple(Mx(10, f"mx{n:04}.one.test") for n in range(1000))
    made = finder(Dns(*ips, mx=mx))
    route = drive(made.route(NoDns(), "one.test", 0.0))  # type: ignore[arg-type]
    assert list(route.hosts) == [f"mx{n:04}.one.test" for n in range(20)]
    assert len(hop(made, route, route.hosts[0])[1]) == 20


def test_check_20_what_another_domain_asks_of_a_host_in_vain_keeps_no_mail_from_it() -> None:
    """Somebody's policy names a victim's host, whose certificate does not verify: the victim's mail goes on."""
    dns = Dns("192.0.2.1")
    ours, _ = hop(finder(dns))
    theirs, _ = hop(finder(dns), Route("evil.test", [], True, StsPolicy("enforce", ("mx.one.test",))))
    rests = Rests(60.0)
    for at in range(5):
        rests.failed(theirs, "not trusted", float(at))
    assert rests.left_s(theirs, 5.0)[0] > 0
    assert rests.left_s(ours, 5.0) == (0.0, "")
    noted, _ = hop(finder(dns), Route("evil.test", [], True, StsPolicy("testing", ("mx9.test",))))
    assert noted == ours  # a note is no term
    assert noted.notes
