"""The mailers of this process: made from the settings when they are first used, closed when it ends."""

from __future__ import annotations

import atexit
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .mailer import Mailer
from .message import Message
from .receipt import Receipt
from .redaction import forgets_arguments
from .runtime import Lock

if TYPE_CHECKING:
    from .settings import Settings

__all__ = ["close", "configure", "get", "send"]


class _Configured:
    """Settings, and the mailers that were made from them."""

    __slots__ = ("made", "settings")

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.made: dict[str, Mailer] = {}

    def mailer(self, name: str) -> Mailer:
        key = str(name).lower()
        if key not in self.made:
            # Of two threads that come first, one makes a mailer in vain: it has no connection yet. So no lock is held
            # while plug-ins' code runs, which may ask for a mailer itself.
            self.made.setdefault(key, Mailer(settings=self.settings, name=key))
        return self.made[key]


_lock = Lock()  # for the name below alone
_current: _Configured | None = None


@forgets_arguments
def configure(settings: Settings | Mapping[str, Any] | None = None) -> None:
    """Say what the mailers of this process are made of, instead of what the environment alone says.

    All settings are checked here, no connection is opened. Mailers in use are closed; what fails changes nothing.

    Args:
        settings: A mapping counts more than environment, ``.env`` and ``mailer.toml``, which are read for what it does
            not say. :class:`Settings` are taken as they are. None reads the environment now.

    Raises:
        ConfigError: A setting is unknown or wrong, or no mailer has a URL.
    """
    from .settings import Settings

    read = settings if isinstance(settings, Settings) else Settings(settings)
    for name in read.names or ("default",):
        read.of(name).check_plugins()
    _put(_Configured(read))


def get(name: str = "default") -> Mailer:
    """The mailer of this name: one for all threads, made when it is first asked for. Closed by :func:`close`.

    Under async, make an ``AsyncMailer(name=...)`` for each event loop.

    Raises:
        ConfigError: There is no such mailer, or the settings are wrong.
    """
    global _current
    current = _current
    if current is None:
        from .settings import Settings

        read = _Configured(Settings())
        with _lock:
            current = _current = _current or read
    return current.mailer(name)


def send(message: Message) -> Receipt:
    """Send with the default mailer. As :meth:`Mailer.send`.

    Raises:
        ConfigError: No backend is set, or a setting is wrong.
    """
    return get().send(message)


def close() -> None:
    """Close the mailers and forget what was configured; the next use reads the environment again."""
    _put(None)


def _put(new: _Configured | None) -> None:
    global _current
    with _lock:
        old, _current = _current, new
    if old is not None:
        for mailer in list(old.made.values()):
            mailer.close()


atexit.register(close)
