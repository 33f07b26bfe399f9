"""SASL mechanisms, the client's half: pure; a session carries what they say (RFC 4954, RFC 4422)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from ..errors import AuthError

__all__ = ["Login", "Mechanism", "Plain", "mechanism_for"]


class Mechanism(Protocol):
    """One authentication exchange, from its start; not used twice."""

    name: str
    #: Sent with the AUTH command; None sends none.
    initial: bytes | None

    def answer(self, challenge: bytes) -> bytes | None:
        """What to answer to a 334's decoded challenge; None cancels the exchange."""


class Plain:
    """PLAIN: authorization id (none), user and password in one (RFC 4616). Only safe under TLS."""

    name = "PLAIN"

    def __init__(self, username: str, password: str) -> None:
        if "\0" in username + password:
            raise AuthError("user name and password must not hold NUL (RFC 4616 section 2)")
        self.initial: bytes | None = f"\0{username}\0{password}".encode()

    def answer(self, challenge: bytes) -> bytes | None:
        """Nothing: all was said at the start, and is not said twice."""
        return None


class Login:
    """LOGIN: user, then password, whatever the prompts say (draft-murchison-sasl-login). Only safe under TLS."""

    name = "LOGIN"
    initial: bytes | None = None

    def __init__(self, username: str, password: str) -> None:
        self._answers = [username.encode(), password.encode()]

    def answer(self, challenge: bytes) -> bytes | None:
        """The next of the two; None once both are said."""
        return self._answers.pop(0) if self._answers else None


# Strongest first.
_MECHANISMS: dict[str, Callable[[str, str], Mechanism]] = {"PLAIN": Plain, "LOGIN": Login}


def mechanism_for(offered: Sequence[str], username: str, password: str) -> Mechanism:
    """The strongest mechanism that the server offers and we have.

    Raises:
        AuthError: There is none.
    """
    for name, mechanism in _MECHANISMS.items():
        if name in offered:
            return mechanism(username, password)
    theirs = f"only {', '.join(offered)}" if offered else "no authentication"
    raise AuthError(f"the server offers {theirs}; we have {', '.join(_MECHANISMS)}")
