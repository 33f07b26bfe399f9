"""Exim 4.96: CHUNKING, and PRDR, which it announces and we leave alone. Logins: `test_login.py`."""

from __future__ import annotations

import email
import email.policy
import re
import uuid
from typing import Any

import pytest
from worlds import World

import mailer
from mailer import Outcome

from .peers import Peer
from .test_postfix import LARGE, _message, _said

pytestmark = pytest.mark.real

PEOPLE = ["bob@example.net", "gone@example.org", "later@example.org"]
EACH = [(Outcome.ACCEPTED, 250), (Outcome.REJECTED, 550), (Outcome.DEFERRED, 451)]


def _outcomes(receipt: mailer.Receipt) -> list[Any]:
    return [(result.outcome, result.code) for result in receipt.results]


def test_check_40_five_megabytes_arrive_whole_by_bdat(exim: Peer) -> None:
    token = uuid.uuid4().hex
    large = mailer.Attachment.from_bytes("large.bin", LARGE)
    with mailer.Mailer(f"{exim.url}&transcript=yes", retry=None) as client:
        receipt = client.send(_message(token, text="Grüße\n.\n..\n", attachments=[large]))
    chunks = re.findall(r"^BDAT \d+(?: LAST)?$", "\n".join(_said(receipt)), re.MULTILINE)
    assert [chunk.endswith(" LAST") for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert "DATA" not in _said(receipt)
    [result] = receipt.results
    assert result.provider_id is not None
    [stored] = exim.received(1, having=token.encode())
    got = email.message_from_bytes(stored, policy=email.policy.default)
    assert result.provider_id in str(got["Received"])
    [file] = [part for part in got.walk() if part.get_filename()]
    assert file.get_payload(decode=True) == LARGE


def test_prdr_is_announced_and_left_alone(exim: Peer, world: World) -> None:
    """Asked for, it would answer the data for each recipient apart; its draft (draft-hall-prdr-00) became no RFC."""
    token = uuid.uuid4().hex
    with world.mailer(f"{exim.url}&transcript=yes") as client:
        receipt = client.send(_message(token, *PEOPLE))
    assert any(re.search(r"S: 250.PRDR$", line) for line in receipt.transcript)
    assert not any("PRDR" in line for line in _said(receipt))
    assert _outcomes(receipt) == EACH
    assert len(exim.received(1, having=token.encode())) == 1


def test_check_16_each_recipient_by_its_own_with_many_mails_under_way(exim: Peer, world: World) -> None:
    """In the window of CHUNKING: a mail that nobody is taken for must not take the one behind it along."""
    token = uuid.uuid4().hex
    messages = [_message(f"{token}-{n}.", *(PEOPLE if n % 3 else PEOPLE[1:])) for n in range(9)]
    with world.mailer(f"{exim.url}&transcript=yes") as client:
        receipts = client.send_many(messages)
    for n, receipt in enumerate(receipts):
        assert _outcomes(receipt) == (EACH if n % 3 else EACH[1:])
    assert len(exim.received(6, having=token.encode())) == 6
    assert all(len(exim.received(1, having=f"{token}-{n}.".encode())) == 1 for n in range(9) if n % 3)


def test_a_connection_takes_ten_mails_and_the_eleventh_goes_by_another(exim: Peer, world: World) -> None:
    """The 421 to a MAIL in the window defers nobody; how many a connection takes is learnt."""
    token = uuid.uuid4().hex
    with world.mailer(f"{exim.url}&transcript=yes") as client:
        learning, known = (client.send_many(_message(f"{token}-{n}.") for n in range(25)) for _ in range(2))
    for receipts in (learning, known):
        assert [_outcomes(receipt) for receipt in receipts] == [[(Outcome.ACCEPTED, 250)]] * 25
        assert [receipt.cause for receipt in receipts] == [None] * 25
    assert any(" S: 421 too many messages" in line for receipt in learning for line in receipt.transcript)
    assert not any(" 421 " in line for receipt in known for line in receipt.transcript)
    assert len(exim.received(50, having=token.encode())) == 50
    assert all(len(exim.received(2, having=f"{token}-{n}.".encode())) == 2 for n in range(25))
