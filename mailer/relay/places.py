"""Places: texts that differ a little, as one text with places, and what stands there in each of them.

What an API calls substitutions, merge or recipient variables. We never hand it our templates: texts are rendered, and
what they have in common is found again, so that no language of theirs ever sees a placeholder of ours or of a user's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from .letter import Letter

__all__ = ["Places", "as_one"]

# A text's pieces: lines, and in html stretches up to the end of a tag. Values seldom hold either.
_PIECE = re.compile(r"[^\n>]*[\n>]|[^\n>]+")

_Parts = list[str | int]


class Places:
    """The texts of some fields, one of each field for each mail.

    Attributes:
        count: How many places there are.
        values: For each mail what stands in each place.
    """

    def __init__(self, texts: Mapping[str, Sequence[str]], mails: int, *, is_trimmed: bool = False) -> None:
        """Find what they have in common.

        Args:
            texts: Field -> its text in each mail, in their order.
            mails: How many mails there are.
            is_trimmed: Whether a place is cut down to the words in which its texts differ.
        """
        self._parts: dict[str, _Parts] = {}
        self.values: list[list[str]] = [[] for _ in range(mails)]
        self.count = 0
        for field, those in texts.items():
            parts, columns = _divided(those, self.count, is_trimmed=is_trimmed)
            self._parts[field] = parts
            self.count += len(columns)
            for values, own in zip(self.values, zip(*columns, strict=True), strict=False):
                values += own

    def text(self, field: str, written: Callable[[int], str]) -> str:
        """A field's text for all of them.

        Args:
            field: One of those given.
            written: How the API writes the place with this number, from 0.
        """
        return "".join([part if isinstance(part, str) else written(part) for part in self._parts[field]])

    def has_before(self, mark: str) -> bool:
        """Whether a text has the mark right before a place, where it would blur the place's begin."""
        return any(
            isinstance(part, int) and str(before).endswith(mark)
            for parts in self._parts.values()
            for before, part in pairwise(parts)
        )

    def has_behind(self, mark: str) -> bool:
        """Whether a text goes on with the mark right behind a place, where it would blur the place's end."""
        return any(
            isinstance(part, int) and str(behind).startswith(mark)
            for parts in self._parts.values()
            for part, behind in pairwise(parts)
        )


def as_one(
    letters: Sequence[Letter], fields: Iterable[str], written: Callable[[int], str], *, is_trimmed: bool = False
) -> tuple[Letter, Places]:
    """Letters that are alike as one: the first, with places where they differ, and what stands there in each.

    Args:
        letters: With the same of the fields, and the same header fields.
        fields: Of a message, its texts; "headers" for what custom header fields say.
        written: How the API writes the place with this number.
        is_trimmed: See :class:`Places`.
    """
    first = letters[0]
    texts: dict[str, Sequence[str]] = {}
    for field in fields:
        if field == "headers":
            columns = zip(*[[value for _, value in letter.headers] for letter in letters], strict=True)
            texts |= {f"headers {number}": column for number, column in enumerate(columns)}
        elif getattr(first.message, field) is not None:
            texts[field] = [getattr(letter.message, field) for letter in letters]
    places = Places(texts, len(letters), is_trimmed=is_trimmed)
    if not places.count:
        return first, places
    said = {field: places.text(field, written) for field in texts}
    changes = {field: text for field, text in said.items() if not field.startswith("headers ")}
    headers = [(name, said.get(f"headers {n}", value)) for n, (name, value) in enumerate(first.headers)]
    return replace(first, message=first.message.with_(**changes), headers=tuple(headers)), places  # type: ignore[arg-type]  # they are texts


def _divided(texts: Sequence[str], first: int, *, is_trimmed: bool) -> tuple[_Parts, list[list[str]]]:
    """The common text with the numbers of its places, and for each place what stands there in each text."""
    if all(text == texts[0] for text in texts):
        return [texts[0]] if texts else [], []
    rows = [_PIECE.findall(text) for text in texts]
    if len({len(row) for row in rows}) > 1:
        rows = _squared(rows)
    parts: _Parts = []
    columns: list[list[str]] = []
    pieces = [part for column in zip(*rows, strict=True) for part in (_trimmed(column) if is_trimmed else (column,))]
    for column in pieces:
        if _are_same(column):
            if parts and isinstance(parts[-1], str):
                parts[-1] += column[0]
            else:
                parts.append(column[0])
        elif parts and isinstance(parts[-1], int):  # two places side by side are one
            columns[-1] = [before + piece for before, piece in zip(columns[-1], column, strict=True)]
        else:
            parts.append(first + len(columns))
            columns.append(list(column))
    return parts, columns


def _trimmed(column: Sequence[str]) -> Iterator[Sequence[str]]:
    """What the pieces begin with, the words in which they differ, and what they end with; none of the words is empty.

    Where it is cut, no word is: what is left to some of the pieces, without the others, is a part of what is left here.
    """
    if _are_same(column) or not all(column):
        yield column
        return
    begin = _common(column, range(min(map(len, column)) - 1))
    while begin and column[0][begin - 1].isalnum():
        begin -= 1
    rest = [piece[begin:] for piece in column]
    end = _common(rest, range(-1, -min(map(len, rest)), -1))
    while end and rest[0][-end].isalnum():
        end -= 1
    if begin:
        yield [piece[:begin] for piece in column]
    yield [piece[: len(piece) - end] for piece in rest]
    if end:
        yield [piece[len(piece) - end :] for piece in rest]


def _squared(rows: Sequence[list[str]]) -> list[list[str]]:
    """Rows of one length: what is the same at their begin and end, and the rest of each as one piece."""
    shortest = min(map(len, rows))
    begin = _common(rows, range(shortest))
    end = _common(rows, range(-1, begin - shortest - 1, -1))
    return [[*row[:begin], "".join(row[begin : len(row) - end]), *row[len(row) - end :]] for row in rows]


def _common(rows: Sequence[Sequence[str]], indices: Iterable[int]) -> int:
    """In how many places, from the first of these on, they all have the same."""
    count = 0
    for index in indices:
        if not _are_same([row[index] for row in rows]):
            break
        count += 1
    return count


def _are_same(pieces: Sequence[str]) -> bool:
    return pieces.count(pieces[0]) == len(pieces)
