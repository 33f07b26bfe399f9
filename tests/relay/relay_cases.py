"""The cases that every provider is tested with, as they ship; and the vendors' schemas."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema

from mailer.testing.provider_cases import CASES, FILES, ORDINARY, PNG, WHEN, mail_of, message_of, unreadable

__all__ = ["CASES", "FILES", "ORDINARY", "PNG", "WHEN", "mail_of", "message_of", "schema_errors", "unreadable"]

_HERE = Path(__file__).parent
_SHARED = [folder / "shared" / "esp" / "schemas" for folder in _HERE.parents]


def schema_errors(body: Any, file: str, pointer: str, *, is_closed: bool = False) -> list[str]:
    """What the schema at the pointer finds wrong; a vendor's file counts where the machine has it.

    Args:
        is_closed: Whether a key that an object's properties do not name is wrong: vendors rarely say so.
    """
    places = [_HERE / "schemas", *(folder / kind for folder in _SHARED for kind in ("derived", "vendor"))]
    path = next((place / file for place in places if (place / file).is_file()), None)
    if path is None:
        return []
    schema = json.loads(path.read_text(encoding="utf-8"))
    if is_closed:
        schema = _closed(schema)
    validator = jsonschema.Draft202012Validator({**schema, **({"$ref": pointer} if pointer else {}), "oneOf": [{}]})
    return [f"{list(error.path)}: {error.message}" for error in validator.iter_errors(body)]


def _closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and "additionalProperties" not in schema:
        closed["additionalProperties"] = False
    return closed
