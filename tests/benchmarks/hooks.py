"""Hooks, side by side in one run: ``python tests/benchmarks/hooks.py``. Three callbacks that do nothing, called once.

Peers: pluggy (which pytest brings) and blinker (which Flask brings); neither chains a value, so each does less than we
do. Ours is awaited from one coroutine, as a send does it. CPU seconds; the cases take turns and the best of many short
rounds counts, so that noise hits all alike. Ratios are what counts: three filters are held to a quarter of pluggy.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import blinker
import pluggy

sys.path.insert(0, str(Path(__file__).parents[2]))

from mailer.hooks import Hooks
from mailer.hookspecs import Context
from mailer.message import Message
from mailer.runtime import BlockingRuntime, drive

ROUNDS, CALLS = 60, 5000
WANTED = 0.25
Case = Callable[[int], Coroutine[Any, Any, None]]

message = Message(from_="shop@example.com", to="ann@example.org", subject="s", text="t")
context = Context(mailer=None, mail_id="m", runtime=BlockingRuntime())


class Spec:
    @pluggy.HookspecMarker("mailer")
    def message(self, value: Any, context: Any) -> Any: ...


class Filter:
    @pluggy.HookimplMarker("mailer")
    def message(self, value: Any, context: Any) -> Any:
        return value


def of_pluggy() -> Case:
    manager = pluggy.PluginManager("mailer")
    manager.add_hookspecs(Spec)
    for _ in range(3):
        manager.register(Filter())

    async def run(calls: int) -> None:
        call = manager.hook.message
        for _ in range(calls):
            call(value=message, context=context)

    return run


def of_blinker() -> Case:
    signal = blinker.Signal()
    kept = [lambda sender, context: sender for _ in range(3)]  # the signal holds them weakly
    for callback in kept:
        signal.connect(callback)

    async def run(calls: int) -> None:
        for _ in range(calls):
            signal.send(message, context=context)
        assert kept

    return run


def of_hooks(count: int, **more: Any) -> Case:
    hooks = Hooks()
    for _ in range(count):
        hooks.add_filter("message", lambda value, context: value, **more)

    async def run(calls: int) -> None:
        for _ in range(calls):
            await hooks.apply("message", message, context, Message)

    return run


def of_actions() -> Case:
    hooks = Hooks()
    for _ in range(3):
        hooks.add_action("sent", lambda context: None)

    async def run(calls: int) -> None:
        for _ in range(calls):
            await hooks.do("sent", context)

    return run


async def nothing(calls: int) -> None:
    for _ in range(calls):
        pass


async def bare(calls: int) -> None:
    one, two, three = [lambda value, context: value for _ in range(3)]
    for _ in range(calls):
        three(two(one(message, context), context), context)


def main() -> None:
    cases: dict[str, Case] = {
        "an empty loop": nothing,
        "three calls, chained by hand": bare,
        "mailer: no filter": of_hooks(0),
        "mailer: three filters": of_hooks(3),
        "mailer: three actions": of_actions(),
        "blinker: three receivers": of_blinker(),
        "pluggy: three implementations": of_pluggy(),
    }
    best = dict.fromkeys(cases, float("inf"))
    for _ in range(ROUNDS):
        for name, case in cases.items():
            start = time.process_time()
            drive(case(CALLS))
            best[name] = min(best[name], (time.process_time() - start) / CALLS)
    reference = best["pluggy: three implementations"]
    print(f"Python {sys.version.split()[0]}, pluggy {pluggy.__version__}; nanoseconds for one run of a hook")
    for name, seconds in best.items():
        print(f"{name:<32}{seconds * 1e9:>7.0f}{seconds / reference:>8.3f} of pluggy")
    share = best["mailer: three filters"] / reference
    print(f"three filters: {share:.3f} of pluggy, wanted at most {WANTED}: {'held' if share <= WANTED else 'NOT held'}")


if __name__ == "__main__":
    main()
