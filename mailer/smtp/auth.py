"""SASL mechanisms, the client's half: pure; a session carries what they say (RFC 4954, RFC 4422)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ..errors import AuthError
from .saslprep import saslprep

__all__ = ["ChannelBinding", "CramMd5", "Credentials", "Login", "Mechanism", "OAuthBearer", "Plain", "Scram", "XOAuth2"]
__all__ += ["MECHANISMS", "mechanism_for"]

#: RFC 7677 section 4 asks for 4096 at least; fewer would let whoever records the exchange guess cheaply.
_MIN_ITERATIONS = 4096
#: About a second of hashing: a server must not be able to ask for a minute of it.
_MAX_ITERATIONS = 2_000_000
#: RFC 5802 section 7. Other words are not repeated: a server may say anything there, the password too.
_SCRAM_ERRORS = frozenset(
    {
        "invalid-encoding",
        "extensions-not-supported",
        "invalid-proof",
        "channel-bindings-dont-match",
        "server-does-support-channel-binding",
        "channel-binding-not-supported",
        "unsupported-channel-binding-type",
        "unknown-user",
        "invalid-username-encoding",
        "no-resources",
        "other-error",
    }
)


@dataclass(frozen=True, slots=True)
class ChannelBinding:
    """What ties a login to its TLS connection (RFC 5056): the type's name and the data."""

    name: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Who logs in, and what a mechanism may use to prove it.

    Attributes:
        username: The user.
        password: The password, or None where a token proves it.
        token: An OAuth 2 access token, or None.
        host: The server, as the URL names it; OAUTHBEARER says it.
        port: Its port.
        binding: What the TLS connection offers for the -PLUS mechanisms, or None.
    """

    username: str
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    host: str = ""
    port: int = 0
    binding: ChannelBinding | None = None


class Mechanism(Protocol):
    """One authentication exchange, from its start; not used twice."""

    name: str
    #: Sent with the AUTH command; None sends none.
    initial: bytes | None
    #: What must not be shown, beside the password: the token; b"" if there is none.
    secret: bytes

    def answer(self, challenge: bytes) -> bytes | None:
        """What to answer to a 334's decoded challenge; None cancels the exchange.

        Raises:
            AuthError: The challenge is none of this mechanism, or shows that the server does not know the password.
        """

    def confirm(self) -> None:
        """Called when the server says 235: raise AuthError if it has not proved itself, where it must."""


class _Trusting:
    """A mechanism that proves the client to the server and not the server to the client: TLS does that."""

    secret = b""

    def confirm(self) -> None:
        """Nothing to be checked."""


class Plain(_Trusting):
    """PLAIN: authorization id (none), user and password in one (RFC 4616). Only safe under TLS."""

    name = "PLAIN"

    def __init__(self, username: str, password: str) -> None:
        if "\0" in username + password:
            raise AuthError("user name and password must not hold NUL (RFC 4616 section 2)")
        self.initial: bytes | None = f"\0{username}\0{password}".encode()

    def answer(self, challenge: bytes) -> bytes | None:
        """Nothing: all was said at the start, and is not said twice."""
        return None


class Login(_Trusting):
    """LOGIN: user, then password, whatever the prompts say (draft-murchison-sasl-login). Only safe under TLS."""

    name = "LOGIN"
    initial: bytes | None = None

    def __init__(self, username: str, password: str) -> None:
        self._answers = [username.encode(), password.encode()]

    def answer(self, challenge: bytes) -> bytes | None:
        """The next of the two; None once both are said."""
        return self._answers.pop(0) if self._answers else None


class CramMd5(_Trusting):
    """CRAM-MD5: the password keys a digest of the challenge (RFC 2195)."""

    name = "CRAM-MD5"
    initial: bytes | None = None

    def __init__(self, username: str, password: str) -> None:
        self._username = username
        self._password: str | None = password

    def answer(self, challenge: bytes) -> bytes | None:
        """User and digest, in lower-case hexadecimal; None if asked again."""
        if self._password is None:
            return None
        digest = hmac.new(self._password.encode(), challenge, "md5").hexdigest()
        self._password = None
        return f"{self._username} {digest}".encode()


class XOAuth2(_Trusting):
    """XOAUTH2: an access token (Google's and Microsoft's own, older than OAUTHBEARER)."""

    name = "XOAUTH2"
    _end = b""

    def __init__(self, username: str, token: str) -> None:
        _check_no_separator(username, token)
        self.initial: bytes | None = f"user={username}\x01auth=Bearer {token}\x01\x01".encode()
        self.secret = token.encode()
        self._is_refused = False

    def answer(self, challenge: bytes) -> bytes | None:
        """A 334 holds the error, as JSON; the answer to it lets the server say 535 (RFC 7628 section 3.2.3)."""
        if self._is_refused:
            return None
        self._is_refused = True
        return self._end


class OAuthBearer(XOAuth2):
    """OAUTHBEARER: an access token (RFC 7628)."""

    name = "OAUTHBEARER"
    _end = b"\x01"

    def __init__(self, username: str, token: str, host: str = "", port: int = 0) -> None:
        super().__init__(username, token)
        said = "".join([f"host={host}\x01" if host else "", f"port={port}\x01" if port else ""])
        self.initial = f"n,a={_escaped(username)},\x01{said}auth=Bearer {token}\x01\x01".encode()


class Scram:
    """SCRAM: both sides prove that they know the password, and neither says it (RFC 5802, RFC 7677).

    Args:
        binding: What the connection offers; with it, this is the -PLUS variant.
        is_downgraded: We could bind and the server does not offer it: said in the exchange, so that a server that did
            offer it notices that someone in the middle took the offer away (RFC 5802 section 6).
        nonce: Printable ASCII without comma; for tests.
    """

    def __init__(
        self,
        name: str,
        username: str,
        password: str,
        *,
        binding: ChannelBinding | None = None,
        is_downgraded: bool = False,
        nonce: str | None = None,
    ) -> None:
        self.name = name
        self.secret = b""
        self._hash = {"SCRAM-SHA-1": "sha1", "SCRAM-SHA-256": "sha256"}[name.removesuffix("-PLUS")]
        self._password = saslprep(password).encode()
        self._nonce = nonce or base64.b64encode(os.urandom(24)).decode("ascii")
        flag = f"p={binding.name}" if binding else "y" if is_downgraded else "n"
        self._header = f"{flag},,".encode()
        self._bound = self._header + (binding.data if binding else b"")
        self._first = f"n={_escaped(saslprep(username))},r={self._nonce}".encode()
        self.initial: bytes | None = self._header + self._first
        self._signature: bytes | None = None
        self._is_confirmed = False

    def answer(self, challenge: bytes) -> bytes | None:
        """The proof; then, to the server's own, an empty line; then None."""
        if self._is_confirmed:
            return None
        fields = _fields(challenge)
        if "e" in fields:
            said = fields["e"] if fields["e"] in _SCRAM_ERRORS else "other-error"
            raise AuthError(f"the server refused the {self.name} exchange: {said}")
        if self._signature is None:
            return self._proof(challenge, fields)
        if not hmac.compare_digest(_decoded(fields.get("v", "")), self._signature):
            raise AuthError(f"the server does not know the password: its {self.name} signature is wrong")
        self._is_confirmed = True
        return b""

    def _proof(self, challenge: bytes, fields: dict[str, str]) -> bytes:
        nonce, salt = fields.get("r", ""), _decoded(fields.get("s", ""))
        count = fields.get("i", "")
        if "m" in fields:
            raise AuthError(f"the server wants a {self.name} extension that we do not have")
        if not nonce.startswith(self._nonce) or nonce == self._nonce:
            raise AuthError("the server's SCRAM nonce does not extend ours: an answer to another exchange?")
        iterations = int(count) if re.fullmatch("[1-9][0-9]{0,8}", count) else 0
        if not salt or not _MIN_ITERATIONS <= iterations <= _MAX_ITERATIONS:
            raise AuthError(
                f"the server asks for {iterations or 'no number of'} SCRAM iterations:"
                f" we do {_MIN_ITERATIONS} to {_MAX_ITERATIONS}, with a salt"
            )
        salted = hashlib.pbkdf2_hmac(self._hash, self._password, salt, iterations)
        client_key = self._keyed(salted, b"Client Key")
        final = f"c={base64.b64encode(self._bound).decode('ascii')},r={nonce}".encode()
        said = b",".join([self._first, challenge, final])
        signature = self._keyed(hashlib.new(self._hash, client_key).digest(), said)
        proof = bytes([a ^ b for a, b in zip(client_key, signature, strict=True)])
        self._signature = self._keyed(self._keyed(salted, b"Server Key"), said)
        return final + b",p=" + base64.b64encode(proof)

    def _keyed(self, key: bytes, data: bytes) -> bytes:
        return hmac.new(key, data, self._hash).digest()

    def confirm(self) -> None:
        """The server's signature must have come, and be right, before its 235 is believed."""
        if not self._is_confirmed:
            raise AuthError(f"the server said 235 without proving that it knows the password ({self.name})")


