"""Whom an answer is about: it names recipients in a list of items, or within its words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..address import Address
from ..mail import Mail

__all__ = ["items_of", "named_in"]


def named_in(text: str, mail: Mail) -> set[tuple[str, str]]:
    """The keys of the recipients whose addresses stand in the text, in any case."""
    words = {word.strip(".,;:()<>\"'").lower() for word in re.split(r"[\s,;<>]+", text)}
    return {a.key for a in mail.envelope.recipients if a.ascii.lower() in words or a.addr_spec.lower() in words}


def items_of(mail: Mail, items: Iterable[Any], key: str) -> Iterator[tuple[Address, Mapping[str, Any] | None]]:
    """Each recipient with the item of an answer whose ``key`` holds its address, in any case; None without one."""
    named: dict[str, list[Mapping[str, Any]]] = {}
    for item in items:
        if isinstance(item, dict) and isinstance(item.get(key), str):
            named.setdefault(item[key].lower(), []).append(item)
    for address in mail.envelope.recipients:
        found = named.get(address.ascii.lower()) or named.get(address.addr_spec.lower())
        # Two who differ in case alone have an item each.
        yield address, (found.pop(0) if len(found) > 1 else found[0]) if found else None
