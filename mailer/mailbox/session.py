"""One client's session with the embedded server: the grammar of `mailer.smtp` seen from the other side (RFC 5321)."""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..errors import ProtocolError
from ..smtp.command import parse_command, parse_path
from ..smtp.data import DataDecoder
from ..smtp.reply import Reply
from .listener import Connection

if TYPE_CHECKING:
    from .server import Mailbox

__all__ = ["ReceivedMail", "Session"]

MAX_COMMAND_BYTES = 2048
"""RFC 5321's 512 and what all parameters may add (`mailer.smtp.command`)."""
MAX_AUTH_BYTES = 12288
MAX_RECIPIENTS = 1000
MAX_BAD_COMMANDS = 50
_LINGER_S = 1.0
_ENHANCED = re.compile(r"[245]\.\d{1,3}\.\d{1,3} ")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedMail:
    """One mail as it was taken, and the session it came by.

    Attributes:
        sender: The reverse-path without angle brackets; None for ``<>``.
        recipients: The accepted forward-paths in order, repeats kept.
        content: The mail with CRLF line ends and without doubled dots.
        parameters: Those of MAIL: keyword in upper case to value, None for a bare one.
        recipient_parameters: Those of each accepted RCPT, in the order of recipients.
        helo_name: What the client called itself.
        is_tls: It came under TLS.
        user: Who was authenticated, if anybody.
    """

    sender: str | None
    recipients: tuple[str, ...]
    content: bytes
    parameters: Mapping[str, str | None]
    recipient_parameters: tuple[Mapping[str, str | None], ...]
    helo_name: str
    is_tls: bool
    user: str | None


class _Closed(Exception):
    """The session is over."""


@dataclass(slots=True)
class _Transaction:
    """One MAIL and what followed it."""

    sender: str | None
    parameters: Mapping[str, str | None]
    recipients: list[str] = field(default_factory=list)
    recipient_parameters: list[Mapping[str, str | None]] = field(default_factory=list)
    chunks: bytearray | None = None  # of BDAT, once one came
    is_broken: bool = False  # a BDAT was refused: only RSET helps


