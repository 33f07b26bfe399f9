"""Direct delivery, how safely: DANE (RFC 7672), MTA-STS (RFC 8461), and TLS between strangers (RFC 7435)."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from exchange import DATA, EHLO, HI, OK, QUIT, sent
from mx_hosts import ZONE, hosts, message, mx
from worlds import World

from mailer import DeliveryOptions
from mailer.dns import DnsClient
from mailer.http import HttpClient
from mailer.smtp.mta_sts import MtaSts, StsCache
from mailer.smtp.pool import PoolLimits
from mailer.testing.dns import DnsServer

ACCEPTS = HI + EHLO + "C: MAIL *\nS: 250 ok\nC: RCPT *\nS: 250 ok\n" + DATA + OK + QUIT


def server(authority: trustme.CA, *names: str) -> tuple[ssl.SSLContext, bytes]:
    """What a server shows, and its certificate."""
    issued = authority.issue_cert(*names)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(context)
    return context, x509.load_pem_x509_certificate(issued.cert_chain_pems[0].bytes()).public_bytes(
        serialization.Encoding.DER
    )


def key_digest(certificate: bytes) -> str:
    key = x509.load_der_x509_certificate(certificate).public_key()
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).hexdigest()


def tlsa(port: int, host: str, *records: str) -> str:
    return ZONE + "".join(f"_{port}._tcp.{host} 60 IN TLSA {record}\n" for record in records)


def became(receipt: Any) -> list[tuple[str, str | None, str | None]]:
    return [(r.outcome.value, r.remote_mta, r.tls) for r in receipt.results]


@pytest.fixture(scope="module")
def secure() -> tuple[ssl.SSLContext, bytes]:
    """A server whose certificate nobody knows, and which is for another name."""
    return server(trustme.CA(), "elsewhere.test")


# --- DANE -------------------------------------------------------------------------------------------------------------


def test_check_53_the_servers_own_key_by_dane(world: World, secure: tuple[ssl.SSLContext, bytes]) -> None:
    context, certificate = secure
    with hosts(context) as (port, (one,)):
        zone = tlsa(port, "mx1.one.test", "3 1 1 " + "00" * 32, "3 1 1 " + key_digest(certificate))
        with mx(world, port, zone, authentic=True, limits=PoolLimits(messages=2)) as mailer:
            for _ in range(4):  # over two connections, neither with a TLS session resumed
                assert became(sent(mailer, message("a@one.test"))[0]) == [("accepted", "mx1.one.test", "dane")]
            assert [mail.is_tls for mail in one.mails] == [True] * 4
            assert mailer.check().facts["dane"] == "yes"


def test_check_53_a_mismatch_leads_to_the_next_host_and_then_defers(
    world: World, secure: tuple[ssl.SSLContext, bytes]
) -> None:
    """Nothing goes out in clear, and no MAIL to the wrong server."""
    context, certificate = secure
    wrong = "3 1 1 " + "00" * 32
    with hosts(context, context) as (port, (one, two)):
        zone = tlsa(port, "mx1.one.test", wrong)
        right = f"_{port}._tcp.mx2.one.test 60 IN TLSA 3 0 1 {hashlib.sha256(certificate).hexdigest()}\n"
        with mx(world, port, zone + right, authentic=True) as mailer:
            receipt, _ = sent(mailer, message("a@one.test"))
            assert became(receipt) == [("accepted", "mx2.one.test", "dane")]
        with mx(world, port, tlsa(port, "mx1.one.test", wrong), authentic=True) as mailer:
            mailer.dns.records.pop(("one.test", "MX"))
            mailer.dns.records["one.test", "MX"] = ["60 10 mx1.one.test."]
            receipt, _ = sent(mailer, message("a@one.test"))
        assert became(receipt) == [("deferred", "mx1.one.test", None)]
        assert "none that the TLSA records name" in receipt.results[0].text
        assert receipt.results[0].scope.value == "host"  # the recipient's server, not an account of ours
        assert (len(one.mails), len(two.mails)) == (0, 1)


def test_check_53_records_that_dnssec_does_not_vouch_for_do_not_count(
    world: World, secure: tuple[ssl.SSLContext, bytes]
) -> None:
    with hosts(secure[0]) as (port, (one,)):
        zone = tlsa(port, "mx1.one.test", "3 1 1 " + "00" * 32)
        for why in ("not signed", "host not signed", "resolver not trusted", "switched off"):
            with mx(world, port, zone, authentic=why != "not signed", dane=why != "switched off") as mailer:
                if why == "host not signed":
                    mailer.dns.unsigned.add("mx1.one.test")
                if why == "resolver not trusted":
                    mailer.backend._dns._trusts_ad = False
                    assert mailer.check().facts["dane"].startswith("no: the resolver")
                receipt, _ = sent(mailer, message("a@one.test"))
                assert became(receipt) == [("accepted", "mx1.one.test", "unverified")], why
                assert not any(kind == "TLSA" for _, kind, _ in mailer.dns.asked), why
        assert all(mail.is_tls for mail in one.mails)


def test_check_53_records_that_cannot_be_learnt_keep_us_from_the_host(
    world: World, secure: tuple[ssl.SSLContext, bytes]
) -> None:
    with hosts(secure[0], "mailbox") as (port, (one, two)):
        faults = {(f"_{port}._tcp.mx1.one.test", "TLSA"): "servfail"}
        with mx(world, port, faults=faults, authentic=True) as mailer:
            receipt, _ = sent(mailer, message("a@one.test"))
            assert became(receipt) == [("accepted", "mx2.one.test", "none")]
            assert any("TLSA cannot be learnt now" in note for note in receipt.notes)
            faults[f"_{port}._tcp.mx2.one.test", "TLSA"] = "servfail"
            mailer.backend._dns._cache.clear()
            assert became(sent(mailer, message("b@one.test"))[0]) == [("deferred", None, None)]
        assert (len(one.mails), len(two.mails)) == (0, 1)


def test_check_53_unusable_records_still_make_tls_mandatory(world: World, secure: tuple[ssl.SSLContext, bytes]) -> None:
    with hosts(secure[0], ACCEPTS) as (port, (one, two)):
        zone = tlsa(port, "mx1.one.test", "1 1 1 " + "00" * 32)
        zone += f"_{port}._tcp.mx2.one.test 60 IN TLSA 0 0 1 {'00' * 32}\n"
        with mx(world, port, zone, authentic=True) as mailer:
            receipt, _ = sent(mailer, message("a@one.test"))
            assert became(receipt) == [("accepted", "mx1.one.test", "unverified")]
            assert any("none of its TLSA records can be used" in note for note in receipt.notes)
            mailer.dns.records["one.test", "MX"] = ["60 10 mx2.one.test."]
            mailer.backend._dns._cache.clear()
            assert became(sent(mailer, message("b@one.test"))[0]) == [("deferred", "mx2.one.test", None)]
        assert len(one.mails) == 1
        assert not any("MAIL" in line for session in two.received for line in map(str, session))


def test_check_53_an_authority_that_the_domain_names(world: World) -> None:
    """DANE-TA: the certificate may be for the host or for the domain, and for nobody else."""
    authority = trustme.CA()
    root = x509.load_pem_x509_certificate(authority.cert_pem.bytes()).public_bytes(serialization.Encoding.DER)
    for names, outcome in [(("mx1.one.test",), "accepted"), (("one.test",), "accepted"), (("two.test",), "deferred")]:
        with hosts(server(authority, *names)[0]) as (port, _):
            zone = tlsa(port, "mx1.one.test", "2 0 0 " + root.hex())
            with mx(world, port, zone, authentic=True, limits=PoolLimits(messages=1)) as mailer:
                mailer.dns.records["one.test", "MX"] = ["60 10 mx1.one.test."]
                for _ in range(2):
                    assert became(sent(mailer, message("a@one.test"))[0])[0][0] == outcome, names


def test_check_47_requiretls_goes_to_a_host_that_is_certain_or_nowhere(
    world: World, secure: tuple[ssl.SSLContext, bytes]
) -> None:
    wanted = message("a@one.test", delivery=DeliveryOptions(require_tls=True))
    with hosts(secure[0]) as (port, (one,)):
        with mx(world, port, tls="required") as mailer:
            receipt, _ = sent(mailer, wanted)
        assert [(r.outcome.value, r.enhanced_code) for r in receipt.results] == [("rejected", "5.7.30")]
        assert "neither DANE nor MTA-STS makes mx1.one.test certain" in receipt.results[0].text
        with mx(world, port, faults={("_mta-sts.one.test", "TXT"): "servfail"}) as mailer:  # there may be a policy
            receipt, _ = sent(mailer, wanted)
        assert [(r.outcome.value, r.enhanced_code) for r in receipt.results] == [("deferred", "4.7.5")]
        zone = tlsa(port, "mx1.one.test", "3 1 1 " + key_digest(secure[1]))
        with mx(world, port, zone, authentic=True) as mailer:
            receipt, _ = sent(mailer, wanted)
        # It came to the server, and that does not offer it.
        assert [(r.enhanced_code, r.remote_mta) for r in receipt.results] == [("5.7.30", "mx1.one.test")]
    assert not one.mails


def test_check_47_tls_required_no_arrives_at_all_costs(world: World, secure: tuple[ssl.SSLContext, bytes]) -> None:
    """RFC 8689 section 5: it may be the report that the domain's TLS is broken."""
    with hosts(secure[0]) as (port, (one,)):
        zone = tlsa(port, "mx1.one.test", "3 1 1 " + "00" * 32)
        for tls, outcome in (("opportunistic", "accepted"), ("required", "deferred")):
            with mx(world, port, zone, authentic=True, tls=tls) as mailer:
                receipt, _ = sent(mailer, message("a@one.test", headers={"TLS-Required": "No"}))
            assert receipt.results[0].outcome.value == outcome
        assert len(one.mails) == 1


