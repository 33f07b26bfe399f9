"""``log``: who sent what to whom, when, and what was answered, in a table to be searched."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime, timedelta
from functools import cached_property, partial
from types import MappingProxyType

from pydantic import Field, InstanceOf, PrivateAttr, SecretStr, model_validator

from ..address import Address
from ..aside import Aside
from ..clock import monotonic_s, utc_now
from ..errors import ConfigError
from ..hooks import Hooks
from ..hookspecs import Context
from ..mail import Content
from ..mail_log import Logged, MailLog, SqliteMailLog
from ..plugin import Plugin, PluginSettings
from ..settled import when_settled

__all__ = ["Log", "LogSettings"]

#: Mails behind a store that does not answer, and mails kept for one that does not take them.
_ROOM = 1000
_PRUNE_EVERY_S = 3600.0
#: A store that failed is left in peace for so long.
_REST_S = 1.0
_MAX_HEADER = 262_144
_MESSAGE_ID = re.compile(rb"^Message-ID:[ \t]*(?:\r\n[ \t]+)?(<[^>\r\n]*>)", re.IGNORECASE | re.MULTILINE)
#: Entries taken away at once: others may write in between.
_PRUNE_BATCH = 10_000


class LogSettings(PluginSettings):
    """Settings of ``log``."""

    path: str | None = Field(None, description="The name of an SQLite file, shared by the processes of a machine.")
    url: SecretStr | None = Field(
        None, description="A database in its place, as SQLAlchemy has it: `postgresql+psycopg://user:secret@host/name`."
    )
    store: InstanceOf[MailLog] | None = Field(None, description="A `MailLog` of your own in the place of both.")
    keep_days: int | None = Field(90, ge=1, le=36_500, description="Entries older than that are taken away.")
    bodies: bool = Field(False, description="Keep each mail as it was sent, too.")
    max_body_bytes: int = Field(
        1_048_576, ge=1, le=100_000_000, description="Of `bodies`: a larger mail is not kept, its entries are."
    )
    wait_s: float = Field(1.0, ge=0, le=600, description="For how many seconds a send, or closing, waits for it.")
    _store: MailLog | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _read(self) -> LogSettings:
        if sum([one is not None for one in (self.path, self.url, self.store)]) != 1:
            raise ValueError("path: say where entries go, by one of path, url and store")
        try:
            if self.path is not None:
                self._store = SqliteMailLog(self.path)
            elif self.url is not None:
                from ..mail_log_sql import SqlalchemyMailLog

                self._store = SqlalchemyMailLog(self.url.get_secret_value())
        except ConfigError as error:
            raise ValueError(f"{'path' if self.url is None else 'url'}: {error}") from None
        return self

    @property
    def made_store(self) -> MailLog:
        """What they mean."""
        store = self.store or self._store
        assert store is not None  # noqa: S101 - for type checkers
        return store


class Log(Plugin[LogSettings]):
    """Writes an entry for each recipient of each mail: what became of it, also of what was not sent.

    What a store does not take is kept in memory for the next time, a thousand mails of it. It is tried again with the
    next mail, a second later at the earliest, and at the end.

    Attributes:
        lost: How many mails are in no log: the store took none for too long.
        clock: The time, with a zone.
        monotonic: Seconds on a clock that never goes back.
    """

    name = "log"
    clock: Callable[[], datetime] = staticmethod(utc_now)
    monotonic: Callable[[], float] = staticmethod(monotonic_s)

    def register(self, hooks: Hooks) -> None:
        """Log what is settled, what failed and what was kept from being sent."""
        self._aside = Aside(self.name, wait_s=self.settings.wait_s, room=_ROOM)
        self._untaken: deque[list[Logged]] = deque()
        self._given_up = 0
        self._prune_at = self._rest_until = self.monotonic()
        when_settled(hooks, self.settle)
        hooks.add_action("failed", self.fail)
        hooks.add_action("skipped", self.skip)

    @cached_property
    def log(self) -> MailLog:
        """What it writes to, to be searched."""
        return self.settings.made_store

    @property
    def lost(self) -> int:
        """See the class."""
        return self._aside.lost + self._given_up

    # --- entries ------------------------------------------------------------------------------------------------------

    def settle(self, context: Context) -> Awaitable[None] | None:
        """An entry for each result."""
        mail, receipt = context.mail, context.receipt
        if mail is None or receipt is None:
            return None
        message = mail.message
        sender = mail.envelope.sender
        message_id = _message_id(mail.content)
        entries = [
            Logged(
                time=self.clock(),
                mail_id=mail.id,
                message_id=message_id,
                sender=_plain(sender),
                recipient=_plain(result.address),
                subject=message.subject if message else "",
                tags=", ".join(message.tags) if message else "",
                backend=receipt.backend,
                outcome=result.outcome.value,
                code=result.code,
                enhanced_code=result.enhanced_code or "",
                answer=result.text,
                provider_id=result.provider_id or "",
                attempts=len(receipt.attempts),
            )
            for result in receipt.results
        ]
        is_kept = self.settings.bodies and mail.content.about_bytes <= self.settings.max_body_bytes
        return self._aside.do(context.runtime, partial(self._write, entries, mail.content if is_kept else None))

    def fail(self, context: Context) -> Awaitable[None]:
        """It was not sent: an error."""
        error = context.error
        return self._unsent(context, "failed", f"{type(error).__name__}: {error}")

    def skip(self, context: Context) -> Awaitable[None]:
        """It was not sent: a filter."""
        return self._unsent(context, "skipped", (context.receipt.skipped if context.receipt else None) or "")

    def _unsent(self, context: Context, outcome: str, answer: str) -> Awaitable[None]:
        message = context.message
        sender: Address | None = None
        recipients: Iterable[Address | None] = (None,)
        if message is not None:
            sender = message.sender or next(iter(message.from_), None)
            recipients = (*message.to, *message.cc, *message.bcc) or recipients
        entries = [
            Logged(
                time=self.clock(),
                mail_id=context.mail_id,
                sender=_plain(sender),
                recipient=_plain(recipient),
                subject=message.subject if message else "",
                tags=", ".join(message.tags) if message else "",
                backend=str(context.backend or ""),
                outcome=outcome,
                answer=answer,
            )
            for recipient in recipients
        ]
        return self._aside.do(context.runtime, partial(self._write, entries, None))

    # --- aside --------------------------------------------------------------------------------------------------------

    def _write(self, entries: list[Logged], content: Content | None) -> None:
        """Write these, and before them what could not be written before."""
        bodies = {}
        if content is not None and len(body := bytes(content)) <= self.settings.max_body_bytes:
            bodies[entries[0].mail_id] = (entries[0].time, body)
        self._untaken.append(entries)
        if len(self._untaken) > _ROOM:
            self._untaken.popleft()
            self._given_up += 1
        if self.monotonic() < self._rest_until:
            return
        self._write_all(bodies)
        if self.settings.keep_days is not None and self.monotonic() >= self._prune_at:
            self._prune_at = self.monotonic() + _PRUNE_EVERY_S
            self._aside.later(self._prune)

    def _write_all(self, bodies: Mapping[str, tuple[datetime, bytes]] = MappingProxyType({})) -> None:
        try:
            self.log.add([entry for mail in self._untaken for entry in mail], bodies)
        except BaseException:
            self._rest_until = self.monotonic() + _REST_S
            raise
        self._untaken.clear()

    def _prune(self) -> None:
        """Take away a batch of what is too old; the next one behind whatever waits by then."""
        before = self.clock() - timedelta(days=self.settings.keep_days or 0)
        if next(self.log.prune(before, batch=_PRUNE_BATCH), 0) >= _PRUNE_BATCH:
            self._aside.later(self._prune)

    def close(self) -> None:
        """Write what is left, and let the store go of what it opened."""
        self._aside.close(self._finish)

    def _finish(self) -> None:
        try:
            if self._untaken:
                self._write_all()
        finally:
            self.log.close()


def _message_id(content: Content) -> str:
    """Out of the header; "" where nothing was composed, as a provider is given JSON and writes its own."""
    if not content.is_made:
        return ""
    head = b""
    for chunk in content:  # a signature stands in one of its own, before the others
        head += chunk
        if b"\r\n\r\n" in head or len(head) > _MAX_HEADER:
            break
    found = _MESSAGE_ID.search(head.partition(b"\r\n\r\n")[0])
    return found[1].decode("ascii", "replace") if found else ""


def _plain(address: Address | None) -> str:
    """As it is searched for: no name, in lower case."""
    return "" if address is None else address.addr_spec.lower()
