"""The trace: how long each phase of an attempt took, and, where that is wanted, what was said."""

from __future__ import annotations

from collections import deque

from ..log import worded

__all__ = ["PHASES", "Trace"]

#: In the order of an attempt. A mail over a connection that was open already has the last three alone.
PHASES = ("resolve", "connect", "greeting", "ehlo", "tls", "auth", "envelope", "data", "final")

_FIRST_LINES = 400
_LAST_LINES = 100
"""Kept of a transcript: how it began and how it ended. A mail to a thousand people would have two thousand lines."""

_Line = tuple[float, str, str]


class Trace:
    """Of one mail's way over a connection, and of the connection's beginning if it was opened for that mail.

    Attributes:
        timings: Seconds by phase, of :data:`PHASES`; those that were not entered are not in it.
        is_kept: Whether what is said is kept.
    """

    __slots__ = ("_first", "_last", "_left_out", "_phase", "_since", "_start", "is_kept", "timings")

    def __init__(self, start: float, *, is_kept: bool = False) -> None:
        self.timings: dict[str, float] = {}
        self.is_kept = is_kept
        self._start = self._since = start
        self._phase = ""
        self._first: list[_Line] = []
        self._last: deque[_Line] | tuple[_Line, ...] = ()
        self._left_out = 0

    def enter(self, phase: str, now: float) -> None:
        """The phase before is over, and this one begins; "" is none."""
        if self._phase:
            self.timings[self._phase] = self.timings.get(self._phase, 0.0) + now - self._since
        self._phase = phase
        self._since = now

    def say(self, now: float, side: str, line: str) -> None:
        """Keep a line without secrets, if lines are kept; side is "C" (us), "S" (the server) or "*" (about them)."""
        if self.is_kept:
            self._keep((now, side, line))

    def lines(self) -> tuple[str, ...]:
        """The transcript: ``+0.012 C: MAIL FROM:<a@x.test>``, the seconds since the attempt began."""
        shown = [f"{at - self._start:+.3f} {side}: {worded(line)}" for at, side, line in (*self._first, *self._last)]
        if self._left_out:
            shown.insert(_FIRST_LINES, f"... {self._left_out} lines left out ...")
        return tuple(shown)

    def _keep(self, line: _Line) -> None:
        if len(self._first) < _FIRST_LINES:
            self._first.append(line)
            return
        if not isinstance(self._last, deque):
            self._last = deque(maxlen=_LAST_LINES)
        self._left_out += len(self._last) == _LAST_LINES
        self._last.append(line)
