"""Flask-Mail's Mail and Connection, on a :class:`~mailer.Mailer`."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import blinker
from flask import current_app

from ...envelope import Envelope
from ...errors import MessageError
from ...message import Message as OurMessage
from ..carrying import carry
from ..flask_keys import flag_of
from ..mailer_at import sender_in, settings_in
from ..smtplib_host import Host
from .fields import envelope_of, fields_of
from .message import Message
from .state import State
from .text import BadHeaderError, InvalidMessageError, sanitize_address, sanitize_addresses

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from flask import Flask

    from ...mailer import Mailer

__all__ = ["Connection", "Mail", "email_dispatched", "signals"]

_log = logging.getLogger(__name__)

signals = blinker.Namespace()
email_dispatched = signals.signal(
    "email-dispatched",
    doc="A message was sent, or would have been, were it not suppressed: receivers get the app, and ``message``.",
)


class IncompleteMessageError(MessageError, AssertionError):
    """The message has no recipients, or no sender."""


class Connection:
    """Sends messages over one connection.

    Attributes:
        mail: The app's settings.
        host: What sends; None while mail is suppressed, or outside of ``with``.
        num_emails: How many were sent, counted anew after each ``MAIL_MAX_EMAILS``.
    """

    #: Whose context is made where there is none.
    _app: Flask | None = None

    def __init__(self, mail: State) -> None:
        self.mail = mail
        self.host: Any = None
        self.num_emails = 0

    def __enter__(self) -> Self:
        self.host = None if self.mail.suppress else self.configure_host()
        self.num_emails = 0
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_value: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self.host is not None:
            self.host.quit()

    def configure_host(self) -> Any:
        """What to send by. One that a subclass gives is used by its ``sendmail`` and ``quit``, as smtplib's."""
        return Host(self.mail.mailer)

    def send(self, message: Message, envelope_from: Any = None) -> None:
        """Send one message; its receipt stands on it afterwards, as ``mailer_receipt``.

        Args:
            message: Ours, or Flask-Mail's own.
            envelope_from: Whom notices of its delivery go to; None: the sender.

        Raises:
            AssertionError: It has no recipients, or no sender.
            BadHeaderError: A header holds a line break, or something else about it cannot be sent; with the
                :class:`~mailer.MessageError` that says what.
            DeliveryError: Nobody accepted it; also an exception of smtplib's, or the system's, as Flask-Mail lets
                them through (:mod:`mailer.smtplib.delivery`).
        """
        with self._app.app_context() if self._app is not None and not current_app else nullcontext():
            self._send(message, envelope_from)

    def _send(self, message: Message, envelope_from: Any) -> None:
        if not message.send_to:
            raise IncompleteMessageError("No recipients have been added", field="recipients")
        if not message.sender:
            raise IncompleteMessageError(
                "The message does not specify a sender and a default sender has not been configured"
                " (MAIL_DEFAULT_SENDER)",
                field="sender",
            )
        if message.has_bad_headers():
            raise BadHeaderError("a header holds a line break that does not fold it")
        if message.date is None:
            message.date = time.time()
        if self.host is None and self.mail.suppress:
            self._rehearse(message, envelope_from)
        elif self.host is None or isinstance(self.host, Host):
            self._carry(message, envelope_from, self.mail.mailer if self.host is None else self.host.mailer)
        else:
            self.host.sendmail(
                sanitize_address(envelope_from or message.sender),
                sanitize_addresses(message.send_to),
                message.as_bytes(),
                message.mail_options,
                message.rcpt_options,
            )
        email_dispatched.send(current_app._get_current_object() if current_app else None, message=message)  # type: ignore[attr-defined]
        self._count()

    def send_message(self, *args: Any, **kwargs: Any) -> None:
        """Send a message of these arguments (:class:`Message`)."""
        self.send(Message(*args, **kwargs))

    def _rehearse(self, message: Message, envelope_from: Any) -> None:
        """Do all but send. What could not be sent is no error here, as it is none in Flask-Mail; it is logged."""
        try:
            self._carry(message, envelope_from, self.mail.mailer)
        except BadHeaderError as error:
            _log.warning("a suppressed message could not be sent otherwise: %s", error)

    def _carry(self, message: Message, envelope_from: Any, mailer: Mailer) -> None:
        def read() -> OurMessage | tuple[bytes, Envelope]:
            fields = fields_of(message, envelope_from, ascii_names=bool(self.mail.ascii_attachments))
            if fields is None:
                return message.as_bytes(), envelope_of(message, envelope_from)
            return OurMessage(**fields)

        carry(message, mailer, read, InvalidMessageError)

    def _count(self) -> None:
        self.num_emails += 1
        if self.num_emails == self.mail.max_emails:
            self.num_emails = 0
            if self.host is not None and not isinstance(self.host, Host):  # ours counts by itself: max_messages
                self.host.quit()
                self.host = self.configure_host()


