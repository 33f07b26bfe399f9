"""Tokens that only we can write: some JSON in clear, and a MAC over it. What links of ours carry."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from .errors import ConfigError, ProtocolError
from .field import has_surrogate, shown
from .redaction import Unpickled, forgets_arguments

__all__ = ["SignedTokens", "checked_url", "timeless"]

#: A secret of fewer characters is guessed by whoever has one link and a fast machine.
_MIN_SECRET = 32
_MAC_BYTES = 16  # RFC 2104 section 5: no less than half of the hash's length
_TOKEN = re.compile(r"1\.([0-9a-f]{8})\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]{22})", re.ASCII)
_IN_TEXT = re.compile(rf"(?<![\w.-]){_TOKEN.pattern}(?![\w-])", re.ASCII)
_PATH = re.compile(r"[!-~]*", re.ASCII)
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class SignedTokens(Unpickled):
    """Writes tokens and reads them back (HMAC-SHA-256, 128 bits). A token names the secret that it was made with.

    Args:
        what: Begins the text of errors: "unsubscribe".
        purpose: Keeps the tokens of one purpose from being taken for another's, whatever else the secret is used for.
        secrets: Of at least 32 characters; the first makes new tokens, the others' still count.
        longest: So many characters a token has at most.

    Raises:
        ConfigError: A secret is too short; the text shows none.
    """

    __slots__ = ("_key_id", "_keys", "longest", "what")

    @forgets_arguments
    def __init__(self, what: str, purpose: bytes, secrets: Iterable[str], *, longest: int) -> None:
        self.what = what
        self.longest = longest
        self._keys: dict[str, bytes] = {}
        for one in secrets:
            if not isinstance(one, str) or len(one) < _MIN_SECRET or has_surrogate(one):
                raise ConfigError(
                    f"{what}: a secret has at least {_MIN_SECRET} characters: make one with 'openssl rand -hex 32'"
                )
            key = hmac.digest(one.encode(), purpose, "sha256")
            self._keys.setdefault(hmac.digest(key, b"key id", "sha256").hex()[:8], key)
        self._key_id = next(iter(self._keys))

    def write(self, value: Any) -> str | None:
        """A token of what JSON holds, of letters, digits and ``.-_``; None if it would be too long."""
        said = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        payload = urlsafe_b64encode(said.encode()).decode().rstrip("=")
        signed = f"1.{self._key_id}.{payload}"
        token = f"{signed}.{_mac(self._keys[self._key_id], signed)}"
        return token if len(token) <= self.longest else None

    def read(self, token: str) -> Any:
        """What a token says; nothing of it is looked at before its MAC holds, which takes the same time whatever it is.

        Raises:
            ProtocolError: We have not written it.
        """
        found = _TOKEN.fullmatch(token) if len(token) <= self.longest else None
        key = self._keys.get(found[1]) if found else None
        if found is None or key is None or not hmac.compare_digest(_mac(key, token.rpartition(".")[0]), found[3]):
            raise ProtocolError(f"{self.what}: this is no link of ours")
        return _decoded(found[2])

    def __repr__(self) -> str:
        return f"<SignedTokens {self.what}>"


def timeless(text: str, mail_id: str) -> str:
    """The text with what each token in it says in its place, but for when, and in which mail, it was written.

    So it is equal for two mails that are the same. It is for comparing alone: no MAC is looked at.
    """

    def said(found: re.Match[str]) -> str:
        try:
            payload = _decoded(found[2])
        except (ValueError, RecursionError):  # anybody's text may look like one
            return found[0]
        if not isinstance(payload, list):
            return found[0]
        return json.dumps([one for one in payload if not isinstance(one, int) and one != mail_id])

    return _IN_TEXT.sub(said, text)


def _decoded(payload: str) -> Any:
    return json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def _mac(key: bytes, signed: str) -> str:
    whole = hmac.digest(key, signed.encode("ascii"), hashlib.sha256)
    return urlsafe_b64encode(whole[:_MAC_BYTES]).decode().rstrip("=")


def checked_url(what: str, url: object) -> str:
    """The endpoint's URL without a slash at its end.

    Raises:
        ConfigError: It is not https (http on this machine alone), has a query, or is longer than 200 characters.
    """
    if isinstance(url, str) and _PATH.fullmatch(url) and not set(url) & set('<>"\\^`{}|'):
        try:
            parts = urlsplit(url)
            is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
            is_plain = not (
                parts.query or parts.fragment or parts.username or parts.password or "?" in url or "#" in url
            )
            if is_safe and is_plain and parts.hostname and len(url) <= 200:
                return url.rstrip("/")
        except ValueError:
            pass
    raise ConfigError(
        f"{what}: {shown(url)} is no URL for links: https://, ASCII, without query, at most 200 characters"
    )
