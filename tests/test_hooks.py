"""The registry: order, identity, removal, and what a callback may not do."""

from __future__ import annotations

import functools
import logging
import threading

import pytest

from mailer.errors import ConfigError, HookError, MessageError
from mailer.hooks import Hooks
from mailer.hookspecs import ACTIONS, FILTERS, Context
from mailer.runtime import BlockingRuntime, drive

CONTEXT = Context(mailer=None, mail_id="m", runtime=BlockingRuntime())


def run(hooks: Hooks, value: object = "", name: str = "app.x", kind: type | None = None) -> object:
    return drive(hooks.apply(name, value, CONTEXT, kind))


def adding(letter: str):
    return lambda value, context: value + letter


def test_lower_priorities_run_first_and_ties_in_order_of_adding():
    hooks = Hooks()
    for letter, priority in (("c", 10), ("d", 10), ("a", 1), ("e", 11), ("b", 5)):
        hooks.add_filter("app.x", adding(letter), priority)
    assert run(hooks) == "abcde"


def test_the_same_callback_at_the_same_priority_is_stored_once():
    hooks = Hooks()
    callback = adding("x")
    for priority in (10, 10, 20):
        assert hooks.add_filter("app.x", callback, priority) is callback
    assert run(hooks) == "xx"


def test_decorators_register_and_return_the_callback():
    hooks = Hooks()

    @hooks.filter("app.x", 5)
    def add(value, context):
        return value + "x"

    @hooks.action("app.y")
    def see(context):
        seen.append(context)

    seen = []
    assert run(hooks) == add("", CONTEXT) == "x"
    drive(hooks.do("app.y", CONTEXT))
    see(CONTEXT)
    assert seen == [CONTEXT, CONTEXT]


def test_removal_by_callback_and_by_owner():
    hooks = Hooks()
    mine, other = adding("m"), adding("o")
    hooks.add_filter("app.x", mine)
    hooks.add_filter("app.x", mine, 20)
    hooks.add_filter("app.x", other, owner="plugin")
    assert hooks.remove("app.x", owner="plugin") == 1
    assert hooks.has("app.x", mine)
    assert not hooks.has("app.x", other)
    assert hooks.remove("app.x", mine) == 2
    assert not hooks.has("app.x")
    assert hooks.remove("app.x", mine) == 0


def test_hooks_added_meanwhile_wait_and_removed_ones_are_not_called():
    hooks = Hooks()
    late, gone = adding("late"), adding("gone")

    def change(value, context):
        hooks.add_filter("app.x", late, 99)
        hooks.remove("app.x", gone)
        return value

    hooks.add_filter("app.x", change)
    hooks.add_filter("app.x", gone, 50)
    assert run(hooks) == ""
    assert run(hooks) == "late"


@pytest.mark.parametrize("name", ["mesage", "sent", "x"])
def test_an_unknown_filter_is_an_error_with_the_nearest(name):
    with pytest.raises(ConfigError, match="no filter hook"):
        Hooks().add_filter(name, adding("x"))
    with pytest.raises(ConfigError, match="'message'"):
        Hooks().add_filter("mesage", adding("x"))
    with pytest.raises(ConfigError, match="'sent'"):
        Hooks().add_action("sendt", print)


def test_every_known_name_is_taken_and_no_name_is_both():
    hooks = Hooks()
    for name in FILTERS:
        hooks.add_filter(name, adding("x"))
    for name in ACTIONS:
        hooks.add_action(name, print)
    assert not FILTERS.keys() & ACTIONS.keys()


def test_what_cannot_be_called_is_refused():
    with pytest.raises(ConfigError, match="cannot be called"):
        Hooks().add_filter("message", None)


@pytest.mark.parametrize("result", [None, 5, b""])
def test_a_filter_that_returns_none_or_a_wrong_type_names_hook_and_owner(result):
    hooks = Hooks()
    hooks.add_filter("app.x", lambda value, context: result, owner="shop")
    with pytest.raises(HookError, match=r"'app\.x' of shop returned"):
        run(hooks, "", kind=str)


def test_none_stays_none_where_the_value_is_none():
    hooks = Hooks()
    hooks.add_filter("app.x", lambda value, context: value)
    assert run(hooks, None) is None


def test_a_filter_that_raises_is_a_hook_error_chained_and_without_foreign_text():
    hooks = Hooks()
    hooks.add_filter("app.x", lambda value, context: {}["password=hunter2"], owner="shop")
    with pytest.raises(HookError) as caught:
        run(hooks)
    assert isinstance(caught.value.__cause__, KeyError)
    assert "hunter2" not in str(caught.value)
    hooks = Hooks()

    def wrong(value, context):
        raise MessageError("is wrong", field="to")

    hooks.add_filter("app.x", wrong)
    with pytest.raises(HookError, match="to: is wrong"):
        run(hooks)


def test_interrupts_pass_through_filters_and_actions():
    def interrupt(*_args):
        raise KeyboardInterrupt

    hooks = Hooks()
    hooks.add_filter("app.x", interrupt)
    hooks.add_action("app.y", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(hooks)
    with pytest.raises(KeyboardInterrupt):
        drive(hooks.do("app.y", CONTEXT))


def test_an_action_that_raises_is_logged_counted_and_stops_nobody(caplog):
    hooks = Hooks()
    seen = []
    hooks.add_action("app.y", lambda context: 1 / 0, owner="shop")
    hooks.add_action("app.y", seen.append)
    with caplog.at_level(logging.ERROR, "mailer.hooks"):
        drive(hooks.do("app.y", CONTEXT))
        hooks.do_now("app.y", CONTEXT)
    assert seen == [CONTEXT, CONTEXT]
    assert hooks.errors["app.y"] == 2
    assert "'app.y' of shop raised ZeroDivisionError" in caplog.text
    assert hooks.did("app.y") == 2


def test_doing_says_whether_it_runs_here():
    hooks, other = Hooks(), Hooks()
    states = []
    hooks.add_action(
        "app.y", lambda context: states.append((hooks.doing("app.y"), hooks.doing("app.z"), other.doing("app.y")))
    )

    def elsewhere(context):
        thread = threading.Thread(target=lambda: states.append(hooks.doing("app.y")))
        thread.start()
        thread.join()

    hooks.add_action("app.y", elsewhere)
    drive(hooks.do("app.y", CONTEXT))
    assert states == [(True, False, False), False]
    assert not hooks.doing("app.y")


class Called:
    async def __call__(self, value, context):
        return value


async def waits(value, context):
    return value


@pytest.mark.parametrize(
    "callback", [waits, functools.partial(waits), Called(), functools.partial(functools.partial(waits))]
)
def test_a_blocking_registry_takes_no_async_callback(callback):
    hooks = Hooks()
    hooks.add_filter("app.x", callback)
    with pytest.raises(ConfigError, match="AsyncMailer"):
        hooks.attach(blocking=True)
    fresh = Hooks()
    fresh.attach(blocking=True)
    with pytest.raises(ConfigError, match="async"):
        fresh.add_action("sent", callback)
    assert not fresh.has("sent")


def test_registries_share_nothing():
    one, two = Hooks(), Hooks()
    one.add_filter("app.x", adding("x"))
    assert run(two) == ""
