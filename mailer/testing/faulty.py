"""A session of the embedded server with faults laid over it, and the record of what went over the wire."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from ..mailbox.dialogue import Asked, Closed
from ..mailbox.listener import Connection
from ..mailbox.received import ReceivedMail
from ..mailbox.session import Session
from ..mailbox.transaction import Refused
from ..smtp.reply import Reply
from .rules import Drop, Fault, Rule, SmtpCommand, octets_of, reply_of

if TYPE_CHECKING:
    from .smtp_server import SmtpServer

__all__ = ["FaultySession", "Recorded", "SessionRecord"]

_BLOCK_BYTES = 65536


@dataclass(frozen=True, slots=True)
class Recorded:
    """Octets that went over the wire, and when.

    Attributes:
        time: Of the server's clock.
        side: Who said them.
        data: After TLS, if there was any.
    """

    time: float
    side: Literal["client", "server"]
    data: bytes


@dataclass(slots=True, eq=False)
class SessionRecord:
    """What happened on one connection, as far as it has come; credentials included.

    Attributes:
        number: Counted from 0, in the order of accepting.
        events: What was read and written, in order.
        commands: The client's lines without CRLF, those of AUTH included, those of the mail not.
        tls: The handshake: "" for none, the protocol ("TLSv1.3"), or why it failed.
        is_open: It is not over.
    """

    number: int
    events: list[Recorded] = field(default_factory=list, repr=False)
    commands: list[str] = field(default_factory=list, repr=False)
    tls: str = ""
    is_open: bool = True

    @property
    def received(self) -> bytes:
        """All that the client sent."""
        return b"".join(event.data for event in list(self.events) if event.side == "client")

    @property
    def sent(self) -> bytes:
        """All that was sent to it."""
        return b"".join(event.data for event in list(self.events) if event.side == "server")


class FaultySession(Session):
    """Serves as `Session` does, and lays the rules of a `SmtpServer` over it."""

    def __init__(self, server: SmtpServer, connection: Connection, record: SessionRecord) -> None:
        super().__init__(server, connection)
        self._server = server
        self._record = record
        self._said_line = b""
        self._mails = 0
        self._is_mute = False
        # What is left until a drop, and which; None: no drop is due.
        self._to_write: tuple[int, Drop] | None = None
        self._to_read: tuple[int, Drop] | None = None

    def run(self) -> None:
        """As `Session.run`; a drop may also fall into its last words."""
        with suppress(Closed):
            super().run()

    # ---- Octets ----

    def _send(self, data: bytes) -> None:
        self._cut(data, self._transmit)

    def _cut(self, data: bytes, send: Callable[[bytes], None]) -> None:
        """Send as much of data as is left until a drop; then that."""
        if self._is_mute:
            return
        if self._to_write is None:
            send(data)
            return
        left, drop = self._to_write
        self._to_write = (left - len(data), drop)
        send(data[:left])
        if len(data) >= left:
            self._drop(drop)

    def _transmit(self, data: bytes) -> None:
        if data:
            self._note("server", data)  # before it can have been read
            self._connection.sendall(data)

    def _receive(self) -> bytes:
        data = self._received_until_drop()
        if data:
            self._note("client", data)
        return data

    def _received_until_drop(self) -> bytes:
        if self._to_read is None:
            return self._connection.recv()
        left, drop = self._to_read
        if left <= 0:
            self._drop(drop)
        data = self._connection.recv(min(_BLOCK_BYTES, left))
        self._to_read = (left - len(data), drop)
        return data

    def _note(self, side: Literal["client", "server"], data: bytes) -> None:
        self._record.events.append(Recorded(self._server.clock(), side, data))

    def _line(self, limit: int) -> bytes | None:
        line = super()._line(limit)
        self._said_line = line or b""
        if line is not None:
            self._record.commands.append(line.decode("utf-8", "backslashreplace"))
        return line

    # ---- The end ----

    def _drop(self, drop: Drop) -> None:
        self._to_write = self._to_read = None
        self._keep_partly()  # before the client can know
        self._transmit(drop.saying)
        if drop.reset:
            self._connection.reset()
        else:
            self._connection.end()
            self._drain()
        raise Closed

    def _drain(self) -> None:
        self._keep_partly()
        with suppress(OSError):
            while self._receive():
                pass

    def _wait(self, seconds: float) -> None:
        if seconds and not self._server.sleep(seconds):
            raise Closed

    # ---- Faults ----

    def _answered(self, asked: Asked, usual: Callable[[], Reply]) -> Reply:
        rules = self._server.rules.fitting(asked)
        if not rules:
            return super()._answered(asked, usual)
        fault: Fault = Fault()
        pieces: Iterable[bytes] = []

        def decide(own: Reply) -> Reply:
            nonlocal fault, pieces
            fault = self._fault(rules, asked, own)
            if fault.said is None:
                pieces = [self._formatted(own)]
                return own
            if isinstance(fault.said, Reply):
                pieces = [fault.said.format()]
                return fault.said
            pieces = [octets_of(fault.said)] if isinstance(fault.said, (str, bytes)) else fault.said
            return reply_of(fault.said)

        reply = self._decided(asked, usual, decide)
        self._commit()
        self._lay(fault, pieces)
        return reply

    def _fault(self, rules: Sequence[Rule], asked: Asked, own: Reply) -> Fault:
        mail = self._state.taken or self._partly or self._state.transaction
        verb, argument = asked[-1]
        command = SmtpCommand(
            verb=verb,
            argument=argument,
            line=self._said_line,
            usual=own,
            connection=self._connection.number,
            helo_name=self._state.helo_name or "",
            is_tls=self._connection.is_tls,
            user=self._state.user,
            sender=mail.sender if mail else None,
            recipients=tuple(mail.recipients) if mail else (),
            content=mail.content if isinstance(mail, ReceivedMail) else b"",
            time=self._server.clock(),
        )
        try:
            return self._server.rules.fault(rules, command)
        except Exception as exc:  # a test's own function: its error is the test's, not this thread's
            self._server.errors.append(exc)
            raise Closed from exc

    def _lay(self, fault: Fault, pieces: Iterable[bytes]) -> None:
        """Send the reply as the fault has it."""
        drop = fault.drop
        is_plain = fault.drip_s is None and drop is None and not fault.hold and not fault.half_close
        if isinstance(pieces, list) and is_plain and not fault.delay_s:
            self._out += b"".join(pieces)
            return
        self.flush()
        self._wait(fault.delay_s)
        is_counted = drop is not None and (drop.after is not None or drop.read is not None)
        if drop is not None and drop.after is not None:
            self._to_write = (drop.after, drop)
        if fault.has_reply or is_counted or not (drop or fault.hold):
            self._send_pieces(pieces, fault.drip_s)
        if drop is not None and drop.read is not None:
            del self._buffer[drop.read :]
            self._to_read = (drop.read - len(self._buffer), drop)
        if drop is not None and not is_counted:
            self._drop(drop)
        if fault.hold:
            self._drain()
            raise Closed
        if fault.half_close:
            self._connection.end()
            self._is_mute = True

    def _send_pieces(self, pieces: Iterable[bytes], drip_s: float | None) -> None:
        for piece in pieces:
            if drip_s is None:
                self._send(piece)
                continue
            for octet in piece:
                self._wait(drip_s)
                self._send(bytes([octet]))

    def _handshake(self) -> None:
        asked = [("TLS", "")]
        if rules := self._server.rules.fitting(asked):
            fault = self._fault(rules, asked, Reply(220, ("",)))
            self._wait(fault.delay_s)
            drop = fault.drop
            if fault.has_reply and isinstance(fault.said, (str, bytes)):
                self._transmit(octets_of(fault.said))  # in the place of the handshake
            if drop is not None and drop.after is not None:
                self._to_write = (drop.after, drop)
            if drop is not None and drop.read is not None:
                self._to_read = (drop.read, drop)
            if drop is not None and drop.after is None and drop.read is None:
                self._drop(drop)
            if fault.hold or fault.has_reply:
                self._drain()
                raise Closed
        context = self._server.tls
        if context is None:
            raise Closed
        try:
            # What is cut here are the handshake's own octets; a record has what TLS carries.
            self._connection.start_tls(
                context, lambda data: self._cut(data, self._connection.sendall), self._received_until_drop
            )
        except OSError as exc:
            self._record.tls = str(exc)
            raise
        self._record.tls = self._connection.tls_version
        for due in (self._to_write, self._to_read):
            if due is not None:  # the handshake was shorter
                self._drop(due[1])

    # ---- Limits ----

    def _greeting(self) -> Reply:
        if self._server.is_full:
            return Reply(421, ("4.7.0 too many connections",))
        return super()._greeting()

    def _mail(self, argument: str) -> Reply:
        most = self._server.max_messages
        if most is not None and self._mails >= most:
            return Reply(421, ("4.7.0 too many messages on one connection",))
        return super()._mail(argument)

    def _rcpt(self, argument: str) -> Reply:
        reply = super()._rcpt(argument)
        transaction = self._state.transaction
        if reply.is_positive and transaction is not None:
            recipient = transaction.recipients[-1]
            if self._server.greylists(self._connection.peer_ip, transaction.sender, recipient):
                transaction.recipients.pop()
                transaction.recipient_parameters.pop()
                raise Refused(450, "4.2.0 greylisted, come back later")
        return reply

    def _commit(self) -> None:
        self._mails += self._state.taken is not None
        super()._commit()
