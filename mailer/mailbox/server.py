"""The embedded SMTP server: what it keeps, and how it is set up. The dialogue stands in `session.py`."""

from __future__ import annotations

import re
import ssl
import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence

from ..errors import DeadlineExceeded
from ..smtp.reply import Reply
from .dialogue import Asked
from .listener import Connection, Server
from .received import ReceivedMail
from .sasl import Accounts
from .session import Session

__all__ = ["EXTENSIONS", "Mailbox", "ReceivedMail", "Replies", "glob"]

EXTENSIONS = ("SIZE", "8BITMIME", "SMTPUTF8", "PIPELINING", "ENHANCEDSTATUSCODES", "DSN", "CHUNKING")
"""What a Mailbox offers by itself. "BINARYMIME" can be added; STARTTLS and AUTH follow from tls and users."""

IDLE_S = 300.0
MAX_RECIPIENTS = 1000
_DIALOGUE_LINES = 100_000

Replies = Callable[[str, str], Reply | None] | Mapping[str, Reply]
"""What to answer instead of the server's own reply.

A callable gets verb and argument, and returns None to leave the reply alone. A mapping's keys are verbs or "VERB
argument", ``*`` standing for any text ("RCPT *@gone.test"); the first that fits is taken. The argument of MAIL and RCPT
is the plain address. Two more verbs: "CONNECT" for the greeting and "." for the end of the mail. A 4xx or 5xx keeps
the command from having an effect, 421 (and 5xx to CONNECT) ends the connection; a 2xx only changes the words.
"""


def glob(pattern: str) -> re.Pattern[str]:
    """Compile a pattern in which ``*`` stands for any text, in any case."""
    return re.compile(".*".join(map(re.escape, pattern.split("*"))), re.IGNORECASE | re.DOTALL)


class Mailbox(Server):
    """An SMTP server on a loopback port that keeps every mail in memory; a context manager.

    Args:
        hostname: What it calls itself.
        host: Address to bind.
        port: Port to bind; 0 takes a free one.
        extensions: What to offer (see `EXTENSIONS`).
        max_size: Octets in a mail, announced and enforced if SIZE is among the extensions; 0 is no limit.
        tls: The server's context: STARTTLS is offered, or, with implicit_tls, every connection begins with TLS.
        implicit_tls: See tls.
        users: Names and passwords; given, AUTH PLAIN and LOGIN are offered (after TLS if there is tls) and required.
        replies: What to answer otherwise (see `Replies`).
        keep: How many mails are kept, the oldest are dropped; None keeps all.
    """

    def __init__(
        self,
        *,
        hostname: str = "mailbox.invalid",
        host: str = "127.0.0.1",
        port: int = 0,
        extensions: Collection[str] = EXTENSIONS,
        max_size: int = 32 * 1024 * 1024,
        tls: ssl.SSLContext | None = None,
        implicit_tls: bool = False,
        users: Mapping[str, str] | None = None,
        replies: Replies | None = None,
        keep: int | None = None,
    ) -> None:
        if implicit_tls and tls is None:
            raise ValueError("implicit_tls needs tls, the server's context")
        super().__init__(host, port)
        self.hostname = hostname
        self.extensions = tuple(word.upper() for word in extensions)
        self.max_size = max_size if "SIZE" in self.extensions else 0
        self.tls = tls
        self.implicit_tls = implicit_tls
        self.users = users
        self.lmtp = False
        self.max_recipients = MAX_RECIPIENTS
        self._replies = replies
        self._changed = threading.Condition()
        self._mails: deque[ReceivedMail] = deque(maxlen=keep)
        self._dialogue: deque[str] = deque(maxlen=_DIALOGUE_LINES)

    # ---- What came ----

    @property
    def mails(self) -> list[ReceivedMail]:
        """The mails so far, in order of arrival; a copy."""
        with self._changed:
            return list(self._mails)

    @property
    def dialogue(self) -> list[str]:
        """All lines of all connections, "S: ..." and "C: ..."; credentials masked, a mail shown by its size."""
        with self._changed:
            return list(self._dialogue)

    def wait_for(self, count: int, timeout_s: float = 5.0) -> list[ReceivedMail]:
        """Return the mails as soon as there are count; DeadlineExceeded if that does not come in time."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._mails) >= count, timeout_s):
                raise DeadlineExceeded(f"{len(self._mails)} of {count} mails after {timeout_s} seconds")
            return list(self._mails)

    def clear(self) -> None:
        """Forget mails and dialogue."""
        with self._changed:
            self._mails.clear()
            self._dialogue.clear()

    @property
    def url(self) -> str:
        """The backend URL of this server, without credentials."""
        if self.implicit_tls:
            return f"smtps://{self.authority}"
        return f"smtp://{self.authority}?tls={'none' if self.tls is None else 'required'}"

    # ---- For the sessions ----

    @property
    def has_accounts(self) -> bool:
        """Whether there is anybody who can log in; then everybody has to."""
        return self.users is not None

    def mechanisms_for(self, connection: Connection) -> Sequence[str]:
        """The SASL mechanisms to offer on a connection."""
        return ("PLAIN", "LOGIN")

    def accounts_for(self, connection: Connection) -> Accounts:
        """Who can log in on a connection."""
        return Accounts(self.users or {}, hostname=self.hostname)

    def offers(self, *, is_tls: bool, user: str | None) -> Collection[str]:
        """What EHLO offers to a client, besides STARTTLS and AUTH."""
        return self.extensions

    def wanted(self, asked: Asked) -> Reply | None:
        """Return what the user of the mailbox wants answered, None for the usual."""
        for verb, argument in asked:
            if (reply := self._reply_to(verb, argument)) is not None:
                return reply
        return None

    def _reply_to(self, verb: str, argument: str) -> Reply | None:
        if self._replies is None or callable(self._replies):
            return self._replies and self._replies(verb, argument)
        for key, reply in self._replies.items():
            pattern = glob(key)
            if pattern.fullmatch(verb) or pattern.fullmatch(f"{verb} {argument}"):
                return reply
        return None

    def keep(self, mail: ReceivedMail) -> None:
        """Take a mail in."""
        with self._changed:
            self._mails.append(mail)
            self._changed.notify_all()

    def note(self, *lines: str) -> None:
        """Add lines to the dialogue."""
        with self._changed:
            self._dialogue.extend(lines)

    def _serve(self, connection: Connection) -> None:
        connection.settimeout(IDLE_S)
        Session(self, connection).run()
