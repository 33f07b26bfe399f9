"""Direct delivery to real servers: named by a scripted resolver, their certificate by DANE."""

from __future__ import annotations

import hashlib
import ssl
import uuid

import pytest
from worlds import World

import mailer
from mailer.backends.mx import MxBackend
from mailer.dns import DnsClient
from mailer.testing.dns import DnsServer

from .peers import Certificates, Peer

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
