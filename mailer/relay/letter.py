"""The letter: a mail as an API takes it, with its recipients told apart by what they may see."""

from __future__ import annotations

import html
import json
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Any

from ..address import Address
from ..attachment import Attachment
from ..envelope import NULL_SENDER
from ..errors import UnsupportedFeature
from ..event import MAIL_ID_KEY, mail_id_in
from ..features import Features, carried
from ..mail import Content, Mail
from ..message import Message

__all__ = [
    "ROOM",
    "Copy",
    "Letter",
    "Letters",
    "Room",
    "as_text",
    "base64_text",
    "inert",
    "mailbox",
    "named",
    "shown_as_html",
    "size_of",
    "text_bytes",
    "unfolded",
    "whole_second",
]

#: To, Cc and Bcc of one copy.
Copy = tuple[tuple[Address, ...], tuple[Address, ...], tuple[Address, ...]]

_NOTHING = Message()
#: How many entries of metadata a provider takes, and how many bytes, keys and values together.
Room = tuple[float, float]
ROOM: Room = (inf, inf)

_IMPORTANCE = {1: "high", 2: "high", 3: "normal", 4: "low", 5: "low"}


@dataclass(frozen=True, slots=True)
class Letter:
    """What a provider is asked to send.

    To, Cc and Bcc together are exactly the envelope's recipients, each once: a filter may have changed those, and a
    group passes a mail on for the recipients that are left. Whom the envelope has and no field of the message names is
    hidden from the others.

    Attributes:
        message: Without what the provider cannot carry.
        to, cc: Who sees each other.
        bcc: Whom nobody sees.
        headers: The custom ones, and those that priority means.
        content: The whole mail as it is, for a provider that takes it so; else None.
        mail_id: The mail's, to go with the metadata; "" where it does not.
    """

    message: Message
    to: tuple[Address, ...]
    cc: tuple[Address, ...]
    bcc: tuple[Address, ...]
    headers: tuple[tuple[str, str], ...]
    content: Content | None = None
    mail_id: str = ""

    @classmethod
    def of(cls, mail: Mail, features: Features, room: Room = ROOM) -> Letter:
        """The mail with only what the features carry; with its content if they carry that (``raw``).

        Args:
            room: How much metadata the provider takes: our mail's id is no reason to refuse a mail.

        Raises:
            UnsupportedFeature: It is ready-made, there are bytes and no message, and they do not carry content.
        """
        if mail.message is None and not features.raw:
            raise UnsupportedFeature("ready-made mail cannot travel by an API that composes it anew", field="raw")
        given = mail.message
        if given is None:  # its envelope is all that is said beside it
            given = _NOTHING.with_(return_path=mail.envelope.sender or NULL_SENDER)
        message = carried(given, features)
        left = {address.key: address for address in mail.envelope.recipients}
        to, cc = _taken(message.to, left), _taken(message.cc, left)
        bcc = (*_taken(message.bcc, left), *left.values())
        headers = message.headers
        if message.priority is not None:
            headers += (("X-Priority", str(message.priority)),)
            if not any(name.lower() == "importance" for name, _ in headers):
                headers += (("Importance", _IMPORTANCE[message.priority]),)
        mail_id = mail.id if features.metadata and _has_room(message, mail.id, features, room) else ""
        return cls(message, to, cc, bcc, headers, mail.content if features.raw else None, mail_id)

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The message's, and our mail's id, by which the provider's events are told from those of other mails."""
        return {**self.message.metadata, MAIL_ID_KEY: self.mail_id} if self.mail_id else self.message.metadata

    @property
    def has_repeats(self) -> bool:
        """Whether a header stands twice, which a JSON object cannot say."""
        return len({name.lower() for name, _ in self.headers}) < len(self.headers)

    def kinds(self) -> dict[str, tuple[Address, ...]]:
        """To, Cc and Bcc for an API that must have somebody in To: Cc moves up, or who is alone.

        Raises:
            UnsupportedFeature: Several are all hidden: none of them may be shown to the others.
        """
        if self.to:
            return {"to": self.to, "cc": self.cc, "bcc": self.bcc}
        if self.cc:
            return {"to": self.cc, "cc": (), "bcc": self.bcc}
        if len(self.bcc) > 1:
            raise UnsupportedFeature(
                "are all hidden, and somebody must be in To: send to each alone", field="recipients"
            )
        return {"to": self.bcc, "cc": (), "bcc": ()}

    @property
    def copies(self) -> list[Copy]:
        """For an API where To must name somebody: one copy, or one for each where all are hidden."""
        if self.to or self.cc:
            return [(self.to, self.cc, self.bcc) if self.to else (self.cc, (), self.bcc)]
        return [((address,), (), ()) for address in self.bcc]

    @property
    def inline(self) -> tuple[Attachment, ...]:
        """What is shown within the html."""
        return tuple(a for a in self.message.attachments if a.inline and self.message.html is not None)

    @property
    def files(self) -> tuple[Attachment, ...]:
        """The other attachments."""
        return tuple(a for a in self.message.attachments if not (a.inline and self.message.html is not None))


