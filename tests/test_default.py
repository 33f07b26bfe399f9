"""``mailer.send``, ``get``, ``configure``, ``close``: the mailers of a process."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import mailer
from mailer import ConfigError, Mailer, Message, Settings


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in [name for name in os.environ if name.startswith("MAILER_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    mailer.close()
    yield
    mailer.close()


def hello() -> Message:
    return Message(to="ann@example.org", subject="s", text="t")


# --- from the environment ---------------------------------------------------------------------------------------------


def test_without_a_url_anywhere_it_says_which_setting_is_missing() -> None:
    with pytest.raises(ConfigError, match="MAILER_URL"):
        mailer.send(hello())


def test_url_and_sender_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MAILER_URL", f"file:{tmp_path}")
    monkeypatch.setenv("MAILER_FROM", "Shop <shop@example.com>")
    assert mailer.send(hello()).ok
    [path] = tmp_path.glob("*.eml")
    assert b"From: Shop <shop@example.com>\r\n" in path.read_bytes()


def test_close_makes_the_next_send_read_the_environment_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILER_URL", "null:")
    monkeypatch.setenv("MAILER_FROM", "shop@example.com")
    assert mailer.send(hello()).backend == "null:"
    monkeypatch.setenv("MAILER_URL", "memory:")
    assert mailer.send(hello()).backend == "null:"
    mailer.close()
    assert mailer.send(hello()).backend == "memory:"


def test_a_wrong_sender_in_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILER_URL", "null:")
    monkeypatch.setenv("MAILER_FROM", "nobody")
    with pytest.raises(ConfigError, match="MAILER_FROM"):
        Mailer()


def test_a_mailer_with_a_url_does_not_look_at_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILER_URL", "nonsense://")
    monkeypatch.setenv("MAILER_FROM", "nobody")
    assert Mailer("null:", from_="a@example.com").send(hello()).ok


# --- configured -------------------------------------------------------------------------------------------------------

NAMED = {"url": "memory:", "from": "shop@example.com", "mailers": {"news": {"url": "null:"}}}


def test_get_makes_each_mailer_once() -> None:
    mailer.configure(NAMED)
    assert mailer.get() is mailer.get("default") is mailer.get("DEFAULT")
    assert mailer.get("news") is mailer.get("News") is not mailer.get()
    assert (str(mailer.get().backend), str(mailer.get("news").backend)) == ("memory:", "null:")
    assert mailer.send(hello()).backend == "memory:"


@pytest.mark.parametrize("name", ["nws", "", "mailers", None])
def test_an_unknown_name_is_refused_with_the_nearest(name: str) -> None:
    mailer.configure(NAMED)
    with pytest.raises(ConfigError, match="did you mean 'news'" if name == "nws" else "there are: default, news"):
        mailer.get(name)


def test_configure_takes_settings_a_mapping_or_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    mailer.configure(Settings(url="null:"))
    assert str(mailer.get().backend) == "null:"
    monkeypatch.setenv("MAILER_URL", "memory:")
    mailer.configure({"from": "shop@example.com"})
    assert mailer.send(hello()).backend == "memory:"
    monkeypatch.setenv("MAILER_URL", "console:")
    mailer.configure()
    assert str(mailer.get().backend) == "console:"


@pytest.mark.parametrize(
    "wrong",
    [{}, {"url": "smpt://h"}, {"ulr": "null:"}, {"mailers": {"news": {"from": "a@b.test"}}}, {"production": {}}],
)
def test_wrong_settings_fail_at_once_and_change_nothing(wrong: dict[str, object]) -> None:
    mailer.configure(NAMED)
    before = mailer.get()
    with pytest.raises(ConfigError):
        mailer.configure(wrong)
    assert mailer.get() is before


def test_configuring_again_and_close_close_what_was_in_use() -> None:
    closed = []
    mailer.configure(NAMED)
    for name in ("default", "news"):
        ours = mailer.get(name)
        ours.close = lambda name=name: closed.append(name)  # type: ignore[method-assign]
    old = mailer.get()
    mailer.configure(NAMED)
    assert closed == ["default", "news"]
    assert mailer.get() is not old
    mailer.get().close = lambda: closed.append("again")  # type: ignore[method-assign]
    mailer.close()
    mailer.close()
    assert closed == ["default", "news", "again"]
    with pytest.raises(ConfigError, match="MAILER_URL"):
        mailer.get()


def test_threads_that_come_first_together_get_the_same_mailer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILER_URL", "memory:")
    start, got = threading.Barrier(8), []

    def ask() -> None:
        start.wait()
        got.append(mailer.get())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 8
    assert len(set(map(id, got))) == 1
    assert got[0] is mailer.get()


def test_a_factory_may_ask_for_another_mailer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailer.backends.url._registered", {})
    asked = []

    def factory(url: object, runtime: object) -> mailer.Backend:
        if mailer.default._current is not None:  # not while the settings are checked
            asked.append(mailer.get("news"))
        return mailer.backend_from_url("memory:")

    mailer.register_backend("curious", factory)
    mailer.configure({"url": "curious:", "mailers": {"news": {"url": "null:"}}})
    mailer.get()
    assert asked == [mailer.get("news")]


def test_a_child_forked_while_another_thread_configures_is_not_stuck() -> None:
    code = """
import os, mailer, mailer.default
mailer.configure({"url": "null:", "from": "a@b.test"})
mailer.default._lock.acquire()  # as another thread may hold it at this moment
child = os.fork()
if not child:
    mailer.close()
    mailer.configure({"url": "memory:", "from": "a@b.test"})
    os._exit(mailer.send(mailer.Message(to="c@d.test", text="t")).backend != "memory:")
mailer.default._lock.release()
assert os.waitpid(child, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_mailers_are_closed_when_the_process_ends() -> None:
    code = """
import mailer
mailer.configure({"url": "null:"})
mailer.get().close = lambda: print("closed")
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, timeout=60, capture_output=True, text=True)
    assert done.stdout == "closed\n"


def test_a_mailer_with_a_url_loads_no_pydantic() -> None:
    code = """
import sys, mailer
mailer.Mailer("memory:", from_="a@b.test").send(mailer.Message(to="c@d.test", text="t"))
import mailer.default
assert not {"pydantic", "pydantic_settings", "dotenv", "tomllib"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
