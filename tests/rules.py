"""A server that follows rules instead of a script: the same answers to a mail, however its commands are grouped.

So one set of rules can be met by a client that waits for each reply, by one that pipelines, and by one that sends
chunks, and what they say of it compared; and what the server really took is there to hold their receipts to.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mailer.mailbox.listener import Connection, Server

__all__ = ["Cut", "RuleServer", "Rules"]


@dataclass(frozen=True)
class Cut:
    """Something instead of, or beside, the reply to the n-th command (from 0) after EHLO of the first connection."""

    at: int
    how: Literal["close", "reset", "421", "garbage", "half", "extra"]


@dataclass(frozen=True)
class Rules:
    """How the server answers.

    Attributes:
        offers: EHLO keywords.
        mail, end: Replies to the first, second ... MAIL and content, of all connections; the last stays.
        rcpt: By local part; else 250.
        data: To DATA with recipients.
        empty: To DATA and BDAT without any.
        limit: Recipients in a transaction; then 452 4.5.3.
        most: Transactions in a connection; then 421 to MAIL.
        rset: To RSET.
        chunks: To a BDAT that is not the last: the first, second ...
        segments: Replies that are due together go in one segment, or each line or byte by itself.
        is_strict: MAIL in an open transaction is refused (503), as it should be; else it is taken for a new one.
    """

    offers: tuple[str, ...] = ()
    mail: tuple[str, ...] = ("250 2.1.0 ok",)
    rcpt: Mapping[str, str] = field(default_factory=dict)
    data: str = "354 go"
    empty: str = "554 5.5.1 no valid recipients"
    end: tuple[str, ...] = ("250 2.0.0 queued as ABC123",)
    limit: int | None = None
    most: int | None = None
    rset: str = "250 2.0.0 ok"
    chunks: tuple[str, ...] = ("250 2.0.0 go on",)
    segments: Literal["joined", "line", "byte"] = "joined"
    is_strict: bool = True
    cut: Cut | None = None


class _End(Exception):
    """The connection is over."""


class RuleServer(Server):
    """Follows `Rules` on a loopback port; a context manager.

    Attributes:
        mails: What was taken: (sender, recipients, content), whether or not the 250 for it was ever sent.
        commands: The command lines of each connection.
        answered: What each reply of the first connection answers, after EHLO: a verb, or "dot".
    """

    def __init__(self, rules: Rules) -> None:
        super().__init__()
        self.rules = rules
        self.mails: list[tuple[str, tuple[str, ...], bytes]] = []
        self.commands: list[list[str]] = []
        self.answered: list[str] = []
        self._counts = {"mail": 0, "end": 0, "chunks": 0}
        self._lock = threading.Lock()

    def answer(self, kind: str) -> str:
        """The next of a row of replies; the last stays."""
        with self._lock:
            row = getattr(self.rules, kind)
            count = self._counts[kind]
            self._counts[kind] = count + 1
        return row[min(count, len(row) - 1)]

    def _serve(self, connection: Connection) -> None:
        with self._lock:
            self.commands.append([])
            number = len(self.commands) - 1
        first = (self.answered, self.rules.cut) if number == 0 else ([], None)
        with contextlib.suppress(_End):
            _Dialogue(self, connection, self.commands[number], *first).run()


class _Dialogue:
    def __init__(
        self, server: RuleServer, connection: Connection, log: list[str], answered: list[str], cut: Cut | None
    ) -> None:
        self.server, self.rules, self.connection, self.log, self.cut = server, server.rules, connection, log, cut
        self.answered = answered
        self.verb = ""
        self.buffer = bytearray()
        self.due: list[bytes] = []
        self.replies = -1  # EHLO or LHLO is not counted
        self.transactions = 0
        self.sender: str | None = None
        self.accepted: list[str] = []
        self.content = bytearray()
        self.is_failed = False
        self.is_lmtp = False

    def run(self) -> None:
        self.due.append(b"220 hi\r\n")
        while True:
            line = self.line()
            self.verb, _, rest = line.partition(" ")
            getattr(self, f"do_{self.verb.lower()}")(rest)

    # --- bytes --------------------------------------------------------------------------------------------------------

    def line(self) -> str:
        while (end := self.buffer.find(b"\r\n")) < 0:
            self.more()
        line = self.buffer[:end].decode()
        del self.buffer[: end + 2]
        self.log.append(line)
        return line

    def more(self) -> None:
        self.flush()
        if not (data := self.connection.recv()):
            raise _End
        self.buffer += data

    def flush(self) -> None:
        whole = b"".join(self.due)
        if self.rules.segments == "joined":
            pieces = [whole]
        elif self.rules.segments == "line":
            pieces = self.due[:]
        else:
            pieces = [bytes([octet]) for octet in whole]
        self.due.clear()
        for piece in pieces:
            self.connection.sendall(piece)

    def reply(self, text: str) -> None:
        number, self.replies = self.replies, self.replies + 1
        if number >= 0:
            self.answered.append(self.verb)
        if self.cut is not None and number == self.cut.at:
            self.do_cut(self.cut.how)
        self.due.append(text.encode() + b"\r\n")

    def do_cut(self, how: str) -> None:
        if how == "extra":
            self.due.append(b"250 2.0.0 extra\r\n")
            return
        if how == "garbage":
            self.due.append(b"*** hello\r\n")
            return
        if how == "421":
            self.due.append(b"421 4.3.2 closing\r\n")
        elif how == "half":
            self.due.append(b"250-half\r\n25")
        self.flush()
        if how == "reset":
            self.connection.reset()
            raise _End
        self.connection.end()
        while self.connection.recv():
            pass
        raise _End

    # --- commands -----------------------------------------------------------------------------------------------------

    def do_ehlo(self, _: str) -> None:
        lines = ["hello", *self.rules.offers]
        for keyword in lines[:-1]:
            self.due.append(f"250-{keyword}\r\n".encode())
        self.reply(f"250 {lines[-1]}")

    def do_lhlo(self, rest: str) -> None:
        self.is_lmtp = True
        self.do_ehlo(rest)

    def do_mail(self, rest: str) -> None:
        if self.rules.most is not None and self.transactions >= self.rules.most:
            self.do_cut("421")
        if self.sender is not None and self.rules.is_strict:
            return self.reply("503 5.5.1 nested MAIL")
        self.transactions += 1
        reply = self.server.answer("mail")
        self.reset()
        if reply.startswith("2"):
            self.sender = rest.partition("<")[2].partition(">")[0]
        return self.reply(reply)

    def do_rcpt(self, rest: str) -> None:
        if self.sender is None:
            return self.reply("503 5.5.1 MAIL first")
        path = rest.partition("<")[2].partition(">")[0]
        reply = self.rules.rcpt.get(path.partition("@")[0], "250 2.1.5 ok")
        if reply.startswith("2"):
            if self.rules.limit is not None and len(self.accepted) >= self.rules.limit:
                return self.reply("452 4.5.3 too many")
            self.accepted.append(path)
        return self.reply(reply)

    def do_data(self, _: str) -> None:
        if self.sender is None:
            return self.reply("503 5.5.1 MAIL first")
        reply = self.rules.data if self.accepted else self.rules.empty
        self.reply(reply)
        if not reply.startswith("354"):
            return None
        while not self.buffer.startswith(b".\r\n") and (end := self.buffer.find(b"\r\n.\r\n")) < 0:
            self.more()
        if self.buffer.startswith(b".\r\n"):
            content, end = b"", -2
        else:
            content = bytes(self.buffer[: end + 2])
        del self.buffer[: end + 5]
        self.verb = "dot"
        return self.take((b"\r\n" + content).replace(b"\r\n.", b"\r\n")[2:])

    def do_bdat(self, rest: str) -> None:
        words = rest.split()
        size, is_last = int(words[0]), len(words) > 1
        while len(self.buffer) < size:
            self.more()
        self.content += self.buffer[:size]
        del self.buffer[:size]
        if self.is_failed or self.sender is None:
            return self.reply("503 5.5.1 no transaction")
        if not self.accepted:
            return self.reply(self.rules.empty if not self.rules.empty.startswith("3") else "554 5.5.1 nobody")
        if is_last:
            return self.take(bytes(self.content))
        reply = self.server.answer("chunks")
        self.is_failed = not reply.startswith("2")
        return self.reply(reply)

    def take_for_each(self, content: bytes) -> None:
        """As LMTP has it: a reply for each recipient."""
        sender, accepted = self.sender or "", self.accepted
        self.reset()
        for address in accepted:
            reply = self.server.answer("end")
            if self.cut is not None and self.cut.how == "421" and self.replies == self.cut.at:
                reply = "421 4.3.2 closing"
            if reply.startswith("2"):
                self.server.mails.append((sender, (address,), content))
            self.reply(reply)

    def take(self, content: bytes) -> None:
        if self.is_lmtp:
            return self.take_for_each(content)
        reply = self.server.answer("end")
        if self.cut is not None and self.cut.how == "421" and self.replies == self.cut.at:
            reply = "421 4.3.2 closing"  # it is an answer: the mail is not taken
        if reply.startswith("2") and self.accepted and self.sender is not None:
            self.server.mails.append((self.sender, tuple(self.accepted), content))
        self.reset()
        return self.reply(reply)

    def do_rset(self, _: str) -> None:
        self.reset()
        self.reply(self.rules.rset)

    def do_quit(self, _: str) -> None:
        self.flush()
        raise _End

    def reset(self) -> None:
        self.sender = None
        self.accepted = []
        self.content.clear()
        self.is_failed = False