# --- MTA-STS ----------------------------------------------------------------------------------------------------------


class PolicyServer:
    """An HTTPS server on loopback with one file; a context manager."""

    def __init__(self, context: ssl.SSLContext) -> None:
        import socket

        self.answer = b""
        self.asked = 0
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._ending = False
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def says(self, mode: str, *patterns: str, status: str = "200 OK", kind: str = "text/plain", age: int = 600) -> None:
        lines = ["version: STSv1", f"mode: {mode}", *(f"mx: {pattern}" for pattern in patterns), f"max_age: {age}", ""]
        body = "\r\n".join(lines).encode()
        self.raw(body, status, kind)

    def raw(self, body: bytes, status: str = "200 OK", kind: str = "text/plain; charset=utf-8") -> None:
        head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nLocation: /x\r\n\r\n"
        self.answer = head.encode() + body

    def __enter__(self) -> PolicyServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        import socket

        self._ending = True
        socket.create_connection(("127.0.0.1", self.port), 5).close()
        self._thread.join(10)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            plain, _ = self._listener.accept()
            with plain, contextlib.suppress(OSError):
                if self._ending:
                    return
                plain.settimeout(10)
                with self._context.wrap_socket(plain, server_side=True) as connection:
                    head = b""
                    while not head.endswith(b"\r\n\r\n"):
                        head += connection.recv(1000)
                    assert head.startswith(b"GET /.well-known/mta-sts.txt HTTP/1.1\r\n")
                    self.asked += 1
                    connection.sendall(self.answer)


