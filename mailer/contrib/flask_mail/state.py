"""What an app's config says, as ``app.extensions["mail"]`` keeps it, and the mailer made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import current_app

from ...redaction import forgets_arguments
from ..flask_keys import MailKeys
from ..mailer_at import mailer_at

if TYPE_CHECKING:
    from ...mailer import Mailer
    from ...settings import Settings

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


class State:
    """The settings of one app; Flask-Mail's attributes, and ``mailer``.

    Attributes:
        default_sender: Who sends what names no sender: an address or a (name, address) pair.
        suppress: Nothing is sent; all else happens.
        ascii_attachments: Attachments get names in ASCII.
        auth_in_clear: The password may be sent without TLS to other machines too.
        settings: What the ``MAILER_`` keys say, if there are any: their URL counts before server, port and login.
    """

    auth_in_clear: Any = False
    settings: Settings | None = None

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

        Its ``hooks`` and plug-ins stay whatever the settings become. Suppressed, it composes each mail and forgets it.

        Raises:
            ConfigError: A setting is wrong; the text names its key.
        """
        return mailer_at(self, "null:" if self.suppress else self._url(), self.settings)

    def _url(self) -> str | None:
        if self.settings is not None and self.settings.url is not None:
            return None
        # Flask-Mail gives app.debug, which is a figure for smtplib's set_debuglevel.
        config = {key: getattr(self, name) for name, key in _KEY_OF.items()} | {"MAIL_DEBUG": bool(self.debug)}
        return MailKeys.of(config | {"MAIL_AUTH_IN_CLEAR": self.auth_in_clear}).url


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
