"""What a mail is expected to be: one table says how each field is read, held against what was asked, and shown.

A wrong expectation (a field that there is not, an address that is none) is a TypeError or ValueError, never a mismatch:
else ``assert_nothing_sent`` would agree with it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypedDict

from ..address import Address
from ..errors import AddressError
from ..mailbox.server import glob
from ..message import Message
from ..sources import nearest
from .sent import SentAttachment, SentMail

__all__ = ["Criteria", "Expected", "Mismatch", "OneMailbox", "check_mailbox", "fits_mailbox"]

TextExpected = str | re.Pattern[str] | Callable[[str], object] | None
PartExpected = TextExpected | Collection[str | re.Pattern[str] | Callable[[str], object]]
OneMailbox = str | Address | re.Pattern[str] | Callable[[Address], object]
MailboxesExpected = OneMailbox | Collection[OneMailbox] | None
FilesExpected = (
    str
    | int
    | re.Pattern[str]
    | Callable[[SentAttachment], object]
    | Collection[str | re.Pattern[str] | Callable[[SentAttachment], object]]
    | None
)


class Expected(TypedDict, total=False):
    """What `assert_sent` may be asked for. Whatever is not named may be anything.

    Everywhere a compiled pattern is searched for, and a function is given the value and says whether it fits.

    Attributes:
        from_, to, cc, bcc, reply_to: One ("ann@example.org", "Ann <ann@example.org>", "*@example.org") must be among
            them; a list is all of them, in any order; None or [] is nobody.
        recipients: Those of the envelope, likewise: whom it really went to.
        subject: The whole of it.
        text, html: What that part has in it; a list: all of these; None: there is no such part.
        template: The name of the template that it was rendered from; None: of none.
        attachments: A name among them; a list: all their names, in any order; a number: how many; None: none.
        tags: One among them; a list: all of them; None: none.
        metadata, headers: A mapping: what these entries are (None: there is none); others may be there.
        backend: The URL of the backend that it was meant for, secrets masked; ``*`` stands for any text.
    """

    from_: MailboxesExpected
    to: MailboxesExpected
    cc: MailboxesExpected
    bcc: MailboxesExpected
    reply_to: MailboxesExpected
    recipients: MailboxesExpected
    subject: TextExpected
    text: PartExpected
    html: PartExpected
    template: TextExpected
    attachments: FilesExpected
    tags: PartExpected
    metadata: Mapping[str, Any]
    headers: Mapping[str, Any]
    backend: TextExpected
    locale: Any
    amp_html: Any
    send_at: Any
    priority: Any
    track_opens: Any
    track_clicks: Any
    merge_data: Any
    provider_template: Any
    provider_options: Any
    return_path: Any
    idempotency_key: Any
    message_id: Any


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A field that is not as expected.

    Attributes:
        field: Its name.
        expected: In words.
        actual: As it was sent, shown.
        detail: Lines that show where they part; maybe none.
        likeness: How near it came, 0 to 1.
    """

    field: str
    expected: str
    actual: str
    detail: tuple[str, ...] = ()
    likeness: float = 0.0


class Criteria:
    """All that was asked for, checked once.

    Raises:
        TypeError: A field is unknown, or its expectation is of a kind that it cannot be held against.
        ValueError: An address is none.
    """

    def __init__(self, expected: Mapping[str, Any]) -> None:
        for name in expected:
            if name not in _FIELDS:
                raise TypeError(f"a mail is not looked for by {name!r}; {nearest(name, list(_FIELDS))}")
        self.expected = dict(expected)
        for name, wanted in self.expected.items():
            _FIELDS[name].kind.check(name, wanted)

    def __str__(self) -> str:
        return ", ".join(f"{name}={_shown(wanted)}" for name, wanted in self.expected.items())

    def mismatches(self, mail: SentMail) -> list[Mismatch]:
        """The fields that are not as expected, in the order they were asked for; none if it fits."""
        found = []
        for name, wanted in self.expected.items():
            field = _FIELDS[name]
            actual = field.read(mail)
            if not field.kind.fits(wanted, actual):
                said = f"{field.kind.word}{_shown(wanted)}" if wanted not in (None, ()) else "none"
                found.append(Mismatch(name, said, field.kind.shown(actual), *field.kind.compared(wanted, actual)))
        return found


# --- one thing against one --------------------------------------------------------------------------------------------


def _is_many(wanted: object) -> bool:
    return isinstance(wanted, Collection) and not isinstance(wanted, (str, bytes, Mapping, Address))


def _fits_text(wanted: Any, actual: Any) -> bool:
    if isinstance(wanted, re.Pattern):
        return actual is not None and wanted.search(str(actual)) is not None
    if callable(wanted):
        return actual is not None and bool(wanted(actual))
    return bool(wanted == actual)


