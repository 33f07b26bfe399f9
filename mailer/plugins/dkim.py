"""``dkim``: signs every mail, last of all, over the bytes that are sent (RFC 6376, RFC 8463)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Literal

from pydantic import Field, InstanceOf, PlainValidator, PrivateAttr, SecretStr, model_validator

from ..clock import epoch_s
from ..dkim import DkimKey, DkimSigner
from ..envelope import Envelope
from ..errors import ConfigError, MessageError
from ..hooks import Hooks
from ..hookspecs import Context
from ..mail import Content, Mail
from ..plugin import Plugin, PluginSettings
from ..plugin_settings import read_plugin_settings
from ..ready_made import ascii_headers, seven_bit
from ..sources import Found

__all__ = ["Dkim", "DkimKeySettings", "DkimSettings"]

#: Larger ones are hashed in a thread, where there is an event loop to be kept going: some milliseconds, and files.
_AT_ONCE_BYTES = 256 * 1024
#: Behind signers of a body (S/MIME), whose work is signed too.
_PRIORITY = 100


class DkimKeySettings(PluginSettings):
    """One of ``keys``: a private key, and what it signs."""

    domain: str = Field("", description="The signing domain (`d=`); its TXT record must be published.")
    selector: str = Field("", description="The key's selector (`s=`).")
    key: SecretStr | None = Field(
        None, description="The private key: PEM, its base64 alone, or an Ed25519 seed in base64."
    )
    key_file: str | None = Field(None, description="The name of a file that holds it instead.")
    senders: tuple[str, ...] = Field(
        (), description="The From domains that it signs for, with those below them; `*`: all. Else its own domain."
    )

    def read(self) -> DkimKey:
        """The key.

        Raises:
            ConfigError: It is missing, cannot be read, or is none.
        """
        if (self.key is None) == (self.key_file is None):
            raise ConfigError(f"{self.selector or 'a key'}: give key or key_file, one of them")
        if self.key is not None:
            text = self.key.get_secret_value()
        else:
            text = Found(self.key_file, "key_file", is_file=True).read()
        return DkimKey.parse(self.domain, self.selector, text, senders=self.senders or None)


def _key(given: object) -> DkimKeySettings | DkimKey:
    """One of ``keys``; a table is read as those of a plug-in are."""
    if isinstance(given, (DkimKeySettings, DkimKey)):
        return given
    if not isinstance(given, Mapping):
        raise ValueError("must be a table of settings, or a DkimKey")
    try:
        return read_plugin_settings("dkim.keys", DkimKeySettings, given)
    except ConfigError as error:
        raise ValueError(str(error).replace("plugins.dkim.keys.", "")) from None  # what is read says where it stood


class DkimSettings(DkimKeySettings):
    """Settings of ``dkim``: one key in the first five, or several below ``keys``."""

    keys: tuple[Annotated[InstanceOf[DkimKeySettings] | InstanceOf[DkimKey], PlainValidator(_key)], ...] = Field(
        (), description="Several keys: tables of the settings above, or `DkimKey` objects."
    )
    headers: tuple[str, ...] = Field((), description="Further header fields to sign, where they stand.")
    unsigned: tuple[str, ...] = Field(
        (), description="Header fields not to sign, as a server on the way replaces them: `Date, Message-ID`, by SES."
    )
    expires_s: int | None = Field(None, description="For how many seconds a signature holds (`x=`); else for ever.")
    unmatched: Literal["error", "skip"] = Field(
        "error", description="A mail whose From no key signs for: an `error`, or `skip` to send it unsigned."
    )
    _signer: DkimSigner | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _check(self) -> DkimSettings:
        self.signer()  # what is wrong is to be known now
        return self

    def signer(self) -> DkimSigner:
        """The signer that they mean.

        Raises:
            ValueError: They mean none; the text shows nothing of a key.
        """
        if self._signer is None:
            try:
                keys = [one if isinstance(one, DkimKey) else one.read() for one in self.keys]
                if self.domain or self.selector or self.key or self.key_file or not keys:
                    keys.insert(0, self.read())
                self._signer = DkimSigner(keys, headers=self.headers, unsigned=self.unsigned, expires_s=self.expires_s)
            except ConfigError as error:
                raise ValueError(str(error).removeprefix("dkim: ")) from None
        return self._signer


class Dkim(Plugin[DkimSettings]):
    """Signs what is sent. A mail whose From no key signs for is an error, unless ``unmatched`` says "skip".

    Before it signs, it does what a server on the way would have to do otherwise: 8-bit bodies become 7-bit, UTF-8
    header fields encoded words, where that loses nothing (RFC 6376 section 5.3).

    Attributes:
        clock: Seconds since 1970, for ``t=``.
    """

    name = "dkim"
    clock: Callable[[], float] = staticmethod(epoch_s)

    def register(self, hooks: Hooks) -> None:
        """Sign, behind all other signers."""
        hooks.add_filter("sign", self.sign, _PRIORITY)

    def sign(self, mail: Mail, context: Context) -> Mail | Awaitable[Mail]:
        """The mail with its signatures in front.

        Raises:
            MessageError: No key signs for its From.
        """
        if len(mail.content) <= _AT_ONCE_BYTES:
            return self._signed(mail, context)
        return context.runtime.run(lambda: self._signed(mail, context))

    def _signed(self, mail: Mail, context: Context) -> Mail:
        content = lasting(mail.content, mail.envelope)
        rewritten = () if context.backend is None else context.backend.rewrites
        signed = self.settings.signer().signed(content, now=int(self.clock()), unsigned=rewritten)
        if signed is not None:
            return mail.with_(content=signed)
        if self.settings.unmatched == "skip":
            return mail
        raise MessageError(
            "no DKIM key signs for its domain: add one to plugins.dkim.keys, name the domain in a key's senders, or "
            'set plugins.dkim.unmatched to "skip"',
            field="from",
        )


def lasting(content: Content, envelope: Envelope) -> Content:
    """The content as every server takes it, where it can be had without loss; else as it is."""
    if content.has_utf8_headers and not any(
        [address.needs_smtputf8 for address in (*filter(None, (envelope.sender,)), *envelope.recipients)]
    ):
        whole = bytes(content)
        ascii_ = ascii_headers(whole)
        # A mailbox that has no ASCII form would become a group of nobody (RFC 6857).
        if ascii_ is not None and ascii_.count(b":;") == whole.count(b":;"):
            content = Content.of(ascii_)
    if content.has_8bit and (encoded := seven_bit(bytes(content))) is not None:
        content = Content.of(encoded)
    return content
