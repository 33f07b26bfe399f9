"""Whom an endpoint of ours tells of its events: a mailer, a suppression list or a function; failures are logged."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .errors import ConfigError, MailerError, ProtocolError
from .event import Event
from .log import ACTION_FAILED
from .suppression import Suppressed, SuppressionList

if TYPE_CHECKING:
    from .mailer import AsyncMailer, Mailer

__all__ = ["Teller"]


class Teller:
    """Tells events, and logs what the listener raises.

    Args:
        then: A mailer, which publishes the event to its ``event`` action; a list, which is added to; or a function of
            the event, plain or (by an event loop) async.
        provider: Whose events they are: the name in them, in errors and in the log.

    Raises:
        ConfigError: ``then`` is none of these.
    """

    def __init__(self, then: Mailer | AsyncMailer | SuppressionList | Callable[[Event], Any], provider: str) -> None:
        self._tell = _function_of(then, provider)
        self._provider = provider

    async def tell(self, event: Event) -> bool:
        """Tell by an event loop: what is async is awaited, what is plain runs in a thread. Whether it was told."""
        try:
            if inspect.iscoroutinefunction(self._tell):
                await self._tell(event)
            else:
                from .runtime import AsyncRuntime

                said = await AsyncRuntime().run(lambda: self._tell(event))
                if inspect.isawaitable(said):
                    await said
        except Exception as error:  # noqa: BLE001 - anybody's code
            return self._failed(error)
        return True

    def tell_now(self, event: Event) -> bool:
        """Tell without one. Whether it was told."""
        try:
            said = self._tell(event)
            if inspect.isawaitable(said):
                if inspect.iscoroutine(said):
                    said.close()
                raise ConfigError(f"{self._provider}: what is told is async: mount app.asgi, or give a Mailer")
        except Exception as error:  # noqa: BLE001 - anybody's code
            return self._failed(error)
        return True

    def _failed(self, error: Exception) -> bool:
        reason = str(error) if isinstance(error, MailerError) else type(error).__name__
        ACTION_FAILED(hook="event", owner=self._provider, reason=reason, exc_info=error)
        return False


def _function_of(then: Any, provider: str) -> Callable[[Event], Any]:
    """A function of the event, which raises if it fails."""
    if isinstance(then, SuppressionList):

        def add(event: Event) -> Any:
            assert event.recipient is not None  # noqa: S101 - for type checkers
            text = ", ".join(event.tags)
            entry = Suppressed(address=event.recipient, kind=event.kind, since=event.time, provider=provider, text=text)
            return then.add(entry)

        return add
    publish = getattr(then, "publish", None)
    if publish is None:
        if not callable(then):
            raise ConfigError(f"{provider}: then must be a mailer, a list or a function, not {type(then).__name__}")
        return then  # type: ignore[no-any-return]
    if inspect.iscoroutinefunction(publish):

        async def publish_async(event: Event) -> None:
            _check_count(await publish([event]))

        return publish_async
    return lambda event: _check_count(publish([event]))


def _check_count(failed: int) -> None:
    if failed:
        raise ProtocolError("an event action failed; the log says which")