POLICY_ZONE = (
    ZONE
    + """
_mta-sts.one.test 0 IN TXT "v=STSv1; id=1;"
mta-sts.one.test 60 IN A 127.0.0.1
"""
)


@pytest.fixture
def policies(ca: trustme.CA) -> Iterator[PolicyServer]:
    with PolicyServer(server(ca, "mta-sts.one.test")[0]) as made:
        yield made


def finder(policies: PolicyServer, ca_file: str, cache: StsCache | None = None) -> Callable[[DnsClient], MtaSts]:
    """Asks that server for policies."""

    def made(dns: DnsClient) -> MtaSts:
        def client(runtime: Any, max_bytes: int) -> HttpClient:
            async def resolve(host: str, port: int, deadline: float) -> Any:
                return await dns.addresses(runtime, host, port, deadline)

            return HttpClient(runtime, ca_file=ca_file, resolve=resolve, max_answer_bytes=max_bytes)

        return MtaSts(dns, client, cache=cache, port=policies.port)

    return made


def test_check_52_a_policy_in_force(world: World, ca: trustme.CA, ca_file: str, policies: PolicyServer) -> None:
    """A verified certificate at a host that the policy names; no other host, no other certificate, no clear text."""
    good, _ = server(ca, "mx1.one.test")
    other, _ = server(trustme.CA(), "mx2.one.test")
    with (
        hosts(good, other) as (port, (one, two)),
        mx(world, port, POLICY_ZONE, ca_file=ca_file, mta_sts=finder(policies, ca_file)) as mailer,
    ):
        policies.says("enforce", "mx1.one.test")
        for _ in range(2):  # the id is the same: the policy is fetched once
            receipt, _ = sent(mailer, message("a@one.test"))
            assert became(receipt) == [("accepted", "mx1.one.test", "mta-sts")]
        assert policies.asked == 1
        mailer.dns.records["_mta-sts.one.test", "TXT"] = ['0 "v=STSv1; id=2;"']
        policies.says("enforce", "*.two.test")
        receipt, _ = sent(mailer, message("a@one.test"))
        assert became(receipt) == [("deferred", None, None)]
        assert receipt.results[0].enhanced_code == "4.7.5"
        assert "is no mail host of one.test by its MTA-STS policy (*.two.test)" in receipt.results[0].text
        mailer.dns.records["_mta-sts.one.test", "TXT"] = ['0 "v=STSv1; id=3;"']
        policies.says("enforce", "mx2.one.test")
        receipt, _ = sent(mailer, message("a@one.test"))
        assert became(receipt) == [("deferred", "mx2.one.test", None)]
        assert "not trusted" in receipt.results[0].text
        assert (len(one.mails), len(two.mails)) == (2, 0)
        assert policies.asked == 3


