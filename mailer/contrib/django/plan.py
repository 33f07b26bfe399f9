"""How a mailer is made of what Django's settings say, and by what it is known again."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ...errors import AddressError, ConfigError
from ...redaction import forgets_arguments
from ...smtp_options import SMTP_OPTIONS, SmtpOptions
from ...sources import ENV_FILE, PREFIX, TOML_FILE
from .message import address_of
from .project import DEFAULT, EMAIL_SETTINGS, default_from, project_says, project_table, with_engine

if TYPE_CHECKING:
    from ...mailer import AsyncMailer, Mailer
    from ...settings import Settings

__all__ = ["Plan", "plan_of"]

_PREFIX = PREFIX.encode()
_PLAIN = frozenset({str, int, float, bool, type(None)})

M = TypeVar("M", "Mailer", "AsyncMailer")


class Plan:
    """A mailer to be made. Its From is ``DEFAULT_FROM_EMAIL``, where nothing says another.

    Attributes:
        key: The same for two that make the same mailer.
    """

    __slots__ = ("key", "_from", "_make")

    def __init__(self, key: Hashable, make: Callable[[Any], Any]) -> None:
        self._from = default_from()
        self.key, self._make = (self._from, key), make

    def made(self, face: type[M]) -> M:
        """Make it.

        Raises:
            ConfigError: There is no URL anywhere, or something is wrong; the text names what, and shows no secret.
        """
        made: M = self._make(functools.partial(_faced, face, self._from))
        return made


def _faced(face: Callable[..., Any], default: str, *url: Any, **given: Any) -> Any:
    """Call ``face``, with this From if it is a mailbox and the settings given have none."""
    settings = given.get("settings")
    if "from_" not in given and (settings is None or not settings.of(given["name"], needs_url=False).from_):
        with contextlib.suppress(AddressError):  # Django takes any text: who never uses it is not to be stopped
            given["from_"] = address_of(default, "DEFAULT_FROM_EMAIL")
    return face(*url, **given)


@forgets_arguments
def plan_of(
    name: str, options: Mapping[str, Any], *, is_alias: bool, project: tuple[Any, Any, dict[str, Any]] | None = None
) -> Plan:
    """The mailer of these options over the settings.

    Args:
        name: Which mailer of the settings the options are laid over.
        options: Some of OPTIONS, none of them None.
        is_alias: They are those of ``MAILERS``: no ``EMAIL_`` setting is read.
        project: What :func:`~.project.project_says`, where that is known.
    """
    own = {key: value for key, value in options.items() if key not in SMTP_OPTIONS}
    smtp = {key: value for key, value in options.items() if key in SMTP_OPTIONS}
    table, short, email = project or project_says(is_alias=is_alias)
    if "host" in smtp and not own and not table:
        return Plan(("smtp", _frozen(smtp)), lambda face: face(SmtpOptions.of(smtp).url))
    if own.keys() == {"url"} and not smtp and not table:
        return Plan(("url", own["url"]), lambda face: _of_url(face, own["url"], "url"))
    if short and not (options or table) and (is_alias or name == DEFAULT):
        return Plan(("url", short), lambda face: _of_url(face, short, "MAILER_URL"))
    said = _Said(name, own, smtp, table, short, email, _environment())
    return Plan((is_alias, said.key), said.mailer)


def _of_url(face: Callable[..., Any], url: Any, origin: str) -> Any:
    try:
        return face(url)
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

    def mailer(self, face: Callable[..., Any]) -> Any:
        """Make the mailer. Raises ConfigError."""
        own = self._own()
        if not (own or self.table or self.short or self.environment) and (not self.email or self.name == DEFAULT):
            return face(self._email_url())
        read, name = self._read(own)
        chosen = read.of(name, needs_url=False)
        if chosen.url is None:
            return face(self._email_url(), settings=read, name=name)
        if self.smtp and "host" not in self.smtp:
            raise ConfigError(f"{', '.join(self.smtp)} cannot stand beside a URL, which has server and login in it")
        return face(settings=read, name=name)

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
        is_named = self.name != DEFAULT and self.table
        try:
            read = Settings(table, **({"mailers": {self.name: own}} if is_named and own else own))
        except ConfigError as error:
            raise ConfigError(f"MAILER: {error}" if self.table else str(error)) from None
        # An alias of MAILERS need not stand in MAILER too: then it is as the default one there.
        is_known = self.name.lower() in read.mailers or not (own or not self.email)
        return read, self.name if is_known else DEFAULT


_NO_HOST = (
    "OPTIONS must define 'host'. (Or 'url', as settings MAILER or MAILER_URL may, or MAILER_URL in the environment.)"
)


def _environment() -> Hashable:
    """What else says something of mailers, for a key; () if nothing does."""
    found: list[Hashable] = [(name, os.environ[name]) for name in _variables()]
    for name in (ENV_FILE, TOML_FILE):
        try:
            stat = os.stat(name)
        except OSError:
            continue
        state = (name, stat.st_ino, stat.st_mtime_ns, stat.st_size)
        if name == TOML_FILE or _mentions_us(state):
            found.append(state)
    return tuple(found)


def _variables() -> list[str]:
    """Those of ours; in bytes where the system has them so, for this is asked at each ``send_mail``."""
    if os.supports_bytes_environ:
        return [os.fsdecode(name) for name in os.environb if name.startswith(_PREFIX)]
    return [name for name in os.environ if name.startswith(PREFIX)]


@functools.lru_cache(maxsize=8)
def _mentions_us(state: tuple[str, int, int, int]) -> bool:
    """Whether a ``.env`` file, which most projects have, says anything of ours."""
    try:
        return _PREFIX in Path(state[0]).read_bytes()
    except OSError:
        return True  # reading the settings will tell


def _frozen(value: Any) -> Hashable:
    """The value for a key: what is no plain data is known by its identity."""
    if type(value) in _PLAIN:
        return (type(value), value)
    if isinstance(value, Mapping):
        return tuple([(key, _frozen(value[key])) for key in sorted(value, key=str)])
    if isinstance(value, (list, tuple)):
        return tuple([_frozen(item) for item in value])
    return (type(value), value) if isinstance(value, (str, int, float)) else _Same(value)


class _Same:
    """An object by its identity; keeps it, so that no other takes its place."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)
