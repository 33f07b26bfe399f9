"""A batch: a mail for each of To, and of each a copy for those in Cc and Bcc."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...errors import MailerError, MessageError
from ...merge import Merge, has_merge, merged_receipt
from ...receipt import Receipt

if TYPE_CHECKING:
    from ...address import Address
    from ...mailer import Mailer
    from ...message import Message

__all__ = ["send"]


def send(mailer: Mailer, message: Message) -> Receipt:
    """Send it, as django-anymail sends a batch: ours gives Cc and Bcc a mail of their own instead.

    Returns, raises: As :meth:`mailer.Mailer.send`; who is in Cc or Bcc has a result for each of To.
    """
    if not has_merge(message) or not (message.cc or message.bcc):
        return mailer.send(message)
    mails = list(_mails(message))
    receipts = mailer.send_many([own for _, own in mails if not isinstance(own, MessageError)])
    parts = [(to, own if isinstance(own, MessageError) else _said(next(receipts))) for to, own in mails]
    whole = merged_receipt(next((said.id for _, said in parts if isinstance(said, Receipt)), ""), parts)
    return whole.raise_if_none_accepted()


def _mails(message: Message) -> Iterator[tuple[Address, Message | MessageError]]:
    merge = Merge(message)
    for to in message.to:
        try:
            yield to, merge.message_for(to, cc=message.cc, bcc=message.bcc)
        except MessageError as error:
            yield to, error


def _said(receipt: Receipt) -> Receipt | MailerError:
    return receipt if receipt.error is None or receipt.results else receipt.error
