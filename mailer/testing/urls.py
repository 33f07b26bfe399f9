"""Links in a mail, as its reader would follow them."""

from __future__ import annotations

import re
from html.parser import HTMLParser

__all__ = ["links_in_html", "links_in_text"]

_URL = re.compile(r"https?://[^\s<>\"`{}|\\^“”„«»。、]+", re.IGNORECASE)
_CLOSING = {")": "(", "]": "["}


# In an attribute "&copy=" is no sign (HTML 13.2.5.73), for which the parser takes it before Python 3.14.
_NO_REFERENCE = re.compile(r"&(?=\w+=)")
_UNSEEN = ("a", "script", "style", "title")


class _Links(HTMLParser):
    """What ``<a>`` and ``<area>`` lead to, and URLs in the text, which programs make links; ``&amp;`` is undone."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._within = ""  # of the elements whose text is not looked at

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _UNSEEN:
            self._within = tag
        if tag in ("a", "area"):
            href = dict(reversed(attrs)).get("href")  # of two the first counts
            href = re.sub(r"[\t\r\n]", "", href or "").strip()  # as the URL standard has it
            if _URL.match(href):
                self.found.append(href)

    def handle_endtag(self, tag: str) -> None:
        if tag == self._within:
            self._within = ""

    def handle_data(self, data: str) -> None:
        if not self._within:
            self.found += links_in_text(data)


def links_in_html(html: str) -> list[str]:
    """The http and https URLs that links lead to or that its text shows, unescaped, in order, repeats kept.

    A tag that is cut off at the end is none, as in browsers.
    """
    parser = _Links()
    parser.feed(_NO_REFERENCE.sub("&amp;", html[: html.rfind("<")] if html.rfind("<") > html.rfind(">") else html))
    parser.close()
    return parser.found


def links_in_text(text: str) -> list[str]:
    """The http and https URLs in plain text, in order, repeats kept; without the punctuation of the sentence around."""
    return [_trimmed(found[0], text[max(found.start() - 1, 0) : found.start()]) for found in _URL.finditer(text)]


def _trimmed(url: str, before: str) -> str:
    # What emphasizes stands on both sides; a token in base64 may end in "_".
    around = before if before in ("*", "_") else ""
    while url:
        last = url[-1]
        opening = _CLOSING.get(last)
        is_unopened = opening is not None and url.count(last) > url.count(opening)
        if last not in f".,;:!?'…’{around}" and not is_unopened:
            break
        url = url[:-1]
    return url
