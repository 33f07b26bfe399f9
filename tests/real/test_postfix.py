"""Postfix 3.7: what it announces is used, what it does not is done without, and its 250 means queued, not delivered."""

from __future__ import annotations

import email
import email.policy
import re
import subprocess
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from worlds import NAMES, World, new_world

import mailer
from mailer import DeliveryOptions, Outcome

from .conftest import _folder
from .peers import HOST, Certificates, Peer, _program, _wait_until, free_port, postfix, smtp_sink

pytestmark = pytest.mark.real

SIZE_LIMIT = 9_000_000
LARGE = bytes(range(256)) * 20_000  # 5 MB, and so 7 MB of base64


@dataclass(frozen=True, slots=True)
class Relay:
    """A Postfix of our own settings.

    Attributes:
        postfix: Itself. It refuses gone@ and defers later@ at RCPT, and hands on to its sink, but for two domains.
        without: A port of its to each set of EHLO keywords that are not announced there, parted by commas.
        limits: A port of its to each setting that holds there alone.
        utf8_hop: What aiosmtpd, which announces SMTPUTF8, got for utf8.example: envelopes.
        hop_port: Where it looks for the next hop of stopped.example.
    """

    postfix: Peer
    without: dict[str, int]
    limits: dict[str, int]
    utf8_hop: list[Any]
    hop_port: int

    def url(self, without: str = "", *, limit: str = "") -> str:
        """For our client."""
        port = self.limits[limit] if limit else self.without.get(without, self.postfix.port)
        return f"{self.postfix.url.replace(f':{self.postfix.port}', f':{port}')}&transcript=yes"

    @property
    def log(self) -> Path:
        """What it logs."""
        assert self.postfix.config is not None
        return self.postfix.config.parent / "postfix.log"

    def logged(self, text: str) -> int:
        """How often its log has this."""
        return self.log.read_text().count(text)

    def wait_for_log(self, text: str, times: int = 1) -> None:
        """Until its log has this so often."""
        _wait_until(lambda: self.logged(text) >= times, f"it logs {text!r}", self.log)

    def queue(self, *command: str) -> str:
        """What ``postqueue`` says to this."""
        done = subprocess.run(
            [_program("postqueue"), "-c", str(self.postfix.config), *command],
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.stdout


def _inline(table: dict[str, str]) -> str:
    return "inline:{" + ", ".join(f"{{ {key} = {value} }}" for key, value in table.items()) + "}"


@pytest.fixture(scope="module")
def relay(certificates: Certificates) -> Iterator[Relay]:
    from aiosmtpd.controller import Controller

    envelopes: list[Any] = []

    class Handler:
        async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
            envelopes.append(envelope)
            return "250 2.0.0 kept"

    without = {
        keywords: free_port()
        for keywords in (
            "chunking",
            "pipelining",
            "chunking,pipelining",
            "8bitmime,chunking",
            "smtputf8",
            "dsn",
            "size",
        )
    }
    utf8_port, hop_port = free_port(), free_port()
    settings = {
        "message_size_limit": SIZE_LIMIT,
        "smtputf8_enable": "yes",
        "transport_maps": _inline(
            {"utf8.example": f"smtp:[{HOST}]:{utf8_port}", "stopped.example": f"smtp:[{HOST}]:{hop_port}"}
        ),
        "smtpd_recipient_restrictions": "check_recipient_access "
        + _inline({"gone@example.org": "550 5.1.1 no such user", "later@example.org": "451 4.7.1 come back"}),
    }
    limits = {
        setting: free_port()
        for setting in ("smtpd_recipient_limit=10", "smtpd_client_connection_count_limit=2", "smtpd_timeout=1s")
    }
    services = "".join(
        f"{HOST}:{port} inet n - n - - smtpd -o {setting}\n"
        for setting, port in {
            **{f"smtpd_discard_ehlo_keywords={keywords}": port for keywords, port in without.items()},
            **limits,
        }.items()
    )
    controller = Controller(Handler(), hostname=HOST, port=utf8_port, enable_SMTPUTF8=True)
    controller.start()
    try:
        with (
            _folder("postfix") as folder,
            postfix(folder, certificates, settings=settings, services=services) as peer,
        ):
            yield Relay(peer, without, limits, envelopes, hop_port)
    finally:
        controller.stop()


def _message(token: str, *to: str, **fields: Any) -> mailer.Message:
    fields = {"from_": "shop@example.com", "subject": "s", "text": "t\n", "headers": {"X-Token": token}, **fields}
    return mailer.Message(to=list(to or ["bob@example.net"]), **fields)


def _said(receipt: mailer.Receipt) -> list[str]:
    """Our side of the dialogue, without times."""
    return [line.partition(" C: ")[2] for line in receipt.transcript if " C: " in line]


@pytest.mark.parametrize(
    ("without", "name"),
    [
        *(("", name) for name in NAMES),
        *(("chunking", name) for name in NAMES),
        ("pipelining", "blocking"),
        ("chunking,pipelining", "asyncio"),
        ("size", "trio"),
    ],
)
def test_check_40_five_megabytes_arrive_whole_by_bdat_or_data(relay: Relay, without: str, name: Any) -> None:
    token = uuid.uuid4().hex
    large = mailer.Attachment.from_bytes("large.bin", LARGE)
    with new_world(name) as world, world.mailer(relay.url(without)) as client:
        receipt = client.send(_message(token, text="Grüße\n.\n..\n", attachments=[large]))
        small = client.send(_message(uuid.uuid4().hex))  # on the same connection, and in one chunk if there are chunks
    for said in ("\n".join(_said(receipt)), "\n".join(_said(small))):
        chunks = [bool(last) for last in re.findall(r"^BDAT \d+( LAST)?$", said, re.MULTILINE)]
        assert (chunks[-1:] == [True]) is ("chunking" not in without)
        assert sum(chunks) <= 1
        assert bool(re.search("^DATA$", said, re.MULTILINE)) is ("chunking" in without)
        assert (" SIZE=" in said) is (without != "size")
    assert bool(re.search(r"C: MAIL .*\n.* C: RCPT", "\n".join(receipt.transcript))) is ("pipelining" not in without)
    [stored] = relay.postfix.received(1, having=token.encode())
    got = email.message_from_bytes(stored, policy=email.policy.default)
    [file] = [part for part in got.walk() if part.get_filename()]
    assert file.get_payload(decode=True) == LARGE
    body = got.get_body()
    assert body is not None
    assert body.get_content().replace("\r\n", "\n") == "Grüße\n.\n..\n"


def test_check_42_a_local_part_that_is_not_ascii(relay: Relay, world: World) -> None:
    """With SMTPUTF8 it goes as it is, through Postfix and beyond; without, that recipient is refused before MAIL."""
    token = uuid.uuid4().hex
    people = ["jösé@utf8.example", "ann@utf8.example"]
    with world.mailer(relay.url()) as client:
        receipt = client.send(_message(token, *people, from_="büro@example.com"))
        ascii_only = client.send(_message(token, "ann@bücher.example"))
    assert receipt.ok
    assert next(line for line in _said(receipt) if line.startswith("MAIL")).endswith(" SMTPUTF8")
    assert "SMTPUTF8" not in "\n".join(_said(ascii_only))
    assert relay.postfix.settle is not None
    relay.postfix.settle()
    [got] = [one for one in relay.utf8_hop if token.encode() in one.content]
    assert (got.mail_from, sorted(got.rcpt_tos)) == ("büro@example.com", sorted(people))
    assert f"To: {', '.join(people)}".encode() in got.content

    with world.mailer(relay.url("smtputf8")) as client:
        receipt = client.send(_message(uuid.uuid4().hex, *people))
    assert [(r.outcome, r.enhanced_code) for r in receipt.results] == [
        (Outcome.REJECTED, "5.6.7"),
        (Outcome.ACCEPTED, "2.0.0"),
    ]
    assert not any("jösé" in line for line in _said(receipt))


def test_check_44_dsn_reaches_the_next_hop(relay: Relay, world: World) -> None:
    token, envid = uuid.uuid4().hex, f"auftrag+{uuid.uuid4().hex}=7"
    options = DeliveryOptions(notify=("failure", "delay"), ret="hdrs", envid=envid)
    with world.mailer(relay.url()) as client:
        receipt = client.send(_message(token, "bob@example.net", "a+b@example.org", delivery=options))
    assert receipt.notes == ()
    [stored] = relay.postfix.received(1, having=token.encode())
    got = email.message_from_bytes(stored, policy=email.policy.default)
    mail_args, rcpt_args = str(got["X-Mail-Args"]), [str(line) for line in got.get_all("X-Rcpt-Args") or []]
    assert "RET=HDRS" in mail_args
    assert f"ENVID={envid.replace('+', '+2B').replace('=', '+3D')}" in mail_args
    for line, original in zip(rcpt_args, ["bob@example.net", "a+2Bb@example.org"], strict=True):
        assert f"ORCPT=rfc822;{original}" in line
        assert {tuple(sorted(words.split(","))) for words in re.findall("NOTIFY=([A-Z,]+)", line)} == {
            ("DELAY", "FAILURE")
        }

    with world.mailer(relay.url("dsn")) as client:
        receipt = client.send(_message(uuid.uuid4().hex, delivery=options))
    assert receipt.ok
    assert "DSN not offered" in receipt.notes
    assert not re.search("NOTIFY|ORCPT|ENVID|RET=", "\n".join(_said(receipt)))


def test_check_43_what_is_too_large_is_refused_before_mail(relay: Relay, world: World) -> None:
    """And where Postfix does not say its limit beforehand, by its 552 to what has come of it (F54)."""
    too_large = mailer.Attachment.from_bytes("large.bin", bytes(SIZE_LIMIT))
    for without, code, says in (("", None, f"the server takes {SIZE_LIMIT}"), ("size", 552, "")):
        with world.mailer(relay.url(without)) as client:
            with pytest.raises(mailer.DeliveryRefused) as caught:
                client.send(_message(uuid.uuid4().hex, "bob@example.net", "ann@example.org", attachments=[too_large]))
            assert client.send(_message(uuid.uuid4().hex)).ok
        [result, other] = caught.value.receipt.results
        assert (result.outcome, result.code, result.enhanced_code) == (Outcome.REJECTED, code, "5.3.4")
        assert says in result.text
        assert other.outcome is Outcome.REJECTED
        assert any(line.startswith("MAIL") for line in _said(caught.value.receipt)) is (without == "size")


def test_check_16_each_recipient_by_its_own(relay: Relay, world: World) -> None:
    """Both with the content behind them in the same write and, by DATA, without; and when nobody is taken."""
    people = ["gone@example.org", "bob@example.net", "later@example.org"]
    expected = [(Outcome.REJECTED, 550, "5.1.1"), (Outcome.ACCEPTED, 250, "2.0.0"), (Outcome.DEFERRED, 451, "4.7.1")]
    for without in ("", "chunking", "pipelining"):
        token = uuid.uuid4().hex
        with world.mailer(relay.url(without)) as client:
            [mixed, none, after] = client.send_many(
                [_message(token, *people), _message(token, people[0], people[2]), _message(token)]
            )
        assert [(r.outcome, r.code, r.enhanced_code) for r in mixed.results] == expected
        assert [(r.outcome, r.code, r.enhanced_code) for r in none.results] == [expected[0], expected[2]]
        assert after.ok
        relayed = relay.postfix.received(2, having=token.encode())
        assert [re.findall(rb"X-Rcpt-Args: <(.*?)>", mail) for mail in relayed] == [[b"bob@example.net"]] * 2


def test_accepted_means_queued(relay: Relay, certificates: Certificates, world: World) -> None:
    """The next hop is down: Postfix takes the mail all the same and keeps it until the hop is back."""
    token = uuid.uuid4().hex
    with world.mailer(relay.url()) as client:
        receipt = client.send(_message(token, "bob@stopped.example"))
    [result] = receipt.results
    assert (result.outcome, result.code) == (Outcome.ACCEPTED, 250)
    assert result.provider_id is not None
    assert result.provider_id in relay.queue("-p")
    with _folder("hop") as folder, smtp_sink(folder, certificates, port=relay.hop_port) as hop:
        relay.queue("-f")
        assert len(hop.received(1, having=token.encode())) == 1
        assert relay.postfix.settle is not None
        relay.postfix.settle()


def test_f39_35_people_at_ten_for_each_transaction(relay: Relay, world: World) -> None:
    """452 from the eleventh on, then the content: nobody is deferred, and the next mail knows the limit."""
    token = uuid.uuid4().hex
    people = [f"p{n}@example.org" for n in range(35)]
    with world.mailer(relay.url(limit="smtpd_recipient_limit=10")) as client:
        receipts = [client.send(_message(token, *people)) for _ in range(2)]
    for receipt in receipts:
        assert receipt.ok
        assert [result.address.addr_spec for result in receipt.results] == people
        assert len(receipt.provider_ids) == 4
    refused = [sum(" S: 452 4.5.3" in line for line in receipt.transcript) for receipt in receipts]
    assert (refused[0] > 0, refused[1]) == (True, 0)
    got = [re.findall(rb"X-Rcpt-Args: <(.*?)>", mail) for mail in relay.postfix.received(8, having=token.encode())]
    assert sorted(len(some) for some in got) == [5, 5, *[10] * 6]
    assert sorted(one.decode() for some in got for one in some) == sorted(people * 2)


def test_too_many_connections_are_fewer_from_then_on(relay: Relay) -> None:
    """The third gets 421 for a greeting, and its mail waits for one of the other two."""
    token = uuid.uuid4().hex
    url = f"{relay.url(limit='smtpd_client_connection_count_limit=2')}&max_connections=6"
    with mailer.Mailer(url, retry=None) as client, ThreadPoolExecutor(6) as threads:
        assert all(receipt.ok for receipt in threads.map(client.send, [_message(token)] * 30))
    relay.wait_for_log("Connection concurrency limit exceeded: 3 ")
    assert len(relay.postfix.received(30, having=token.encode())) == 30


def test_f66_a_connection_that_postfix_gave_up_is_not_used_again(relay: Relay, world: World) -> None:
    """Its 421, which answers nothing, waits in our socket: it must not be taken for the answer to the next MAIL."""
    gone = "timeout after END-OF-MESSAGE"  # logged once the 421 is out
    with world.mailer(relay.url(limit="smtpd_timeout=1s")) as client:
        before = relay.logged(gone)
        first = client.send(_message(uuid.uuid4().hex))
        relay.wait_for_log(gone, before + 1)
        second = client.send(_message(uuid.uuid4().hex))
    for receipt in (first, second):
        assert receipt.ok
        assert (len(receipt.attempts), receipt.cause) == (1, None)
        assert re.search(r"connection #\d+ to \S+$", receipt.transcript[0])  # not "used before"
    assert not any(" 421 " in line for line in second.transcript)
