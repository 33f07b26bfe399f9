"""The letter: a mail as an API takes it, with its recipients told apart by what they may see."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass

from ..address import Address
from ..attachment import Attachment
from ..errors import UnsupportedFeature
from ..features import Features, carried
from ..mail import Mail
from ..message import Message

__all__ = ["Letter", "base64_text"]

_IMPORTANCE = {1: "high", 2: "high", 3: "normal", 4: "low", 5: "low"}


@dataclass(frozen=True, slots=True)
class Letter:
    """What a provider is asked to send.

    To, Cc and Bcc together are exactly the envelope's recipients, each once: a filter may have changed those, and a
    group passes a mail on for the recipients that are left. Whom the envelope has and no field of the message names is
    hidden from the others.

    Attributes:
        message: Without what the provider cannot carry.
        to, cc: Who sees each other.
        bcc: Whom nobody sees.
        headers: The custom ones, and those that priority means.
    """

    message: Message
    to: tuple[Address, ...]
    cc: tuple[Address, ...]
    bcc: tuple[Address, ...]
    headers: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, mail: Mail, features: Features) -> Letter:
        """The mail with only what the features carry.

        Raises:
            UnsupportedFeature: It is ready-made: there are bytes and no message.
        """
        if mail.message is None:
            raise UnsupportedFeature("ready-made mail cannot travel by an API that composes it anew", field="raw")
        message = carried(mail.message, features)
        left = {address.key: address for address in mail.envelope.recipients}
        to, cc = _taken(message.to, left), _taken(message.cc, left)
        bcc = (*_taken(message.bcc, left), *left.values())
        headers = message.headers
        if message.priority is not None:
            headers += (("X-Priority", str(message.priority)),)
            if not any(name.lower() == "importance" for name, _ in headers):
                headers += (("Importance", _IMPORTANCE[message.priority]),)
        return cls(message, to, cc, bcc, headers)

    @property
    def inline(self) -> tuple[Attachment, ...]:
        """What is shown within the html."""
        return tuple(a for a in self.message.attachments if a.inline and self.message.html is not None)

    @property
    def files(self) -> tuple[Attachment, ...]:
        """The other attachments."""
        return tuple(a for a in self.message.attachments if not (a.inline and self.message.html is not None))


def _taken(addresses: Iterable[Address], left: dict[tuple[str, str], Address]) -> tuple[Address, ...]:
    """Those that are left, with the names that the message gives them; they are not left any more."""
    return tuple(address for address in addresses if left.pop(address.key, None) is not None)


def base64_text(attachment: Attachment) -> str:
    """The content in base64, standard alphabet, no line breaks.

    Raises:
        MessageError: It cannot be read any more.
    """
    return b64encode(bytes(attachment)).decode("ascii")
