"""Unsubscribe links: who and what list, in a token that only we can write (RFC 2369, RFC 8058 section 3.1)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .address import Address
from .errors import ConfigError, MailerError
from .field import shown
from .redaction import Unpickled, forgets_arguments
from .signed_token import SignedTokens, checked_url

__all__ = ["UnsubscribeLinks", "Unsubscription"]

_MAX_TOKEN = 600  # with the URL, or an address of mailto, before it, below a line of 998 characters
_MAX_LIST = 100
_DAY_S = 86_400


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

    __slots__ = ("_tokens", "expires_days", "url")

    @forgets_arguments
    def __init__(
        self, url: str, secret: str, *, old_secrets: Iterable[str] = (), expires_days: int | None = None
    ) -> None:
        self.url = checked_url("unsubscribe", url)
        if expires_days is not None and (type(expires_days) is not int or not 1 <= expires_days <= 36_500):
            raise ConfigError(f"unsubscribe: expires_days={shown(expires_days)}: must be a whole number of 1 to 36500")
        self.expires_days = expires_days
        secrets = (secret, *old_secrets)
        self._tokens = SignedTokens("unsubscribe", b"mailer unsubscribe links 1", secrets, longest=_MAX_TOKEN)

    # --- writing ------------------------------------------------------------------------------------------------------

    def token(self, address: Address, list_name: str = "", *, now_s: float) -> str:
        """A token, of letters, digits and ``.-_``.

        Raises:
            MailerError: The list's name is longer than 100 characters, or the whole too long for a header.
        """
        if len(list_name) > _MAX_LIST:
            raise MailerError(f"unsubscribe: the list's name is longer than {_MAX_LIST} characters: {shown(list_name)}")
        token = self._tokens.write([int(now_s), address.addr_spec, list_name])
        if token is None:
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
        issued_s, address, list_name = self._tokens.read(token)
        is_expired = self.expires_days is not None and now_s - issued_s > self.expires_days * _DAY_S
        return Unsubscription(Address.parse(address), list_name, issued_s, is_expired)

    def __repr__(self) -> str:
        return f"<UnsubscribeLinks {self.url}>"
