"""``smime``: mails signed by a certificate, and encrypted for their recipients (RFC 8551)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, PrivateAttr, SecretStr, model_validator

from ..address import Address
from ..clock import utc_now
from ..errors import ConfigError, MessageError
from ..hooks import Hooks
from ..hookspecs import Context
from ..mail import Content, Mail
from ..plugin import Plugin, PluginSettings

if TYPE_CHECKING:
    from ..smime import SmimeCertificates, SmimeSigner

__all__ = ["Smime", "SmimeSettings"]

#: Before ``dkim``, which signs what this made.
_PRIORITY = 50
#: Larger ones are done in a thread, where there is an event loop to be kept going.
_AT_ONCE_BYTES = 256 * 1024


class SmimeSettings(PluginSettings):
    """Settings of ``smime``: a certificate with its key signs, recipients' certificates encrypt."""

    certificate: str | None = Field(None, description="The sender's certificate and those above it, in PEM.")
    key: SecretStr | None = Field(None, description="Its private key, in PEM: RSA or EC.")
    key_password: SecretStr | None = Field(None, description="The key's password, if it has one.")
    unmatched: Literal["error", "skip"] = Field(
        "error", description="A mail whose From the certificate does not name: an `error`, or `skip` to not sign it."
    )
    recipients: str | None = Field(
        None, description="Certificates of recipients, in PEM, one behind the other; with them all mail is encrypted."
    )
    missing: Literal["error", "clear"] = Field(
        "error", description="A recipient without a valid certificate: an `error`, or `clear` to not encrypt that mail."
    )
    _signer: SmimeSigner | None = PrivateAttr(None)
    _certificates: SmimeCertificates | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _read(self) -> SmimeSettings:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("give certificate and key, both of them")
        if self.certificate is None and self.recipients is None:
            raise ValueError("give certificate and key, to sign, or recipients, to encrypt")
        password = None if self.key_password is None else self.key_password.get_secret_value()
        fault = ""
        try:
            from ..smime import SmimeCertificates, SmimeSigner

            if self.certificate is not None and self.key is not None:
                self._signer = SmimeSigner.parse(self.certificate, self.key.get_secret_value(), password)
            if self.recipients is not None:
                self._certificates = SmimeCertificates.parse(self.recipients)
        except ConfigError as error:
            fault = str(error).removeprefix("smime: ")
        if fault:  # a new one: the chain behind it has the key
            raise ValueError(fault)
        return self

    @property
    def signer(self) -> SmimeSigner | None:
        """What signs."""
        return self._signer

    @property
    def certificates(self) -> SmimeCertificates | None:
        """What encrypts."""
        return self._certificates


class Smime(Plugin[SmimeSettings]):
    """Signs, and then encrypts, before DKIM. Header fields stay in clear, Subject too.

    Attributes:
        clock: Now, in UTC: a certificate that has ended neither signs nor encrypts.
    """

    name = "smime"
    clock: Callable[[], datetime] = staticmethod(utc_now)

    def register(self, hooks: Hooks) -> None:
        """Among the signers."""
        hooks.add_filter("sign", self.sealed, _PRIORITY)

    def sealed(self, mail: Mail, context: Context) -> Mail | Awaitable[Mail]:
        """The mail signed and encrypted, as the settings have it.

        Raises:
            MessageError: The certificate is not the sender's or has ended; a recipient has none; somebody is in Bcc.
        """
        work: Callable[[], Mail] = lambda: self._sealed(mail)  # noqa: E731
        return work() if len(mail.content) <= _AT_ONCE_BYTES else context.runtime.run(work)

    def _sealed(self, mail: Mail) -> Mail:
        content = data = bytes(mail.content)
        signer = self._signer_of(mail, data)
        if signer is not None:
            content = signer.signed(content)
        certificates = self._recipients_of(mail, data)
        if certificates:
            from ..smime import encrypted

            content = encrypted(content, certificates)
        return mail if content is data else mail.with_(content=Content.of(content))

    def _signer_of(self, mail: Mail, data: bytes) -> SmimeSigner | None:
        signer = self.settings.signer
        if signer is None:
            return None
        senders = _named(mail, data, "from")
        if not senders or not signer.signs_for(senders[0]):
            if self.settings.unmatched == "skip":
                return None
            raise MessageError(
                f"is not an address of the S/MIME certificate, which is for {', '.join(sorted(signer.addresses))}: "
                'send from there, or set plugins.smime.unmatched to "skip"',
                field="from",
            )
        if not signer.valid_from <= self.clock() <= signer.valid_until:
            holds = f"{signer.valid_from:%Y-%m-%d} to {signer.valid_until:%Y-%m-%d}"
            raise MessageError(f"the S/MIME certificate holds from {holds}: renew it", field="from")
        return signer

    def _recipients_of(self, mail: Mail, data: bytes) -> list[Any]:
        """The certificates to encrypt for, none if it is to go in clear."""
        known, recipients = self.settings.certificates, mail.envelope.recipients
        if known is None:
            return []
        now = self.clock()
        found = [known.of(address, now) for address in recipients]
        if None in found:
            if self.settings.missing == "clear":
                return []
            address = recipients[found.index(None)]
            raise MessageError(
                f"{address.addr_spec} has no valid S/MIME certificate in plugins.smime.recipients: add it, or set "
                'plugins.smime.missing to "clear"',
                field="to",
            )
        visible = {address.key for field in ("to", "cc") for address in _named(mail, data, field)}
        if len(recipients) > 1 and not all(address.key in visible for address in recipients):
            raise MessageError(
                "an encrypted mail tells each reader whose certificates open it: send to those in Bcc by themselves",
                field="bcc",
            )
        return found


def _named(mail: Mail, data: bytes, field: str) -> Sequence[Address]:
    """Whom a field of the mail names."""
    if mail.message is not None:
        named: Sequence[Address] = getattr(mail.message, "from_" if field == "from" else field)
        return named
    from ..ready_made import mailboxes_of

    return mailboxes_of(data, field)