def _has_room(message: Message, mail_id: str, features: Features, room: Room) -> bool:
    """Whether our mail's id may go with the metadata, which may have an entry of that name already."""
    given = message.metadata
    if MAIL_ID_KEY in given or mail_id_in({MAIL_ID_KEY: mail_id}) is None:
        return False
    if features.idempotency_key and message.idempotency_key is not None:
        return False  # sent once more as another mail, it must be the same request
    size = sum(len(key.encode()) + len(as_text(value).encode()) for key, value in given.items())
    entries, size_bytes = room
    return len(given) < entries and size + len(MAIL_ID_KEY) + len(mail_id) <= size_bytes


class Letters:
    """Letters of the mails that are at work, each made once; whoever has sent them forgets them."""

    __slots__ = ("_made",)

    def __init__(self) -> None:
        self._made: dict[int, tuple[Mail, Letter]] = {}

    def of(self, mail: Mail, make: Callable[[Mail], Letter]) -> Letter:
        """The mail's, made now or before."""
        found = self._made.get(id(mail))
        if found is None or found[0] is not mail:  # an id is used again for another mail, once its own is gone
            found = self._made[id(mail)] = mail, make(mail)
        return found[1]

    def forget(self) -> None:
        """Let go of all mails. A letter that another thread asks for again is made again."""
        self._made.clear()


def _taken(addresses: Iterable[Address], left: dict[tuple[str, str], Address]) -> tuple[Address, ...]:
    """Those that are left, with the names that the message gives them; they are not left any more."""
    return tuple(address for address in addresses if left.pop(address.key, None) is not None)


def base64_text(attachment: Attachment) -> str:
    """The content in base64, standard alphabet, no line breaks.

    Raises:
        MessageError: It cannot be read any more.
    """
    return b64encode(bytes(attachment)).decode("ascii")


def size_of(letter: Letter) -> int:
    """The least that the letter takes, in bytes, its attachments in base64; none of them is read."""
    if letter.content is not None:
        return len(letter.content)
    return text_bytes(letter.message) + sum((a.size_bytes + 2) // 3 * 4 for a in letter.message.attachments)


def text_bytes(message: Message) -> int:
    """How long its texts are, in bytes."""
    return sum(len(text.encode()) for text in (message.text, message.html, message.amp_html) if text)


def mailbox(address: Address) -> str:
    """As RFC 5322 has it, the name in quotes, the domain in A-labels. Names may be any Unicode in JSON."""
    if not address.name:
        return address.ascii
    name = address.name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{name}" <{address.ascii}>'


def named(address: Address) -> dict[str, str]:
    """As many a JSON API has it: ``{"email": ..., "name": ...}``, the domain in A-labels, no blank name."""
    return {"email": address.ascii, "name": address.name} if address.name else {"email": address.ascii}


def unfolded(field: str) -> str:
    """What a header field of :mod:`mailer.header` says, on one line, in ASCII (RFC 2047): right whether the API encodes
    what it is given or not.
    """
    return " ".join([line.strip() for line in field.partition(":")[2].splitlines()]).strip()


def as_text(value: Any) -> str:
    """A value of metadata where those are text: what is none, as JSON; what JSON cannot hold, as its text."""
    if not isinstance(value, (bool, int, float, type(None), Mapping, list, tuple)):
        return str(value)
    return json.dumps(value, ensure_ascii=False, default=str)


def shown_as_html(text: str) -> str:
    """A text as html that shows it, for an API that takes no text alone."""
    return f'<div style="white-space: pre-wrap">{html.escape(text, quote=False)}</div>'


def inert(markup: str) -> str:
    """Html that shows the same and holds no mark of a template language of Jinja's kind, which is always on there."""
    return markup.replace("{{", "{&#123;").replace("{%", "{&#37;")


def whole_second(when: datetime) -> datetime:
    """In UTC, at a whole second, never before: for an API that takes no fractions."""
    when = when.astimezone(UTC)
    return when.replace(microsecond=0) + timedelta(seconds=1) if when.microsecond else when
