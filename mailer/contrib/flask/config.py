"""What an app's config says about mail.

======================================  ================================================================================
key                                     what it says
======================================  ================================================================================
``MAILER_URL``, ``MAILER_FROM`` ...     each setting of :class:`mailer.Settings`, called as in the environment
``MAILER_MAILERS``                      named mailers: ``{"news": {"url": ...}}``, ``MAILER_MAILERS__NEWS__URL``
``MAILER``                              the same as one table, with sections for ``MAILER_ENV``; or ``Settings``
``MAIL_SERVER``, ``MAIL_PORT`` ...      Flask-Mail's and Flask-Mailman's, where no other says the URL
``MAIL_DEFAULT_SENDER``                 theirs, where no other says the From
``MAILER_SUPPRESS_SEND``                mails are kept in memory; not given: ``MAIL_SUPPRESS_SEND``, else ``TESTING``
``MAILER_WEBHOOKS``                     provider to secret, for ``webhooks_blueprint``
======================================  ================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...backends.file import FileBackend
from ...backends.memory import ConsoleBackend, MemoryBackend, NullBackend
from ...errors import ConfigError
from ...settings import Settings
from ...sources import Found, Place
from ..flask_keys import MailKeys, flag_of

if TYPE_CHECKING:
    from flask.sansio.app import App

    from ...backends.base import Backend

__all__ = ["WEBHOOKS", "keeps_mails", "own_settings", "settings_of"]

SUPPRESS = "MAILER_SUPPRESS_SEND"
WEBHOOKS = "MAILER_WEBHOOKS"
_SUPPRESSING = (SUPPRESS, "MAIL_SUPPRESS_SEND")
_OURS = (SUPPRESS, WEBHOOKS)
_STAYING = (ConsoleBackend, FileBackend, MemoryBackend, NullBackend)


def settings_of(app: App) -> Settings:
    """Read an app's config.

    Raises:
        ConfigError: A key is unknown or its value wrong; the text names it and the app, and shows no secret.
    """
    try:
        return _read(app.config)
    except ConfigError as error:
        raise ConfigError(f"the config of {app.name!r}: {error}") from error


def _read(config: Mapping[str, Any]) -> Settings:
    for key in _SUPPRESSING:
        flag_of(config, key)
    below: dict[tuple[str, ...], Found] = {}
    if sender := config.get("MAIL_DEFAULT_SENDER"):
        if isinstance(sender, list) and len(sender) == 2 and "@" not in str(sender[0]):
            sender = tuple(sender)  # a pair from a variable, which is JSON
        below["from",] = Found(sender, "MAIL_DEFAULT_SENDER")
    settings = own_settings(config, below)
    if settings.url is not None or not MailKeys.stand_in(config):
        return settings
    below["url",] = Found(MailKeys.of(config).url, "MAIL_SERVER and the keys beside it")
    return own_settings(config, below)


def own_settings(config: Mapping[str, Any], below: Mapping[tuple[str, ...], Found] | None = None) -> Settings:
    """What ``MAILER`` and the ``MAILER_`` keys say.

    Args:
        config: An app's.
        below: Settings that count less.

    Raises:
        ConfigError: A key is unknown or its value wrong; the text names it.
    """
    given = config.get("MAILER")
    if isinstance(given, Settings):
        if beside := [key for key in config if key.startswith("MAILER_") and key not in _OURS]:
            raise ConfigError(f"MAILER is Settings, which are whole: leave out {', '.join(sorted(beside))}")
        return given
    if given is not None and not isinstance(given, Mapping):
        raise ConfigError(f"MAILER: must be a table or Settings, not {type(given).__name__}")
    return Settings.from_config(config, mapping=given, below=Place(below or {}), others=_OURS)


def keeps_mails(app: App, backend: Backend | None) -> bool:
    """Whether mails are kept in memory, instead of sent by this backend, as the app's config is now.

    Under ``TESTING``, unless the config says otherwise, for every backend by which a mail leaves this machine.

    Raises:
        ConfigError: A key is neither yes nor no.
    """
    config = app.config
    for key in _SUPPRESSING:
        if config.get(key) is not None:
            return flag_of(config, key)
    return bool(app.testing) and not isinstance(backend, _STAYING)
