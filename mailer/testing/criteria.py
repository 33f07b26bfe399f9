"""What a mail is expected to be: one table says how each field is read, held against what was asked, and shown.

A wrong expectation (a field that there is not, an address that is none) is a TypeError or ValueError, never a mismatch:
else ``assert_nothing_sent`` would agree with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any, TypedDict

from ..address import Address
from ..message import Message
from ..sources import nearest
from .expectation import (
    EntriesKind,
    HeadersKind,
    ItemsKind,
    MailboxesKind,
    OneMailbox,
    PartKind,
    TextKind,
    UrlKind,
    ValueKind,
    fits_file,
    fits_mailbox,
    fits_text,
    shown_value,
)
from .sent import SentAttachment, SentMail

__all__ = ["Criteria", "Expected", "Mismatch"]

TextExpected = str | re.Pattern[str] | Callable[[str], object] | None
PartExpected = TextExpected | Collection[str | re.Pattern[str] | Callable[[str], object]]
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
        from_, to, cc, bcc, reply_to: One ("ann@example.org", "Ann <ann@example.org>", ``"*@example.org"``) must be
            among them; a list is all of them, in any order; None or [] is nobody.
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
    """A field that is not as expected. What shows it is made when it is asked for: only the nearest mail is shown."""

    field: str
    wanted: Any
    actual: Any
    kind: ValueKind

    @property
    def likeness(self) -> float:
        """How near it came, 0 to 1."""
        return self.kind.likeness(self.wanted, self.actual)

    def lines(self) -> list[str]:
        """What was expected, what it is, and where they part."""
        wanted = "none" if self.wanted in (None, ()) else f"{self.kind.word}{shown_value(self.wanted)}"
        detail = [f"         {line}" for line in self.kind.detail(self.wanted, self.actual)]
        return [f"expected {wanted}", f"is       {self.kind.shown(self.actual)}", *detail]


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
        return ", ".join(f"{name}={shown_value(wanted)}" for name, wanted in self.expected.items())

    def mismatches(self, mail: SentMail) -> list[Mismatch]:
        """The fields that are not as expected, in the order they were asked for; none if it fits."""
        found = []
        for name, wanted in self.expected.items():
            kind, actual = _FIELDS[name].kind, _FIELDS[name].read(mail)
            if not kind.fits(wanted, actual):
                found.append(Mismatch(name, wanted, actual, kind))
        return found


@dataclass(frozen=True, slots=True)
class _Field:
    read: Callable[[SentMail], Any]
    kind: ValueKind


_MAILBOXES = MailboxesKind(fits_mailbox, (str, Address), str)
_TAGS = ItemsKind(fits_text, (str,), repr)
_FILES = ItemsKind(fits_file, (str, int), lambda file: repr(file.name))


def _field_of_message(name: str) -> _Field:
    return _Field(lambda mail: None if mail.message is None else getattr(mail.message, name), ValueKind())


_FIELDS: dict[str, _Field] = {
    **{field.name: _field_of_message(field.name) for field in fields(Message)},
    "from_": _Field(lambda mail: mail.from_, _MAILBOXES),
    "to": _Field(lambda mail: mail.to, _MAILBOXES),
    "cc": _Field(lambda mail: mail.cc, _MAILBOXES),
    "bcc": _Field(lambda mail: mail.bcc, _MAILBOXES),
    "reply_to": _Field(lambda mail: mail.reply_to, _MAILBOXES),
    "recipients": _Field(lambda mail: mail.recipients, _MAILBOXES),
    "subject": _Field(lambda mail: mail.subject, TextKind()),
    "text": _Field(lambda mail: mail.text, PartKind()),
    "html": _Field(lambda mail: mail.html, PartKind()),
    "template": _Field(lambda mail: mail.template, TextKind()),
    "attachments": _Field(lambda mail: mail.attachments, _FILES),
    "tags": _Field(lambda mail: mail.tags, _TAGS),
    "metadata": _Field(lambda mail: mail.metadata, EntriesKind()),
    "headers": _Field(lambda mail: mail.headers, HeadersKind()),
    "backend": _Field(lambda mail: mail.backend, UrlKind()),
}
