"""A table of data in plain text: in columns where they fit, else one entry after the other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

__all__ = ["columns"]

#: A cell's text in one line, and whether it is a header.
Cell = tuple[str, bool]

_NUMBER = re.compile(r"[^\w\s]{0,3}\s?\d[\d\s.,:'’]*\s?\S{0,3}")
_MAX_COLUMNS = 50
_BETWEEN = "  "


def columns(rows: Sequence[Sequence[Cell]], width: int) -> Iterator[str]:
    """Yield the lines of a table; "" between entries where it is too wide for columns.

    Args:
        rows: Cells; a row may be shorter than others.
        width: What the lines may have. Without columns, longer ones stay as they are.
    """
    filled = [row for row in rows if any(text for text, _ in row)]
    count = max((len(row) for row in filled), default=0)
    if not count:
        return
    sizes = [0] * count
    for row in filled:
        for column, (text, _) in enumerate(row):
            sizes[column] = max(sizes[column], len(text))
    has_head = all(is_header for _, is_header in filled[0]) and len(filled) > 1
    if count <= _MAX_COLUMNS and sum(sizes) + len(_BETWEEN) * (count - 1) <= width:
        body = filled[1:] if has_head else filled
        to_the_right = [
            _is_numeric([row[c][0] for row in body if c < len(row) and not row[c][1]]) for c in range(count)
        ]
        for index, row in enumerate(filled):
            yield _BETWEEN.join(
                [text.rjust(sizes[c]) if to_the_right[c] else text.ljust(sizes[c]) for c, (text, _) in enumerate(row)]
            )
            if has_head and index == 0:
                yield _BETWEEN.join(["-" * size for size in sizes])
        return
    names = [text for text, _ in filled[0]] if has_head else []
    for index, row in enumerate(filled[1:] if has_head else filled):
        if index and count > 1:
            yield ""
        for column, (text, is_header) in enumerate(row):
            name = names[column] if column < len(names) else ""
            if text:
                yield f"{name}: {text}" if name and not is_header else text


def _is_numeric(texts: Sequence[str]) -> bool:
    return any(texts) and all(not text or _NUMBER.fullmatch(text) for text in texts)
