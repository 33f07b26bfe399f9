"""Gmail API: https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.messages/send

``gmail://default`` is the mailbox that the access token is of, ``gmail://me%40example.com@default`` the one that is
named. It takes a whole mail and nothing else, and reads the recipients in its header. From must be the account or one
of its aliases: Gmail puts the account in another's place, and may replace Message-ID.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from ..features import Limits
from ..mail import Mail
from ..receipt import Receipt
from ..retry import MAX_RETRY_AFTER_S
from .addressed import addressed
from .exchange import Request, Response
from .form import absent_boundary
from .letter import Letter
from .mailbox import Mailbox
from .meaning import ACCOUNT, DEFERRED, SETTINGS
from .provider import merged
from .raw import MIME

__all__ = ["Gmail"]

# Who gets the mail is the envelope's to say, and what it is the message's.
_TAKEN = ("to", "cc", "bcc", "raw", "payload")
#: Beyond it a mail is uploaded as it is. What it takes within JSON is not said; by upload, the limit below.
_MAX_JSON_BYTES = 3_000_000
_WHEN = re.compile(r"retry after ([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,18}Z)", re.ASCII | re.IGNORECASE)


class Gmail(Mailbox):
    """A Gmail or Google Workspace mailbox, by the API's version 1."""

    name = "gmail"
    bases = {"default": "https://gmail.googleapis.com"}
    by_smtp = "smtp+gmail"
    remedies = dict.fromkeys(
        ("insufficientPermissions", "ACCESS_TOKEN_SCOPE_INSUFFICIENT"),
        "(tokens for it have the scope https://www.googleapis.com/auth/gmail.send)",
    )
    features = replace(MIME, provider_options=True)
    rate = "60/m"  # 6,000 units, of which a mail costs 100; older projects have more
    limits = Limits(size_bytes=36_700_160)
    errors = {
        "rateLimitExceeded": DEFERRED,
        "userRateLimitExceeded": DEFERRED,
        "RATE_LIMIT_EXCEEDED": DEFERRED,
        # For hours: nothing that trying again within seconds would change.
        "dailyLimitExceeded": SETTINGS,
        "quotaExceeded": SETTINGS,
        "failedPrecondition": SETTINGS,  # there is no mailbox: a service account without a subject, say
        "insufficientPermissions": ACCOUNT,
        "domainPolicy": ACCOUNT,
    }

    def left_out(self, letter: Letter) -> Iterable[tuple[str, str, bool]]:
        """What it may put in another's place, as far as that is known here."""
        yield from super().left_out(letter)
        message = letter.message
        if self.user and message.from_ and self.user.lower() not in [a.ascii.lower() for a in message.from_]:
            yield "from_", f"is not the URL's user: {self.name} puts him in its place, unless it is his alias", True
        if message.message_id is not None:
            yield "message_id", f"may be replaced by {self.name}", True

    # --- request ------------------------------------------------------------------------------------------------------

    def request(self, mail: Mail) -> Request:
        """One mail, in base64 within JSON; a large one as it is, by upload."""
        letter = self.letter(mail)
        content = addressed(mail, letter)
        path = f"gmail/v1/users/{self.quoted_user or 'me'}/messages/send"
        about = merged({}, letter.message.provider_options, _TAKEN)
        if len(content) <= _MAX_JSON_BYTES:
            raw = urlsafe_b64encode(content).decode("ascii")
            return Request.json(f"{self.base}/{path}", {"raw": raw, **about}, {})
        parts = [
            (b"Content-Type: application/json; charset=UTF-8\r\n", Request.json(self.base, about, {}).content),
            # As Google's own client has it: the part holds what RFC 2046 would not let a multipart hold otherwise.
            (b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: binary\r\n", content),
        ]
        boundary = absent_boundary(parts)
        line = f"--{boundary}\r\n".encode()
        pieces = [piece for head, part in parts for piece in (line, head, b"\r\n", part, b"\r\n")]
        return Request(
            f"{self.base}/upload/{path}?uploadType=multipart",
            (("Accept", "application/json"), ("Content-Type", f"multipart/related; boundary={boundary}")),
            b"".join([*pieces, f"--{boundary}--\r\n".encode()]),
        )

    # --- answer -------------------------------------------------------------------------------------------------------

    def accepted(self, data: Any, mail: Mail, response: Response) -> Receipt:
        """``{"id": "18c...", "threadId": "...", "labelIds": ["SENT"]}``"""
        data = self.fields_of(data)
        if data.get("error"):
            return self.refused(data, mail, response)
        given = self.id_of(data.get("id"))
        return self.taken(mail, response, given)

    def error_of(self, data: Any) -> tuple[int | str | None, str]:
        """``{"error": {"message", "status", "errors": [{"reason"}], "details": [{"reason"}]}}``: the first we know."""
        error = data.get("error") if isinstance(data, dict) else None
        if not isinstance(error, dict):
            return (error if isinstance(error, str) and error else None), ""
        reasons = [*_reasons(error.get("errors")), *_reasons(error.get("details"))]
        status, text = error.get("status"), error.get("message")
        code = next((reason for reason in reasons if reason in self.errors), None)
        if code is None:
            code = next(iter(reasons), status if isinstance(status, str) and status else None)
        return self.said(code, text)

    def retry_after_s(self, response: Response) -> float | None:
        """Retry-After, or the time that the words name: "User-rate limit exceeded.  Retry after 2026-...Z"."""
        asked = super().retry_after_s(response)
        found = _WHEN.search(self.error_of(response.json())[1]) if asked is None else None
        if found is None:
            return asked
        try:
            when = datetime.fromisoformat(found[1])
        except ValueError:
            return None
        return min(max((when - response.received_at).total_seconds(), 0.0), MAX_RETRY_AFTER_S)


def _reasons(items: Any) -> list[str]:
    found = [item.get("reason") for item in items if isinstance(item, Mapping)] if isinstance(items, list) else []
    return [reason for reason in found if isinstance(reason, str) and reason]
