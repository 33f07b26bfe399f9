"""The mailers of this process: one for each way in which Django's settings say one.

Where a mailer's settings stand, what is said first counting most:

1. the options: of ``MAILERS`` (Django 6.1), or keyword arguments of ``get_connection``
2. ``MAILER = {...}``, as :func:`mailer.configure` takes it (``url``, ``from``, ``plugins``, ``templates``,
   ``mailers``, sections by ``MAILER_ENV``), and ``MAILER_URL``, short for its ``url``
3. the environment, ``.env`` and ``mailer.toml``; not read where the options or ``MAILER_URL`` say a URL and no more
4. for the URL alone, without ``MAILERS``: ``EMAIL_HOST``, ``EMAIL_PORT`` ... as Django's own backend reads them

A mailer lives as long as the process (or the test that overrides its settings) and is shared by all threads; a fork has
its own connections.
"""

from __future__ import annotations

import atexit
import functools
import os
from collections.abc import Callable, Hashable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import django
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from ...errors import ConfigError
from ...mailer import Mailer
from ...redaction import forgets_arguments
from ...smtp_options import SMTP_OPTIONS, SmtpOptions
from ...sources import ENV_FILE, PREFIX, TOML_FILE
from .table import project_table, with_engine

try:
    from django.core.mail import InvalidMailer as _InvalidMailer
except ImportError:  # before Django 6.1
    _InvalidMailer = ImproperlyConfigured

if TYPE_CHECKING:
    from ...settings import Settings
    from .backend import EmailBackend

__all__ = [
    "EMAIL_SETTINGS",
    "OPTIONS",
    "InvalidMailerError",
    "backends_named",
    "email_settings",
    "get_mailer",
    "has_mailers",
    "mailer_names",
    "mailer_of",
    "on_made",
    "own_backend",
]

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

_DEFAULT = "default"
_OWN_BACKEND = f"{__package__}.EmailBackend"
_LOCMEM = "django.core.mail.backends.locmem.EmailBackend"
_CAN_HAVE_MAILERS = django.VERSION >= (6, 1)


class InvalidMailerError(ConfigError, _InvalidMailer, ValueError):  # type: ignore[misc]
    """A mailer's settings are wrong. Django's ``ImproperlyConfigured``, from 6.1 on ``InvalidMailer``, and ours."""

    def __init__(self, text: str, *, alias: str | None = None) -> None:
        super().__init__(text if alias is None else f"MAILERS[{alias!r}]: {text}")


class _Made:
    """A mailer, and whether it was made while settings were overridden."""

    __slots__ = ("is_passing", "mailer", "name")

    def __init__(self, name: str, mailer: Mailer) -> None:
        self.name, self.mailer, self.is_passing = name, mailer, _depth > 0


_mailers: dict[Hashable, _Made] = {}
_callbacks: list[Callable[[str, Mailer], None]] = []
_depth = 0  # how many of our settings are overridden now


# --- public -----------------------------------------------------------------------------------------------------------


def get_mailer(name: str = _DEFAULT) -> Mailer:
    """The mailer that Django's settings say under this name: the one that ``EmailBackend`` sends by.

    Args:
        name: An alias of ``MAILERS``, or a mailer of ``MAILER["mailers"]``.

    Raises:
        ConfigError: There is no such mailer, or its settings are wrong.
    """
    if has_mailers():
        config = settings.MAILERS.get(name)
        if config is None:
            raise InvalidMailerError(f"there is no mailer {name!r} in MAILERS; there are: {_listed(settings.MAILERS)}")
        backend, options = config.get("BACKEND", ""), config.get("OPTIONS", {})
    else:
        backend, options = _django_settings().EMAIL_BACKEND, {}
    if backend == _LOCMEM:  # Django's test runner put it there: no mail is to leave
        return _kept(("locmem", name), name, None, lambda: Mailer("memory:"))
    own = own_backend(backend)
    if has_mailers() and own is None:
        raise InvalidMailerError(f"its BACKEND is {backend or 'not given'}, not {_OWN_BACKEND}", alias=name)
    options = {key: value for key, value in options.items() if key in OPTIONS and value is not None}
    return mailer_of(name, options if own is None else own.options_of(options), is_alias=has_mailers())


def mailer_names() -> tuple[str, ...]:
    """The names that :func:`get_mailer` takes.

    Raises:
        ConfigError: The settings are wrong.
    """
    if has_mailers():
        return tuple(alias for alias, config in settings.MAILERS.items() if own_backend(config.get("BACKEND", "")))
    from ...settings import Settings

    return tuple(dict.fromkeys((_DEFAULT, *Settings(project_table()).names)))


