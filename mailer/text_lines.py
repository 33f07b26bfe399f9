"""Lines of plain text: paragraphs wrapped to a width behind the marks of quotes and lists."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["BREAK", "CELL", "Lines", "Mark", "collapsed", "without_controls"]

#: Stands for a line break in a paragraph. No text holds a control character: see :func:`without_controls`.
BREAK = "\x1e"
#: Stands between the cells of a line.
CELL = "\x1f"

_SPACE = re.compile(r"[ \t\n\r\f\v\u2028\u2029\x85]+")
_LINE_END = re.compile(r"\r\n?|[\f\v\u2028\u2029\x85\x1e]")
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff]")
# Shown as nothing: what preheaders are padded with, soft hyphens, byte order marks.
_INVISIBLE = re.compile("[\u00ad\u034f\u061c\u180e\u200b\u2060-\u2064\ufeff]")
# Joiners mean something inside a word only; single no-break spaces keep words together, several are padding.
# Looked at from their first only, or a long run of them would take the square of its length.
_PADDING = re.compile("(?:(?<=\\s)|^)[\u200c\u200d]+|(?<![\u200c\u200d])[\u200c\u200d]++(?=\\s|$)")
_NO_BREAK = re.compile("[ \u00a0\u2007\u202f]{2,}")
_MAX_MARKS = 8  # quotes and lists within each other that are still indented: the cost of a line is bounded
_MIN_WIDTH = 16


@dataclass(slots=True)
class Mark:
    """What stands before the first line, and the others, of a quote or list item."""

    first: str
    rest: str
    is_used: bool = False


class Lines:
    """Lines as they are written.

    Attributes:
        written: Without line ends and blanks at their ends.
        gap: Blank lines before the next one.
    """

    __slots__ = ("_marks", "_width", "gap", "written")

    def __init__(self, width: int) -> None:
        self.written: list[str] = []
        self.gap = 0
        self._width = width
        self._marks: list[Mark] = []

    @property
    def room(self) -> int:
        """How wide a line may be, behind its marks."""
        return max(self._width - self.indent, _MIN_WIDTH)

    @property
    def indent(self) -> int:
        """How wide the marks are."""
        return sum([len(mark.rest) for mark in self._marks]) if self._marks else 0

    def mark(self, first: str, rest: str) -> bool:
        """Put a mark before what follows; False if there are too many already."""
        if len(self._marks) >= _MAX_MARKS:
            return False
        self._marks.append(Mark(first, rest))
        return True

    def unmark(self) -> None:
        """End the innermost mark."""
        self._marks.pop()

    def space(self, gap: int) -> None:
        """Have so many blank lines before the next, but none between a mark and its first line."""
        if gap > self.gap and (not self._marks or self._marks[-1].is_used):
            self.gap = gap

    def write(self, line: str) -> None:
        """Write one line as it is, behind its marks, and the blank lines before it."""
        line = line.replace("\u00a0", " ")
        if not self._marks:
            if self.gap and self.written:
                self.written.extend([""] * self.gap)
            self.written.append(line.rstrip())
        else:
            if self.gap and self.written:
                blank = "".join([mark.rest for mark in self._marks if mark.is_used]).rstrip()
                self.written.extend([blank] * self.gap)
            before = "".join([mark.rest if mark.is_used else mark.first for mark in self._marks])
            for mark in self._marks:
                mark.is_used = True
            self.written.append((before + line).rstrip())
        self.gap = 0

    def paragraph(self, text: str) -> None:
        """Write a text, blanks collapsed, wrapped; several breaks become one blank line."""
        is_first = True
        for part in collapsed(text).split(BREAK):
            lines = _wrapped(part, self.room)
            if not lines and not is_first:
                self.gap = 1
            for line in lines:
                self.write(line)
                is_first = False

    def preformatted(self, text: str) -> None:
        """Write a text as it is, but for blank lines at its ends."""
        lines = _LINE_END.sub("\n", text).replace(CELL, "").split("\n")
        said = [number for number, line in enumerate(lines) if line.strip()]
        for line in lines[said[0] : said[-1] + 1] if said else ():
            if line.strip():
                self.write(line)
            else:
                self.gap += 1


def without_controls(text: str) -> str:
    """The text without control characters but white space."""
    return text if text.isascii() and text.isprintable() else _CONTROL.sub("", text)


def collapsed(text: str) -> str:
    """White space as single blanks, and without what nobody sees."""
    if text.isascii():
        return _SPACE.sub(" ", text)
    text = _NO_BREAK.sub(" ", _SPACE.sub(" ", _INVISIBLE.sub("", text)))
    return _PADDING.sub("", text) if "\u200c" in text or "\u200d" in text else text


def _wrapped(text: str, width: int) -> list[str]:
    """Lines of at most ``width`` characters, unless one word is longer; two blanks between cells."""
    if len(text) <= width and CELL not in text:
        text = text.strip(" ")
        return [text] if text.strip("\u00a0") else []
    lines: list[str] = []
    line: list[str] = []
    length = -1
    for word in text.replace(CELL, f" {CELL} ").split(" "):
        is_cell = word == CELL
        if (is_cell and (not line or not line[-1])) or not word.strip("\u00a0"):
            continue
        if is_cell:
            word = ""
        if line and length + 1 + len(word) > width:
            lines.append(" ".join(line))
            line, length = [], -1
            if is_cell:
                continue
        line.append(word)
        length += 1 + len(word)
    if line:
        lines.append(" ".join(line))
    return lines
