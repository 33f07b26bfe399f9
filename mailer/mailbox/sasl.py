"""SASL mechanisms, the server's half: pure generators, which yield challenges and are sent responses (RFC 4422).

Each returns the user who has proved who he is, or None; a ValueError says that a response cannot be read.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field

from ..errors import AuthError
from ..smtp.saslprep import saslprep

__all__ = ["MECHANISMS", "Accounts", "Login", "mechanisms_for"]

#: What RFC 7677 section 4 asks for at least, and what our own client insists on.
_ITERATIONS = 4096

Steps = Generator[bytes, bytes, str | None]


@dataclass(frozen=True, slots=True)
class Accounts:
    """Who may log in, and how.

    Attributes:
        passwords: User to password.
        tokens: User to OAuth 2 access token.
        hostname: The server's name, for CRAM-MD5's challenge.
        end_point: tls-server-end-point of the connection (RFC 5929), if the -PLUS mechanisms are offered; else None.
        nonce: A text of this connection's own: visible ASCII without comma.
        salt: For SCRAM; b"" makes one of the user's name.
    """

    passwords: Mapping[str, str] = field(default_factory=dict, repr=False)
    tokens: Mapping[str, str] = field(default_factory=dict, repr=False)
    hostname: str = "localhost"
    end_point: bytes | None = field(default=None, repr=False)
    nonce: str = field(default="", repr=False)
    salt: bytes = field(default=b"", repr=False)

    def has(self, user: str, password: bytes) -> bool:
        """Whether this is the user's password."""
        known = self.passwords.get(user)
        return known is not None and hmac.compare_digest(known.encode("utf-8"), password)


class Login:
    """One exchange. Feed the responses to `take`; what it returns goes out as a 334 until it is done.

    Args:
        name: The mechanism, one of `MECHANISMS`.

    Attributes:
        is_done: No further response is wanted.
        user: Who logged in, once done; None: nobody.
    """

    def __init__(self, name: str, accounts: Accounts) -> None:
        self.user: str | None = None
        self.is_done = False
        self.speaks_first = name in _SERVER_FIRST
        self._steps = _TABLE[name](accounts)
        self.challenge = next(self._steps)

    def take(self, response: bytes) -> bytes | None:
        """Return the next challenge to a decoded response; None once done. ValueError: it cannot be read."""
        try:
            return self._steps.send(response)
        except StopIteration as end:
            self.user, self.is_done = end.value, True
        except (LookupError, AuthError) as exc:  # a field is missing, or SASLprep refuses the name
            raise ValueError("not a response") from exc
        return None


def mechanisms_for(accounts: Accounts) -> tuple[str, ...]:
    """The mechanisms that these accounts are good for, strongest first."""
    return tuple(
        name
        for name in MECHANISMS
        if (accounts.tokens if name in _BY_TOKEN else accounts.passwords)
        and (accounts.end_point is not None or not name.endswith("-PLUS"))
    )


# --- the mechanisms ---------------------------------------------------------------------------------------------------


def _plain(accounts: Accounts) -> Steps:
    """RFC 4616."""
    _, name, password = (yield b"").split(b"\0")
    user = name.decode("utf-8")
    return user if accounts.has(user, password) else None


def _login(accounts: Accounts) -> Steps:
    """draft-murchison-sasl-login."""
    user = (yield b"Username:").decode("utf-8")
    return user if accounts.has(user, (yield b"Password:")) else None


def _cram_md5(accounts: Accounts) -> Steps:
    """RFC 2195."""
    challenge = f"<{accounts.nonce}@{accounts.hostname}>".encode("ascii")
    name, _, digest = (yield challenge).rpartition(b" ")
    user = name.decode("utf-8")
    known = accounts.passwords.get(user)
    if known is None:
        return None
    # "a string of 16 hexadecimal digits, lower case": and no other
    expected = hmac.new(known.encode(), challenge, "md5").hexdigest().encode()
    return user if hmac.compare_digest(expected, digest) else None


