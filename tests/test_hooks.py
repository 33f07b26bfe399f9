"""The registry: order, identity, removal, and what a callback may not do."""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
import signal
import threading
import warnings
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from hook_programs import trace

from mailer import Address, Content, Envelope, Mailer, Message
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
    for name in ("app.x", "app.y"):
        for priority in (1, 2):
            hooks.add_filter(name, mine, priority, owner="plugin")
    assert hooks.remove("app.x", mine, priority=1) == 1
    assert hooks.remove("app.x", mine, owner="other") == 0
    assert hooks.remove(callback=mine, priority=2) == 2
    assert hooks.remove("app.y") == 1
    with pytest.raises(ConfigError, match="say which"):
        hooks.remove()


def test_while_a_hook_runs_later_priorities_may_come_and_anything_may_go():
    """WordPress' rules, but that what is removed is not called at the running priority either."""
    hooks = Hooks()
    added = {priority: adding(f"+{priority}") for priority in (1, 10, 11, 99)}

    def change(value, context):
        for priority, callback in added.items():
            hooks.add_filter("app.x", callback, priority)
        for callback in gone:
            hooks.remove("app.x", callback)
        return value + "c"

    hooks.add_filter("app.x", change)
    gone = [hooks.add_filter("app.x", adding("-"), priority) for priority in (10, 11, 50)]
    hooks.add_filter("app.x", adding("d"))
    assert run(hooks) == "cd+11+99"
    hooks.remove("app.x", change)
    assert run(hooks) == "+1d+10+11+99"


def test_a_priority_that_empties_while_it_runs_skips_nobody():
    """WordPress 6.1 passes over the next priority then, if there is a lower one."""
    hooks = Hooks()

    def once(value, context):
        hooks.remove("app.x", once)
        return value + "a"

    hooks.add_filter("app.x", once)
    for priority in (5, 20, 30):
        hooks.add_filter("app.x", adding(str(priority)), priority)
    assert run(hooks) == "5a2030"
    assert run(hooks) == "52030"


def test_what_is_removed_and_added_again_meanwhile_has_the_turn_it_had():
    hooks = Hooks()
    other = adding("o")

    def change(value, context):
        hooks.remove("app.x", other)
        hooks.add_filter("app.x", other)
        return value + "c"

    hooks.add_filter("app.x", change)
    hooks.add_filter("app.x", other)
    hooks.add_filter("app.x", adding("z"))
    assert run(hooks) == "coz"
    assert run(hooks) == "czo", "it went to the end the first time"


def test_nested_runs_see_what_there_is_when_they_begin():
    hooks = Hooks()

    def nests(value, context):
        if len(value) > 2:
            return value + "."
        hooks.add_filter("app.x", adding("new"), 20)
        return f"{value}({run(hooks, value + 'in')})"

    hooks.add_filter("app.x", nests)
    hooks.add_filter("app.x", adding("z"), 30)
    assert run(hooks, "v") == "v(vin.newz)newz"


def test_once_is_called_once_also_by_nested_runs_and_threads():
    hooks = Hooks()
    seen = []

    def nests(value, context):
        return f"{value}({run(hooks, 'n')})"

    hooks.add_filter("app.x", nests, once=True)
    hooks.add_filter("app.x", adding("z"))
    assert run(hooks) == "(nz)z"
    assert run(hooks) == "z"
    gate = threading.Barrier(8)

    def many():
        gate.wait()
        for name in names:
            drive(hooks.do(name, CONTEXT))

    names = [f"app.once{number}" for number in range(50)]
    for name in names:
        hooks.add_action(name, lambda context, name=name: seen.append(name), once=True)
    at_once(many, 8)
    assert sorted(seen) == sorted(names)
    assert not any(hooks.has(name) for name in names)
    assert {hooks.did(name) for name in names} == {8}


