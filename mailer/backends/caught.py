"""Where mails are caught before they leave the process: a test's outbox answers in the place of every backend.

:func:`mailer.backends.base.carry_many` asks here, which every mail passes, whoever sends it. What is composed, limited,
routed and tried again is so as ever, and a group asks its members as ever; only the last step is another's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from ..stand_ins import StandIns

if TYPE_CHECKING:
    from socket import socket

    from ..errors import UnsupportedFeature
    from ..mail import Mail
    from ..receipt import Receipt
    from .base import Backend

__all__ = ["Catcher", "catchers"]


class Catcher(Protocol):
    """What answers in a backend's place, on any thread."""

    async def carry(self, backend: Backend, mails: Sequence[Mail]) -> Sequence[Receipt | UnsupportedFeature]:
        """What became of these mails, as the backend's own ``send_many`` would say it."""
        ...

    def dial(self, url: str, *, is_lmtp: bool) -> socket:
        """A connection to what answers in the place of the server there, to one that speaks SMTP by itself."""
        ...


catchers: StandIns[Catcher] = StandIns()
