"""``text_part``: a text part for all that has html alone, derived from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from pydantic import Field

from ..hooks import Hooks
from ..hookspecs import Context
from ..html_to_text import html_to_text
from ..message import Message
from ..plugin import Plugin, PluginSettings

__all__ = ["TextPart", "TextPartSettings"]

#: Behind all that writes html, and behind ``css_inline``: what a style sheet hides is hidden then where it stands.
_PRIORITY = 90
#: Larger ones are done in a thread, where there is an event loop to be kept going.
_AT_ONCE_CHARACTERS = 32 * 1024


class TextPartSettings(PluginSettings):
    """Settings of ``text_part``."""

    width: int = Field(76, ge=20, le=998, description="Characters in a line; a longer word or URL is never broken.")


class TextPart(Plugin[TextPartSettings]):
    """Derives the text part of a message that has html and no text. ``Message(text=False)`` keeps one without."""

    name = "text_part"

    def register(self, hooks: Hooks) -> None:
        """Behind all that writes html."""
        hooks.add_filter("message", self.with_text, _PRIORITY)

    def with_text(self, message: Message, context: Context) -> Message | Awaitable[Message]:
        """The message with a text, where it had none."""
        html, before = message.html, context.message
        unwanted = before is not None and before.text is False  # type: ignore[comparison-overlap]  # until rendered
        if html is None or message.text is not None or unwanted:
            return message
        work: Callable[[], Message] = lambda: message.with_(text=html_to_text(html, self.settings.width))  # noqa: E731
        return work() if len(html) <= _AT_ONCE_CHARACTERS else context.runtime.run(work)
