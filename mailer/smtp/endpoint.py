"""The endpoint: which server to talk to, how safely, as whom, and how long to wait for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from ..errors import ConfigError

if TYPE_CHECKING:
    from ..runtime import Runtime

__all__ = ["Endpoint", "Timeouts", "TlsMode", "TokenSource"]

#: "required": TLS or nothing. "opportunistic": TLS where it is offered. "none": never.
TlsMode = Literal["required", "opportunistic", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long each step may take, in seconds. Each covers a whole reply or block, however slowly it drips in.

    RFC 5321 section 4.5.3.2 allows minutes; a web request does not, so these are shorter.

    Attributes:
        connect_s: To find and reach the server: for each of its addresses.
        command_s: From a command to the end of its reply; also the greeting and the TLS handshake.
        final_s: From the final dot to the end of its reply. Giving up here leaves the outcome unknown. Also for a block
            of the mail to be taken.
        total_s: For one attempt in all.
    """

    connect_s: float = 10.0
    command_s: float = 30.0
    final_s: float = 120.0
    total_s: float = 180.0

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if not 0 < value <= 86_400:  # NaN compares false
                raise ConfigError(f"{name} must be more than 0 and at most 86400 seconds, not {value!r}")


class TokenSource(Protocol):
    """Gives access tokens, and knows when they end."""

    async def token(self, runtime: Runtime, deadline: float, *, stale: str | None = None) -> str:
        """A token that is good now.

        Args:
            stale: One that the server has just refused: not to be given again if another can be had.

        Raises:
            AuthError: There is none to be had: the grant was refused.
            TransportError: The token server could not be asked.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A server and the terms of talking to it.

    Attributes:
        host: Its name or IP address, without brackets. The certificate must bear it.
        port: Its TCP port.
        implicit_tls: TLS from the first byte (smtps, port 465) rather than by STARTTLS.
        tls: What to do about TLS.
        verify: Check the certificate. False lets anyone in the middle read and change everything.
        ca_file: A PEM file with the only authorities to trust; None: the system's.
        username: Who logs in; None: nobody.
        password: The password. Never shown.
        tokens: Where OAuth 2 access tokens come from, in the password's place.
        auth: The only mechanism to use, "PLAIN"; "" takes the strongest that the server offers.
        auth_in_clear: Send credentials without TLS.
        helo: What EHLO says: a fully qualified name; "" says the local address as a literal, which tells no host name.
        timeouts: How long to wait.
    """

    host: str
    port: int
    implicit_tls: bool = False
    tls: TlsMode = "opportunistic"
    verify: bool = True
    ca_file: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tokens: TokenSource | None = field(default=None, repr=False)
    auth: str = ""
    auth_in_clear: bool = False
    helo: str = ""
    timeouts: Timeouts = Timeouts()

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
