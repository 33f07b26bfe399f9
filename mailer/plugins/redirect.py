"""``redirect``: all mail to one inbox, for a staging system that works on real data."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field, PrivateAttr, model_validator

from .. import header
from ..address import Address
from ..allowed import Allowed, plain
from ..errors import AddressError
from ..hooks import Hooks
from ..hookspecs import ONE_EACH, Context
from ..mail import Mail
from ..merge import has_merge
from ..message import Message
from ..plugin import Plugin, PluginSettings

__all__ = ["Redirect", "RedirectSettings"]

#: Behind all other filters, so that whoever adds recipients adds none that gets real mail.
_LAST = 1_000_000
_FIELDS = {"to": "X-Original-To", "cc": "X-Original-Cc", "bcc": "X-Original-Bcc"}
_ENVELOPE_FIELD = "X-Original-Recipients"
#: Names in one such field; a header of more helps nobody, and services refuse it.
_MOST_NAMED = 100


class RedirectSettings(PluginSettings):
    """Settings of ``redirect``."""

    to: tuple[str, ...] = Field(description="The inbox, or several: addresses.")
    allow: tuple[str, ...] = Field(
        (), description="Who gets real mail all the same: addresses, and `@example.com` for all of a domain."
    )
    allow_pattern: str | None = Field(
        None, description="The same by a regular expression that the whole address must match."
    )
    _inboxes: tuple[Address, ...] = PrivateAttr(())
    _allowed: Allowed = PrivateAttr(Allowed(()))

    @model_validator(mode="after")
    def _read(self) -> RedirectSettings:
        if not self.to:
            raise ValueError("to: names no inbox")
        try:
            self._inboxes = tuple(Address.parse(one) for one in self.to)
        except AddressError as error:
            raise ValueError(f"to: {error}") from None
        self._allowed = Allowed(self.allow, self.allow_pattern)
        return self

    @property
    def inboxes(self) -> tuple[Address, ...]:
        """``to``, read."""
        return self._inboxes

    def lets_through(self, address: Address) -> bool:
        """Whether mail to this address is real: an inbox, or allowed."""
        return address in self._allowed or any(plain(address) == plain(inbox) for inbox in self._inboxes)


class Redirect(Plugin[RedirectSettings]):
    """Sends what is for anybody to the inboxes instead, and says in the header whom it was for.

    The header names who was in Bcc only if nobody but the inboxes gets the mail. Recipients that other filters add are
    caught too. Ready-made mail keeps its To and Cc, and goes to the inboxes all the same.
    """

    name = "redirect"

    def register(self, hooks: Hooks) -> None:
        """Behind all others."""
        hooks.add_filter(ONE_EACH, self.rewritten)
        hooks.add_filter("message", self.rewritten, _LAST)
        hooks.add_filter("mail", self.caught, _LAST)
        hooks.add_filter("sign", self.held, _LAST)

    def rewritten(self, message: Message, context: Context) -> Message:
        """The message to the inboxes, and to whom is allowed."""
        if has_merge(message):  # to be looked at only: what is sent comes here one by one
            return message
        through = self.settings.lets_through
        kept: dict[str, list[Address]] = {}
        caught: dict[str, list[Address]] = {}
        for field in _FIELDS:
            for address in getattr(message, field):
                (kept if through(address) else caught).setdefault(field, []).append(address)
        if not caught:
            return message
        left = [address for addresses in kept.values() for address in addresses]
        if not self._is_inboxes(left):
            caught.pop("bcc", None)
        known = {address.key for address in left}
        inboxes = [inbox for inbox in self.settings.inboxes if inbox.key not in known]
        headers = message.headers
        if context.backend is None or context.backend.features.headers:
            headers += tuple([(_FIELDS[field], _named(addresses)) for field, addresses in caught.items()])
        return message.with_(
            to=[*kept.get("to", ()), *inboxes], cc=kept.get("cc", ()), bcc=kept.get("bcc", ()), headers=headers
        )

    def caught(self, mail: Mail, context: Context) -> Mail:
        """What other filters added, and ready-made mail, to the inboxes."""
        kept, caught = self._parted(mail)
        mail = self.held(mail, context)
        if caught and mail.message is None and self._is_inboxes(kept):
            field = header.unstructured(_ENVELOPE_FIELD, _named(caught)).encode("ascii")
            mail = mail.with_(content=mail.content.made_of([field, *mail.content.pieces]))
        return mail

    def held(self, mail: Mail, context: Context) -> Mail:
        """The mail to nobody else, with its bytes as they are, signed or not."""
        kept, caught = self._parted(mail)
        if not caught:
            return mail
        known = {address.key for address in kept}
        left = [*kept, *[inbox for inbox in self.settings.inboxes if inbox.key not in known]]
        return mail.with_(envelope=mail.envelope.for_recipients(left))

    def _parted(self, mail: Mail) -> tuple[list[Address], list[Address]]:
        """Who gets it, and who would have."""
        kept: list[Address] = []
        caught: list[Address] = []
        for address in mail.envelope.recipients:
            (kept if self.settings.lets_through(address) else caught).append(address)
        return kept, caught

    def _is_inboxes(self, addresses: Iterable[Address]) -> bool:
        """Whether nobody else is among these."""
        keys = {inbox.key for inbox in self.settings.inboxes}
        return all(address.key in keys for address in addresses)


def _named(addresses: list[Address]) -> str:
    more = len(addresses) - _MOST_NAMED
    names = [address.format() for address in addresses[:_MOST_NAMED]]
    return ", ".join([*names, f"and {more} more"] if more > 0 else names)
