"""The default mailer: made by ``Mailer()`` from the environment at its first use, closed when the process ends."""

from __future__ import annotations

import atexit

from .mailer import Mailer
from .message import Message
from .receipt import Receipt
from .runtime import Lock

__all__ = ["close", "send"]

_lock = Lock()
_mailer: Mailer | None = None


def send(message: Message) -> Receipt:
    """Send with the default mailer. As :meth:`Mailer.send`.

    Raises:
        ConfigError: ``MAILER_URL`` is not set, or wrong.
    """
    global _mailer
    with _lock:
        if _mailer is None:
            _mailer = Mailer()
            atexit.register(close)
        mailer = _mailer
    return mailer.send(message)


def close() -> None:
    """Close the default mailer; the next ``send`` reads the environment again."""
    global _mailer
    with _lock:
        mailer, _mailer = _mailer, None
        atexit.unregister(close)
    if mailer is not None:
        mailer.close()
