"""``markdown``: text and html from one source, with no link, image or html but those that the settings allow."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Literal

from pydantic import Field, PrivateAttr, model_validator

from ..errors import ConfigError
from ..hooks import Hooks
from ..hookspecs import Context
from ..html_to_text import html_to_text
from ..message import Message
from ..plugin import Plugin, PluginSettings

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

__all__ = ["Markdown", "MarkdownSettings", "escaped"]

#: Before all that reads or changes html.
_PRIORITY = 5
#: Larger ones are done in a thread, where there is an event loop to be kept going.
_AT_ONCE_CHARACTERS = 8 * 1024
_HEAD = '<!DOCTYPE html>\n<html><head><meta charset="utf-8"></head><body>\n'
_END = "</body></html>\n"
# What every reader of URLs takes for the same host: nothing to be skipped, no user name, no backslash.
_WEB = re.compile(r"https?://([a-z0-9.-]+)(?::[0-9]{1,5})?(?:[/?#][!-\[\]-~]*)?", re.IGNORECASE)
# RFC 6068 section 2: `to`, `cc` and `bcc` would lead elsewhere than to the host, and `attach` takes files along.
_SAID = r"(?:subject|body)=[!-%'-:<-\[\]-~]*"
_MAILTO = re.compile(rf"mailto:[^@\s?&%,;]+@([a-z0-9.-]+)(?:\?{_SAID}(?:&{_SAID})*)?", re.IGNORECASE)
_CID = re.compile(r"cid:[!-~]+", re.IGNORECASE)
_HOST = re.compile(r"\*|(?:\*\.)?[a-z0-9-]+(?:\.[a-z0-9-]+)*")
_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")
# As a placeholder of a merge comes out of a URL that was percent-encoded.
_PLACEHOLDER = re.compile(r"%7B%7B(?:%20)*([^\W\d]\w*(?:\.\w+)*?)(?:%20)*%7D%7D")


def escaped(value: object) -> str:
    """The value's text with nothing in it that Markdown reads: for data within a source. One line; blanks are kept."""
    return " ".join(_PUNCTUATION.sub(r"\\\1", str(value)).splitlines())


class MarkdownSettings(PluginSettings):
    """Settings of ``markdown``."""

    link_hosts: tuple[str, ...] = Field(
        (),
        description="Where links may lead: hosts, `*.example.com` for all below one, `*` for anywhere. Else there are "
        "none.",
    )
    images: bool = Field(False, description="Whether there may be images: from those hosts, and attached ones.")
    text: Literal["derived", "source"] = Field(
        "derived", description="The text part: `derived` from the html, or the `source` as it is."
    )
    tags: tuple[str, ...] = Field((), description="Only messages with one of these tags are Markdown. Else all are.")
    _hosts: frozenset[str] = PrivateAttr(frozenset())
    _parser: MarkdownIt | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _check(self) -> MarkdownSettings:
        self._hosts = frozenset(host.lower() for host in self.link_hosts)
        for host in self._hosts:
            if not _HOST.fullmatch(host):
                raise ValueError("link_hosts: must be host names in A-labels, without https://, port and path")
        try:
            self.parser()  # what is missing is to be known now
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return self

    def allows(self, url: str) -> bool:
        """Whether a link or image may have this URL."""
        if _CID.fullmatch(url):
            return self.images
        found = _WEB.fullmatch(url) or _MAILTO.fullmatch(url)
        if found is None:
            return False
        if "*" in self._hosts:
            return True
        host = found[1].lower().rstrip(".")
        above = host.split(".")
        return host in self._hosts or any("*." + ".".join(above[at:]) in self._hosts for at in range(1, len(above)))

    def parser(self) -> MarkdownIt:
        """What reads Markdown as they say.

        Raises:
            ConfigError: The library is not installed.
        """
        if self._parser is None:
            try:
                from markdown_it import MarkdownIt
            except ImportError as error:
                raise ConfigError("needs markdown-it-py: pip install 'mailwright[markdown]'") from error
            parser = MarkdownIt("commonmark", {"html": False, "xhtmlOut": False}).enable(["table", "strikethrough"])
            if not self.images:
                parser.disable("image")
            encoded = parser.normalizeLink
            parser.normalizeLink = lambda url: _PLACEHOLDER.sub(r"{{\1}}", encoded(url))  # type: ignore[method-assign]
            parser.validateLink = self.allows  # type: ignore[method-assign]
            self._parser = parser
        return self._parser


class Markdown(Plugin[MarkdownSettings]):
    """Takes a text without html for Markdown (CommonMark, with tables and ~~strikethrough~~), and makes both of it.

    Whatever stands in the source, by whomever: html is shown as it is written, and a link or image that the settings do
    not allow is none.
    """

    name = "markdown"

    def register(self, hooks: Hooks) -> None:
        """Before all that reads html."""
        hooks.add_filter("message", self.rendered, _PRIORITY)

    def rendered(self, message: Message, context: Context) -> Message | Awaitable[Message]:
        """The message with html, where it had none."""
        source, tags = message.text, self.settings.tags
        if not source or message.html is not None or (tags and not set(tags) & set(message.tags)):
            return message
        work: Callable[[], Message] = lambda: self._with_html(message, source)  # noqa: E731
        return work() if len(source) <= _AT_ONCE_CHARACTERS else context.runtime.run(work)

    def _with_html(self, message: Message, source: str) -> Message:
        html = self.settings.parser().render(source)
        text = source if self.settings.text == "source" else html_to_text(html)
        return message.with_(text=text, html=f"{_HEAD}{html}{_END}")
