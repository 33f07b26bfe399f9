"""``list_unsubscribe``: List-Unsubscribe with one click, a link of each recipient's own (RFC 2369, RFC 8058)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal
from urllib.parse import quote

from pydantic import Field, PrivateAttr, SecretStr, model_validator

from ..address import Address
from ..clock import epoch_s
from ..errors import AddressError, ConfigError, MessageError
from ..event import Event
from ..hooks import Hooks
from ..hookspecs import Context
from ..mailer import AsyncMailer, Mailer
from ..merge import has_merge
from ..message import Message
from ..plugin import Plugin, PluginSettings
from ..suppression import SuppressionList
from ..unsubscribe import UnsubscribeLinks, Unsubscription
from ..unsubscribe_app import UnsubscribeApp

__all__ = ["ListUnsubscribe", "ListUnsubscribeSettings"]

#: Behind filters that may change who gets the message, and before one that redirects it.
_PRIORITY = 100
_FIELD = "List-Unsubscribe"
_MAX_MAILTO = 100  # percent-encoded thrice that; with a token behind it still on one line of 998


class ListUnsubscribeSettings(PluginSettings):
    """Settings of ``list_unsubscribe``."""

    url: str = Field(description="Where the endpoint is mounted: https, without query. The token is put behind it.")
    secret: SecretStr = Field(description="What links are signed with: at least 32 characters, `openssl rand -hex 32`.")
    old_secrets: tuple[SecretStr, ...] = Field((), description="Former secrets, whose links still count.")
    expires_days: int | None = Field(None, description="For how many days a link counts; else for ever.")
    mailto: str | None = Field(
        None, description="An address besides, for programs that know no https: its mail has the token as subject."
    )
    tags: tuple[str, ...] = Field(
        (), description="Only messages with one of these tags get a link, from the list of that name. Else all do."
    )
    several: Literal["error", "skip"] = Field(
        "error",
        description="A message to several, who cannot have a link each: an `error`, or `skip` to send it without.",
    )
    variable: str = Field("unsubscribe_url", description="The link's name in templates.")
    _links: UnsubscribeLinks | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _check(self) -> ListUnsubscribeSettings:
        self.links()  # what is wrong is to be known now
        if self.mailto is not None:
            try:
                address = Address.parse(self.mailto)
            except AddressError as error:
                raise ValueError(f"mailto: {error}") from None
            if address.needs_smtputf8 or len(address.ascii) > _MAX_MAILTO:
                raise ValueError(f"mailto: must be ASCII before the @, and of at most {_MAX_MAILTO} characters")
        if not self.variable.isidentifier():
            raise ValueError("variable: must be a name")
        return self

    def links(self) -> UnsubscribeLinks:
        """The links that they mean.

        Raises:
            ValueError: They mean none; the text shows no secret.
        """
        if self._links is None:
            try:
                self._links = UnsubscribeLinks(
                    self.url,
                    self.secret.get_secret_value(),
                    old_secrets=[one.get_secret_value() for one in self.old_secrets],
                    expires_days=self.expires_days,
                )
            except ConfigError as error:
                raise ValueError(str(error).removeprefix("unsubscribe: ")) from None
        return self._links


class ListUnsubscribe(Plugin[ListUnsubscribeSettings]):
    """Gives each message List-Unsubscribe and List-Unsubscribe-Post, and its template the link.

    Each link is one recipient's, so a message must have one; ``send_many`` and merge fields make it so. A message with
    a List-Unsubscribe of its own is left as it is. With the plug-in ``dkim`` both fields are signed, as RFC 8058 wants.

    Attributes:
        clock: Seconds since 1970, for the time in links.
    """

    name = "list_unsubscribe"
    clock: Callable[[], float] = staticmethod(epoch_s)

    def register(self, hooks: Hooks) -> None:
        """Fields by the message, the link by the template's variables."""
        hooks.add_filter("message", self.with_link, _PRIORITY)
        hooks.add_filter("template_context", self.with_variable, _PRIORITY)

    # --- links --------------------------------------------------------------------------------------------------------

    @property
    def links(self) -> UnsubscribeLinks:
        """What writes and reads them."""
        return self.settings.links()

    def link(self, address: Address | str, list_name: str = "") -> str:
        """The link of a recipient, for a text of your own: in ``merge_data``, say.

        Raises:
            AddressError: It is no address.
            MailerError: The list's name is too long.
        """
        return self.links.link(Address.of(address), list_name, now_s=self.clock())

    def app(
        self,
        then: Mailer | AsyncMailer | SuppressionList | Callable[[Event], Any],
        *,
        render: Callable[[str, Unsubscription | None], str] | None = None,
    ) -> UnsubscribeApp:
        """The endpoint that the links lead to; see :class:`UnsubscribeApp`."""
        return UnsubscribeApp(self.links, then, render=render, clock=self.clock)

    # --- filters ------------------------------------------------------------------------------------------------------

    def with_link(self, message: Message, context: Context) -> Message:
        """The message with its fields.

        Raises:
            MessageError: It is to several.
        """
        list_name = self._list_of(message)
        if list_name is None or any(name.lower() == _FIELD.lower() for name, _ in message.headers):
            return message
        recipients = _recipients(message)
        if has_merge(message):  # the backend merges
            given: Mapping[str, Mapping[str, str]] = message.merge_headers or {}
            merged: dict[str, Mapping[str, str]] = {}
            for recipient in recipients:
                own = given.get(recipient.addr_spec) or {}
                has_own = any(name.lower() == _FIELD.lower() for name in own)
                merged[recipient.addr_spec] = own if has_own else {**own, **self._fields(recipient, list_name)}
            return message.with_(merge_headers=merged)
        if len(recipients) == 1:
            return message.with_(headers=(*message.headers, *self._fields(recipients[0], list_name).items()))
        if self.settings.several == "skip":
            return message
        raise MessageError(
            f"is to {len(recipients)} recipients, and an unsubscribe link is one recipient's: send each a message "
            '(send_many, merge_data), choose by tags, or set plugins.list_unsubscribe.several to "skip"',
            field="to",
        )

    def with_variable(self, variables: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
        """The template's variables with the link, where the message is one recipient's."""
        message, name = context.message, self.settings.variable
        list_name = None if message is None else self._list_of(message)
        recipients = () if message is None else _recipients(message)
        if list_name is None or len(recipients) != 1 or name in variables:
            return variables
        return {**variables, name: self.link(recipients[0], list_name)}

    def _list_of(self, message: Message) -> str | None:
        """The list that it is of, "" for no list in particular; None if it is to have no link."""
        if not self.settings.tags:
            return ""
        return next((tag for tag in self.settings.tags if tag in message.tags), None)

    def _fields(self, recipient: Address, list_name: str) -> dict[str, str]:
        token = self.links.token(recipient, list_name, now_s=self.clock())
        body = f"<{self.links.url}/{token}>"
        if self.settings.mailto is not None:
            # RFC 6068: what is special in an address is percent-encoded.
            address = quote(Address.parse(self.settings.mailto).ascii, safe="@!$'*+-.=~")
            body += f", <mailto:{address}?subject={token}>"
        # RFC 8058 section 3.1: this field and its value, in this form.
        return {_FIELD: body, "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}


def _recipients(message: Message) -> tuple[Address, ...]:
    """To, Cc and Bcc, each mailbox once."""
    return tuple({address.key: address for address in (*message.to, *message.cc, *message.bcc)}.values())
