"""What an app's config says, as ``app.extensions["mail"]`` keeps it, and the mailer made of it."""

from __future__ import annotations

import weakref
from typing import Any

from flask import current_app

from ...hooks import Hooks
from ...mailer import Mailer
from ...redaction import forgets_arguments
from ..flask_keys import MailKeys

__all__ = ["State", "state_of"]

# Attribute of a state -> key. They may be set at any time, and count from the next connection on.
_KEY_OF = {
    "server": "MAIL_SERVER",
    "username": "MAIL_USERNAME",
    "password": "MAIL_PASSWORD",
    "port": "MAIL_PORT",
    "use_tls": "MAIL_USE_TLS",
    "use_ssl": "MAIL_USE_SSL",
    "debug": "MAIL_DEBUG",
    "max_emails": "MAIL_MAX_EMAILS",
}
_mailers: weakref.WeakKeyDictionary[State, dict[str, Mailer]] = weakref.WeakKeyDictionary()  # by URL


class State:
    """The settings of one app; Flask-Mail's attributes, and ``mailer``.

    Attributes:
        default_sender: Who sends what names no sender: an address or a (name, address) pair.
        suppress: Nothing is sent; all else happens.
        ascii_attachments: Attachments get names in ASCII.
        url: Where mail goes, in the place of server, port and login: any backend's URL.
    """

    url: str | None = None

    @forgets_arguments
    def __init__(
        self,
        server: str,
        username: str | None,
        password: str | None,
        port: int | None,
        use_tls: bool,
        use_ssl: bool,
        default_sender: Any,
        debug: int,
        max_emails: int | None,
        suppress: bool,
        ascii_attachments: bool,
    ) -> None:
        self.server = server
        self.username = username
        self.password = password
        self.port = port
        self.use_tls = use_tls
        self.use_ssl = use_ssl
        self.default_sender = default_sender
        self.debug = debug
        self.max_emails = max_emails
        self.suppress = suppress
        self.ascii_attachments = ascii_attachments

    @property
    def mailer(self) -> Mailer:
        """What sends: one for as long as the settings stay, shared by all threads, its connections kept. Opens none.

        Its ``hooks`` stay whatever the settings become. Suppressed, it composes each mail and forgets it.

        Raises:
            ConfigError: A setting is wrong; the text names its key.
        """
        known = _mailers.setdefault(self, {})
        url = "null:" if self.suppress else self.url or self._url()
        if url not in known:
            hooks = next((mailer.hooks for mailer in known.values()), None) or Hooks()
            made = known.setdefault(url, Mailer(url, hooks=hooks))
            weakref.finalize(self, made.close)
        return known[url]

    def _url(self) -> str:
        # Flask-Mail gives app.debug, which is a figure for smtplib's set_debuglevel.
        config = {key: getattr(self, name) for name, key in _KEY_OF.items()} | {"MAIL_DEBUG": bool(self.debug)}
        return MailKeys.of(config).url


def state_of() -> State:
    """The current app's state.

    Raises:
        RuntimeError: There is no current app, or it has none.
    """
    state = current_app.extensions.get("mail")
    if state is None:
        raise RuntimeError(
            "The current application was not configured with Flask-Mail: call Mail(app) or mail.init_app(app) first"
        )
    return state  # type: ignore[no-any-return]  # init_app put it there
