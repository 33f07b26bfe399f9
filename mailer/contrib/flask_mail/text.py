"""Text and addresses in the form in which Flask-Mail hands them about: header-ready strings."""

from __future__ import annotations

from collections.abc import Iterable
from email.header import Header
from email.utils import formataddr, parseaddr
from typing import Any

from ...address import Address
from ...errors import AddressError, MessageError

__all__ = [
    "BadHeaderError",
    "FlaskMailUnicodeDecodeError",
    "force_text",
    "sanitize_address",
    "sanitize_addresses",
    "sanitize_subject",
]

AddressLike = str | tuple[str, str]


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
