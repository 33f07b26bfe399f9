"""What the SMTP client's tests have in common: pieces of dialogue, a message, and dialogues written as text files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from worlds import SyncMailer, World

from mailer import DeliveryError, Message, Receipt
from mailer.testing import ScriptedServer

__all__ = [
    "DATA",
    "DIALOGUES",
    "EHLO",
    "HI",
    "MAIL",
    "OK",
    "QUIT",
    "RCPT",
    "Dialogue",
    "Send",
    "exchange",
    "message",
    "sent",
    "shown",
    "url",
]

HI = "S: 220 hi\n"
EHLO = "C: EHLO [127.0.0.1]\nS: 250 hello\n"
MAIL = "C: MAIL FROM:<a@x.test>\nS: 250 ok\n"
RCPT = "C: RCPT TO:<b@y.test>\nS: 250 ok\n"
DATA = "C: DATA\nS: 354 go\nC: <data>\n"
OK = "S: 250 2.0.0 queued as ABC123\n"
QUIT = "C: QUIT\n"


def message(*to: str, **fields: Any) -> Message:
    """A small message from a@x.test, to b@y.test if nobody is named."""
    return Message(**{"from_": "a@x.test", "to": list(to or ["b@y.test"]), "subject": "s", "text": "t\n", **fields})


def url(server: Any, *, login: str = "", **options: Any) -> str:
    """The URL of a loopback server (with host and port): no TLS unless said, and no wait longer than five seconds."""
    options = {"tls": "none", "command_timeout": 5, "final_timeout": 5, **options}
    scheme = options.pop("scheme", "smtp")
    who = f"{login}@" if login else ""
    return f"{scheme}://{who}{options.pop('host', server.host)}:{server.port}?{urlencode(options)}"


@contextlib.contextmanager
def exchange(
    world: World, script: str, *, login: str = "", server: dict[str, Any] | None = None, **options: Any
) -> Iterator[tuple[ScriptedServer, SyncMailer]]:
    """A scripted server and a mailer for it, closed at the end; the client must have kept to the script."""
    with ScriptedServer(script, **(server or {})) as peer:
        with world.mailer(url(peer, login=login, **options)) as mailer:
            yield peer, mailer
        assert peer.wait_idle(), "the client left a connection open"
        peer.assert_clean()


def sent(mailer: SyncMailer, what: Message | None = None, **fields: Any) -> tuple[Receipt, DeliveryError | None]:
    """Send; the receipt, and the error that brought it if it was raised."""
    try:
        return mailer.send(what or message(**fields)), None
    except DeliveryError as error:
        return error.receipt, error


def shown(receipt: Receipt) -> list[tuple[str, str, int | None, str | None, str]]:
    """The results, each as (address, outcome, code, enhanced code, text)."""
    return [(r.address.addr_spec, r.outcome.value, r.code, r.enhanced_code, r.text) for r in receipt.results]


# --- dialogues as files -----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Send:
    """One message, and what is to become of it."""

    to: list[str]
    results: list[tuple[str, str, int | None, str | None, str]] = field(default_factory=list)
    error: str = ""
    cause: str = ""
    text: str = ""
    note: str = ""


@dataclass(slots=True)
class Dialogue:
    """A script with its expectations in ``#`` lines::

    # send b@y.test c@y.test
    # accepted b@y.test 250 2.0.0 queued as Q1          outcome, address, code, enhanced code, text
    # deferred c@y.test - - ~closed                     - is none; ~ is a part of the text
    # raises DeliveryDeferred from ProtocolError: text  a part of the cause's text
    # note tls: none                                    a part of a note on the receipt
    # login user:password, option tls=required, connections 2
    """

    script: str
    sends: list[Send] = field(default_factory=list)
    login: str = ""
    options: dict[str, str] = field(default_factory=dict)
    connections: int = 1

    @classmethod
    def read(cls, path: Path) -> Dialogue:
        made = cls(path.read_text())
        for line in made.script.splitlines():
            word, _, rest = line.removeprefix("# ").partition(" ")
            if not line.startswith("# "):
                continue
            if word == "send":
                made.sends.append(Send(rest.split()))
            elif word in ("accepted", "deferred", "rejected", "unknown"):
                address, code, enhanced, text = (*rest.split(" ", 3), "")[:4]
                made.sends[-1].results.append(
                    (address, word, None if code == "-" else int(code), None if enhanced == "-" else enhanced, text)
                )
            elif word == "raises":
                error, _, cause = rest.partition(" from ")
                made.sends[-1].error = error
                made.sends[-1].cause, _, made.sends[-1].text = cause.partition(": ")
            elif word == "cause":  # somebody accepted it all the same
                made.sends[-1].cause, _, made.sends[-1].text = rest.partition(": ")
            elif word == "note":
                made.sends[-1].note = rest
            elif word == "login":
                made.login = rest
            elif word == "option":
                made.options.update([rest.split("=", 1)])
            elif word == "connections":
                made.connections = int(rest)
        assert made.sends, f"{path} sends nothing"
        return made


DIALOGUES = sorted((Path(__file__).parent / "dialogues").glob("*.txt"))
