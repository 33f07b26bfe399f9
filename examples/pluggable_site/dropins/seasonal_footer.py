"""Drop this into the site's plug-in folder. It knows nothing of the site: any mailer's mail can have it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from html import escape

from pydantic import Field

from mailer import Context, Hooks, Message, Plugin, PluginSettings

#: By the month's place in the year, north of the equator.
_GREETINGS = ("A quiet winter", "A bright spring", "A long summer", "A golden autumn")


class SeasonalFooterSettings(PluginSettings):
    """Settings of ``seasonal_footer``."""

    greeting: str = Field("", max_length=200, description="What to wish; left blank, it is the season's.")


class SeasonalFooter(Plugin[SeasonalFooterSettings]):
    """Ends every mail, text and html, with a wish for the season."""

    name = "seasonal_footer"
    version = "2.1"
    today: Callable[[], date] = staticmethod(date.today)

    def register(self, hooks: Hooks) -> None:
        hooks.add_filter("message", self.with_wish, priority=50)  # behind whatever writes html

    def with_wish(self, message: Message, context: Context) -> Message:
        """The message with a line below each of its parts."""
        wish = self.settings.greeting or f"{_GREETINGS[self.today().month % 12 // 3]} to you!"
        text, html = message.text, message.html
        if text is not None:
            text = f"{text.rstrip()}\n\n* {wish} *\n"
        if html is not None:
            line = f'<p style="text-align:center">{escape(wish)}</p>'
            body, end, rest = html.rpartition("</body>")
            html = f"{body}{line}{end}{rest}" if end else html + line
        return message.with_(text=text, html=html)
