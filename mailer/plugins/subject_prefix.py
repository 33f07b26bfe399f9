"""``subject_prefix``: words in front of every subject, as ``[staging]``."""

from __future__ import annotations

from pydantic import Field, model_validator

from ..errors import MessageError
from ..field import line
from ..hooks import Hooks
from ..hookspecs import Context
from ..message import Message
from ..plugin import Plugin, PluginSettings

__all__ = ["SubjectPrefix", "SubjectPrefixSettings"]

_PRIORITY = 50


class SubjectPrefixSettings(PluginSettings):
    """Settings of ``subject_prefix``."""

    prefix: str = Field(description="What stands in front; a blank follows.")
    tags: tuple[str, ...] = Field((), description="Only messages with one of these tags get it. Else all do.")

    @model_validator(mode="after")
    def _check(self) -> SubjectPrefixSettings:
        if not self.prefix.strip():
            raise ValueError("prefix: is empty")
        if "{{" in self.prefix:  # a backend that merges would fill it, and all others send it as it is
            raise ValueError("prefix: has {{ in it: a prefix has no variables")
        try:
            line(self.prefix, "prefix")
        except MessageError as error:
            raise ValueError(str(error)) from None
        return self


class SubjectPrefix(Plugin[SubjectPrefixSettings]):
    """Puts words in front of the subject, unless they stand in it already, as in a reply."""

    name = "subject_prefix"

    def register(self, hooks: Hooks) -> None:
        """At the message."""
        hooks.add_filter("message", self.prefixed, _PRIORITY)

    def prefixed(self, message: Message, context: Context) -> Message:
        """The message with its prefix. A provider's template whose own subject is used is left alone."""
        prefix, tags = self.settings.prefix.strip(), self.settings.tags
        if prefix in message.subject or (tags and not set(tags) & set(message.tags)):
            return message
        if not message.subject and message.provider_template is not None:
            return message
        return message.with_(subject=f"{prefix} {message.subject}")
