"""This machine's name, and text: what Flask-Mailman's ``utils`` has."""

from __future__ import annotations

import datetime
import socket
from decimal import Decimal
from functools import cached_property
from typing import Any

from ...address import Address
from ...errors import AddressError

__all__ = ["DNS_NAME", "CachedDnsName", "FlaskUnicodeDecodeError", "force_str", "is_protected_type", "punycode"]

_PROTECTED = (type(None), int, float, Decimal, datetime.datetime, datetime.date, datetime.time)


def punycode(domain: str) -> str:
    """A domain in A-labels, by IDNA 2008; what is none by that by IDNA 2003."""
    if domain.isascii():
        return domain
    try:
        return Address("", "x", domain).ascii.partition("@")[2]
    except AddressError:
        return domain.encode("idna").decode("ascii")


class CachedDnsName:
    """This machine's name as its DNS knows it, looked up when it is first wanted: ``str(DNS_NAME)``."""

    def __str__(self) -> str:
        return self.get_fqdn()

    def get_fqdn(self) -> str:
        """The name in A-labels."""
        return self._fqdn

    @cached_property
    def _fqdn(self) -> str:
        return punycode(socket.getfqdn())


DNS_NAME = CachedDnsName()


class FlaskUnicodeDecodeError(UnicodeDecodeError):
    """Bytes that are not in the encoding they were said to be in.

    Attributes:
        obj: What was given.
    """

    def __init__(self, obj: Any, *args: Any) -> None:
        super().__init__(*args)
        self.obj = obj

    def __str__(self) -> str:
        return f"{super().__str__()}. You passed in {self.obj!r} ({type(self.obj)})"


def is_protected_type(obj: Any) -> bool:
    """Whether :func:`force_str` lets it be, with ``strings_only``: None, numbers, dates and times."""
    return isinstance(obj, _PROTECTED)


def force_str(s: Any, encoding: str = "utf-8", strings_only: bool = False, errors: str = "strict") -> Any:
    """Anything as a str: bytes decoded, lazy strings resolved.

    Raises:
        FlaskUnicodeDecodeError: The bytes are not in that encoding.
    """
    if isinstance(s, str) or (strings_only and is_protected_type(s)):
        return s
    try:
        return s.decode(encoding, errors) if isinstance(s, bytes) else str(s)
    except UnicodeDecodeError as error:
        raise FlaskUnicodeDecodeError(s, *error.args) from error