class _MailMixin:
    """What the extension and an app's state both do."""

    @contextmanager
    def record_messages(self) -> Iterator[list[Message]]:
        """The messages that are sent meanwhile, by whichever app, as a list::

        with mail.record_messages() as outbox:
            client.post("/orders")
            assert outbox[0].subject == "Your order"
        """
        outbox: list[Message] = []

        def record(app: Flask, message: Message) -> None:
            outbox.append(message)

        with email_dispatched.connected_to(record):
            yield outbox

    def connect(self) -> Connection:
        """A connection, to be used by ``with``.

        Raises:
            RuntimeError: There is no app, or it has no settings.
        """
        raise NotImplementedError

    def send(self, message: Message) -> None:
        """Send one message. As :meth:`Connection.send`."""
        with self.connect() as connection:
            message.send(connection)

    def send_message(self, *args: Any, **kwargs: Any) -> None:
        """Send a message of these arguments (:class:`Message`)."""
        self.send(Message(*args, **kwargs))


class _Mail(State, _MailMixin):
    """An app's settings, as ``app.extensions["mail"]`` has them."""

    def connect(self) -> Connection:
        return Connection(self)


class Mail(_MailMixin):
    """The extension: ``Mail(app)``, or ``mail = Mail()`` and ``mail.init_app(app)`` for each app of a factory.

    Args:
        app: Served also outside of its application context.

    Attributes:
        state: The app's settings, with its ``mailer``; whose attributes are the extension's too.
    """

    def __init__(self, app: Flask | None = None) -> None:
        self.app = app
        self.state: _Mail | None = None if app is None else self.init_app(app)

    def init_mail(self, config: Mapping[str, Any], debug: bool | int = False, testing: bool = False) -> _Mail:
        """Settings of a config, for no app."""
        settings = settings_in(config)
        state = _Mail(
            config.get("MAIL_SERVER", "127.0.0.1"),
            config.get("MAIL_USERNAME"),
            config.get("MAIL_PASSWORD"),
            config.get("MAIL_PORT", 25),
            config.get("MAIL_USE_TLS", False),
            config.get("MAIL_USE_SSL", False),
            sender_in(config, settings),
            _level(config, debug),
            config.get("MAIL_MAX_EMAILS"),
            _flag(config, "MAIL_SUPPRESS_SEND", testing),
            _flag(config, "MAIL_ASCII_ATTACHMENTS", False),
        )
        state.auth_in_clear = config.get("MAIL_AUTH_IN_CLEAR", False)
        state.settings = settings
        return state

    def init_app(self, app: Flask) -> _Mail:
        """Read an app's config, as it is now. Opens no connection.

        Raises:
            ConfigError: A setting is wrong, unless mail is suppressed; the text names its key.
        """
        state = self.init_mail(app.config, app.debug, app.testing)
        if not state.suppress:
            _ = state.mailer
        app.extensions["mail"] = state
        return state

    def connect(self) -> Connection:
        app = self.app or current_app
        try:
            connection = Connection(app.extensions["mail"])
        except KeyError:
            raise RuntimeError(
                f"The current application was not configured with Flask-Mail: call mail.init_app({app.name})"
            ) from None
        connection._app = self.app
        return connection

    def __getattr__(self, name: str) -> Any:
        """A setting of the app given at the start; None without one."""
        if name.startswith("_") or name in ("app", "state"):  # not set yet: it is being copied
            raise AttributeError(name)
        return getattr(self.state, name, None)


def _flag(config: Mapping[str, Any], key: str, default: bool) -> Any:
    """As it stands there; words, as the environment gives them, are read."""
    value = config.get(key, default)
    return flag_of(config, key) if isinstance(value, str) else value


def _level(config: Mapping[str, Any], debug: bool | int) -> int:
    """A figure for smtplib's ``set_debuglevel``."""
    value = config.get("MAIL_DEBUG", debug)
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    return int(flag_of(config, "MAIL_DEBUG") if isinstance(value, str) else value or 0)
