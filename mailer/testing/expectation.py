"""Kinds of expectations: how a value of a mail is held against what was asked for, and how that is shown."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from ..address import Address
from ..errors import AddressError
from ..mailbox.server import glob
from .sent import SentAttachment

__all__ = [
    "EntriesKind",
    "HeadersKind",
    "ItemsKind",
    "MailboxesKind",
    "OneMailbox",
    "PartKind",
    "TextKind",
    "UrlKind",
    "ValueKind",
    "check_mailbox",
    "fits_file",
    "fits_mailbox",
    "fits_text",
    "shown_value",
]

OneMailbox = str | Address | re.Pattern[str] | Callable[[Address], object]


# --- one thing against one --------------------------------------------------------------------------------------------


def _is_many(wanted: object) -> bool:
    return isinstance(wanted, Collection) and not isinstance(wanted, (str, bytes, Mapping, Address))


def fits_text(wanted: Any, actual: Any) -> bool:
    if isinstance(wanted, re.Pattern):
        return actual is not None and wanted.search(str(actual)) is not None
    if callable(wanted):
        return actual is not None and bool(wanted(actual))
    return bool(wanted == actual)


def _fits_part(wanted: Any, actual: str) -> bool:
    return wanted in actual if isinstance(wanted, str) else fits_text(wanted, actual)


def _check_pattern(name: str, wanted: object) -> None:
    if isinstance(wanted, re.Pattern) and not isinstance(wanted.pattern, str):
        raise TypeError(f"{name}={wanted!r}: a pattern of bytes, where text is looked at")


def check_mailbox(name: str, wanted: object) -> None:
    """Raise TypeError or ValueError for what no mailbox could fit."""
    if not isinstance(wanted, (str, Address, re.Pattern)) and not callable(wanted):
        raise TypeError(f"{name}={wanted!r}: {type(wanted).__name__} is no mailbox, pattern or function")
    _check_pattern(name, wanted)
    if isinstance(wanted, str) and "*" not in wanted:
        try:
            Address.parse(wanted)
        except AddressError as error:
            raise ValueError(f"{name}={wanted!r}: {error}; for a part of one write '*@example.org'") from None


def fits_mailbox(wanted: Any, actual: Address) -> bool:
    """Whether a mailbox is the one wanted: an address, with or without its name; ``*`` stands for any text."""
    if isinstance(wanted, str) and "*" in wanted:
        return glob(wanted).fullmatch(actual.addr_spec) is not None
    if isinstance(wanted, str):
        wanted = Address.parse(wanted)
    if isinstance(wanted, Address):
        return wanted.key == actual.key and wanted.name in ("", actual.name)
    return fits_text(wanted, actual if callable(wanted) else str(actual))


def fits_file(wanted: Any, actual: SentAttachment) -> bool:
    return fits_text(wanted, actual if callable(wanted) else actual.name)


def _pairs(wanted: Sequence[Any], actual: Sequence[Any], fits: Callable[[Any, Any], bool]) -> bool:
    """Whether each of one side has another of the other side for itself (augmenting paths: few of them are long)."""
    if len(wanted) != len(actual):
        return False
    owner: dict[int, int] = {}

    def place(one: int, seen: set[int]) -> bool:
        for index, other in enumerate(actual):
            if index not in seen and fits(wanted[one], other):
                seen.add(index)
                if index not in owner or place(owner[index], seen):
                    owner[index] = one
                    return True
        return False

    return all(place(one, set()) for one in range(len(wanted)))


# --- kinds of fields --------------------------------------------------------------------------------------------------


class ValueKind:
    """Anything, equal or not."""

    word = ""
    kinds: tuple[type, ...] = (object,)
    is_many = False

    def check(self, name: str, wanted: Any) -> None:
        """Raise where an expectation can fit nothing, for what it is."""
        for one in wanted if _is_many(wanted) and self.is_many else (wanted,):
            if not (one is None or isinstance(one, (re.Pattern, *self.kinds)) or callable(one)):
                raise TypeError(f"{name}={wanted!r}: {type(one).__name__} is nothing that it can be held against")
            _check_pattern(name, one)

    def fits(self, wanted: Any, actual: Any) -> bool:
        return fits_text(wanted, actual)

    def shown(self, actual: Any) -> str:
        return shown_value(actual)

    def likeness(self, wanted: Any, actual: Any) -> float:
        """How near they are, 0 to 1, where they do not fit."""
        return 0.0

    def detail(self, wanted: Any, actual: Any) -> list[str]:
        """Lines that show where they part; maybe none."""
        return []


class TextKind(ValueKind):
    """A line of text."""

    kinds = (str,)

    def likeness(self, wanted: Any, actual: Any) -> float:
        return _likeness(wanted, actual) if isinstance(wanted, str) and isinstance(actual, str) else 0.0

    def detail(self, wanted: Any, actual: Any) -> list[str]:
        if not isinstance(wanted, str) or not isinstance(actual, str):
            return []
        pairs = enumerate(zip(repr(wanted), repr(actual), strict=False))
        at = next((index for index, (one, other) in pairs if one != other), _MOST_CHARS)
        return [" " * at + "^"] if at < _MOST_CHARS else []


class UrlKind(TextKind):
    def fits(self, wanted: Any, actual: Any) -> bool:
        return glob(wanted).fullmatch(actual) is not None if isinstance(wanted, str) else super().fits(wanted, actual)


class PartKind(ValueKind):
    """A part of the body, by what it has in it."""

    word = "with "
    kinds = (str,)
    is_many = True

    def fits(self, wanted: Any, actual: Any) -> bool:
        if actual is None or wanted is None:
            return actual is None and wanted is None
        return all(_fits_part(one, actual) for one in (wanted if _is_many(wanted) else (wanted,)))

    def _missing(self, wanted: Any, actual: Any) -> list[Any]:
        if actual is None or wanted is None:
            return []
        return [one for one in (wanted if _is_many(wanted) else (wanted,)) if not _fits_part(one, actual)]

    def likeness(self, wanted: Any, actual: Any) -> float:
        if actual is None or not _is_many(wanted):
            return 0.0
        return 0.9 * (1 - len(self._missing(wanted, actual)) / len(wanted))

    def detail(self, wanted: Any, actual: Any) -> list[str]:
        missing = self._missing(wanted, actual)
        details = [f"{shown_value(one)} is not in it" for one in missing] if _is_many(wanted) else []
        lines = [line.strip()[:_MOST_CHARS] for line in actual.splitlines()[:_MOST_LINES]] if missing else []
        for one in missing:
            if isinstance(one, str) and (near := _nearest_line(one, lines)):
                details.append(f"the line most like {shown_value(one)}: {shown_value(near)}")
        return details


class ItemsKind(ValueKind):
    """Several things; one that must be among them, or all of them."""

    is_many = True

    def __init__(self, one: Callable[[Any, Any], bool], kinds: tuple[type, ...], name: Callable[[Any], str]) -> None:
        self._one = one
        self.kinds = kinds
        self._name = name

    def check(self, name: str, wanted: Any) -> None:
        super().check(name, wanted)
        if isinstance(wanted, int) and (isinstance(wanted, bool) or wanted < 0):
            raise TypeError(f"{name}={wanted!r}: say how many, 0 or more, or a name")

    def fits(self, wanted: Any, actual: Any) -> bool:
        if wanted is None:
            return not actual
        if isinstance(wanted, int):
            return len(actual) == wanted
        if _is_many(wanted):
            return _pairs(list(wanted), list(actual), self._one)
        return any(self._one(wanted, one) for one in actual)

    def shown(self, actual: Any) -> str:
        return _cut(", ".join(self._name(one) for one in actual)) or "none"

    def _odd(self, wanted: Any, actual: Any) -> tuple[list[Any], list[Any]]:
        """What is wanted and not there, and what is there and not wanted."""
        missing = [one for one in wanted if not any(self._one(one, there) for there in actual)]
        return missing, [one for one in actual if not any(self._one(want, one) for want in wanted)]

    def likeness(self, wanted: Any, actual: Any) -> float:
        if _is_many(wanted):
            return 0.9 * (1 - sum(map(len, self._odd(wanted, actual))) / max(len(wanted) + len(actual), 1))
        said = str(wanted) if isinstance(wanted, (str, Address)) else ""
        return max([0.9 * _likeness(said, self._name(one)) for one in actual], default=0.0)

    def detail(self, wanted: Any, actual: Any) -> list[str]:
        if not _is_many(wanted):
            return []
        missing, extra = self._odd(wanted, actual)
        said = ("missing", list(map(shown_value, missing))), ("extra", list(map(self._name, extra)))
        if not missing and not extra:  # the same thing more than once
            return [f"{len(wanted)} expected, {len(actual)} there"]
        return [f"{word} {_cut(', '.join(some))}" for word, some in said if some]


class MailboxesKind(ItemsKind):
    def check(self, name: str, wanted: Any) -> None:
        if wanted is not None:
            for one in wanted if _is_many(wanted) else (wanted,):
                check_mailbox(name, one)


class EntriesKind(ValueKind):
    """Some entries of a mapping."""

    kinds = (Mapping,)

    def check(self, name: str, wanted: Any) -> None:
        if not isinstance(wanted, Mapping):
            raise TypeError(f"{name}={wanted!r}: must be a mapping of what to look at")
        for key, want in wanted.items():
            if not isinstance(key, str):
                raise TypeError(f"{name}={wanted!r}: {key!r} is no name")
            _check_pattern(name, want)

    def _actual(self, key: str, actual: Any) -> list[Any]:
        return [actual[key]] if key in actual else []

    def _fits(self, want: Any, there: list[Any]) -> bool:
        return not there if want is None else any(fits_text(want, value) for value in there)

    def fits(self, wanted: Any, actual: Any) -> bool:
        return all(self._fits(want, self._actual(key, actual)) for key, want in wanted.items())

    def shown(self, actual: Any) -> str:
        return _cut(", ".join(f"{key}: {value!r}" for key, value in self._items(actual))) or "none"

    def _items(self, actual: Any) -> Iterable[tuple[str, Any]]:
        items: Iterable[tuple[str, Any]] = actual.items()
        return items

    def _wrong(self, wanted: Any, actual: Any) -> list[str]:
        return [key for key, want in wanted.items() if not self._fits(want, self._actual(key, actual))]

    def likeness(self, wanted: Any, actual: Any) -> float:
        return 0.9 * (1 - len(self._wrong(wanted, actual)) / max(len(wanted), 1))

    def detail(self, wanted: Any, actual: Any) -> list[str]:
        details = []
        for key in self._wrong(wanted, actual):
            there = ", ".join(shown_value(value) for value in self._actual(key, actual)) or "not there"
            details.append(f"{key}: expected {'none' if wanted[key] is None else shown_value(wanted[key])}, is {there}")
        return details


class HeadersKind(EntriesKind):
    def _actual(self, key: str, actual: Any) -> list[Any]:
        return [value for name, value in actual if name.lower() == key.lower()]

    def _items(self, actual: Any) -> Iterable[tuple[str, Any]]:
        items: Iterable[tuple[str, Any]] = actual
        return items

    def shown(self, actual: Any) -> str:
        return f"a header of {len(actual)} fields"


# --- in words ---------------------------------------------------------------------------------------------------------

_MOST_CHARS = 300
_MOST_LINES = 500


def _likeness(one: str, other: str) -> float:
    """0 to 1; of what is long the beginning counts."""
    return difflib.SequenceMatcher(None, one[:200], other[:200], autojunk=False).ratio()


def _nearest_line(text: str, lines: Sequence[str]) -> str:
    """The line that shares the longest stretch with a text; "" if none shares half of it."""
    text = text[:_MOST_CHARS]
    matcher = difflib.SequenceMatcher(autojunk=False)
    matcher.set_seq2(text)
    best, near = len(text) / 2, ""
    for line in lines:
        matcher.set_seq1(line)
        size = matcher.find_longest_match().size
        if size > best:
            best, near = size, line
    return near


def shown_value(value: Any) -> str:
    if isinstance(value, re.Pattern):
        return f"/{value.pattern}/"
    if callable(value) and not isinstance(value, type):
        return getattr(value, "__name__", repr(value))
    if _is_many(value):
        return f"[{_cut(', '.join(map(shown_value, value)))}]"
    return _cut(repr(str(value)) if isinstance(value, Address) else repr(value))


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_CHARS else f"{text[:_MOST_CHARS]}... ({len(text) - _MOST_CHARS} more)"
