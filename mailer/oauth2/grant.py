"""Grants: what is shown to a token server to get an access token (RFC 6749, RFC 7523). Pure."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from ..errors import ConfigError
from ..redaction import MASK, Unpickled

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

__all__ = [
    "SERVICES",
    "ClientCredentialsGrant",
    "Grant",
    "RefreshTokenGrant",
    "Service",
    "ServiceAccountGrant",
    "service_of",
]

_LOOPBACK = re.compile(r"localhost|127(?:\.[0-9]{1,3}){3}|::1", re.ASCII)
#: RFC 7523 section 3 asks for an end; Google takes an hour at most.
_ASSERTION_S = 3600


# --- token servers ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Service:
    """A well-known token server.

    Attributes:
        token_url: With ``{tenant}`` where it has tenants.
        app_scope: What an application that acts for itself asks for, to send by SMTP.
    """

    token_url: str
    app_scope: str


#: Google: developers.google.com/identity/protocols/oauth2. Microsoft: learn.microsoft.com, "Authenticate an IMAP, POP
#: or SMTP connection using OAuth".
SERVICES: Mapping[str, Service] = {
    "google": Service("https://oauth2.googleapis.com/token", "https://mail.google.com/"),
    "microsoft": Service(
        "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token", "https://outlook.office365.com/.default"
    ),
}
_TENANT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?", re.ASCII)


def service_of(name: str, tenant: str = "") -> tuple[str, str]:
    """The token URL and the scope for applications of a service's name, or of a URL in its place.

    Raises:
        ConfigError: There is no such service, or no such tenant.
    """
    if isinstance(name, str) and "://" in name:
        if tenant:
            raise ConfigError("oauth2: tenant is for service 'microsoft': a URL holds its own")
        return name, ""
    if name not in SERVICES:
        raise ConfigError(f"oauth2: service must be {' or '.join(map(repr, SERVICES))}, or a token server's https URL")
    service = SERVICES[name]
    if "{tenant}" not in service.token_url:
        if tenant:
            raise ConfigError(f"oauth2: service {name!r} has no tenants")
        return service.token_url, service.app_scope
    if not _TENANT.fullmatch(tenant or "common"):
        raise ConfigError("oauth2: tenant must be a domain or an id")
    return service.token_url.format(tenant=tenant or "common"), service.app_scope


# --- grants -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant(Unpickled):
    """What all grants have.

    Attributes:
        token_url: Where to ask: https; http on this machine alone.
        scope: What for, parted by blanks; "" leaves it to the server.
    """

    token_url: str
    scope: str = ""

    #: What to do about an ``invalid_grant``.
    remedy: ClassVar[str] = ""

    def __post_init__(self) -> None:
        _check_url(self.token_url)
        _check_text("scope", self.scope, may_be_empty=True)

    def form(self, now: float, refresh_token: str | None) -> dict[str, str]:
        """The fields to post.

        Args:
            now: Seconds since 1970.
            refresh_token: The one that the server gave last, or None.
        """
        raise NotImplementedError

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be shown."""
        raise NotImplementedError

    @property
    def identity(self) -> tuple[str, ...]:
        """Whose tokens these are, to be hashed: without what may change while the tokens stay good."""
        raise NotImplementedError

    @property
    def shown(self) -> dict[str, str]:
        """What it is made of, to show: secrets masked."""
        raise NotImplementedError

    def _with_scope(self, **fields: str) -> dict[str, str]:
        """Those that are not empty, and the scope."""
        return {name: value for name, value in {**fields, "scope": self.scope}.items() if value}

    @property
    def host(self) -> str:
        """The token server's name."""
        return urlsplit(self.token_url).hostname or ""

    def __str__(self) -> str:
        who = " ".join(f"{name}={value}" for name, value in self.shown.items())
        return f"{self.host} {who}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshTokenGrant(Grant):
    """A user's consent, given once, as a refresh token (RFC 6749 section 6)."""

    client_id: str
    refresh_token: str = field(repr=False)
    client_secret: str = field(default="", repr=False)

    remedy: ClassVar[str] = "the refresh token has ended or was revoked: let the user consent again"

    def __post_init__(self) -> None:
        Grant.__post_init__(self)
        _check_text("client_id", self.client_id)
        _check_text("refresh_token", self.refresh_token)
        _check_text("client_secret", self.client_secret, may_be_empty=True)

    def form(self, now: float, refresh_token: str | None) -> dict[str, str]:
        """The fields of RFC 6749 section 6; the client proves itself by its secret, if it has one (section 2.3.1)."""
        return self._with_scope(
            grant_type="refresh_token",
            refresh_token=refresh_token or self.refresh_token,
            client_id=self.client_id,
            client_secret=self.client_secret,
        )

    @property
    def secrets(self) -> tuple[str, ...]:
        """The client's secret and the refresh token."""
        return (self.client_secret, self.refresh_token)

    @property
    def identity(self) -> tuple[str, ...]:
        """The client and the consent. Its secret may change: the refresh token that the server gave last stays good."""
        return (self.client_id, self.refresh_token)

    @property
    def shown(self) -> dict[str, str]:
        """The client."""
        secret = {"client_secret": MASK} if self.client_secret else {}
        return {"client_id": self.client_id, **secret, "refresh_token": MASK}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCredentialsGrant(Grant):
    """The application itself, without a user (RFC 6749 section 4.4)."""

    client_id: str
    client_secret: str = field(repr=False)

    remedy: ClassVar[str] = "the application may not act for itself: let an administrator consent to its permissions"

    def __post_init__(self) -> None:
        Grant.__post_init__(self)
        _check_text("client_id", self.client_id)
        _check_text("client_secret", self.client_secret)

    def form(self, now: float, refresh_token: str | None) -> dict[str, str]:
        """The fields of RFC 6749 section 4.4.2."""
        return self._with_scope(
            grant_type="client_credentials", client_id=self.client_id, client_secret=self.client_secret
        )

    @property
    def secrets(self) -> tuple[str, ...]:
        """The client's secret."""
        return (self.client_secret,)

    @property
    def identity(self) -> tuple[str, ...]:
        """The client."""
        return (self.client_id,)

    @property
    def shown(self) -> dict[str, str]:
        """The client."""
        return {"client_id": self.client_id, "client_secret": MASK}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAccountGrant(Grant):
    """A Google service account: its key signs a claim of who it is and for whom it acts (RFC 7523 section 2.1).

    Attributes:
        client_email: The account.
        key_id: Which of its keys.
        subject: The user in whose name mail is sent, by domain-wide delegation; "" is the account itself.
    """

    client_email: str
    private_key: RSAPrivateKey = field(repr=False, compare=False)
    key_id: str = ""
    subject: str = ""

    remedy: ClassVar[str] = (
        "the account's key was deleted, this machine's clock is wrong, or the subject is no user of the domain"
    )

    @classmethod
    def of(cls, key: Mapping[str, Any], *, subject: str = "", scope: str = "") -> ServiceAccountGrant:
        """The grant of a key as Google's console gives it out, in JSON.

        Raises:
            ConfigError: It is no such key, or cryptography is not installed.
        """
        if not isinstance(key, Mapping) or key.get("type") != "service_account":
            raise ConfigError(
                "oauth2: service_account must be the JSON key of a service account, with type 'service_account'"
            )
        texts = {}
        for name in ("client_email", "private_key", "private_key_id", "token_uri"):
            value = key.get(name) or ("" if name in ("private_key_id", "token_uri") else None)
            if not isinstance(value, str):
                raise ConfigError(f"oauth2: service_account: the key has no {name}")
            texts[name] = value
        _check_text("subject", subject, may_be_empty=True)
        return cls(
            token_url=texts["token_uri"] or SERVICES["google"].token_url,
            scope=scope or SERVICES["google"].app_scope,
            client_email=texts["client_email"],
            private_key=_rsa_key(texts["private_key"]),
            key_id=texts["private_key_id"],
            subject=subject,
        )

    def form(self, now: float, refresh_token: str | None) -> dict[str, str]:
        """The assertion; the scope is a claim in it."""
        return {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": self.assertion(now)}

    def assertion(self, now: float) -> str:
        """A JSON Web Token, signed by RS256 (RFC 7519, RFC 7518 section 3.3), good for an hour."""
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.hashes import SHA256

        header = {"alg": "RS256", "typ": "JWT", **({"kid": self.key_id} if self.key_id else {})}
        claims: dict[str, Any] = {
            "iss": self.client_email,
            "scope": self.scope,
            "aud": self.token_url,
            "iat": int(now),
            "exp": int(now) + _ASSERTION_S,
        }
        if self.subject:
            claims["sub"] = self.subject
        signed = f"{_base64url(_json(header))}.{_base64url(_json(claims))}"
        return f"{signed}.{_base64url(self.private_key.sign(signed.encode(), PKCS1v15(), SHA256()))}"

    @property
    def secrets(self) -> tuple[str, ...]:
        """None: the key never leaves this process."""
        return ()

    @property
    def identity(self) -> tuple[str, ...]:
        """The account and its user."""
        return (self.client_email, self.subject)

    @property
    def shown(self) -> dict[str, str]:
        """The account and its user."""
        subject = {"subject": self.subject} if self.subject else {}
        return {"service_account": self.client_email, **subject}


def _check_url(url: str) -> None:
    problem = "must be an https URL"
    if isinstance(url, str) and re.fullmatch(r"[\x21-\x7e]+", url):
        try:
            parts = urlsplit(url)
            is_whole = bool(parts.hostname) and parts.port != 0 and parts.username is None and not parts.fragment
        except ValueError:
            is_whole = False
        if is_whole and parts.scheme == "https":
            return
        if is_whole and parts.scheme == "http":
            if _LOOPBACK.fullmatch(parts.hostname or ""):
                return
            problem = "must be https: http is for this machine alone, since secrets are sent there"
    raise ConfigError(f"oauth2: the token server's URL {problem}")


def _check_text(name: str, value: object, *, may_be_empty: bool = False) -> None:
    if not isinstance(value, str) or not (value or may_be_empty):
        raise ConfigError(f"oauth2: {name} must be a text, not {'empty' if value == '' else type(value).__name__}")
    if not value.isprintable():
        raise ConfigError(f"oauth2: {name} holds a line break or another control character")


def _rsa_key(pem: str) -> RSAPrivateKey:
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError as error:
        raise ConfigError("a service account needs cryptography: pip install 'mailwright[crypto]'") from error
    try:
        key = load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, RSAPrivateKey):
        raise ConfigError("oauth2: service_account: its private_key is not an RSA key in PEM, without a passphrase")
    return key


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
