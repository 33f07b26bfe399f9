"""What an app's config says, as ``app.extensions["mailman"]`` keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import current_app

from ...redaction import forgets_arguments

if TYPE_CHECKING:
    from ...settings import Settings

__all__ = ["State", "state_of"]


class State:
    """The settings of one app, with Flask-Mailman's attributes. Each may be set at any time.

    Attributes:
        default_sender: Who sends what names no sender: an address or a (name, address) pair.
        backend: A name of a backend, a dotted path to one, or a class.
        mail_options: Parameters of MAIL for each mail (:meth:`mailer.DeliveryOptions.from_esmtp`).
        outbox: What ``locmem`` was given; made by it.
        auth_in_clear: The password may be sent without TLS to other machines too.
        settings: What the ``MAILER_`` keys say, if there are any: their URL counts before server, port and login.
    """

    auth_in_clear: Any = False
    settings: Settings | None = None
    outbox: list[Any]

    @forgets_arguments
    def __init__(
        self,
        server: str,
        port: int,
        username: str | None,
        password: str | None,
        use_tls: bool,
        use_ssl: bool,
        default_sender: Any,
        timeout: float | None,
        ssl_keyfile: str | None,
        ssl_certfile: str | None,
        use_localtime: bool,
        file_path: Any,
        default_charset: str,
        mail_options: list[str],
        backend: Any,
    ) -> None:
        self.server = server
        self.port = port
        self.username = username
        self.password = password
        self.use_tls = use_tls
        self.use_ssl = use_ssl
        self.default_sender = default_sender
        self.timeout = timeout
        self.ssl_keyfile = ssl_keyfile
        self.ssl_certfile = ssl_certfile
        self.use_localtime = use_localtime
        self.file_path = file_path
        self.default_charset = default_charset
        self.mail_options = mail_options
        self.backend = backend


def state_of() -> Any:
    """The current app's state.

    Raises:
        RuntimeError: There is no current app, or it has none.
    """
    state = current_app.extensions.get("mailman")
    if state is None:
        raise RuntimeError(
            "The current application was not configured with Flask-Mailman: call Mail(app) or mail.init_app(app) first"
        )
    return state
