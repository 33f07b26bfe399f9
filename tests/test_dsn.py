"""A receipt in the words of RFC 3464, read back by the standard library's parser."""

from __future__ import annotations

from datetime import UTC, datetime
from email import message_from_string

import pytest

from mailer import Address, Outcome, Receipt, RecipientResult
from mailer.receipt import Attempt

RESULTS = (
    RecipientResult(
        Address.parse("a@one.test"), Outcome.ACCEPTED, 250, "2.6.0", "queued as 7", remote_mta="mx1.one.test"
    ),
    RecipientResult(Address.parse("b@bücher.test"), Outcome.REJECTED, 550, "5.1.1", "no such user", remote_mta="mx"),
    RecipientResult(Address.parse("c@one.test"), Outcome.DEFERRED, None, None, "no connection to mx1.one.test:25"),
    RecipientResult(Address.parse("jösé@one.test"), Outcome.UNKNOWN, None, "5.4.4", "the answer was lost"),
)


def test_every_recipient_has_a_block() -> None:
    attempt = Attempt("smtp://mx1.one.test:25", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), 2.0, {})
    receipt = Receipt(id="7", backend="mx:", results=RESULTS, attempts=(attempt,))
    text = receipt.delivery_status("mail.example.com")
    assert text.count("\r\n") == text.count("\n")
    part = message_from_string("Content-Type: message/delivery-status\n\n" + text.replace("\r\n", "\n"))
    about, *recipients = part.get_payload()  # type: ignore[misc]
    assert about["Reporting-MTA"] == "dns; mail.example.com"
    fields = ("Final-Recipient", "Action", "Status", "Remote-MTA", "Diagnostic-Code")
    assert [tuple(block[name] for name in fields) for block in recipients] == [
        ("rfc822; a@one.test", "relayed", "2.6.0", "dns; mx1.one.test", "smtp; 250 2.6.0 queued as 7"),
        ("rfc822; b@xn--bcher-kva.test", "failed", "5.1.1", "dns; mx", "smtp; 550 5.1.1 no such user"),
        ("rfc822; c@one.test", "delayed", "4.0.0", None, "x-mailer; no connection to mx1.one.test:25"),
        ("utf-8; jösé@one.test", "delayed", "4.0.0", None, "x-mailer; 5.4.4 the answer was lost"),
    ]
    assert recipients[0]["Last-Attempt-Date"] == "Fri, 02 Jan 2026 03:04:07 +0000"
    assert Receipt.from_dict(receipt.to_dict()).results == receipt.results


def test_the_reporter_is_a_host_name_or_the_library() -> None:
    assert Receipt(id="").delivery_status() == "Reporting-MTA: x-mailer; mailwright\r\n"
    with pytest.raises(ValueError, match="host name"):
        Receipt(id="").delivery_status("a\r\nSubject: b")
