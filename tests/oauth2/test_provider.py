"""The provider, in three worlds against a token server: asked once, kept until its last minute, renewed when stale."""

from __future__ import annotations

import functools
import ssl
import threading
from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from token_server import TokenServer, token_server
from worlds import World

from mailer import (
    AccessToken,
    AuthError,
    ConfigError,
    DeadlineExceeded,
    Message,
    TlsError,
    TokenProvider,
    TransportError,
)
from mailer.backends.smtp import SmtpBackend
from mailer.oauth2 import TokenSource
from mailer.runtime import AddrInfo
from mailer.smtp.endpoint import Endpoint
from mailer.testing import ScriptedServer, SecretSweep, sweep

MANY = 8


class Clock:
    """Seconds since 1970, as the test says."""

    now = 1_764_000_000.0

    def __call__(self) -> float:
        return self.now


class Watched:
    """A runtime that calls a function at its nth event: when so many wait for another's token."""

    def __init__(self, runtime: Any, nth: int, then: Callable[[], None]) -> None:
        self._runtime = runtime
        self._left = nth
        self._then = then

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runtime, name)

    def event(self) -> Any:
        self._left -= 1
        if not self._left:
            self._then()
        return self._runtime.event()


def consent(server: TokenServer, **options: Any) -> TokenProvider:
    return TokenProvider.refresh_token(
        server.url, client_id="app", client_secret="s3cret-client", refresh_token="s3cret-refresh-0", **options
    )


def ask(world: World, tokens: TokenSource, **keywords: Any) -> str:
    runtime = world.runtime

    async def asking() -> str:
        return await tokens.token(runtime, runtime.now() + 60, **keywords)

    return world.run(asking)


def ask_many(world: World, tokens: TokenSource, runtime: Any, count: int = MANY) -> list[Any]:
    async def asking() -> str:
        return await tokens.token(runtime, runtime.now() + 60)

    async def all_of_them() -> list[Any]:
        return await world.runtime.gather([asking] * count, count)

    return world.run(all_of_them)


# --- once -------------------------------------------------------------------------------------------------------------


def test_one_request_however_many_ask(world: World) -> None:
    with token_server() as server:
        server.gate.clear()
        tokens = consent(server)
        # The answer comes when all the others wait for it: threads or tasks.
        watched = Watched(world.runtime, MANY - 1, server.gate.set)
        assert ask_many(world, tokens, watched) == ["at-1"] * MANY
        assert ask(world, tokens) == "at-1"
        assert len(server.forms) == 1
        assert server.headers[0]["Content-Type"] == "application/x-www-form-urlencoded"


def test_a_refusal_is_for_all_who_wait_and_stands_for_ten_seconds(world: World) -> None:
    clock = Clock()
    with token_server() as server:
        server.gate.clear()
        server.answers = [(400, {"error": "invalid_grant"})]
        tokens = consent(server, clock=clock)
        results = ask_many(world, tokens, Watched(world.runtime, MANY - 1, server.gate.set))
        clock.now += 9
        with pytest.raises(AuthError, match="invalid_grant") as caught:
            ask(world, tokens)
        results.append(caught.value)
        assert {type(result) for result in results} == {AuthError}
        assert len({id(result) for result in results}) == MANY + 1  # a traceback belongs to one
        assert len(server.forms) == 1
        clock.now += 1
        assert ask(world, tokens) == "at-2"


def test_a_busy_server_is_left_alone_for_as_long_as_it_asks(world: World) -> None:
    clock = Clock()
    with token_server() as server:
        server.answers = [(429, {}, {"Retry-After": "30"}), (429, {}, {"Retry-After": "86400"}), (500, {})]
        tokens = consent(server, clock=clock)

        def asked_after(seconds: float, says: str) -> int:
            clock.now += seconds
            with pytest.raises(TransportError, match=says):
                ask(world, tokens)
            return len(server.forms)

        assert [asked_after(0, "429"), asked_after(29, "429")] == [1, 1]
        assert [asked_after(1, "429"), asked_after(299, "429")] == [2, 2]  # five minutes at most
        assert asked_after(1, "500") == 3
        assert ask(world, tokens) == "at-4"


