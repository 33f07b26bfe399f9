"""Resend: https://resend.com/docs/api-reference/emails/send-email

``resend://API-KEY@default``. It honours an idempotency key for 24 hours: what is in doubt can be sent again, and
goes out once. Tags and metadata travel as its pairs of name and value, in a narrow alphabet; what is beyond it is left
out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

from ..attachment import Attachment
from ..errors import Outcome, ProtocolError, UnsupportedFeature
from ..features import Features, Limits
from ..field import shown
from ..mail import Mail
from ..message import Message
from ..receipt import Receipt
from ..retry import retry_after_seconds
from .batch import packed
from .exchange import Request, Response
from .letter import Letter, base64_text, mailbox, size_of
from .meaning import DEFERRED, SETTINGS, UNKNOWN
from .pairs import pair_losses, pairs
from .provider import Junk, Provider, merged

__all__ = ["Resend"]

_TAKEN = ("to", "cc", "bcc")
_BATCH_BYTES = 40_000_000


class Resend(Provider):
    """Resend's sending API."""

    name = "resend"
    bases = {"default": "https://api.resend.com"}
    features = Features.of_api(send_at=True, provider_template=True, tags=True, metadata=True, idempotency_key=True)
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

    batch_size = 100
    rate = "2/s"

    # --- before sending -----------------------------------------------------------------------------------------------

    def left_out(self, letter: Letter) -> Iterable[tuple[str, str, bool]]:
        """Also: tags and metadata beyond its alphabet, and files whose names it takes ill."""
        yield from super().left_out(letter)
        yield from pair_losses(letter.message, self.name)
        # Seen by django-anymail's makers: the mail is accepted, and never sent.
        if odd := [shown(file.name) for file in letter.message.attachments if _is_misnamed(file)]:
            text = f"named with the ending of another type ({', '.join(odd)}) may be lost by {self.name}, mail and all"
            yield "attachments", text, True

    def refuse(self, letter: Letter) -> None:
        """Also: variables of a stored template that are neither text nor numbers."""
        super().refuse(letter)
        if letter.message.provider_template is not None:
            _variables(letter.message)

    # --- request ------------------------------------------------------------------------------------------------------

    def request(self, mail: Mail) -> Request:
        """One mail; the message's idempotency key, or the mail's id, in its header."""
        key = self.letter(mail).message.idempotency_key or mail.id
        return self._post("/emails", self._body(mail), {"Idempotency-Key": key})

    def grouped(self, mails: Sequence[Mail]) -> Iterator[Sequence[Mail]]:
        """What a batch cannot carry goes alone: attachments, a schedule, and a key of the message's own."""
        alone = [mail for mail in mails if _is_alone(self.letter(mail).message)]
        yield from ([mail] for mail in alone)
        together = [mail for mail in mails if not _is_alone(self.letter(mail).message)]
        yield from packed(together, lambda mail: (1, size_of(self.letter(mail))), self.batch_size, _BATCH_BYTES)

    def batch_request(self, mails: Sequence[Mail]) -> Request:
        """Up to 100 mails, each refused or sent by itself; the key is that of just these mails in this order."""
        key = sha256(" ".join([mail.id for mail in mails]).encode()).hexdigest()
        headers = {"Idempotency-Key": key, "x-batch-validation": "permissive"}
        return self._post("/emails/batch", [self._body(mail) for mail in mails], headers)

    def _post(self, path: str, body: Any, headers: Mapping[str, str]) -> Request:
        # Without a User-Agent it answers 403.
        fixed = {"Authorization": f"Bearer {self.token}", "User-Agent": "mailer"}
        return Request.json(self.base + path, body, fixed | dict(headers))

    def _body(self, mail: Mail) -> dict[str, Any]:
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
        if tags := [{"name": name, "value": value} for name, value in pairs(message.tags, letter.metadata)]:
            body["tags"] = tags
        if message.send_at is not None:
            body["scheduled_at"] = message.send_at.isoformat()
        return merged(body, message.provider_options, _TAKEN)

    # --- answer -------------------------------------------------------------------------------------------------------

    def accepted(self, data: Any, mail: Mail, response: Response) -> Receipt:
        """``{"id": "49a3999c-..."}``"""
        data = self.fields_of(data)
        return self.taken(mail, response, self.id_of(data.get("id")))

    def batch_receipts(self, response: Response, mails: Sequence[Mail]) -> list[Receipt]:
        """``{"data": [{"id"}, ...], "errors": [{"index", "message"}]}``: ids of those that are sent, in their order.

        The key is the batch's: a mail that is sent again alone would go out twice, so what is in doubt stays in doubt.
        """
        data = response.json()
        meaning = self.meaning(data, response)
        if meaning.outcome is Outcome.UNKNOWN or response.cut is not None:
            return [_in_doubt(receipt) for receipt in self.receipts(data, mails, response, self.accepted)]
        if not response.is_success:
            return self.receipts(data, mails, response, self.accepted)
        try:
            errors, ids = self._items(data, len(mails))
        except Junk as junk:
            text = f"{self.name} answered HTTP {response.status}, and {self.words(str(junk))}"
            cause = ProtocolError(text)
            return [_in_doubt(self.settled(UNKNOWN, mail, response, text, cause=cause)) for mail in mails]
        left = iter(ids)
        return [
            self.refused({"message": errors[index]}, mail, response)
            if index in errors
            else self.accepted({"id": next(left)}, mail, response)
            for index, mail in enumerate(mails)
        ]

    def _items(self, data: Any, count: int) -> tuple[dict[int, str], list[str]]:
        """Who is refused, with the words, and the ids of the others."""
        items, faults = (data.get("data"), data.get("errors", [])) if isinstance(data, dict) else (None, [])
        if not isinstance(items, list) or not isinstance(faults, list):
            raise Junk("it has no list of data")
        errors = {
            fault["index"]: str(fault.get("message") or "refused")
            for fault in faults
            if isinstance(fault, dict) and type(fault.get("index")) is int and 0 <= fault["index"] < count
        }
        if len(errors) != len(faults):
            raise Junk("its errors do not say which mails they are about")
        if len(items) == count:  # with an empty one for each that is refused
            items = [item for index, item in enumerate(items) if index not in errors]
        if len(items) + len(errors) != count:
            raise Junk("it has not an item for each mail")
        return errors, [self.id_of(item.get("id") if isinstance(item, dict) else None) for item in items]

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


def _is_misnamed(file: Attachment) -> bool:
    """Whether its name's ending is known, and another type's."""
    by_name = Attachment.from_bytes(file.name, b"").content_type
    return by_name not in (file.content_type.partition(";")[0].strip(), "application/octet-stream")


def _is_alone(message: Message) -> bool:
    return bool(message.attachments) or message.send_at is not None or message.idempotency_key is not None


def _in_doubt(receipt: Receipt) -> Receipt:
    results = [replace(result, outcome=Outcome.UNKNOWN, retry_after_s=None) for result in receipt.results]
    return receipt.with_(results=tuple(results))


def _variables(message: Message) -> dict[str, Any]:
    for key, value in message.context.items():
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            text = f"{key!r} must be text or a number for a template of resend"
            raise UnsupportedFeature(text, field="context")
    return dict(message.context)


def _attached(attachment: Attachment) -> dict[str, Any]:
    return {
        "filename": attachment.name,
        "content": base64_text(attachment),
        "content_type": attachment.content_type,
    }


def _shown_inside(attachment: Attachment) -> dict[str, Any]:
    return _attached(attachment) | {"content_id": attachment.content_id}
