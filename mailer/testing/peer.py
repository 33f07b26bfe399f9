"""What `mailer.smtplib` talks with while a test's outbox is at work: a server that takes every mail."""

from __future__ import annotations

import os
import re
import socket
import threading
from collections.abc import Callable, Iterator

from ..address import Address
from ..envelope import Envelope
from ..errors import MailerError, Outcome
from ..mail import Content, Mail
from ..receipt import RecipientResult

__all__ = ["dialled"]

_OFFERED = ("outbox.test", "SIZE", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "STARTTLS", "AUTH PLAIN LOGIN")
#: What is answered whatever stands behind it. There is no TLS: what is said goes nowhere.
_ANSWERS = {"STARTTLS": "220 2.0.0 go ahead", "AUTH": "235 2.7.0 whoever you are", "QUIT": "221 2.0.0 bye"}
_PATH = re.compile(r"(?:FROM|TO):\s*<([^>]*)>", re.IGNORECASE)

#: What becomes of one recipient.
Judge = Callable[[Address], RecipientResult]
#: Takes a mail with the results of its recipients.
Keep = Callable[[Mail, tuple[RecipientResult, ...]], None]


def dialled(judge: Judge, keep: Keep, *, is_lmtp: bool) -> socket.socket:
    """A connection to such a server, which lives as long as it."""
    ours, theirs = socket.socketpair()
    thread = threading.Thread(target=_serve, args=(theirs, judge, keep, is_lmtp), name="mailer-outbox", daemon=True)
    thread.start()
    return ours


def _serve(connection: socket.socket, judge: Judge, keep: Keep, is_lmtp: bool) -> None:
    with connection, connection.makefile("rb") as lines:
        try:
            for reply in _Session(judge, keep, is_lmtp).replies(lines):
                connection.sendall(f"{reply}\r\n".encode())
        except OSError:
            pass  # the client has gone


class _Session:
    def __init__(self, judge: Judge, keep: Keep, is_lmtp: bool) -> None:
        self._judge = judge
        self._keep = keep
        self._is_lmtp = is_lmtp
        self._sender: Address | None = None
        self._results: list[RecipientResult] = []

    def replies(self, lines: Iterator[bytes]) -> Iterator[str]:
        """What is said to each line; it ends with the connection."""
        yield "220 outbox.test ESMTP"
        for line in lines:
            verb, _, rest = line.decode("utf-8", "replace").rstrip("\r\n").partition(" ")
            verb = verb.upper()
            if verb in ("EHLO", "LHLO"):
                yield "\r\n".join(
                    ["250-outbox.test", *[f"250-{word}" for word in _OFFERED[:-1]], f"250 {_OFFERED[-1]}"]
                )
            elif verb in ("MAIL", "RCPT"):
                yield self._address(verb, rest)
            elif verb == "DATA":
                yield "354 go on"
                if any(result.outcome is Outcome.UNKNOWN for result in self._mail(lines)):
                    return  # the mail is taken, and the answer lost
                yield from self._taken()
            else:
                yield _ANSWERS.get(verb, "250 2.0.0 ok")
                if verb == "QUIT":
                    return
                if verb == "RSET":
                    self._results = []

    def _address(self, verb: str, rest: str) -> str:
        found = _PATH.match(rest)
        if found is None:
            return "501 5.5.4 a path stands in angle brackets"
        try:
            address = Address.parse(found[1]) if found[1] or verb == "RCPT" else None
        except MailerError:
            return "553 5.1.3 an outbox takes addresses with a domain"
        if address is None or verb == "MAIL":
            self._sender, self._results = address, []
            return "250 2.1.0 ok"
        result = self._judge(address)
        if result.outcome in (Outcome.DEFERRED, Outcome.REJECTED):
            usual = 451 if result.outcome is Outcome.DEFERRED else 550
            code = result.code if result.code is not None and result.code // 100 == usual // 100 else usual
            return " ".join(filter(None, [str(code), result.enhanced_code, result.text]))
        self._results.append(result)
        return "250 2.1.5 ok"

    def _mail(self, lines: Iterator[bytes]) -> list[RecipientResult]:
        """Read a mail to its dot, and keep it."""
        read = bytearray()
        for line in lines:
            if line == b".\r\n":
                break
            read += line.removeprefix(b".")
        else:
            return []  # the client has gone in the midst of it
        recipients = [result.address for result in self._results]
        mail = Mail(os.urandom(16).hex(), Envelope(self._sender, recipients), None, Content.of(bytes(read)))
        self._keep(mail, tuple(self._results))
        return self._results

    def _taken(self) -> list[str]:
        count = len(self._results) if self._is_lmtp else 1
        self._results = []
        return ["250 2.0.0 caught by the test's outbox"] * count