def test_a_clock_that_is_set_back_makes_no_refusal_stand_for_ever(world: World) -> None:
    clock = Clock()
    with token_server() as server:
        server.answers = [(400, {"error": "invalid_grant"})]
        tokens = consent(server, clock=clock)
        with pytest.raises(AuthError):
            ask(world, tokens)
        clock.now -= 86_400
        assert ask(world, tokens) == "at-2"


def test_threads_of_a_blocking_app_and_its_event_loops_share_what_is_kept() -> None:
    from worlds import new_world

    with token_server() as server:
        tokens = consent(server)
        for name in ("asyncio", "blocking", "trio"):
            with new_world(name) as world:
                assert ask(world, tokens) == "at-1"
        assert len(server.forms) == 1


def test_who_asks_and_is_cancelled_leaves_it_to_the_next(async_world: World) -> None:
    runtime = async_world.runtime
    with token_server() as server:
        server.gate.clear()
        tokens = consent(server)

        async def scenario() -> str:
            got: list[str] = []

            async def wait() -> None:
                got.append(await tokens.token(watched, runtime.now() + 60))

            async def lead() -> None:
                with leader:
                    await tokens.token(runtime, runtime.now() + 60)

            leader = anyio.CancelScope()

            def cancel() -> None:
                server.gate.set()
                leader.cancel()

            watched = Watched(runtime, 1, cancel)
            async with anyio.create_task_group() as group:
                group.start_soon(lead)
                await anyio.to_thread.run_sync(server.asked.wait, 30)
                group.start_soon(wait)
            assert leader.cancelled_caught
            return got[0]

        assert async_world.run(scenario) == "at-2"


def test_whose_own_time_is_over_speaks_for_nobody_else(world: World) -> None:
    runtime = world.runtime
    with token_server() as server:
        tokens = consent(server)

        async def late() -> str:
            return await tokens.token(runtime, runtime.now())

        with pytest.raises(DeadlineExceeded):
            world.run(late)
        assert ask(world, tokens) == "at-1"


def test_a_fork_begins_with_a_lock_and_flights_of_its_own() -> None:
    from worlds import new_world

    with token_server() as server, new_world("blocking") as world:
        tokens = consent(server)
        assert ask(world, tokens) == "at-1"
        state = tokens._kept._state
        state.pid -= 1  # as the child of a process that was asking when it forked
        state.lock.acquire()
        assert ask(world, tokens) == "at-1"
        assert ask(world, tokens, stale="at-1") == "at-2"


# --- until when -------------------------------------------------------------------------------------------------------


def test_a_token_is_renewed_a_minute_before_its_end(world: World) -> None:
    clock = Clock()
    with token_server() as server:
        tokens = consent(server, clock=clock)
        assert ask(world, tokens) == "at-1"
        clock.now += 3600 - 61
        assert ask(world, tokens) == "at-1"
        clock.now += 1
        assert ask(world, tokens) == "at-2"
        assert ask(world, tokens) == "at-2"


def test_a_stale_token_is_renewed_once_for_all_who_had_it(world: World) -> None:
    with token_server() as server:
        tokens = consent(server)
        assert ask(world, tokens) == "at-1"
        assert [ask(world, tokens, stale="at-1") for _ in range(3)] == ["at-2"] * 3
        assert len(server.forms) == 2


def test_a_changed_refresh_token_is_used_from_then_on_and_the_first_when_it_fails(world: World) -> None:
    def rotated(number: int) -> Any:
        return 200, {"access_token": f"at-{number}", "expires_in": 30, "refresh_token": f"s3cret-refresh-{number}"}

    with token_server() as server:
        tokens = consent(server)
        server.answers = [rotated(1), rotated(2), (200, {"access_token": "at-3", "expires_in": 30})]
        assert [ask(world, tokens) for _ in range(3)] == ["at-1", "at-2", "at-3"]
        server.answers = [(400, {"error": "invalid_grant"}), rotated(5)]
        assert ask(world, tokens) == "at-5"
        sent = [form["refresh_token"].removeprefix("s3cret-refresh-") for form in server.forms]
        assert sent == ["0", "1", "2", "2", "0"]