def test_check_52_mails_at_once_fetch_it_once(world: World, ca_file: str, policies: PolicyServer) -> None:
    policies.says("enforce", "mx1.one.test")
    with DnsServer(POLICY_ZONE) as dns:
        sts = finder(policies, ca_file)(DnsClient([dns.address]))

        async def body() -> list[Any]:
            deadline = world.runtime.now() + 30
            jobs = [functools.partial(sts.policy, world.runtime, "one.test", deadline) for _ in range(5)]
            return await world.runtime.gather(jobs, 5)

        assert [policy.mode for policy, _ in world.run(body)] == ["enforce"] * 5
    assert policies.asked == 1
    assert not sts._under_way


def test_check_52_a_policy_not_in_force_only_tells(world: World, ca_file: str, policies: PolicyServer) -> None:
    with hosts("mailbox") as (port, (one,)):
        for mode in ("testing", "none"):
            policies.says(mode, "mx9.one.test")
            with mx(world, port, POLICY_ZONE, mta_sts=finder(policies, ca_file)) as mailer:
                receipt, _ = sent(mailer, message("a@one.test"))
            assert became(receipt) == [("accepted", "mx1.one.test", "none")]
            told = [note for note in receipt.notes if note.startswith("mta-sts")]
            is_named = [note.startswith("mta-sts testing: mx1.one.test is no mail host") for note in told]
            assert is_named == ([True] if mode == "testing" else [])
        assert len(one.mails) == 2