def _scram(name: str, hash_name: str) -> Callable[[Accounts], Steps]:
    is_bound = name.endswith("-PLUS")

    def steps(accounts: Accounts) -> Steps:
        """RFC 5802, RFC 7677."""
        first = (yield b"").decode("utf-8")
        flag, authzid, bare = first.split(",", 2)
        fields = _fields(bare)
        user = fields["n"].replace("=2C", ",").replace("=3D", "=")
        # "y": the client could bind and believes that the server cannot. If it can, someone between the two took the
        # offer away (RFC 5802 section 6).
        plain = {"n"} if accounts.end_point is not None else {"n", "y"}
        if flag not in ({"p=tls-server-end-point"} if is_bound else plain) or authzid:
            return None
        nonce = fields["r"] + accounts.nonce
        password = accounts.passwords.get(user)
        salt = accounts.salt or hashlib.sha256(user.encode()).digest()[:16]  # an unknown user has one too
        server_first = f"r={nonce},s={base64.b64encode(salt).decode()},i={_ITERATIONS}"
        final = (yield server_first.encode()).decode("utf-8")
        without_proof, _, proof = final.rpartition(",p=")
        said = _fields(without_proof)
        bound = f"{flag},{authzid},".encode() + ((accounts.end_point or b"") if is_bound else b"")
        if said["r"] != nonce or base64.b64decode(said["c"], validate=True) != bound or password is None:
            return None
        salted = _salted(hash_name, saslprep(password), salt)
        client_key = hmac.new(salted, b"Client Key", hash_name).digest()
        message = ",".join([bare, server_first, without_proof]).encode()
        signature = hmac.new(hashlib.new(hash_name, client_key).digest(), message, hash_name).digest()
        expected = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        if not hmac.compare_digest(expected, base64.b64decode(proof, validate=True)):
            return None
        server_key = hmac.new(salted, b"Server Key", hash_name).digest()
        yield b"v=" + base64.b64encode(hmac.new(server_key, message, hash_name).digest())
        return user

    return steps


@functools.lru_cache(maxsize=64)
def _salted(hash_name: str, password: str, salt: bytes) -> bytes:
    return hashlib.pbkdf2_hmac(hash_name, password.encode(), salt, _ITERATIONS)


def _fields(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split(","))
    return {name: value for name, _, value in pairs}


def _bearer(key: str) -> Callable[[Accounts], Steps]:
    def steps(accounts: Accounts) -> Steps:
        """XOAUTH2 (Google, Microsoft) and OAUTHBEARER (RFC 7628)."""
        parts = (yield b"").decode("utf-8").split("\x01")
        fields = dict(part.partition("=")[::2] for part in parts[1:] if part)
        if key == "user":
            user = parts[0].removeprefix("user=")
        else:
            header = parts[0].split(",")  # "n,a=user,"
            user = header[1].removeprefix("a=").replace("=2C", ",").replace("=3D", "=")
        known = accounts.tokens.get(user)
        given = fields.get("auth", "").removeprefix("Bearer ")
        if known is not None and hmac.compare_digest(known.encode(), given.encode()):
            return user
        # "the server sends an error message as a challenge ... the client MUST then send either an additional
        # client response consisting of a single %x01 or a SASL cancellation" (RFC 7628 section 3.2.3)
        yield json.dumps({"status": "401", "schemes": "bearer", "scope": "mail"}).encode()
        return None

    return steps


_BY_TOKEN = frozenset({"OAUTHBEARER", "XOAUTH2"})
_SERVER_FIRST = frozenset({"CRAM-MD5"})
_TABLE: dict[str, Callable[[Accounts], Steps]] = {
    "SCRAM-SHA-256-PLUS": _scram("SCRAM-SHA-256-PLUS", "sha256"),
    "SCRAM-SHA-1-PLUS": _scram("SCRAM-SHA-1-PLUS", "sha1"),
    "SCRAM-SHA-256": _scram("SCRAM-SHA-256", "sha256"),
    "SCRAM-SHA-1": _scram("SCRAM-SHA-1", "sha1"),
    "OAUTHBEARER": _bearer("a"),
    "XOAUTH2": _bearer("user"),
    "CRAM-MD5": _cram_md5,
    "PLAIN": _plain,
    "LOGIN": _login,
}
#: What the server has, strongest first.
MECHANISMS = tuple(_TABLE)
