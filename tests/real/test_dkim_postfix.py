"""DKIM through a real Postfix and its queue: what comes out at the other end verifies, byte for byte.

By dkimpy, and by SpamAssassin's Mail::DKIM, whose 2023 version knows RSA alone.
"""

from __future__ import annotations

import json
import subprocess
import uuid
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from dkim_verifier import signatures, verified
from worlds import NAMES, new_world

import mailer
from mailer import Attachment, Message
from mailer.dkim import DkimKey
from mailer.plugins.dkim import Dkim
from mailer.testing import SmtpServer

from .conftest import _folder
from .peers import HOST, Certificates, Peer, _program, free_port, postfix
from .test_postfix import _inline

pytestmark = pytest.mark.real

KEYS = (DkimKey.generate("example.com", "r"), DkimKey.generate("example.com", "e", "ed25519"))
LINK = "<https://example.com/u/" + "t" * 300 + ">"


_PERL = r"""
use strict; use JSON::PP; use MIME::Base64; use Mail::DKIM::Verifier; use Mail::DKIM::DNS;
my $given = decode_json(do { local $/; <STDIN> });
package Record { sub new { bless { text => $_[1] }, $_[0] } sub type { 'TXT' } sub char_str_list { $_[0]{text} }
    sub txtdata { $_[0]{text} } }
no warnings 'redefine';
*Mail::DKIM::DNS::query_async = sub {
    my ($name, $type, %more) = @_;
    my @found = map { Record->new($_) } grep { defined } $given->{dns}{$name};
    my $result = $more{Callbacks}{Success}->(@found);
    return sub { $result };
};
print encode_json([map {
    my $verifier = Mail::DKIM::Verifier->new;
    $verifier->PRINT(decode_base64($_)); $verifier->CLOSE;
    my %results = map { $_->algorithm => $_->result } $verifier->signatures;
    \%results;
} @{ $given->{mails} }]);
"""