def test_check_52_what_cannot_be_fetched_leaves_the_cached_policy_standing(
    world: World, ca: trustme.CA, ca_file: str, policies: PolicyServer
) -> None:
    good, _ = server(ca, "mx1.one.test")
    now = [0.0]
    cache = StsCache(clock=lambda: now[0])
    with (
        hosts(good) as (port, _),
        mx(world, port, POLICY_ZONE, ca_file=ca_file, mta_sts=finder(policies, ca_file, cache)) as mailer,
    ):
        mailer.dns.records["one.test", "MX"] = ["60 10 mx1.one.test."]
        policies.says("enforce", "mx9.one.test")
        assert became(sent(mailer, message("a@one.test"))[0]) == [("deferred", None, None)]
        texts = mailer.dns.records["_mta-sts.one.test", "TXT"]
        for number, spoil in enumerate(
            [
                lambda: policies.raw(b"", "301 Moved"),
                lambda: policies.raw(b"x" * 65_000),
                lambda: policies.says("enforce", "mx1.one.test", kind="text/html"),
                lambda: policies.raw(b"\xff\xfe"),
                lambda: policies.says("enforce"),
                texts.clear,
                lambda: mailer.dns.faults.update({("_mta-sts.one.test", "TXT"): "servfail"}),
            ]
        ):
            spoil()
            mailer.backend._dns._cache.clear()
            if texts:
                texts[0] = f'0 "v=STSv1; id=x{number};"'
            assert became(sent(mailer, message("a@one.test"))[0]) == [("deferred", None, None)], number
        asked = policies.asked
        assert asked == 6
        mailer.dns.faults.clear()
        mailer.backend._dns._cache.clear()
        mailer.dns.records["_mta-sts.one.test", "TXT"] = ['0 "v=STSv1; id=x4;"']
        now[0] = 601.0  # its time is over: there is no policy any more, and the failed fetch is not repeated at once
        receipt, _ = sent(mailer, message("a@one.test"))
        assert became(receipt) == [("accepted", "mx1.one.test", "unverified")]
        assert any("its policy could not be had: it names no mx" in note for note in receipt.notes)
        assert policies.asked == asked


def test_check_52_a_policy_by_a_server_that_does_not_verify_is_none(world: World, ca_file: str) -> None:
    with PolicyServer(server(trustme.CA(), "mta-sts.one.test")[0]) as liar, hosts("mailbox") as (port, _):
        liar.says("enforce", "mx9.one.test")
        with mx(world, port, POLICY_ZONE, mta_sts=finder(liar, ca_file)) as mailer:
            receipt, _ = sent(mailer, message("a@one.test"))
    assert became(receipt) == [("accepted", "mx1.one.test", "none")]
    assert any("not trusted" in note for note in receipt.notes)
    assert liar.asked == 0


def test_dane_goes_before_mta_sts(world: World, ca_file: str, secure: tuple[ssl.SSLContext, bytes]) -> None:
    context, certificate = secure
    with PolicyServer(server(trustme.CA(), "x.test")[0]) as policies, hosts(context) as (port, _):
        zone = POLICY_ZONE + f"_{port}._tcp.mx1.one.test 60 IN TLSA 3 1 1 {key_digest(certificate)}\n"
        cache = StsCache()
        from mailer.smtp.mta_sts import StsPolicy

        cache.put("one.test", "1", StsPolicy("enforce", ("mx9.one.test",)))
        with mx(world, port, zone, authentic=True, mta_sts=finder(policies, ca_file, cache)) as mailer:
            assert became(sent(mailer, message("a@one.test"))[0]) == [("accepted", "mx1.one.test", "dane")]
