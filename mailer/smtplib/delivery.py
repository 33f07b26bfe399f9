"""Delivery errors under the names that users of smtplib catch: each is ours, and theirs too.

Mail extensions of frameworks let smtplib's exceptions through, so apps have ``except smtplib.SMTPRecipientsRefused``
and ``except OSError``. :func:`as_smtplib` gives a :class:`~mailer.DeliveryError` that is caught by those as well:

======================================  ================================================================================
what happened                           it is also
======================================  ================================================================================
no connection                           the OSError behind it: ``ConnectionRefusedError``, ``socket.gaierror`` ...
the greeting, EHLO or login refused     ``SMTPConnectError``, ``SMTPHeloError``, ``SMTPAuthenticationError``
TLS failed                              the ``ssl.SSLError`` behind it
no STARTTLS, no AUTH                    ``SMTPNotSupportedError``
the time ran out                        ``TimeoutError``
the connection broke                    ``SMTPServerDisconnected``
all recipients refused                  ``SMTPRecipientsRefused``, with ``recipients``
the sender, or the mail itself refused  ``SMTPSenderRefused``, ``SMTPDataError``, with ``smtp_code`` and ``smtp_error``
anything else                           ``SMTPException``
======================================  ================================================================================

Each is an ``SMTPException``, and so an ``OSError``, whatever the backend.
"""

from __future__ import annotations

import smtplib as std
import ssl
from typing import Any, TypeVar

from ..errors import (
    AuthError,
    ConfigError,
    ConnectError,
    DeadlineExceeded,
    DeliveryError,
    MailerError,
    ProtocolError,
    TlsError,
    TransportError,
)
from ..receipt import Receipt
from ..smtp.transaction import SessionRefused
from ..verdict import Scope

__all__ = ["as_smtplib"]

E = TypeVar("E", bound=MailerError)
#: smtplib's words for what is not offered; whoever reads errors by them finds them.
_NOT_OFFERED = {
    "STARTTLS": "STARTTLS extension not supported by server.",
    "AUTH": "SMTP AUTH extension not supported by server.",
}
#: Whose refusal concerns a recipient, and not the mail.
_OF_RECIPIENTS = (Scope.RECIPIENT, Scope.DOMAIN)


def as_smtplib(error: E, *, sender: str = "") -> E:
    """The same error, caught by smtplib's names as well; chained as it was.

    Args:
        error: Of :meth:`mailer.Mailer.send` and its like; or what such a one is caused by.
        sender: The envelope sender, for ``SMTPSenderRefused``.
    """
    theirs, known = _theirs(error)
    if theirs is std.SMTPSenderRefused:
        known["sender"] = sender
    lacking = _NOT_OFFERED.get(getattr(_cause(error), "lacks", ""))
    text = f"{lacking} ({error})" if lacking else str(error)
    made: E = _remade(type(error), theirs, (text, *error.args[1:]), {**error.__dict__, **known})
    made.__cause__ = error.__cause__ or error
    return made


_made: dict[tuple[type[MailerError], type[Exception]], type[MailerError]] = {}


def _both(ours: type[MailerError], theirs: type[Exception]) -> type[MailerError]:
    if (ours, theirs) not in _made:
        namespace = {
            "__module__": __name__,
            "__doc__": ours.__doc__,
            "__reduce__": _reduced,
            "__str__": lambda self: str(self.args[0]) if self.args else "",
        }
        bases = (ours, theirs) if issubclass(theirs, std.SMTPException) else (ours, std.SMTPException, theirs)
        _made[ours, theirs] = type(theirs.__name__, bases, namespace)
    return _made[ours, theirs]


def _reduced(self: Any) -> tuple[Any, ...]:
    """As a pickle holds it: the two classes by their own names, for this one is made when it is needed."""
    ours, *_, theirs = type(self).__bases__
    return _remade, (ours, theirs, self.args, self.__dict__)


def _remade(ours: type[MailerError], theirs: type[Exception], args: tuple[Any, ...], state: dict[str, Any]) -> Any:
    cls: Any = _both(ours, theirs)
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(state)
    return error


def _theirs(error: MailerError) -> tuple[type[Exception], dict[str, Any]]:
    """Their class, and what its instances have beside."""
    cause = _cause(error)
    if getattr(cause, "lacks", "") in _NOT_OFFERED:
        return std.SMTPNotSupportedError, {}
    said = _answered(getattr(getattr(cause, "reply", None), "code", None), str(cause))
    match cause:
        case ConfigError():
            return std.SMTPException, {}
        case SessionRefused():
            return std.SMTPHeloError, said
        case AuthError():
            return std.SMTPAuthenticationError, said
        case DeadlineExceeded():
            return TimeoutError, {}
        case TlsError():
            return _behind(cause, ssl.SSLError) or ssl.SSLError, {}
        case ConnectError() if cause.reply is not None:
            return std.SMTPConnectError, said
        case ConnectError():
            return _behind(cause, OSError) or ConnectionError, {}
        case TransportError() | ProtocolError():
            return std.SMTPServerDisconnected, {}
    return _refused(error.receipt) if isinstance(error, DeliveryError) else (std.SMTPException, {})


def _cause(error: MailerError) -> BaseException | None:
    return error.__cause__ or error.receipt.cause if isinstance(error, DeliveryError) else error


def _behind(error: BaseException | None, kind: type[Exception]) -> type[Exception] | None:
    """The class of what the system said, if the error comes of that."""
    while error is not None:
        if isinstance(error, kind):
            return type(error)
        error = error.__cause__ or error.__context__
    return None


def _refused(receipt: Receipt) -> tuple[type[Exception], dict[str, Any]]:
    results = receipt.results
    if not results or results[0].code is None:
        return std.SMTPException, {}
    if all(result.scope in _OF_RECIPIENTS for result in results):
        refused = {result.address.ascii: (result.code, _bytes(result.text)) for result in results}
        return std.SMTPRecipientsRefused, {"recipients": refused}
    known = _answered(results[0].code, results[0].text)
    if "final" in receipt.timings or not receipt.timings:  # a provider has no sender to refuse apart
        return std.SMTPDataError, known
    return std.SMTPSenderRefused, known


def _answered(code: int | None, text: str) -> dict[str, Any]:
    return {"smtp_code": -1 if code is None else code, "smtp_error": _bytes(text)}


def _bytes(text: str) -> bytes:
    return text.encode("ascii", "backslashreplace")
