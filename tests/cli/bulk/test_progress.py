"""How far a run is: a bar on a terminal, lines elsewhere, on a clock of the test's own."""

from __future__ import annotations

import io
import sys
import threading

import pytest

from mailer.cli.bulk.journal import State
from mailer.cli.bulk.progress import Bar, Lines, Silence, progress_on
from mailer.cli.bulk.tally import Tally


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture(autouse=True)
def a_wide_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "xterm-256color")


def test_lines_come_now_and_then():
    stream, clock, tally = io.StringIO(), Clock(), Tally()
    lines = Lines(stream, 100, clock)
    for second in range(25):
        clock.time = second
        tally.now[State.ACCEPTED] += 2
        lines.update(tally)
    lines.close()
    assert stream.getvalue() == "22 of 100 rows, 2.2/s: 22 accepted\n42 of 100 rows, 2.1/s: 42 accepted\n"


def test_the_bar_shows_rows_and_outcomes_and_starts_no_thread():
    stream, clock, tally = Terminal(), Clock(), Tally()
    bar = Bar(stream, 3, clock)
    tally.now[State.ACCEPTED] += 1
    tally.before[State.REJECTED] += 1
    bar.update(tally)
    assert "2/3" not in stream.getvalue()
    clock.time = 1.0
    bar.update(tally)
    assert "2/3" in stream.getvalue()
    bar.say("in doubt: [red]x[/red] :smile:")
    bar.close()
    assert "1 accepted, 1 rejected" in stream.getvalue()
    assert "in doubt: [red]x[/red] :smile:" in stream.getvalue()
    assert threading.active_count() == 1 or not any("rich" in str(t).lower() for t in threading.enumerate())


def test_what_fits_the_stream(monkeypatch):
    assert type(progress_on(io.StringIO(), 3)) is Lines
    assert type(progress_on(Terminal(), 3, wanted=False)) is Silence
    bar = progress_on(Terminal(), None)
    assert type(bar) is Bar
    bar.close()
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert type(progress_on(Terminal(), 3)) is Lines


def test_without_rich_a_terminal_is_told_once_how_to_get_the_bar(monkeypatch):
    monkeypatch.setitem(sys.modules, "rich.console", None)
    clock, stream, tally = Clock(), Terminal(), Tally()
    lines = progress_on(stream, None)
    lines._clock = clock
    lines._start = lines._last = 0.0
    for clock.time in (11.0, 22.0):
        lines.update(tally)
    assert stream.getvalue().count("mailwright[progress]") == 1
    assert stream.getvalue().startswith("0 rows, 0/s: nothing yet\n")
