"""Unsubscribe links: who and what list, in a token that only we can write (RFC 2369, RFC 8058 section 3.1)."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from .address import Address
from .errors import ConfigError, MailerError, ProtocolError
from .field import has_surrogate, shown
from .redaction import Unpickled, forgets_arguments

__all__ = ["UnsubscribeLinks", "Unsubscription"]

#: A secret of fewer characters is guessed by whoever has one link and a fast machine.
_MIN_SECRET = 32
_MAC_BYTES = 16  # RFC 2104 section 5: no less than half of the hash's length
_MAX_TOKEN = 600  # with the URL, or an address of mailto, before it, below a line of 998 characters
_MAX_LIST = 100
_DAY_S = 86_400
_TOKEN = re.compile(r"1\.([0-9a-f]{8})\.([A-Za-z0-9_-]{1,600})\.([A-Za-z0-9_-]{22})", re.ASCII)
_PATH = re.compile(r"[!-~]*", re.ASCII)
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Unsubscription:
    """What a token says.

    Attributes:
        address: Who.
        list_name: What from; "" is everything.
        issued_s: When the link was written, in seconds since 1970.
        is_expired: It was too long ago.
    """

    address: Address
    list_name: str
    issued_s: int
    is_expired: bool = False


class UnsubscribeLinks(Unpickled):
    """Writes links and reads them back. Shows its URL and no secret.

    A token names recipient, list and time in clear, with a MAC over them (HMAC-SHA-256, 128 bits): nobody can write one
    for somebody else. It names the secret that it was made with, so that links outlive a change of secrets.

    Args:
        url: Where the endpoint is mounted: https (http on this machine alone), no query. The token is put behind it.
        secret: That new links are made with, at least 32 characters.
        old_secrets: Former ones, whose links still count.
        expires_days: For how many days a link counts; None: for ever.

    Raises:
        ConfigError: One of these is wrong; the text shows no secret.
    """

    __slots__ = ("_key_id", "_keys", "expires_days", "url")

    @forgets_arguments
    def __init__(
        self, url: str, secret: str, *, old_secrets: Iterable[str] = (), expires_days: int | None = None
    ) -> None:
        self.url = _checked_url(url)
        if expires_days is not None and (type(expires_days) is not int or not 1 <= expires_days <= 36_500):
            raise ConfigError(f"unsubscribe: expires_days={shown(expires_days)}: must be a whole number of 1 to 36500")
        self.expires_days = expires_days
        self._keys: dict[str, bytes] = {}
        for one in (secret, *old_secrets):
            if not isinstance(one, str) or len(one) < _MIN_SECRET or has_surrogate(one):
                raise ConfigError(
                    f"unsubscribe: a secret has at least {_MIN_SECRET} characters: make one with 'openssl rand -hex 32'"
                )
            # Apart from whatever else the app uses the secret for.
            key = hmac.digest(one.encode(), b"mailer unsubscribe links 1", "sha256")
            self._keys.setdefault(hmac.digest(key, b"key id", "sha256").hex()[:8], key)
        self._key_id = next(iter(self._keys))

    # --- writing ------------------------------------------------------------------------------------------------------

    def token(self, address: Address, list_name: str = "", *, now_s: float) -> str:
        """A token, of letters, digits and ``.-_``.

        Raises:
            MailerError: The list's name is longer than 100 characters, or the whole too long for a header.
        """
        if len(list_name) > _MAX_LIST:
            raise MailerError(f"unsubscribe: the list's name is longer than {_MAX_LIST} characters: {shown(list_name)}")
        said = json.dumps([int(now_s), address.addr_spec, list_name], ensure_ascii=False, separators=(",", ":"))
        payload = urlsafe_b64encode(said.encode()).decode().rstrip("=")
        signed = f"1.{self._key_id}.{payload}"
        token = f"{signed}.{_mac(self._keys[self._key_id], signed)}"
        if len(token) > _MAX_TOKEN:
            raise MailerError(f"unsubscribe: address and list together are too long for a link: {shown(list_name)}")
        return token

    def link(self, address: Address, list_name: str = "", *, now_s: float) -> str:
        """The URL with the token. Raises as :meth:`token`."""
        return f"{self.url}/{self.token(address, list_name, now_s=now_s)}"

    # --- reading ------------------------------------------------------------------------------------------------------

    def read(self, token: str, *, now_s: float) -> Unsubscription:
        """What a token says; nothing of it is looked at before its MAC holds, which takes the same time whatever it is.

        Raises:
            ProtocolError: We have not written it.
        """
        found = _TOKEN.fullmatch(token)
        key = self._keys.get(found[1]) if found else None
        if found is None or key is None:
            raise ProtocolError("unsubscribe: this is no link of ours")
        if not hmac.compare_digest(_mac(key, token.rpartition(".")[0]), found[3]):
            raise ProtocolError("unsubscribe: this is no link of ours")
        issued_s, address, list_name = json.loads(urlsafe_b64decode(found[2] + "=" * (-len(found[2]) % 4)))
        is_expired = self.expires_days is not None and now_s - issued_s > self.expires_days * _DAY_S
        return Unsubscription(Address.parse(address), list_name, issued_s, is_expired)

    def __repr__(self) -> str:
        return f"<UnsubscribeLinks {self.url}>"


def _mac(key: bytes, signed: str) -> str:
    whole = hmac.digest(key, signed.encode("ascii"), hashlib.sha256)
    return urlsafe_b64encode(whole[:_MAC_BYTES]).decode().rstrip("=")


def _checked_url(url: object) -> str:
    """The endpoint's URL without a slash at its end."""
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
        f"unsubscribe: {shown(url)} is no URL for links: https://, ASCII, without query, at most 200 characters"
    )
