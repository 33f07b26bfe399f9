"""What a stored template may use, and what it has left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ..template_engine import Refused

__all__ = ["CHARS_A_STEP", "MAX_WRITTEN", "NUMBERS", "Meter", "TemplateLimits", "current", "listed", "product"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateLimits:
    """How much a stored template may use.

    Attributes:
        source_chars: The length of each part's source.
        nodes: The size of each part once it is parsed: a variable with a filter is about five.
        steps: The work of one part's rendering; see the module. 100,000 are about a tenth of a second.
        output_chars: The length of what one part gives.
    """

    source_chars: int = 100_000
    nodes: int = 10_000
    steps: int = 300_000
    output_chars: int = 1_000_000


CHARS_A_STEP = 16
_MAX_NUMBER = 10**30
MAX_WRITTEN = 10**18
"""What a template may write, or count with ``range``. From 2**61 on there are numbers of one hash, and each that goes
into a mapping or through ``unique`` is compared with all before it."""


class Meter:
    """What one rendering has left; the current one within ``with``."""

    def __init__(self, limits: TemplateLimits) -> None:
        self.limits = limits
        self.steps = limits.steps
        self.output = limits.output_chars

    def __enter__(self) -> Meter:
        self._token = current.set(self)
        return self

    def __exit__(self, *error: object) -> None:
        current.reset(self._token)

    def spend(self, steps: int) -> None:
        self.steps -= steps
        if self.steps < 0:
            raise Refused(f"takes more than the {self.limits.steps} steps that a stored template has")

    def too_long(self) -> str:
        return f"gives more than the {self.limits.output_chars} characters that a stored template may"

    def size(self, value: object) -> int:
        """What a value costs, not more than is left. Without recursion, and never longer at work than that."""
        total, waiting = 0, [value]
        while waiting and total <= self.steps:
            item = waiting.pop()
            total += 1
            if isinstance(item, (str, bytes)):
                total += len(item) // CHARS_A_STEP
            elif isinstance(item, (list, tuple, set, frozenset)):
                if len(item) > self.steps:
                    return self.steps + 1
                waiting.extend(item)
            elif isinstance(item, Mapping):
                if len(item) > self.steps:
                    return self.steps + 1
                waiting.extend(item.keys())
                waiting.extend(item.values())
            elif isinstance(item, range):
                total += len(item)
        return total

    def take(self, value: Any) -> Any:
        """Pay for a value and return it."""
        if type(value) not in _SMALL:
            self.spend(self.size(value))
        if isinstance(value, NUMBERS) and not abs(value) < _MAX_NUMBER:  # a NaN is none of them
            raise Refused("a number is too large")
        return value


_SMALL = frozenset((int, float, bool, type(None), Decimal))
NUMBERS: tuple[Any, ...] = (int, float, Decimal)
current: ContextVar[Meter] = ContextVar("mailer_stored_template")


def listed(value: Any) -> Any:
    """What is computed step by step, as a list: now, and paid for."""
    if not isinstance(value, Iterator):
        return value
    meter, items = current.get(), []
    for item in value:
        meter.spend(1)
        items.append(item)
    return items


def product(*values: Any) -> int:
    """What it costs to look for one text in another: ``strip`` compares each character with each."""
    cost = 1
    for value in values:
        if isinstance(value, str):
            cost *= 1 + len(value) // CHARS_A_STEP
    return cost if cost > 1 else 0
