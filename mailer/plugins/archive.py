"""``archive``: a copy of what is sent, to any backend: files on a disk, or a mailbox for it."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable
from functools import partial

from pydantic import Field, InstanceOf, PrivateAttr, SecretStr, model_validator

from ..address import Address
from ..aside import Aside
from ..backends.base import Backend, called, carry
from ..backends.url import backend_from_url
from ..envelope import Envelope
from ..errors import AddressError, ConfigError, Outcome
from ..hooks import Hooks
from ..hookspecs import Context
from ..mail import Mail
from ..plugin import Plugin, PluginSettings
from ..runtime import BlockingRuntime, drive
from ..settled import when_settled

__all__ = ["Archive", "ArchiveSettings"]

#: What these are given, nobody gets: a copy keeps its envelope.
_KEEPING = ("file:", "memory:", "null:", "console:")
#: Behind what does not come to an end; each may be a large mail.
_ROOM = 100


class ArchiveSettings(PluginSettings):
    """Settings of ``archive``."""

    url: SecretStr | None = Field(None, description="Where copies go: the URL of a backend, `file:/var/mail/archive`.")
    backend: InstanceOf[Backend] | None = Field(None, description="A `Backend` of its own in the place of the URL.")
    to: str | None = Field(
        None, description="The archive's address: needed where a backend delivers, as the copy must go to nobody else."
    )
    keeps: bool = Field(
        False, description="The backend keeps mail and delivers none, as `file:` does; it needs no `to`."
    )
    outcomes: tuple[Outcome, ...] = Field(
        (Outcome.ACCEPTED, Outcome.UNKNOWN),
        description="Mails with one of these outcomes for somebody are archived: `accepted`, `unknown`, unless set.",
    )
    wait_s: float = Field(5.0, ge=0, le=600, description="For how many seconds a send, or closing, waits for it.")
    _backend: Backend | None = PrivateAttr(None)
    _to: Address | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _read(self) -> ArchiveSettings:
        if (self.url is None) == (self.backend is None):
            raise ValueError("url: say where copies go, by url or by backend")
        if self.to is not None:
            try:
                self._to = Address.parse(self.to)
            except AddressError as error:
                raise ValueError(f"to: {error}") from None
        try:
            self._backend = self.backend or backend_from_url(self.url.get_secret_value() if self.url else "")
            self._backend.attach(BlockingRuntime())
        except ConfigError as error:
            raise ValueError(f"url: {error}") from None
        is_kept = self.keeps or str(self._backend).startswith(_KEEPING)
        if self._to is None and not is_kept:
            raise ValueError(f"to: {self._backend} delivers what it is given: name the archive's address")
        return self

    @property
    def made_backend(self) -> Backend:
        """What carries the copies, in the blocking world."""
        assert self._backend is not None  # noqa: S101 - for type checkers
        return self._backend

    def copy_of(self, mail: Mail) -> Mail:
        """What is archived: the bytes that were sent; with an address, to it alone, as a mail of its own."""
        if self._to is None:
            return mail
        # Another id: it is an idempotency key. No message: a provider would take the recipients from it.
        own = hashlib.sha256(f"archive {mail.id}".encode()).hexdigest()[:32]
        return Mail(own, Envelope(mail.envelope.sender, self._to), None, mail.content)


class Archive(Plugin[ArchiveSettings]):
    """Gives another backend a copy of each mail, once its outcome is known. What becomes of the copy changes nothing.

    A copy that was not kept is logged as an error; it is not tried again.
    """

    name = "archive"

    def register(self, hooks: Hooks) -> None:
        """Copy what is settled."""
        self._aside = Aside(self.name, wait_s=self.settings.wait_s, room=_ROOM)
        when_settled(hooks, self.keep)

    def keep(self, context: Context) -> Awaitable[None] | None:
        """Archive the mail, if it came so far."""
        mail, receipt = context.mail, context.receipt
        if mail is None or receipt is None:
            return None
        if not any(result.outcome in self.settings.outcomes for result in receipt.results):
            return None
        return self._aside.do(context.runtime, partial(self._carry, mail))

    def _carry(self, mail: Mail) -> None:
        copy = self.settings.copy_of(mail)
        drive(carry(self.settings.made_backend, copy)).raise_unless_ok()

    def close(self) -> None:
        """Let the backend go of what it opened, once all is done."""
        backend = self.settings.made_backend
        self._aside.close(lambda: drive(called(BlockingRuntime(), backend.close)))
