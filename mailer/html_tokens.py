"""HTML as a stream of tags and texts, in linear time, whatever is broken in it.

Not on the standard library's ``html.parser``: an unclosed tag makes that quadratic (30 kB of ``<a `` took 14 s on
3.11.7), and what it makes of comments and scripts differs between patch releases; these are the steps of the HTML
standard (section 13.2.5) that matter for reading a text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from html import unescape
from typing import NamedTuple

__all__ = ["Tag", "Token", "tokens"]


class Tag(NamedTuple):
    """A start tag, or an end tag.

    Attributes:
        name: In lower case.
        is_end: Whether it is an end tag.
        attributes: By lower-case name; the first of a name holds.
    """

    name: str
    is_end: bool = False
    attributes: Mapping[str, str] = {}  # never changed


#: A tag, or text with its character references resolved.
Token = Tag | str

_NAME = re.compile(r"[A-Za-z][^\s/>]*")
_ATTRIBUTE = re.compile(r"""([^\s/>=][^\s/>=]*)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>"'][^\s>]*)))?""")
_BETWEEN = re.compile(r"[\s/=]*")
# Elements whose content is no markup, and of no interest in a text.
_RAW = {
    name: re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE)
    for name in "script style title textarea xmp iframe noembed noframes".split()
}
_COMMENT_END = re.compile(r"--!?>")
# More digits than any character has: int() refuses thousands of them.
_HUGE_REFERENCE = re.compile(r"&#[xX]?[0-9a-fA-F]{16,};?")


def tokens(html: str) -> Iterator[Token]:
    """Yield the tags and texts. Comments (those for one mail client too), doctype, scripts and styles are left out."""
    position, end = 0, len(html)
    while position < end:
        opening = html.find("<", position)
        if opening < 0:
            yield _text(html[position:])
            return
        if opening > position:
            yield _text(html[position:opening])
        after = html[opening + 1 : opening + 2]
        if after in ("!", "?"):
            position = _after_comment(html, opening)
        elif after == "/" and (found := _NAME.match(html, opening + 2)):
            closing = html.find(">", found.end())
            position = closing + 1 if closing >= 0 else end
            yield Tag(found[0].lower(), is_end=True)
        elif found := _NAME.match(html, opening + 1):
            name = found[0].lower()
            attributes, position = _attributes(html, found.end())
            if position > end:  # the input ends inside the tag
                return
            if name in _RAW:
                closing_tag = _RAW[name].search(html, position)
                position = closing_tag.start() if closing_tag else end
            else:
                yield Tag(name, attributes=attributes)
        else:
            yield "<"
            position = opening + 1


def _after_comment(html: str, opening: int) -> int:
    """Where a comment, doctype or what is taken for one ends; one without an end takes the rest."""
    if html.startswith("<!--", opening):
        for short in ("<!-->", "<!--->"):
            if html.startswith(short, opening):
                return opening + len(short)
        found = _COMMENT_END.search(html, opening + 4)
        return found.end() if found else len(html)
    closing = html.find(">", opening)
    return closing + 1 if closing >= 0 else len(html)


def _attributes(html: str, position: int) -> tuple[Mapping[str, str], int]:
    """Read attributes up to the end of the tag; the position behind it, past the input's end if it has none."""
    attributes: dict[str, str] = {}
    closing = html.find(">", position)
    if closing == position:
        return attributes, closing + 1
    if closing > position:
        # Nearly always; the rest is for ">" in a value, single quotes, and quotes that are not closed.
        inside = html[position:closing]
        if "'" not in inside and inside.count('"') % 2 == 0:
            for name, double, single, bare in _ATTRIBUTE.findall(inside):
                attributes.setdefault(name.lower(), _text(double or single or bare))
            return attributes, closing + 1
    while True:
        position = _BETWEEN.match(html, position).end()  # type: ignore[union-attr]  # it matches nothing, too
        if position >= len(html):
            return attributes, len(html) + 1
        if html[position] == ">":
            return attributes, position + 1
        found = _ATTRIBUTE.match(html, position)
        if found is None:
            position += 1
            continue
        position = found.end()
        attributes.setdefault(found[1].lower(), _text(found[2] or found[3] or found[4] or ""))


def _text(raw: str) -> str:
    return unescape(_HUGE_REFERENCE.sub("\ufffd", raw)) if "&" in raw else raw
