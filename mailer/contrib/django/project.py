"""What the settings of the Django project say of mail, as they stand there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import django
from django.conf import settings
from django.utils.module_loading import import_string

from ...errors import ConfigError
from ...smtp_options import SMTP_OPTIONS

if TYPE_CHECKING:
    from .backend import EmailBackend

__all__ = [
    "CAN_HAVE_MAILERS",
    "DEFAULT",
    "EMAIL_SETTINGS",
    "LOCMEM",
    "OPTIONS",
    "backend_and_options",
    "backends_named",
    "default_from",
    "email_file_path",
    "email_settings",
    "has_mailers",
    "mailer_names",
    "own_backend",
    "project_says",
    "project_table",
    "with_engine",
]

DEFAULT = "default"
#: What Django's test runner puts in the place of every backend.
LOCMEM = "django.core.mail.backends.locmem.EmailBackend"
CAN_HAVE_MAILERS = django.VERSION >= (6, 1)
#: SMTP option to the setting of Django's that says it, until ``MAILERS``.
EMAIL_SETTINGS = {
    "host": "EMAIL_HOST",
    "port": "EMAIL_PORT",
    "username": "EMAIL_HOST_USER",
    "password": "EMAIL_HOST_PASSWORD",
    "use_tls": "EMAIL_USE_TLS",
    "use_ssl": "EMAIL_USE_SSL",
    "timeout": "EMAIL_TIMEOUT",
    "ssl_keyfile": "EMAIL_SSL_KEYFILE",
    "ssl_certfile": "EMAIL_SSL_CERTFILE",
}
#: What ``OPTIONS`` and keyword arguments may say: a mailer's settings, or Django's names for an SMTP server.
OPTIONS = (  # those of MailerSettings, which takes half a second to load
    "url",
    "from",
    "from_",
    "unsupported",
    "templates",
    "retry",
    "oauth2",
    "plugins",
    "plugin_folder",
    "on_plugin_error",
    "trace_hooks",
    *SMTP_OPTIONS,
)


def has_mailers() -> bool:
    """Whether the project has ``MAILERS``, and so no ``EMAIL_`` setting is to be read."""
    return CAN_HAVE_MAILERS and hasattr(settings, "MAILERS")


def backend_and_options(name: str) -> tuple[str, Mapping[str, Any]] | None:
    """The backend that Django has under this name, and its options; None if there is no such alias."""
    if not has_mailers():
        return _django_settings().EMAIL_BACKEND, {}
    config = _entries().get(name)
    return None if config is None else (config.get("BACKEND", ""), config.get("OPTIONS") or {})


def mailer_names() -> tuple[str, ...]:
    """The names that :func:`get_mailer` takes.

    Raises:
        ConfigError: The settings are wrong.
    """
    if has_mailers():
        return tuple(alias for alias, path in _aliases() if path == LOCMEM or own_backend(path))
    from ...settings import Settings

    return tuple(dict.fromkeys((DEFAULT, *Settings(project_table()).names)))


def _aliases() -> list[tuple[str, str]]:
    return [(alias, config.get("BACKEND", "")) for alias, config in _entries().items()]


def _entries() -> dict[str, Mapping[str, Any]]:
    """``MAILERS``; what is no table in it says nothing, for the checks to tell that nothing sends."""
    table = settings.MAILERS
    entries = table.items() if isinstance(table, Mapping) else ()
    return {alias: entry if isinstance(entry, Mapping) else {} for alias, entry in entries}


def backends_named() -> tuple[tuple[str, str], ...]:
    """Where the project names a backend for Django, and which."""
    if has_mailers():
        return tuple((f"MAILERS[{alias!r}]", path) for alias, path in _aliases())
    return (("EMAIL_BACKEND", _django_settings().EMAIL_BACKEND),)


def own_backend(path: str) -> type[EmailBackend] | None:
    """The backend of this dotted path, if it is :class:`EmailBackend` or made of it."""
    from .backend import EmailBackend

    try:
        found = import_string(path)
    except ImportError:
        return None
    return found if isinstance(found, type) and issubclass(found, EmailBackend) else None


def project_table() -> dict[str, Any]:
    """``MAILER`` with ``MAILER_URL``: a mapping for :class:`~mailer.Settings`.

    Raises:
        ConfigError: Both say the URL, or ``MAILER`` is no mapping.
    """
    given, short = getattr(settings, "MAILER", None) or {}, getattr(settings, "MAILER_URL", None)
    if not isinstance(given, Mapping):
        raise ConfigError(f"MAILER must be a mapping, not {type(given).__name__}: a URL alone is MAILER_URL")
    table = dict(given)
    if short:
        if "url" in table:
            raise ConfigError("MAILER_URL and MAILER['url'] say the same: leave one of them out")
        table["url"] = short
    return with_engine(table)


def with_engine(table: dict[str, Any]) -> dict[str, Any]:
    """The table with Django's own engine for ``templates``, where it says "django"; in sections and mailers too."""
    made = dict(table)
    for name, value in table.items():
        if name == "templates" and value == "django":
            from .engine import DjangoTemplates

            made[name] = DjangoTemplates()
        elif isinstance(value, Mapping) and name not in ("plugins", "retry", "oauth2"):
            made[name] = with_engine(dict(value))
    return made


def _django_settings() -> Any:
    """Django's settings without their wrapping: as its own backends read the deprecated ones, without a word."""
    if not settings.configured:
        settings._setup()
    return settings._wrapped


def default_from() -> str:
    """``DEFAULT_FROM_EMAIL``."""
    return str(_django_settings().DEFAULT_FROM_EMAIL)


def email_settings() -> dict[str, Any]:
    """What the ``EMAIL_`` settings say, by option."""
    holder = _django_settings()
    return {option: getattr(holder, name) for option, name in EMAIL_SETTINGS.items()}


def email_file_path() -> Any:
    """``EMAIL_FILE_PATH``."""
    return getattr(_django_settings(), "EMAIL_FILE_PATH", None)


def project_says(*, is_alias: bool) -> tuple[Any, Any, dict[str, Any]]:
    """``MAILER``, ``MAILER_URL``, and what the ``EMAIL_`` settings say: nothing where there is ``MAILERS``."""
    holder = _django_settings()
    table, short = getattr(holder, "MAILER", None), getattr(holder, "MAILER_URL", None)
    if is_alias or (CAN_HAVE_MAILERS and hasattr(holder, "MAILERS")):
        return table, short, {}
    return table, short, email_settings()
