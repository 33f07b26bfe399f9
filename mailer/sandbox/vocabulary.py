"""The filters, tests and functions of stored templates. Each pays for what goes in and what comes out."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

from jinja2 import Environment, filters, pass_eval_context, tests
from jinja2.nodes import EvalContext
from jinja2.runtime import Context

from ..rendering import Strict
from ..template_engine import Refused
from .meter import MAX_WRITTEN, NUMBERS, current, listed, product

__all__ = ["FILTERS", "TESTS", "bounded_range"]

_MAX_RANGE = 100_000


def bounded_range(*numbers: int) -> range:
    """``range``, of 100,000 at most, and of numbers that a template may write."""
    if any(isinstance(number, int) and abs(number) > MAX_WRITTEN for number in numbers):
        raise Refused("a number is too large for range()")
    made = range(*numbers)
    if abs(made.stop - made.start) // abs(made.step) > _MAX_RANGE:
        raise Refused(f"range() gives {_MAX_RANGE} at most")
    return made


def _metered(function: Any, work: Callable[..., int] | None = None) -> Callable[..., Any]:
    """A filter or test that pays for what goes in and what comes out; with ``work``, for that of these sizes."""

    @functools.wraps(function)  # with the mark that says whether it takes the environment
    def metered(*arguments: Any, **named: Any) -> Any:
        meter = current.get()
        given = [v for v in (*arguments, *named.values()) if not isinstance(v, (Environment, EvalContext, Context))]
        for value in given:
            meter.take(value)
        if work is not None:
            meter.spend(work(*given))
        return meter.take(listed(function(*arguments, **named)))

    return metered


def _comparing(value: Any = None, *options: Any) -> int:
    """What it costs to put a value in order, each item by all the parts of ``attribute="a.b,c.d"``."""
    meter = current.get()
    size = meter.size(value)
    parts = 1 + sum(option.count(".") + option.count(",") for option in options if isinstance(option, str))
    return size * max(size.bit_length(), parts)


def _number(value: Any) -> Any:
    if isinstance(value, Strict):
        str(value)  # raises, with its name
    if not isinstance(value, NUMBERS):
        raise Refused("a filter or test for numbers got something else")
    return value


def _as_int(value: Any, default: int = 0) -> int:
    try:
        return int(value) if not isinstance(value, str) or len(value) <= 30 else default
    except (TypeError, ValueError, OverflowError):
        return default


def _as_float(value: Any, default: float = 0.0) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return default


@pass_eval_context
def _joined(context: EvalContext, value: Iterable[Any], d: str = "") -> str:
    items = list(value)
    meter = current.get()
    meter.spend(meter.size(d) * len(items))
    return filters.sync_do_join(context, items, d)


@pass_eval_context
def _replaced(context: EvalContext, s: Any, old: str, new: str, count: int | None = None) -> str:
    text, meter = str(s), current.get()
    meter.spend(product(text, old))
    times = text.count(str(old)) if old != "" else len(text) + 1
    meter.spend(times * meter.size(str(new)))
    return filters.do_replace(context, s, old, new, count)


def _trimmed(value: Any, chars: str | None = None) -> str:
    current.get().spend(product(value, chars))
    return filters.do_trim(value, chars)


FILTERS: dict[str, Callable[..., Any]] = {
    **{
        name: _metered(filters.FILTERS[name])
        for name in "capitalize count d default e escape first items last length list lower reverse string title"
        " truncate upper urlencode wordcount".split()
    },
    # Comparing costs more than looking.
    **{name: _metered(filters.FILTERS[name], _comparing) for name in ("max", "min", "sort", "unique")},
    "abs": _metered(lambda value: abs(_number(value))),
    "float": _metered(_as_float),
    "int": _metered(_as_int),
    "join": _metered(_joined),
    "replace": _metered(_replaced),
    "round": _metered(lambda value, precision=0: round(_number(value), max(-15, min(15, precision)))),
    "trim": _metered(_trimmed),
    "sum": _metered(lambda value: sum(map(_number, value))),
}
TESTS: dict[str, Callable[..., Any]] = {
    **{
        name: _metered(tests.TESTS[name])
        for name in "== != < <= > >= boolean defined eq equalto false float ge greaterthan gt in integer iterable le"
        " lessthan lower lt mapping ne none number sequence string true undefined upper".split()
    },
    # Jinja2's own compute "%" with whatever it is: of a text that is formatting.
    "divisibleby": _metered(lambda value, num: _number(value) % _number(num) == 0),
    "even": _metered(lambda value: _number(value) % 2 == 0),
    "odd": _metered(lambda value: _number(value) % 2 == 1),
}
