"""smtplib's exceptions as ours too: whoever catches either finds them.

Each is a subclass of the standard library's class of the same name and of what :mod:`mailer.errors` calls the same.
"""

from __future__ import annotations

import smtplib as std
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

from ..errors import (
    AuthError,
    ConnectError,
    MailerError,
    MessageError,
    ProtocolError,
    TlsError,
    TransportError,
    UnsupportedFeature,
)
from ..smtp.reply import Reply

__all__ = [
    "SMTPAuthenticationError",
    "SMTPCertificateError",
    "SMTPCommandError",
    "SMTPConnectError",
    "SMTPDataError",
    "SMTPException",
    "SMTPHeloError",
    "SMTPNotSupportedError",
    "SMTPRecipientsRefused",
    "SMTPResponseException",
    "SMTPSenderRefused",
    "SMTPServerDisconnected",
    "SMTPTlsError",
    "in_our_words",
    "our_words",
]

P = ParamSpec("P")
T = TypeVar("T")


class SMTPException(std.SMTPException, MailerError):
    """The root of all that is raised here but `ValueError` and what the system says of a failed connect."""


class SMTPNotSupportedError(std.SMTPNotSupportedError, SMTPException, UnsupportedFeature):
    """The server does not offer it; or it is not done, as a login in clear."""

    field = ""


class SMTPServerDisconnected(std.SMTPServerDisconnected, SMTPException, TransportError):
    """There is no connection, or it ended, or no answer came in time; it is closed."""


class SMTPResponseException(std.SMTPResponseException, SMTPException, ProtocolError):
    """The server answered otherwise than was asked for: ``smtp_code``, ``smtp_error``."""

    @property
    def reply(self) -> Reply | None:
        """The server's reply; None if there was none that can be read."""
        if not 200 <= self.smtp_code <= 599:
            return None
        said = self.smtp_error
        text = said.decode("ascii", "backslashreplace") if isinstance(said, bytes) else said
        return Reply(self.smtp_code, tuple(text.split("\n")))


class SMTPSenderRefused(std.SMTPSenderRefused, SMTPResponseException):
    """The sender was refused."""


class SMTPDataError(std.SMTPDataError, SMTPResponseException):
    """The mail was refused."""


class SMTPConnectError(std.SMTPConnectError, SMTPResponseException, ConnectError):
    """The server greeted with a refusal."""


class SMTPHeloError(std.SMTPHeloError, SMTPResponseException):
    """The server refused EHLO and HELO."""


class SMTPAuthenticationError(std.SMTPAuthenticationError, SMTPResponseException, AuthError):
    """The login was refused; ``smtp_code`` is -1 where it is the server that did not prove who it is."""


class SMTPRecipientsRefused(std.SMTPRecipientsRefused, SMTPException):
    """All recipients were refused: ``recipients``."""


class SMTPTlsError(SMTPException, TlsError, ssl.SSLError):
    """The TLS handshake failed; the connection is closed."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class SMTPCertificateError(SMTPTlsError, ssl.SSLCertVerificationError):
    """The server's certificate does not hold."""


class SMTPCommandError(MessageError, ValueError):
    """What was given makes no single command, or no header: it would break out of its line."""


_OURS: dict[type[BaseException], type[SMTPException]] = {
    std.SMTPException: SMTPException,
    std.SMTPNotSupportedError: SMTPNotSupportedError,
    std.SMTPServerDisconnected: SMTPServerDisconnected,
    std.SMTPResponseException: SMTPResponseException,
    std.SMTPSenderRefused: SMTPSenderRefused,
    std.SMTPDataError: SMTPDataError,
    std.SMTPConnectError: SMTPConnectError,
    std.SMTPHeloError: SMTPHeloError,
    std.SMTPAuthenticationError: SMTPAuthenticationError,
    std.SMTPRecipientsRefused: SMTPRecipientsRefused,
}


@contextmanager
def our_words() -> Iterator[None]:
    """Whatever of smtplib's is raised inside comes out as ours of the same name."""
    try:
        yield
    except std.SMTPException as error:
        ours = _OURS.get(type(error))
        if ours is None:
            raise
        raise ours(*error.args) from error.__cause__


def in_our_words(theirs: Callable[P, T]) -> Callable[P, T]:
    """A method of smtplib's that raises our exceptions."""

    @wraps(theirs)
    def method(*args: P.args, **kwargs: P.kwargs) -> T:
        with our_words():
            return theirs(*args, **kwargs)

    return method
