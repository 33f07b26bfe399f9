"""Postfix's smtp-sink with each of its fault flags: what it comes to for every recipient, and for the mail after it.

How the client waits is tested on all worlds against scripts; here is what a real server does, in one table whose rows
take the worlds in turn.
"""

from __future__ import annotations

import itertools
import re
import uuid
from dataclasses import dataclass, field
from typing import Any

import pytest
from worlds import NAMES, SyncMailer, World, new_world

import mailer
from mailer import AuthError, ConnectError, DeadlineExceeded, TransportError

from .conftest import _folder
from .peers import Certificates, smtp_sink

pytestmark = pytest.mark.real

_LARGE = {"attachments": [mailer.Attachment.from_bytes("large.bin", bytes(range(256)) * 8000)]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Flags, and what two mails to two people each come to.

    Attributes:
        became: The outcome of both.
        code: Of the reply that settled it; None: there was none.
        cause: The error that ended the first attempt; None: it ended in order.
        then: What becomes of the second mail, if that is something else.
        says: What the transcript or the notes of the first hold.
        never: What the transcript does not hold.
        scheme, login, options: Of the URL.
        fields: Of the message.
    """

    flags: str
    became: str
    code: int | None = None
    cause: type[Exception] | None = None
    then: str = ""
    says: str = ""
    never: str = ""
    scheme: str = "smtp"
    login: str = ""
    options: str = ""
    fields: dict[str, Any] = field(default_factory=dict)


def _taken(flags: str, **rest: Any) -> Row:
    return Row(flags=flags, became="accepted", code=250, **rest)


def _later(flags: str, code: int | None = None, cause: type[Exception] | None = None, **rest: Any) -> Row:
    return Row(flags=flags, became="deferred", code=code, cause=cause, **rest)


def _never(flags: str, code: int | None, cause: type[Exception] | None = None, **rest: Any) -> Row:
    return Row(flags=flags, became="rejected", code=code, cause=cause, **rest)


def _unsure(flags: str, cause: type[Exception] = TransportError, **rest: Any) -> Row:
    return Row(flags=flags, became="unknown", cause=cause, **rest)


ROWS = [
    # -r: 450 to a command
    _later("-r CONNECT", 450, ConnectError, never="EHLO"),
    _later("-r EHLO", 450, TransportError, never="HELO|MAIL"),  # 4xx is no reason for HELO (check 7)
    _later("-r MAIL", 450, says="RSET"),
    _later("-r RCPT", 450, never="DATA"),  # -r implies no PIPELINING
    _later("-r DATA", 450),
    _later("-r .", 450),
    _taken("-r HELO"),
    _taken("-r RSET"),
    _taken("-r QUIT"),
    _later("-r RCPT,RSET", 450),  # F65: a session that cannot be reset is not used again
    # -f: 500
    _later("-f CONNECT", 500, ConnectError, never="EHLO"),
    _taken("-f EHLO", says="HELO"),  # F8
    _never("-f EHLO,HELO", 500, TransportError, never="MAIL"),
    _never("-f MAIL", 500),
    _never("-f RCPT", 500, never="DATA"),
    _never("-f DATA", 500),
    _never("-f .", 500),
    _taken("-f RSET"),
    _taken("-f QUIT"),
    _never("-f MAIL,RSET", 500),
    # -q: the connection ends instead of a reply; F32 and F46
    _later("-q CONNECT", cause=TransportError),
    _later("-q EHLO", cause=TransportError),
    _later("-q MAIL", cause=TransportError),
    _later("-q RCPT", cause=TransportError),
    _later("-q DATA", cause=TransportError),
    _unsure("-q ."),
    _taken("-q RSET"),
    _taken("-q QUIT"),
    _later("-r RCPT -q RSET", 450),
    # -Q: 421 and the end of the connection; check 9
    _later("-Q CONNECT", 421, TransportError, never="EHLO"),
    _later("-Q EHLO", 421, TransportError, never="HELO"),
    _later("-Q MAIL", 421, TransportError),
    _later("-Q RCPT", 421, TransportError),
    _later("-Q DATA", 421, TransportError),
    _later("-Q .", 421, TransportError),
    _taken("-Q RSET"),
    _taken("-Q QUIT"),
    _never("-f RCPT -Q RSET", 500),
    # -b and -B: replies of its own
    _later("-r RCPT -b 451_4.7.1_come_back", 451, says="4.7.1 come back"),
    _never("-f RCPT -B 552_5.5.3_too_many", 552),  # nobody was accepted, so a further transaction is no help
    _never("-f . -B 554_5.7.1_spam", 554, says="5.7.1 spam"),
    _later("-f MAIL -B 530_5.7.0_log_in", 530, AuthError),  # an account's matter
    # -A: 550 into the middle of the mail, and nothing more is read; F54
    _never("-A 0", 550, TransportError, fields=_LARGE),
    # -w, -W, -H: it is slow, within our timers and beyond
    _taken("-w 1"),
    _taken("-W .:1", options="&command_timeout=0.3"),  # F55
    # Pipelined it answers DATA with 503 while the replies to RCPT wait, and so lies about who is refused.
    _later("-p -W RCPT:3", cause=DeadlineExceeded, options="&command_timeout=0.3"),
    _unsure("-W .:3", DeadlineExceeded, options="&final_timeout=0.3"),
    _taken("-H 1 -T 2048", fields=_LARGE),  # we write into a full window meanwhile
    # what it does not announce
    _taken("-p"),
    _taken("-8"),
    _taken("-E"),
    _taken("-e"),
    _taken("-P"),
    _taken("-8 -p -E -N -a -C -F"),
    _taken("-N", says="DSN not offered", fields={"delivery": mailer.DeliveryOptions(notify=("failure",))}),
    _taken("-C", says="NOTIFY=FAILURE", fields={"delivery": mailer.DeliveryOptions(notify=("failure",))}),
    _later("-a", cause=AuthError, login="user:secret@", options="&auth_in_clear=yes", never="MAIL"),
    _later("-C", cause=AuthError, login="user:secret@", never="AUTH [A-Z]+ |MAIL"),  # F27
    # -n (which counts with -c alone), -M: it is gone after a session or a mail
    _taken("-c -n 1", then="deferred", options="&max_messages=1"),
    _unsure("-M 1", then="deferred"),
    # -L: LMTP, an outcome for each recipient after the dot; F58
    _taken("-L", scheme="lmtp", says="LHLO"),
    _never("-L -f .", 500, scheme="lmtp"),
    _later("-L -r .", 450, scheme="lmtp"),
    _unsure("-L -q .", scheme="lmtp"),
    _later("-L -Q .", 421, TransportError, scheme="lmtp"),
    _never("-L -f RCPT", 500, scheme="lmtp", never="DATA"),
    _later("-L -r LHLO", 450, ConnectError, scheme="lmtp"),
    _later("-C", 500, ConnectError, scheme="lmtp", says="does it speak LMTP"),
]


def _sent(client: SyncMailer, token: str, fields: dict[str, Any]) -> mailer.Receipt:
    message = mailer.Message(
        from_="shop@example.com",
        to=["ann@example.org", "bob@example.net"],
        subject="s",
        text=".\n..\nGrüße\n",
        headers={"X-Token": token},
        **fields,
    )
    try:
        receipt = client.send(message)
    except mailer.DeliveryError as error:
        receipt = error.receipt
    assert isinstance(receipt, mailer.Receipt)
    return receipt


def _outcomes(receipt: mailer.Receipt) -> list[str]:
    return [result.outcome.value for result in receipt.results]


@pytest.mark.parametrize(
    ("row", "name"),
    [
        pytest.param(row, name, id=f"{row.scheme} {row.flags}{row.options} {name}")
        for row, name in zip(ROWS, itertools.cycle(NAMES), strict=False)
    ],
)
def test_each_fault_of_smtp_sink(row: Row, name: Any, certificates: Certificates) -> None:
    token = uuid.uuid4().hex
    flags = [flag.replace("_", " ") for flag in row.flags.split(" ")]
    with (
        new_world(name) as world,
        _folder("faults") as folder,
        smtp_sink(folder, certificates, flags=flags) as sink,
    ):
        url = f"{row.scheme}://{row.login}{sink.host}:{sink.port}?tls=none&transcript=yes{row.options}"
        with world.mailer(url) as client:
            first, second = (_sent(client, token, row.fields) for _ in range(2))
        assert _outcomes(first) == [row.became] * 2
        assert [result.code for result in first.results] == [row.code] * 2
        assert isinstance(first.cause, row.cause or type(None))
        assert _outcomes(second) == [row.then or row.became] * 2
        said = "\n".join((*first.transcript, *first.notes, *(result.text for result in first.results)))
        assert re.search(row.says, said)
        assert not row.never or not re.search(rf"C: ({row.never})", said)
        accepted = sum(receipt.ok for receipt in (first, second))
        for mail in sink.received(accepted, having=token.encode())[:accepted]:
            assert mail.count(b"X-Rcpt-Args") == 2


def test_many_mails_to_a_sink_that_dies_with_the_third(certificates: Certificates, world: World) -> None:
    """The one whose dot it took is in doubt; the envelope that rode behind that dot is not, nor what waited."""
    messages = [
        mailer.Message(from_="shop@example.com", to="ann@example.org", subject=f"{number}") for number in range(10)
    ]
    with (
        _folder("faults") as folder,
        smtp_sink(folder, certificates, flags=["-M", "3"]) as sink,
        world.mailer(f"smtp://{sink.host}:{sink.port}?tls=none") as client,
    ):
        receipts = client.send_many(messages)
        assert [_outcomes(receipt)[0] for receipt in receipts] == ["accepted"] * 2 + ["unknown"] + ["deferred"] * 7
        assert len(sink.received(2)) in (2, 3)
