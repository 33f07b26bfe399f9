"""Blinker signals for what becomes of mails, as Flask has them for what becomes of requests.

::

    @message_rejected.connect
    def forget(app, receipt, recipients, **more):
        ...

    message_sent.connect(count, app)  # of one app alone

Every mailer of an app sends them, from the actions of the same moment (:mod:`mailer.hookspecs`). The sender is the app.
Receivers are given ``context``, ``mail_id`` and what the action's context has:

==========================  ============  ==============================================================================
signal                      action        arguments
==========================  ============  ==============================================================================
``message_sending``         sending       ``message``, ``mail``, ``attempt``
``message_sent``            sent          ``message``, ``mail``, ``attempt``, ``receipt``, ``recipients``: who accepted
``message_deferred``        deferred      the same, of those deferred
``message_rejected``        rejected      the same, of those refused
``message_unknown``         unknown       the same, of those of whom it is not known
``message_skipped``         skipped       ``message``, ``receipt``
``message_failed``          failed        ``message``, ``error``
``message_queued``          queued        ``message``, ``mail``
``event_received``          event         ``event``
==========================  ============  ==============================================================================

``message`` is the :class:`~mailer.Message`, None for ready-made mail. All receivers are called, whatever one of them
raises; that is logged and counted as an action's error, and changes no send. Under Quart, async receivers are awaited.
"""

from __future__ import annotations

import contextlib
import inspect
import weakref
from collections.abc import Awaitable, Callable, Generator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from blinker import ANY, NamedSignal

from ...hookspecs import KNOWN
from ...runtime import Lock

if TYPE_CHECKING:
    from flask.sansio.app import App

    from ...hooks import Hooks
    from ...hookspecs import Context

__all__ = [
    "SIGNALS",
    "bridge",
    "event_received",
    "message_deferred",
    "message_failed",
    "message_queued",
    "message_rejected",
    "message_sending",
    "message_sent",
    "message_skipped",
    "message_unknown",
]

F = TypeVar("F", bound=Callable[..., Any])


class _MailSignal(NamedSignal):
    """A signal that registries learn of once somebody listens: what nobody hears costs a send nothing."""

    def connect(self, receiver: F, sender: Any = ANY, weak: bool = True) -> F:
        connected = super().connect(receiver, sender, weak)
        for hooks, app in list(_bridged.items()):
            _add(self, hooks, app)
        return connected


message_sending = _MailSignal("message-sending")
message_sent = _MailSignal("message-sent")
message_deferred = _MailSignal("message-deferred")
message_rejected = _MailSignal("message-rejected")
message_unknown = _MailSignal("message-unknown")
message_skipped = _MailSignal("message-skipped")
message_failed = _MailSignal("message-failed")
message_queued = _MailSignal("message-queued")
event_received = _MailSignal("event-received")

#: Action -> the signal that is sent from it.
SIGNALS: dict[str, _MailSignal] = {
    "sending": message_sending,
    "sent": message_sent,
    "deferred": message_deferred,
    "rejected": message_rejected,
    "unknown": message_unknown,
    "skipped": message_skipped,
    "failed": message_failed,
    "queued": message_queued,
    "event": event_received,
}
_OWNER = "mailer.contrib.flask.signals"


_ACTION_OF = {id(signal): action for action, signal in SIGNALS.items()}
#: Registries whose actions send them, each with its app.
_bridged: weakref.WeakKeyDictionary[Hooks, weakref.ref[App]] = weakref.WeakKeyDictionary()
_lock = Lock()


def bridge(hooks: Hooks, app: weakref.ref[App]) -> None:
    """Send the signals of this app from a registry's actions, as soon as somebody listens to them."""
    _bridged[hooks] = app
    for signal in SIGNALS.values():
        if signal.receivers:
            _add(signal, hooks, app)


def _add(signal: NamedSignal, hooks: Hooks, app: weakref.ref[App]) -> None:
    action = _ACTION_OF[id(signal)]
    with _lock:
        if not any(one.hook == action and one.owner == _OWNER for one in hooks.registered()):
            hooks.add_action(action, partial(_send, signal, KNOWN[action], app), owner=_OWNER)


def _send(
    signal: NamedSignal, known: tuple[str, ...], reference: weakref.ref[App], context: Context
) -> Awaitable[None] | None:
    """Call plain receivers; what is returned calls the async ones, under an event loop."""
    if not signal.receivers or signal.is_muted or (app := reference()) is None:
        return None
    told = {"context": context, "mail_id": context.mail_id, **{name: getattr(context, name) for name in known}}
    waiting: list[partial[Any]] = []
    errors: list[Exception] = []
    for receiver in signal.receivers_for(app):
        is_async = inspect.iscoroutinefunction(receiver)
        if is_async and context.runtime.is_async:
            waiting.append(partial(receiver, app, **told))
            continue
        with _kept(errors):
            # Flask's own way to call what is async: it takes the extra flask[async].
            (app.ensure_sync(receiver) if is_async else receiver)(app, **told)  # type: ignore[attr-defined]
    if waiting:
        return _Waiting(waiting, errors)
    if errors:
        raise errors[0]
    return None


@contextlib.contextmanager
def _kept(errors: list[Exception]) -> Generator[None, None, None]:
    """Keep what a receiver raises, which may be anything: the others are called all the same."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - anybody's code
        errors.append(error)


class _Waiting:
    """Async receivers, called when it is awaited: where nobody can wait, none is begun."""

    def __init__(self, calls: Sequence[Callable[[], Awaitable[Any]]], errors: list[Exception]) -> None:
        self._calls = calls
        self._errors = errors

    def __await__(self) -> Generator[Any, None, None]:
        return self._called().__await__()

    async def _called(self) -> None:
        for call in self._calls:
            with _kept(self._errors):
                await call()
        if self._errors:
            raise self._errors[0]
