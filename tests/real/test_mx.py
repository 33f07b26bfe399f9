"""Direct delivery to real servers: named by a scripted resolver, their certificate by DANE."""

from __future__ import annotations

import email
import hashlib
import re
import ssl
import uuid

import pytest
from worlds import World

import mailer
from mailer import Outcome
from mailer.backends.mx import MxBackend
from mailer.dns import DnsClient
from mailer.testing.dns import DnsServer

from .peers import EXIM_MX, POSTFIX_MX, Certificates, Peer, mx_port

pytestmark = pytest.mark.real


ZONE = "example.org 60 IN MX 10 mx1.example.org.\nmx1.example.org 60 IN A 127.0.0.1\n"


def became(world: World, peer: Peer, zone: str, token: str = "") -> tuple[int | None, str | None, str | None, str]:
    """What the one result says: code, host, protection, text."""
    message = mailer.Message(
        from_="shop@example.com", to="ann@example.org", subject="s", text="t\n", headers={"X-Token": token or "-"}
    )
    with DnsServer(zone, authentic=True) as dns:
        backend = MxBackend(helo="mail.example.com", dns=DnsClient([dns.address]), port=peer.port)
        with world.mailer(backend, retry=None) as sender:
            try:
                receipt = sender.send(message)
            except mailer.DeliveryError as error:
                receipt = error.receipt
    [result] = receipt.results
    return result.code, result.remote_mta, result.tls, result.text


def test_check_22_mx_brings_it_to_smtp_sink(world: World, smtp_sink: Peer) -> None:
    token = uuid.uuid4().hex
    assert became(world, smtp_sink, ZONE, token)[:3] == (250, "mx1.example.org", "none")
    assert len(smtp_sink.received(1, having=token.encode())) == 1


def test_check_53_postfix_by_dane(world: World, postfix: Peer, certificates: Certificates) -> None:
    """With its certificate it comes to RCPT, where this Postfix wants a login; with another's it ends at TLS."""
    pem = certificates.cert_file.read_text().partition("-----END CERTIFICATE-----\n")
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem[0] + pem[1])).hexdigest()
    tlsa = f"{ZONE}_{postfix.port}._tcp.mx1.example.org 60 IN TLSA 3 0 1 "
    assert became(world, postfix, tlsa + digest)[:3] == (554, "mx1.example.org", "dane")
    code, host, tls, text = became(world, postfix, tlsa + "00" * 32)
    assert (code, host, tls) == (None, "mx1.example.org", None)
    assert "none that the TLSA records name" in text


DOMAINS = f"""
postfix.example 60 IN MX 20 second.postfix.example.
postfix.example 60 IN MX 10 first.postfix.example.
first.postfix.example 60 IN A 127.0.0.4
second.postfix.example 60 IN A {POSTFIX_MX}
exim.example 60 IN MX 20 second.postfix.example.
exim.example 60 IN MX 10 mx.exim.example.
mx.exim.example 60 IN A 127.0.0.4
mx.exim.example 60 IN A {EXIM_MX}
none.example 60 IN MX 0 .
"""


def test_checks_22_and_51_each_domain_by_its_own_servers(world: World, postfix: Peer, exim: Peer) -> None:
    """Postfix's best host is down, Exim's has an address that is; its second best is up and must not be asked."""
    token = uuid.uuid4().hex
    expected = {
        "ann@postfix.example": (Outcome.ACCEPTED, 250, "second.postfix.example", "unverified"),
        "bob@exim.example": (Outcome.ACCEPTED, 250, "mx.exim.example", "unverified"),
        "cat@none.example": (Outcome.REJECTED, None, None, None),
        "gone@exim.example": (Outcome.REJECTED, 550, "mx.exim.example", "unverified"),
        "dan@postfix.example": (Outcome.ACCEPTED, 250, "second.postfix.example", "unverified"),
        "later@exim.example": (Outcome.DEFERRED, 451, "mx.exim.example", "unverified"),
    }
    message = mailer.Message(
        from_="shop@example.com", to=list(expected), subject="s", text="t\n", headers={"X-Token": token}
    )
    with DnsServer(DOMAINS) as dns:
        backend = MxBackend(helo="mail.example.com", dns=DnsClient([dns.address]), port=mx_port(), concurrency=2)
        with world.mailer(backend) as sender:
            receipt = sender.send(message)
    assert {r.address.addr_spec: (r.outcome, r.code, r.remote_mta, r.tls) for r in receipt.results} == expected
    assert receipt.results[2].enhanced_code == "5.1.10"
    [relayed] = postfix.received(1, having=token.encode())
    assert re.findall(rb"X-Rcpt-Args: <(.*?)>", relayed) == [b"ann@postfix.example", b"dan@postfix.example"]
    [kept] = exim.received(1, having=token.encode())
    assert email.message_from_bytes(kept)["Envelope-To"] == "bob@exim.example"
    # RFC 3848: by these words they say that it came over TLS.
    assert re.search(rb"by mx\.test\.invalid \(Postfix\) with ESMTPS", relayed)
    assert re.search(rb"with esmtps", kept)
