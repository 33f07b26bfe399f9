"""``mjml``: html from MJML, by mrml; nothing is included or fetched while it is made."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from pydantic import Field, PrivateAttr, model_validator

from ..errors import ConfigError, MessageError
from ..hooks import Hooks
from ..hookspecs import Context
from ..html_to_text import html_to_text
from ..message import Message
from ..plugin import Plugin, PluginSettings

if TYPE_CHECKING:
    from mrml import ParserOptions, RenderOptions

__all__ = ["Mjml", "MjmlSettings"]

#: Before all that reads or changes html.
_PRIORITY = 5
#: Larger ones are done in a thread, where there is an event loop to be kept going.
_AT_ONCE_CHARACTERS = 64 * 1024
_IS_MJML = re.compile(r"\ufeff?(?:\s|<!--.*?-->)*+<mjml[\s>]", re.DOTALL)
#: Elements within each other. mrml 0.2 recurses, and its stack's end is the process's: 100 are safe in 512 kB.
_MOST_NESTED = 100
_VOID = frozenset("area base br col embed hr img input link meta param source track wbr".split())
# All that mrml reads behind a "<"; whatever is something else, it refuses.
_MARKUP = re.compile(
    r"""<!--.*?-->|<(?P<end>/?)(?P<name>[A-Za-z][^\s/>"']*+)(?:[^"'>/]|"[^"]*+"|'[^']*+'|/(?!>))*+(?P<empty>/?)>""",
    re.DOTALL,
)
# What mrml says, and at which octet.
_FAULT = re.compile(r"([a-z ]+) in root template(?: at position (\d+):\d+)?")


class MjmlSettings(PluginSettings):
    """Settings of ``mjml``."""

    fonts: dict[str, str] = Field(
        {}, description="Web fonts: family to the URL of its style sheet, which readers' programs fetch. Else none."
    )
    social_icons: str | None = Field(
        None, description="Where icons of `mj-social` lie: the start of their URLs. Else Mailjet's, as in MJML."
    )
    comments: bool = Field(False, description="Whether comments stay in the html; those for Outlook always do.")
    _options: tuple[ParserOptions, RenderOptions] | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _check(self) -> MjmlSettings:
        try:
            self.options()  # what is missing is to be known now
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return self

    def options(self) -> tuple[ParserOptions, RenderOptions]:
        """How mrml is to read and write, as they say; it loads nothing.

        Raises:
            ConfigError: The library is not installed.
        """
        if self._options is None:
            try:
                from mrml import ParserOptions, RenderOptions, noop_loader
            except ImportError as error:
                raise ConfigError("needs mrml: pip install 'mailwright[mjml]'") from error
            render = RenderOptions(
                disable_comments=not self.comments, social_icon_origin=self.social_icons, fonts=self.fonts
            )
            self._options = (ParserOptions(include_loader=noop_loader()), render)
        return self._options


class Mjml(Plugin[MjmlSettings]):
    """Makes html of a message's html that is MJML: that begins with ``<mjml``. All other html is left as it is.

    ``mj-include`` is refused: a template has its own ``include``.
    """

    name = "mjml"

    def register(self, hooks: Hooks) -> None:
        """Before all that reads html."""
        hooks.add_filter("message", self.made, _PRIORITY)

    def made(self, message: Message, context: Context) -> Message | Awaitable[Message]:
        """The message with html in place of MJML.

        Raises:
            MessageError: It is no MJML that can be read; with the line, and no text of it.
        """
        source = message.html
        if not source or not _IS_MJML.match(source):
            return message
        work: Callable[[], Message] = lambda: self._made(message, source)  # noqa: E731
        return work() if len(source) <= _AT_ONCE_CHARACTERS else context.runtime.run(work)

    def _made(self, message: Message, source: str) -> Message:
        from mrml import to_html

        _check_markup(source)
        parser, render = self.settings.options()
        try:
            html = to_html(source.removeprefix("\ufeff"), parser, render).content
        except OSError as error:
            fault = _FAULT.match(str(error))
        else:
            # A template's text was derived from what was MJML then.
            is_derived = message.text is not None and message.text == html_to_text(source)
            return message.with_(html=html, text=html_to_text(html) if is_derived else message.text)
        said, at = (fault[1], fault[2]) if fault else ("cannot be read", None)
        line = source.encode()[: int(at)].count(b"\n") + 1 if at else None
        raise MessageError(f"mjml: {said}" + (f" in line {line}" if line else ""), field="html")


def _check_markup(source: str) -> None:
    """Refuse what mrml must not be given.

    Raises:
        MessageError: Elements are nested too deep, something is to be included, or there is a "<" that begins nothing.
    """
    open_: Counter[str] = Counter()
    depth, at = 0, source.find("<")
    while at >= 0:
        found = _MARKUP.match(source, at)
        line = source.count("\n", 0, at) + 1 if found is None or found["name"] == "mj-include" else 0
        if found is None:
            raise MessageError(f"mjml: line {line} has a < that begins no element: write &lt;", field="html")
        if found["name"] == "mj-include":
            raise MessageError(
                f"mjml: line {line} has mj-include, and nothing is loaded: use the template's include", field="html"
            )
        name = found["name"]
        if name and not found["empty"] and name not in _VOID:
            if not found["end"]:
                open_[name] += 1
                depth += 1
            elif open_[name]:
                open_[name] -= 1
                depth -= 1
            if depth > _MOST_NESTED:
                raise MessageError(
                    f"mjml: more than {_MOST_NESTED} elements are open within each other: close them", field="html"
                )
        at = source.find("<", found.end())
