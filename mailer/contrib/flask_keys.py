"""The ``MAIL_`` keys of Flask-Mail and Flask-Mailman in ``app.config``, read as one of our URLs.

==============================================  ========================================================================
key                                             what it says here
==============================================  ========================================================================
``MAIL_SERVER``, ``MAIL_PORT``                  host (127.0.0.1) and port (25)
``MAIL_USE_SSL``                                ``smtps://``: TLS from the first byte
``MAIL_USE_TLS``                                ``tls=required``: STARTTLS or nothing
``MAIL_USERNAME``, ``MAIL_PASSWORD``            a login, where both are given; without TLS to this machine alone, unless
``MAIL_AUTH_IN_CLEAR`` (our own)                this says so
``MAIL_TIMEOUT``                                how long each step may take, in seconds; not given: our own limits
``MAIL_SSL_CERTFILE``, ``MAIL_SSL_KEYFILE``     our own certificate; with either of the two above
``MAIL_MAX_EMAILS``                             ``max_messages``: mails for each connection
``MAIL_DEBUG``                                  ``transcript=yes``: receipts and errors have what was said, no secrets
``MAIL_BACKEND``, ``MAIL_FILE_PATH``            smtp, console, dummy (``null:``), locmem (``memory:``), file (``file:``)
``MAIL_DEFAULT_SENDER``                         the From of messages that have none
``MAIL_SUPPRESS_SEND``                          nothing leaves; not given: ``TESTING``
==============================================  ========================================================================

Flags may be words, as the environment gives them: "false", "no", "off", "0" and "" are no. What else stands in the
config is the app's own. Pure functions of a mapping: no app is needed, nothing is opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from ..errors import ConfigError
from ..redaction import Unpickled, forgets_arguments
from ..smtp_options import SmtpOptions, flag

__all__ = ["SMTP_KEYS", "MailKeys", "flag_of"]

#: Option of :class:`~mailer.smtp_options.SmtpOptions` -> key.
SMTP_KEYS = {
    "host": "MAIL_SERVER",
    "port": "MAIL_PORT",
    "username": "MAIL_USERNAME",
    "password": "MAIL_PASSWORD",
    "use_tls": "MAIL_USE_TLS",
    "use_ssl": "MAIL_USE_SSL",
    "timeout": "MAIL_TIMEOUT",
    "ssl_keyfile": "MAIL_SSL_KEYFILE",
    "ssl_certfile": "MAIL_SSL_CERTFILE",
    "auth_in_clear": "MAIL_AUTH_IN_CLEAR",
}
_HOST, _PORT = "127.0.0.1", 25
_MOST_EMAILS = 1_000_000

# MAIL_BACKEND -> URL, but for the two that need other keys.
_BACKENDS = {"console": "console:", "dummy": "null:", "locmem": "memory:"}


@dataclass(frozen=True, slots=True, repr=False)
class MailKeys(Unpickled):
    """What the keys say.

    Attributes:
        url: Where mail goes when it is not suppressed. With the password: not to be shown.
        default_sender: As it stands in the config: a string, a (name, address) pair, or None.
        is_suppressed: Nothing is to leave this machine.
    """

    url: str
    default_sender: Any = None
    is_suppressed: bool = False

    @classmethod
    @forgets_arguments
    def of(cls, config: Mapping[str, Any], *, testing: bool = False) -> MailKeys:
        """Read an app's config.

        Args:
            config: ``app.config``, or any mapping with its keys.
            testing: What ``MAIL_SUPPRESS_SEND`` is unless it is given: ``app.testing``.

        Raises:
            ConfigError: A value cannot be read, or two contradict each other; the text names the key, no secret.
        """
        is_suppressed = flag_of(config, "MAIL_SUPPRESS_SEND", default=testing)
        return cls(_url(config), config.get("MAIL_DEFAULT_SENDER") or None, is_suppressed)

    @staticmethod
    def stand_in(config: Mapping[str, Any]) -> bool:
        """Whether the config says where mail goes in this way at all."""
        return any(config.get(key) for key in ("MAIL_SERVER", "MAIL_BACKEND"))

    def __repr__(self) -> str:
        return f"<MailKeys{' suppressed' if self.is_suppressed else ''}>"


def flag_of(config: Mapping[str, Any], key: str, *, default: bool = False) -> bool:
    """A yes or no. None, and a key that is not there, are the default.

    Raises:
        ConfigError: It is neither.
    """
    value = config.get(key)
    if value is None:
        return default
    try:
        return flag(value)
    except ValueError as error:
        raise ConfigError(f"{key}={value!r}: {error}") from None


def _url(config: Mapping[str, Any]) -> str:
    name = config.get("MAIL_BACKEND") or "smtp"
    if not isinstance(name, str):
        raise ConfigError(f"MAIL_BACKEND: must be a name, not {type(name).__name__}")
    short = name.removeprefix("flask_mailman.backends.").removesuffix(".EmailBackend")
    if short in _BACKENDS:
        return _BACKENDS[short]
    if short == "file":
        path = config.get("MAIL_FILE_PATH")
        if not path:
            raise ConfigError("MAIL_FILE_PATH: is missing: MAIL_BACKEND='file' writes into that folder")
        return f"file:{quote(str(path))}"
    if short == "smtp":
        return _smtp_url(config)
    known = ", ".join(["smtp", "file", *_BACKENDS])
    raise ConfigError(f"MAIL_BACKEND={name!r}: there are: {known}; a backend class needs mailer.contrib.flask_mailman")


def _smtp_url(config: Mapping[str, Any]) -> str:
    given = {option: config.get(key) for option, key in SMTP_KEYS.items()}
    url = SmtpOptions.of(
        {**given, "host": given["host"] or _HOST, "port": given["port"] or _PORT}, called=SMTP_KEYS
    ).url
    if (most := config.get("MAIL_MAX_EMAILS")) is not None and most != 0:
        if isinstance(most, bool) or not str(most).isdecimal() or not 0 < int(most) <= _MOST_EMAILS:
            raise ConfigError(f"MAIL_MAX_EMAILS={most!r}: must be a whole number from 1 to {_MOST_EMAILS}, or None")
        url += f"&max_messages={int(most)}"
    return url + ("&transcript=yes" if flag_of(config, "MAIL_DEBUG") else "")
