"""SMTP to a smarthost: ``smtp://`` (STARTTLS), ``smtps://`` (TLS from the first byte); LMTP to a mail store: ``lmtp://``."""

from __future__ import annotations

import functools
import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from ..clock import utc_now
from ..errors import AuthError, ConfigError, MailerError, UnsupportedFeature
from ..features import Features
from ..mail import Mail
from ..proxy import Proxy
from ..receipt import Receipt, attempt_of
from ..smtp.auth import MECHANISMS
from ..smtp.endpoint import Endpoint, Timeouts
from ..smtp.fingerprint import fingerprints_from
from ..smtp.pool import Pool, PoolLimits
from ..smtp.presets import preset_of
from ..smtp.session import Session
from ..smtp.trace import Trace
from ..smtp.transaction import Transaction
from .base import Backend, Health
from .options import BackendURL, choice, flag, ip_addresses, seconds, text, whole

if TYPE_CHECKING:
    import ssl

    from ..oauth2.token import TokenSource
    from ..runtime import Runtime

__all__ = ["LIMIT_OPTIONS", "TIMEOUT_OPTIONS", "SmtpBackend", "smtp_from_url"]

_DEFAULT_PORT = {"smtp": 587, "smtps": 465, "lmtp": 24}
#: Mechanisms that prove the user by an OAuth 2 access token.
_BY_TOKEN = ("OAUTHBEARER", "XOAUTH2")
#: URL options and the fields that they set.
TIMEOUT_OPTIONS = {
    "timeout": "total_s",
    "connect_timeout": "connect_s",
    "command_timeout": "command_s",
    "final_timeout": "final_s",
    "greeting_timeout": "greeting_s",
    "ehlo_timeout": "ehlo_s",
    "tls_timeout": "tls_s",
    "auth_timeout": "auth_s",
    "mail_timeout": "mail_s",
    "rcpt_timeout": "rcpt_s",
    "data_timeout": "data_s",
    "block_timeout": "block_s",
}
LIMIT_OPTIONS = {
    "max_connections": "connections",
    "max_messages": "messages",
    "max_age": "age_s",
    "max_idle": "idle_s",
}
#: Mails that may be unanswered at once, and so UNKNOWN if the connection dies.
WINDOW = 16
#: Mails taken by one ``send_many``: at its end the connection is idle for a round trip, which is to count for little.
_BATCH = 100
#: New connections in a row that broke at their first mail, until the mails that are left are deferred with them.
_MAX_FAILURES = 3


