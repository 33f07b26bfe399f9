"""The passage: one transaction for one mail and some of its recipients, from MAIL to the reply to its data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ..errors import MailerError
from ..redaction import words_of
from .data import dot_stuffed

if TYPE_CHECKING:
    from ..address import Address
    from .capabilities import Capabilities
    from .reply import Reply
    from .transaction import Transaction

__all__ = ["RIDE_BYTES", "Passage", "unreadable"]

RIDE_BYTES = 64 * 1024
"""Content that goes in one write with what surrounds it; larger ones are written apart, in stretches of this size."""
_NEVER = 1 << 62


class Passage:
    """What has become of it so far.

    Attributes:
        transaction: The mail's own.
        recipients: Whom it is for.
        mail, rcpts: The commands.
        size: Octets of the content.
        content: The content if it is small; None: it is read as it goes.
        accepted: Whom the server took.
        rest: Recipients that were too many for this one.
        refusal: The reply that refused MAIL, or a chunk.
        is_odd: Somebody was accepted although MAIL was refused.
        is_go: 354 has come.
        rides: All of it goes in one write.
        end: The place of its last byte on the wire: behind it, it is handed over.
    """

    __slots__ = (
        "accepted",
        "content",
        "end",
        "is_go",
        "is_odd",
        "mail",
        "rcpts",
        "recipients",
        "refusal",
        "rest",
        "rides",
        "size",
        "transaction",
    )

    def __init__(self, transaction: Transaction, recipients: list[Address], offered: Capabilities) -> None:
        self.transaction = transaction
        self.recipients = recipients
        self.mail, self.rcpts = transaction.lines(recipients, offered)
        self.size = len(transaction.content)
        self.content = bytes(transaction.content) if self.size <= RIDE_BYTES else None
        self.accepted: list[Address] = []
        self.rest: list[Address] = []
        self.refusal: Reply | None = None
        self.is_odd = False
        self.is_go = False
        self.rides = False
        self.end = _NEVER

    def shown(self, data: bytes) -> Iterator[str]:
        """What is written for it, as the log may have it: the command, and how long the mail is."""
        line, _, content = data.partition(b"\r\n")
        if line:
            yield line.decode("utf-8", "backslashreplace")
        if content or not line:
            yield f"<{len(content) or self.size} octets of mail>"

    def served(self) -> list[Address]:
        """Its recipients without the rest."""
        left = set(map(id, self.rest))
        return [address for address in self.recipients if id(address) not in left]

    def stretches(self, size: int) -> Iterator[bytes]:
        """The content in stretches worth a write, of ``size`` at most; raises MailerError if it cannot be read."""
        return _stretches(self._chunks(), size)

    def dotted(self) -> Iterator[bytes]:
        """The same as DATA carries it, with the end marker."""
        return _stretches(dot_stuffed(self._chunks()), RIDE_BYTES)

    def _chunks(self) -> Iterator[bytes]:
        if self.content is not None:
            yield self.content
            return
        try:
            yield from self.transaction.content
        except Exception as error:
            self.transaction.abandon(failed := unreadable(error))
            raise failed from error


def unreadable(error: Exception) -> MailerError:
    """What is told when the content could not be read, by whoever's code."""
    failed = MailerError(f"the mail's content could not be read: {words_of(error)}")
    failed.__cause__ = error
    return failed


def _stretches(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The bytes in stretches worth a write, of ``size`` at most; at least one, which may be empty."""
    waiting: list[bytes] = []
    length = 0
    for chunk in chunks:
        if length and length + len(chunk) > size:
            yield b"".join(waiting)
            waiting, length = [], 0
        for start in range(0, len(chunk) - size, size):
            yield chunk[start : start + size]
        if len(chunk) > size:
            chunk = chunk[(len(chunk) - 1) // size * size :]
        waiting.append(chunk)
        length += len(chunk)
    yield b"".join(waiting)
