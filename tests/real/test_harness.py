"""The peers themselves, held by the standard library's client: what fails here is not our client's doing."""

from __future__ import annotations

import email
import email.policy
import smtplib
import ssl
import uuid
from pathlib import Path

import pytest

from .peers import Certificates, MissingProgramError, Peer
from .peers import smtp_sink as start_smtp_sink

pytestmark = pytest.mark.real

BODY = ["first", ".", "..two dots", ".one dot", "From the start of a line", "last"]


def _context(peer: Peer) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(peer.ca_file))


def _client(peer: Peer) -> smtplib.SMTP:
    """Return a connection to the peer's first port, with TLS as that port has it; not logged in."""
    if peer.tls_from_start:
        return smtplib.SMTP_SSL(peer.host, peer.port, timeout=20, context=_context(peer))
    client = smtplib.SMTP(peer.host, peer.port, timeout=20)
    if peer.ca_file is not None:
        client.starttls(context=_context(peer))
    return client


def _send(client: smtplib.SMTP, peer: Peer) -> bytes:
    """Log in where the peer asks for it, send a mail to two recipients, and return the bytes that tell it apart."""
    if peer.user:
        client.login(peer.user, peer.password)
    token = uuid.uuid4().hex
    head = ["From: a@example.com", "To: b@example.org", f"Subject: {token}", ""]
    refused = client.sendmail("a@example.com", ["b@example.org", "c@example.net"], "\r\n".join([*head, *BODY]) + "\r\n")
    assert refused == {}
    return token.encode()


def test_the_peer_keeps_what_it_was_sent(peer: Peer) -> None:
    with _client(peer) as client:
        token = _send(client, peer)
    [stored] = peer.received(1, having=token)
    if peer.envelope_header:
        envelope = str(email.message_from_bytes(stored).get_all(peer.envelope_header))
        assert "b@example.org" in envelope
        assert "c@example.net" in envelope
    message = email.message_from_bytes(stored, policy=email.policy.default)
    lines = message.get_content().rstrip().splitlines()  # smtp-sink adds an empty line at the end
    assert message["Subject"] == token.decode()
    if not peer.undoes_dot_stuffing:
        assert "...two dots" in lines
        lines = [line.removeprefix(".") for line in lines]
    assert lines == BODY


def test_the_peer_is_reached_over_implicit_tls(mta: Peer) -> None:
    with smtplib.SMTP_SSL(mta.host, mta.smtps_port, timeout=20, context=_context(mta)) as client:
        token = _send(client, mta)
    assert len(mta.received(1, having=token)) == 1


def test_a_login_is_offered_only_under_tls(mta: Peer) -> None:
    with smtplib.SMTP(mta.host, mta.port, timeout=20) as client:
        client.ehlo()
        assert client.has_extn("starttls")
        assert not client.has_extn("auth")
        client.starttls(context=_context(mta))
        client.ehlo()
        assert client.has_extn("auth")


def test_a_refused_login_is_counted(mta: Peer) -> None:
    assert mta.failed_logins is not None
    before = mta.failed_logins()
    with _client(mta) as client:
        client.ehlo()
        client.user, client.password = mta.user, "wrong"
        with pytest.raises(smtplib.SMTPAuthenticationError) as caught:
            client.auth("PLAIN", client.auth_plain)
    assert caught.value.smtp_code == 535
    assert mta.failed_logins() == before + 1


def test_a_wrong_password_is_refused(peer_with_login: Peer) -> None:
    with _client(peer_with_login) as client, pytest.raises(smtplib.SMTPAuthenticationError):
        client.login(peer_with_login.user, "wrong")


def test_mail_without_a_login_is_refused(mta: Peer) -> None:
    with _client(mta) as client, pytest.raises(smtplib.SMTPRecipientsRefused):
        client.sendmail("a@example.com", ["b@example.org"], "Subject: x\r\n\r\nx\r\n")


def test_another_authority_does_not_vouch_for_it(mta: Peer, other_authority: str) -> None:
    with smtplib.SMTP(mta.host, mta.port, timeout=20) as client:
        with pytest.raises(ssl.SSLCertVerificationError):
            client.starttls(context=ssl.create_default_context(cafile=str(other_authority)))
        client.close()


def test_exim_answers_by_recipient(exim: Peer) -> None:
    with _client(exim) as client:
        client.login(exim.user, exim.password)
        refused = client.sendmail(
            "a@example.com", ["b@example.org", "gone@example.org", "later@example.org"], "Subject: x\r\n\r\nx\r\n"
        )
    assert {address: code for address, (code, _) in refused.items()} == {
        "gone@example.org": 550,
        "later@example.org": 451,
    }


def test_fakesmtpd_clears_the_eighth_bit(fakesmtpd: Peer) -> None:
    token = uuid.uuid4().hex.encode()
    with _client(fakesmtpd) as client:
        client.ehlo()
        assert client.esmtp_features == {}
        client.sendmail("a@example.com", ["b@example.org"], b"Subject: " + token + "\r\n\r\n✓\r\n".encode())
    [stored] = fakesmtpd.received(1, having=token)
    assert stored.endswith(b"\n\nb\x1c\x13\n")


def test_a_missing_program_is_named(
    tmp_path: Path, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda *args, **keywords: None)
    with (
        pytest.raises(MissingProgramError, match=r"smtp-sink .*install-real-peers"),
        start_smtp_sink(tmp_path, certificates),
    ):
        pass