def test_applications_and_service_accounts_reach_the_server(world: World) -> None:
    from test_grant import account

    with token_server() as server:
        app = TokenProvider.client_credentials(server.url, client_id="app", client_secret="cs")
        robot = TokenProvider.service_account(account(token_uri=server.url))
        assert [ask(world, app), ask(world, robot)] == ["at-1", "at-2"]
        assert [form["grant_type"] for form in server.forms] == [
            "client_credentials",
            "urn:ietf:params:oauth:grant-type:jwt-bearer",
        ]


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_the_token_server_is_verified_and_no_redirect_is_followed(
    world: World, server_tls: ssl.SSLContext, ca_file: str
) -> None:
    with token_server(server_tls) as server, token_server() as other:
        assert ask(world, consent(server, ca_file=ca_file)) == "at-1"
        with pytest.raises(TlsError, match=r"127\.0\.0\.1"):
            ask(world, consent(server))
        server.answers = [(307, b"", {"Location": other.url})]
        with pytest.raises(AuthError, match="307"):
            ask(world, consent(server, ca_file=ca_file))
        assert other.forms == []


def test_b44_nothing_of_a_failed_request_is_shown(world: World) -> None:
    secrets = ["s3cret-client", "s3cret-refresh-0", "s3cret-stale-token"]

    def echo(form: Any) -> Any:
        return 400, {"error": "invalid_grant", "error_description": f"{form['refresh_token']} {form['client_secret']}"}

    with token_server() as server:
        tokens = consent(server)
        found = SecretSweep(secrets)
        with found.listening():
            for answer in (echo, (200, b"junk"), (503, {}), (200, {"access_token": "s3cret-refresh-0 "})):
                server.answers = [answer]
                runtime = world.runtime
                # No frame of the test's own may hold them.
                call = functools.partial(tokens.token, runtime, runtime.now() + 60, stale=secrets[2])
                with pytest.raises((AuthError, TransportError)) as caught:
                    world.run(call)
                found.show(strip(caught.value))
            found.show(tokens)
        found.check()


def strip(error: BaseException) -> BaseException:
    """Without the frames of this file and of what drives it, which hold what they gave; ours are looked at."""
    trace = error.__traceback__
    while trace is not None and not trace.tb_frame.f_code.co_filename.endswith("oauth2/provider.py"):
        trace = trace.tb_next
    return error.with_traceback(trace)


@pytest.mark.parametrize("echoes", [False, True])
def test_b44_no_backend_that_logs_in_with_tokens_shows_them(echoes: bool) -> None:
    script = """\
        S: 220 hi
        C: EHLO *
        S: 250-h
        S: 250 AUTH XOAUTH2
        C: AUTH XOAUTH2 *
        S: 535 5.7.8 Bearer s3cret-access-token
        C: *
        S: 535 5.7.8 Bearer s3cret-access-token
    """
    with token_server() as server, ScriptedServer(script) as peer:

        def answer(form: Any) -> Any:
            if echoes:
                return 401, {"error": "invalid_client", "error_description": form["client_secret"]}
            return 200, {"access_token": "s3cret-access-token", "expires_in": 3600}

        server.answers = [answer] * 100

        def make() -> SmtpBackend:
            return SmtpBackend(
                Endpoint(
                    host="127.0.0.1",
                    port=peer.port,
                    tls="none",
                    auth_in_clear=True,
                    username="me",
                    tokens=consent(server),
                )
            )

        sweep(make, ["s3cret-client", "s3cret-refresh-0", "s3cret-access-token"])


# --- any callable -----------------------------------------------------------------------------------------------------


CALLS: list[tuple[Any, int]] = [
    ("at", 2),
    (AccessToken("at"), 2),
    (AccessToken("at", Clock.now + 3600), 1),
    (AccessToken("at", Clock.now + 59), 2),
    ({"access_token": "at", "expires_in": 3600}, 1),
    ({"access_token": "at"}, 2),
]


def test_a_callable_is_asked_again_unless_it_says_how_long(world: World) -> None:
    for given, calls in CALLS:
        called: list[int] = []

        def source(given: Any = given, called: list[int] = called) -> Any:
            called.append(threading.get_ident())
            return given

        tokens = TokenProvider(source, clock=Clock())
        assert [ask(world, tokens) for _ in range(2)] == ["at"] * 2
        assert len(called) == calls, given
        runs_here = world.call(threading.get_ident) in called
        assert runs_here is (world.name == "blocking")  # else it may block, and the loop goes on