def backends_named() -> tuple[tuple[str, str], ...]:
    """Where the project names a backend for Django, and which."""
    if has_mailers():
        return tuple((f"MAILERS[{alias!r}]", config.get("BACKEND", "")) for alias, config in settings.MAILERS.items())
    return (("EMAIL_BACKEND", _django_settings().EMAIL_BACKEND),)


def own_backend(path: str) -> type[EmailBackend] | None:
    """The backend of this dotted path, if it is :class:`EmailBackend` or made of it."""
    from .backend import EmailBackend

    try:
        found = import_string(path)
    except ImportError:
        return None
    return found if isinstance(found, type) and issubclass(found, EmailBackend) else None


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names)) or "none"


def on_made(callback: Callable[[str, Mailer], None]) -> None:
    """Call this with name and mailer for each mailer of Django's settings: those there are now, and every later one."""
    _callbacks.append(callback)
    for made in list(_mailers.values()):
        callback(made.name, made.mailer)


# --- from settings to a mailer ----------------------------------------------------------------------------------------


def has_mailers() -> bool:
    """Whether the project has ``MAILERS``, and so no ``EMAIL_`` setting is to be read."""
    return _CAN_HAVE_MAILERS and hasattr(settings, "MAILERS")


@forgets_arguments
def mailer_of(name: str, options: Mapping[str, Any], *, is_alias: bool) -> Mailer:
    """The mailer of these options over the settings.

    Args:
        name: Which mailer of the settings the options are laid over.
        options: Some of OPTIONS, none of them None.
        is_alias: They are those of ``MAILERS``: no ``EMAIL_`` setting is read.

    Raises:
        InvalidMailerError: There is no URL anywhere, or something is wrong; the text names what, and shows no secret.
    """
    own = {key: value for key, value in options.items() if key not in SMTP_OPTIONS}
    smtp = {key: value for key, value in options.items() if key in SMTP_OPTIONS}
    table, short = getattr(settings, "MAILER", None), getattr(settings, "MAILER_URL", None)
    alias = name if is_alias else None
    if "host" in smtp and not own and not table:
        return _kept(("smtp", _frozen(smtp)), name, alias, lambda: Mailer(SmtpOptions.of(smtp).url))
    if own.keys() == {"url"} and not smtp and not table:
        return _kept(("url", own["url"]), name, alias, lambda: _of_url(own["url"], "url"))
    if short and not (options or table) and (is_alias or name == _DEFAULT):
        return _kept(("url", short), name, alias, lambda: _of_url(short, "MAILER_URL"))
    email = {} if is_alias or has_mailers() else email_settings()
    said = _Said(name, own, smtp, table, short, email, _environment())
    return _kept((is_alias, said.key), name, alias, said.mailer)


def _of_url(url: Any, origin: str) -> Mailer:
    try:
        return Mailer(url)
    except ConfigError as error:
        raise ConfigError(f"{origin}: {error}") from error


class _Said:
    """What all places say, where that is more than one URL."""

    __slots__ = ("email", "environment", "name", "own", "short", "smtp", "table")

    def __init__(
        self,
        name: str,
        own: dict[str, Any],
        smtp: dict[str, Any],
        table: Any,
        short: Any,
        email: dict[str, Any],
        environment: Hashable,
    ) -> None:
        self.name, self.own, self.smtp, self.table, self.short = name, own, smtp, table, short
        self.email, self.environment = email, environment

    @property
    def key(self) -> Hashable:
        """The same for two that make the same mailer."""
        values = (self.own, self.smtp, self.table, self.email)
        return (self.name, self.short, self.environment, *map(_frozen, values))

    def mailer(self) -> Mailer:
        """Make the mailer. Raises ConfigError."""
        own = self._own()
        if not (own or self.table or self.short or self.environment) and (not self.email or self.name == _DEFAULT):
            return Mailer(self._email_url())
        read, name = self._read(own)
        chosen = read.of(name, needs_url=False)
        if chosen.url is None:
            return Mailer(self._email_url(), settings=read, name=name)
        if self.smtp and "host" not in self.smtp:
            raise ConfigError(f"{', '.join(self.smtp)} cannot stand beside a URL, which has server and login in it")
        return Mailer(settings=read, name=name)

    def _own(self) -> dict[str, Any]:
        """The options as a mailer's settings."""
        if "host" not in self.smtp:
            return self.own
        if "url" in self.own:
            raise ConfigError("'url' and 'host' say the same: leave one of them out")
        return {**self.own, "url": SmtpOptions.of(self.smtp).url}

    def _email_url(self) -> str:
        """The server of the ``EMAIL_`` settings and the options."""
        if not self.email:
            raise ConfigError(_NO_HOST)
        called = {option: setting for option, setting in EMAIL_SETTINGS.items() if option not in self.smtp}
        return SmtpOptions.of(self.email | self.smtp, called=called).url

    def _read(self, own: dict[str, Any]) -> tuple[Settings, str]:
        """The settings, and what the mailer is called in them."""
        from ...settings import Settings

        table, own = project_table(), with_engine(own)
        is_named = self.name != _DEFAULT and self.table
        try:
            read = Settings(table, **({"mailers": {self.name: own}} if is_named and own else own))
        except ConfigError as error:
            raise ConfigError(f"MAILER: {error}" if self.table else str(error)) from None
        # An alias of MAILERS need not stand in MAILER too: then it is as the default one there.
        is_known = self.name.lower() in read.mailers or not (own or not self.email)
        return read, self.name if is_known else _DEFAULT


