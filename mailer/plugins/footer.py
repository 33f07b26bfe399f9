"""``footer``: a line or more below every text and html: who sends it, and from where."""

from __future__ import annotations

import re
from html import escape

from pydantic import Field, model_validator

from ..field import has_surrogate
from ..hooks import Hooks
from ..hookspecs import Context
from ..html_to_text import html_to_text
from ..message import Message
from ..plugin import Plugin, PluginSettings

__all__ = ["Footer", "FooterSettings"]

#: Behind what writes html (``mjml``, ``markdown``), before what reads it (``css_inline``, ``text_part``).
_PRIORITY = 50
_ENDS = (re.compile(r"</body\s*>", re.IGNORECASE), re.compile(r"</html\s*>", re.IGNORECASE))


class FooterSettings(PluginSettings):
    """Settings of ``footer``."""

    text: str | None = Field(None, description="What stands below a text. Without one, it is derived from `html`.")
    html: str | None = Field(None, description="What stands below html, as html. Without one, it is `text`, escaped.")
    separator: str = Field(
        "-- ", description="The line above it in a text; mail programs fold what is below two dashes."
    )
    tags: tuple[str, ...] = Field((), description="Only messages with one of these tags get it. Else all do.")

    @model_validator(mode="after")
    def _check(self) -> FooterSettings:
        if not ((self.text or "").strip() or (self.html or "").strip()):
            raise ValueError("give text or html")
        for name in ("text", "html", "separator"):
            said = getattr(self, name) or ""
            if "{{" in said:  # a backend that merges would fill it, and all others send it as it is
                raise ValueError(f"{name}: has {{{{ in it: a footer has no variables")
            if "\0" in said:
                raise ValueError(f"{name}: has a NUL in it")
            if has_surrogate(said):
                raise ValueError(f"{name}: holds a lone surrogate, which UTF-8 cannot carry")
        if len(self.separator.splitlines()) > 1:
            raise ValueError("separator: must be one line")
        return self

    def below_text(self) -> str:
        """What is put below a text."""
        said = html_to_text(self.html or "") if self.text is None else self.text.strip("\r\n")
        return f"\n\n{self.separator}\n{said}\n" if self.separator else f"\n\n{said}\n"

    def in_html(self) -> str:
        """What is put at the end of html."""
        if self.html is not None:
            return self.html
        lines = [escape(line, quote=False) for line in (self.text or "").strip("\r\n").splitlines()]
        return f"\n<p>{'<br>'.join(lines)}</p>\n"


class Footer(Plugin[FooterSettings]):
    """Writes a footer below what a message has: text, html, or both. AMP and alternatives are left as they are."""

    name = "footer"

    def register(self, hooks: Hooks) -> None:
        """Behind what writes html."""
        hooks.add_filter("message", self.with_footer, _PRIORITY)

    def with_footer(self, message: Message, context: Context) -> Message:
        """The message with its footer."""
        settings = self.settings
        if settings.tags and not set(settings.tags) & set(message.tags):
            return message
        text, html = message.text, message.html
        if text is not None:
            text = text.rstrip("\r\n") + settings.below_text()
        if html is not None:
            at = next((found[-1].start() for end in _ENDS if (found := [*end.finditer(html)])), len(html))
            html = html[:at] + settings.in_html() + html[at:]
        return message.with_(text=text, html=html)
