"""Drop this into the site's plug-in folder. It uses what the site offers: members by name, a comment by number."""

from __future__ import annotations

import re

from press.members import member_named
from press.posts import comment_with
from pydantic import Field

from mailer import Address, Context, Hooks, Message, Plugin, PluginSettings

_MENTION = re.compile(r"(?<![\w@.])@([a-z][a-z0-9_]{1,29})\b", re.ASCII)


class MentionsSettings(PluginSettings):
    """Settings of ``mentions``."""

    most: int = Field(5, ge=1, le=50, description="So many of a comment get its notice; who else is named does not.")


class Mentions(Plugin[MentionsSettings]):
    """Sends the notice of a comment to the members that it names, as @bob, too, and says so in its subject."""

    name = "mentions"
    version = "1.0"

    def register(self, hooks: Hooks) -> None:
        hooks.add_filter("message", self.with_names)
        hooks.add_filter("recipients", self.with_addresses)

    def with_names(self, message: Message, context: Context) -> Message:
        """The subject says who is mentioned."""
        names = [name for name, _ in self._named(message)]
        if not names:
            return message
        return message.with_(subject=f"{message.subject} (mentions {', '.join(f'@{name}' for name in names)})")

    def with_addresses(self, recipients: tuple[Address, ...], context: Context) -> tuple[Address, ...]:
        """They are in the envelope alone, as with Bcc: nobody is told another's address."""
        found = {address.key: address for address in recipients}
        for _, address in self._named(context.message):
            found.setdefault(address.key, address)
        return tuple(found.values())

    def _named(self, message: Message | None) -> list[tuple[str, Address]]:
        """The members that the comment of a notice names, in order."""
        if message is None or "comment_notice" not in message.tags:
            return []
        body = comment_with(dict(message.metadata)["comment"])["body"]
        members = [member_named(name) for name in dict.fromkeys(_MENTION.findall(body))]
        named = [(member["name"], Address.parse(member["email"])) for member in members if member is not None]
        return named[: self.settings.most]
