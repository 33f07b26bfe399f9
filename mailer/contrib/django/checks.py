"""System checks, run by ``manage.py check`` and before ``runserver`` and ``migrate``. Nothing is connected to.

================  ====================================================================================================
``mailwright.E001``  a mailer cannot be made of the settings: an unknown name, a wrong value, an extra that is missing
``mailwright.E002``  no mailer has a backend
``mailwright.E003``  ``MAILER_WEBHOOKS`` is wrong
``mailwright.E004``  the log of the plug-in ``log`` cannot be read (with ``--database``)
``mailwright.W001``  with ``--deploy``: a mailer's backend is one for development
``mailwright.W002``  with ``--deploy``: Django's backend is one for development
``mailwright.W003``  a plug-in could not be loaded, and its mailer goes on without it
``mailwright.W004``  Django's backend is another one: ``send_mail`` does not go by a mailer
================  ====================================================================================================
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core import checks

from ...errors import ConfigError
from ...mailer import Mailer
from ...webhooks import webhook_of
from .mailers import get_mailer
from .project import backends_named, has_mailers, mailer_names, own_backend

__all__ = ["check_deployment", "check_log", "check_mailers", "register"]

_DEVELOPMENT = {
    "memory": "it keeps mails in the process",
    "console": "it prints mails",
    "null": "it drops mails",
    "file": "it writes mails to a folder",
}
_DJANGO_DEVELOPMENT = ("locmem", "console", "filebased", "dummy")
# A URL in a group: "failover(smtp://a smtp://b)", "weighted(3*smtp://a 1*null:)".
_MEMBER = re.compile(r"(?:^|[\s(*])([a-z][a-z0-9+.\-]*:[^\s()]*)")
#: Ports of a host's own mail server; on another one of this machine listens what catches mail.
_SERVED = (None, 25, 465, 587, 24)


def register() -> None:
    """Register them all."""
    checks.register(check_mailers)
    checks.register(check_log, checks.Tags.database)
    checks.register(check_deployment, deploy=True)


def check_mailers(**_: Any) -> list[Any]:
    """E001, E002, E003, W003, W004."""
    found: list[Any] = []
    for name, mailer in _mailers(found.append):
        for plugin, error in mailer.plugins.disabled.items():
            found.append(
                checks.Warning(
                    f"The mailer {name!r} goes without the plug-in {plugin!r}: {error}",
                    hint="Mend its settings, or take it out of MAILER['plugins'].",
                    id="mailwright.W003",
                )
            )
    if has_mailers() and not mailer_names():
        found.append(
            checks.Error(
                "None of MAILERS sends by mailer.",
                hint='Give one of them "BACKEND": "mailer.contrib.django.EmailBackend", and a "url" in its "OPTIONS".',
                id="mailwright.E002",
            )
        )
    found += [*_webhooks(), *_other_backends()]
    return found


def check_log(databases: Any = None, **_: Any) -> list[Any]:
    """E004."""
    found: list[Any] = []
    for name, mailer in _mailers(lambda error: None) if databases else ():
        if "log" not in mailer.plugins:
            continue
        try:
            mailer.plugins["log"].log.search(limit=1)  # type: ignore[attr-defined]  # it is the plug-in of that name
        except ConfigError as error:
            found.append(
                checks.Error(
                    f"The log of the mailer {name!r} cannot be read: {error}",
                    hint="Its tables are made when they are first used: see MAILER['plugins']['log'].",
                    id="mailwright.E004",
                )
            )
    return found


def check_deployment(**_: Any) -> list[Any]:
    """W001, W002."""
    found: list[Any] = []
    for name, mailer in _mailers(lambda error: None):
        for url in _MEMBER.findall(str(mailer.backend)):
            if why := _development(url):
                found.append(
                    checks.Warning(
                        f"The mailer {name!r} is for development: {why} ({url}).",
                        hint="Give production its own url: MAILER_URL, or a section of MAILER that MAILER_ENV selects.",
                        id="mailwright.W001",
                    )
                )
    for where, path in backends_named():
        if path.startswith("django.core.mail.backends.") and path.split(".")[4] in _DJANGO_DEVELOPMENT:
            found.append(
                checks.Warning(
                    f"{where} is {path}, which sends nothing.",
                    hint='Set it to "mailer.contrib.django.EmailBackend".',
                    id="mailwright.W002",
                )
            )
    return found


def _mailers(tell: Callable[[Any], None]) -> Iterator[tuple[str, Mailer]]:
    """Each mailer that can be made; of the others it is told why not."""
    try:
        names = mailer_names()
    except ConfigError as error:
        tell(_wrong("MAILER", error))
        return
    for name in names:
        try:
            yield name, get_mailer(name)
        except ConfigError as error:
            tell(_wrong(f"The mailer {name!r}", error))


def _wrong(what: str, error: ConfigError) -> Any:
    text = str(error)
    if "there is no backend:" in text or "must define 'host'" in text:
        return checks.Error(
            f"{what} has no backend: {text}",
            hint='Set MAILER = {"url": "smtp://user:password@host"}, or MAILER_URL in the environment.',
            id="mailwright.E002",
        )
    hint = "Install it: the line is in the message." if "pip install" in text else _SETTINGS_HINT
    return checks.Error(f"{what} cannot be made: {text}", hint=hint, id="mailwright.E001")


_SETTINGS_HINT = "`manage.py mailer config` shows what holds, and where it stands."


def _development(url: str) -> str | None:
    """Why a backend is one for development; None if it is none."""
    scheme = url.partition(":")[0]
    if why := _DEVELOPMENT.get(scheme.removesuffix("+django")):
        return why
    if scheme not in ("smtp", "smtps", "lmtp"):
        return None
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    return "it is a mailbox on this machine" if _is_loopback(host) and port not in _SERVED else None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _webhooks() -> Iterator[Any]:
    from .endpoints import SETTING, webhook_options

    try:
        for provider in (webhook_options() or {}).get("secrets", {}):
            webhook_of(provider)
    except ConfigError as error:
        yield checks.Error(
            str(error) if SETTING in str(error) else f"{SETTING}: {error}",
            hint=f'{SETTING} = {{"secrets": {{"postmark": "hook:a-long-secret"}}}}',
            id="mailwright.E003",
        )


def _other_backends() -> Iterator[Any]:
    if settings.DEBUG or any(own_backend(path) for _, path in backends_named()):
        return
    for where, path in backends_named():
        if not path.startswith("django.core.mail.backends.") or path.split(".")[4] == "smtp":
            yield checks.Warning(
                f"{where} is {path}: what Django sends does not go by a mailer.",
                hint='Set it to "mailer.contrib.django.EmailBackend".',
                id="mailwright.W004",
            )
