"""Html as plain text, for the text part of a mail: what a reader would see, in lines.

Links are ``text [url]``, lists have their marks, quotes ``> ``; tables with header cells are set in columns, others
flow, as they are layout. What is hidden (a preheader too), scripts, styles and comments are left out. Linear in time,
without recursion; never raises.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from .html_tokens import Token, tokens
from .text_lines import BREAK, CELL, Lines, collapsed, without_controls
from .text_table import columns

__all__ = ["html_to_text"]

# Begin and end a line; those with a blank line around them.
_BLOCKS = frozenset(
    "address article aside body caption center dd details dialog div dt fieldset figcaption figure footer form header"
    " html legend li main nav option section summary tbody tfoot thead tr".split()
)
_SPACED = frozenset("p h1 h2 h3 h4 h5 h6 blockquote dl ol ul pre hr table".split())
_VOID = frozenset("area base br col embed hr img input link meta param source track wbr".split())
_DROPPED = frozenset("head template svg math select datalist object canvas audio video map".split())
_IN_HEAD = frozenset("base link meta noscript style title script".split())
# An end tag closes nothing outside of the innermost of these, unless it is its own.
_SCOPES = frozenset("table td th caption ul ol dl".split())
# A start tag closes an open one of these in its scope, as html lets one leave out the end tags.
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_IMPLIED = {"a": ("a",), "li": ("li",), "dt": ("dt", "dd"), "dd": ("dt", "dd"), **dict.fromkeys(_HEADINGS, _HEADINGS)}
_IN_ROW = frozenset(("tr", "td", "th"))
_LISTS = frozenset(("dl", "ol", "ul"))

_HIDING = re.compile("none|hidden|opacity", re.IGNORECASE)  # what a style that hides has in it
_MAX_HEADING_LINES = 10  # looked at for the length of the line below
_MAX_SCOPES = 8  # lists left open within a cell that are looked through for it

_Attributes = Mapping[str, str]
_Table = list[list[tuple[str, bool]]]


def html_to_text(html: str, width: int = 76) -> str:
    """Render html as plain text.

    Args:
        html: A document or a fragment.
        width: Characters in a line; a longer word or URL is never broken.

    Returns:
        Lines with "\\n" between, without blanks at their ends, and without control characters.
    """
    found = list(tokens(html))
    reader = _Reader(width, _data_tables(found))
    for index, token in enumerate(found):
        if isinstance(token, str):
            reader.text(token)
        elif token.is_end:
            reader.end(token.name)
        else:
            reader.start(token.name, token.attributes, index)
    return reader.finished()


def _data_tables(found: Iterable[Token]) -> set[int]:
    """Which tables (by the index of their token) hold data: those with a <th> of their own and no table inside."""
    data: set[int] = set()
    open_tables: list[int] = []
    for index, token in enumerate(found):
        if isinstance(token, str):
            continue
        if token.name == "table":
            if token.is_end:
                if open_tables:
                    open_tables.pop()
            else:
                data.difference_update(open_tables[-1:])
                # Minus: it is layout, whatever comes.
                is_layout = token.attributes.get("role", "").lower() in ("presentation", "none")
                open_tables.append(-1 if is_layout else index)
        elif token.name == "th" and not token.is_end and open_tables and open_tables[-1] >= 0:
            data.add(open_tables[-1])
    return data


@dataclass(slots=True)
class _Open:
    """An open element, and what its end does."""

    name: str
    is_hidden: bool
    close: Callable[[], object] | None = None


@dataclass(slots=True)
class _List:
    """An open list, and the number of its next item, or None for bullets."""

    number: int | None
    has_items: bool = False


class _Reader:
    """Takes tags and texts, writes lines."""

    def __init__(self, width: int, data_tables: set[int]) -> None:
        self.lines = Lines(width)
        self.pieces: list[str] = []  # the paragraph that is being read
        self.flushes = 0  # how many paragraphs have been
        self.hidden = 0
        self.pre = 0
        self.lists: list[_List] = []
        self.tables: list[_Table | None] = []  # None: layout
        self._data_tables = data_tables
        self._stack: list[_Open] = []
        self._scopes: list[str] = []
        # How many of a name are open: of scopes, and of the others by scope, the innermost last.
        self._open_scopes: dict[str, int] = {}
        self._open: list[dict[str, int]] = [{}]

    # --- tokens -------------------------------------------------------------------------------------------------------

    def text(self, text: str) -> None:
        if self.hidden:
            return
        if not self.pre and (not text or text.isspace()):
            if self.pieces:
                self.pieces.append(" " if text.isascii() else text)
            return
        self.pieces.append(without_controls(text))

    def start(self, name: str, attributes: _Attributes, index: int) -> None:
        self._close_implied(name)
        is_hidden = name in _DROPPED or (bool(attributes) and _is_hidden(attributes))
        element = _Open(name, is_hidden)
        if not self.hidden and not is_hidden:
            if name in _SPACED:
                self.flush(gap=0 if name in _LISTS and self.lists else 1)
            elif name in _BLOCKS:
                self.flush()
            if opening := _OPENING.get(name):
                element.close = opening(self, attributes, index)
        if name in _VOID:
            return
        self.hidden += is_hidden
        self._stack.append(element)
        if name in _SCOPES:
            self._open_scopes[name] = self._open_scopes.get(name, 0) + 1
            self._scopes.append(name)
            self._open.append({})
        else:
            names = self._open[-1]
            names[name] = names.get(name, 0) + 1

    def _close_implied(self, name: str) -> None:
        """Close what html lets one leave open before such a start tag."""
        names = self._open[-1]
        if names:
            if names.get("head") and name not in _IN_HEAD:
                self.end("head")
            if names.get("p") and (name in _BLOCKS or name in _SPACED):
                self.end("p")
            for implied in _IMPLIED.get(name, ()):
                if names.get(implied):
                    self.end(implied)
        if name in _IN_ROW:
            for scope in reversed(self._scopes[-_MAX_SCOPES:]):
                if scope == "table":
                    break
                if scope in ("td", "th"):
                    self.end(scope)
                    break
            if name == "tr" and self._open[-1].get("tr"):
                self.end("tr")

    def end(self, name: str) -> None:
        if name == "br":  # </br> is read as <br>
            self.start("br", {}, -1)
        if not (self._open_scopes if name in _SCOPES else self._open[-1]).get(name):
            return
        while True:
            element = self._stack.pop()
            if element.name in _SCOPES:
                self._open_scopes[element.name] -= 1
                self._scopes.pop()
                self._open.pop()
            else:
                self._open[-1][element.name] -= 1
            self.hidden -= element.is_hidden
            if not self.hidden and not element.is_hidden:
                is_spaced = element.name in _SPACED
                if is_spaced or element.name in _BLOCKS:
                    self.flush()
                if element.close is not None:
                    element.close()
                if is_spaced and not (element.name in _LISTS and self.lists):
                    self.lines.gap = 1
            if element.name == name:
                return

    def finished(self) -> str:
        while self._stack:
            self.end(self._stack[-1].name)
        self.flush()
        return "\n".join(self.lines.written)

    # --- what start tags do: each may give what the end does ----------------------------------------------------------

    def open_br(self, attributes: _Attributes, index: int) -> None:
        self.pieces.append(BREAK)

    def open_img(self, attributes: _Attributes, index: int) -> None:
        self.text(attributes.get("alt", ""))

    def open_hr(self, attributes: _Attributes, index: int) -> None:
        if not self._is_in_cell():
            self.lines.write("-" * self.lines.room)
            self.lines.gap = 1

    def open_q(self, attributes: _Attributes, index: int) -> Callable[[], None]:
        self.pieces.append('"')
        return lambda: self.pieces.append('"')

    def open_pre(self, attributes: _Attributes, index: int) -> Callable[[], None]:
        self.pre += 1

        def close() -> None:
            self.pre -= 1

        return close

    def open_blockquote(self, attributes: _Attributes, index: int) -> Callable[[], None] | None:
        return self.lines.unmark if self.lines.mark("> ", "> ") else None

    def open_dd(self, attributes: _Attributes, index: int) -> Callable[[], None] | None:
        return self.lines.unmark if self.lines.mark("    ", "    ") else None

    def open_ul(self, attributes: _Attributes, index: int) -> Callable[[], object]:
        self.lists.append(_List(None))
        return self.lists.pop

    def open_ol(self, attributes: _Attributes, index: int) -> Callable[[], object]:
        self.lists.append(_List(_integer(attributes.get("start"), 1)))
        return self.lists.pop

    def open_li(self, attributes: _Attributes, index: int) -> Callable[[], None] | None:
        own = self.lists[-1] if self.lists else _List(None)
        first = "- "
        if own.number is not None:
            number = _integer(attributes.get("value"), own.number)
            own.number = number + 1
            first = f"{number}. "
        if own.has_items:
            self.lines.gap = 0
        own.has_items = True
        return self.lines.unmark if self.lines.mark(first, " " * len(first)) else None

    def open_h1(self, attributes: _Attributes, index: int, line: str = "=") -> Callable[[], None] | None:
        if self._is_in_cell():
            return None
        first = len(self.lines.written)

        def close() -> None:
            written = self.lines.written[first : first + _MAX_HEADING_LINES]
            if written:
                length = max(map(len, written)) - self.lines.indent
                self.lines.write(line * max(0, min(length, self.lines.room)))

        return close

    def open_h2(self, attributes: _Attributes, index: int) -> Callable[[], None] | None:
        return self.open_h1(attributes, index, "-")

    def open_a(self, attributes: _Attributes, index: int) -> Callable[[], None] | None:
        url = _url(attributes.get("href", ""))
        if not url:
            return None
        at, flushes = len(self.pieces), self.flushes

        def close() -> None:
            is_whole = flushes == self.flushes
            text = collapsed("".join(self.pieces[at:] if is_whole else self.pieces))
            if not is_whole and not text.strip():  # blocks inside the link: it stands below them
                self.pieces.append(f"[{url}]")
                self.flush()
            elif not text.strip():
                self.pieces.append(f" [{url}]")
            elif not (is_whole and _is_same(text, url)):
                self.pieces.append(f" [{url}]" + " " * text.endswith(" "))

        return close

    # --- tables -------------------------------------------------------------------------------------------------------

    def _is_in_cell(self) -> bool:
        """Whether this is within a table of data, whose cells are one line each."""
        return bool(self.tables) and self.tables[-1] is not None

    def open_table(self, attributes: _Attributes, index: int) -> Callable[[], None]:
        self.tables.append([] if index in self._data_tables else None)

        def close() -> None:
            table = self.tables.pop()
            if table is not None:
                self.flush()  # a caption
                for line in columns(table, self.lines.room):
                    if line:
                        self.lines.write(line)
                    else:
                        self.lines.gap = 1

        return close

    def open_tr(self, attributes: _Attributes, index: int) -> None:
        if self.tables and (table := self.tables[-1]) is not None:
            table.append([])

    def open_td(self, attributes: _Attributes, index: int, is_header: bool = False) -> Callable[[], None] | None:
        table = self.tables[-1] if self.tables else None
        if table is None:
            if self.pieces:
                self.pieces.append(CELL)
            return None
        if not table:
            table.append([])
        row = table[-1]
        span = min(max(_integer(attributes.get("colspan"), 1), 1), 20)
        outer, self.pieces = self.pieces, []

        def close() -> None:
            text = " ".join(collapsed("".join(self.pieces).replace(BREAK, " ")).split())
            row.extend([(text, is_header), *[("", is_header)] * (span - 1)])
            self.pieces = outer

        return close

    def open_th(self, attributes: _Attributes, index: int) -> Callable[[], None] | None:
        return self.open_td(attributes, index, is_header=True)

    # --- paragraphs ---------------------------------------------------------------------------------------------------

    def flush(self, gap: int = 0) -> None:
        """End the paragraph that is being read; at least ``gap`` blank lines before the next."""
        if self._is_in_cell():
            self.pieces.append(" ")
            return
        self.flushes += 1
        if self.pieces:
            text = "".join(self.pieces)
            self.pieces = []
            if self.pre:
                self.lines.preformatted(text)
            else:
                self.lines.paragraph(text)
        self.lines.space(gap)


# Element -> what its start tag does beside beginning a line.
_OPENING: dict[str, Callable[[_Reader, _Attributes, int], Callable[[], object] | None]] = {
    name.removeprefix("open_"): method for name, method in vars(_Reader).items() if name.startswith("open_")
}


# --- attributes -------------------------------------------------------------------------------------------------------


def _is_hidden(attributes: _Attributes) -> bool:
    if "hidden" in attributes or attributes.get("aria-hidden", "").strip().lower() == "true":
        return True
    for name in ("class", "id"):
        value = attributes.get(name)
        if value and "preheader" in value.lower().split():
            return True
    style = attributes.get("style")
    if not style or not _HIDING.search(style):
        return False
    rules = dict.fromkeys("".join(style.lower().replace("!important", "").split()).split(";"))
    return (
        "display:none" in rules
        or "visibility:hidden" in rules
        or "opacity:0" in rules
        or ("overflow:hidden" in rules and ("max-height:0" in rules or "max-height:0px" in rules))
    )


def _url(href: str) -> str:
    """The URL as it is shown; "" for what leads nowhere outside of the html."""
    url = "%20".join(without_controls(href).split())
    scheme = url[:11].lower()
    if scheme.startswith(("javascript:", "data:", "cid:", "vbscript:", "#")):
        return ""
    if scheme.startswith("mailto:"):
        return url[7:].partition("?")[0]
    return url[4:] if scheme.startswith("tel:") else url


def _is_same(text: str, url: str) -> bool:
    """Whether the text says the URL already."""

    def bare(value: str) -> str:
        return re.sub(r"^(?:https?://)?(?:www\.)?", "", value.strip().lower()).rstrip("/")

    return bare(text) == bare(url) or (url.lstrip("+").isdigit() and re.sub(r"[\s()./-]", "", text.strip()) == url)


def _integer(text: str | None, default: int) -> int:
    found = re.fullmatch(r"\s*(-?[0-9]{1,9})\s*", text or "", re.ASCII)
    return int(found[1]) if found else default
