"""``suppression``: who bounced for good, complained or unsubscribed gets nothing more."""

from __future__ import annotations

from collections.abc import Awaitable
from functools import cached_property

from pydantic import Field, InstanceOf, field_validator

from ..backends.base import Backend, called
from ..backends.suppressing import SuppressingBackend
from ..backends.wrapping import Wrapped
from ..event import Event, EventKind
from ..hooks import Hooks
from ..hookspecs import Context
from ..plugin import Plugin, PluginSettings
from ..store_file import checked_path
from ..suppression import MemorySuppressionList, SqliteSuppressionList, Suppressed, SuppressionList

__all__ = ["Suppression", "SuppressionSettings"]

#: Outside all other wrapping backends: what is not sent costs no place in a rate.
_PRIORITY = 100
_DEFAULT = (EventKind.BOUNCED, EventKind.COMPLAINED, EventKind.UNSUBSCRIBED)


class SuppressionSettings(PluginSettings):
    """Settings of ``suppression``."""

    path: str | None = Field(
        None, description="The name of an SQLite file that keeps the list. Without one it is gone with the process."
    )
    events: tuple[EventKind, ...] = Field(
        _DEFAULT, description="For which events an address is put on the list; of those bounced, for hard ones alone."
    )
    list: InstanceOf[SuppressionList] | None = Field(
        None, description="A `SuppressionList` of your own in the place of both."
    )
    _path = field_validator("path")(checked_path)


class Suppression(Plugin[SuppressionSettings]):
    """Keeps a list of whom nothing is to be sent to: fills it with the ``event`` action, asks it before each mail."""

    name = "suppression"

    def register(self, hooks: Hooks) -> None:
        """Ask before sending; learn from events."""
        self._wrapped = Wrapped(lambda inner: SuppressingBackend(inner, self.list))
        hooks.add_filter("backend", self.wrap, _PRIORITY)
        hooks.add_action("event", self.learn)

    @cached_property
    def list(self) -> SuppressionList:
        """What it fills and asks."""
        given, path = self.settings.list, self.settings.path
        if given is not None:
            return given
        return MemorySuppressionList() if path is None else SqliteSuppressionList(path)

    def wrap(self, backend: Backend, context: Context) -> Backend:
        """The backend behind the list."""
        return self._wrapped.of(backend)

    def learn(self, context: Context) -> Awaitable[None] | None:
        """Put the event's recipient on the list, or take him off again who subscribed."""
        event = context.event
        if event is None or event.recipient is None:
            return None
        if event.kind is EventKind.SUBSCRIBED:
            return self._subscribed(event, context)
        is_soft = event.kind is EventKind.BOUNCED and event.is_hard is not True
        return None if is_soft or event.kind not in self.settings.events else self._suppressed(event, context)

    async def _suppressed(self, event: Event, context: Context) -> None:
        """Who unsubscribed may come back, so that takes the place of no other reason."""
        assert event.recipient is not None  # noqa: S101 - for type checkers
        if event.kind is EventKind.UNSUBSCRIBED:
            known = await called(context.runtime, self.list.among, [event.recipient])
            if any(entry.kind is not EventKind.UNSUBSCRIBED for entry in known):
                return
        entry = Suppressed(
            address=event.recipient, kind=event.kind, since=event.time, provider=event.provider, text=event.text
        )
        await called(context.runtime, self.list.add, entry)

    async def _subscribed(self, event: Event, context: Context) -> None:
        """Who subscribes again takes back that he unsubscribed before, and nothing else."""
        assert event.recipient is not None  # noqa: S101 - for type checkers
        for entry in await called(context.runtime, self.list.among, [event.recipient]):
            is_old = event.time is not None and entry.since is not None and event.time < entry.since  # told late
            if entry.kind is EventKind.UNSUBSCRIBED and not is_old:
                await called(context.runtime, self.list.remove, event.recipient)

    def close(self) -> Awaitable[None] | None:
        """Let the list go of what it opened."""
        return self.list.close()
