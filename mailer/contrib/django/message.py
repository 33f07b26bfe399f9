"""From Django's message to ours.

======================================  ================================================================================
a Django message                        what is sent
======================================  ================================================================================
as Django makes it                      a :class:`~mailer.Message` of the same fields, without its slow ``message()``
with ``headers={"From": ...}``          that From, and ``from_email`` as the envelope sender; Sender, Reply-To, Date,
                                        Message-ID, Return-Path and X-Priority go to their fields likewise
with ``headers={"To": ...}`` or Cc, a   what its ``message()`` gives, to ``recipients()``: ready-made mail
part that is no file, or a subclass
that builds itself in its own way
======================================  ================================================================================

Texts are sent as UTF-8 whatever ``encoding`` says. Of an attached MIME part type, name, Content-ID and disposition are
kept, X- fields are not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import django
import django.core.mail.message
from django.conf import settings
from django.core.mail import EmailMessage
from django.utils.encoding import force_str
from django.utils.functional import Promise
from django.utils.timezone import get_current_timezone

from ...address import Address
from ...errors import AddressError, MessageError
from .. import email_message
from ..message_fields import decoded
from .anymail import fields_with
from .asked import asked_of

if TYPE_CHECKING:
    from ...relay.provider import Provider

__all__ = ["InvalidMessageError", "address_of", "addresses_of", "fields_of"]

# Django 6 has it as another name of ValueError, and will drop it.
_BadHeaderError: Any = getattr(django.core.mail.message, "BadHeaderError", ValueError)


class InvalidMessageError(MessageError, _BadHeaderError):
    """The message cannot be built: a line break in a header, not an address ...

    For apps that catch what Django's own backends raise: ``BadHeaderError``, a ``ValueError``. Its cause is the
    :class:`~mailer.MessageError` as it was.
    """


# Django 5.2 says quoted-printable where a line is too long, and its apps' tests read that; later ones as we do.
_FOLDS_LONG_LINES = django.VERSION < (6, 0)
_LONG_LINE = 998  # octets, RFC 5322 section 2.1.1


def fields_of(message: Any, provider: Provider | None = None) -> dict[str, Any] | None:
    """The arguments of our Message; None for one that our fields cannot say.

    Args:
        provider: What it goes by, if that is one relay: some attributes of :mod:`.anymail` mean what they do there.
    """
    message, asked = asked_of(message, provider)
    fields = email_message.fields_of(
        message,
        made_in=(EmailMessage.__module__,),
        one=address_of,
        many=addresses_of,
        goes_whole=_has_long_line,
        can_go_whole=provider is None or provider.features.raw,
    )
    if fields is None:
        return None
    if settings.EMAIL_USE_LOCALTIME and provider is None:  # a provider's API writes its own Date
        fields.setdefault("date", datetime.now(get_current_timezone()))
    return fields_with(fields, asked, provider)


class LocalMailbox(Address):
    """A mailbox of the server's own, without a domain, as Django takes it: "webmaster" (its ticket 15042)."""

    __slots__ = ()

    def __init__(self, local: str) -> None:
        for part, value in (("name", ""), ("local", local), ("domain", "")):
            object.__setattr__(self, part, value)

    @property
    def addr_spec(self) -> str:
        """The local part alone."""
        return self.local

    ascii = addr_spec

    @property
    def key(self) -> tuple[str, str]:
        """As of this machine; a Message-ID takes its domain from there."""
        return self.local, "localhost"


_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")


def address_of(value: Any, field: str) -> Address:
    """The one mailbox that a text of Django's names. Raises AddressError, in the words that Django's apps know."""
    text = force_str(value)
    try:
        return decoded(Address.of(text, field=field))
    except AddressError as error:
        if value is not None and _LOCAL.fullmatch(text):
            return LocalMailbox(text)
        raise AddressError(f"Invalid address {text!r}: {str(error).removeprefix(f'{field}: ')}", field=field) from None


def addresses_of(values: Iterable[Any] | None, field: str) -> list[Address]:
    if isinstance(values, (str, Promise)):
        raise AddressError("must be a list of addresses, not a text", field=field)
    return [address_of(value, field) for value in values or () if value]


def _has_long_line(text: str) -> bool:
    if not _FOLDS_LONG_LINES or len(text) * 4 <= _LONG_LINE or (text.isascii() and len(text) <= _LONG_LINE):
        return False
    return any(len(line) > _LONG_LINE for line in text.encode("utf-8", "surrogatepass").split(b"\n"))
