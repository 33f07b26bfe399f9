"""Rules of a test server: what it does otherwise than a correct server would, where, and how often."""

from __future__ import annotations

import difflib
import re
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from ..mailbox.dialogue import Asked
from ..mailbox.server import glob
from ..smtp.reply import Reply

__all__ = ["MOMENTS", "Drop", "Fault", "Rule", "Rules", "SmtpCommand"]

#: Where a rule can stand: a verb, or what is none.
MOMENTS = {
    "CONNECT": "the greeting",
    "TLS": "the handshake, of STARTTLS or implicit TLS",
    "AUTH": "the command, and each further response of the client",
    ".": "the end of the mail, by DATA or BDAT; in LMTP once for each recipient, who is the argument",
    "*": "everything that is answered, the handshake not",
} | dict.fromkeys("EHLO HELO LHLO STARTTLS MAIL RCPT DATA BDAT RSET NOOP QUIT VRFY EXPN HELP".split(), "the command")


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpCommand:
    """What the server is about to answer.

    Attributes:
        verb: One of `MOMENTS`, or a verb that no server knows; "." for a BDAT that is the last.
        argument: What a rule's pattern is held against: the plain address for MAIL and RCPT ("" is the null one), the
            mechanism for AUTH, else what followed the verb.
        line: The client's line without CRLF; for AUTH with the response.
        usual: What a correct server answers.
        connection: Counted from 0.
        helo_name: What the client called itself; "" before EHLO.
        is_tls: Under TLS.
        user: Who is logged in.
        sender: Of the transaction, with this command carried out; None for the null one, and outside of one.
        recipients: Accepted in the transaction, with this command carried out.
        content: The mail, at its end; b"" before.
        time: Of the server's clock.
    """

    verb: str
    argument: str
    line: bytes = field(repr=False)
    usual: Reply
    connection: int
    helo_name: str
    is_tls: bool
    user: str | None
    sender: str | None
    recipients: tuple[str, ...]
    content: bytes = field(repr=False)
    time: float


#: What can be answered: a line or lines of text (the line end is added), exact octets, a `Reply`, pieces of octets
#: (which may never end), or None: what the server answers by itself.
Said = str | bytes | Reply | Iterable[bytes] | None
Saying = Said | Callable[[SmtpCommand], Said]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """The end of a connection.

    Attributes:
        after: Octets to write first, counted from the start of the reply; None: where the reply ends.
        read: Octets to read first, counted from the end of the command; None: none.
        reset: By RST rather than by FIN.
        saying: Last words.
    """

    after: int | None = None
    read: int | None = None
    reset: bool = False
    saying: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What the rules that apply to one command come to."""

    has_reply: bool = False
    said: Said = None
    delay_s: float = 0.0
    drip_s: float | None = None
    drop: Drop | None = None
    hold: bool = False
    half_close: bool = False


class Rule:
    """Where it applies, and what then happens; made by `SmtpServer.on`. Each method returns the rule itself."""

    def __init__(self, verb: str, argument: str | re.Pattern[str] = "*") -> None:
        verb = verb.upper()
        if verb not in MOMENTS and (near := difflib.get_close_matches(verb, MOMENTS, 1)):
            raise ValueError(f"there is no {verb!r} to be answered; did you mean {near[0]!r}?")
        self._verb = verb
        self._argument = glob(argument) if isinstance(argument, str) else argument
        self._predicates: list[Callable[[SmtpCommand], bool]] = []
        self._skip = 0
        self._times: int | None = None
        self._seen = 0
        self._replies: tuple[Saying, ...] = ()
        self._does: dict[str, Any] = {}  # fields of Fault
        self.count = 0
        """How often it has applied."""

    # ---- What happens ----

    def reply(self, reply: Saying, *further: Saying) -> Self:
        """Answer this. Several are given in turn, and the last stays.

        The command has its effect where the reply is of the same class (2xx, 3xx ...) as the server's own.

        Args:
            reply, further: ``"550 5.1.1 no such user"``, ``"250-a\\n250 b"``, ``b"250 ok\\n"`` as it is, a `Reply`, an
                iterable of bytes, None for the server's own; or a function of the `SmtpCommand` that gives one.

        Raises:
            ValueError: One of them is none of these.
        """
        self._replies = tuple(said if callable(said) else _checked(said) for said in (reply, *further))
        return self

    def delay(self, seconds: float) -> Self:
        """Wait before answering."""
        self._does["delay_s"] = _at_least_0("seconds", seconds)
        return self

    def drip(self, seconds: float) -> Self:
        """Send the reply octet by octet, with so many seconds before each; 0 only cuts it up."""
        self._does["drip_s"] = _at_least_0("seconds", seconds)
        return self

    def drop(
        self,
        *,
        after: int | None = None,
        read: int | None = None,
        reset: bool = False,
        saying: str | bytes = b"",
    ) -> Self:
        """End the connection: instead of the reply, or, if the rule has one, after it.

        The command has had its effect: a mail whose "." is answered by a drop is among the server's mails.

        Args:
            after: Not before so many octets of the reply, and of all that follows it, are written.
            read: Not before so many octets that follow the command are read: of the mail, for DATA.
            reset: By RST. Else by FIN; what the client still sends is then read and recorded.
            saying: Said last of all: ``"552 5.3.4 too big"``.
        """
        for name, number in (("after", after), ("read", read)):
            _at_least_0(name, number or 0)
        last_words = octets_of(saying) if saying else b""
        self._does["drop"] = Drop(after=after, read=read, reset=reset, saying=last_words)
        return self

    def hold(self) -> Self:
        """Say nothing more, instead of the reply or after it, until the client goes."""
        self._does["hold"] = True
        return self

    def half_close(self) -> Self:
        """End the server's direction after the reply (FIN), and read on as if nothing were."""
        self._does["half_close"] = True
        return self

    # ---- Where ----

    def times(self, count: int) -> Self:
        """Only so often; afterwards the rule is none."""
        self._times = int(_at_least_0("count", count))
        return self

    def skip(self, count: int) -> Self:
        """Not for the first count commands that fit."""
        self._skip = int(_at_least_0("count", count))
        return self

    def where(self, predicate: Callable[[SmtpCommand], bool]) -> Self:
        """Only for commands of which predicate says so."""
        self._predicates.append(predicate)
        return self

    # ---- For the server ----

    def fits(self, asked: Asked) -> bool:
        """Whether verb and argument fit."""
        return any(
            (self._verb == verb or (self._verb == "*" and verb != "TLS"))
            and self._argument.fullmatch(argument) is not None
            for verb, argument in asked
        )

    def applies(self, command: SmtpCommand) -> bool:
        """Whether it applies to a command that fits; counts the command."""
        if not all(predicate(command) for predicate in self._predicates):
            return False
        self._seen += 1
        return self._seen > self._skip and (self._times is None or self.count < self._times)

    def take(self, found: dict[str, Any]) -> None:
        """Add to what other rules do (fields of `Fault`) what this one does, where it does not answer for them."""
        mine = dict(self._does)
        if self._replies:
            mine["said"] = self._replies[min(self.count, len(self._replies) - 1)]
        is_answered = any(name in found for name in _ANSWERS)
        new = {
            name: value for name, value in mine.items() if name not in found and not (is_answered and name in _ANSWERS)
        }
        found.update(new)
        self.count += bool(new)


