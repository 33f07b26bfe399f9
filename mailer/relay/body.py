"""The body of a request, with an app's own options laid over it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ..errors import MessageError
from ..field import shown

__all__ = ["merged"]


def merged(body: dict[str, Any], options: Mapping[str, Any], taken: Collection[str]) -> dict[str, Any]:
    """The body with ``provider_options`` laid over it, mappings within mappings; None takes a key of it away.

    Args:
        taken: Keys that options must not name, in lower case: they would change who gets the mail. Of one within
            another "outer.inner".

    Raises:
        MessageError: They do.
    """
    for key, value in options.items():
        if key.lower() in taken:
            raise MessageError(
                f"{shown(key)} says who gets the mail, and only to, cc and bcc do", field="provider_options"
            )
        if value is None:
            body.pop(key, None)
            continue
        below = body.get(key)
        start = f"{key.lower()}."
        within = [path.removeprefix(start) for path in taken if path.startswith(start)]
        if isinstance(value, Mapping) and (isinstance(below, dict) or within):
            body[key] = merged(dict(below) if isinstance(below, dict) else {}, value, within)
        else:
            body[key] = value
    return body
