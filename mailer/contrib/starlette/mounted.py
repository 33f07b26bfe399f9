"""ASGI apps that need a mailer, mounted in an app whose mailers are made later."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any, TypeAlias

from ...mailer import AsyncMailer
from ...webhooks import AsgiWebhooks
from .mailers import mailers_of

__all__ = ["MailerApp", "webhooks"]

ASGIApp: TypeAlias = Callable[
    [
        MutableMapping[str, Any],
        Callable[[], Awaitable[MutableMapping[str, Any]]],
        Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ],
    Awaitable[None],
]


class MailerApp:
    """An ASGI app that is made once the app's mailer is there, to be mounted.

    ::

        Mount("/t", MailerApp(lambda mailer: TrackingApp(links, mailer).asgi))
    """

    def __init__(self, make: Callable[[AsyncMailer], ASGIApp], name: str = "default") -> None:
        """
        Args:
            make: Makes it of the mailer; called once in each app's life.
            name: Which of the app's mailers.
        """
        self._make = make
        self._name = name

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        """Serve one connection."""
        mailers = mailers_of(scope)
        app = mailers.mounted.get(self)
        if app is None:
            app = mailers.mounted[self] = self._make(mailers[self._name])
        await app(scope, receive, send)


def webhooks(secrets: Mapping[str, str | Sequence[str]], *, name: str = "default", **options: Any) -> MailerApp:
    """The app that providers call, each at its name below the mount: :class:`~mailer.webhooks.AsgiWebhooks`.

    ::

        Mount("/webhooks", webhooks({"postmark": "hook:secret"}))  # Starlette
        app.mount("/webhooks", webhooks({"postmark": "hook:secret"}))  # FastAPI

    Args:
        secrets: Provider to secret, or several.
        name: Whose ``event`` action is run: which of the app's mailers.
        options: As :class:`~mailer.webhooks.AsgiWebhooks` takes them: ``base_url``, ``providers`` ...

    Raises:
        ConfigError: A secret is empty, a provider unknown, or an option wrong: now, not at the first call.
    """
    AsgiWebhooks(AsyncMailer("null:"), secrets, **options)
    return MailerApp(lambda mailer: AsgiWebhooks(mailer, secrets, **options), name)
