"""A contract's tests for one thing, made in one line."""

from __future__ import annotations

from typing import Any, TypeVar

from ..sources import nearest

__all__ = ["subclass_of"]

T = TypeVar("T")


def subclass_of(contract: type[T], name: str, **attributes: Any) -> type[T]:
    """The contract with these attributes, for pytest to collect under the name that it is given.

    Raises:
        TypeError: The contract has no such attribute.
    """
    known = [one for kind in contract.__mro__ for one in (*vars(kind), *vars(kind).get("__annotations__", ()))]
    for one in attributes:
        if one.startswith(("_", "test")) or one not in known:
            raise TypeError(f"{contract.__name__} has no attribute {one!r}; {nearest(one, known)}")
    return type(f"Test{name}", (contract,), attributes)