def _fits_part(wanted: Any, actual: str) -> bool:
    return wanted in actual if isinstance(wanted, str) else _fits_text(wanted, actual)


def check_mailbox(name: str, wanted: object) -> None:
    """Raise TypeError or ValueError for what no mailbox could fit."""
    if not isinstance(wanted, (str, Address, re.Pattern)) and not callable(wanted):
        raise TypeError(f"{name}={wanted!r}: {type(wanted).__name__} is no mailbox, pattern or function")
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
    return _fits_text(wanted, actual if callable(wanted) else str(actual))


def _fits_file(wanted: Any, actual: SentAttachment) -> bool:
    return _fits_text(wanted, actual if callable(wanted) else actual.name)


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


class _Value:
    """Anything, equal or not."""

    word = ""
    kinds: tuple[type, ...] = (object,)
    is_many = False

    def check(self, name: str, wanted: Any) -> None:
        """Raise where an expectation can fit nothing, for what it is."""
        for one in wanted if _is_many(wanted) and self.is_many else (wanted,):
            if not (one is None or isinstance(one, (re.Pattern, *self.kinds)) or callable(one)):
                raise TypeError(f"{name}={wanted!r}: {type(one).__name__} is nothing that it can be held against")

    def fits(self, wanted: Any, actual: Any) -> bool:
        return _fits_text(wanted, actual)

    def shown(self, actual: Any) -> str:
        return _shown(actual)

    def compared(self, wanted: Any, actual: Any) -> tuple[tuple[str, ...], float]:
        """What shows the difference, and how alike they are."""
        return (), 0.0


class _Text(_Value):
    """A line of text."""

    kinds = (str,)

    def compared(self, wanted: Any, actual: Any) -> tuple[tuple[str, ...], float]:
        if not isinstance(wanted, str) or not isinstance(actual, str):
            return (), 0.0
        pairs = enumerate(zip(repr(wanted), repr(actual), strict=False))
        at = next((index for index, (one, other) in pairs if one != other), 0)
        return ((" " * at + "^",) if at < _MOST_CHARS else ()), _likeness(wanted, actual)


class _Url(_Text):
    def fits(self, wanted: Any, actual: Any) -> bool:
        return glob(wanted).fullmatch(actual) is not None if isinstance(wanted, str) else super().fits(wanted, actual)


class _Part(_Value):
    """A part of the body, by what it has in it."""

    word = "with "
    kinds = (str,)
    is_many = True

    def fits(self, wanted: Any, actual: Any) -> bool:
        if actual is None or wanted is None:
            return actual is None and wanted is None
        return all(_fits_part(one, actual) for one in (wanted if _is_many(wanted) else (wanted,)))

    def compared(self, wanted: Any, actual: Any) -> tuple[tuple[str, ...], float]:
        if actual is None or wanted is None:
            return (), 0.0
        several = wanted if _is_many(wanted) else (wanted,)
        missing = [one for one in several if not _fits_part(one, actual)]
        lines = [line for line in actual.splitlines() if line.strip()][:_MOST_LINES]
        details = [f"{_shown(one)} is not in it" for one in missing] if _is_many(wanted) else []
        for one in missing:
            if isinstance(one, str) and (near := difflib.get_close_matches(one, lines, 1, 0.5)):
                details.append(f"the line most like {_shown(one)}: {_shown(near[0])}")
        return tuple(details), 0.9 * (1 - len(missing) / len(several))


class _Items(_Value):
    """Several things; one that must be among them, or all of them."""

    is_many = True

    def __init__(self, one: Callable[[Any, Any], bool], kinds: tuple[type, ...], name: Callable[[Any], str]) -> None:
        self._one = one
        self.kinds = kinds
        self._name = name

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

    def compared(self, wanted: Any, actual: Any) -> tuple[tuple[str, ...], float]:
        if wanted is None or isinstance(wanted, int):
            return (), 0.0
        if not _is_many(wanted):
            said = wanted if isinstance(wanted, str) else ""
            return (), max([0.9 * _likeness(said, self._name(one)) for one in actual], default=0.0)
        missing = [_shown(one) for one in wanted if not any(self._one(one, there) for there in actual)]
        extra = [self._name(one) for one in actual if not any(self._one(want, one) for want in wanted)]
        details = [f"{word} {_cut(', '.join(some))}" for word, some in (("missing", missing), ("extra", extra)) if some]
        return tuple(details), 0.9 * (1 - (len(missing) + len(extra)) / max(len(wanted) + len(actual), 1))


