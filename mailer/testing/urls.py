"""Links in a mail, as its reader would follow them."""

from __future__ import annotations

import re
from html.parser import HTMLParser

__all__ = ["links_in_html", "links_in_text"]

_URL = re.compile(r"https?://[^\s<>\"`{}|\\^]+", re.IGNORECASE)
_CLOSING = {")": "(", "]": "["}


class _Hrefs(HTMLParser):
    """What ``<a>`` and ``<area>`` lead to; the parser has undone ``&amp;``."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("a", "area"):
            href = dict(reversed(attrs)).get("href")  # of two the first counts
            if href and _URL.match(href.strip()):
                self.found.append(href.strip())


def links_in_html(html: str) -> list[str]:
    """The http and https URLs that links lead to, unescaped, in order, repeats kept."""
    parser = _Hrefs()
    parser.feed(html)
    parser.close()
    return parser.found


def links_in_text(text: str) -> list[str]:
    """The http and https URLs in plain text, in order, repeats kept; without the punctuation of the sentence around."""
    return [_trimmed(found[0]) for found in _URL.finditer(text)]


def _trimmed(url: str) -> str:
    while url:
        last = url[-1]
        opening = _CLOSING.get(last)
        is_unopened = opening is not None and url.count(last) > url.count(opening)
        if last not in ".,;:!?'*_" and not is_unopened:
            break
        url = url[:-1]
    return url