def _kept(key: Hashable, name: str, alias: str | None, make: Callable[[], Mailer]) -> Mailer:
    made = _mailers.get(key)
    if made is None:
        try:
            mailer = make()
        except ConfigError as error:
            raise InvalidMailerError(str(error), alias=alias) from error
        # One of two threads that come first may make one in vain: it has no connection yet. No lock, so none to be held
        # at a fork.
        made = _mailers.setdefault(key, _Made(name, mailer))
        if made.mailer is mailer:
            for callback in _callbacks:
                callback(name, mailer)
    return made.mailer


_NO_HOST = (
    "OPTIONS must define 'host'. (Or 'url', as settings MAILER or MAILER_URL may, or MAILER_URL in the environment.)"
)


def _django_settings() -> Any:
    """Django's settings, to read the EMAIL_ ones as its own backends may: past the warning, which was given once."""
    if not _CAN_HAVE_MAILERS:
        return settings
    if not settings.configured:
        settings._setup()
    return settings._wrapped


def email_settings() -> dict[str, Any]:
    holder = _django_settings()
    return {option: getattr(holder, name) for option, name in EMAIL_SETTINGS.items()}


def _environment() -> Hashable:
    """What else says something of mailers, for a key; () if nothing does."""
    found: list[Hashable] = [(name, os.environ[name]) for name in os.environ if name.startswith("MAILER_")]
    for name in (ENV_FILE, TOML_FILE):
        try:
            stat = os.stat(name)
        except OSError:
            continue
        state = (name, stat.st_ino, stat.st_mtime_ns, stat.st_size)
        if name == TOML_FILE or _mentions_us(state):
            found.append(state)
    return tuple(found)


@functools.lru_cache(maxsize=8)
def _mentions_us(state: tuple[str, int, int, int]) -> bool:
    """Whether a ``.env`` file, which most projects have, says anything of ours."""
    try:
        return PREFIX.encode() in Path(state[0]).read_bytes()
    except OSError:
        return True  # reading the settings will tell


def _frozen(value: Any) -> Hashable:
    """The value for a key: what is no plain data is known by its identity."""
    if isinstance(value, Mapping):
        return tuple((key, _frozen(value[key])) for key in sorted(value, key=str))
    if isinstance(value, (list, tuple)):
        return tuple(_frozen(item) for item in value)
    return (type(value), value) if isinstance(value, (str, int, float, type(None))) else _Same(value)


class _Same:
    """An object by its identity; keeps it, so that no other takes its place."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)


# --- their end --------------------------------------------------------------------------------------------------------


def _on_setting_changed(*, setting: str, enter: bool, **_: Any) -> None:
    """A test overrides settings: what is made meanwhile ends with it."""
    global _depth
    if setting not in _OURS:
        return
    _depth = max(0, _depth + (1 if enter else -1))
    if _depth == 0:
        for key, made in list(_mailers.items()):
            if made.is_passing:
                del _mailers[key]
                made.mailer.close()


_OURS = {"MAILER", "MAILER_URL", "MAILERS", "EMAIL_BACKEND", *EMAIL_SETTINGS.values()}
setting_changed.connect(_on_setting_changed, dispatch_uid=f"{__package__}.mailers")


@atexit.register
def _close() -> None:
    for made in list(_mailers.values()):
        made.mailer.close()
