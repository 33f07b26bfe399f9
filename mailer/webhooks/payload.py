"""The payload: a provider's JSON object, read without trust: what is not of the form looked for is not there."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from ..address import Address
from ..errors import AddressError, ProtocolError
from .call import json_of

__all__ = ["Payload", "address_in", "codes_in", "is_address_at_fault", "moment"]

_MAX_TEXT = 2000
_MAX_ID = 255
_CODE = re.compile(r"\s*(?:(?:smtp|x-[\w-]+)\s*;\s*)?([2-5][0-9]{2})(?=[ -]|$)", re.ASCII | re.IGNORECASE)
_ENHANCED_CODE = re.compile(r"(?<![\w.])([245]\.[0-9]{1,3}\.[0-9]{1,3})(?!\.?\w)", re.ASCII)
_TAG = re.compile(r"tag(?:_[0-9]+)?", re.ASCII)


class Payload:
    """A JSON object, or what stands in its place.

    Attributes:
        data: The object; an empty one if it was none.
    """

    __slots__ = ("data",)

    def __init__(self, data: object) -> None:
        self.data: Mapping[str, Any] = data if isinstance(data, dict) else {}

    def __contains__(self, key: str) -> bool:
        return key in self.data

    def at(self, *keys: str) -> Payload:
        """The object within, and within that."""
        found = self
        for key in keys:
            found = Payload(found.data.get(key))
        return found

    def each(self, key: str) -> Iterator[Payload]:
        """The objects of a list; one that stands in its place is the only one."""
        items = self.data.get(key)
        items = items if isinstance(items, list) else [items]
        return (Payload(item) for item in items if isinstance(item, dict))

    def text(self, *keys: str) -> str:
        """The text of the first of these keys that has one, cut to 2000 characters; "" if none has."""
        for key in keys:
            if isinstance(value := self.data.get(key), str) and value:
                return value[:_MAX_TEXT]
        return ""

    def id(self, *keys: str) -> str:
        """The id of the first of these keys that has one: text of at most 255 characters, whole numbers as text."""
        for key in keys:
            value = self.data.get(key)
            if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 64:
                value = str(value)
            if isinstance(value, str) and 0 < len(value) <= _MAX_ID and value.isprintable():
                return value
        return ""

    def number(self, *keys: str) -> int | float | None:
        """The number of the first of these keys that has one, digits in a text too."""
        for key in keys:
            value = self.data.get(key)
            if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
                return int(value)
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                return value
        return None

    def is_true(self, key: str) -> bool:
        """Whether it is true, and not just something."""
        return self.data.get(key) is True

    def texts(self, *keys: str) -> tuple[str, ...]:
        """The texts of the first of these keys that is a text or a list of them."""
        for key in keys:
            value = self.data.get(key)
            if isinstance(value, str) and value:
                return (value[:_MAX_TEXT],)
            if isinstance(value, list):
                return tuple([item[:_MAX_TEXT] for item in value if isinstance(item, str)])
        return ()

    def mapping(self, key: str) -> dict[str, Any]:
        """The object there, as it is, or that of the JSON text there."""
        return dict(Payload(self._json(key)).data)

    def listed(self, key: str) -> tuple[str, ...]:
        """The texts of the list there, or of the JSON text there; a text that is no JSON list is one."""
        return Payload({key: self._json(key)}).texts(key) or self.texts(key)

    def _json(self, key: str) -> Any:
        value = self.data.get(key)
        if isinstance(value, str):
            with contextlib.suppress(ProtocolError):
                return json_of(value)
        return value

    def pairs(self, key: str) -> tuple[tuple[str, ...], dict[str, Any]]:
        """Tags and metadata of a provider that has pairs alone: our tags are those named "tag", "tag_2" ..."""
        pairs = self.mapping(key)
        tags = [name for name in pairs if _TAG.fullmatch(name)]
        return tuple([str(pairs.pop(name))[:_MAX_TEXT] for name in tags]), pairs

    def message_id(self, *keys: str) -> str:
        """The id, which is a Message-ID, in angle brackets: so the answer to the request, and the receipt, has it."""
        found = self.id(*keys)
        return f"<{found}>" if found and not found.startswith("<") else found

    def address(self, *keys: str) -> Address | None:
        """The mailbox of the first of these keys that has one; None if none has."""
        return address_in(self.text(*keys))

    def time(self, *keys: str) -> datetime | None:
        """The moment that the first of these keys that has one says; see :func:`moment`."""
        return next((when for key in keys if (when := moment(self.data.get(key))) is not None), None)


def address_in(text: str) -> Address | None:
    """The mailbox that a text is; None if it is none. A name with it is left out."""
    try:
        found = Address.parse(text.strip())
    except AddressError:
        return None
    return Address("", found.local, found.domain) if found.name else found


def moment(value: object) -> datetime | None:
    """A time in UTC: Unix seconds, as a number or digits, or RFC 3339 (without a zone: UTC); None if it is none."""
    if isinstance(value, str) and value.isascii() and value.replace(".", "", 1).isdigit():
        value = float(value) if len(value) < 30 else None
    try:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
        if isinstance(value, str) and len(value) < 64:
            # Nanoseconds, as some write them, are more than a datetime holds.
            when = datetime.fromisoformat(re.sub(r"(\.[0-9]{6})[0-9]+", r"\1", value))
            return (when if when.tzinfo else when.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        pass
    return None


def codes_in(text: str) -> tuple[int | None, str | None]:
    """The SMTP reply code and the RFC 3463 status code with which a reply's text begins, or which stands in it."""
    code, enhanced = _CODE.match(text), _ENHANCED_CODE.search(text)
    return (int(code[1]) if code else None), (enhanced[1] if enhanced else None)


def is_address_at_fault(text: str) -> bool | None:
    """Whether a reply that refused for good is about the address, by its status code; None where it has none.

    X.1.x is about addresses, X.2.1 is a mailbox that is disabled; the rest is about the mail, the host or a policy (RFC
    3463 section 3).
    """
    _, enhanced = codes_in(text)
    return None if enhanced is None else enhanced[2:].startswith("1.") or enhanced == "5.2.1"
