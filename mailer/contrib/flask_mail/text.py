"""Text and addresses in the form in which Flask-Mail hands them about: header-ready strings."""

from __future__ import annotations

import re
from collections.abc import Iterable
from email.header import Header
from email.utils import formataddr, parseaddr
from typing import Any

from ...address import Address
from ...errors import AddressError, MessageError

__all__ = [
    "FOLD",
    "AddressLike",
    "BadHeaderError",
    "FlaskMailUnicodeDecodeError",
    "breaks_off",
    "force_text",
    "sanitize_address",
    "sanitize_addresses",
    "sanitize_subject",
]

AddressLike = str | tuple[str, str]
#: The line breaks that may fold a further header: Python's ``Header.encode`` folds with LF alone.
FOLD = r"\r?\n"


class BadHeaderError(Exception):
    """A line break in a header, which would begin another one; or a header that cannot be written."""


class InvalidMessageError(MessageError, BadHeaderError):
    """The message cannot be built; its cause is the :class:`~mailer.MessageError` that says why."""


class FlaskMailUnicodeDecodeError(UnicodeDecodeError):
    """Bytes that are not in the encoding they were said to be in.

    Attributes:
        obj: What was given.
    """

    def __init__(self, obj: Any, *args: Any) -> None:
        super().__init__(*args)
        self.obj = obj

    def __str__(self) -> str:
        return f"{super().__str__()}. You passed in {self.obj!r} ({type(self.obj)})"


def force_text(s: Any, encoding: str = "utf-8", errors: str = "strict") -> str:
    """Anything as a str: bytes decoded, lazy strings resolved.

    Raises:
        FlaskMailUnicodeDecodeError: The bytes are not in that encoding.
    """
    if isinstance(s, str):
        return s
    try:
        return s.decode(encoding, errors) if isinstance(s, bytes) else str(s)
    except UnicodeDecodeError as error:
        if isinstance(s, Exception):  # whose own text cannot be had
            return " ".join(force_text(arg, encoding, errors) for arg in s.args)
        raise FlaskMailUnicodeDecodeError(s, *error.args) from error


def breaks_off(value: Any, fold: str = r"\r\n") -> bool:
    """Whether a line break in a header's value does not fold it, but ends it.

    RFC 5322 section 2.2.3: further lines begin with a blank; and none is blank altogether.

    Args:
        fold: A pattern of the line breaks that may.
    """
    text = force_text(value)
    if "\r" not in text and "\n" not in text:
        return False
    first, *further = re.split(fold, text)
    bad = any(not line.strip() or "\r" in line or "\n" in line for line in (first, *further))
    return bad or any(line[0] not in " \t" for line in further)


def sanitize_subject(subject: str, encoding: str = "utf-8") -> str:
    """A subject as it stands in a header: as it is if it is ASCII, else as encoded-words."""
    return subject if subject.isascii() else _encoded(subject, encoding)


def sanitize_address(addr: AddressLike, encoding: str = "utf-8") -> str:
    """A mailbox as it stands in a header: the name as an encoded-word, the domain in A-labels (IDNA 2008).

    Args:
        addr: ``"Ann <ann@example.org>"``, read leniently: what is wrong about it is left out; or a pair.
        encoding: Of the encoded-words; UTF-8 where it does not have the characters.

    Raises:
        BadHeaderError: A line break in a pair.
    """
    name, spec = parseaddr(force_text(addr)) if not isinstance(addr, tuple) else map(force_text, addr)
    if any(char in name + spec for char in "\r\n"):
        raise BadHeaderError(f"a line break in an address: {addr!r}")
    if not spec.isascii():
        spec = _ascii(spec, encoding)
    return formataddr((_encoded(name, encoding), spec))


def sanitize_addresses(addresses: Iterable[AddressLike], encoding: str = "utf-8") -> list[str]:
    """Each as :func:`sanitize_address` gives it."""
    return [sanitize_address(address, encoding) for address in addresses]


def _encoded(text: str, encoding: str) -> str:
    try:
        return Header(text, encoding).encode()
    except UnicodeEncodeError:
        return Header(text, "utf-8").encode()


def _ascii(spec: str, encoding: str) -> str:
    local, at, domain = spec.partition("@")
    if not at:
        return _encoded(spec, encoding)
    try:
        domain = Address("", "x", domain).ascii.partition("@")[2]
    except AddressError:  # what cannot be a domain is found out when it is sent
        domain = domain.encode("idna").decode("ascii")
    return f"{local}@{domain}"
