"""``tracking``: which mail was opened, and what in it was clicked, told by an endpoint of your own."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from pydantic import Field, PrivateAttr, SecretStr, model_validator

from ..clock import epoch_s
from ..errors import ConfigError
from ..event import Event
from ..hooks import Hooks
from ..hookspecs import Context
from ..mailer import AsyncMailer, Mailer
from ..message import Message
from ..plugin import Plugin, PluginSettings
from ..tracking import TrackingLinks, with_links, with_pixel
from ..tracking_app import TrackingApp

__all__ = ["Tracking", "TrackingSettings"]

#: Behind filters that make or change the html, and before one that redirects the mail.
_PRIORITY = 200
_IN_BRACKETS = re.compile(r"<([^<>]*)>")


class TrackingSettings(PluginSettings):
    """Settings of ``tracking``."""

    url: str = Field(description="Where the endpoint is mounted: https, without query. The token is put behind it.")
    secret: SecretStr = Field(description="What links are signed with: at least 32 characters, `openssl rand -hex 32`.")
    old_secrets: tuple[SecretStr, ...] = Field((), description="Former secrets, whose links still count.")
    opens: bool = Field(False, description="Put an image into html, for messages that do not say `track_opens`.")
    clicks: bool = Field(False, description="Rewrite links in html, for messages that do not say `track_clicks`.")
    untracked_hosts: tuple[str, ...] = Field((), description="Hosts to which links stay as they are.")
    _links: TrackingLinks | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _check(self) -> TrackingSettings:
        try:
            secrets = [one.get_secret_value() for one in (self.secret, *self.old_secrets)]
            self._links = TrackingLinks(self.url, secrets)
        except ConfigError as error:
            raise ValueError(str(error).removeprefix("tracking: ")) from None
        return self

    @property
    def links(self) -> TrackingLinks:
        """What they mean."""
        assert self._links is not None  # noqa: S101 - for type checkers
        return self._links


class Tracking(Plugin[TrackingSettings]):
    """Rewrites the links of a message's html, and puts an image at its end, where message or settings say so.

    The text part stays as it is. A message to one recipient has links of that recipient's own.

    Attributes:
        clock: Seconds since 1970, for the time in links.
    """

    name = "tracking"
    clock: Callable[[], float] = staticmethod(epoch_s)

    def register(self, hooks: Hooks) -> None:
        """By the message."""
        hooks.add_filter("message", self.tracked, _PRIORITY)

    @property
    def links(self) -> TrackingLinks:
        """What writes links and reads them back."""
        return self.settings.links

    def app(self, then: Mailer | AsyncMailer | Callable[[Event], Any]) -> TrackingApp:
        """The endpoint that links and images lead to; see :class:`TrackingApp`."""
        return TrackingApp(self.links, then, clock=self.clock)

    def tracked(self, message: Message, context: Context) -> Message:
        """The message with links and image."""
        wants_opens = self.settings.opens if message.track_opens is None else message.track_opens
        wants_clicks = self.settings.clicks if message.track_clicks is None else message.track_clicks
        if not message.html or not (wants_opens or wants_clicks):
            return message
        recipients = {address.key: address for address in (*message.to, *message.cc, *message.bcc)}
        recipient = next(iter(recipients.values())) if len(recipients) == 1 else None
        now_s = self.clock()

        def link(url: str) -> str | None:
            return self.links.link(context.mail_id, recipient, url, now_s=now_s)

        html = message.html
        if wants_clicks:
            html = with_links(html, link, {*self.settings.untracked_hosts, *_unsubscribing(message)})
        if wants_opens and (pixel := link("")):
            html = with_pixel(html, pixel)
        # It is done: a provider is not to do it a second time, and others need not say that they cannot.
        done = False if context.backend is not None and context.backend.features.tracking else None
        return message.with_(
            html=html,
            track_opens=done if wants_opens else message.track_opens,
            track_clicks=done if wants_clicks else message.track_clicks,
        )


def _unsubscribing(message: Message) -> list[str]:
    """The links by which a recipient leaves: they lead there without a way round."""
    fields = [value for name, value in message.headers if name.lower() == "list-unsubscribe"]
    return [url for field in fields for url in _IN_BRACKETS.findall(field)]
