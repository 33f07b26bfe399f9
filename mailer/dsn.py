"""A receipt in the words of a delivery status notification (RFC 3464): what mail programs and their tools read."""

from __future__ import annotations

import re
from datetime import timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING

from .errors import Outcome

if TYPE_CHECKING:
    from .receipt import Receipt, RecipientResult

__all__ = ["delivery_status"]

# RFC 3464 section 2.3.3. Acceptance by the next hop is "relayed": whether it was delivered is for that to say. Nothing
# there means "nobody can know"; "delayed" is what leaves it open.
_ACTIONS = {
    Outcome.ACCEPTED: ("relayed", "2.0.0"),
    Outcome.DEFERRED: ("delayed", "4.0.0"),
    Outcome.UNKNOWN: ("delayed", "4.0.0"),
    Outcome.REJECTED: ("failed", "5.0.0"),
}
_SMTP = ("smtp", "lmtp", "mx:")
_LINE_CHARS = 900


def delivery_status(receipt: Receipt, reporting_mta: str = "") -> str:
    """The receipt as the content of a message/delivery-status part.

    Args:
        receipt: With any outcomes.
        reporting_mta: Who reports: our host name, as EHLO says it; "" says that it is this library.

    Returns:
        Lines that end in CRLF: a block about the mail, then one for each recipient, with a blank line before each.

    Raises:
        ValueError: ``reporting_mta`` is no host name.
    """
    if not re.fullmatch(r"[\w.:\[\]-]*", reporting_mta, re.ASCII):
        raise ValueError(f"reporting_mta must be a host name, not {reporting_mta!r}")
    mta = f"dns; {reporting_mta}" if reporting_mta else "x-mailer; mailwright"
    lines = [f"Reporting-MTA: {mta}"]
    if receipt.id:
        lines.append(f"X-Mail-Id: {receipt.id}")
    last = receipt.attempts[-1] if receipt.attempts else None
    at = None if last is None else last.started_at + timedelta(seconds=last.duration_s)
    for result in receipt.results:
        lines += ["", *_about(result, "smtp" if receipt.backend.startswith(_SMTP) else "x-mailer")]
        if at is not None:
            lines.append(f"Last-Attempt-Date: {format_datetime(at)}")
    return "\r\n".join([*lines, ""])


def _about(result: RecipientResult, diagnostic: str) -> list[str]:
    action, status = _ACTIONS[result.outcome]
    if result.enhanced_code is not None and result.enhanced_code[0] == status[0]:
        status = result.enhanced_code
    address = result.address.ascii
    # RFC 6533 section 4.2: an address that is not ASCII has a type of its own.
    kind = "rfc822" if address.isascii() else "utf-8"
    lines = [f"Final-Recipient: {kind}; {address}", f"Action: {action}", f"Status: {status}"]
    if result.remote_mta:
        lines.append(f"Remote-MTA: dns; {result.remote_mta}")
    said = " ".join(str(part) for part in (result.code, result.enhanced_code, result.text) if part)
    if said:
        # A reply's text is its server's, ours where there was none (RFC 3464 section 2.3.6).
        kind = diagnostic if result.code is not None else "x-mailer"
        lines.append(f"Diagnostic-Code: {kind}; {said[:_LINE_CHARS]}")
    return lines