def at_once(work, count):
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_threads_lose_no_registration_and_no_count():
    hooks = Hooks()
    gate = threading.Barrier(8)

    def work():
        gate.wait()
        mine = [hooks.add_filter("app.x", adding("x"), number % 5, owner="mine") for number in range(60)]
        for callback in mine[:40]:
            assert hooks.remove("app.x", callback) == 1
        for _ in range(100):
            run(hooks)
            hooks.listens("app.none")

    at_once(work, 8)
    assert run(hooks) == "x" * 160
    assert (hooks.did("app.x"), hooks.did("app.none")) == (801, 800)
    assert hooks.remove(owner="mine") == 160


@pytest.mark.parametrize("name", ["mesage", "sent", "x"])
def test_an_unknown_filter_is_an_error_with_the_nearest(name):
    with pytest.raises(ConfigError, match="no filter hook"):
        Hooks().add_filter(name, adding("x"))
    with pytest.raises(ConfigError, match="'message'"):
        Hooks().add_filter("mesage", adding("x"))
    with pytest.raises(ConfigError, match="'sent'"):
        Hooks().add_action("sendt", print)


def test_an_unknown_name_is_an_error_wherever_a_name_is_taken():
    hooks = Hooks()
    for ask in (
        lambda name: hooks.has(name),
        lambda name: hooks.did(name),
        lambda name: hooks.doing(name),
        lambda name: hooks.remove(name, print),
        lambda name: drive(hooks.apply(name, 1, CONTEXT)),
        lambda name: drive(hooks.do(name, CONTEXT)),
    ):
        with pytest.raises(ConfigError, match="there is no hook 'mesage'; did you mean 'message'"):
            ask("mesage")
        ask("my.own")  # nothing is there, and that is no error
        ask("sent")


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


def test_what_yields_is_refused_as_nothing_of_it_would_run():
    def generator(context):
        yield

    async def agenerator(context):
        yield

    class Called:
        def __call__(self, context):
            yield

    for callback in (generator, agenerator, functools.partial(generator), Called()):
        with pytest.raises(ConfigError, match=r"hook 'sent': .* yields"):
            Hooks().add_action("sent", callback)


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


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_waits_for_no_thread_that_it_lacks():
    hooks = Hooks()
    hooks.add_action("app.y", print)
    with hooks._row("app.y").lock, warnings.catch_warnings():  # as a thread might at that moment
        warnings.simplefilter("ignore", DeprecationWarning)  # pytest-xdist has threads of its own
        child = os.fork()
        if not child:
            signal.alarm(20)  # rather than for ever
            hooks.add_action("app.y", repr)
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


# --- nested -----------------------------------------------------------------------------------------------------------


def hello(**more) -> Message:
    return Message(**{"from_": "shop@b.test", "to": "ann@b.test", "subject": "s", "text": "t", **more})


def test_a_failure_hook_that_mails_cannot_loop(world, caplog):
    """Nor two of them together; and who else listens hears of every mail."""
    calls, heard = [], []
    with world.mailer("memory:") as mailer:
        inner = mailer.wrapped

        def alert(context):
            calls.append(context.mail_id)
            return failing() if world.name != "blocking" else failing_now()

        def failing_now():
            with contextlib.suppress(MessageError):
                inner.send(hello(to=()))

        async def failing():
            with contextlib.suppress(MessageError):
                await inner.send(hello(to=()))

        mailer.hooks.add_action("failed", alert)
        mailer.hooks.add_action("failed", lambda context: heard.append(context.mail_id))
        with caplog.at_level(logging.WARNING, "mailer.hooks"), pytest.raises(MessageError):
            mailer.send(hello(to=()))
        assert len(calls) == 1
        assert len(heard) == len(set(heard)) == 2
        assert [record.mailer_event for record in caplog.records if record.name == "mailer.hooks"] == ["hook.nested"]
        with pytest.raises(MessageError):
            mailer.send(hello(to=()))
        assert len(calls) == 2, "the guard is gone when the hook has ended"
        mailer.hooks.remove("failed", alert)
        mailer.hooks.trace.is_on = True
        mailer.hooks.add_action("failed", alert)
        with pytest.raises(MessageError):
            mailer.send(hello(to=()))
        assert len(calls) == 3, "nor with a trace"


