"""Mailers of extensions whose settings may change at any time: another URL, and the hooks and plug-ins stay."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..hooks import Hooks
from ..mailer import Mailer

if TYPE_CHECKING:
    from ..settings import Settings

__all__ = ["mailer_at", "sender_in", "settings_in"]

_made: weakref.WeakKeyDictionary[object, dict[str | None, Mailer]] = weakref.WeakKeyDictionary()


def settings_in(config: Mapping[str, Any]) -> Settings | None:
    """What ``MAILER`` and the ``MAILER_`` keys of a Flask config say; None where there are none.

    Raises:
        ConfigError: A key is unknown or its value wrong; the text names it.
    """
    if not any(key == "MAILER" or key.startswith("MAILER_") for key in config):
        return None
    from .flask.config import own_settings  # which takes a while to load

    return own_settings(config)


def sender_in(config: Mapping[str, Any], settings: Settings | None) -> Any:
    """Who sends what names no sender: ``MAILER_FROM``, if it is one mailbox, else ``MAIL_DEFAULT_SENDER``."""
    ours = None if settings is None else settings.from_
    if isinstance(ours, list):
        ours = ours[0] if len(ours) == 1 else None
    return ours or config.get("MAIL_DEFAULT_SENDER")


def mailer_at(owner: object, url: str | None, settings: Settings | None) -> Mailer:
    """The owner's mailer that sends to this URL. Opens no connection.

    All mailers of one owner have one registry of hooks and the same plug-ins. They serve all threads, and are closed
    when the owner is gone or the process ends.

    Args:
        owner: Whose it is; any object that can be referred to weakly.
        url: A backend's; None takes that of the settings.
        settings: All else that a mailer has.

    Raises:
        ConfigError: The URL or the settings are wrong.
    """
    known = _made.setdefault(owner, {})
    mailer = known.get(url)
    if mailer is not None:
        return mailer
    first = next(iter(known.values()), None)
    if first is None:
        made = Mailer(url, settings=settings, hooks=Hooks())
    else:
        bare = None if settings is None else settings.without_plugins()
        made = Mailer(url, settings=bare, hooks=first.hooks, plugins=tuple(first.plugins))
    mailer = known.setdefault(url, made)  # of two threads that come first one makes one in vain: it has no connection
    if mailer is made:
        weakref.finalize(owner, made.close)
    return mailer
