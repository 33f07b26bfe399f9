"""How far a run is, on standard error: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol, TextIO

from .tally import Tally

__all__ = ["Bar", "Lines", "Progress", "Silence", "progress_on"]

_LINE_EVERY_S = 10.0
_DRAW_EVERY_S = 0.1
_HINT = "for a progress bar: pip install 'mailwright[progress]'"

Clock = Callable[[], float]


class Progress(Protocol):
    """Shows how far a run is."""

    def update(self, tally: Tally) -> None:
        """Called for each row; cheap where there is nothing new to show."""

    def say(self, line: str) -> None:
        """Print a line, above the bar if there is one."""

    def close(self) -> None:
        """Leave the terminal as it was."""


class Silence:
    """Shows nothing, but says what must be said."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def update(self, tally: Tally) -> None:
        """Nothing."""

    def say(self, line: str) -> None:
        """Print it."""
        print(line, file=self._stream, flush=True)

    def close(self) -> None:
        """Nothing."""


class Lines(Silence):
    """A line every ten seconds; a run shorter than that prints none."""

    def __init__(self, stream: TextIO, total: int | None, clock: Clock = time.monotonic, *, hint: str = "") -> None:
        super().__init__(stream)
        self._total = total
        self._clock = clock
        self._hint = hint
        self._start = self._last = clock()

    def update(self, tally: Tally) -> None:
        """Print a line if it is time."""
        now = self._clock()
        if now - self._last < _LINE_EVERY_S:
            return
        self._last = now
        of = "" if self._total is None else f" of {self._total}"
        pace = tally.now.total() / (now - self._start)
        self.say(f"{tally.rows}{of} rows, {pace:.3g}/s: {tally.said()}")
        if self._hint:
            self.say(self._hint)
            self._hint = ""


class Bar:
    """A bar drawn by rich, ten times a second at most; it starts no thread."""

    def __init__(self, stream: TextIO, total: int | None, clock: Clock = time.monotonic) -> None:
        """Draw the empty bar.

        Raises:
            ImportError: rich is not installed.
        """
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self._clock = clock
        self._last = clock()
        self._tally: Tally | None = None
        self._bar: Any = RichProgress(
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
            console=Console(file=stream),
            auto_refresh=False,
        )
        self._task = self._bar.add_task("", total=total)
        self._bar.start()

    def update(self, tally: Tally) -> None:
        """Draw it if it is time."""
        self._tally = tally
        now = self._clock()
        if now - self._last >= _DRAW_EVERY_S:
            self._last = now
            self._draw(tally)

    def _draw(self, tally: Tally) -> None:
        self._bar.update(self._task, completed=tally.rows, description=tally.said(), refresh=True)

    def say(self, line: str) -> None:
        """Print it above the bar."""
        self._bar.console.print(line, markup=False, emoji=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Draw it a last time and leave it there."""
        if self._tally is not None:
            self._draw(self._tally)
        self._bar.stop()


def progress_on(stream: TextIO, total: int | None, *, wanted: bool = True) -> Progress:
    """What fits the stream: a bar if it is a terminal and rich is installed."""
    if not wanted:
        return Silence(stream)
    if not stream.isatty():
        return Lines(stream, total)
    try:
        return Bar(stream, total)
    except ImportError:
        return Lines(stream, total, hint=_HINT)
