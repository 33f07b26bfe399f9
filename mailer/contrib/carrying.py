"""A mail extension's message through a mailer: its receipt put on it, errors in the extension's words and ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import DeliveryError, MessageError
from ..message import Message
from ..smtplib.delivery import as_smtplib

if TYPE_CHECKING:
    from ..envelope import Envelope
    from ..mailer import Mailer

__all__ = ["carry"]


def carry(
    message: Any,
    mailer: Mailer,
    read: Callable[[], Message | tuple[bytes, Envelope]],
    invalid: Callable[[str], MessageError],
) -> None:
    """Send one message; its receipt stands on it afterwards, as ``mailer_receipt``.

    Args:
        message: The extension's.
        mailer: What sends it.
        read: Gives it as ours, or as ready-made mail with its envelope.
        invalid: Makes the extension's error of a text, for what cannot be sent.

    Raises:
        MessageError: Of ``invalid``, caused by what is wrong.
        DeliveryError: Nobody accepted it; also an exception of smtplib's or the system's.
    """
    sender: object = ""
    try:
        ours = read()
        if isinstance(ours, Message):
            sender = ours.return_path or ours.from_[0]
            receipt = mailer.send(ours)
        else:
            sender = ours[1].sender
            receipt = mailer.send_raw(*ours)
    except MessageError as error:
        raised = invalid(str(error))
        raised.field = error.field
        raise raised from error
    except DeliveryError as error:
        message.mailer_receipt = error.receipt
        raise as_smtplib(error, sender=str(sender)) from error.__cause__
    message.mailer_receipt = receipt
