"""Random programs of add, remove, apply and do; what our registry does with one, as a trace.

``tests/real/wordpress_hooks.php`` does the same on WordPress' own ``plugin.php``. A program is JSON::

    {"main": [op, ...], "callbacks": {"0": {"text": "a", "ops": [op, ...]}, ...}}

    op: ["add" or "once", hook, callback, priority] | ["remove", hook, callback, priority]
        | ["clear", hook, priority or None] | ["apply", hook, text] | ["do", hook]
        | ["has", hook, callback or None] | ["did", hook] | ["doing", hook]

Hooks that begin with "f." are filters, those with "a." actions. A callback that is called notes it, does its ops (to a
depth and a number of steps) and, of a filter, returns the value with its text behind it.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from typing import Any

from mailer.hooks import Hooks
from mailer.hookspecs import Context
from mailer.runtime import BlockingRuntime, drive

__all__ = ["DEPTH", "STEPS", "program", "trace"]

DEPTH, STEPS = 3, 60
_HOOKS = ("f.one", "f.two", "a.one", "a.two")
_PRIORITIES = (-5, 1, 5, 10, 10, 10, 11, 20)
_CONTEXT = Context(mailer=None, mail_id="m", runtime=BlockingRuntime())

Op = list[Any]


def program(seed: int) -> dict[str, Any]:
    """The program of this number."""
    chance = random.Random(seed)
    callbacks = [str(number) for number in range(chance.randint(2, 6))]
    # Few hooks make programs whose parts meet.
    hooks = chance.sample(_HOOKS, chance.choice((1, 1, 2, 4)))

    def op(inside: bool) -> Op:
        hook = chance.choice(hooks)
        kind = chance.choices(
            ("add", "once", "remove", "clear", "run", "has", "did", "doing"),
            (24, 8, 20, 2, 12 if inside else 30, 4, 3, 4),
        )[0]
        if kind in ("add", "once", "remove"):
            return [kind, hook, chance.choice(callbacks), chance.choice(_PRIORITIES)]
        if kind == "clear":
            return [kind, hook, chance.choice((None, chance.choice(_PRIORITIES)))]
        if kind == "run":
            return ["apply", hook, chance.choice("xyz")] if hook.startswith("f.") else ["do", hook]
        if kind == "has":
            return [kind, hook, chance.choice((None, chance.choice(callbacks)))]
        return [kind, hook]

    main = [["add", chance.choice(hooks), one, chance.choice(_PRIORITIES)] for one in callbacks]
    return {
        "main": main + [op(False) for _ in range(chance.randint(4, 16))],
        "callbacks": {
            one: {"text": chr(97 + int(one)), "ops": [op(True) for _ in range(chance.choice((0, 0, 1, 2, 4)))]}
            for one in callbacks
        },
    }


def trace(program: dict[str, Any]) -> list[str]:
    """What happens, in order."""
    hooks = Hooks()
    told: list[str] = []
    depth = steps = 0

    def run(ops: list[Op]) -> None:
        nonlocal steps
        for op in ops:
            steps += 1
            if steps > STEPS:
                return
            told.append(f"{' '.join('-' if part is None else str(part) for part in op)}: {does(*op)}")

    def does(kind: str, hook: str, *rest: Any) -> str:
        match kind:
            case "add" | "once":
                add: Callable[..., Any] = hooks.add_filter if hook.startswith("f.") else hooks.add_action
                add(hook, callback(hook, rest[0]), rest[1], once=kind == "once")
                return "ok"
            case "remove":
                return yes_no(hooks.remove(hook, callback(hook, rest[0]), priority=rest[1]))
            case "clear":
                hooks.remove(hook, priority=rest[0])
                return "ok"
            case "apply":
                return drive(hooks.apply(hook, rest[0], _CONTEXT))
            case "do":
                drive(hooks.do(hook, _CONTEXT))
                return "ok"
            case "has":
                return yes_no(hooks.has(hook, None if rest[0] is None else callback(hook, rest[0])))
            case "did":
                return str(hooks.did(hook))
        return yes_no(hooks.doing(hook))

    @functools.cache
    def callback(hook: str, name: str) -> Callable[..., Any]:
        def called(value: str) -> str:
            nonlocal depth
            told.append(f"{hook} calls {name} with {value}")
            if depth < DEPTH:
                depth += 1
                run(program["callbacks"][name]["ops"])
                depth -= 1
            return value + program["callbacks"][name]["text"]

        if hook.startswith("f."):
            return lambda value, context: called(value)
        return lambda context: called("")

    run(program["main"])
    assert not hooks.errors
    return told


def yes_no(value: object) -> str:
    return "yes" if value else "no"
