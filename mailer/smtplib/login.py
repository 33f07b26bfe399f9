"""The login: our mechanisms, strongest first, over a connection of smtplib's kind."""

from __future__ import annotations

import base64
import binascii
from smtplib import SMTP

from ..errors import AuthError
from ..redaction import Secrets
from ..smtp.auth import MECHANISMS, Credentials, Mechanism, mechanism_for
from .errors import SMTPAuthenticationError, SMTPException

__all__ = ["logged_in"]

#: These say the password; the others prove that it is known.
_SAYING = ("PLAIN", "LOGIN")
_MAX_CHALLENGES = 5


def logged_in(smtp: SMTP, credentials: Credentials, *, initial_response_ok: bool) -> tuple[int, bytes]:
    """Log in, and return the server's reply: 235, or 503 if somebody is logged in already.

    A server may offer what it cannot do, so others are tried after a refusal; but what a 535 says is wrong is not said
    again in other words, since too many wrong passwords lock an account.

    Raises:
        SMTPAuthenticationError: The last refusal, or the server does not prove itself; then the connection is closed.
        SMTPException: There is no mechanism for these credentials.
    """
    offered = smtp.esmtp_features["auth"].upper().split()
    refused: set[bool] = set()
    last: SMTPException | None = None
    for name in MECHANISMS:
        is_saying = name in _SAYING
        if name not in offered or is_saying in refused:
            continue
        try:
            mechanism = mechanism_for(offered, credentials, name)
        except AuthError:  # it is for tokens, or needs a connection that can be bound, or another password
            continue
        code, text = _exchanged(smtp, mechanism, initial_response_ok)
        if code in (235, 503):
            return code, text
        secrets = Secrets(credentials.password or "", mechanism.initial or b"")
        last = SMTPAuthenticationError(code, secrets.hide(text.decode("latin-1")).encode("latin-1"))
        if code == 421:
            smtp.close()
            break
        if code == 535:
            refused.add(is_saying)
    raise last or SMTPException("No suitable authentication method found.")


def _exchanged(smtp: SMTP, mechanism: Mechanism, initial_response_ok: bool) -> tuple[int, bytes]:
    first, held = (mechanism.initial, None) if initial_response_ok else (None, mechanism.initial)
    code, text = smtp.docmd("AUTH", mechanism.name if first is None else f"{mechanism.name} {_base64(first) or '='}")
    challenges = 0
    try:
        while code == 334:
            challenges += 1
            answer, held = (mechanism.answer(_decoded(text)) if held is None else held), None
            if answer is None or challenges > _MAX_CHALLENGES:
                raise AuthError(f"{mechanism.name} went on when all was said")
            code, text = smtp.docmd(_base64(answer))
        if code == 235:
            mechanism.confirm()
    except AuthError as error:
        smtp.close()  # whoever this is, it gets no second mechanism to ask the password by
        raise SMTPAuthenticationError(-1, str(error).encode()) from error
    return code, text


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _decoded(challenge: bytes) -> bytes:
    try:
        return base64.b64decode(challenge)
    except (binascii.Error, ValueError):
        return b""  # LOGIN's prompts need not be base64 to be answered
