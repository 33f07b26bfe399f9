"""Where mails are caught before they leave the process: a test's outbox answers in the place of every backend.

:func:`mailer.backends.base.carry_many` asks here, which every mail passes, whoever sends it. What is composed, limited,
routed and tried again is so as ever, and a group asks its members as ever; only the last step is another's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from ..runtime import Lock

if TYPE_CHECKING:
    from ..errors import UnsupportedFeature
    from ..mail import Mail
    from ..receipt import Receipt
    from .base import Backend

__all__ = ["Catcher", "begin", "catchers", "end"]


class Catcher(Protocol):
    """What answers in a backend's place, on any thread."""

    async def carry(self, backend: Backend, mails: Sequence[Mail]) -> Sequence[Receipt | UnsupportedFeature]:
        """What became of these mails, as the backend's own ``send_many`` would say it."""
        ...


#: Those at work, the latest last, who alone is asked. All of the process: a thread that began before is caught too.
#: Replaced, never changed, so that who reads it needs no lock.
catchers: tuple[Catcher, ...] = ()
_lock = Lock()


def begin(catcher: Catcher) -> None:
    """Ask this one from now on."""
    global catchers
    with _lock:
        catchers = (*catchers, catcher)


def end(catcher: Catcher) -> None:
    """Ask it no more; who was asked before it is asked again."""
    global catchers
    with _lock:
        catchers = tuple([one for one in catchers if one is not catcher])
