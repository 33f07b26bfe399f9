"""Our client against real servers, blocking and on both event loops; what they kept is read by the standard library."""

from __future__ import annotations

import email
import email.policy
import re
import uuid
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from worlds import World

import mailer
from mailer.stream import Stream

from .peers import Peer

pytestmark = pytest.mark.real

SENDER = ("Bücher, Söhne & Co.", "shop@example.com")
RECIPIENTS = ["zoe@example.org", "bob@example.net", "dora@example.org", "carol@example.org"]
SUBJECT = "Grüße – Auftrag 7 ✓ mit einem Betreff, der so lang ist, dass er in der Kopfzeile gefaltet werden muss"
TEXT = "\n".join(
    ["Grüße ✓", ".", "..", ".eine Zeile mit Punkt", "From hier an", "x" * 2000, "  eingerückt ", "Ende", ""]
)
HTML = '<p>Grüße ✓</p>\n.\n<img src="cid:logo" alt="Logo">\n'
TABLE = bytes(range(256)) * 1200  # every byte value; long enough for several writes and network packets
LOGO = b"\x89PNG\r\n\x1a\n\x00\r\n.\r\n"


def _message(token: str, **changed: Any) -> Any:
    message = mailer.Message(
        from_=SENDER,
        to=[("Zoë Müller", "zoe@example.org"), "bob@example.net"],
        cc="Dora <dora@example.org>",
        bcc="carol@example.org",
        subject=SUBJECT,
        text=TEXT,
        html=HTML,
        headers={"X-Token": token},
    )
    message = message.attach(
        mailer.Attachment.from_bytes("Übersicht.bin", TABLE, content_type="application/octet-stream")
    )
    logo = mailer.Attachment.from_bytes("logo.png", LOGO, content_type="image/png", content_id="logo")
    return message.inline(logo).with_(**changed)


def _small(token: str, **changed: Any) -> Any:
    fields = {"from_": SENDER, "to": "bob@example.net", "subject": "s", "text": TEXT, "headers": {"X-Token": token}}
    return mailer.Message(**{**fields, **changed})