# --- choosing ---------------------------------------------------------------------------------------------------------


def _scram(name: str) -> Callable[[Credentials, Sequence[str]], Mechanism | None]:
    def made(credentials: Credentials, offered: Sequence[str]) -> Mechanism | None:
        binding = credentials.binding if name.endswith("-PLUS") else None
        if credentials.password is None or (binding is None and name.endswith("-PLUS")):
            return None
        could_bind = credentials.binding is not None and f"{name}-PLUS" not in offered
        return Scram(name, credentials.username, credentials.password, binding=binding, is_downgraded=could_bind)

    return made


def _by_password(kind: Callable[[str, str], Mechanism]) -> Callable[[Credentials, Sequence[str]], Mechanism | None]:
    return lambda c, offered: None if c.password is None else kind(c.username, c.password)


def _oauthbearer(credentials: Credentials, offered: Sequence[str]) -> Mechanism | None:
    if credentials.token is None:
        return None
    return OAuthBearer(credentials.username, credentials.token, credentials.host, credentials.port)


def _xoauth2(credentials: Credentials, offered: Sequence[str]) -> Mechanism | None:
    return None if credentials.token is None else XOAuth2(credentials.username, credentials.token)


# Strongest first; each makes its mechanism, or None if these credentials are not for it.
_TABLE: dict[str, Callable[[Credentials, Sequence[str]], Mechanism | None]] = {
    "SCRAM-SHA-256-PLUS": _scram("SCRAM-SHA-256-PLUS"),
    "SCRAM-SHA-1-PLUS": _scram("SCRAM-SHA-1-PLUS"),
    "SCRAM-SHA-256": _scram("SCRAM-SHA-256"),
    "SCRAM-SHA-1": _scram("SCRAM-SHA-1"),
    "OAUTHBEARER": _oauthbearer,
    "XOAUTH2": _xoauth2,
    "CRAM-MD5": _by_password(CramMd5),
    "PLAIN": _by_password(Plain),
    "LOGIN": _by_password(Login),
}
#: What we have, strongest first.
MECHANISMS = tuple(_TABLE)


