"""What apps that were written for Django's own backend catch: our errors are smtplib's and the system's too.

==========================================  ============================================================================
ours                                        also
==========================================  ============================================================================
no connection                               what the system said: ``ConnectionRefusedError``, ``socket.gaierror`` ...
the time ran out                            ``TimeoutError``
TLS failed                                  ``ssl.SSLError``
no STARTTLS, no AUTH                        ``smtplib.SMTPNotSupportedError``
the login was refused                       ``smtplib.SMTPAuthenticationError``
all recipients were refused                 ``smtplib.SMTPRecipientsRefused``
the connection ended                        ``smtplib.SMTPServerDisconnected``
anything else                               ``smtplib.SMTPException``
==========================================  ============================================================================

Each is a ``smtplib.SMTPException``, and so an ``OSError``, whatever the backend.
"""

from __future__ import annotations

import functools
import smtplib
import ssl
from typing import Any, TypeVar

from ...errors import (
    AuthError,
    ConnectError,
    DeadlineExceeded,
    DeliveryError,
    MailerError,
    ProtocolError,
    TlsError,
    TransportError,
)

__all__ = ["as_smtplib"]

E = TypeVar("E", bound=MailerError)

#: smtplib's words for what is not offered; whoever reads errors by them finds them.
_NOT_OFFERED = {
    "STARTTLS": "STARTTLS extension not supported by server.",
    "AUTH": "SMTP AUTH extension not supported by server.",
}


def as_smtplib(error: E) -> E:
    """The same error, of a class that is smtplib's or the system's too."""
    theirs, attributes = _theirs(error)
    text = str(error)
    cause = error.receipt.cause if isinstance(error, DeliveryError) else error
    if cause is not None and (words := _NOT_OFFERED.get(cause.lacks)):
        text = f"{words} ({text})"
    made: E = _rebuilt(type(error), theirs, (text, *error.args[1:]), {**error.__dict__, **attributes})
    made.__cause__ = error.__cause__ or error
    return made


def _theirs(error: MailerError) -> tuple[type[Exception], dict[str, Any]]:
    cause: MailerError | None = error
    if isinstance(error, DeliveryError):
        cause = error.receipt.cause
        refused = {
            result.address.addr_spec: (result.code, (result.text or "").encode())
            for result in error.receipt.results
            if result.code
        }
        if cause is None and refused:
            return smtplib.SMTPRecipientsRefused, {"recipients": refused}
    if cause is None:
        return smtplib.SMTPException, {}
    if cause.lacks in _NOT_OFFERED:
        return smtplib.SMTPNotSupportedError, {}
    if isinstance(cause, AuthError):
        code, text = (cause.reply.code, str(cause.reply)) if cause.reply is not None else (-1, str(cause))
        return smtplib.SMTPAuthenticationError, {"smtp_code": code, "smtp_error": text.encode()}
    if isinstance(cause, TlsError):
        return _of_system(cause, ssl.SSLError), {}
    if isinstance(cause, ConnectError):
        return _of_system(cause, ConnectionError), {}
    if isinstance(cause, DeadlineExceeded):
        return TimeoutError, {}
    if isinstance(cause, (TransportError, ProtocolError)):
        return smtplib.SMTPServerDisconnected, {}
    return smtplib.SMTPException, {}


def _of_system(cause: MailerError, usual: type[OSError]) -> type[OSError]:
    """What the system said, if it said anything."""
    said = cause.__cause__
    return type(said) if isinstance(said, OSError) and type(said) is not OSError else usual


@functools.cache
def _both(ours: type[MailerError], theirs: type[Exception]) -> type[MailerError]:
    bases = (ours, theirs) if issubclass(theirs, smtplib.SMTPException) else (ours, smtplib.SMTPException, theirs)
    namespace = {
        "__doc__": ours.__doc__,
        "__module__": ours.__module__,
        "__reduce__": lambda self: (_rebuilt, (ours, theirs, self.args, self.__dict__)),
        "__str__": lambda self: str(self.args[0]) if self.args else "",
    }
    return type(ours.__name__, bases, namespace)


def _rebuilt(ours: Any, theirs: Any, args: tuple[Any, ...], state: dict[str, Any]) -> Any:
    cls: Any = _both(ours, theirs)
    made = cls.__new__(cls, *args)  # their __init__ takes other arguments
    made.args = args
    made.__dict__.update(state)
    return made
