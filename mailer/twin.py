"""Twins of frozen dataclasses: filled by plain assignment, then turned into the class they are twins of.

A frozen object is otherwise filled through ``object.__setattr__``, which takes ten times as long as an assignment. That
is for objects that are made for every mail from values that are checked already; all others have their constructor.
"""

from __future__ import annotations

from typing import Any

__all__ = ["twin_of"]


def twin_of(kind: type) -> type[Any]:
    """A class with the same slots, none of them frozen; ``made.__class__ = kind`` freezes an object of it."""
    return type(f"{kind.__name__}Twin", (), {"__slots__": kind.__slots__})  # type: ignore[attr-defined]  # it has some
