"""The relaxed form of a mail, which DKIM signs: what hops do to blanks and line ends changes nothing (RFC 6376)."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Protocol

__all__ = ["RelaxedBody", "relaxed_field"]

_BLANKS = re.compile(rb"[ \t]+")
_MANY_BLANKS = re.compile(rb" {2,}")
_BLANK_ENDS = b"\r\n" * 8192  # of a mail that is nothing but line ends, hashed so many at a time


class _Sha256(Protocol):
    """What ``hashlib`` gives."""

    def update(self, data: bytes, /) -> None: ...
    def digest(self) -> bytes: ...


def relaxed_field(name: bytes, body: bytes) -> bytes:
    """A header field in relaxed form, without CRLF at its end (RFC 6376 section 3.4.2).

    Args:
        name: In lower case, without blanks.
        body: What follows the colon, folds and all; a CRLF at its end is dropped.
    """
    if b"\r\n" in body:
        body = body.replace(b"\r\n", b"")
    return name + b":" + _BLANKS.sub(b" ", body).strip(b" ")


class RelaxedBody:
    """The hash of a body in relaxed form (RFC 6376 section 3.4.4), fed in chunks cut anywhere.

    Only what the next chunk may change is kept: how many line ends came last, and whether a blank followed them.
    """

    __slots__ = ("_ends", "_has_blank", "_has_cr", "_hash", "_is_empty")

    def __init__(self) -> None:
        self._hash: _Sha256 = sha256()
        self._ends = 0
        self._has_blank = self._has_cr = False
        self._is_empty = True

    def update(self, chunk: bytes) -> None:
        """Hash some more of the body, whose line ends are CRLF."""
        if self._has_cr:
            chunk, self._has_cr = b"\r" + chunk, False
        if chunk.endswith(b"\r"):
            chunk, self._has_cr = chunk[:-1], True
        text = chunk.rstrip(b" \t\r\n")
        if text:
            self._hash_text(text)
        last = chunk[len(text) :]
        ends = last.count(b"\n")
        self._ends += ends
        blanks_last = last[-1:] in (b" ", b"\t")
        self._has_blank = blanks_last if ends or text else self._has_blank or blanks_last

    def _hash_text(self, text: bytes) -> None:
        """What ends in something visible, behind what was kept."""
        while self._ends > len(_BLANK_ENDS) // 2:
            self._hash.update(_BLANK_ENDS)
            self._ends -= len(_BLANK_ENDS) // 2
        if self._ends or self._has_blank:
            text = b"\r\n" * self._ends + (b" " if self._has_blank else b"") + text
            self._ends, self._has_blank = 0, False
        # "Ignore all whitespace at the end of lines" and "reduce all sequences of WSP within a line to a single SP".
        if b"\t" in text:
            text = text.replace(b"\t", b" ")
        if b"  " in text:
            text = _MANY_BLANKS.sub(b" ", text)
        if b" \r\n" in text:
            text = text.replace(b" \r\n", b"\r\n")
        self._hash.update(text)
        self._is_empty = False

    def digest(self) -> bytes:
        """The hash, once all has been fed; nothing is fed any more."""
        # "Ignore all empty lines at the end"; "if the body is non-empty but does not end with a CRLF, one is added".
        if not self._is_empty:
            self._hash.update(b"\r\n")
        return self._hash.digest()
