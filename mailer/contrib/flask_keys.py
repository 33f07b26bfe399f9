"""The ``MAIL_`` keys of Flask-Mail and Flask-Mailman in ``app.config``, read as one of our URLs.

==============================================  ========================================================================
key                                             what it says here
==============================================  ========================================================================
``MAIL_SERVER``, ``MAIL_PORT``                  host (127.0.0.1) and port (25)
``MAIL_USE_SSL``                                ``smtps://``: TLS from the first byte
``MAIL_USE_TLS``                                ``tls=required``: STARTTLS or nothing
``MAIL_USERNAME``, ``MAIL_PASSWORD``            a login, where both are given; never without TLS
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
from urllib.parse import quote, urlencode

from ..errors import ConfigError
from ..redaction import Unpickled, forgets_arguments

__all__ = ["MailKeys", "flag_of"]

_NO, _YES = ("", "0", "false", "no", "off", "n", "f"), ("1", "true", "yes", "on", "y", "t")
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
        return any(config.get(key) is not None for key in ("MAIL_SERVER", "MAIL_BACKEND"))

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
    word = value.strip().lower() if isinstance(value, str) else value
    if word in _NO or word is False or word == 0:
        return False
    if word in _YES or word is True or word == 1:
        return True
    raise ConfigError(f"{key}={value!r}: must be True or False")


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
    use_ssl, use_tls = flag_of(config, "MAIL_USE_SSL"), flag_of(config, "MAIL_USE_TLS")
    if use_ssl and use_tls:
        raise ConfigError(
            "MAIL_USE_SSL and MAIL_USE_TLS exclude each other: the first is for port 465, the second for port 587"
        )
    options: dict[str, str] = {"tls": "required"} if use_tls else {}
    for key, option in (("MAIL_SSL_CERTFILE", "cert_file"), ("MAIL_SSL_KEYFILE", "key_file")):
        if config.get(key):
            options[option] = str(config[key])
    if (timeout := config.get("MAIL_TIMEOUT")) is not None:
        seconds = str(_number(timeout, float, "MAIL_TIMEOUT"))
        options |= {"connect_timeout": seconds, "command_timeout": seconds, "final_timeout": seconds}
    if config.get("MAIL_MAX_EMAILS"):
        options["max_messages"] = str(_number(config["MAIL_MAX_EMAILS"], int, "MAIL_MAX_EMAILS"))
    if flag_of(config, "MAIL_DEBUG"):
        options["transcript"] = "yes"
    host = str(config.get("MAIL_SERVER") or "127.0.0.1")
    user, password = config.get("MAIL_USERNAME"), config.get("MAIL_PASSWORD")
    who = f"{quote(str(user), safe='')}:{quote(str(password), safe='')}@" if user and password else ""
    where = f"[{host}]" if ":" in host else quote(host)
    port = _number(config.get("MAIL_PORT") or 25, int, "MAIL_PORT")
    query = f"?{urlencode(options)}" if options else ""
    return f"{'smtps' if use_ssl else 'smtp'}://{who}{where}:{port}{query}"


def _number(value: Any, kind: type[int] | type[float], key: str) -> int | float:
    try:
        if isinstance(value, bool):
            raise ValueError
        number = kind(value)
    except (TypeError, ValueError):
        raise ConfigError(f"{key}={value!r}: must be a {'whole ' if kind is int else ''}number") from None
    if not 0 < number < 1_000_000:
        raise ConfigError(f"{key}={value!r}: must be more than 0")
    return number
