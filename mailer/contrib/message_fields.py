"""From the headers and addresses of frameworks' messages to fields of ours.

Frameworks hold addresses as text, maybe encoded already, and any header in a mapping. :class:`~mailer.Message` has a
field for each header that a mail may have once, and refuses it among the others: :func:`header_fields` parts them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.utils import parsedate_to_datetime
from typing import Any

from ..address import Address
from ..envelope import NULL_SENDER
from ..errors import HeaderError

__all__ = ["decoded", "header_fields", "mailbox", "mailboxes", "priority_of", "read"]


def mailbox(value: object, field: str) -> Address:
    """One mailbox: an Address, a pair, or anything whose text is one; encoded-words in its name are decoded.

    Raises:
        AddressError: It is none, or more than one.
    """
    return decoded(Address.of(value if isinstance(value, (Address, tuple)) else str(value), field=field))


def mailboxes(values: Iterable[object], field: str) -> list[Address]:
    """Each of them; empty ones are left out."""
    return [mailbox(value, field) for value in values if value]


def decoded(address: Address) -> Address:
    """With its name read: ``email.utils.formataddr`` writes encoded-words."""
    name = read(address.name)
    return address if name == address.name else Address(name, address.local, address.domain)


def read(text: str) -> str:
    """With encoded-words decoded, as whoever gets the mail reads them."""
    if "=?" not in text:
        return text
    try:
        return str(make_header(decode_header(text)))
    except (HeaderParseError, LookupError, ValueError):  # it only looks like one
        return text


def header_fields(
    headers: Mapping[str, Any], sender: Address | None, *, one: Callable[[Any, str], Address] = mailbox
) -> dict[str, Any]:
    """The fields of our Message that further headers are, ``headers`` among them; none for To, Cc, Bcc and Subject.

    Args:
        headers: Name to value. One that names From or Sender takes that place, and the message's own sender that of the
            envelope's.
        sender: The message's own.
        one: Reads a mailbox, given the field's name too.

    Raises:
        MessageError: A value is not what its header holds.
    """
    fields: dict[str, Any] = {"headers": []}
    for name, value in headers.items():
        match str(name).lower():
            case "from":
                fields.setdefault("return_path", sender)
                fields["from_"] = [decoded(address) for address in Address.parse_list(str(value))]
                if len(fields["from_"]) > 1 and sender is not None:
                    fields.setdefault("sender", sender)  # RFC 5322 section 3.6.2
            case "sender":
                fields.setdefault("return_path", sender)
                fields["sender"] = one(value, name)
            case "return-path":
                fields["return_path"] = NULL_SENDER if str(value).strip() == "<>" else one(value, name)
            case "reply-to":
                fields["reply_to"] = [decoded(address) for address in Address.parse_list(str(value))]
            case "message-id":
                fields["message_id"] = str(value).strip()
            case "date":
                fields["date"] = _date(value)
            case "x-priority":
                fields["priority"] = priority_of(value) or str(value)
            case _:
                fields["headers"].append((name, read(str(value))))
    return fields


def priority_of(value: object) -> int | str | None:
    """What X-Priority says, as :class:`~mailer.Message` takes it; None if that is nothing it knows."""
    level = str(value).strip().partition(" ")[0].lower()  # "1 (Highest)"
    if level in _LEVELS:
        return level
    return int(level) if level in _DIGITS else None


_LEVELS, _DIGITS = frozenset(("highest", "high", "normal", "low", "lowest")), frozenset("12345")


def _date(value: object) -> datetime:
    try:
        date = value if isinstance(value, datetime) else parsedate_to_datetime(str(value))
    except ValueError as error:
        raise HeaderError(str(error), field="Date") from error
    return date if date.tzinfo else date.replace(tzinfo=UTC)  # "-0000": UTC, and no word of the zone (RFC 5322, 3.3)
