"""The mail: sealed, with its envelope; what a backend carries."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from .address import Address
from .delivery import DeliveryOptions
from .envelope import Envelope
from .errors import MessageError
from .field import reads_json, shown
from .message import Message

__all__ = ["Content", "Mail", "Piece"]

_NO_OPTIONS = DeliveryOptions()
_LINE_END = re.compile(rb"\r\n?|\n")


class Piece(Protocol):
    """A stretch of content: ``bytes``, or an object that makes its chunks anew on each iteration."""

    def __len__(self) -> int:
        """Octets in all."""


class Content:
    """The bytes of a mail in RFC 5322 form, CRLF lines, ending in CRLF.

    ``len(content)`` is known beforehand, iterating gives chunks of bytes (as often as asked; attachments on disk are
    read on the way), ``bytes(content)`` is the whole.

    Attributes:
        has_8bit: Some body octet is above 127: it needs 8BITMIME (RFC 6152).
        has_utf8_headers: Some header is raw UTF-8: it needs SMTPUTF8 (RFC 6532).
        about_bytes: How long it is, or about how long it will be once it is made.
        is_made: Whether it is there; else it is made when it is asked for.
    """

    __slots__ = ("_length", "_make", "_pieces", "about_bytes", "has_8bit", "has_utf8_headers", "is_made")

    _make: Callable[[], Content]

    def __init__(self, pieces: Iterable[Piece], *, has_8bit: bool = False, has_utf8_headers: bool = False) -> None:
        self._pieces = tuple(pieces)
        self._length = self.about_bytes = sum(map(len, self._pieces))
        self.is_made = True
        self.has_8bit = has_8bit
        self.has_utf8_headers = has_utf8_headers

    @classmethod
    def later(cls, make: Callable[[], Content], about_bytes: int) -> Content:
        """Content that is made when somebody first asks for any of it: mostly nobody does, where an API composes anew.

        Args:
            make: Called for it, once, or once by each of several threads that ask at the same time.
            about_bytes: See the attribute.
        """
        content = cls.__new__(cls)
        content._make = make
        content.about_bytes = about_bytes
        content.is_made = False
        return content

    def __getattr__(self, name: str) -> Any:
        if name not in ("_length", "_pieces", "has_8bit", "has_utf8_headers"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        made = self._make()  # the slot is blank: it is not made yet
        for slot in ("_length", "_pieces", "has_8bit", "has_utf8_headers"):
            setattr(self, slot, getattr(made, slot))
        self.about_bytes, self.is_made = len(made), True
        return getattr(self, name)

    @classmethod
    def of(cls, data: bytes) -> Content:
        """Content from a whole mail; what it needs is read off it.

        A line end that is not CRLF becomes one, at the end too: a bare CR or LF on the wire is a second mail to some
        servers (RFC 5321 section 2.3.8, CVE-2023-51764).

        Raises:
            MessageError: Not bytes, or a NUL among them.
        """
        if not isinstance(data, bytes):
            raise MessageError(f"must be bytes, not {type(data).__name__}", field="content")
        if b"\0" in data:
            raise MessageError("holds a NUL octet", field="content")
        ends = data.count(b"\r\n")
        if data.count(b"\n") != ends or data.count(b"\r") != ends or not data.endswith(b"\r\n"):
            data = _LINE_END.sub(b"\r\n", data)
            data = data if data.endswith(b"\r\n") else data + b"\r\n"
        if data.isascii():
            return cls((data,))
        head, _, body = data.partition(b"\r\n\r\n")
        return cls((data,), has_8bit=not body.isascii(), has_utf8_headers=not head.isascii())

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """What it is put together from, in order."""
        return self._pieces

    def made_of(self, pieces: Iterable[Piece]) -> Content:
        """Other pieces that need of a server what these need: the same with header fields in front, say."""
        return Content(pieces, has_8bit=self.has_8bit, has_utf8_headers=self.has_utf8_headers)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            if isinstance(piece, bytes):
                yield piece
            else:
                yield from piece  # type: ignore[misc]  # a Piece that is not bytes iterates in bytes

    def __bytes__(self) -> bytes:
        return b"".join(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Content) and len(self) == len(other) and bytes(self) == bytes(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Content {self._length} bytes>" if self.is_made else "<Content, not made yet>"

    def __reduce__(self) -> tuple[Any, ...]:
        return (Content.of, (bytes(self),))


@dataclass(frozen=True, slots=True, repr=False)
class Mail:
    """A sealed message.

    Attributes:
        id: Ours, 32 hexadecimal digits; the same on every try, and a provider's idempotency key by default.
        envelope: Who it goes to.
        message: What it was composed from; None for ready-made mail.
        content: What is sent; bytes become a :class:`Content`.
        is_altered: A ``mail`` filter or a signer changed it after it was composed.
        template: The name of the template that the message was rendered from, if it was.

    Raises:
        MessageError: One of them is something else; ``.field`` names it.
    """

    id: str
    envelope: Envelope
    message: Message | None
    content: Content
    is_altered: bool = False
    template: str | None = None

    def __post_init__(self) -> None:
        given: object = self.content
        if isinstance(given, bytes):
            object.__setattr__(self, "content", Content.of(given))
        if (
            type(self.id) is str
            and self.id.isprintable()  # it is written into logs, idempotency keys and file names
            and type(self.envelope) is Envelope
            and (type(self.message) is Message or self.message is None)
            and type(self.content) is Content
            and type(self.is_altered) is bool
            and (self.template is None or type(self.template) is str)
        ):
            return  # as nearly all are; below, who is wrong
        for name, kind in _KINDS.items():
            if not isinstance(value := getattr(self, name), kind):
                raise MessageError(f"must be {_named(kind)}, not {type(value).__name__}", field=name)
        if not self.id.isprintable():
            raise MessageError(f"holds a line break or control character: {shown(self.id)}", field="id")

    @property
    def is_raw(self) -> bool:
        """Whether the content is not what the message composes: ready-made or altered."""
        return self.is_altered or self.message is None

    @property
    def author(self) -> Address | None:
        """Who it is from: the first From, of ready-made mail the envelope's sender; None for neither."""
        return self.message.from_[0] if self.message is not None and self.message.from_ else self.envelope.sender

    @property
    def delivery(self) -> DeliveryOptions:
        """What the message asks of the transport."""
        return (self.message.delivery if self.message else None) or _NO_OPTIONS

    def with_(self, **changes: Any) -> Mail:
        """A copy with other values for the fields named."""
        return replace(self, **changes)

    def __repr__(self) -> str:
        size = f"{len(self.content)} bytes" if self.content.is_made else "not composed yet"
        return f"<Mail {self.id} to {len(self.envelope.recipients)}, {size}>"

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it, the content in base64."""
        return {
            "id": self.id,
            "envelope": self.envelope.to_dict(),
            "message": self.message.to_dict() if self.message else None,
            "content": base64.b64encode(bytes(self.content)).decode("ascii"),
            "is_altered": self.is_altered,
            "template": self.template,
        }

    @classmethod
    @reads_json
    def from_dict(cls, data: Mapping[str, Any]) -> Mail:
        """Read back what :meth:`to_dict` gave; unknown keys are ignored, wrong values raise :class:`MessageError`."""
        message = data.get("message")
        return cls(
            id=data["id"],
            envelope=Envelope.from_dict(data["envelope"]),
            message=Message.from_dict(message) if message is not None else None,
            content=Content.of(base64.b64decode(data["content"], validate=True)),
            is_altered=bool(data.get("is_altered", False)),
            template=data.get("template"),
        )


_KINDS: dict[str, tuple[type, ...]] = {
    "id": (str,),
    "envelope": (Envelope,),
    "message": (Message, type(None)),
    "content": (Content,),
    "is_altered": (bool,),
    "template": (str, type(None)),
}


def _named(kinds: tuple[type, ...]) -> str:
    return " or ".join("None" if kind is type(None) else kind.__name__ for kind in kinds)