def by_perl(mails: list[bytes]) -> list[str]:
    """What Mail::DKIM says of each one's RSA signature: "pass"."""
    given = {"dns": {key.dns_name: key.dns_record for key in KEYS}, "mails": [b64encode(one).decode() for one in mails]}
    done = subprocess.run(
        [_program("perl"), "-e", _PERL], input=json.dumps(given), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, f"{done.stderr}\nis Mail::DKIM installed? run .ci/install-real-peers as root"
    return [results["rsa-sha256"] for results in json.loads(done.stdout)]


@dataclass(frozen=True, slots=True)
class Way:
    """A Postfix, its next hop for seven.example, which takes 7-bit mail alone, and ports by what is not announced."""

    postfix: Peer
    seven_bit_hop: SmtpServer
    ports: dict[str, int]

    def url(self, without: str) -> str:
        port = self.ports[without] if without else self.postfix.port
        return f"{self.postfix.url.replace(f':{self.postfix.port}', f':{port}')}&transcript=yes"


@pytest.fixture(scope="module")
def way(certificates: Certificates) -> Iterator[Way]:
    ports = {keywords: free_port() for keywords in ("chunking", "8bitmime,chunking,smtputf8")}
    services = "".join(
        f"{HOST}:{port} inet n - n - - smtpd -o smtpd_discard_ehlo_keywords={keywords}\n"
        for keywords, port in ports.items()
    )
    with SmtpServer(extensions=["SIZE", "PIPELINING"]) as hop, _folder("postfix") as folder:
        settings = {"transport_maps": _inline({"seven.example": f"smtp:[{HOST}]:{hop.port}"}), "smtputf8_enable": "yes"}
        with postfix(folder, certificates, settings=settings, services=services) as peer:
            yield Way(peer, hop, ports)


def _message(to: str, **more: Any) -> Message:
    fields = {"from_": "Shop <shop@example.com>", "to": to, "subject": "s", "text": "t\n"}
    return Message(**{**fields, **more})


def _messages(to: str) -> dict[str, Message]:
    people = [f"Jörg Müller {number} <j{number}@{to.partition('@')[2]}>" for number in range(12)]
    attached = Attachment.from_message("From: a@example.com\r\nSubject: é\r\n\r\nGrüße  \r\n".encode())
    return {
        "plain": _message(to),
        "empty": _message(to, text="", subject=""),
        "folded": _message(to, cc=people, subject="Grüße und lange Wörter " * 20, headers={"List-Unsubscribe": LINK}),
        "dots and blanks": _message(to, text=".\n..\n \t \n. x  \n\n\n\n"),
        "8-bit": _message(to, text="Grüße  \n" * 50, html="<p>日本語\t </p>\n" * 200),
        "multipart": _message(
            to, html="<p>x</p>", attachments=[Attachment.from_bytes("a.bin", bytes(range(256)) * 800)]
        ),
        "nested": _message(to, attachments=[attached]),
        "long lines": _message(to, text="x" * 3000 + "\n" + "From here\n"),
    }


def _ready_made(to: str) -> dict[str, bytes]:
    head = f"From: shop@example.com\r\nTo: {to}\r\n"
    return {
        "raw 8-bit": f"{head}Subject: x\r\n\r\nGrüße  \r\n\r\n".encode(),
        "raw utf-8 header": f"{head}Subject: Grüße  \tx\r\n\r\nGrüße\r\n".encode(),
        "raw empty": f"{head}\r\n".encode(),
        "raw odd header": f"{head}SUBJECT:  a\r\n\t b \r\nX-Empty:\r\nLIST-ID :<l.example.com>\r\n\r\nx\r\n".encode(),
    }


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("without", ["", "chunking", "8bitmime,chunking,smtputf8"])
def test_check_68_what_postfix_hands_on_verifies(way: Way, without: str, name: Any) -> None:
    token = uuid.uuid4().hex
    to = f"{token}@out.example"
    sent: list[bytes] = []
    with new_world(name) as world, world.mailer(way.url(without), plugins=[Dkim(keys=KEYS)]) as client:
        client.hooks.add_action("sending", lambda context: sent.append(bytes(context.mail.content)))
        for receipt in client.send_many(_messages(to).values()):
            assert receipt.ok
            assert (" BDAT " in "\n".join(receipt.transcript)) is ("chunking" not in without)
        for raw in _ready_made(to).values():
            assert client.send_raw(raw).ok
    got = way.postfix.received(len(sent), having=token.encode())
    # smtp-sink keeps LF.
    kept = [mail.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") for mail in got]
    for made in sent:
        content = made.replace(b"LIST-ID :", b"LIST-ID:")  # Postfix does this; the relaxed form is the same
        [whole] = [mail for mail in kept if content in mail]
        assert whole.rstrip(b"\r\n").endswith(content.rstrip(b"\r\n"))
        assert verified(whole, KEYS) == [True, True]
        assert content.isascii()
    assert by_perl(kept) == ["pass"] * len(sent)
    assert by_perl([kept[0].replace(b"Subject:", b"Subject: Re:")]) == ["fail"]


def test_a_hop_that_takes_7_bit_alone_has_nothing_to_change(way: Way) -> None:
    """Postfix re-encodes 8-bit mail for it: that breaks a signature over 8-bit octets, and none of ours."""
    to = "ann@seven.example"
    way.seven_bit_hop.clear()
    unsigned = _ready_made(to)["raw 8-bit"]
    with mailer.Mailer(way.url(""), plugins=[Dkim(keys=KEYS)]) as client:
        for message in _messages(to).values():
            assert client.send(message).ok
        for raw in _ready_made(to).values():
            assert client.send_raw(raw).ok
        client.plugins.deactivate("dkim")
        # Signed over its 8-bit octets by another, and so not to be touched by us: it goes out as it is.
        eight_bit = Dkim(keys=KEYS).settings.signer().signed(mailer.Content.of(unsigned), now=1)
        assert eight_bit is not None
        assert client.send_raw(bytes(eight_bit)).ok
    assert way.postfix.settle is not None
    way.postfix.settle()
    mails = way.seven_bit_hop.mails
    assert len(mails) == 13
    results = [verified(mail.content, KEYS) for mail in mails]
    assert results.count([True, True]) == 12
    assert results.count([False, False]) == 1  # the control: the hop did change what could be changed
    assert all(len(signatures(mail.content)) == 2 for mail in mails)