def test_a_task_that_an_action_starts_is_inside_of_it(async_world):
    """So that what mails in the background does not loop there."""
    calls = []
    with async_world.mailer("memory:") as mailer:
        inner = mailer.wrapped

        async def alert(context):
            calls.append(mailer.hooks.doing("sent"))
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(inner.send, hello())

        mailer.hooks.add_action("sent", alert)
        mailer.send(hello())
    assert calls == [True]


def test_a_plain_filter_that_mails_ends_with_the_stack_and_nothing_is_sent():
    with Mailer("memory:") as mailer:
        mailer.hooks.add_filter("message", lambda message, context: mailer.send(message) and message, owner="loop")
        with pytest.raises(HookError, match=r"'message' of loop raised HookError: .* raised RecursionError") as caught:
            mailer.send(hello())
        assert len(str(caught.value)) < 200
        assert mailer.backend.mails == []
        assert not mailer.hooks.doing("message")


def test_a_filter_that_waits_and_mails_ends_at_a_depth(async_world):
    with async_world.mailer("memory:") as mailer:
        inner = mailer.wrapped
        depth = 0

        async def mails(message, context):
            nonlocal depth
            depth += 1
            async with anyio.create_task_group() as tasks:  # where no stack would end it
                tasks.start_soon(inner.send, message)
            return message

        mailer.hooks.add_filter("message", mails, owner="loop")
        with pytest.raises(HookError):
            mailer.send(hello())
        assert depth == 16
        assert mailer.backend.mails == []


def test_doing_is_right_in_nested_runs_tasks_and_after_exceptions(world):
    hooks = Hooks()
    seen = []

    def state():
        return [name for name in ("app.a", "app.b", "app.c") if hooks.doing(name)]

    def nests(value, context):
        seen.append(state())
        return drive(hooks.apply("app.b", value, CONTEXT))

    def fails(value, context):
        seen.append(state())
        raise ValueError

    hooks.add_filter("app.a", nests)
    hooks.add_filter("app.b", fails)
    with pytest.raises(HookError):
        world.run(lambda: hooks.apply("app.a", "", CONTEXT))
    assert seen == [["app.a"], ["app.a", "app.b"]]
    assert state() == []
    if world.name == "blocking":
        return

    async def waits(value, context):
        await anyio.lowlevel.checkpoint()
        seen.append(state())
        return value

    async def beside():
        for _ in range(3):
            await anyio.lowlevel.checkpoint()
            seen.append(state())

    async def both():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hooks.apply, "app.c", "", CONTEXT)
            tasks.start_soon(beside)

    hooks.add_filter("app.c", waits)
    seen.clear()
    world.run(both)
    assert sorted(seen) == [[], [], [], ["app.c"]], "a task beside it is not inside"


# --- what goes wrong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", ["raise", None, 5])
def test_a_filter_to_be_skipped_leaves_the_value_is_logged_and_counted(caplog, failure):
    hooks = Hooks()

    def broken(value, context):
        if failure == "raise":
            raise ValueError("password=hunter2")
        return failure

    hooks.add_filter("app.x", broken, owner="shop", on_error="skip")
    hooks.add_filter("app.x", adding("z"), 20)
    with caplog.at_level(logging.ERROR, "mailer.hooks"):
        assert run(hooks, "v", kind=str) == "vz"
    assert hooks.errors == {"app.x": 1}
    [record] = caplog.records
    assert (record.mailer_event, record.mailer_owner) == ("filter.skipped", "shop")
    assert "hunter2" not in record.getMessage()


@pytest.mark.parametrize(
    ("kind", "callback", "said"),
    [
        ("filter", lambda value: value, r"takes \(value\), and is called with \(value, context\)"),
        ("filter", lambda: None, r"called with \(value, context\)"),
        ("action", lambda value, context: None, r"is called with \(context\)"),
        ("action", functools.partial(lambda a, b, c: None, 1), r"is called with \(context\)"),
    ],
)
def test_a_callback_that_takes_something_else_is_refused_when_it_is_added(kind, callback, said):
    with pytest.raises(ConfigError, match=said):
        getattr(Hooks(), f"add_{kind}")("app.x", callback)


