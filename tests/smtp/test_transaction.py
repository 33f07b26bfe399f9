"""The transaction's pure parts that no other file has: what a server calls the mail that it took."""

from __future__ import annotations

import pytest

from mailer.smtp.transaction import queue_id


@pytest.mark.parametrize(
    ("server", "text", "expected"),
    [
        ("Postfix", "Ok: queued as 4XyZ12abcD", "4XyZ12abcD"),
        ("Exim", "OK id=1vNuRk-0000Aw-1b", "1vNuRk-0000Aw-1b"),
        ("OpenSMTPD", "0d096487 Message accepted for delivery", "0d096487"),
        ("sendmail", "5APFZ8xK005873 Message accepted for delivery", "5APFZ8xK005873"),
        ("smtp-sink", "Ok", None),
        ("Dovecot", "<bob@mx.test.invalid> Saved", None),
        ("nobody", "Your message accepted for delivery", None),
        ("nobody", "accepted for delivery", None),
    ],
)
def test_the_queue_id_of_a_reply(server: str, text: str, expected: str | None) -> None:
    assert queue_id(text) == expected