class SmtpBackend(Backend):
    """Sends through one server and keeps the connection for the next mail.

    ``SmtpBackend(Endpoint(host="smtp.example.com", port=587, tls="required", username="u", password="..."))``

    Shared by threads and tasks, each send has a connection to itself, and leaves it to the next. A fork and another
    event loop begin anew.

    Args:
        endpoint: The server, and the terms of talking to it.
        url: How it prints itself, without secrets; "" makes one of the endpoint.
        limits: Of the connections that are kept.
        window: How many mails of one ``send_many`` may be unanswered at once, where the server offers PIPELINING and
            CHUNKING: so many are UNKNOWN if the connection dies.
        clock: Tells the time of day, with a time zone.
        transcript: Receipts and errors are to have what was said.
    """

    # What hangs on the server's extensions is settled when those are known, and noted on the receipt.
    batch_size = _BATCH
    features = Features(notify=True, require_tls=True, deliver_by=True, mt_priority=True, send_at=True)

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        url: str = "",
        limits: PoolLimits | None = None,
        window: int = WINDOW,
        clock: Callable[[], datetime] = utc_now,
        transcript: bool = False,
    ) -> None:
        self.transcript = transcript
        self.endpoint = endpoint
        scheme = "lmtp" if endpoint.is_lmtp else "smtps" if endpoint.implicit_tls else "smtp"
        self.url = url or f"{scheme}://{endpoint}?tls={endpoint.tls}"
        self._pool = Pool(self._connect, limits or PoolLimits())
        self._window = window
        self._clock = clock
        self._context: ssl.SSLContext | None = None
        self._tls_session: ssl.SSLSession | None = None
        if endpoint.ca_file is not None or endpoint.cert_file is not None:
            self._tls_context()  # what is wrong with a file is to be known now
        self._cut_short: dict[str, Receipt] = {}

    # --- access tokens ------------------------------------------------------------------------------------------------

    @property
    def wants_tokens(self) -> bool:
        """Whether there is a user, and neither password nor tokens."""
        endpoint = self.endpoint
        return endpoint.username is not None and endpoint.password is None and endpoint.tokens is None

    def use_tokens(self, tokens: TokenSource) -> None:
        """Log in with access tokens from there."""
        if not self.wants_tokens:
            why = "the URL names no user" if self.endpoint.username is None else "it has a password or tokens already"
            raise ConfigError(f"{self} has no use for access tokens: {why}")
        self.endpoint = replace(self.endpoint, tokens=tokens)

    # --- sending ------------------------------------------------------------------------------------------------------

    async def send(self, mail: Mail, *, deadline: float = math.inf) -> Receipt:
        """One attempt over one connection: the idle one if it still lives, else a new one.

        Args:
            mail: What is sent.
            deadline: The end of it, if that is before the end of ``Timeouts.total_s``.
        """
        started_at = self._clock()
        deadline = min(deadline, self.runtime.now() + self.endpoint.timeouts.total_s)
        transaction = self._transaction(mail, self.runtime.now(), deadline)
        await self._carry([transaction], window=1)
        said = self._receipt(transaction, started_at)
        if isinstance(said, UnsupportedFeature):
            raise said
        return said

    async def send_many(self, mails: Sequence[Mail]) -> list[Receipt | UnsupportedFeature]:
        """One attempt for each, over one connection, as many at once under way as the server allows."""
        started_at, now = self._clock(), self.runtime.now()
        transactions = [self._transaction(mail, now) for mail in mails]
        await self._carry(transactions, window=self._window)
        return [self._receipt(transaction, started_at) for transaction in transactions]

    def _transaction(self, mail: Mail, now: float, deadline: float | None = None) -> Transaction:
        trace = Trace(now, is_kept=self.transcript)
        return Transaction(mail, deadline, clock=self._clock, policy=self.unsupported, trace=trace)

    async def _carry(self, transactions: Sequence[Transaction], window: int) -> None:
        """Settle all of them, over as many connections as it takes."""
        queue = deque(transactions)
        try:
            await self._carry_queue(queue, window)
        except BaseException:
            for transaction in transactions:
                transaction.abandon(None)
                self._cut_short[transaction.mail.id] = transaction.receipt(self.url)
            raise

    async def _carry_queue(self, queue: deque[Transaction], window: int) -> None:
        is_new = False
        failures = 0
        while queue:
            head = queue[0]
            try:
                deadline = head.deadline or self.runtime.now() + self.endpoint.timeouts.total_s
                connect = functools.partial(self._connect, trace=head.trace)
                session = await self._pool.take(self.runtime, deadline, is_new=is_new, connect=connect)
            except MailerError as error:  # it would be so for the others too
                return _abandon_all(queue, error)
            before = session.carried
            if before and self.transcript:
                head.trace.say(self.runtime.now(), "*", f"connection #{session.number}, used before")
            try:
                await session.transact(queue, window=window, limit=self._pool.room(session))
            except MailerError as error:
                is_new = True
                if isinstance(error, AuthError):
                    return _abandon_all(queue, error)
                if queue and queue[0] is head and not before:
                    queue.popleft().abandon(error)
                # Else the server had dropped the idle connection, or had enough; those in the queue are not to blame
                # and were not begun.
                # MAILs behind the first may only have been written: the first shows whether any gets through.
                failures = failures + 1 if session.carried - before <= 1 or head.cause is not None else 0
                if failures >= _MAX_FAILURES:
                    return _abandon_all(queue, error)
            finally:
                self._pool.give_back(session, self.runtime)
        return None

    def _receipt(self, transaction: Transaction, started_at: datetime) -> Receipt | UnsupportedFeature:
        if isinstance(transaction.cause, UnsupportedFeature):
            return transaction.cause  # found out once the server had said what it offers, and nothing was sent
        cause, trace = transaction.cause, transaction.trace
        trace.enter("", now := self.runtime.now())
        if cause is not None:
            trace.say(now, "*", f"{type(cause).__name__}: {cause}")
        transcript = trace.lines() if trace.is_kept else ()
        if cause is not None and not cause.transcript:
            cause.transcript = transcript
        attempt = attempt_of(self.url, started_at, 0.0, {}, None, trace.timings, transcript)  # base.carry completes it
        return transaction.receipt(self.url, (attempt,))

    def settled(self, mail: Mail) -> Receipt:
        """What the session knew when the send was cut short."""
        return self._cut_short.pop(mail.id, None) or super().settled(mail)

    async def check(self) -> Health:
        """Connect, secure and log in; tell what the server offers."""
        now = self.runtime.now()
        trace = Trace(now, is_kept=self.transcript)
        try:
            session = await self._connect(now + self.endpoint.timeouts.total_s, trace)
        except MailerError as error:
            trace.say(self.runtime.now(), "*", f"{type(error).__name__}: {error}")
            error.transcript = trace.lines()
            return Health(ok=False, backend=self.url, cause=error, transcript=error.transcript)
        facts = session.facts
        session.quit()
        return Health(ok=True, backend=self.url, facts=facts, transcript=trace.lines())

    async def connect(self) -> None:
        """Have one ready: connected, secured, logged in. One that is idle will do."""
        session = await self._pool.take(self.runtime, self.runtime.now() + self.endpoint.timeouts.total_s)
        self._pool.give_back(session, self.runtime)

    def forget(self) -> None:
        """Close the idle connections without a word, and without waiting."""
        self._pool.forget()

    async def close(self) -> None:
        """Say QUIT on the idle connections and close them."""
        self._pool.close(self.runtime)

    # --- the connection -----------------------------------------------------------------------------------------------

    async def _connect(self, deadline: float, trace: Trace | None = None) -> Session:
        from ..runtime import AddrInfo
        from ..stream import Stream

        endpoint = self.endpoint
        if endpoint.username is not None and endpoint.tls == "none" and not endpoint.auth_in_clear:
            raise AuthError(f"{self.url}: without TLS the password is not sent, unless the URL says auth_in_clear=yes")
        context = self._tls_context()
        now = self.runtime.now
        trace = trace or Trace(now())
        enter = functools.partial(trace.enter, "connect")
        addresses = (AddrInfo.unix(endpoint.path),) if endpoint.path else endpoint.addresses
        trace.enter("connect" if addresses else "resolve", now())
        stream = await Stream.connect(
            self.runtime,
            endpoint.path or endpoint.host,
            endpoint.port,
            deadline=deadline,
            connect_timeout_s=endpoint.timeouts.connect_s,
            addresses=addresses,
            sources=endpoint.source_address,
            proxy=endpoint.proxy,
            on_found=lambda: enter(now()),
        )
        trace.enter("", now())
        trace.say(now(), "*", f"connection #{stream.number} to {stream.peer}")
        session = Session(stream, self.runtime, endpoint, learnt=self._pool.learnt, trace=trace)
        resumed, self._tls_session = self._tls_session, None  # if it comes to nothing, not for this
        await session.begin(context, deadline, tls_session=resumed)
        if endpoint.certificate_check is None:  # a resumed session shows no chain
            self._tls_session = session.tls_session
        return session

    def _tls_context(self) -> ssl.SSLContext | None:
        """Made once: a TLS session can be resumed with the context that it began with."""
        endpoint = self.endpoint
        if endpoint.tls != "none" and self._context is None:
            from ..tls import tls_context

            self._context = tls_context(
                verify=endpoint.verify,
                ca_file=endpoint.ca_file,
                cert_file=endpoint.cert_file,
                key_file=endpoint.key_file,
                key_password=endpoint.key_password,
                tls_min=endpoint.tls_min,
            )
        return self._context


