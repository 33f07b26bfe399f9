"""From the headers and addresses of frameworks' messages to fields of ours.

Frameworks hold addresses as text, maybe encoded already, and any header in a mapping. :class:`~mailer.Message` has a
field for each header that a mail may have once, and refuses it among the others: :func:`header_fields` parts them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.utils import parsedate_to_datetime
from typing import Any

from ..address import Address
from ..errors import HeaderError

__all__ = ["header_fields", "mailbox", "mailboxes"]


def mailbox(value: object, field: str) -> Address:
    """One mailbox: an Address, a pair, or anything whose text is one.

    Encoded-words in its name are decoded: ``email.utils.formataddr`` writes them, and whoever calls that would see them
    in the mail.

    Raises:
        AddressError: It is none, or more than one.
    """
    return _decoded(Address.of(value if isinstance(value, (Address, tuple)) else str(value), field=field))


def mailboxes(values: Iterable[object], field: str) -> list[Address]:
    """Each of them; empty ones are left out."""
    return [mailbox(value, field) for value in values if value]


def _decoded(address: Address) -> Address:
    if "=?" not in address.name:
        return address
    try:
        name = str(make_header(decode_header(address.name)))
    except (HeaderParseError, LookupError, ValueError):  # it only looks like one
        return address
    return Address(name, address.local, address.domain)


def header_fields(headers: Mapping[str, Any], sender: Address | None) -> dict[str, Any]:
    """The fields of our Message that further headers are, ``headers`` among them; none for To, Cc, Bcc and Subject.

    Args:
        headers: Name to value. One that names From or Sender takes that place, and the message's own sender that of the
            envelope's.
        sender: The message's own.

    Raises:
        MessageError: A value is not what its header holds.
    """
    fields: dict[str, Any] = {"headers": []}
    for name, value in headers.items():
        match str(name).lower():
            case "from":
                fields.setdefault("return_path", sender)
                fields["from_"] = [_decoded(one) for one in Address.parse_list(str(value))]
            case "sender":
                fields.setdefault("return_path", sender)
                fields["sender"] = mailbox(value, name)
            case "return-path":
                fields["return_path"] = mailbox(value, name)
            case "reply-to":
                fields["reply_to"] = [_decoded(one) for one in Address.parse_list(str(value))]
            case "message-id":
                fields["message_id"] = str(value).strip()
            case "date":
                fields["date"] = _date(value)
            case "x-priority":
                level = str(value).partition(" ")[0]  # "1 (Highest)"
                fields["priority"] = int(level) if level.isdecimal() else level
            case _:
                fields["headers"].append((name, str(value)))
    return fields


def _date(value: object) -> datetime:
    try:
        date = value if isinstance(value, datetime) else parsedate_to_datetime(str(value))
    except ValueError as error:
        raise HeaderError(str(error), field="Date") from error
    return date if date.tzinfo else date.replace(tzinfo=UTC)  # "-0000": UTC, and no word of the zone (RFC 5322, 3.3)
