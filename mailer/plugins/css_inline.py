"""``css_inline``: style sheets written into ``style`` attributes, as some mail programs read nothing else."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from pydantic import Field, PrivateAttr, model_validator

from ..errors import ConfigError, MessageError
from ..hooks import Hooks
from ..hookspecs import Context
from ..html_tokens import tokens
from ..message import Message
from ..plugin import Plugin, PluginSettings

if TYPE_CHECKING:
    from css_inline import CSSInliner

__all__ = ["CssInline", "CssInlineSettings"]

#: Behind what writes html (``mjml``, ``markdown``, ``footer``), before what reads it (``text_part``).
_PRIORITY = 80
#: Larger ones are done in a thread, where there is an event loop to be kept going.
_AT_ONCE_CHARACTERS = 64 * 1024
_SHEET = re.compile(r"<style\b", re.IGNORECASE)
#: Elements within each other. css-inline 0.24 recurses, and its stack's end is the process's: 500 are safe in 512 kB.
_MOST_NESTED = 250
_FOREIGN = re.compile(r"<(?:svg|math)\b", re.IGNORECASE)
# What has no end tag, or may do without one; of the latter each list and table may have some open, which count with it.
_UNENDED = frozenset(
    "area base br col dd dt embed hr img input li link meta option p source"
    " tbody td tfoot th thead tr track wbr".split()
)
_DEPTHS = {"table": 4, "ul": 2, "ol": 2, "dl": 2}


class CssInlineSettings(PluginSettings):
    """Settings of ``css_inline``."""

    css: str | None = Field(None, description="A style sheet for all mail, beside those that the html has itself.")
    keep_style_tags: bool = Field(
        False, description="Whether the html keeps its style sheets whole; else what cannot be inlined, as `@media`."
    )
    size_attributes: bool = Field(
        True, description="Whether sizes of tables and images become `width` and `height` too, for Outlook."
    )
    _inliner: CSSInliner | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _check(self) -> CssInlineSettings:
        if self.css is not None and "</style" in self.css.lower():
            raise ValueError("css: has an end tag of html in it: give the style sheet alone")
        try:
            self.inliner()  # what is missing is to be known now
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return self

    def inliner(self) -> CSSInliner:
        """What inlines as they say, and loads nothing from anywhere.

        Raises:
            ConfigError: The library is not installed.
        """
        if self._inliner is None:
            try:
                from css_inline import CSSInliner
            except ImportError as error:
                raise ConfigError("needs css-inline: pip install 'mailwright[css]'") from error
            self._inliner = CSSInliner(
                load_remote_stylesheets=False,  # True, the library's default, fetches whatever html names
                keep_link_tags=True,
                keep_style_tags=self.keep_style_tags,
                keep_at_rules=True,
                resolve_css_variables=True,
                apply_width_attributes=self.size_attributes,
                apply_height_attributes=self.size_attributes,
                extra_css=self.css,
            )
        return self._inliner


class CssInline(Plugin[CssInlineSettings]):
    """Writes what ``<style>`` elements and the setting ``css`` say into the html's elements.

    Nothing is fetched: ``<link rel="stylesheet">`` and ``@import`` stay as they are. Html without a style sheet is left
    as it is, to the byte; other html comes back as a whole document. AMP is never touched, as it allows no inlining.
    """

    name = "css_inline"

    def register(self, hooks: Hooks) -> None:
        """Behind what writes html."""
        hooks.add_filter("message", self.inlined, _PRIORITY)

    def inlined(self, message: Message, context: Context) -> Message | Awaitable[Message]:
        """The message with its html inlined.

        Raises:
            MessageError: Its html cannot be: a style sheet is broken, or elements are nested too deep.
        """
        html = message.html
        if not html or not (self.settings.css or _SHEET.search(html)):
            return message
        work: Callable[[], Message] = lambda: message.with_(html=self._inlined(html))  # noqa: E731
        return work() if len(html) <= _AT_ONCE_CHARACTERS else context.runtime.run(work)

    def _inlined(self, html: str) -> str:
        if _nests_deep(html):
            raise MessageError(
                f"css_inline: more than {_MOST_NESTED} elements are open within each other: close them", field="html"
            )
        try:
            return self.settings.inliner().inline(html)
        except ValueError as error:  # InlineError is one; its text may hold some of the html
            fault = type(error).__name__
        raise MessageError(f"css_inline: {fault}: a style sheet in it cannot be read", field="html")


def _nests_deep(html: str) -> bool:
    """Whether elements may be nested deeper than is safe: never false where they are, whatever is broken."""
    if html.count("<") <= _MOST_NESTED:
        return False
    if _FOREIGN.search(html):  # other rules hold in there for what is an element and what ends one
        return len(re.findall("<[A-Za-z]", html)) > _MOST_NESTED
    open_: Counter[str] = Counter()
    depth = 0
    for token in tokens(html):
        if isinstance(token, str) or token.name in _UNENDED:
            continue
        if token.is_end and not open_[token.name]:
            continue
        step = -1 if token.is_end else 1
        open_[token.name] += step
        depth += step * _DEPTHS.get(token.name, 1)
        if depth > _MOST_NESTED:
            return True
    return False
