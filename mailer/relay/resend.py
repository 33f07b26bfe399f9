"""Resend: https://resend.com/docs/api-reference/emails/send-email

``resend://API-KEY@default``. It honours an idempotency key for 24 hours: what is in doubt can be sent again, and
goes out once. Tags and metadata travel as its pairs of name and value, in a narrow alphabet; what is beyond it is left
out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from ..attachment import Attachment
from ..errors import MessageError, Outcome
from ..features import Features, Limits
from ..mail import Mail
from ..message import Message
from ..receipt import Receipt
from ..retry import retry_after_seconds
from ..verdict import Scope
from .exchange import Request, Response
from .letter import Letter, as_text, base64_text, mailbox
from .meaning import DEFERRED, SETTINGS
from .provider import Junk, Provider, merged

__all__ = ["Resend"]

_TAKEN = ("to", "cc", "bcc")
_PAIR = re.compile(r"[A-Za-z0-9_-]{1,256}", re.ASCII)
#: Our tags have no name: "tag", "tag_2", "tag_3" ...
_TAG = re.compile(r"tag(?:_[0-9]+)?", re.ASCII)


class Resend(Provider):
    """Resend's sending API."""

    name = "resend"
    bases = {"default": "https://api.resend.com"}
    features = Features(
        alternatives=False,
        amp_html=False,
        sender=False,
        return_path=False,
        raw=False,
        send_at=True,
        provider_template=True,
        tags=True,
        metadata=True,
        message_id=False,
        date=False,
        idempotency_key=True,
        provider_options=True,
    )
    needs_to = True
    # Fifty is what To takes; of Cc and Bcc nothing is said, so it holds for all of them together.
    has_unique_headers = True
    limits = Limits(recipients=50, size_bytes=40_000_000)
    errors = {
        "concurrent_idempotent_requests": DEFERRED,  # the first with this key is still running
        # For hours to weeks: nothing that trying again within seconds would change.
        "daily_quota_exceeded": SETTINGS,
        "monthly_quota_exceeded": SETTINGS,
    }

    # --- before sending -----------------------------------------------------------------------------------------------

    def left_out(self, letter: Letter) -> Iterable[tuple[str, str, bool]]:
        """Also: tags and metadata beyond its alphabet."""
        yield from super().left_out(letter)
        message = letter.message
        beyond = f"beyond letters, digits, '_' and '-' (1-256) are not carried by {self.name}"
        if not all(map(_PAIR.fullmatch, message.tags)):
            yield "tags", beyond, True
        if len(dict(_metadata(message))) < len(message.metadata):
            yield "metadata", f"named tag or {beyond}", True

    # --- request ------------------------------------------------------------------------------------------------------

    def request(self, mail: Mail) -> Request:
        """One mail; the message's idempotency key, or the mail's id, in its header."""
        letter = self.letter(mail)
        message = letter.message
        body: dict[str, Any] = {"from": mailbox(message.from_[0])}
        for key, addresses in (*letter.kinds().items(), ("reply_to", message.reply_to)):
            if addresses:
                body[key] = [mailbox(address) for address in addresses]
        if message.provider_template is not None:
            body["template"] = {"id": message.provider_template, "variables": _variables(message)}
            if message.subject:
                body["subject"] = message.subject
        else:
            body["subject"] = message.subject
            if message.html is not None:
                body["html"] = message.html
            if message.text is not None or message.html is None:
                body["text"] = message.text or ""
        if letter.headers:
            body["headers"] = dict(letter.headers)
        if message.attachments:
            body["attachments"] = [*map(_attached, letter.files), *map(_shown_inside, letter.inline)]
        if tags := [{"name": name, "value": value} for name, value in (*_tags(message), *_metadata(message))]:
            body["tags"] = tags
        if message.send_at is not None:
            body["scheduled_at"] = message.send_at.isoformat()
        return Request.json(
            f"{self.base}/emails",
            merged(body, message.provider_options, _TAKEN),
            {
                "Authorization": f"Bearer {self.token}",
                "Idempotency-Key": message.idempotency_key or mail.id,
                "User-Agent": "mailer",  # without one it answers 403
            },
        )

    # --- answer -------------------------------------------------------------------------------------------------------

    def accepted(self, data: Any, mail: Mail, response: Response) -> Receipt:
        """``{"id": "49a3999c-..."}``"""
        if not isinstance(data, dict):
            raise Junk("it is no JSON object")
        return Receipt.for_all(
            mail,
            Outcome.ACCEPTED,
            code=response.code,
            provider_id=self.id_of(data.get("id")),
            scope=Scope.MESSAGE,
        )

    def error_of(self, data: Any) -> tuple[int | str | None, str]:
        """``{"statusCode": 422, "name": "validation_error", "message": "..."}``"""
        if not isinstance(data, dict):
            return None, ""
        name, text = data.get("name"), data.get("message")
        return (name if isinstance(name, str) and name else None), text if isinstance(text, str) else ""

    def retry_after_s(self, response: Response) -> float | None:
        """Retry-After, or the seconds of ``ratelimit-reset``."""
        asked = super().retry_after_s(response)
        if asked is not None or response.status != 429:
            return asked
        return retry_after_seconds(response.headers.get("ratelimit-reset"), response.received_at)


def _tags(message: Message) -> Iterator[tuple[str, str]]:
    carried = [tag for tag in message.tags if _PAIR.fullmatch(tag)]
    for number, tag in enumerate(carried, 1):
        yield "tag" if number == 1 else f"tag_{number}", tag


def _metadata(message: Message) -> Iterator[tuple[str, str]]:
    for key, value in message.metadata.items():
        if _PAIR.fullmatch(key) and not _TAG.fullmatch(key) and _PAIR.fullmatch(as_text(value)):
            yield key, as_text(value)


def _variables(message: Message) -> dict[str, Any]:
    for key, value in message.context.items():
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise MessageError(f"{key!r} must be text or a number for a template of resend", field="context")
    return dict(message.context)


def _attached(attachment: Attachment) -> dict[str, Any]:
    return {
        "filename": attachment.name,
        "content": base64_text(attachment),
        "content_type": attachment.content_type,
    }


def _shown_inside(attachment: Attachment) -> dict[str, Any]:
    return _attached(attachment) | {"content_id": attachment.content_id}