def _parsed(peer: Peer, stored: bytes) -> EmailMessage:
    if not peer.undoes_dot_stuffing:
        stored = re.sub(rb"^\.", b"", stored, flags=re.MULTILINE)
    message = email.message_from_bytes(stored, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def _text(part: Any) -> str:
    content: str = part.get_content()
    return content.replace("\r\n", "\n")


def _assert_whole(peer: Peer, stored: bytes) -> None:
    got = _parsed(peer, stored)
    assert got["Subject"] == SUBJECT
    assert [(one.display_name, one.addr_spec) for one in got["From"].addresses] == [SENDER]
    assert [(one.display_name, one.addr_spec) for one in got["To"].addresses] == [
        ("Zoë Müller", "zoe@example.org"),
        ("", "bob@example.net"),
    ]
    assert [one.addr_spec for one in got["Cc"].addresses] == ["dora@example.org"]
    assert got["Message-ID"]
    assert got["Date"].datetime.tzinfo is not None

    plain, html = got.get_body(("plain",)), got.get_body(("html",))
    assert _text(plain) == TEXT
    assert _text(html) == HTML
    by_name = {part.get_filename(): part for part in got.walk() if part.get_filename()}
    assert by_name["Übersicht.bin"].get_content() == TABLE
    assert by_name["Übersicht.bin"].get_content_disposition() == "attachment"
    assert by_name["logo.png"].get_content() == LOGO
    assert by_name["logo.png"]["Content-ID"] == "<logo>"
    assert by_name["logo.png"].get_content_disposition() == "inline"

    # The blind copy is in the envelope alone.
    assert got["Bcc"] is None
    if peer.envelope_header:
        envelope = str(got.get_all(peer.envelope_header))
        assert [address in envelope for address in RECIPIENTS] == [True] * 4
        traces = [value for name, value in got.items() if name not in (peer.envelope_header, "Received")]
        assert not any("carol" in str(value) for value in traces if str(value) not in envelope)
    else:
        assert b"carol" not in stored


def test_a_full_message_arrives_whole(peer: Peer, world: World) -> None:
    token = uuid.uuid4().hex
    with world.mailer(peer.url) as client:
        receipt = client.send(_message(token))
    assert receipt.ok
    assert [result.address.addr_spec for result in receipt.results] == RECIPIENTS
    assert [result.outcome for result in receipt.results] == [mailer.Outcome.ACCEPTED] * 4
    assert [result.code for result in receipt.results] == [250] * 4
    [stored] = peer.received(1, having=token.encode())
    _assert_whole(peer, stored)


def test_a_full_message_arrives_over_implicit_tls(mta: Peer, world: World) -> None:
    token = uuid.uuid4().hex
    with world.mailer(mta.smtps_url) as client:
        assert client.send(_message(token)).ok
    [stored] = mta.received(1, having=token.encode())
    _assert_whole(mta, stored)


def test_many_messages_arrive_once_each(peer: Peer, world: World) -> None:
    token = uuid.uuid4().hex
    with world.mailer(peer.url) as client:
        receipts = client.send_many(_small(token, subject=f"{number}") for number in range(25))
    assert [receipt.ok for receipt in receipts] == [True] * 25
    stored = peer.received(25, having=token.encode())
    subjects = [_parsed(peer, mail)["Subject"] for mail in stored]
    assert sorted(subjects, key=int) == [f"{number}" for number in range(25)]


def test_messages_one_after_another_share_a_connection(mta: Peer, world: World) -> None:
    assert mta.connections is not None
    before = mta.connections()
    with world.mailer(mta.url) as client:
        for _ in range(5):
            assert client.send(_small(uuid.uuid4().hex)).ok
    assert mta.connections() - 1 == before + 1  # the question itself is one


def test_each_recipient_has_an_outcome_of_its_own(exim: Peer, world: World) -> None:
    token = uuid.uuid4().hex
    with world.mailer(exim.url) as client:
        receipt = client.send(_small(token, to=["bob@example.net", "gone@example.org", "later@example.org"]))
    assert [(result.outcome, result.code, result.enhanced_code) for result in receipt.results] == [
        (mailer.Outcome.ACCEPTED, 250, receipt.results[0].enhanced_code),
        (mailer.Outcome.REJECTED, 550, "5.1.1"),
        (mailer.Outcome.DEFERRED, 451, "4.7.1"),
    ]
    [stored] = exim.received(1, having=token.encode())
    assert _parsed(exim, stored)["Envelope-To"] == "bob@example.net"


def test_what_is_asked_of_extensions_is_carried_or_noted(peer: Peer, world: World) -> None:
    """Checks 43, 44, 45, 48: what a server offers is said to it, to its liking; what it does not is noted."""
    token = uuid.uuid4().hex
    wanted = mailer.DeliveryOptions(
        notify=("FAILURE", "DELAY"), ret="HDRS", envid="a+1", deliver_by_s=9000, mt_priority=1
    )
    with world.mailer(peer.url, transcript=True) as client:
        facts = client.check().facts
        receipt = client.send(_small(token, delivery=wanted))
    assert receipt.ok
    [mail] = [line for line in receipt.transcript if " C: MAIL " in line]
    for keyword, parameter in (("DSN", "ENVID=a+2B1"), ("DELIVERBY", "BY=9000;R"), ("MT-PRIORITY", "MT-PRIORITY=1")):
        assert (parameter in mail) is (keyword.lower() in facts)
        assert (f"{keyword} not offered" in receipt.notes) is (keyword.lower() not in facts)
    assert ("SIZE=" in mail) is ("size" in facts)
    assert not any(peer.password and peer.password in line for line in receipt.transcript)
    assert receipt.timings["final"] > 0
    [_] = peer.received(1, having=token.encode())


def test_text_survives_a_peer_that_clears_the_eighth_bit(fakesmtpd: Peer, world: World) -> None:
    token = uuid.uuid4().hex
    with world.mailer(fakesmtpd.url) as client:
        assert client.send(_small(token)).ok
    [stored] = fakesmtpd.received(1, having=token.encode())
    assert _text(_parsed(fakesmtpd, stored)) == TEXT


@pytest.mark.parametrize("name", ["fakesmtpd", "maildump"])
def test_ready_made_eight_bit_mail_arrives_with_and_without_8bitmime(
    name: str, world: World, request: pytest.FixtureRequest
) -> None:
    peer: Peer = request.getfixturevalue(name)
    token = uuid.uuid4().hex
    ready_made = (
        f"From: shop@example.com\r\nTo: bob@example.net\r\nSubject: s\r\nX-Token: {token}\r\nMIME-Version: 1.0\r\n"
        "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGrüße ✓\r\n.\r\n"
    ).encode()
    with world.mailer(peer.url) as client:
        assert client.send_raw(ready_made).ok
    [stored] = peer.received(1, having=token.encode())
    assert _text(_parsed(peer, stored)).rstrip("\n") == "Grüße ✓\n."  # MailDump drops the last line end


def test_a_wrong_password_is_tried_once(mta: Peer, world: World) -> None:
    assert mta.failed_logins is not None
    before = mta.failed_logins()
    with (
        world.mailer(mta.url_with(password="wrong")) as client,
        pytest.raises(mailer.DeliveryDeferred) as caught,
    ):
        client.send(_small(uuid.uuid4().hex))
    assert isinstance(caught.value.__cause__, mailer.AuthError)
    assert [result.outcome for result in caught.value.receipt.results] == [mailer.Outcome.DEFERRED]
    assert mta.failed_logins() == before + 1


def test_a_wrong_password_is_an_account_error(peer_with_login: Peer, world: World) -> None:
    with (
        world.mailer(peer_with_login.url_with(password="wr0ng-secret")) as client,
        pytest.raises(mailer.DeliveryDeferred) as caught,
    ):
        client.send(_small(uuid.uuid4().hex))
    assert isinstance(caught.value.__cause__, mailer.AuthError)
    assert "wr0ng-secret" not in f"{caught.value!s} {caught.value!r} {caught.value.__cause__!r}"


@pytest.mark.parametrize("name", ["postfix", "exim", "maildev", "aiosmtpd"])
def test_a_certificate_of_another_authority_is_a_tls_error(
    name: str, other_authority: Path, world: World, request: pytest.FixtureRequest
) -> None:
    peer: Peer = request.getfixturevalue(name)
    token = uuid.uuid4().hex
    with (
        world.mailer(peer.url_with(ca_file=str(other_authority))) as client,
        pytest.raises(mailer.DeliveryDeferred) as caught,
    ):
        client.send(_small(token))
    assert isinstance(caught.value.__cause__, mailer.TlsError)
    assert [result.outcome for result in caught.value.receipt.results] == [mailer.Outcome.DEFERRED]
    assert peer.received(0, having=token.encode()) == []


@pytest.mark.parametrize(
    ("name", "resumes"), [("postfix", True), ("exim", False)]
)  # Exim's tls_resumption_hosts is empty
def test_a_pinned_certificate_and_a_resumed_session(
    name: str, resumes: bool, world: World, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer: Peer = request.getfixturevalue(name)
    begin, reused = Stream.start_tls, []

    async def watched(stream: Stream, *args: Any, **keywords: Any) -> None:
        await begin(stream, *args, **keywords)
        reused.append(stream._tls is not None and stream._tls.session_reused)

    monkeypatch.setattr(Stream, "start_tls", watched)
    with world.mailer(peer.url) as client:
        pin = client.check().facts["certificate"].split()[0]
    with world.mailer(f"{peer.url}&verify=no&max_messages=1&fingerprint={pin}") as client:
        assert [client.send(_small(uuid.uuid4().hex)).ok for _ in range(3)] == [True] * 3
    assert reused == [False, False, resumes, resumes]
    other = ("0" if pin[0] != "0" else "1") + pin[1:]
    with (
        world.mailer(f"{peer.url}&verify=no&fingerprint={other}") as client,
        pytest.raises(mailer.DeliveryDeferred) as no,
    ):
        client.send(_small(uuid.uuid4().hex))
    assert "not the pinned one" in str(no.value.__cause__)


def test_the_health_of_a_peer_is_good(peer: Peer, world: World) -> None:
    with world.mailer(peer.url) as client:
        health = client.check()
    assert health.ok
