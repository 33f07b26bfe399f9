"""Stored templates: what users of an app may write, kept in its database, rendered within limits.

A template of :mod:`mailer.templates` is code of the app; one that a customer typed into a form is not. So a stored one
is a small language in Jinja2's immutable sandbox: variables, ``if``, ``for``, ``set``, the filters and tests listed
here, and no call but of ``range`` and a few methods of plain values. Nothing else can be written down: no import,
include or macro, no ``safe``, no format string, no attribute that begins with an underscore.

What bounds it is counted, not timed, so that the same template with the same values always ends the same way, in any
thread. All work costs steps: an item of a loop as many as its body has nodes, a value that is shown, compared, joined
or built as many as it has items (a value within two lists counts twice) and a sixteenth of its characters. Work is paid
before it is done where the result may be larger than what goes in (``*``, ``replace``, ``join``).

Methods and properties of objects in the context are the app's code, which nothing here bounds: give plain data.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any

from jinja2 import Template, TemplateAssertionError, filters, nodes, pass_eval_context, tests
from jinja2.nodes import EvalContext
from jinja2.runtime import Context, LoopContext, markup_join, str_join
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer
from markupsafe import Markup, escape

from .errors import TemplateError
from .message import Message
from .rendering import Refused, Strict, compiled, rendered, undefined_name
from .templates import checked_part, with_parts

__all__ = ["StoredTemplate", "TemplateLimits"]


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


@dataclass(frozen=True, slots=True)
class StoredTemplate:
    """A template that a user of the app wrote.

    ::

        StoredTemplate(subject="Hello {{ name }}", html="<p>{{ text }}</p>").render(message)

    Making one checks it: do so before storing what was typed. Rendering is a plain function, bounded by the limits; it
    may be called from any thread, and takes too long for an event loop (use a thread there).

    Attributes:
        subject: The source of the subject, or "" for none.
        text: The source of the text part; None derives it from the html.
        html: The source of the html part, where all values are escaped; or None.
        limits: How much it may use.

    Raises:
        TemplateError: It is too large, its syntax is wrong, or it holds what a stored template may not.
    """

    subject: str = ""
    text: str | None = None
    html: str | None = None
    limits: TemplateLimits = TemplateLimits()
    _parts: dict[str, Template] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        for part in ("subject", "text", "html"):
            source = getattr(self, part)
            if source is None or source == "":
                continue
            if not isinstance(source, str):
                raise TemplateError(f"must be a string, not {type(source).__name__}", field=part)
            if len(source) > self.limits.source_chars:
                raise TemplateError(f"is longer than {self.limits.source_chars} characters", field=part)
            with _Meter(self.limits):  # what is parsed is counted too
                self._parts[part] = compiled(_environment(part == "html"), source, part, self)

    def __reduce__(self) -> tuple[Any, ...]:
        return (StoredTemplate, (self.subject, self.text, self.html, self.limits))

    def render(self, message: Message, context: Mapping[str, Any] | None = None) -> Message:
        """Render into the message's subject, text and html, as :meth:`mailer.Templates.render` does.

        What the message gives itself wins; its ``template`` is not looked at and gone from the result.

        Raises:
            TemplateError: It cannot be rendered, or not within the limits. The text never holds a value.
        """
        variables = message.context if context is None else context
        parts: dict[str, Any] = {}
        for part, template in self._parts.items():
            if getattr(message, part) == ("" if part == "subject" else None):
                with _Meter(self.limits) as meter:
                    text = rendered(template, variables, self)
                if len(text) > meter.limits.output_chars:
                    raise TemplateError(f"{self.label(part)}: {meter.too_long()}", field="template")
                parts[part] = checked_part(text, part, self.label(part))
        return with_parts(message, parts, derives_text=True)

    def label(self, name: str) -> str:
        """What an error calls a part."""
        return f"stored {name}"

    def source(self, name: str) -> str:
        """The source of a part."""
        return getattr(self, name, None) or ""


# --- the meter --------------------------------------------------------------------------------------------------------

_CHARS_A_STEP = 16
_MAX_NUMBER = 10**30
_MAX_DEPTH = 40  # nodes within each other: Python's own compiler gives up at about a hundred
_MAX_RANGE = 100_000
_MAX_FORM = 100


class _Meter:
    """What one rendering has left; the current one within ``with``."""

    def __init__(self, limits: TemplateLimits) -> None:
        self.limits = limits
        self.steps = limits.steps
        self.output = limits.output_chars

    def __enter__(self) -> _Meter:
        self._token = _current.set(self)
        return self

    def __exit__(self, *error: object) -> None:
        _current.reset(self._token)

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
                total += len(item) // _CHARS_A_STEP
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
        if isinstance(value, _NUMBERS) and not abs(value) < _MAX_NUMBER:  # a NaN is none of them
            raise Refused("a number is too large")
        return value


_SMALL = frozenset((int, float, bool, type(None), Decimal))
_NUMBERS: tuple[Any, ...] = (int, float, Decimal)
_current: ContextVar[_Meter] = ContextVar("mailer_stored_template")


# --- the language -----------------------------------------------------------------------------------------------------

_NODES = frozenset(
    "Template Output TemplateData If For Assign Const Name Tuple List Dict Pair Keyword CondExpr Filter Test Call"
    " Getitem Getattr Slice Concat Compare Operand Add Sub Mul Div FloorDiv Mod Not And Or Neg Pos".split()
)
_KEPT_NAMES = frozenset(("self", "super", "caller", "varargs", "kwargs"))


class _Transformer(NodeTransformer):
    """Puts the meter around what may be large. A method of the environment does each."""

    def visit_Output(self, node: nodes.Output) -> nodes.Node:  # noqa: N802 - Jinja2's names
        self.generic_visit(node)
        node.nodes = [
            child if isinstance(child, nodes.TemplateData) else _through("metered_output", child)
            for child in node.nodes
        ]
        return node

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802
        weight = 1 + sum(map(_weight, (*node.body, *([node.test] if node.test else ()))))
        self.generic_visit(node)
        node.iter = _through("metered_items", node.iter, nodes.Const(weight))
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _through("metered_concat", *node.nodes)

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.expr = _through("metered", node.expr)
        for operand in node.ops:
            operand.expr = _through("metered", operand.expr)
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        if isinstance(node.arg, nodes.Slice):
            node.node = _through("metered", node.node)
        elif not isinstance(node.arg, nodes.Const):
            node.arg = _through("metered", node.arg)
        return node

    def _literal(self, node: nodes.Literal) -> nodes.Node:
        self.generic_visit(node)
        return node if getattr(node, "ctx", "load") != "load" else _through("metered", node)

    visit_List = visit_Dict = visit_Tuple = _literal  # noqa: N815


def _through(method: str, *arguments: nodes.Node) -> nodes.Call:
    first = arguments[0]
    call = nodes.Call(nodes.EnvironmentAttribute(method), list(arguments), [], None, None)
    call.set_lineno(first.lineno, override=True)
    return call


def _weight(node: nodes.Node) -> int:
    """Nodes and characters below a node; its depth is known to be small."""
    chars = len(node.data) // _CHARS_A_STEP if isinstance(node, nodes.TemplateData) else 0
    return 1 + chars + sum(map(_weight, node.iter_child_nodes()))


class _Environment(ImmutableSandboxedEnvironment):
    """Parses the small language only, and meters it."""

    intercepted_binops = frozenset(("+", "-", "*", "/", "//", "%"))

    def _generate(
        self, source: nodes.Template, name: str | None, filename: str | None, defer_init: bool = False
    ) -> str:
        self._check(source, name)
        return super()._generate(_Transformer().visit(source), name, filename, defer_init)

    def _check(self, source: nodes.Template, name: str | None) -> None:
        limit, count = _current.get().limits.nodes, 0
        waiting: list[tuple[nodes.Node, int, int]] = [(source, 0, 1)]
        while waiting:
            node, depth, line = waiting.pop()
            line = node.lineno or line
            count += 1
            why = _refusal(node)
            if count > limit:
                why = f"has more than the {limit} nodes that a stored template may"
            elif depth > _MAX_DEPTH:
                why = f"nests more than {_MAX_DEPTH} deep"
            if why:
                raise TemplateAssertionError(why, line, name)
            waiting.extend((child, depth + 1, line) for child in node.iter_child_nodes())

    # --- what the transformer calls -----------------------------------------------------------------------------------

    def metered(self, value: Any) -> Any:
        return _current.get().take(value)

    def metered_items(self, value: Iterable[Any], weight: int) -> Iterator[Any]:
        meter = _current.get()
        items = iter(value)  # an undefined one is found here, in its line

        def counted() -> Iterator[Any]:
            for item in items:
                meter.spend(weight)
                yield item

        return counted()

    def metered_concat(self, *values: Any) -> str:
        shown = [self._shown(value) for value in values]
        return markup_join(shown) if self.autoescape else str_join(shown)

    def metered_output(self, value: Any) -> Any:
        meter, shown = _current.get(), self._shown(value)
        if self.autoescape:
            shown = escape(shown)
            meter.spend(len(shown) // _CHARS_A_STEP)
        meter.output -= len(shown)
        if meter.output < 0:
            raise Refused(meter.too_long())
        return shown

    def _shown(self, value: Any) -> str:
        meter = _current.get()
        meter.take(value)
        if isinstance(value, str):
            return value
        shown: str = Markup(value.__html__()) if hasattr(value, "__html__") else str(value)  # noqa: S704 - as escape() does
        meter.spend(len(shown) // _CHARS_A_STEP)
        return shown

    # --- what Jinja2's sandbox calls ----------------------------------------------------------------------------------

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        meter = _current.get()
        meter.take(left)
        meter.take(right)
        if not (isinstance(left, _NUMBERS) and isinstance(right, _NUMBERS)):
            kinds = {type(left), type(right)}
            if operator == "*" and int in kinds and kinds & _SEQUENCES:
                times, value = (left, right) if isinstance(left, int) else (right, left)
                meter.spend(meter.size(value) * max(times, 0))
            elif not (operator == "+" and len(kinds) == 1 and kinds <= _SEQUENCES):
                self._undefined_operand(left, right)
                raise Refused(f"{operator} is for numbers, or + for two texts or lists; ~ joins texts")
        return meter.take(self.binop_table[operator](left, right))

    def _undefined_operand(self, *values: Any) -> None:
        for value in values:
            if isinstance(value, Strict):
                str(value)  # raises, with its name

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, dict) and attribute in obj:  # order.items is more often an order's items than dict.items
            return obj[attribute]
        return super().getattr(obj, attribute)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, _CODE):
            return False
        allowed = next((names for kind, names in _METHODS if isinstance(obj, kind)), None)
        if allowed is not None:
            return attr in allowed
        return super().is_safe_attribute(obj, attr, value)

    def wrap_str_format(self, value: Any) -> None:
        """Nothing to wrap: no text has an attribute ``format`` here."""

    def unsafe_undefined(self, obj: Any, attribute: str) -> Any:
        raise undefined_name(attribute, type(obj).__name__)

    def call(self, context: Context, fn: Any, /, *arguments: Any, **named: Any) -> Any:
        meter = _current.get()
        named.pop("_loop_vars", None)  # Jinja2's, for functions that take the context
        named.pop("_block_vars", None)
        owner = getattr(fn, "__self__", None)
        if owner is self:  # the transformer's
            return fn(*arguments)
        if isinstance(fn, Strict):
            fn()  # raises, with its name
        meter.spend(1)
        for value in (*arguments, *named.values()):
            meter.take(value)
        if fn is _range:
            return _range(*arguments, **named)
        if isinstance(fn, (types.BuiltinMethodType, types.MethodType)) and any(
            isinstance(owner, kind) and fn.__name__ in names for kind, names in _METHODS
        ):
            if fn.__name__ == "strftime" and any(len(form) > _MAX_FORM for form in arguments):
                raise Refused(f"strftime() takes {_MAX_FORM} characters at most")  # "%999d" pads
            meter.take(owner)
            meter.spend(_product(owner, *arguments))
            return meter.take(_listed(fn(*arguments, **named)))
        raise Refused("calls nothing but range() and a few methods of texts, dates, mappings and loop")


_SEQUENCES = {str, list, tuple, Markup}
# Kinds with methods that may be called, the narrower first; of these nothing else can be read either.
_METHODS: tuple[tuple[Any, frozenset[str]], ...] = (
    (str, frozenset("capitalize endswith lower lstrip rstrip split startswith strip title upper".split())),
    (dict, frozenset(("get", "items", "keys", "values"))),
    ((bytes, int, float, list, tuple, set, frozenset, range), frozenset()),
    (
        (date, time, timedelta),
        frozenset(
            "date day days fold hour isoformat isoweekday microsecond minute month second seconds strftime time weekday"
            " year".split()
        ),
    ),
    (
        LoopContext,
        frozenset(
            "changed cycle depth depth0 first index index0 last length nextitem previtem revindex revindex0".split()
        ),
    ),
)
_CODE = (
    type, types.FunctionType, types.MethodType, types.BuiltinFunctionType, types.MethodWrapperType, types.ModuleType,
    types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType, types.FrameType, types.CodeType,
    types.TracebackType,
)  # fmt: skip


def _refusal(node: nodes.Node) -> str:
    """Why a node may not stand in a stored template, or ""."""
    if type(node).__name__ not in _NODES:
        words = {"Pow": "**", "AssignBlock": "a set block", "NSRef": "a namespace", "Scope": "autoescape"}
        return f"{words.get(type(node).__name__, type(node).__name__.lower())} is not for stored templates"
    if isinstance(node, nodes.Name) and node.name in _KEPT_NAMES:
        return f"{node.name!r} is not for stored templates"
    if isinstance(node, nodes.For) and node.recursive:
        return "a loop may not be recursive"
    if isinstance(node, (nodes.Call, nodes.Filter, nodes.Test)) and (node.dyn_args or node.dyn_kwargs):
        return "* and ** are not for stored templates"
    return ""


# --- filters, tests, range --------------------------------------------------------------------------------------------


def _range(*numbers: int) -> range:
    """``range``, of 100,000 at most."""
    made = range(*numbers)
    if abs(made.stop - made.start) // abs(made.step) > _MAX_RANGE:
        raise Refused(f"range() gives {_MAX_RANGE} at most")
    return made


def _listed(value: Any) -> Any:
    """What is computed step by step, as a list: now, and paid for."""
    if not isinstance(value, Iterator):
        return value
    meter, items = _current.get(), []
    for item in value:
        meter.spend(1)
        items.append(item)
    return items


def _metered(function: Any, factor: Callable[[int], int] | None = None) -> Callable[..., Any]:
    """A filter or test that pays for what goes in and what comes out."""

    @functools.wraps(function)  # with the mark that says whether it takes the environment
    def metered(*arguments: Any, **named: Any) -> Any:
        meter = _current.get()
        for value in (*arguments, *named.values()):
            if not isinstance(value, (_Environment, EvalContext, Context)):
                size = meter.size(value)
                meter.take(value)
                if factor is not None:
                    meter.spend(factor(size))
        return meter.take(_listed(function(*arguments, **named)))

    return metered


def _product(*values: Any) -> int:
    """What it costs to look for one text in another: ``strip`` compares each character with each."""
    cost = 1
    for value in values:
        if isinstance(value, str):
            cost *= 1 + len(value) // _CHARS_A_STEP
    return cost if cost > 1 else 0


def _number(value: Any) -> Any:
    if isinstance(value, Strict):
        str(value)  # raises, with its name
    if not isinstance(value, _NUMBERS):
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
    meter = _current.get()
    meter.spend(meter.size(d) * len(items))
    return filters.sync_do_join(context, items, d)


@pass_eval_context
def _replaced(context: EvalContext, s: Any, old: str, new: str, count: int | None = None) -> str:
    text, meter = str(s), _current.get()
    meter.spend(_product(text, old))
    times = text.count(str(old)) if old != "" else len(text) + 1
    meter.spend(times * meter.size(str(new)))
    return filters.do_replace(context, s, old, new, count)


def _trimmed(value: Any, chars: str | None = None) -> str:
    _current.get().spend(_product(value, chars))
    return filters.do_trim(value, chars)


_FILTERS: dict[str, Callable[..., Any]] = {
    **{
        name: _metered(filters.FILTERS[name])
        for name in "capitalize count d default e escape first items last length list lower reverse string title"
        " truncate upper urlencode wordcount".split()
    },
    # Comparing costs more than looking.
    **{
        name: _metered(filters.FILTERS[name], lambda size: size * size.bit_length())
        for name in ("max", "min", "sort", "unique")
    },
    "abs": _metered(lambda value: abs(_number(value))),
    "float": _metered(_as_float),
    "int": _metered(_as_int),
    "join": _metered(_joined),
    "replace": _metered(_replaced),
    "round": _metered(lambda value, precision=0: round(_number(value), max(-15, min(15, precision)))),
    "trim": _metered(_trimmed),
    "sum": _metered(lambda value: sum(map(_number, value))),
}
_TESTS: dict[str, Callable[..., Any]] = {
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


@functools.cache
def _environment(is_html: bool) -> _Environment:
    made = _Environment(undefined=Strict, autoescape=is_html, optimized=False, cache_size=0, keep_trailing_newline=True)
    made.filters = dict(_FILTERS)
    made.tests = dict(_TESTS)
    made.globals = {"range": _range}
    return made