class Session:
    """One client's session: reads commands, answers each. A method named for a verb takes its argument."""

    def __init__(self, mailbox: Mailbox, connection: Connection) -> None:
        self._mailbox = mailbox
        self._connection = connection
        self._buffer = bytearray()
        self._out = bytearray()  # replies to pipelined commands leave together (RFC 2920 section 3.2)
        self._helo_name: str | None = None
        self._user: str | None = None
        self._transaction: _Transaction | None = None
        self._bad_commands = 0

    # ---- Reading and writing ----

    def run(self) -> None:
        """Greet, and serve until either side ends it."""
        greeting = self._mailbox.reply_to("CONNECT", "") or Reply(220, (f"{self._mailbox.hostname} ESMTP",))
        self.answer(greeting)
        try:
            while greeting.is_positive:
                self._one_command()
        except _Closed:
            pass
        self.flush()
        self._connection.end()
        # Closing with unread bytes would be a RST, which can overtake the last reply.
        self._connection.settimeout(_LINGER_S)
        with suppress(OSError):
            while self._connection.recv():
                pass

    def answer(self, reply: Reply) -> None:
        """Queue a reply; enhanced codes are left out where the extension is off or nobody has greeted."""
        if "ENHANCEDSTATUSCODES" not in self._mailbox.extensions:
            reply = Reply(reply.code, tuple(_ENHANCED.sub("", line, count=1) for line in reply.lines))
        data = reply.format()
        self._out += data
        self._mailbox.note(*(f"S: {line}" for line in data.decode("ascii").splitlines()))

    def flush(self) -> None:
        """Send what is queued."""
        if self._out:
            data = bytes(self._out)
            self._out.clear()
            self._connection.sendall(data)

    def _more(self) -> None:
        self.flush()
        data = self._connection.recv()
        if not data:
            raise _Closed
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

    def _one_command(self) -> None:
        # AUTH may bring its first response on its own line, so the longer limit is the reader's.
        line = self._line(MAX_AUTH_BYTES)
        if line is None or (len(line) > MAX_COMMAND_BYTES - 2 and line[:5].upper() != b"AUTH "):
            self._mailbox.note("C: (a line too long, or without CRLF)")
            return self._bad(Reply(500, ("5.5.2 line too long, or not ended by CRLF",)))
        try:
            command = parse_command(line)
        except ProtocolError as exc:
            self._mailbox.note("C: (not a command)")
            return self._bad(Reply(500, (f"5.5.2 {exc}",)))
        verb, argument = command.verb, command.argument
        # "AUTH mechanism response": the response is a secret
        shown = argument if verb != "AUTH" or " " not in argument else argument.partition(" ")[0] + " ****"
        self._mailbox.note(f"C: {verb} {shown}".rstrip())
        perform = _VERBS.get(verb)
        if perform is None:
            return self._bad(Reply(500, ("5.5.2 command not recognised",)))
        chunk = self._chunk(argument) if verb == "BDAT" else b""
        wanted = self._mailbox.reply_to(verb, _asked(verb, argument))
        if wanted is not None and not wanted.is_positive and not wanted.is_intermediate:
            if verb == "BDAT" and self._transaction is not None:
                self._transaction.is_broken = True
            reply = wanted
        else:
            reply = self._bdat(argument, chunk) if verb == "BDAT" else perform(self, argument)
            reply = wanted if wanted is not None and wanted.code // 100 == reply.code // 100 else reply
        self.answer(reply)
        if reply.code == 421 or verb == "QUIT":
            raise _Closed
        if verb == "DATA" and reply.is_intermediate:
            self._read_data()
        elif verb == "STARTTLS" and reply.is_positive:
            self._start_tls()
        return None

    def _bad(self, reply: Reply) -> None:
        self._bad_commands += 1
        if self._bad_commands > MAX_BAD_COMMANDS:
            self.answer(Reply(421, ("4.7.0 too many bad commands",)))
            raise _Closed
        self.answer(reply)

    # ---- Session ----

    def _ehlo(self, argument: str) -> Reply:
        if not argument or " " in argument:
            return Reply(501, ("5.5.4 one host name or address literal is needed",))
        self._helo_name, self._transaction = argument, None
        mailbox = self._mailbox
        words = [f"SIZE {mailbox.max_size}" if word == "SIZE" else word for word in mailbox.extensions]
        if mailbox.tls is not None and not self._connection.is_tls:
            words.append("STARTTLS")
        if self._offers_auth:
            words.append("AUTH PLAIN LOGIN")
        return Reply(250, (mailbox.hostname, *words))

    def _helo(self, argument: str) -> Reply:
        reply = self._ehlo(argument)
        return Reply(250, (self._mailbox.hostname,)) if reply.is_positive else reply

    def _starttls(self, argument: str) -> Reply:
        if self._mailbox.tls is None:
            return Reply(502, ("5.5.1 TLS is not available",))
        if argument:
            return Reply(501, ("5.5.4 STARTTLS takes no argument",))
        if self._connection.is_tls:
            return Reply(503, ("5.5.1 TLS is on",))
        if self._buffer:
            # What came behind STARTTLS in clear must never count as sent under TLS (CVE-2011-0411).
            self.answer(Reply(554, ("5.5.1 nothing may be pipelined behind STARTTLS",)))
            raise _Closed
        return Reply(220, ("2.0.0 go ahead",))

    def _start_tls(self) -> None:
        self.flush()
        assert self._mailbox.tls is not None  # noqa: S101 - _starttls has looked
        self._connection.start_tls(self._mailbox.tls)
        # "The server MUST discard any knowledge obtained from the client" (RFC 3207 section 4.2)
        self._helo_name = self._user = self._transaction = None

    def _rset(self, argument: str) -> Reply:
        if argument:
            return Reply(501, ("5.5.4 RSET takes no argument",))
        self._transaction = None
        return Reply(250, ("2.0.0 ok",))

    def _noop(self, _: str) -> Reply:
        return Reply(250, ("2.0.0 ok",))

    def _quit(self, _: str) -> Reply:
        return Reply(221, ("2.0.0 bye",))

    def _vrfy(self, _: str) -> Reply:
        return Reply(252, ("2.5.0 send a mail and see",))

    def _help(self, _: str) -> Reply:
        return Reply(214, ("2.0.0 a mailbox for development: everything is taken, nothing is delivered",))

    def _expn(self, _: str) -> Reply:
        return Reply(502, ("5.5.1 not implemented",))

    # ---- AUTH (RFC 4954) ----

    @property
    def _offers_auth(self) -> bool:
        return self._mailbox.users is not None and (self._connection.is_tls or self._mailbox.tls is None)

    def _auth(self, argument: str) -> Reply:
        mechanism, _, initial = argument.partition(" ")
        if self._mailbox.users is None:
            return Reply(502, ("5.5.1 authentication is not available",))
        if self._helo_name is None or self._user is not None or self._transaction is not None:
            return Reply(503, ("5.5.1 not now",))
        if not self._offers_auth:
            return Reply(538, ("5.7.11 TLS first",))
        if mechanism.upper() not in ("PLAIN", "LOGIN"):
            return Reply(504, ("5.5.4 unknown mechanism",))
        try:
            first = initial.encode("ascii") if initial else None
            if mechanism.upper() == "PLAIN":
                _, name, password = self._response(b"", first).split(b"\0")
            else:
                name = self._response(b"Username:", first)
                password = self._response(b"Password:", None)
        except ValueError:  # cancelled, no base64, or not in three parts
            return Reply(501, ("5.5.2 cancelled or malformed response",))
        user = name.decode("utf-8", "replace")
        known = self._mailbox.users.get(user)
        if known is None or not hmac.compare_digest(known.encode("utf-8"), password):
            return Reply(535, ("5.7.8 wrong user name or password",))
        self._user = user
        return Reply(235, ("2.7.0 welcome",))

    def _response(self, prompt: bytes, given: bytes | None) -> bytes:
        """Return the client's response: the one given with the command, or the answer to prompt; else ValueError."""
        if given is None:
            self.answer(Reply(334, (base64.b64encode(prompt).decode("ascii"),)))
            given = self._line(MAX_AUTH_BYTES)
            self._mailbox.note("C: ****")
            if given is None:
                raise ValueError("no line")
        elif given == b"=":
            return b""
        try:
            return base64.b64decode(given, validate=True)
        except binascii.Error as exc:
            raise ValueError("no base64") from exc

    # ---- Transaction ----

    def _mail(self, argument: str) -> Reply:
        mailbox = self._mailbox
        if self._helo_name is None or self._transaction is not None:
            return Reply(503, ("5.5.1 EHLO first, and one transaction at a time",))
        if mailbox.users is not None and self._user is None:
            return Reply(530, ("5.7.0 authentication required",))
        try:
            sender, parameters = parse_path(argument, "FROM:")
        except ProtocolError as exc:
            return Reply(501, (f"5.5.4 {exc}",))
        if refusal := self._refused_parameters(parameters, _MAIL_PARAMETERS):
            return refusal
        if sender is not None and not sender.isascii() and "SMTPUTF8" not in parameters:
            return Reply(553, ("5.6.7 not ASCII without SMTPUTF8",))
        if "SIZE" in parameters:
            if not re.fullmatch(r"[0-9]{1,20}", parameters["SIZE"] or ""):
                return Reply(501, ("5.5.4 SIZE is no number",))
            if 0 < mailbox.max_size < int(parameters["SIZE"] or ""):
                return self._too_big()
        bodies = {"7BIT", "8BITMIME"} | ({"BINARYMIME"} & set(mailbox.extensions))
        if "BODY" in parameters and (parameters["BODY"] or "").upper() not in bodies:
            return Reply(501, ("5.5.4 unknown BODY",))
        self._transaction = _Transaction(sender, parameters)
        return Reply(250, ("2.1.0 ok",))

    def _rcpt(self, argument: str) -> Reply:
        transaction = self._transaction
        if transaction is None or transaction.chunks is not None:
            return Reply(503, ("5.5.1 MAIL first",))
        try:
            recipient, parameters = parse_path(argument, "TO:")
        except ProtocolError as exc:
            return Reply(501, (f"5.5.4 {exc}",))
        if recipient is None:
            return Reply(501, ("5.1.3 nobody's address",))
        if refusal := self._refused_parameters(parameters, _RCPT_PARAMETERS):
            return refusal
        if not recipient.isascii() and "SMTPUTF8" not in transaction.parameters:
            return Reply(553, ("5.6.7 not ASCII without SMTPUTF8",))
        if len(transaction.recipients) >= MAX_RECIPIENTS:
            return Reply(452, ("4.5.3 too many recipients",))
        transaction.recipients.append(recipient)
        transaction.recipient_parameters.append(parameters)
        return Reply(250, ("2.1.5 ok",))

    def _refused_parameters(self, given: Collection[str], known: Mapping[str, str]) -> Reply | None:
        for keyword in given:
            extension = known.get(keyword)
            if extension is None or not (
                extension in self._mailbox.extensions or (extension == "AUTH" and self._mailbox.users is not None)
            ):
                return Reply(555, (f"5.5.4 parameter {keyword} is not offered",))
        return None

    def _data(self, argument: str) -> Reply:
        if argument:
            return Reply(501, ("5.5.4 DATA takes no argument",))
        if self._transaction is None or self._transaction.chunks is not None or self._transaction.is_broken:
            return Reply(503, ("5.5.1 not now",))
        if not self._transaction.recipients:
            return Reply(554, ("5.5.1 no valid recipients",))
        if (self._transaction.parameters.get("BODY") or "").upper() == "BINARYMIME":
            return Reply(503, ("5.5.1 BINARYMIME goes by BDAT",))
        return Reply(354, ("go ahead; CRLF.CRLF ends it",))

    def _read_data(self) -> None:
        max_size = self._mailbox.max_size
        decoder = DataDecoder(limit=2 * max_size if max_size else None)  # at most twice as long with dots doubled
        decoder.feed(self._taken(len(self._buffer)))
        while not decoder.is_done:
            self._more()
            decoder.feed(self._taken(len(self._buffer)))
        self._buffer += decoder.rest
        content = decoder.content or b""
        self._mailbox.note(f"C: ({len(content)} octets of mail)")
        if decoder.is_oversized or 0 < max_size < len(content):
            self._transaction = None
            reply = self._too_big()
        else:
            reply = self._settled(content)
        self.answer(reply)
        if reply.code == 421:
            raise _Closed

    def _settled(self, content: bytes) -> Reply:
        """End the transaction with the whole content in hand, and return the reply to it."""
        transaction, self._transaction = self._transaction, None
        assert transaction is not None  # noqa: S101 - only called within one
        wanted = self._mailbox.reply_to(".", "")
        if wanted is not None and not wanted.is_positive:
            return wanted
        self._mailbox.keep(
            ReceivedMail(
                sender=transaction.sender,
                recipients=tuple(transaction.recipients),
                content=content,
                parameters=transaction.parameters,
                recipient_parameters=tuple(transaction.recipient_parameters),
                helo_name=self._helo_name or "",
                is_tls=self._connection.is_tls,
                user=self._user,
            )
        )
        return wanted or Reply(250, (f"2.0.0 taken, {len(content)} octets",))

    def _too_big(self) -> Reply:
        return Reply(552, (f"5.3.4 too big: {self._mailbox.max_size} octets are allowed",))

    # ---- BDAT (RFC 3030) ----

    def _chunk(self, argument: str) -> bytes:
        """Read the octets that follow a BDAT command, wanted or not; return them if they can be used."""
        match = _BDAT.fullmatch(argument)
        size = int(match[1]) if match else 0
        transaction, max_size = self._transaction, self._mailbox.max_size
        held = len(transaction.chunks or b"") if transaction else 0
        is_kept = transaction is not None and not transaction.is_broken and not 0 < max_size < held + size
        chunk, missing = bytearray(), size
        while missing:
            if not self._buffer:
                self._more()
            piece = self._taken(min(missing, len(self._buffer)))
            missing -= len(piece)
            if is_kept:
                chunk += piece
        if match:
            self._mailbox.note(f"C: ({size} octets of mail)")
        return bytes(chunk)

    def _bdat(self, argument: str, chunk: bytes = b"") -> Reply:
        match, transaction = _BDAT.fullmatch(argument), self._transaction
        if "CHUNKING" not in self._mailbox.extensions:
            return Reply(502, ("5.5.1 CHUNKING is not offered",))
        if match is None:
            if transaction is not None:
                transaction.is_broken = True
            return Reply(501, ("5.5.4 BDAT size [LAST]",))
        if transaction is None or transaction.is_broken:
            return Reply(503, ("5.5.1 no transaction",))
        if not transaction.recipients:
            transaction.is_broken = True
            return Reply(554, ("5.5.1 no valid recipients",))
        if len(chunk) != int(match[1]):  # it was skipped for its size
            transaction.is_broken = True
            return self._too_big()
        if transaction.chunks is None:
            transaction.chunks = bytearray()
        transaction.chunks += chunk
        if match[2]:
            return self._settled(bytes(transaction.chunks))
        return Reply(250, (f"2.0.0 {match[1]} octets",))


