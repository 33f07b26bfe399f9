"""An SMTP server as web frameworks' settings name it (host, port, username, use_tls ...), read into one of our URLs.

What Django's ``EMAIL_``, Flask-Mail's ``MAIL_`` and Flask-Mailman's settings mean:

======================  ================================================================================================
option                  what it becomes
======================  ================================================================================================
host, port              the server; without a port 465 with ``use_ssl``, 587 with ``use_tls``, else 25
use_tls                 STARTTLS or nothing: ``tls=required``
use_ssl                 TLS from the first byte: ``smtps://``
username, password      the login, where both are given
timeout                 seconds for each step: connecting, a command, the answer to the final dot
ssl_certfile,           our own certificate and its key, where there is TLS
ssl_keyfile
local_hostname          what EHLO says
auth_in_clear           our own: send the password without TLS
======================  ================================================================================================

With neither ``use_tls`` nor ``use_ssl`` there is no TLS, and the password would be read by all on the way. So with a
login it is required all the same, unless the server is this machine (a loopback address never leaves it) or
``auth_in_clear`` says otherwise.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from .backends.options import BackendURL
from .errors import ConfigError
from .redaction import Unpickled, forgets_arguments
from .sources import nearest

__all__ = ["SMTP_OPTIONS", "SmtpOptions", "flag"]

_WORDS = {
    **dict.fromkeys(("true", "yes", "on", "1", "t", "y"), True),
    **dict.fromkeys(("false", "no", "off", "0", "", "f", "n"), False),
}
#: One attempt may take as long as our own default, or a few steps.
_ATTEMPT_S, _STEPS = 180.0, 3
_MOST_S = 86_400.0


# --- what a value must be: each raises ValueError with what is wrong --------------------------------------------------


def flag(value: Any) -> bool:
    """A yes or no of a framework's settings, which may be a word, as the environment has it; None is no.

    Raises:
        ValueError: It is neither.
    """
    if isinstance(value, str):
        value = _WORDS.get(value.strip().lower(), value)
    if value is None or value in (0, 1):  # bool is an int
        return bool(value)
    raise ValueError("must be True or False")


def _port(value: Any) -> int | None:
    if value is None or value == "":
        return None
    digits = str(value).strip()
    if isinstance(value, bool) or not (digits.isascii() and digits.isdigit() and len(digits) < 6):
        raise ValueError("must be a whole number from 1 to 65535")
    if not 0 <= int(digits) <= 65535:
        raise ValueError(f"must be a whole number from 1 to 65535, not {digits}")
    return int(digits) or None  # smtplib's 0 is the usual one


def _seconds(value: Any) -> float | None:
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = 0.0
    if isinstance(value, bool) or not 0 < number <= _MOST_S:
        raise ValueError(f"must be seconds, more than 0 and at most {_MOST_S:.0f}; None waits as long as usual")
    return number


def _host(value: Any) -> str:
    host = str(value or "").strip()
    if not host:
        raise ValueError("is missing: the name or IP address of the SMTP server")
    bare = host.removeprefix("[").removesuffix("]")
    if ":" in bare and not _is_ipv6(bare):
        where = "the port has an option of its own" if host.count(":") == 1 else "it is no IPv6 address"
        raise ValueError(f"must be a host's name or IP address: {where}")
    return bare


def _text(value: Any) -> str:
    if value is not None and not isinstance(value, str):
        value = str(value)  # a lazy string, a path
    return value or ""


def _is_ipv6(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]).version == 6
    except ValueError:
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpOptions(Unpickled):
    """A server, checked as far as can be without looking at files or the network. Shows no password.

    Attributes: see the table of :mod:`mailer.smtp_options`; "" and None are what is not given.
    """

    host: str
    port: int | None = None
    username: str = ""
    password: str = field(default="", repr=False)
    use_tls: bool = False
    use_ssl: bool = False
    timeout: float | None = None
    ssl_keyfile: str = field(default="", repr=False)
    ssl_certfile: str = ""
    local_hostname: str = ""
    auth_in_clear: bool = False

    def __post_init__(self) -> None:
        for name, value in _read({name: getattr(self, name) for name in _READERS}, {}).items():
            object.__setattr__(self, name, value)

    @classmethod
    @forgets_arguments
    def of(cls, given: Mapping[str, Any], *, called: Mapping[str, str] | None = None) -> SmtpOptions:
        """Read options as a framework has them.

        Args:
            given: Option to value. None is what is not given; ports, seconds and flags may be text, as the environment
                has them.
            called: Option to what the framework's user calls it, for errors: ``{"host": "EMAIL_HOST"}``.

        Raises:
            ConfigError: An option is unknown (the nearest is named) or its value wrong, or two contradict each other.
                The text shows no password.
        """
        for name in given:
            if name not in _READERS:
                raise ConfigError(f"there is no option {name!r}; {nearest(str(name), SMTP_OPTIONS)}")
        return cls(**_read(given, called or {}))

    @property
    def is_local(self) -> bool:
        """Whether the server is this machine, by its loopback address: what is sent there leaves it by no wire."""
        if self.host.lower() == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def url(self) -> str:
        """The backend's URL, with the login in it: for a mailer, not to be shown."""
        has_login = bool(self.username and self.password)
        scheme, port = ("smtps", 465) if self.use_ssl else ("smtp", 587 if self.use_tls else 25)
        options: dict[str, str] = {}
        in_clear = self.auth_in_clear or self.is_local
        if self.use_tls or self.use_ssl or (has_login and not in_clear):
            options["tls"] = "required"
            options |= {"cert_file": self.ssl_certfile} if self.ssl_certfile else {}
            options |= {"key_file": self.ssl_keyfile} if self.ssl_keyfile else {}
        else:
            options["tls"] = "none"
            options |= {"auth_in_clear": "yes"} if has_login else {}
        if self.local_hostname:
            options["helo"] = self.local_hostname
        if self.timeout is not None:
            step = f"{self.timeout:g}"
            options |= dict.fromkeys(("connect_timeout", "command_timeout", "final_timeout"), step)
            options["timeout"] = f"{min(max(_ATTEMPT_S, _STEPS * self.timeout), _MOST_S):g}"
        login = f"{quote(self.username, safe='')}:{quote(self.password, safe='')}@" if has_login else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{login}{host}:{self.port or port}?{urlencode(options, quote_via=quote)}"

    def __str__(self) -> str:
        return str(BackendURL.parse(self.url))


_READERS: dict[str, Callable[[Any], Any]] = {
    "host": _host,
    "port": _port,
    "username": _text,
    "password": _text,
    "use_tls": flag,
    "use_ssl": flag,
    "timeout": _seconds,
    "ssl_keyfile": _text,
    "ssl_certfile": _text,
    "local_hostname": _text,
    "auth_in_clear": flag,
}


def _read(given: Mapping[str, Any], called: Mapping[str, str]) -> dict[str, Any]:
    values = {}
    for name, read in _READERS.items():
        try:
            values[name] = read(given.get(name))
        except ValueError as error:
            raise ConfigError(f"{called.get(name, name)}: {error}") from None
    if values["use_tls"] and values["use_ssl"]:
        tls, implicit = called.get("use_tls", "use_tls"), called.get("use_ssl", "use_ssl")
        raise ConfigError(
            f"{tls} and {implicit} exclude each other: keep {tls} where the server offers STARTTLS (port 587),"
            f" {implicit} where it speaks TLS from the first byte (port 465)"
        )
    return values


#: The names that :meth:`SmtpOptions.of` knows.
SMTP_OPTIONS = tuple(_READERS)
