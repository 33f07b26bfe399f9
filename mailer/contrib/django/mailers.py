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
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from ...errors import ConfigError
from ...redaction import forgets_arguments
from ...sources import nearest
from .plan import M, Plan, plan_of
from .project import DEFAULT, EMAIL_SETTINGS, LOCMEM, OPTIONS, backend_and_options, has_mailers, own_backend

if TYPE_CHECKING:
    from ...mailer import Mailer

try:
    from django.core.mail import InvalidMailer as _InvalidMailer
except ImportError:  # before Django 6.1
    _InvalidMailer = ImproperlyConfigured

__all__ = ["InvalidMailerError", "get_mailer", "made", "mailer_of", "named_plan", "on_made"]

_OWN_BACKEND = f"{__package__}.EmailBackend"


class InvalidMailerError(ConfigError, _InvalidMailer, ValueError):
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


def get_mailer(name: str = DEFAULT) -> Mailer:
    """The mailer that Django's settings say under this name: the one that ``EmailBackend`` sends by.

    Args:
        name: An alias of ``MAILERS``, or a mailer of ``MAILER["mailers"]``.

    Raises:
        ConfigError: There is no such mailer, or its settings are wrong.
    """
    return _kept(named_plan(name), name, _alias(name))


def named_plan(name: str) -> Plan:
    """How :func:`get_mailer` makes its mailer. Raises ConfigError if there is none of this name."""
    found = backend_and_options(name)
    if found is None:
        raise InvalidMailerError(f"there is no mailer {name!r} in MAILERS; there are: {_listed(settings.MAILERS)}")
    backend, options = found
    if backend == LOCMEM:  # Django's test runner put it there: no mail is to leave
        plan = plan_of(name, {"url": "memory:"}, is_alias=has_mailers())
        return Plan(("locmem", name, plan.key), plan.made)
    own = own_backend(backend)
    if has_mailers() and own is None:
        raise InvalidMailerError(f"its BACKEND is {backend or 'not given'}, not {_OWN_BACKEND}", alias=name)
    taken = OPTIONS if own is None else (*OPTIONS, *own.own_options)
    for key in options:  # a subclass, or a backend of another's, may take more
        if own is not None and own.__module__ == f"{__package__}.backend" and key not in (*taken, "fail_silently"):
            raise InvalidMailerError(f"there is no option {key!r}; {nearest(key, OPTIONS)}", alias=name)
    options = {key: value for key, value in options.items() if key in taken and value is not None}
    return plan_of(name, options if own is None else own.options_of(options), is_alias=has_mailers())


def _alias(name: str) -> str | None:
    return name if has_mailers() else None


def _listed(names: Iterable[str] | None) -> str:
    return ", ".join(map(repr, names or ())) or "none"


def on_made(callback: Callable[[str, Mailer], None]) -> None:
    """Call this with name and mailer for each mailer of Django's settings: those there are now, and every later one."""
    _callbacks.append(callback)
    for made in list(_mailers.values()):
        callback(made.name, made.mailer)


# --- the mailers ------------------------------------------------------------------------------------------------------


@forgets_arguments
def mailer_of(
    name: str, options: Mapping[str, Any], *, is_alias: bool, project: tuple[Any, Any, dict[str, Any]] | None = None
) -> Mailer:
    """The mailer of these options over the settings: see :func:`~mailer.contrib.django.plan.plan_of`.

    Raises:
        InvalidMailerError: There is no URL anywhere, or something is wrong; the text names what, and shows no secret.
    """
    return _kept(plan_of(name, options, is_alias=is_alias, project=project), name, name if is_alias else None)


def made(plan: Plan, face: type[M], alias: str | None) -> M:
    """Make a mailer. Raises InvalidMailerError, which names the alias of ``MAILERS``."""
    try:
        return plan.made(face)
    except ConfigError as error:
        raise InvalidMailerError(str(error), alias=alias) from error


def _kept(plan: Plan, name: str, alias: str | None) -> Mailer:
    kept = _mailers.get(plan.key)
    if kept is None:
        from ...mailer import Mailer  # whose import a command that sends nothing need not wait for

        mailer = made(plan, Mailer, alias)
        # One of two threads that come first may make one in vain: it has no connection yet. No lock, so none to be held
        # at a fork.
        kept = _mailers.setdefault(plan.key, _Made(name, mailer))
        if kept.mailer is mailer:
            for callback in _callbacks:
                callback(name, mailer)
    return kept.mailer


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


_OURS = {
    "MAILER",
    "MAILER_URL",
    "MAILERS",
    "DEFAULT_FROM_EMAIL",
    "EMAIL_BACKEND",
    "EMAIL_FILE_PATH",
    *EMAIL_SETTINGS.values(),
}
setting_changed.connect(_on_setting_changed, dispatch_uid=f"{__package__}.mailers")


@atexit.register
def _close() -> None:
    for made in list(_mailers.values()):
        made.mailer.close()
