"""The cache file: shared by processes, kept over restarts, and nothing that another user of the machine can turn."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_provider import Clock, ask, consent
from token_server import token_server
from worlds import World, new_world

from mailer import ConfigError, DeadlineExceeded, TokenProvider
from mailer.log import TOKEN_NOT_KEPT
from mailer.oauth2 import cache
from mailer.oauth2.answer import Tokens
from mailer.oauth2.cache import TokenFile
from mailer.oauth2.token import AccessToken


@pytest.fixture
def blocking() -> Any:
    with new_world("blocking") as world:
        yield world


def test_a_token_outlives_its_provider(world: World, tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "tokens"
    with token_server() as server:
        assert ask(world, consent(server, cache=path, clock=clock)) == "at-1"
        assert ask(world, consent(server, cache=path, clock=clock)) == "at-1"
        assert ask(world, consent(server, cache=path, clock=clock), stale="at-1") == "at-2"
        clock.now += 3600 - 60
        assert ask(world, consent(server, cache=path, clock=clock)) == "at-3"
        assert len(server.forms) == 3
    names = sorted(os.listdir(tmp_path))
    assert names == ["tokens", "tokens.lock"]
    assert [stat.S_IMODE(os.stat(tmp_path / name).st_mode) for name in names] == [0o600, 0o600]


def test_one_file_for_several_grants_and_a_new_consent_is_not_taken_for_the_old(
    blocking: World, tmp_path: Path
) -> None:
    path = tmp_path / "tokens"
    with token_server() as server:

        def made(client: str, refresh: str, secret: str = "") -> TokenProvider:
            return TokenProvider.refresh_token(
                server.url, client_id=client, refresh_token=refresh, client_secret=secret, cache=path, clock=Clock()
            )

        server.answers = [(200, {"access_token": "a", "expires_in": 30, "refresh_token": "s3cret-rotated"})]
        assert ask(blocking, made("one", "consent-1")) == "a"
        assert ask(blocking, made("two", "consent-1")) == "at-2"
        assert ask(blocking, made("one", "consent-2")) == "at-3"
        # The client's secret has changed meanwhile: what the server gave last is still good.
        assert ask(blocking, made("one", "consent-1", "s3cret-new")) == "at-4"
        assert [form["refresh_token"] for form in server.forms] == [
            "consent-1",
            "consent-1",
            "consent-2",
            "s3cret-rotated",
        ]
        kept = json.loads(path.read_text())["tokens"]
        assert len(kept) == 3
        assert not any("consent" in name for name in kept)


GARBAGE = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"version": 2, "tokens": {}}',
    b'{"version": 1, "tokens": []}',
    b'{"version": 1, "tokens": {"%s": 7}}',
    b'{"version": 1, "tokens": {"%s": {"access_token": 7, "expires_at": 9e9}}}',
    b'{"version": 1, "tokens": {"%s": {"access_token": "a\\r\\nQUIT", "expires_at": 9e9}}}',
    b'{"version": 1, "tokens": {"%s": {"access_token": "x", "expires_at": "9e9"}}}',
    b'{"version": 1, "tokens": {"%s": {"access_token": "x", "expires_at": NaN}}}',
    b'{"version": 1, "tokens": {"%s": {"access_token": "x", "expires_at": 1' + b"0" * 400 + b"}}}",
    b" " * 2_000_000,
]


def test_a_file_that_is_not_understood_counts_as_none(blocking: World, tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    with token_server() as server:
        assert ask(blocking, consent(server, cache=path, clock=Clock())) == "at-1"
        [key] = json.loads(path.read_text())["tokens"]
        for number, content in enumerate(GARBAGE, 2):
            path.write_bytes(content.replace(b"%s", key.encode()))
            assert ask(blocking, consent(server, cache=path, clock=Clock())) == f"at-{number}", content[:60]
            assert json.loads(path.read_text())["tokens"][key]["access_token"] == f"at-{number}"


def by_link(path: Path, aim: Path) -> None:
    path.symlink_to(aim)


def by_hard_link(path: Path, aim: Path) -> None:
    os.link(aim, path)


def by_mode(path: Path, aim: Path) -> None:
    path.write_text("{}")
    path.chmod(0o644)


def by_group(path: Path, aim: Path) -> None:
    path.write_text("{}")
    path.chmod(0o620)


def by_fifo(path: Path, aim: Path) -> None:
    os.mkfifo(path, 0o600)


def by_folder(path: Path, aim: Path) -> None:
    path.mkdir(0o700)


def by_dangling_link(path: Path, aim: Path) -> None:
    path.symlink_to(aim.parent / "nowhere")


ATTACKS = {
    by_link: "symbolic link",
    by_dangling_link: "symbolic link",
    by_hard_link: "hard link",
    by_mode: "others may read or write it",
    by_group: "others may read or write it",
    by_fifo: "regular file",
    by_folder: "regular file|Is a directory",
}


@pytest.mark.parametrize("name", ["tokens", "tokens.lock"])
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_what_another_user_may_have_put_there_is_not_touched(
    blocking: World, tmp_path: Path, attack: Callable[[Path, Path], None], name: str
) -> None:
    aim = tmp_path / "aim"
    aim.write_text("precious")
    aim.chmod(0o600)
    attack(tmp_path / name, aim)
    with token_server() as server:
        with pytest.raises(ConfigError, match=ATTACKS[attack]) as caught:
            ask(blocking, consent(server, cache=tmp_path / "tokens"))
        assert str(tmp_path / name) in str(caught.value)
        assert server.forms == []
    assert aim.read_text() == "precious"
    assert not (tmp_path / "nowhere").exists()


def test_a_file_of_another_user_is_not_read(blocking: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with token_server() as server, pytest.raises(ConfigError, match="belongs to another user"):
        ask(blocking, consent(server, cache=tmp_path / "tokens"))


def test_a_folder_that_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    with token_server() as server, pytest.raises(ConfigError, match="there is no folder"):
        consent(server, cache=tmp_path / "no" / "tokens")


def test_a_full_disk_loses_no_mail_and_leaves_nothing_behind(
    blocking: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with token_server() as server, caplog.at_level("WARNING", "mailer"):
        tokens = consent(server, cache=tmp_path / "tokens")
        assert [ask(blocking, tokens), ask(blocking, tokens)] == ["at-1", "at-1"]
    assert os.listdir(tmp_path) == ["tokens.lock"]
    [record] = caplog.records
    assert record.mailer_event == TOKEN_NOT_KEPT.name
    assert "No space left" in record.getMessage()


def test_what_is_of_no_more_use_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_MAX_ENTRIES", 10)
    file = TokenFile(tmp_path / "tokens")
    for number in range(12):
        file.write(f"k{number}", Tokens(AccessToken("x", 1000.0), f"r{number}"), now=0.0)
    file.write("ended", Tokens(AccessToken("x", 1000.0)), now=0.0)
    file.write("last", Tokens(AccessToken("y", 5000.0)), now=2000.0)
    kept = json.loads((tmp_path / "tokens").read_text())["tokens"]
    assert len(kept) <= 10
    assert "ended" not in kept
    assert "k11" in kept
    assert file.read("last") == Tokens(AccessToken("y", 5000.0))


# --- at the same time -------------------------------------------------------------------------------------------------


class Sleeper:
    """A runtime whose sleeps are told of, and over at once."""

    def __init__(self, runtime: Any, told: Callable[[], None]) -> None:
        self._runtime = runtime
        self._told = told

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runtime, name)

    async def sleep(self, seconds: float) -> None:
        self._told()
        await self._runtime.sleep(0)


def test_two_providers_at_once_ask_once(world: World, tmp_path: Path) -> None:
    """As two processes do: a lock on a file is each opener's own."""
    waiting = threading.Event()
    runtime = Sleeper(world.runtime, waiting.set)
    with token_server() as server:
        server.gate.clear()
        server.answers = [lambda form: waiting.wait(30) and (200, {"access_token": "shared", "expires_in": 3600})]
        server.gate.set()  # the first answer comes when the other has met the lock

        def asking(tokens: TokenProvider) -> Any:
            async def job() -> str:
                return await tokens.token(runtime, runtime.now() + 60)

            return job

        async def both() -> list[Any]:
            jobs = [asking(consent(server, cache=tmp_path / "tokens")) for _ in range(2)]
            return await world.runtime.gather(jobs, 2)

        assert world.run(both) == ["shared"] * 2
        assert len(server.forms) == 1


def test_a_lock_that_stays_ends_with_the_deadline(world: World, tmp_path: Path) -> None:
    file = TokenFile(tmp_path / "tokens")
    runtime = world.runtime

    async def twice() -> None:
        held = await file.lock(runtime, runtime.now() + 60)
        try:
            with pytest.raises(DeadlineExceeded, match="another process"):
                await file.lock(runtime, runtime.now())
        finally:
            file.unlock(held)
        file.unlock(await file.lock(runtime, runtime.now() + 60))

    world.run(twice)


def test_two_processes_ask_once(tmp_path: Path) -> None:
    code = f"""if True:
        import sys
        from mailer import TokenProvider
        from mailer.runtime import BlockingRuntime, drive
        tokens = TokenProvider.refresh_token(
            sys.argv[1], client_id="app", refresh_token="r", cache={str(tmp_path / "tokens")!r}
        )
        runtime = BlockingRuntime()
        sys.stdin.readline()
        print(drive(tokens.token(runtime, runtime.now() + 60)))
    """
    with token_server() as server:
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", code, server.url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for _ in range(2)
        ]
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        assert [process.communicate(timeout=60)[0] for process in processes] == ["at-1\n"] * 2
        assert len(server.forms) == 1