_BDAT = re.compile(r"([0-9]{1,18})( +LAST)?", re.IGNORECASE)
_MAIL_PARAMETERS = {
    "SIZE": "SIZE",
    "BODY": "8BITMIME",
    "SMTPUTF8": "SMTPUTF8",
    "AUTH": "AUTH",
    "RET": "DSN",
    "ENVID": "DSN",
}
_RCPT_PARAMETERS = {"NOTIFY": "DSN", "ORCPT": "DSN"}
_VERBS: Mapping[str, Callable[[Session, str], Reply]] = {
    "EHLO": Session._ehlo,
    "HELO": Session._helo,
    "STARTTLS": Session._starttls,
    "AUTH": Session._auth,
    "MAIL": Session._mail,
    "RCPT": Session._rcpt,
    "DATA": Session._data,
    "BDAT": Session._bdat,
    "RSET": Session._rset,
    "NOOP": Session._noop,
    "QUIT": Session._quit,
    "VRFY": Session._vrfy,
    "EXPN": Session._expn,
    "HELP": Session._help,
}


def _asked(verb: str, argument: str) -> str:
    """Return the argument as `Replies` sees it: the plain address of MAIL and RCPT, no secret of AUTH."""
    if verb == "AUTH":
        return argument.partition(" ")[0]
    if verb not in ("MAIL", "RCPT"):
        return argument
    try:
        return parse_path(argument, "FROM:" if verb == "MAIL" else "TO:")[0] or ""
    except ProtocolError:
        return argument
