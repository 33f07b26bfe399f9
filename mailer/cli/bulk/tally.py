"""How many rows came to what, and what that means for the command's exit."""

from __future__ import annotations

from collections import Counter
from typing import Any

from .journal import State

__all__ = ["Tally"]

# The worst first: what the command exits with. What is not here is well.
_EXIT_CODES = {State.UNKNOWN: 76, State.DEFERRED: 75, State.REJECTED: 69, State.INVALID: 65}
_ALWAYS = (State.ACCEPTED, State.DEFERRED, State.REJECTED, State.UNKNOWN)
_IF_ANY = (State.INVALID, State.DUPLICATE, State.SKIPPED)


class Tally:
    """Counts rows by what became of them, those of earlier runs apart.

    Attributes:
        now: What this run did.
        before: What the journal says of rows that this run left alone.
    """

    def __init__(self) -> None:
        self.now: Counter[State] = Counter()
        self.before: Counter[State] = Counter()

    @property
    def rows(self) -> int:
        """How many rows are counted."""
        return self.now.total() + self.before.total()

    def of(self, state: State) -> int:
        """How many in all."""
        return self.now[state] + self.before[state]

    @property
    def exit_code(self) -> int:
        """That of the worst that happened, in this run or before; 0 if all is well."""
        return next((code for state, code in _EXIT_CODES.items() if self.of(state)), 0)

    def lines(self) -> list[str]:
        """As people read it, a line for each state."""
        always = (State.COMPOSED,) if self.now[State.COMPOSED] else _ALWAYS
        shown = [*always, *(state for state in (*_ALWAYS, *_IF_ANY) if self.of(state) and state not in always)]
        width = len(str(self.rows))
        return [
            f"{state.value:<9}  {self.of(state):>{width}}"
            + (f"  ({self.before[state]} of them before)" if self.before[state] else "")
            for state in shown
        ]

    def said(self) -> str:
        """In one line, for the progress."""
        there = (State.COMPOSED, *_ALWAYS, *_IF_ANY)
        return ", ".join(f"{self.of(state)} {state.value}" for state in there if self.of(state)) or "nothing yet"

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it: each state with its count in all; ``before`` with those of earlier runs."""
        states = (*_ALWAYS, *_IF_ANY, State.COMPOSED)
        return {
            **{state.value: self.of(state) for state in states},
            "rows": self.rows,
            "before": {state.value: self.before[state] for state in states if self.before[state]},
        }
