"""The embedded SMTP server: what it keeps, and how it is set up. The dialogue stands in `session.py`."""

from __future__ import annotations

import re
import ssl
import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping
from types import TracebackType
from typing import Self

from ..errors import DeadlineExceeded
from ..smtp.reply import Reply
from .listener import Connection, Listener
from .session import ReceivedMail, Session

__all__ = ["EXTENSIONS", "Mailbox", "ReceivedMail", "Replies"]

EXTENSIONS = ("SIZE", "8BITMIME", "SMTPUTF8", "PIPELINING", "ENHANCEDSTATUSCODES", "DSN", "CHUNKING")
"""What a Mailbox offers by itself. "BINARYMIME" can be added; STARTTLS and AUTH follow from tls and users."""

IDLE_S = 300.0
_DIALOGUE_LINES = 100_000

Replies = Callable[[str, str], Reply | None] | Mapping[str, Reply]
"""What to answer instead of the server's own reply.

A callable gets verb and argument, and returns None to leave the reply alone. A mapping's keys are verbs or "VERB
argument", ``*`` standing for any text ("RCPT *@gone.test"); the first that fits is taken. The argument of MAIL and RCPT
is the plain address. Two more verbs: "CONNECT" for the greeting and "." for the end of the mail. A 4xx or 5xx keeps
the command from having an effect, 421 (and 5xx to CONNECT) ends the connection; a 2xx only changes the words.
"""


class Mailbox:
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
        self.hostname = hostname
        self.extensions = tuple(word.upper() for word in extensions)
        self.max_size = max_size if "SIZE" in self.extensions else 0
        self.tls = tls
        self.implicit_tls = implicit_tls
        self.users = users
        self._replies = replies
        self._changed = threading.Condition()
        self._mails: deque[ReceivedMail] = deque(maxlen=keep)
        self._dialogue: deque[str] = deque(maxlen=_DIALOGUE_LINES)
        self._listener = Listener(self._serve, host, port)

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

    # ---- Life ----

    @property
    def host(self) -> str:
        """The address it listens on."""
        return self._listener.host

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._listener.port

    @property
    def url(self) -> str:
        """The backend URL of this server, without credentials."""
        at = f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
        if self.implicit_tls:
            return f"smtps://{at}"
        return f"smtp://{at}?tls={'none' if self.tls is None else 'required'}"

    def start(self) -> Self:
        """Listen, and return self; OSError if the address cannot be bound."""
        self._listener.start()
        return self

    def stop(self) -> None:
        """End all connections and threads. What was received stays. Idempotent."""
        self._listener.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    # ---- For the sessions ----

    def reply_to(self, verb: str, argument: str) -> Reply | None:
        """Return what the user of the mailbox wants answered, None for the usual."""
        if self._replies is None or callable(self._replies):
            return self._replies and self._replies(verb, argument)
        for key, reply in self._replies.items():
            pattern = ".*".join(re.escape(part) for part in key.split("*"))
            if re.fullmatch(pattern, verb) or re.fullmatch(pattern, f"{verb} {argument}", re.IGNORECASE):
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
        if self.implicit_tls and self.tls is not None:
            connection.start_tls(self.tls)
        session = Session(self, connection)
        try:
            session.run()
        except TimeoutError:
            session.answer(Reply(421, ("4.4.2 idle for too long",)))
            session.flush()