def test_an_async_callable_needs_an_event_loop(world: World) -> None:
    async def source() -> str:
        await anyio.lowlevel.checkpoint()
        return "at"

    class Source:
        async def __call__(self) -> str:
            return await source()

    given: tuple[Any, ...] = (source, Source(), lambda: source(), functools.partial(source))
    for one in given:
        if world.name != "blocking":
            assert ask(world, TokenProvider(one)) == "at"
            continue
        with pytest.raises(ConfigError, match="is async, and needs an event loop: use AsyncMailer"):
            ask(world, TokenProvider(one))


NONE: list[tuple[Any, str]] = [
    (None, "it gave NoneType"),
    (b"at", "it gave bytes"),
    ("", "a text that is none"),
    ("a b", "a text that is none"),
    ("a\r\nQUIT", "a text that is none"),
    ({"error": "invalid_client", "error_description": "x"}, "no access token: invalid_client"),
    ({"error": "s3cret!"}, "it gave an error"),
    ({}, "it gave NoneType"),
    (ValueError("password=s3cret"), r"it raised ValueError: password=\*\*\*"),
    (TransportError("the vault is closed"), "the vault is closed"),
]


def test_a_callable_that_gives_none(world: World) -> None:
    for given, says in NONE:

        def source(given: Any = given) -> Any:
            if isinstance(given, Exception):
                raise given
            return given

        with pytest.raises((AuthError, TransportError), match=says) as caught:
            ask(world, TokenProvider(source))
        assert "s3cret" not in str(caught.value)


# --- in a login -------------------------------------------------------------------------------------------------------

XOAUTH2 = """\
S: 220 hi
C: EHLO [127.0.0.1]
S: 250-h
S: 250 AUTH LOGIN XOAUTH2
C: AUTH XOAUTH2 dXNlcj1tZUB4LnRlc3QBYXV0aD1CZWFyZXIgYXQtMQEB
S: 334 eyJzdGF0dXMiOiI0MDEifQ==
C:
S: 535 5.7.8 no
C: AUTH XOAUTH2 dXNlcj1tZUB4LnRlc3QBYXV0aD1CZWFyZXIgYXQtMgEB
S: 235 ok
C: MAIL FROM:<a@x.test>
S: 250 ok
C: RCPT TO:<b@y.test>
S: 250 ok
C: DATA
S: 354 go
C: <data>
S: 250 ok
C: QUIT
"""


def test_check_38_a_mailer_renews_a_refused_token_once(world: World) -> None:
    message = Message(from_="a@x.test", to="b@y.test", subject="s", text="t\n")
    with token_server() as server, ScriptedServer(XOAUTH2) as peer:
        url = f"smtp://me%40x.test@127.0.0.1:{peer.port}?tls=none&auth_in_clear=yes&auth=xoauth2"
        with world.mailer(url, tokens=consent(server)) as mailer:
            assert mailer.send(message).ok
        assert peer.wait_idle()
        peer.assert_clean()
        assert len(server.forms) == 2


def test_a_token_server_that_refuses_defers_the_mail(world: World) -> None:
    message = Message(from_="a@x.test", to="b@y.test", subject="s", text="t\n")
    with (
        token_server() as server,
        ScriptedServer("S: 220 hi\nC: EHLO *\nS: 250-h\nS: 250 AUTH XOAUTH2\nC: <eof>") as peer,
    ):
        server.answers = [(400, {"error": "invalid_grant"})]
        address = AddrInfo(2, (peer.host, peer.port))
        endpoint = Endpoint(
            host="smtp.x.test",
            port=25,
            addresses=(address,),
            tls="none",
            auth_in_clear=True,
            username="me",
            tokens=consent(server),
        )
        with world.mailer(SmtpBackend(endpoint)) as mailer:
            health = mailer.check()
        assert isinstance(health.cause, AuthError)
        assert "let the user consent again" in str(health.cause)
        assert peer.wait_idle()
    assert message.subject == "s"
