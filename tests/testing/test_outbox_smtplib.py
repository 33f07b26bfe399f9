"""What mailer.smtplib sends is caught too: the dialogue is led with the outbox, in clear, and goes nowhere."""

from __future__ import annotations

import smtplib as std

import pytest

from mailer import Outcome
from mailer.smtplib import LMTP, SMTP, SMTP_SSL, SMTPRecipientsRefused, SMTPServerDisconnected
from mailer.testing import MailOutbox

MAIL = b"From: a@b.test\r\nTo: ann@example.org\r\nSubject: Hi\r\n\r\n.hello\r\n..\r\n"


def test_every_class_and_every_step(mailer_outbox: MailOutbox) -> None:
    for kind in (SMTP, SMTP_SSL, LMTP):
        mailer_outbox.clear()
        with kind("nowhere.invalid", 587, timeout=10) as client:
            if kind is SMTP:
                client.starttls()
            if kind is not LMTP:
                client.login("user", "secret")
            assert client.sendmail("a@b.test", ["ann@example.org", "bob@example.org"], MAIL) == {}
            assert client.sendmail("a@b.test", "cyd@example.org", MAIL) == {}
        assert mailer_outbox.assert_sent(recipients="cyd@*", subject="Hi").content == MAIL
        assert len(mailer_outbox.assert_sent(backend="smtp://nowhere.invalid:587", count=2)) == 2
    assert [address.local for address in mailer_outbox[0].recipients] == ["ann", "bob"]


def test_a_unix_socket_that_is_not_there(mailer_outbox: MailOutbox) -> None:
    with LMTP("/nowhere/at/all") as client:
        client.sendmail("", ["ann@example.org"], MAIL)
    assert mailer_outbox[0].envelope.sender is None


def test_outcomes(mailer_outbox: MailOutbox) -> None:
    mailer_outbox.fail_with(Outcome.REJECTED, to="bob@*", text="gone")
    mailer_outbox.fail_with(Outcome.DEFERRED, to="cyd@*", code=452, enhanced_code="4.2.2", text="full")
    mailer_outbox.fail_with(Outcome.UNKNOWN, to="dee@*")
    with SMTP("nowhere.invalid", timeout=10) as client:
        refused = client.sendmail("a@b.test", ["ann@example.org", "bob@example.org", "cyd@example.org"], MAIL)
        assert refused == {"bob@example.org": (550, b"5.1.1 gone"), "cyd@example.org": (452, b"4.2.2 full")}
        with pytest.raises(SMTPRecipientsRefused):
            client.sendmail("a@b.test", "bob@example.org", MAIL)
        with pytest.raises(SMTPServerDisconnected, match="it may have arrived"):
            client.sendmail("a@b.test", "dee@example.org", MAIL)
    [mail] = mailer_outbox
    assert [address.local for address in mail.recipients] == ["ann"]
    assert len(mailer_outbox.attempts) == 2


def test_afterwards_it_connects_again() -> None:
    with MailOutbox():
        SMTP("127.0.0.1", 1, timeout=1).close()
    with pytest.raises(OSError, match="refused"):
        SMTP("127.0.0.1", 1, timeout=1)


def test_the_standard_library_s_own_is_not_ours(mailer_outbox: MailOutbox) -> None:
    with pytest.raises(OSError, match="refused"):
        std.SMTP("127.0.0.1", 1, timeout=1)