def test_an_owner_is_a_name_and_of_a_partial_what_it_calls():
    def named(context, more):
        pass

    hooks = Hooks()
    hooks.add_action("sent", functools.partial(functools.partial(named, more=1), more=2))
    assert hooks.registered()[0].owner.endswith("<locals>.named")
    with pytest.raises(ConfigError, match="owner=5: must be a string"):
        hooks.add_action("sent", print, owner=5)


@pytest.mark.parametrize("priority", [True, 1.5, "10", None])
def test_a_priority_is_a_whole_number(priority):
    with pytest.raises(ConfigError, match="must be a whole number"):
        Hooks().add_action("app.x", print, priority)
    with pytest.raises(ConfigError, match="on_error='ignore'"):
        Hooks().add_filter("app.x", adding("x"), on_error="ignore")


async def never_awaited(context):
    raise AssertionError


def test_what_a_cancelled_task_cannot_await_keeps_its_turn():
    hooks = Hooks()
    hooks.add_action("app.y", never_awaited, once=True)
    plain = []
    hooks.add_action("app.y", plain.append, once=True)
    hooks.do_now("app.y", CONTEXT)
    hooks.do_now("app.y", CONTEXT)
    assert plain == [CONTEXT]
    assert hooks.has("app.y", never_awaited)


def test_an_alert_of_two_mailers_does_not_go_back_and_forth():
    calls = []
    with Mailer("memory:") as one, Mailer("memory:") as other:

        def alert(context):
            calls.append(context.mailer)
            with contextlib.suppress(MessageError):
                (other if context.mailer is one else one).send(hello(to=()))

        for mailer in (one, other):
            mailer.hooks.add_action("failed", alert)
        with pytest.raises(MessageError):
            one.send(hello(to=()))
    assert calls == [one], "it is inside of itself there, too"


def test_what_a_trace_keeps(world, caplog):
    with world.mailer("memory:", trace_hooks=True) as mailer:
        mailer.hooks.add_filter("message", lambda message, context: message, 5, owner="a")
        mailer.hooks.add_filter("message", slow if world.name != "blocking" else slow_now, owner="b", once=True)
        mailer.hooks.add_action("sent", lambda context: 1 / 0, owner="c")
        with caplog.at_level(logging.DEBUG, "mailer.hooks"):
            receipt = mailer.send(hello())
        calls = list(mailer.hooks.trace.calls)
    assert [(call.hook, call.kind, call.owner, call.priority, call.error) for call in calls] == [
        ("message", "filter", "a", 5, ""),
        ("message", "filter", "b", 10, ""),
        ("sent", "action", "c", 10, "ZeroDivisionError"),
    ]
    assert {call.mail_id for call in calls} == {receipt.id}
    assert all(call.duration_s >= 0 for call in calls)
    logged = [record for record in caplog.records if getattr(record, "mailer_event", "") == "hook.called"]
    assert [record.mailer_owner for record in logged] == ["a", "b", "c"]


async def slow(message, context):
    await context.runtime.sleep(0)
    return message


def slow_now(message, context):
    return message


def test_who_is_registered_can_be_looked_at():
    hooks = Hooks()
    plugin = hooks.owned_by("shop")
    plugin.add_action("sent", print, 5, owner="not me")
    hooks.add_filter("app.x", adding("x"))
    assert [(one.hook, one.kind, one.priority, one.owner) for one in hooks.registered()] == [
        ("app.x", "filter", 10, "test_hooks.adding.<locals>.<lambda>"),
        ("sent", "action", 5, "shop"),
    ]
    assert plugin.has("app.x")


# --- the security list ------------------------------------------------------------------------------------------------

LINES = ["\r\n", "\n", "\r", "\0", "\r\n\r\n"]