class _Mailboxes(_Items):
    def check(self, name: str, wanted: Any) -> None:
        if wanted is not None:
            for one in wanted if _is_many(wanted) else (wanted,):
                check_mailbox(name, one)


class _Entries(_Value):
    """Some entries of a mapping."""

    kinds = (Mapping,)

    def check(self, name: str, wanted: Any) -> None:
        if not isinstance(wanted, Mapping):
            raise TypeError(f"{name}={wanted!r}: must be a mapping of what to look at")

    def _actual(self, key: str, actual: Any) -> list[Any]:
        return [actual[key]] if key in actual else []

    def _fits(self, want: Any, there: list[Any]) -> bool:
        return not there if want is None else any(_fits_text(want, value) for value in there)

    def fits(self, wanted: Any, actual: Any) -> bool:
        return all(self._fits(want, self._actual(key, actual)) for key, want in wanted.items())

    def shown(self, actual: Any) -> str:
        return _cut(", ".join(f"{key}: {value!r}" for key, value in self._items(actual))) or "none"

    def _items(self, actual: Any) -> Iterable[tuple[str, Any]]:
        items: Iterable[tuple[str, Any]] = actual.items()
        return items

    def compared(self, wanted: Any, actual: Any) -> tuple[tuple[str, ...], float]:
        wrong = [key for key, want in wanted.items() if not self._fits(want, self._actual(key, actual))]
        details = []
        for key in wrong:
            there = ", ".join(_shown(value) for value in self._actual(key, actual)) or "not there"
            details.append(f"{key}: expected {'none' if wanted[key] is None else _shown(wanted[key])}, is {there}")
        return tuple(details), 0.9 * (1 - len(wrong) / max(len(wanted), 1))


class _Headers(_Entries):
    def _actual(self, key: str, actual: Any) -> list[Any]:
        return [value for name, value in actual if name.lower() == key.lower()]

    def _items(self, actual: Any) -> Iterable[tuple[str, Any]]:
        items: Iterable[tuple[str, Any]] = actual
        return items

    def shown(self, actual: Any) -> str:
        return f"a header of {len(actual)} fields"


@dataclass(frozen=True, slots=True)
class _Field:
    read: Callable[[SentMail], Any]
    kind: _Value


_MAILBOXES = _Mailboxes(fits_mailbox, (str, Address), str)
_TAGS = _Items(_fits_text, (str,), repr)
_FILES = _Items(_fits_file, (str, int), lambda file: repr(file.name))


def _field_of_message(name: str) -> _Field:
    return _Field(lambda mail: None if mail.message is None else getattr(mail.message, name), _Value())


_FIELDS: dict[str, _Field] = {
    **{field.name: _field_of_message(field.name) for field in fields(Message)},
    "from_": _Field(lambda mail: mail.from_, _MAILBOXES),
    "to": _Field(lambda mail: mail.to, _MAILBOXES),
    "cc": _Field(lambda mail: mail.cc, _MAILBOXES),
    "bcc": _Field(lambda mail: mail.bcc, _MAILBOXES),
    "reply_to": _Field(lambda mail: mail.reply_to, _MAILBOXES),
    "recipients": _Field(lambda mail: mail.recipients, _MAILBOXES),
    "subject": _Field(lambda mail: mail.subject, _Text()),
    "text": _Field(lambda mail: mail.text, _Part()),
    "html": _Field(lambda mail: mail.html, _Part()),
    "template": _Field(lambda mail: mail.template, _Text()),
    "attachments": _Field(lambda mail: mail.attachments, _FILES),
    "tags": _Field(lambda mail: mail.tags, _TAGS),
    "metadata": _Field(lambda mail: mail.metadata, _Entries()),
    "headers": _Field(lambda mail: mail.headers, _Headers()),
    "backend": _Field(lambda mail: mail.backend, _Url()),
}

# --- in words ---------------------------------------------------------------------------------------------------------

_MOST_CHARS = 300
_MOST_LINES = 500


def _likeness(one: str, other: str) -> float:
    """0 to 1; of what is long the beginning counts."""
    return difflib.SequenceMatcher(None, one[:200], other[:200], autojunk=False).ratio()


def _shown(value: Any) -> str:
    if isinstance(value, re.Pattern):
        return f"/{value.pattern}/"
    if callable(value) and not isinstance(value, type):
        return getattr(value, "__name__", repr(value))
    if _is_many(value):
        return f"[{_cut(', '.join(map(_shown, value)))}]"
    return _cut(repr(str(value)) if isinstance(value, Address) else repr(value))


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_CHARS else f"{text[:_MOST_CHARS]}... ({len(text) - _MOST_CHARS} more)"
