"""The number of a stored template, for a provider whose templates have no other name."""

from __future__ import annotations

from ..errors import UnsupportedFeature
from ..field import shown

__all__ = ["template_number"]

_MAX_DIGITS = 18  # of an int64


def template_number(name: str, provider: str) -> int:
    """The number that the name is.

    Raises:
        UnsupportedFeature: It is none: another provider of a group may have a template of that name.
    """
    if not (name.isascii() and name.isdigit() and len(name) <= _MAX_DIGITS):
        text = f"{shown(name)} is no template of {provider}, where they have whole numbers"
        raise UnsupportedFeature(text, field="provider_template")
    return int(name)
