"""The mailbox of a user behind a mail service's API, opened by OAuth 2 access tokens: what Gmail and Graph share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

from ..address import Address
from ..errors import AddressError, ConfigError
from ..mail import Mail
from .addressed import header_of
from .exchange import Request
from .letter import Letter
from .option import base_url
from .provider import Provider

if TYPE_CHECKING:
    from typing import Self

    from ..backends.options import BackendURL

__all__ = ["Mailbox"]


class Mailbox(Provider):
    """A mailbox that sends.

    Content says by itself to whom it goes: such an API reads the recipients in its header.

    Attributes:
        user: Its address; "" is the mailbox that the access token is of.
    """

    signs_with = "token"
    #: Where a password opens it: the scheme of a preset for SMTP.
    by_smtp: ClassVar[str]
    #: Error code -> what is to be done about the access tokens.
    remedies: ClassVar[Mapping[str, str]]

    def __init__(self, user: str = "", *, base: str = "", api: str = "json") -> None:
        """Make it for a mailbox.

        Args:
            user: Its address; "" or "me" is the mailbox that the access token is of.
            base, api: See :class:`Provider`. The base gets the access tokens: trust it.

        Raises:
            ConfigError: That is no address.
        """
        super().__init__("", base=base, api=api)
        found = "" if user in ("", "me") else _address(user)
        if found is None:  # it is not shown: it may be an access token
            text = f"{self.name}: the user must be a mailbox's address: {self.name}://me%40example.com@default"
            raise ConfigError(f"{text}; access tokens are given apart: tokens=TokenProvider(...)")
        self.user = found

    @classmethod
    def from_url(cls, url: BackendURL, **options: Any) -> Self:
        """Make it from ``name://USER@default``, or ``name://default``, and the options, which are read already."""
        if url.password is not None:
            text = f"{url.scheme}: it takes access tokens, and no password: {url.scheme}://me%40example.com@default"
            raise ConfigError(f"{text}; with a password, by SMTP, use {cls.by_smtp}://")
        base = base_url(url, cls.bases, is_http=options.pop("scheme", "https") == "http")
        return cls(url.username or "", base=base, **options)

    @property
    def secrets(self) -> tuple[str, ...]:
        """None of its own: access tokens are lent to it (:meth:`Provider.hide`)."""
        return ()

    @property
    def quoted_user(self) -> str:
        """The user as a segment of a URL's path."""
        return quote(self.user, safe="")

    def _letter(self, mail: Mail) -> Letter:
        """The mail with what it carries.

        Raises:
            UnsupportedFeature: Its content cannot say to whom it goes.
        """
        letter = super()._letter(mail)
        if letter.content is not None:
            header_of(mail, letter)
        return letter

    def said(self, code: str | None, text: object) -> tuple[str | None, str]:
        """Code and words of an error, with what is to be done about it."""
        words = [text if isinstance(text, str) else "", self.remedies.get(code or "", "")]
        return code, " ".join(filter(None, words))

    def signed(self, request: Request, credential: Any, now: datetime) -> Request:
        """With the access token."""
        return replace(request, headers=(*request.headers, ("Authorization", f"Bearer {credential}")))


def _address(user: str) -> str | None:
    try:
        return Address.parse(user).ascii
    except AddressError:
        return None
