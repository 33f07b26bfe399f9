"""``allow_list``: nobody gets mail but who is allowed to."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field, PrivateAttr, model_validator

from ..address import Address
from ..allowed import Allowed
from ..backends.base import Backend
from ..backends.suppressing import SuppressingBackend
from ..backends.wrapping import Wrapped
from ..hooks import Hooks
from ..hookspecs import Context
from ..plugin import Plugin, PluginSettings
from ..suppression import Suppressed, SuppressionList

__all__ = ["AllowList", "AllowListSettings"]

#: Outside all other wrapping backends, as ``suppression``: what is not sent costs no place in a rate.
_PRIORITY = 100


class AllowListSettings(PluginSettings):
    """Settings of ``allow_list``."""

    allow: tuple[str, ...] = Field(
        (), description="Who may get mail: addresses, and `@example.com` for all of a domain, not of those below it."
    )
    allow_pattern: str | None = Field(
        None, description="The same by a regular expression that the whole address must match."
    )
    _allowed: Allowed = PrivateAttr(Allowed(()))

    @model_validator(mode="after")
    def _read(self) -> AllowListSettings:
        self._allowed = Allowed(self.allow, self.allow_pattern)
        if not self.allow and self.allow_pattern is None:
            raise ValueError("give allow or allow_pattern: nobody could get mail")
        return self

    @property
    def allowed(self) -> Allowed:
        """Who they mean."""
        return self._allowed


class AllowList(Plugin[AllowListSettings]):
    """Rejects recipients who are not allowed, whatever put them there: other plug-ins, Bcc, ready-made mail."""

    name = "allow_list"

    def register(self, hooks: Hooks) -> None:
        """Around the backend."""
        self._wrapped = Wrapped(lambda inner: SuppressingBackend(inner, _Others(self.settings.allowed)))
        hooks.add_filter("backend", self.wrap, _PRIORITY)

    def wrap(self, backend: Backend, context: Context) -> Backend:
        """The backend behind the list."""
        return self._wrapped.of(backend)


class _Others(SuppressionList):
    """Everybody who is not allowed."""

    def __init__(self, allowed: Allowed) -> None:
        self._allowed = allowed

    async def among(self, addresses: Iterable[Address]) -> list[Suppressed]:
        """Those of them who are not."""
        return [
            Suppressed(address=address, text="not on the allow list")
            for address in addresses
            if address not in self._allowed
        ]