def _abandon_all(queue: deque[Transaction], error: MailerError) -> None:
    while queue:
        queue.popleft().abandon(error)


def smtp_from_url(url: BackendURL, runtime: Runtime | None = None) -> SmtpBackend:
    """``smtp://user:password@host:port?tls=required``, ``smtps://`` or ``lmtp://``; ``lmtp:///path`` is a unix socket.

    ``smtp+NAME://user:password@default`` is a well-known service (:mod:`mailer.smtp.presets`). A user without a
    password logs in with access tokens, where the service or ``auth`` says that they are taken.

    Options: ``tls`` (required, opportunistic, none), ``verify``, ``ca_file``, ``fingerprint`` (SHA-256, several with
    commas), ``cert_file``, ``key_file``, ``key_password``, ``tls_min`` (1.2, 1.3); ``auth_in_clear``, ``auth`` (the
    only mechanism to use), ``helo``, ``source_address``, ``proxy``; ``max_connections``, ``max_messages`` (for each
    connection), ``max_age`` and ``max_idle`` (in seconds), ``window``, ``transcript``; and in seconds ``timeout`` (one
    attempt in all), ``connect_timeout``, ``command_timeout``, ``final_timeout`` and one for each step
    (:class:`~mailer.smtp.endpoint.Timeouts`).
    """
    shown = str(url)
    preset = preset_of(url.scheme)
    if preset is not None:
        url = preset.applied(url)
    is_lmtp = url.scheme == "lmtp"
    path = url.path if is_lmtp and not url.host and url.path.startswith("/") and url.path != "/" else ""
    if not url.host and not path:
        raise ConfigError(f"{url.scheme}: the URL names no host: {url.scheme}://host")
    url.refuse(*(("host", "port") if path else ("path",)))
    port = url.port or _DEFAULT_PORT[url.scheme]
    implicit = url.scheme == "smtps" or (preset is not None and port == 465)
    options = url.options(
        tls=choice("required") if implicit or preset else choice("required", "opportunistic", "none"),
        verify=flag,
        ca_file=text,
        fingerprint=fingerprints_from,
        cert_file=text,
        key_file=text,
        key_password=text,
        tls_min=choice("1.2", "1.3"),
        auth_in_clear=flag,
        auth=choice(*map(str.lower, MECHANISMS)),
        helo=text,
        source_address=ip_addresses,
        proxy=text,
        max_connections=whole(1, 1000),
        max_messages=whole(1, 1_000_000),
        max_age=seconds,
        max_idle=seconds,
        window=whole(1, 1000),
        transcript=flag,
        **dict.fromkeys(TIMEOUT_OPTIONS, seconds),
    )
    auth = options.get("auth", "").upper()
    if url.username is not None and url.password is None:
        auth = auth or (preset.oauth2 if preset else "")
    if url.username == "" or (url.username is not None and url.password is None and auth not in _BY_TOKEN):
        raise ConfigError(
            f"{url.scheme}: a login needs user and password: {url.scheme}://user:password@{url.host}"
            " (with access tokens from elsewhere, a user and auth=xoauth2 or auth=oauthbearer)"
        )
    timeouts = {field: options[name] for name, field in TIMEOUT_OPTIONS.items() if name in options}
    limits = {field: options[name] for name, field in LIMIT_OPTIONS.items() if name in options}
    secure_by_default = (
        implicit
        or url.username is not None
        or port in (587, 465)
        or not {"fingerprint", "cert_file"}.isdisjoint(options)
    )
    helo = options.get("helo", "")
    if helo:
        from ..smtp.command import helo_name

        if helo_name(helo) != helo:
            raise ConfigError(f"{url.scheme}: option helo={helo!r}: must be a fully qualified host name")
    backend = SmtpBackend(
        Endpoint(
            host=url.host or "localhost",
            port=port,
            path=path,
            is_lmtp=is_lmtp,
            implicit_tls=implicit,
            tls=options.get("tls", "required" if secure_by_default else "none" if path else "opportunistic"),
            verify=options.get("verify", True),
            ca_file=options.get("ca_file"),
            fingerprints=options.get("fingerprint", ()),
            cert_file=options.get("cert_file"),
            key_file=options.get("key_file"),
            key_password=options.get("key_password"),
            tls_min=options.get("tls_min", "1.2"),
            username=url.username,
            password=url.password,
            auth_in_clear=options.get("auth_in_clear", False),
            auth=auth,
            helo=helo,
            source_address=options.get("source_address", ()),
            proxy=Proxy.parse(options["proxy"]) if "proxy" in options else None,
            timeouts=Timeouts(**timeouts),
        ),
        url=shown,
        limits=PoolLimits(**limits),
        window=options.get("window", WINDOW),
        transcript=options.get("transcript", False),
    )
    if runtime is not None:
        backend.attach(runtime)
    return backend
