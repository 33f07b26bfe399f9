"""What a token server's answer means (RFC 6749 sections 5.1 and 5.2). Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import AuthError, MailerError, TransportError
from ..field import printable
from ..redaction import Secrets, Unpickled, redacted
from .token import AccessToken

if TYPE_CHECKING:
    from ..relay.exchange import Response
    from .grant import Grant

__all__ = ["MAX_REST_S", "Refused", "Tokens", "answered", "life_s"]

_TOKEN = re.compile(r"[\x21-\x7e]{1,16384}", re.ASCII)
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,60}", re.ASCII)
_MAX_SAID_CHARS = 200
#: How long a token is used whose server does not say; one that ends before costs a refused login, and is renewed then.
_UNSAID_S = 300.0
_MAX_LIFE_S = 31_536_000.0
#: A refusal stands for so long: a queue of mails must not hammer the server with a grant that has ended.
_REFUSED_S = 10.0
#: The most of what Retry-After asks for.
MAX_REST_S = 300.0


@dataclass(frozen=True, slots=True)
class Tokens(Unpickled):
    """What a token server gave.

    Attributes:
        access: The access token.
        refresh_token: What to ask with the next time, where the server has changed it; else None.
    """

    access: AccessToken
    refresh_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Refused:
    """That it gave none.

    Attributes:
        code: The server's error code, "invalid_grant"; "" without one.
        error: What to raise.
        rest_s: For how long it is not asked again, in seconds.
    """

    code: str
    error: MailerError
    rest_s: float = 0.0


#: Error codes that say "not now", whatever the status.
_LATER = frozenset({"temporarily_unavailable", "server_error", "slow_down", "internal_failure"})
_REMEDIES = {
    "invalid_client": "check client_id and client_secret; a secret ends after a time, too",
    "unauthorized_client": "the application may not use this grant: allow it at the service (for a Google service"
    " account, domain-wide delegation of this scope)",
    "invalid_scope": "check scope",
    "unsupported_grant_type": "check the token server's URL",
    "access_denied": "the user or an administrator has not consented",
    "interaction_required": "let the user consent again",
    "consent_required": "let the user or an administrator consent",
}


def answered(grant: Grant, response: Response, now: float, sent: tuple[str, ...] = ()) -> Tokens | Refused:
    """Read the answer to a grant.

    Args:
        now: When it was asked, in seconds since 1970.
        sent: Secrets beside the grant's own that were sent.
    """
    body = response.json()
    said = body if isinstance(body, dict) else {}
    if response.is_success and "error" not in said:
        return _tokens(grant, response, said, now)
    hidden = Secrets(*grant.secrets, *sent)
    code = said.get("error")
    code = code if isinstance(code, str) and _CODE.fullmatch(code) and not hidden.found_in(code) else ""
    what = f"{grant.host} gave no access token: {response.status}"
    if code:
        what += f" {code}"
    if words := _words(said.get("error_description"), hidden):
        what += f" ({words})"
    if response.status in (408, 429) or response.status >= 500 or code in _LATER:
        wait = response.retry_after_s or 0.0
        later = TransportError(what + (f"; it asks to wait {wait:.0f} s" if wait else "; try later"))
        return Refused(code, later, min(wait, MAX_REST_S))
    if not code:
        remedy = "that is no OAuth 2 answer: check the token server's URL"
    else:
        remedy = grant.remedy if code == "invalid_grant" else _REMEDIES.get(code, "")
    return Refused(code, AuthError(f"{what}; {remedy}" if remedy else what), _REFUSED_S)


def _tokens(grant: Grant, response: Response, said: Mapping[str, Any], now: float) -> Tokens | Refused:
    value, kind = said.get("access_token"), said.get("token_type", "bearer")
    problem = ""
    if response.cut is not None:
        problem = "its answer broke off"
    elif not isinstance(value, str) or not _TOKEN.fullmatch(value):
        problem = "its answer holds none: check the token server's URL"
    elif not isinstance(kind, str) or kind.lower() != "bearer":
        problem = "its answer holds one of another kind than Bearer"
    if problem:
        return Refused("", TransportError(f"{grant.host} gave no access token: {problem}"))
    refresh = said.get("refresh_token")
    is_usable = isinstance(refresh, str) and refresh != "" and refresh.isprintable()
    access = AccessToken(str(value), now + life_s(said.get("expires_in")))
    return Tokens(access, refresh if is_usable else None)


def life_s(said: object) -> float:
    """How many seconds an ``expires_in`` means; some servers write the number as a text."""
    if isinstance(said, bool) or not isinstance(said, (int, float, str)):
        return _UNSAID_S
    try:
        number = float(said)
    except (ValueError, OverflowError):
        return _UNSAID_S
    return min(max(0.0, number), _MAX_LIFE_S) if math.isfinite(number) else _UNSAID_S


def _words(said: object, hidden: Secrets) -> str:
    """The first line of what the server says to people, without secrets."""
    if not isinstance(said, str) or not said.strip():
        return ""
    text = printable(redacted(hidden.hide(said.strip().splitlines()[0])))
    return text if len(text) <= _MAX_SAID_CHARS else f"{text[: _MAX_SAID_CHARS - 3]}..."
