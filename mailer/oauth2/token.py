"""Access tokens, and where they come from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from ..redaction import Unpickled

if TYPE_CHECKING:
    from ..runtime import Runtime

__all__ = ["EARLY_S", "AccessToken", "TokenSource"]

EARLY_S = 60.0
"""A token is not used within its last minute: it has to last until the server has looked at it."""


@dataclass(frozen=True, slots=True)
class AccessToken(Unpickled):
    """An access token.

    Attributes:
        value: Printable ASCII. Never shown.
        expires_at: When it ends, in seconds since 1970 (as ``time.time()``); None is not known.
    """

    value: str = field(repr=False)
    expires_at: float | None = None

    def is_good(self, now: float) -> bool:
        """Whether it is known to last, and for more than a minute."""
        return self.expires_at is not None and self.expires_at - now > EARLY_S


class TokenSource(Protocol):
    """Gives access tokens, and knows when they end."""

    async def token(self, runtime: Runtime, deadline: float, *, stale: str | None = None) -> str:
        """A token that is good now.

        Args:
            stale: One that the server has just refused: not to be given again if another can be had.

        Raises:
            AuthError: There is none to be had: the grant was refused.
            TransportError: The token server could not be asked.
            ConfigError: The source cannot be used as it is set up.
        """
        ...
