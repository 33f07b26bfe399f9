"""Access tokens from an app's own callable: google-auth, msal, azure-identity, a vault."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import AuthError
from ..kept import given_by, name_of
from .answer import life_s
from .token import AccessToken

if TYPE_CHECKING:
    from ..runtime import Runtime

__all__ = ["TokenCallable", "called"]

Given = str | AccessToken | Mapping[str, Any]
TokenCallable = Callable[[], Given | Awaitable[Given]]
"""Gives a token when asked: its text, an :class:`AccessToken` with its end, or a token server's answer as a mapping
(``access_token``, ``expires_in``), as msal has it. One without an end is asked for at each login."""

_TOKEN = re.compile(r"[\x21-\x7e]+", re.ASCII)


async def called(source: TokenCallable, runtime: Runtime, deadline: float, now: float) -> AccessToken:
    """Call it: a plain one in a thread, where the runtime is async.

    Args:
        now: Seconds since 1970.

    Raises:
        ConfigError: It is async, and there is no event loop.
        AuthError: It raised, or gave none.
    """
    given = await given_by(source, runtime, deadline, "access token")
    return _token_of(given, name_of(source), now)


def _token_of(given: object, name: str, now: float) -> AccessToken:
    value: object = given
    end: float | None = None
    if isinstance(given, AccessToken):
        value, end = given.value, given.expires_at
    elif isinstance(given, Mapping):
        if "error" in given:
            raise AuthError(f"{name} gave no access token: {_code(given['error'])}")
        value = given.get("access_token")
        end = now + life_s(given["expires_in"]) if "expires_in" in given else None
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        what = "a text that is none" if isinstance(value, str) else type(value).__name__
        raise AuthError(f"{name} must give an access token, printable ASCII without blanks; it gave {what}")
    return AccessToken(value, end)


def _code(said: object) -> str:
    """An OAuth 2 error code, if it is one."""
    return said if isinstance(said, str) and re.fullmatch(r"[a-z_]{1,60}", said) else "it gave an error"
