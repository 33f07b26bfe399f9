"""The small language of stored templates: what may be written down, and the meter put around what may be large."""

from __future__ import annotations

import functools
import types
from collections.abc import Iterable, Iterator
from datetime import date, time, timedelta
from typing import Any

from jinja2 import TemplateAssertionError, nodes
from jinja2.runtime import Context, LoopContext, markup_join, str_join
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer
from markupsafe import Markup, escape

from ..rendering import Strict, undefined_name
from ..template_engine import Refused
from .meter import CHARS_A_STEP, MAX_WRITTEN, NUMBERS, current, listed, product
from .vocabulary import FILTERS, TESTS, bounded_range

__all__ = ["environment_of"]

_MAX_DEPTH = 40  # nodes within each other: Python's own compiler gives up at about a hundred
_MAX_FORM = 100
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
    chars = len(node.data) // CHARS_A_STEP if isinstance(node, nodes.TemplateData) else 0
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
        limit, count = current.get().limits.nodes, 0
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
        return current.get().take(value)

    def metered_items(self, value: Iterable[Any], weight: int) -> Iterator[Any]:
        meter = current.get()
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
        meter, shown = current.get(), self._shown(value)
        if self.autoescape:
            shown = escape(shown)
            meter.spend(len(shown) // CHARS_A_STEP)
        meter.output -= len(shown)
        if meter.output < 0:
            raise Refused(meter.too_long())
        return shown

    def _shown(self, value: Any) -> str:
        meter = current.get()
        meter.take(value)
        if isinstance(value, str):
            return value
        shown: str = Markup(value.__html__()) if hasattr(value, "__html__") else str(value)  # noqa: S704 - as escape() does
        meter.spend(len(shown) // CHARS_A_STEP)
        return shown

    # --- what Jinja2's sandbox calls ----------------------------------------------------------------------------------

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        meter = current.get()
        meter.take(left)
        meter.take(right)
        if not (isinstance(left, NUMBERS) and isinstance(right, NUMBERS)):
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
        raise undefined_name(attribute, obj)

    def call(self, context: Context, fn: Any, /, *arguments: Any, **named: Any) -> Any:
        meter = current.get()
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
        if fn is bounded_range:
            return bounded_range(*arguments, **named)
        if isinstance(fn, (types.BuiltinMethodType, types.MethodType)) and any(
            isinstance(owner, kind) and fn.__name__ in names for kind, names in _METHODS
        ):
            if fn.__name__ == "strftime" and any(len(form) > _MAX_FORM for form in arguments):
                raise Refused(f"strftime() takes {_MAX_FORM} characters at most")  # "%999d" pads
            meter.take(owner)
            meter.spend(product(owner, *arguments))
            return meter.take(listed(fn(*arguments, **named)))
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
    if isinstance(node, nodes.Const) and isinstance(node.value, NUMBERS) and abs(node.value) > MAX_WRITTEN:
        return "a number is too large"
    if isinstance(node, nodes.For) and node.recursive:
        return "a loop may not be recursive"
    if isinstance(node, (nodes.Call, nodes.Filter, nodes.Test)) and (node.dyn_args or node.dyn_kwargs):
        return "* and ** are not for stored templates"
    return ""


@functools.cache
def environment_of(is_html: bool) -> _Environment:
    made = _Environment(undefined=Strict, autoescape=is_html, optimized=False, cache_size=0, keep_trailing_newline=True)
    made.filters = dict(FILTERS)
    made.tests = dict(TESTS)
    made.globals = {"range": bounded_range}
    return made
