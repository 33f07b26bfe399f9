"""Html as plain text, for the text part of a mail: what a reader would see, in lines.

Links are ``text [url]``, lists have their marks, quotes ``> ``; tables with header cells are set in columns, others
flow, as they are layout. What is hidden (a preheader too), scripts, styles and comments are left out. Linear in time,
without recursion; never raises.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from .html_tokens import Tag, Token, tokens
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
_IMPLIED = {"li": {"li"}, "dt": {"dt", "dd"}, "dd": {"dt", "dd"}, "tr": {"tr"}, "option": {"option"}}
_HEADINGS = frozenset(("h1", "h2", "h3", "h4", "h5", "h6"))
_UNDERLINED = {"h1": "=", "h2": "-"}

_SPACE = re.compile(r"[ \t\n\r\f\v\u2028\u2029\x85]+")
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff]")
# Shown as nothing: what preheaders are padded with, soft hyphens, byte order marks.
_INVISIBLE = re.compile("[\u00ad\u034f\u061c\u180e\u200b\u2060-\u2064\ufeff]")
# Joiners mean something inside a word only; single no-break spaces keep words together, several are padding.
_PADDING = re.compile("(?:(?<=\\s)|^)[\u200c\u200d]+|[\u200c\u200d]+(?=\\s|$)")
_NO_BREAK = re.compile("[ \u00a0\u2007\u202f]{2,}")
_BREAK = "\x1e"  # stands for <br>; no text holds a control character
_CELL = "\x1f"  # stands between the cells of a line
_MAX_MARKS = 8  # quotes and lists within each other that are still indented
_MIN_WIDTH = 16
_MAX_HEADING_LINES = 10  # looked at for the length of the line below


def html_to_text(html: str, width: int = 76) -> str:
    """Render html as plain text.

    Args:
        html: A document or a fragment.
        width: Characters in a line; a longer word or URL is never broken.

    Returns:
        Lines with "\\n" between, without blanks at their ends, and without control characters.
    """
    found = list(tokens(html))
    writer = _Writer(width, _data_tables(found))
    for index, token in enumerate(found):
        if isinstance(token, str):
            writer.text(token)
        elif token.is_end:
            writer.end(token.name)
        else:
            writer.start(token, index)
    return writer.finished()


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
    """An open element, and what it must undo."""

    name: str
    is_hidden: bool = False
    has_mark: bool = False
    close: Callable[[], None] | None = None


@dataclass(slots=True)
class _Mark:
    """What stands before each line of a quote or list item."""

    first: str
    rest: str
    is_used: bool = False


@dataclass(slots=True)
class _Table:
    """A data table: its rows of (text, whether it is a header)."""

    rows: list[list[tuple[str, bool]]] = field(default_factory=list)


@dataclass(slots=True)
class _List:
    """An open list, and the number of its next item, or None for bullets."""

    number: int | None
    has_items: bool = False


class _Writer:
    """Takes tokens, writes lines."""

    def __init__(self, width: int, data_tables: set[int]) -> None:
        self.width = width
        self.data_tables = data_tables
        self.lines: list[str] = []
        self.pieces: list[str] = []  # the paragraph that is being read
        self.gap = 0  # blank lines before the next line
        self.marks: list[_Mark] = []
        self.stack: list[_Open] = []
        self.open_names: list[Counter[str]] = [Counter()]  # by scope, innermost last
        self.scopes: list[str] = []
        self.open_scopes: Counter[str] = Counter()
        self.hidden = 0
        self.pre = 0
        self.lists: list[_List] = []
        self.tables: list[_Table | None] = []  # None: layout
        self.flushes = 0

    # --- tokens -------------------------------------------------------------------------------------------------------

    def text(self, text: str) -> None:
        if not self.hidden and text:
            self.pieces.append(_CONTROL.sub("", text))

    def start(self, tag: Tag, index: int) -> None:
        name = tag.name
        if self.open_names[-1]["head"] and name not in _IN_HEAD:
            self.end("head")
        if name in _BLOCKS or name in _SPACED:
            if self.open_names[-1]["p"]:
                self.end("p")
            for implied in _HEADINGS if name in _HEADINGS else _IMPLIED.get(name, ()):
                if self.open_names[-1][implied]:
                    self.end(implied)
        elif name in ("td", "th"):
            self.end_cell()
        elif name == "a" and self.open_names[-1]["a"]:
            self.end("a")
        if name == "tr":
            self.end_cell()
        is_hidden = name in _DROPPED or _is_hidden(tag.attributes)
        element = _Open(name, is_hidden)
        if not self.hidden and not is_hidden:
            self.opened(element, tag.attributes, index)
        if name in _VOID:
            return
        self.hidden += is_hidden
        self.stack.append(element)
        if name in _SCOPES:
            self.open_scopes[name] += 1
            self.scopes.append(name)
            self.open_names.append(Counter())
        else:
            self.open_names[-1][name] += 1

    def end(self, name: str) -> None:
        if name == "br":  # </br> is read as <br>
            return self.start(Tag("br"), -1)
        if not (self.open_scopes[name] if name in _SCOPES else self.open_names[-1][name]):
            return None
        while True:
            element = self.stack.pop()
            if element.name in _SCOPES:
                self.open_scopes[element.name] -= 1
                self.scopes.pop()
                self.open_names.pop()
            else:
                self.open_names[-1][element.name] -= 1
            self.hidden -= element.is_hidden
            if not self.hidden and not element.is_hidden:
                self.closed(element)
            if element.name == name:
                return None

    def end_cell(self) -> None:
        """Close the cell that is open in the innermost table."""
        for name in reversed(self.scopes[-_MAX_MARKS:]):
            if name != "table":
                if name in ("td", "th"):
                    self.end(name)
                    break
            else:
                break

    def finished(self) -> str:
        while self.stack:
            self.end(self.stack[-1].name)
        self.flush()
        return "\n".join(self.lines)

    # --- elements -----------------------------------------------------------------------------------------------------

    def opened(self, element: _Open, attributes: dict[str, str], index: int) -> None:
        name = element.name
        if name in _SPACED:
            self.flush(gap=0 if name in ("ol", "ul", "dl") and self.lists else 1)
        elif name in _BLOCKS:
            self.flush()
        if name == "br":
            self.pieces.append("\n" if self.pre else _BREAK)
        elif name == "img":
            self.text(attributes.get("alt", ""))
        elif name == "hr" and not self.in_cell():
            self.write("-" * self.room())
            self.gap = 1
        elif name == "a":
            self.open_link(element, attributes.get("href", ""))
        elif name == "q":
            self.pieces.append('"')
            element.close = lambda: self.pieces.append('"')
        elif name == "pre":
            self.pre += 1
            element.close = self.close_pre
        elif name == "blockquote":
            self.mark(element, "> ", "> ")
        elif name == "dd":
            self.mark(element, "    ", "    ")
        elif name in ("ol", "ul"):
            self.lists.append(_List(_integer(attributes.get("start"), 1) if name == "ol" else None))
            element.close = self.close_list
        elif name == "li":
            self.open_item(element, attributes.get("value"))
        elif name in _UNDERLINED and not self.in_cell():
            first = len(self.lines)
            element.close = lambda: self.underline(first, _UNDERLINED[name])
        elif name == "table":
            self.tables.append(_Table() if index in self.data_tables else None)
            element.close = self.close_table
        elif name == "tr" and self.tables and (table := self.tables[-1]) is not None:
            table.rows.append([])
        elif name in ("td", "th"):
            self.open_cell(element, attributes)

    def closed(self, element: _Open) -> None:
        name = element.name
        if name in _SPACED or name in _BLOCKS:
            self.flush()
        if element.close is not None:
            element.close()
        if element.has_mark:
            self.marks.pop()
        if name in _SPACED and not (name in ("ol", "ul", "dl") and self.lists):
            self.gap = 1

    def mark(self, element: _Open, first: str, rest: str) -> None:
        if len(self.marks) < _MAX_MARKS:
            self.marks.append(_Mark(first, rest))
            element.has_mark = True

    def open_item(self, element: _Open, value: str | None) -> None:
        own = self.lists[-1] if self.lists else _List(None)
        if own.number is None:
            first = "- "
        else:
            number = _integer(value, own.number)
            own.number = number + 1
            first = f"{number}. "
        if own.has_items:
            self.gap = 0
        own.has_items = True
        self.mark(element, first, " " * len(first))

    def close_list(self) -> None:
        self.lists.pop()

    def close_pre(self) -> None:
        self.pre -= 1

    def underline(self, first: int, line: str) -> None:
        written = self.lines[first : first + _MAX_HEADING_LINES]
        if written:
            before = "".join(mark.rest for mark in self.marks)
            length = max(len(text) for text in written) - len(before)
            self.write(line * max(0, min(length, self.room())))

    def open_link(self, element: _Open, href: str) -> None:
        url = _url(href)
        at, flushes = len(self.pieces), self.flushes

        def close() -> None:
            if not url:
                return
            is_whole = flushes == self.flushes
            text = _collapsed("".join(self.pieces[at:] if is_whole else self.pieces))
            if not is_whole and not text.strip():  # blocks inside the link: it stands below them
                self.pieces.append(f"[{url}]")
                self.flush()
            elif not text.strip():
                self.pieces.append(f" [{url}]")
            elif not (is_whole and _is_same(text, url)):
                self.pieces.append(f" [{url}]" + " " * text.endswith(" "))

        element.close = close

    # --- tables -------------------------------------------------------------------------------------------------------

    def open_cell(self, element: _Open, attributes: dict[str, str]) -> None:
        table = self.tables[-1] if self.tables else None
        if table is None:
            if self.pieces:
                self.pieces.append(_CELL)
            return
        if not table.rows:
            table.rows.append([])
        row, is_header = table.rows[-1], element.name == "th"
        span = min(max(_integer(attributes.get("colspan"), 1), 1), 20)
        outer, self.pieces = self.pieces, []

        def close() -> None:
            text = " ".join(_collapsed("".join(self.pieces).replace(_BREAK, " ")).split())
            row.extend([(text, is_header), *[("", is_header)] * (span - 1)])
            self.pieces = outer

        element.close = close

    def in_cell(self) -> bool:
        return bool(self.tables) and self.tables[-1] is not None

    def close_table(self) -> None:
        table = self.tables.pop()
        if table is not None:
            self.flush()  # a caption
            for line in columns(table.rows, self.room()):
                if line:
                    self.write(line)
                else:
                    self.gap = 1

    # --- lines --------------------------------------------------------------------------------------------------------

    def room(self) -> int:
        return max(self.width - sum([len(mark.rest) for mark in self.marks]), _MIN_WIDTH)

    def flush(self, gap: int = 0) -> None:
        """End the paragraph that is being read; at least ``gap`` blank lines before the next."""
        if self.in_cell():
            self.pieces.append(" ")
            return
        self.flushes += 1
        if self.pieces:
            text = "".join(self.pieces)
            self.pieces = []
            if self.pre:
                self.preformatted(text)
            else:
                self.paragraph(text)
        if not (self.marks and not self.marks[-1].is_used):  # a mark has its first line beside it
            self.gap = max(self.gap, gap)

    def paragraph(self, text: str) -> None:
        is_first = True
        for part in _collapsed(text).split(_BREAK):
            lines = _wrapped(part, self.room())
            if not lines and not is_first:
                self.gap = 1
            for line in lines:
                self.write(line)
                is_first = False

    def preformatted(self, text: str) -> None:
        lines = re.sub(r"\r\n?|[\f\v\u2028\u2029\x85]", "\n", text).replace(_BREAK, "\n").split("\n")
        while lines and not lines[0].strip():
            del lines[0]
        while lines and not lines[-1].strip():
            lines.pop()
        for line in lines:
            if line.strip():
                self.write(line)
            else:
                self.gap += 1

    def write(self, line: str) -> None:
        """Write one line behind its marks, and the blank lines before it."""
        if self.lines and self.gap:
            quote = "".join([mark.rest for mark in self.marks if mark.is_used]).rstrip()
            self.lines.extend([quote] * self.gap)
        self.gap = 0
        before = ""
        for mark in self.marks:
            before += mark.rest if mark.is_used else mark.first
            mark.is_used = True
        self.lines.append((before + line.replace("\u00a0", " ").replace(_CELL, "")).rstrip())


# --- words ------------------------------------------------------------------------------------------------------------


def _collapsed(text: str) -> str:
    text = _INVISIBLE.sub("", text)
    text = _NO_BREAK.sub(" ", _SPACE.sub(" ", text))
    return _PADDING.sub("", text) if "\u200c" in text or "\u200d" in text else text


def _wrapped(text: str, width: int) -> list[str]:
    """Lines of at most ``width`` characters, unless one word is longer; two blanks between cells."""
    lines: list[str] = []
    line: list[str] = []
    length = -1
    for word in text.replace(_CELL, f" {_CELL} ").split(" "):
        if not word.strip("\u00a0"):
            continue
        size = 0 if word == _CELL else len(word)
        if line and length + 1 + size > width:
            lines.append(" ".join(line))
            line, length = [], -1
        if word == _CELL and not line:
            continue
        if word == _CELL and line[-1] == _CELL:
            continue
        line.append(word)
        length += 1 + size
    if line:
        lines.append(" ".join(line))
    return lines


def _is_hidden(attributes: dict[str, str]) -> bool:
    if "hidden" in attributes or attributes.get("aria-hidden", "").strip().lower() == "true":
        return True
    names = f"{attributes.get('class', '')} {attributes.get('id', '')}".lower()
    if "preheader" in names.split():
        return True
    style = attributes.get("style")
    if not style:
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
    url = "%20".join(_CONTROL.sub("", href).split())
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
