"""The composer: a message as RFC 5322 and MIME bytes (RFC 2045, 2046, 2387).

Built as pieces whose lengths are known, so that a file on disk is streamed through. What each line looks like is
:mod:`mailer.header`'s and :mod:`mailer.transfer`'s business; here is the structure::

    mixed( alternative( text, amp, related( html, inline images ), further alternatives ), attachments )

with each level that holds only one thing left out. Nothing here reads a clock or a source of randomness.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, ClassVar, TypeVar

from . import header
from .address import Address
from .attachment import Attachment
from .errors import MessageError, TemplateError
from .field import shown, token_id
from .mail import Content, Piece
from .message import Message
from .part import Base64, Part, TextPart, alternative_part, amp_part, attached_part, html_part, plain_part
from .transfer import BLOCK_BYTES

__all__ = ["Plan", "compose"]

R = TypeVar("R")

# Where html loads an inline image: an attribute or a style's url().
_CID = re.compile(
    r"""(?:\b(?:src|background|srcset|href|poster)\s*=\s*|url\()\s*["']?cid:([^"'\s>)]+)""", re.IGNORECASE
)
_BOUNDARY = re.compile(r"[A-Za-z0-9_.-]{1,48}", re.ASCII)
_RANDOM_ID = re.compile(r"<[0-9a-f]{32}@[a-z0-9.-]{1,255}>", re.ASCII)  # the common case of token_id, for speed
_PRIORITY = {1: "highest", 2: "high", 3: "normal", 4: "low", 5: "lowest"}
_IMPORTANCE = {1: "high", 2: "high", 3: "normal", 4: "low", 5: "low"}


def compose(message: Message, *, message_id: str, date: datetime, boundary: str, utf8: bool | None = None) -> Content:
    """Write one message as bytes. The same arguments give the same bytes on every Python.

    Args, raises: As :class:`Plan` and :meth:`Plan.content`.
    """
    return Plan(boundary, utf8=utf8, kept_bytes=0).content(message, message_id=message_id, date=date)


class Plan:
    """What messages that are composed one after the other have in common, composed once.

    Header fields, texts and the structure are kept while the next message has the same, attachments (by identity) as
    long as there is room. The bytes are those that each message has when it is composed alone. Belongs to one thread.

    Args:
        boundary: 1-48 letters, digits or "_-."; stands in every multipart boundary and should be unguessable to whoever
            writes the texts (it is lengthened where one of them holds it all the same).
        utf8: Write headers as raw UTF-8 (RFC 6532). None does so just where a header's local part is not ASCII.
        kept_bytes: How much of encoded attachments to keep, in all; what is larger than a quarter of it is encoded as
            it is sent, each time.

    Raises:
        MessageError: The boundary is something else.
    """

    __slots__ = (
        "_boundary",
        "_date",
        "_fields",
        "_frame",
        "_kept_bytes",
        "_last",
        "_parts",
        "_second",
        "_size_bytes",
        "_utf8",
    )

    def __init__(self, boundary: str, *, utf8: bool | None = None, kept_bytes: int = 16 * 1024 * 1024) -> None:
        if not _BOUNDARY.fullmatch(boundary):
            raise MessageError(f"{shown(boundary)} is not 1-48 letters, digits or '_-.'", field="boundary")
        self._boundary = boundary
        self._utf8 = utf8
        self._kept_bytes = kept_bytes
        self._size_bytes = 0
        self._parts: dict[int, tuple[Attachment, Part]] = {}  # by id(); holding the attachment keeps that its own
        self._last: dict[Callable[..., Any], tuple[tuple[Any, ...], Any]] = {}
        self._fields: _Fields | None = None
        self._frame: _Frame | None = None
        self._second = self._date = ""

    def content(self, message: Message, *, message_id: str, date: datetime, is_late: bool = False) -> Content:
        """Write a message as bytes.

        Args:
            message: Rendered, with a From.
            message_id: Taken where the message has none; with angle brackets.
            date: Taken where the message has none; with a time zone.
            is_late: Write the header now, and the body when somebody asks for it: the same bytes. What cannot be
                written is told now all the same, but for attachments that cannot be read.

        Raises:
            MessageError: No From, several without Sender, an html part that shows an image that is not there, an
                attachment that cannot be read.
            TemplateError: The message still names a template.
        """
        if message.template is not None:
            raise TemplateError(f"{shown(message.template)} is not rendered yet", field="template")
        fields, utf8, to, cc = self._fields, self._utf8, message.to, message.cc
        if fields is None or fields.values != _Fields.values_of(message):
            fields = self._fields = _Fields(_Fields.values_of(message))
        if utf8 is None:
            utf8 = fields.are_wide or not all([mailbox.local.isascii() for mailbox in to + cc])
        origin, further = fields.written(utf8)
        if to:
            origin += header.addresses("To", to, utf8=utf8)
        elif not cc:
            origin += "To: undisclosed-recipients:;\r\n"
        if cc:
            origin += header.addresses("Cc", cc, utf8=utf8)
        subject = header.unstructured("Subject", message.subject, utf8=utf8)
        moment = message.date or date
        second = moment.isoformat(timespec="seconds")
        if second != self._second:
            self._second, self._date = second, header.date_time(moment)
        own_id = message.message_id
        if own_id is None:
            own_id = message_id
            if not _RANDOM_ID.fullmatch(own_id):
                own_id = f"<{token_id(own_id, 'message_id', needs_at=True)}>"
        head = f"{origin}{subject}Date: {self._date}\r\nMessage-ID: {own_id}\r\n{further}"
        has_utf8_headers = utf8 and not head.isascii()
        if not is_late:
            return self._whole(head, message, has_utf8_headers)
        if message.html is not None:
            _check_cids(message.html, message.attachments)
        size = len(head) + sum([len(text) for text in (message.text, message.html, message.amp_html) if text])
        size += sum([attachment.size_bytes for attachment in message.attachments])
        boundary = self._boundary  # and not this plan, which belongs to one thread
        return Content.later(lambda: Plan(boundary, kept_bytes=0)._whole(head, message, has_utf8_headers), size)

    def _whole(self, head: str, message: Message, has_utf8_headers: bool) -> Content:
        texts = self._texts(message)
        frame = self._framed(message, texts)
        pieces: list[Piece] = []
        small = [head.encode()]  # joined, as one write for each would cost more
        for item in frame.items:
            if isinstance(item, int):
                kind, item = texts[item]
                small.append(kind)
            if isinstance(item, bytes) and len(item) < BLOCK_BYTES:
                small.append(item)
            else:
                pieces += (b"".join(small), item)
                small = []
        if not frame.is_multipart and texts[0][1][-2:] not in (b"", b"\r\n"):
            small.append(b"\r\n")
        pieces.append(b"".join(small))
        return Content(pieces, has_8bit=frame.has_8bit, has_utf8_headers=has_utf8_headers)

    def part(self, attachment: Attachment) -> Part:
        """An attachment's part, encoded now or before."""
        if found := self._parts.get(id(attachment)):
            return found[1]
        fields, pieces, has_8bit = attached_part(attachment)
        size = sum(map(len, pieces))
        if size > self._kept_bytes // 4:
            return fields, pieces, has_8bit
        if self._size_bytes + size > self._kept_bytes:
            self._parts.clear()
            self._size_bytes = 0
        kept: list[Piece] = [piece.kept() if isinstance(piece, Base64) else piece for piece in pieces]
        self._parts[id(attachment)] = attachment, (fields, kept, has_8bit)
        self._size_bytes += size
        return fields, kept, has_8bit

    def _once(self, make: Callable[..., R], *args: object) -> R:
        """What a pure function makes of frozen values; not made again while they stay equal."""
        last = self._last.get(make)
        if last is not None and last[0] == args:
            return last[1]  # type: ignore[no-any-return]  # it is what this function made
        made = make(*args)
        self._last[make] = args, made
        return made

    def _texts(self, message: Message) -> list[TextPart]:
        """All ways to show it, plainest first, alternatives last."""
        texts = []
        if isinstance(message.text, str):  # False as long as it is not rendered
            texts.append(self._once(plain_part, message.text))
        if message.amp_html is not None:
            texts.append(self._once(amp_part, message.amp_html))
        if message.html is not None:
            _check_cids(message.html, message.attachments)
            texts.append(self._once(html_part, message.html))
        if message.alternatives:
            texts += [alternative_part(kind, text) for kind, text in message.alternatives]
        if not texts and not message.attachments:
            texts.append(plain_part(""))
        return texts

    def _framed(self, message: Message, texts: Sequence[TextPart]) -> _Frame:
        """The structure that these texts fit in."""
        attachments = message.attachments
        shape = message.html is not None, len(texts), len(message.alternatives)
        frame = self._frame
        if frame is None or frame.shape != shape or not _same(frame.attachments, attachments):
            frame = self._frame = _Frame(self._boundary, shape, attachments, self.part)
        for _, data in texts:
            if frame.marked in data:
                return _Frame(self._boundary, shape, attachments, self.part, [data for _, data in texts])
        return frame


# --- header -----------------------------------------------------------------------------------------------------------


class _Fields:
    """The header fields that messages may have in common: all but To, Cc, Subject, Date and Message-ID.

    Attributes:
        values: Of From, Sender, Reply-To, the priority and the further fields.
        are_wide: Whether a local part among them is not ASCII.
    """

    __slots__ = ("_written", "are_wide", "values")

    values_of: ClassVar[Callable[[Message], tuple[Any, ...]]] = operator.attrgetter(
        "from_", "sender", "reply_to", "priority", "headers"
    )

    def __init__(self, values: tuple[Any, ...]) -> None:
        self.values = values
        from_, sender, reply_to, _, _ = values
        mailboxes = (*from_, *reply_to, *filter(None, (sender,)))
        self.are_wide = not all([mailbox.local.isascii() for mailbox in mailboxes])
        self._written: dict[bool, tuple[str, str]] = {}

    def written(self, utf8: bool) -> tuple[str, str]:
        """What stands before To, and behind Message-ID."""
        if utf8 not in self._written:
            from_, sender, reply_to, priority, headers = self.values
            self._written[utf8] = _origin(from_, sender, reply_to, utf8), _further(priority, headers, utf8)
        return self._written[utf8]


def _origin(from_: Sequence[Address], sender: Address | None, reply_to: Sequence[Address], utf8: bool) -> str:
    """From, Sender and Reply-To."""
    if not from_:
        raise MessageError("there is no From: give Message(from_=...), Mailer(from_=...) or MAILER_FROM", field="from_")
    if len(from_) > 1 and sender is None:
        raise MessageError("several From addresses need sender= (RFC 5322 section 3.6.2)", field="sender")
    text = header.addresses("From", from_, utf8=utf8)
    if sender is not None:
        text += header.addresses("Sender", (sender,), utf8=utf8)
    if reply_to:
        text += header.addresses("Reply-To", reply_to, utf8=utf8)
    return text


def _further(priority: int | None, headers: Sequence[tuple[str, str]], utf8: bool) -> str:
    """What stands behind Message-ID: the priority, the caller's own fields, MIME-Version."""
    fields = []
    if priority is not None:
        fields.append(f"X-Priority: {priority} ({_PRIORITY[priority].title()})\r\n")
        if not any(name.lower() == "importance" for name, _ in headers):
            fields.append(f"Importance: {_IMPORTANCE[priority]}\r\n")
    fields += [header.custom(name, body, utf8=utf8) for name, body in headers]
    return "".join([*fields, "MIME-Version: 1.0\r\n"])


# --- structure --------------------------------------------------------------------------------------------------------

# Pieces of a body, and numbers where the texts go.
_Items = list[Piece | int]


class _Frame:
    """The structure of a body.

    Attributes:
        shape: Whether there is html, how many texts there are, and how many of them are alternatives.
        items: Its pieces, and in the places of the texts their numbers.
        marked: What no text may hold, for every delimiter does.
    """

    __slots__ = ("attachments", "has_8bit", "is_multipart", "items", "marked", "shape")

    def __init__(
        self,
        boundary: str,
        shape: tuple[bool, int, int],
        attachments: Sequence[Attachment],
        part: Callable[[Attachment], Part],
        texts: Sequence[bytes] = (),
    ) -> None:
        self.shape, self.attachments = shape, attachments
        has_html, count, further = shape
        inside = [part(a) for a in attachments if a.inline and has_html]
        attached = [part(a) for a in attachments if not (a.inline and has_html)]
        self.has_8bit = any(has_8bit for _, _, has_8bit in (*inside, *attached))
        bare = [piece for _, pieces, _ in (*inside, *attached) for piece in pieces if isinstance(piece, bytes)]
        boundary = _absent(boundary, [*texts, *bare])
        self.marked = boundary.encode()
        ways: list[_Items] = [[number] for number in range(count)]
        if inside:
            html = count - further - 1
            shown_inside = [ways[html], *map(_items, inside)]
            ways[html] = _multipart("related", f"=_1_{boundary}", shown_inside, ("type", "text/html"))
        parts = [ways[0] if len(ways) == 1 else _multipart("alternative", f"=_2_{boundary}", ways)] if ways else []
        if attached:
            parts = [_multipart("mixed", f"=_3_{boundary}", [*parts, *map(_items, attached)])]
        self.items = _joined(parts[0])
        self.is_multipart = self.items != [0]


def _same(those: Sequence[object], these: Sequence[object]) -> bool:
    """Whether they hold the same objects."""
    return those is these or (len(those) == len(these) and all(map(operator.is_, those, these)))


def _items(part: Part) -> _Items:
    fields, pieces, _ = part
    return [fields, *pieces]


def _multipart(subtype: str, boundary: str, parts: Sequence[_Items], *parameters: tuple[str, str]) -> _Items:
    more = "".join([f';\r\n {name}="{value}"' for name, value in parameters])
    items: _Items = [f'Content-Type: multipart/{subtype}{more};\r\n boundary="{boundary}"\r\n\r\n'.encode()]
    for part in parts:
        # The CRLF behind a part belongs to the delimiter that follows (RFC 2046 section 5.1.1).
        items += (f"--{boundary}\r\n".encode(), *part, b"\r\n")
    return [*items, f"--{boundary}--\r\n".encode()]


def _joined(items: _Items) -> _Items:
    """The same with small pieces that follow each other as one."""
    joined: _Items = []
    for item in items:
        last = joined[-1] if joined else None
        if isinstance(last, bytes) and isinstance(item, bytes) and len(last) + len(item) < BLOCK_BYTES:
            joined[-1] = last + item
        else:
            joined.append(item)
    return joined


def _absent(boundary: str, bare: Sequence[bytes]) -> str:
    """The boundary, lengthened until nothing of this holds it.

    What is encoded cannot: every delimiter has "=_" in it, which neither base64 nor quoted-printable ever writes.
    """
    candidate, number = boundary, 0
    while any(candidate.encode() in data for data in bare):
        number += 1
        candidate = f"{boundary}.{number}"
    return candidate


def _check_cids(html: str, attachments: Sequence[Attachment]) -> None:
    if "cid:" not in html:
        return
    known = {a.content_id for a in attachments}
    for cid in _CID.findall(html):
        if cid not in known and _unquoted(cid) not in known:
            raise MessageError(f"shows cid:{shown(cid)}, which no attachment has as content_id", field="html")


def _unquoted(cid: str) -> str:
    from urllib.parse import unquote

    return unquote(cid)
