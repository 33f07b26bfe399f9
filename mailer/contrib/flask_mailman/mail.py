"""Flask-Mailman's Mail: the extension, and the functions that Django has in ``django.core.mail``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from flask import current_app

from ..flask_keys import flag_of
from ..mailer_at import sender_in, settings_in
from .letter import EmailMessage, EmailMultiAlternatives
from .state import State

if TYPE_CHECKING:
    from types import ModuleType

    from flask import Flask

__all__ = ["Mail", "available_backends"]

#: The backends that have short names.
available_backends = ["console", "dummy", "file", "smtp", "locmem"]

_THEIRS, _OURS = "flask_mailman.backends", f"{__package__}.backends"
_CLASS = "EmailBackend"


class _MailMixin:
    """What the extension and an app's state both do."""

    EmailMessage = EmailMessage
    EmailMultiAlternatives = EmailMultiAlternatives

    def _get_backend_from_module(self, backend_module_name: str, backend_class_name: str) -> Any:
        module: ModuleType = import_module(backend_module_name)
        try:
            return getattr(module, backend_class_name)
        except AttributeError:
            raise ImportError(f"{backend_module_name} has no {backend_class_name}") from None

    def import_backend(self, backend_name: Any) -> Any:
        """The class of a backend.

        Args:
            backend_name: "smtp" or another short name; a module with an ``EmailBackend``; the path to a class; or a
                class. Flask-Mailman's own modules are ours.

        Raises:
            ImportError: There is none of this name.
        """
        if not isinstance(backend_name, str):
            return backend_name
        name = backend_name if "." in backend_name else f"{_OURS}.{backend_name}"
        if name.startswith(f"{_THEIRS}."):
            name = _OURS + name.removeprefix(_THEIRS)
        try:
            return self._get_backend_from_module(name, _CLASS)
        except ImportError:
            module, dot, cls = name.rpartition(".")
            if not dot or not cls[:1].isupper():
                raise
            return self._get_backend_from_module(module, cls)

    def _mailman(self) -> Any:
        raise NotImplementedError

    def get_connection(self, backend: Any = None, fail_silently: bool = False, **kwds: Any) -> Any:
        """A backend.

        Args:
            backend: As :meth:`import_backend` takes it; None takes ``MAIL_BACKEND``.
            fail_silently: Leave out messages that nobody accepted, rather than raise.
            kwds: Further arguments of its class.

        Raises:
            RuntimeError: There is no app with settings, or no such backend.
        """
        mailman = self._mailman()
        backend = mailman.backend if backend is None else backend
        try:
            kind = self.import_backend(backend)
        except ImportError as error:
            known = ", ".join(available_backends)
            raise RuntimeError(
                f"Unable to import backend: {backend}. The available built-in mail backends are: {known} ({error})"
            ) from error
        return kind(mailman=mailman, fail_silently=fail_silently, **kwds)

    def send_mail(
        self,
        subject: str,
        message: str,
        from_email: Any = None,
        recipient_list: Iterable[str] | None = None,
        fail_silently: bool = False,
        auth_user: str | None = None,
        auth_password: str | None = None,
        connection: Any = None,
        html_message: str | None = None,
    ) -> int:
        """Send one message to everybody in the list, who see each other.

        Returns:
            1 if anybody accepted it, else 0.
        """
        connection = connection or self.get_connection(
            username=auth_user, password=auth_password, fail_silently=fail_silently
        )
        mail = EmailMultiAlternatives(subject, message, from_email, recipient_list, connection=connection)
        if html_message:
            mail.attach_alternative(html_message, "text/html")
        return mail.send()

    def send_mass_mail(
        self,
        datatuple: Iterable[tuple[str, str, Any, Iterable[str]]],
        fail_silently: bool = False,
        auth_user: str | None = None,
        auth_password: str | None = None,
        connection: Any = None,
    ) -> int:
        """Send (subject, message, from_email, recipient_list) for each, over one connection.

        Returns:
            How many messages were accepted by anybody.
        """
        connection = connection or self.get_connection(
            username=auth_user, password=auth_password, fail_silently=fail_silently
        )
        messages = [
            EmailMessage(subject, message, sender, recipients, connection=connection)
            for subject, message, sender, recipients in datatuple
        ]
        return connection.send_messages(messages)  # type: ignore[no-any-return]  # of any backend


class _Mail(State, _MailMixin):
    """An app's settings, as ``app.extensions["mailman"]`` has them."""

    def _mailman(self) -> Any:
        return self


class Mail(_MailMixin):
    """The extension: ``Mail(app)``, or ``mail = Mail()`` and ``mail.init_app(app)`` for each app of a factory.

    Args:
        app: Served also outside of its application context.

    Attributes:
        state: The app's settings, whose attributes (``outbox``) are the extension's too.
    """

    def __init__(self, app: Flask | None = None) -> None:
        self.app = app
        self.state: _Mail | None = None if app is None else self.init_app(app)

    @staticmethod
    def init_mail(config: Mapping[str, Any], testing: bool = False) -> _Mail:
        """Settings of a config, for no app."""
        settings = settings_in(config)
        state = _Mail(
            config.get("MAIL_SERVER", "localhost"),
            config.get("MAIL_PORT", 25),
            config.get("MAIL_USERNAME"),
            config.get("MAIL_PASSWORD"),
            config.get("MAIL_USE_TLS", False),
            config.get("MAIL_USE_SSL", False),
            sender_in(config, settings),
            config.get("MAIL_TIMEOUT"),
            config.get("MAIL_SSL_KEYFILE"),
            config.get("MAIL_SSL_CERTFILE"),
            flag_of(config, "MAIL_USE_LOCALTIME"),
            config.get("MAIL_FILE_PATH"),
            config.get("MAIL_DEFAULT_CHARSET", "utf-8"),
            config.get("MAIL_SEND_OPTIONS", []),
            config.get("MAIL_BACKEND") or ("locmem" if testing else "smtp"),
        )
        state.auth_in_clear = config.get("MAIL_AUTH_IN_CLEAR", False)
        state.settings = settings
        return state

    def init_app(self, app: Flask) -> _Mail:
        """Read an app's config, as it is now. Opens no connection.

        Raises:
            ConfigError: A ``MAILER_`` key is wrong; the text names it.
        """
        state = self.init_mail(app.config, app.testing)
        app.extensions["mailman"] = state
        return state

    def _mailman(self) -> Any:
        app = self.app or current_app
        try:
            return app.extensions["mailman"]
        except KeyError:
            raise RuntimeError(
                f"The current application was not configured with Flask-Mailman: call mail.init_app({app.name})"
            ) from None

    def __getattr__(self, name: str) -> Any:
        """A setting of the app given at the start; None without one."""
        if name.startswith("_") or name in ("app", "state"):  # not set yet: it is being copied
            raise AttributeError(name)
        return getattr(self.state, name, None)