# The fields of Fault that belong together: they are one rule's, whole.
_ANSWERS = ("said", "drop", "hold", "half_close")


class Rules:
    """All rules of a server. Safe to be asked by several connections at once."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []
        self._lock = threading.Lock()

    def add(self, rule: Rule) -> Rule:
        """Take one in, after the others."""
        self._rules.append(rule)
        return rule

    def clear(self) -> None:
        """Forget all."""
        self._rules.clear()

    def fitting(self, asked: Asked) -> Sequence[Rule]:
        """The rules that may have something to say."""
        return [rule for rule in list(self._rules) if rule.fits(asked)]

    def fault(self, rules: Sequence[Rule], command: SmtpCommand) -> Fault:
        """What these rules come to: the first that answers (reply, drop ...), and delay and drip of any."""
        found: dict[str, Any] = {}
        with self._lock:
            for rule in rules:
                if rule.applies(command):
                    rule.take(found)
        said = found.get("said")
        if callable(said):
            found["said"] = _checked(said(command))
        return Fault(**found, has_reply="said" in found)


def reply_of(said: str | bytes | Iterable[bytes]) -> Reply:
    """The reply that a client can make of it; 500 if that is none (or never ends)."""
    if isinstance(said, (str, bytes)) and (match := _REPLY.match(octets_of(said))):
        return Reply(int(match[1]), ("",))
    return Reply(500, ("no reply",))


def octets_of(said: str | bytes) -> bytes:
    """Text as lines, each with its CRLF; octets as they are."""
    if isinstance(said, bytes):
        return said
    return "".join(f"{line}\r\n" for line in said.split("\n")).encode("utf-8")


# Of several lines it is the last that counts; what stands behind the end of a reply is something else.
_REPLY = re.compile(rb"(?:[2-5][0-9]{2}-[^\n]*\n)*([2-5][0-9]{2})(?![0-9-])")


def _checked(said: Said) -> Said:
    if said is not None and not isinstance(said, (str, bytes, Reply, Iterable)):
        raise ValueError(f'{said!r} is no reply: give its whole text, such as "550 5.1.1 no such user"')
    return said


def _at_least_0(name: str, number: float) -> float:
    if not number >= 0:  # NaN compares false
        raise ValueError(f"{name} must be 0 or more, not {number!r}")
    return number
