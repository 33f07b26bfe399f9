"""A request looked at from outside: where it goes, and who can see an address that stands in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from ..attachment import Attachment
from ..relay.exchange import Request

__all__ = ["HOSTILE_IN", "harmless", "is_seen", "shape", "ways_to"]

# Fields whose values an app may have from its users, and what somebody may want to break out of.
_HOSTILE = "../../x?y=1&z=2#f;\"'<>{}\\%0d%0aX-In: 1"
HOSTILE_IN: dict[str, Any] = {
    "provider_template": _HOSTILE,
    "idempotency_key": _HOSTILE,
    "tags": [_HOSTILE],
    "metadata": {_HOSTILE: _HOSTILE},
    "subject": _HOSTILE,
    "headers": {"X-A": _HOSTILE},
    "to": [(_HOSTILE, "ann@example.org"), "a/b?c#d@example.org"],
    "attachments": [Attachment.from_bytes(_HOSTILE.replace("/", ""), b"x")],
}
#: Fields that reach who gets the mail: an address of Bcc in one of them is seen by all.
_SEEN = re.compile(r"(header_|reply_?-?)?(to|cc)(_?addresses|_?recipients)?|headers|subject|(text|html)(_?body)?", re.I)


def harmless(value: Any) -> Any:
    """The same form of value, without what may break out."""
    if isinstance(value, str):
        return "plain"
    if isinstance(value, dict):
        return dict.fromkeys(["X-A"] if "X-A" in value else ["plain"], "plain")
    if isinstance(value[0], Attachment):
        return [Attachment.from_bytes("plain", b"x")]
    return ["plain@example.org" if isinstance(value[0], tuple) else "plain"]


def shape(request: Request) -> tuple[Any, ...]:
    """Where a request goes: what a value may stand in is left out, not how many places there are."""
    parts = urlsplit(request.url)
    query = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    return request.method, parts.scheme, parts.netloc, parts.path.count("/"), ".." in parts.path, query, parts.fragment


Way = tuple[Any, ...]


def ways_to(body: Any, address: str, way: Way = ()) -> Iterator[Way]:
    """The keys and places that lead to each text that has the address in it; a key may be it."""
    if isinstance(body, str):
        if address in body:
            yield way
    elif isinstance(body, Mapping):
        for key, value in body.items():
            if address in str(key):
                yield (*way, key)
            yield from ways_to(value, address, (*way, key))
    elif isinstance(body, (list, tuple)):
        for index, value in enumerate(body):
            yield from ways_to(value, address, (*way, index))


def is_seen(way: Way, body: Any, address: str) -> bool:
    """Whether what stands there is read by somebody else than the provider and the one himself."""
    nodes = [body]
    for key in way:
        if not isinstance(nodes[-1], (Mapping, list, tuple)) or (isinstance(nodes[-1], Mapping) and key == address):
            break
        nodes.append(nodes[-1][key])
    if any(isinstance(node, Mapping) and "bcc" in [str(v).lower() for v in node.values()] for node in nodes):
        return False  # {"email": ..., "type": "bcc"}
    keys = [key for key in way if isinstance(key, str)]
    return not any("bcc" in key.lower() for key in keys) and any(_SEEN.fullmatch(key) for key in keys)