def mechanism_for(offered: Sequence[str], credentials: Credentials, only: str = "") -> Mechanism:
    """The strongest mechanism that the server offers and these credentials are for.

    Args:
        offered: The names after AUTH in the EHLO reply, in upper case.
        only: The one to use, if the settings name it.

    Raises:
        AuthError: There is none.
    """
    for name, made in _TABLE.items():
        if name in offered and only in ("", name) and (mechanism := made(credentials, offered)) is not None:
            return mechanism
    theirs = f"only {', '.join(offered)}" if offered else "no authentication"
    fitting = [only] if only else [name for name, made in _TABLE.items() if made(credentials, ()) is not None]
    raise AuthError(f"the server offers {theirs}; we have {', '.join(fitting)}")


# --- the fields of SCRAM and OAUTHBEARER ------------------------------------------------------------------------------


def _escaped(username: str) -> str:
    """A saslname: comma and equals sign as =2C and =3D (RFC 5802 section 5.1)."""
    return username.replace("=", "=3D").replace(",", "=2C")


def _fields(challenge: bytes) -> dict[str, str]:
    """``a=1,b=2`` as a mapping; what is none of that is left out."""
    pairs = (part.partition("=") for part in challenge.decode("utf-8", "replace").split(","))
    return {name: value for name, equals, value in pairs if equals and len(name) == 1}


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _check_no_separator(username: str, token: str) -> None:
    if "\x01" in username or not re.fullmatch(r"[!-~]+", token):
        raise AuthError("an access token is printable ASCII without blanks, and a user name holds no control character")


def refusal_of(challenge: bytes) -> str:
    """What a 334 of XOAUTH2 or OAUTHBEARER says is wrong, for people: ``invalid_token``, ``400``; "" if nothing."""
    try:
        said = json.loads(challenge)
        return ascii(str(said.get("error") or said.get("status") or ""))[1:-1]
    except (ValueError, AttributeError, RecursionError):
        return ""
