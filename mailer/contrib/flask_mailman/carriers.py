"""Flask-Mailman's backends: what each has, and ``smtp`` on a :class:`~mailer.Mailer`."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ...backends.smtp import SmtpBackend
from ...delivery import DeliveryOptions
from ...envelope import Envelope
from ...errors import ConfigError, DeliveryError, MailerError
from ...message import Message
from ...runtime import drive
from ...smtplib.delivery import as_smtplib
from .. import carrying
from ..email_message import fields_of
from ..flask_keys import SMTP_KEYS, MailKeys
from ..mailer_at import mailer_at
from ..message_fields import mailbox, mailboxes
from ..smtplib_host import Host
from .safe_mime import InvalidMessageError
from .state import state_of

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from ...mailer import Mailer

__all__ = [
    "BaseEmailBackend",
    "SmtpEmailBackend",
    "WrongOptionsError",
    "carry",
]

#: Whose classes build messages as Flask-Mailman does: ours, and its own.
_MADE_IN = (f"{__package__}.letter", "flask_mailman.message")
#: What Flask-Mailman's own calls while it sends, and this does not: whoever overrides one is to know.
_NOT_CALLED = ("connection_class", "ssl_context")


class WrongOptionsError(ConfigError, ValueError):
    """What a backend was given is wrong, or contradicts itself."""


class BaseEmailBackend:
    """What a backend is: ``open``, ``close``, ``send_messages``; a context manager.

    Args:
        mailman: The app's settings; None takes the current app's.
        fail_silently: Leave out messages that cannot be sent, rather than raise.
        kwargs: Of other backends; ignored.
    """

    def __init__(self, mailman: Any = None, fail_silently: bool = False, **kwargs: Any) -> None:
        self.fail_silently = fail_silently
        self.mailman = mailman or state_of()

    def open(self) -> bool | None:
        """Have a connection ready, if it is a backend that has any."""
        return None

    def close(self) -> None:
        """Let go of the connection."""

    def __enter__(self) -> Self:
        try:
            self.open()
        except Exception:
            self.close()
            raise
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def send_messages(self, email_messages: Iterable[Any]) -> int:
        """Send messages, and count them."""
        raise NotImplementedError("subclasses of BaseEmailBackend must override send_messages() method")


class SmtpEmailBackend(BaseEmailBackend):
    """Sends by a mailer, which all backends of an app share while they go to the same server. Threads may share it.

    Args:
        host, port, username, password, use_tls, use_ssl, timeout, ssl_keyfile, ssl_certfile: None takes the app's
            (:mod:`mailer.smtp_options` says what each means). The app's ``MAILER_URL`` counts where none is given.
        fail_silently: Leave out messages that nobody accepted. Wrong messages and settings raise all the same.

    Attributes:
        connection: Something with ``sendmail`` between ``open`` and ``close``, else None.
        mailer: What sends, for its ``hooks`` and ``backend``.
    """

    def __init__(
        self,
        host: str | None = None,
        port: int | None = None,
        username: str | None = None,
        password: str | None = None,
        use_tls: bool | None = None,
        fail_silently: bool = False,
        use_ssl: bool | None = None,
        timeout: float | None = None,
        ssl_keyfile: str | None = None,
        ssl_certfile: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(fail_silently=fail_silently, **kwargs)
        given = (host, port, username, password, use_tls, use_ssl, timeout, ssl_keyfile, ssl_certfile)
        self._is_given = any(value is not None for value in given)
        own = self.mailman
        self.host = host or own.server
        self.port = port or own.port
        self.username = own.username if username is None else username
        self.password = own.password if password is None else password
        self.use_tls = own.use_tls if use_tls is None else use_tls
        self.use_ssl = own.use_ssl if use_ssl is None else use_ssl
        self.timeout = own.timeout if timeout is None else timeout
        self.ssl_keyfile = own.ssl_keyfile if ssl_keyfile is None else ssl_keyfile
        self.ssl_certfile = own.ssl_certfile if ssl_certfile is None else ssl_certfile
        self.connection: Any = None
        try:
            _ = self.mailer
        except ConfigError as error:
            raise WrongOptionsError(str(error)) from error

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        for name in _NOT_CALLED:
            if name in cls.__dict__:
                raise WrongOptionsError(
                    f"{cls.__qualname__}.{name} would not be called: say it in MAILER_URL (which has ca_file and more)"
                )

    @property
    def mailer(self) -> Mailer:
        settings = getattr(self.mailman, "settings", None)
        if settings is not None and settings.url is not None and not self._is_given:
            return mailer_at(self.mailman, None, settings)
        config = {key: getattr(self, option) for option, key in SMTP_KEYS.items() if hasattr(self, option)}
        config["MAIL_AUTH_IN_CLEAR"] = getattr(self.mailman, "auth_in_clear", False)
        return mailer_at(self.mailman, MailKeys.of(config).url, settings)

    def open(self) -> bool | None:
        """Have a connection ready.

        Returns:
            Whether one was needed; None if it could not be had, with ``fail_silently``.

        Raises:
            MailerError: It cannot be had; also what the system or smtplib would raise.
        """
        if self.connection:
            return False
        backend = self.mailer.backend
        try:
            if isinstance(backend, SmtpBackend):
                drive(backend.connect())
        except MailerError as error:
            if self.fail_silently:
                return None
            raise as_smtplib(error) from error
        self.connection = Host(self.mailer)
        return True

    def close(self) -> None:
        """Let go of the connection, which is kept for whoever sends next."""
        self.connection = None

    def send_messages(self, email_messages: Iterable[Any]) -> int:
        """Send messages one after the other, over one connection. Each one's receipt stands on it afterwards.

        Args:
            email_messages: Read lazily, once; ours, or Flask-Mailman's own. Those for nobody are passed over.

        Returns:
            How many were accepted for at least one recipient.

        Raises:
            DeliveryError: Nobody accepted a message, unless ``fail_silently``; those behind it are not sent. Also an
                exception of smtplib's or the system's (:mod:`mailer.smtplib.delivery`).
            BadHeaderError: A message cannot be built, with the :class:`~mailer.MessageError` that says why.
        """
        if not email_messages:
            return 0
        return sum(map(bool, map(self._send, email_messages)))

    def _send(self, email_message: Any) -> bool:
        if not email_message.recipients():
            return False
        try:
            carry(email_message, self.mailer, self.mailman)
        except DeliveryError:
            if not self.fail_silently:
                raise
            return False
        return True


def carry(message: Any, mailer: Mailer, mailman: Any) -> None:
    """Send one message of Flask-Mailman's. As :func:`mailer.contrib.carrying.carry`."""

    def read() -> Message | tuple[bytes, Envelope]:
        fields = fields_of(message, made_in=_MADE_IN)
        if fields is None:
            recipients = mailboxes(message.recipients(), "to")
            return message.message().as_bytes(), Envelope(mailbox(message.from_email, "from_email"), recipients)
        if mailman.use_localtime:
            fields.setdefault("date", datetime.datetime.now(datetime.UTC).astimezone())
        if mailman.mail_options:
            fields["delivery"] = DeliveryOptions.from_esmtp(mailman.mail_options)
        return Message(**fields)

    carrying.carry(message, mailer, read, InvalidMessageError)
