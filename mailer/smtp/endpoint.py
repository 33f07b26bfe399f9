"""The endpoint: which server to talk to, how safely, as whom, and how long to wait for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from ..errors import ConfigError
from ..redaction import MASK, Unpickled
from .fingerprint import fingerprints_from

if TYPE_CHECKING:
    from ..oauth2.token import TokenSource
    from ..proxy import Proxy
    from ..runtime import AddrInfo

__all__ = ["Endpoint", "Timeouts", "TlsMode"]

#: "required": TLS or nothing. "opportunistic": TLS where it is offered. "none": never.
TlsMode = Literal["required", "opportunistic", "none"]


_FIELD_OF = {
    "the connection": "greeting_s",
    "EHLO": "ehlo_s",
    "HELO": "ehlo_s",
    "LHLO": "ehlo_s",
    "STARTTLS": "tls_s",
    "AUTH": "auth_s",
    "MAIL": "mail_s",
    "RCPT": "rcpt_s",
    "DATA": "data_s",
    "the mail": "block_s",
    "BDAT": "final_s",
    "the final dot": "final_s",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long each step may take, in seconds. Each covers a whole reply or block, however slowly it drips in.

    RFC 5321 section 4.5.3.2 allows minutes; a web request does not, so these are shorter.

    Attributes:
        connect_s: To find and reach the server: for each of its addresses.
        command_s: From a command to the end of its reply, for each step that has no figure of its own.
        final_s: From the final dot, or a chunk of the mail, to the end of its reply. Giving up here leaves the outcome
            unknown.
        total_s: For one attempt in all.
        greeting_s, ehlo_s, tls_s, auth_s, mail_s, rcpt_s, data_s: For that step; None: ``command_s``. HELO and LHLO
            count as EHLO, the STARTTLS command and the handshake each as tls.
        block_s: For a block of the mail, or a group of commands, to be taken; None: ``final_s``.
    """

    connect_s: float = 10.0
    command_s: float = 30.0
    final_s: float = 120.0
    total_s: float = 180.0
    greeting_s: float | None = None
    ehlo_s: float | None = None
    tls_s: float | None = None
    auth_s: float | None = None
    mail_s: float | None = None
    rcpt_s: float | None = None
    data_s: float | None = None
    block_s: float | None = None

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if value is not None and not 0 < value <= 86_400:  # NaN compares false
                raise ConfigError(f"{name} must be more than 0 and at most 86400 seconds, not {value!r}")

    @classmethod
    def rfc5321(cls) -> Timeouts:
        """The figures of RFC 5321 section 4.5.3.2, for workers that can wait; Postfix's where it gives none."""
        return cls(connect_s=30.0, command_s=300.0, data_s=120.0, block_s=180.0, final_s=600.0, total_s=3600.0)

    def of(self, step: str) -> float:
        """Seconds for a step of the dialogue, by its name in error texts ("MAIL", "the final dot")."""
        own: float | None = getattr(self, _FIELD_OF.get(step, "command_s"))
        if own is not None:
            return own
        return self.final_s if step == "the mail" else self.command_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint(Unpickled):
    """A server and the terms of talking to it.

    Attributes:
        host: Its name or IP address, without brackets. The certificate must bear it.
        port: Its TCP port.
        addresses: Where it is, if that is known already; (): its name is looked up.
        path: Of the unix socket on which it listens; "": it listens on the port.
        is_lmtp: It speaks LMTP (RFC 2033).
        source_address: IP addresses of this machine to connect from, at most one for each family, which is used only if
            it has one; (): the system chooses.
        proxy: By way of which the server is reached; None: straight.
        implicit_tls: TLS from the first byte (smtps, port 465) rather than by STARTTLS.
        tls: What to do about TLS. What names a certificate, ours or the server's, goes with "required".
        verify: Check the certificate: that a trusted authority issued it, for this host, for today. False lets anyone
            in the middle read and change everything, but for ``fingerprints``.
        ca_file: A PEM file with the only authorities to trust; None: the system's.
        fingerprints: SHA-256 fingerprints of certificates, each 64 hexadecimal digits, with or without colons: the
            server's must be one of these. With ``verify``, both must hold. (): any.
        cert_file: A PEM file with our own certificate, for servers that ask for one; None: we have none.
        key_file: A PEM file with its private key; None: it stands in ``cert_file``. Not shown.
        key_password: What the private key is encrypted with. Never shown.
        tls_min: The oldest version of TLS to speak, "1.2" or "1.3".
        certificate_check: Given the chain that the server shows, DER, its own certificate first, says why that is not
            taken, or "": what else than ``verify`` may tell who the server is (DANE). None: nothing.
        username: Who logs in; None: nobody. Shown by :attr:`login` only.
        password: The password. Never shown.
        tokens: Where OAuth 2 access tokens come from, in the password's place.
        auth: The only mechanism to use, "PLAIN"; "" takes the strongest that the server offers.
        auth_in_clear: Send credentials without TLS.
        helo: What EHLO says: a fully qualified name; "" says the local address as a literal, which tells no host name.
        timeouts: How long to wait.
    """

    host: str
    port: int
    addresses: tuple[AddrInfo, ...] = ()
    source_address: tuple[str, ...] = ()
    proxy: Proxy | None = None
    path: str = ""
    is_lmtp: bool = False
    implicit_tls: bool = False
    tls: TlsMode = "opportunistic"
    verify: bool = True
    ca_file: str | None = None
    fingerprints: tuple[str, ...] = ()
    cert_file: str | None = None
    key_file: str | None = field(default=None, repr=False)
    key_password: str | None = field(default=None, repr=False)
    tls_min: str = "1.2"
    certificate_check: Callable[[Sequence[bytes]], str] | None = None
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    tokens: TokenSource | None = field(default=None, repr=False)
    auth: str = ""
    auth_in_clear: bool = False
    helo: str = ""
    timeouts: Timeouts = Timeouts()

    def __post_init__(self) -> None:
        if self.is_lmtp and self.port == 25 and not self.path:
            # RFC 2033 section 5: "The LMTP protocol MUST NOT be used on the TCP port 25."
            raise ConfigError(f"{self.host}: LMTP must not be spoken on port 25, which is SMTP's; its own is 24")
        if self.path and (self.source_address or self.proxy is not None):
            raise ConfigError(
                f"{self}: no {'source_address' if self.source_address else 'proxy'} leads to a unix socket"
            )
        if self.implicit_tls and self.tls == "none":
            raise ConfigError(f"{self}: implicit_tls and tls=none contradict each other")
        try:
            object.__setattr__(self, "fingerprints", fingerprints_from(self.fingerprints))
        except ValueError as error:
            raise ConfigError(f"{self}: fingerprint: {error}") from None
        if self.tls_min not in ("1.2", "1.3"):
            raise ConfigError(f"{self}: tls_min must be 1.2 or 1.3, not {self.tls_min!r}")
        if self.cert_file is None and (self.key_file is not None or self.key_password is not None):
            raise ConfigError(f"{self}: a private key needs its certificate: name it in cert_file")
        named = "fingerprint" if self.fingerprints else "cert_file" if self.cert_file is not None else ""
        if named and self.tls != "required" and not self.implicit_tls:
            # Who strips STARTTLS would strip this too.
            raise ConfigError(f"{self}: {named} goes with tls=required, not with tls={self.tls}")

    @property
    def is_checked(self) -> bool:
        """Whether TLS tells who the server is: nobody else can show a certificate that is taken."""
        return self.verify or bool(self.fingerprints) or self.certificate_check is not None

    @property
    def login(self) -> str:
        """Who logs in, as it may be shown: "" for nobody; masked where a service's token is user and password both."""
        return MASK if self.username and self.username == self.password else self.username or ""

    def __str__(self) -> str:
        if self.path:
            return self.path
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
