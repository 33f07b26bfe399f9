"""An SMTP and LMTP server for tests: it answers as a correct server does, with faults laid over it.

Where a whole dialogue is to be played word by word, right or wrong, that is `ScriptedServer`.
"""

from __future__ import annotations

import os
import re
import ssl
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self
from urllib.parse import quote, urlencode

from ..errors import ConfigError
from ..mailbox.listener import Connection
from ..mailbox.sasl import MECHANISMS, Accounts, mechanisms_for
from ..mailbox.server import EXTENSIONS, IDLE_S, MAX_RECIPIENTS, Mailbox
from .faulty import FaultySession, SessionRecord
from .rules import Rule, Rules

if TYPE_CHECKING:
    from .certificates import Authority, Identity

__all__ = ["SmtpServer"]

#: Not CHUNKING: by it the mail goes in one write with its envelope, so that a rule for DATA never meets one, and a drop
#: at MAIL leaves the mail UNKNOWN. Where that is to be tested it is asked for.
_OFFERED = tuple(word for word in EXTENSIONS if word != "CHUNKING")


class SmtpServer(Mailbox):
    """A correct server on a loopback port until a rule says otherwise; a context manager, plain and async.

    ::

        with SmtpServer(tls=True, users={"ann": "secret"}) as server:
            server.on("RCPT", "bob@*").reply("550 5.1.1 no such user")
            server.on(".").times(1).reply("451 4.3.0 try again")
            with Mailer(server.url) as mailer:
                ...
        assert server.mails[0].recipients == ("ann@example.org",)

    Args:
        hostname: What it calls itself.
        host: Address to bind; a path ("/tmp/lmtp") is a Unix socket's.
        port: Port to bind; 0 takes a free one.
        lmtp: Speak LMTP: LHLO, and a reply for each recipient after the mail.
        extensions: What EHLO offers, word by word ("SIZE" gets max_size); STARTTLS and AUTH follow from tls and users,
            unless they stand here. By default SIZE, 8BITMIME, SMTPUTF8, PIPELINING, ENHANCEDSTATUSCODES and DSN, so
            that mails come by DATA; "CHUNKING" and "BINARYMIME" can be added.
        extensions_before_tls: The same before TLS, if other.
        extensions_after_auth: The same once someone has logged in, if other.
        tls: True or the name of a fault (`mailer.testing.certificates.TLS_FAULTS`: "expired", "wrong_host",
            "self_signed" ...) makes a certificate, which needs the extra ``crypto``; or a server's context of your own.
        implicit_tls: TLS from the first octet, with a certificate as for ``tls=True`` if that says nothing; else by
            STARTTLS.
        users: Names and passwords. Given, or tokens, everybody has to log in.
        tokens: Names and OAuth 2 access tokens.
        mechanisms: What AUTH offers; None: all that fits users and tokens. () offers none.
        max_size: Octets in a mail; 0 is no limit.
        max_recipients: In a transaction; further ones get 452 4.5.3.
        max_messages: On a connection; then 421 to MAIL. None is no limit.
        max_connections: At once; more get 421 for a greeting. None is no limit.
        greylist_s: Defer (450 4.2.0) a sender's first mails to a recipient for so long. None does not.
        clock: Tells the time of records and of greylisting, in seconds.
        keep: How many mails are kept, the oldest are dropped; None keeps all.

    Attributes:
        rules: All that `on` made.
        errors: What functions given to rules have raised; the first is raised at the end of ``with``.
    """

    def __init__(
        self,
        *,
        hostname: str = "smtp.test",
        host: str = "127.0.0.1",
        port: int = 0,
        lmtp: bool = False,
        extensions: Collection[str] = _OFFERED,
        extensions_before_tls: Collection[str] | None = None,
        extensions_after_auth: Collection[str] | None = None,
        tls: bool | str | ssl.SSLContext | Identity | None = None,
        implicit_tls: bool = False,
        users: Mapping[str, str] | None = None,
        tokens: Mapping[str, str] | None = None,
        mechanisms: Sequence[str] | None = None,
        max_size: int = 32 * 1024 * 1024,
        max_recipients: int = MAX_RECIPIENTS,
        max_messages: int | None = None,
        max_connections: int | None = None,
        greylist_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        keep: int | None = None,
    ) -> None:
        tls = tls or implicit_tls
        context, self._end_point = _identity(tls)
        super().__init__(
            hostname=hostname,
            host=host,
            port=port,
            extensions=extensions,
            max_size=max_size,
            tls=context,
            implicit_tls=implicit_tls,
            users=users,
            keep=keep,
        )
        unknown = set(mechanisms or ()) - set(MECHANISMS)
        if unknown:
            raise ValueError(f"there is no mechanism {min(unknown)!r}; there are: {', '.join(MECHANISMS)}")
        self.lmtp = lmtp
        self.tokens = tokens
        self.max_recipients = max_recipients
        self.max_messages = max_messages
        self.max_connections = max_connections
        self.greylist_s = greylist_s
        self.clock = clock
        self.rules = Rules()
        self.errors: list[Exception] = []
        self._is_ours = bool(tls) and isinstance(tls, (bool, str))
        self._mechanisms = mechanisms
        self._before_tls = extensions_before_tls
        self._after_auth = extensions_after_auth
        self._records: list[SessionRecord] = []
        self._first_seen: dict[tuple[str, str | None, str], float] = {}
        self._ca_file: str | None = None

    # ---- What it is to do ----

    def on(self, verb: str, argument: str | re.Pattern[str] = "*") -> Rule:
        """Make a rule: what happens where this is asked.

        Of several rules that fit, the first one that answers (reply, drop, hold, half_close) does so; a delay or a drip
        can come from any of them.

        Args:
            verb: A verb, or one of `mailer.testing.rules.MOMENTS`: "CONNECT", "TLS", "." (the end of the mail), "*".
            argument: The address for MAIL and RCPT (for "." in LMTP too), the mechanism for AUTH, else what follows the
                verb; ``*`` stands for any text, in any case. Or a compiled regular expression, to match the whole.

        Raises:
            ValueError: The verb is nearly one of these.
        """
        return self.rules.add(Rule(verb, argument))

    # ---- What happened ----

    @property
    def sessions(self) -> list[SessionRecord]:
        """The connections so far, in the order of accepting."""
        return list(self._records)

    @property
    def commands(self) -> list[str]:
        """The command lines of all connections, one after the other, without CRLF; AUTH included."""
        return [line for record in self.sessions for line in list(record.commands)]

    def clear(self) -> None:
        """Forget mails, dialogue and sessions; rules stay (``server.rules.clear()``), and so does the greylist."""
        super().clear()
        self._records = []

    # ---- How to reach it ----

    @property
    def url(self) -> str:
        """The backend URL: with the first user's login, TLS required if there is any, and its authority trusted."""
        options: dict[str, str] = {}
        scheme = "lmtp" if self.lmtp else "smtps" if self.implicit_tls else "smtp"
        if not self.implicit_tls:
            options["tls"] = "none" if self.tls is None else "required"
        if self._ca_file:
            options["ca_file"] = self._ca_file
        login = ""
        if self.users:
            name, password = next(iter(self.users.items()))
            login = f"{quote(name, safe='')}:{quote(password, safe='')}@"
            if self.tls is None:
                options["auth_in_clear"] = "yes"
        if self.host.startswith("/"):
            return f"{scheme}://{quote(self.host)}"
        return f"{scheme}://{login}{self.authority}?{urlencode(options)}"

    @property
    def ca_file(self) -> str:
        """The path of the authority's certificate, PEM, while the server runs with TLS of its own making."""
        if self._ca_file is None:
            raise ConfigError("there is a ca_file only while the server runs, with tls=True or a TLS fault")
        return self._ca_file

    def client_context(self) -> ssl.SSLContext:
        """A context for another client (`smtplib`) that trusts the server's authority alone."""
        return _authority().client_context()

    # ---- Life ----

    def start(self) -> Self:
        """Listen, and return self; OSError if the address cannot be bound. Idempotent."""
        if self._is_ours and self._ca_file is None:
            descriptor, self._ca_file = tempfile.mkstemp(prefix="mailer-ca-", suffix=".pem")
            with os.fdopen(descriptor, "wb") as file:
                file.write(_authority().pem)
        return super().start()

    def stop(self) -> None:
        """End every connection and wait for the threads. What was received stays. Idempotent."""
        super().stop()
        if self._ca_file is not None:
            with suppress(OSError):
                os.unlink(self._ca_file)
            self._ca_file = None

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        super().__exit__(kind, exc, tb)
        if kind is None and self.errors:
            raise self.errors[0]

    # ---- For the sessions ----

    @property
    def has_accounts(self) -> bool:
        """Whether there is anybody who can log in; then everybody has to."""
        return self.users is not None or self.tokens is not None

    def accounts_for(self, connection: Connection) -> Accounts:
        """Who can log in on a connection; its nonce is the same in every run."""
        is_bound = connection.is_tls and self._end_point is not None
        if self._mechanisms is not None:
            is_bound = is_bound and any(name.endswith("-PLUS") for name in self._mechanisms)
        return Accounts(
            self.users or {},
            self.tokens or {},
            self.hostname,
            self._end_point if is_bound else None,
            f"nonce-{connection.number}",
        )

    def mechanisms_for(self, connection: Connection) -> Sequence[str]:
        """The SASL mechanisms to offer on a connection."""
        return mechanisms_for(self.accounts_for(connection)) if self._mechanisms is None else self._mechanisms

    def offers(self, *, is_tls: bool, user: str | None) -> Collection[str]:
        """What EHLO offers to a client, besides STARTTLS and AUTH."""
        if user is not None and self._after_auth is not None:
            return self._after_auth
        if not is_tls and self._before_tls is not None:
            return self._before_tls
        return self.extensions

    @property
    def is_full(self) -> bool:
        """More connections are open than may be."""
        live = sum(record.is_open for record in self.sessions)
        return self.max_connections is not None and live > self.max_connections

    def greylists(self, ip: str, sender: str | None, recipient: str) -> bool:
        """Whether a sender's mail to a recipient has to wait still."""
        if self.greylist_s is None:
            return False
        with self._changed:
            first = self._first_seen.setdefault((ip, sender, recipient), self.clock())
            return self.clock() - first < self.greylist_s

    def sleep(self, seconds: float) -> bool:
        """Wait; return whether the server still runs."""
        return not self._listener.stopping.wait(seconds)

    def _serve(self, connection: Connection) -> None:
        record = self._record(connection.number)
        connection.settimeout(IDLE_S)
        try:
            FaultySession(self, connection, record).run()
        finally:
            record.is_open = False

    def _record(self, number: int) -> SessionRecord:
        with self._changed:  # the threads of two connections may start in either order
            known = {record.number: record for record in self._records}
            record = known.setdefault(number, SessionRecord(number))
            self._records = [known[number] for number in sorted(known)]
            return record


def _authority() -> Authority:
    try:
        from .certificates import authority
    except ImportError as exc:
        raise ConfigError(
            "making certificates needs cryptography: pip install 'mailwright[crypto]', or give tls= a context"
        ) from exc
    return authority()


def _identity(tls: bool | str | ssl.SSLContext | Identity | None) -> tuple[ssl.SSLContext | None, bytes | None]:
    """The context, and its certificate's tls-server-end-point if that is known."""
    if tls is None or tls is False:
        return None, None
    if isinstance(tls, ssl.SSLContext):
        return tls, None
    identity = _authority().identity("good" if tls is True else tls) if isinstance(tls, (bool, str)) else tls
    return identity.context, identity.end_point