def test_no_hook_output_puts_a_line_break_into_a_header_or_an_envelope(world):
    """CRLF in all that a filter may return: refused as HookError that names hook and owner, and nothing is sent."""

    def evil(name, field, text):
        def callback(value, context):
            if name == "message":
                return value.with_(**{field: f"a{text}Bcc: x@y.test"})
            if name == "recipients":
                return (*value, Address("", f"a{text}RCPT TO:<x", "y.test"))
            if name == "headers":
                return (*value, ("X-A", f"b{text}Bcc: x@y.test"), (f"X{text}B", "c"))
            if name == "mail":
                return value.with_(envelope=Envelope(value.envelope.sender, [f"a{text}b@y.test"]))
            return value

        return callback

    with world.mailer("memory:") as mailer:
        for name, fields in {
            "message": ("subject", "from_", "to", "reply_to", "return_path", "message_id"),
            "recipients": ("",),
            "headers": ("",),
            "mail": ("",),
        }.items():
            for field in fields:
                for text in LINES:
                    mailer.hooks.add_filter(name, evil(name, field, text), owner="evil", once=True)
                    with pytest.raises(HookError, match=f"filter '{name}' of evil"):
                        mailer.send(hello())
                mailer.hooks.remove(name)
        assert mailer.backend.mails == []


def test_filters_run_before_signing_and_what_is_signed_is_what_is_sent(world):
    """A signature that is made last covers all that filters did. Over SMTP: ``tests/plugins/test_dkim_plugin.py``."""
    signed = []

    def sign(mail, context):
        content = b"X-Signed: yes\r\n" + bytes(mail.content)
        signed.append(content)
        return mail.with_(content=Content.of(content))

    with world.mailer("memory:") as mailer:
        mailer.hooks.add_filter("sign", sign)
        for name, change in {
            "headers": lambda headers, context: (*headers, ("X-H", "1")),
            "message": lambda message, context: message.with_(subject="changed"),
            "mail": lambda mail, context: mail.with_(content=Content.of(b"X-M: 1\r\n" + bytes(mail.content))),
        }.items():
            mailer.hooks.add_filter(name, change)
        mailer.send(hello())
        mailer.send_raw(b"From: a@b.test\r\nTo: c@d.test\r\n\r\nx\r\n")
        list(mailer.send_many([hello(), hello(merge_data={"ann@b.test": {"x": "1"}})]))
        sent = [bytes(mail.content) for mail in mailer.backend.mails]
    assert sent == signed
    assert len(sent) == 4
    for content in (sent[0], *sent[2:]):
        assert content.startswith(b"X-Signed: yes\r\nX-M: 1\r\n")
        assert b"Subject: changed\r\n" in content
        assert b"X-H: 1\r\n" in content


def test_log_and_format_strings_from_hooks_are_inert(world, caplog):
    """Names, texts and classes that look like formats, escapes or new lines are shown, and not obeyed."""
    text = "%s%n{0.__class__}\r\n\x1b[31mforged ERROR"
    evil = type("%(message)s{0}\n\x1b[2J", (ValueError,), {})

    def raises(*args):
        raise evil(text)

    with world.mailer("memory:", trace_hooks=True) as mailer, caplog.at_level(logging.DEBUG, "mailer"):
        mailer.hooks.add_action("sent", raises, owner=text)
        mailer.hooks.add_filter("message", raises, owner=text, on_error="skip")
        mailer.hooks.add_filter("headers", lambda headers, context: {text: 1}, owner=text)
        with pytest.raises(HookError) as caught:
            mailer.send(hello(subject=text.replace("\r\n", "").replace("\x1b", "")))
        mailer.hooks.remove("headers")
        assert mailer.send(hello(subject="%s {0}")).ok
        mails = mailer.backend.mails
    assert "dict: it must return" in str(caught.value)
    assert mails[0].message.subject == "%s {0}"
    ours = [record.getMessage() for record in caplog.records if record.name == "mailer.hooks"]
    assert len(ours) == 7, ours
    for line in ours:
        assert line.isprintable()
        assert "%s%n{0.__class__}" in line


# --- WordPress --------------------------------------------------------------------------------------------------------


def test_recorded_programs_leave_the_trace_that_wordpress_left():
    """Thirty of the thousands that ``tests/real/test_wordpress_hooks.py`` gives to WordPress itself."""
    recorded = Path(__file__).parent / "golden" / "wordpress_hooks.jsonl"
    lines = recorded.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 30
    for line in lines:
        one = json.loads(line)
        assert trace(one["program"]) == one["trace"]
