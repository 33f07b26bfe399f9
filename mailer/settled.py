"""Once for each mail that was carried, whatever its outcomes: result actions fire for each outcome that it has."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from .errors import Outcome
from .hooks import Hooks
from .hookspecs import Context

__all__ = ["ACTION_OF", "when_settled"]

#: The result actions, in the order in which they fire for one mail.
ACTION_OF = {
    Outcome.ACCEPTED: "sent",
    Outcome.DEFERRED: "deferred",
    Outcome.REJECTED: "rejected",
    Outcome.UNKNOWN: "unknown",
}


def when_settled(hooks: Hooks, callback: Callable[[Context], Any], priority: int = 10) -> None:
    """Add an action that is called with the first result action of each mail; the receipt has all its outcomes."""
    for outcome, name in ACTION_OF.items():
        hooks.add_action(name, partial(_if_first, outcome, callback), priority)


def _if_first(outcome: Outcome, callback: Callable[[Context], Any], context: Context) -> Any:
    assert context.receipt is not None  # noqa: S101 - for type checkers
    outcomes = {result.outcome for result in context.receipt.results}
    return callback(context) if next(one for one in ACTION_OF if one in outcomes) is outcome else None
