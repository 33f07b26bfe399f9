"""What a session reads, writes and answers, whatever the commands mean.

Everything that is answered goes through `Dialogue._answered`: there the mailbox may want another reply than the usual
one, and there a test server lays its faults over it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..smtp.reply import Reply
from .listener import Connection
from .received import ReceivedMail
from .sasl import Login
from .transaction import Refused, Transaction

if TYPE_CHECKING:
    from .server import Mailbox

__all__ = ["Asked", "Closed", "Dialogue", "State"]

_ENHANCED = re.compile(r"[245]\.\d{1,3}\.\d{1,3} ")

Asked = Sequence[tuple[str, str]]
"""What is to be answered: verb and argument. More than one pair if it is more than one thing: a last BDAT is also the
end of the mail, "."."""


class Closed(Exception):
    """The session is over."""


@dataclass(slots=True)
class State:
    """What the server knows of the client: what a command that is refused must leave as it was."""

    helo_name: str | None = None
    user: str | None = None
    transaction: Transaction | None = None
    login: Login | None = None
    taken: ReceivedMail | None = None  # a mail whose reply is being decided

    def copy(self) -> State:
        """As it is now."""
        return replace(self, transaction=self.transaction.copy() if self.transaction else None)


class Dialogue:
    """One connection of a mailbox: buffers, lines and replies."""

    def __init__(self, mailbox: Mailbox, connection: Connection) -> None:
        self._mailbox = mailbox
        self._connection = connection
        self._buffer = bytearray()
        self._out = bytearray()  # replies to pipelined commands leave together (RFC 2920 section 3.2)
        self._state = State()

    @property
    def _words(self) -> Collection[str]:
        """What EHLO offers, besides what tls and accounts give."""
        return self._mailbox.offers(is_tls=self._connection.is_tls, user=self._state.user)

    @property
    def _offered(self) -> set[str]:
        """Its keywords."""
        keywords = {word.split()[0] for word in self._words}
        return keywords | {"AUTH"} if self._mailbox.has_accounts else keywords

    # ---- Reading and writing ----

    def answer(self, reply: Reply) -> None:
        """Queue a reply; enhanced codes are left out where the extension is off."""
        self._out += self._formatted(reply)

    def flush(self) -> None:
        """Send what is queued."""
        if self._out:
            data = bytes(self._out)
            self._out.clear()
            self._send(data)

    def _formatted(self, reply: Reply) -> bytes:
        if "ENHANCEDSTATUSCODES" not in self._offered:
            reply = Reply(reply.code, tuple(_ENHANCED.sub("", line, count=1) for line in reply.lines))
        data = reply.format()
        self._mailbox.note(*(f"S: {line}" for line in data.decode("ascii").splitlines()))
        return data

    def _send(self, data: bytes) -> None:
        self._connection.sendall(data)

    def _receive(self) -> bytes:
        return self._connection.recv()

    def _more(self) -> None:
        self.flush()
        data = self._receive()
        if not data:
            raise Closed
        self._buffer += data

    def _line(self, limit: int) -> bytes | None:
        """Return the next line without its CRLF; None, all of it skipped, if it is too long or ends otherwise."""
        scanned, is_long = 0, False
        while (end := self._buffer.find(b"\n", scanned)) < 0:
            if len(self._buffer) > limit:
                is_long = True
                self._buffer.clear()
            scanned = len(self._buffer)
            self._more()
        line = self._taken(end + 1)
        if is_long or len(line) > limit or not line.endswith(b"\r\n"):
            return None
        return line[:-2]

    def _taken(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    # ---- Answering ----

    def _answered(self, asked: Asked, usual: Callable[[], Reply]) -> Reply:
        """Carry out what usual does, queue what is answered to it, and return that.

        Args:
            asked: What for.
            usual: Does it and returns the server's own reply; or raises `Refused`.
        """
        wanted = self._mailbox.wanted(asked)
        if wanted is None:
            reply = self._own(usual)
        else:
            is_refusal = not wanted.is_positive and not wanted.is_intermediate
            reply = self._decided(
                asked, usual, lambda own: wanted if is_refusal or wanted.code // 100 == own.code // 100 else own
            )
        self._commit()
        self.answer(reply)
        return reply

    def _own(self, usual: Callable[[], Reply]) -> Reply:
        try:
            return usual()
        except Refused as refused:
            return refused.reply

    def _decided(self, asked: Asked, usual: Callable[[], Reply], decide: Callable[[Reply], Reply]) -> Reply:
        """Return what decide makes of the usual reply; where that is of another class, nothing was carried out."""
        before = self._state.copy()
        own = self._own(usual)
        reply = decide(own)
        if reply.code // 100 != own.code // 100:
            self._state = before
            if any(verb == "." for verb, _ in asked):
                self._state.transaction = None
            elif asked[0][0] == "BDAT" and before.transaction is not None:
                before.transaction.is_broken = True
        return reply

    def _commit(self) -> None:
        mail, self._state.taken = self._state.taken, None
        if mail is not None:
            self._mailbox.keep(mail)
