"""SMTP2GO: https://developers.smtp2go.com/reference/send-standard-email

``smtp2go://API-KEY@default`` (the nearest region), ``@us``, ``@eu`` or ``@au``. It counts and names whom it refuses
inside a 200, and so each mail of a batch. Its endpoint for MIME is not used: it reads the recipients from the header,
and so cannot hide one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..attachment import Attachment
from ..errors import Outcome
from ..features import Features, Limits
from ..mail import Mail
from ..receipt import Receipt, RecipientResult
from ..verdict import Scope
from .batch import Weight, packed
from .exchange import Request, Response
from .letter import base64_text, mailbox, size_of, whole_second
from .meaning import ACCOUNT, SETTINGS
from .provider import Junk, Provider, merged, named_in

__all__ = ["Smtp2Go"]

_TAKEN = ("to", "cc", "bcc")
_BATCH_BYTES = 50_000_000
# It says no Retry-After: "try again in a minute" is its rule.
_THROTTLED_S = 60.0
_BAD_KEY = "api_key"
_UNSCHEDULED = "the answer has no schedule_id: it may have been sent at once"


class Smtp2Go(Provider):
    """SMTP2GO's sending API, version 3."""

    name = "smtp2go"
    bases = {
        "default": "https://api.smtp2go.com/v3",
        "us": "https://us-api.smtp2go.com/v3",
        "eu": "https://eu-api.smtp2go.com/v3",
        "au": "https://au-api.smtp2go.com/v3",
    }
    features = Features.of_api(send_at=True, provider_template=True)
    limits = Limits(to=100, cc=100, bcc=100, size_bytes=50_000_000, schedule_s=3 * 24 * 3600)
    batch_size = 100  # no limit is published
    template_has_subject = True
    needs_to = True
    statuses = {402: SETTINGS}
    errors = {_BAD_KEY: ACCOUNT}

    # --- request ------------------------------------------------------------------------------------------------------

    def request(self, mail: Mail) -> Request:
        """One mail, plain or of a stored template."""
        return self._post("/email/send", self._body(mail))

    def grouped(self, mails: Sequence[Mail]) -> Iterator[Sequence[Mail]]:
        """By number and size; what has no subject goes alone, for there it must have one."""
        yield from ([mail] for mail in mails if not self.letter(mail).message.subject)
        named = [mail for mail in mails if self.letter(mail).message.subject]
        weight: Weight = lambda mail: (1, size_of(self.letter(mail)))  # noqa: E731
        yield from packed(named, weight, self.batch_size, _BATCH_BYTES)

    def batch_request(self, mails: Sequence[Mail]) -> Request:
        """Several mails, whatever they are; each is refused or taken by itself."""
        return self._post("/email/batch", {"emails": [self._body(mail) for mail in mails]})

    def _post(self, path: str, body: Any) -> Request:
        return Request.json(self.base + path, body, {"X-Smtp2go-Api-Key": self.token})

    def _body(self, mail: Mail) -> dict[str, Any]:
        letter = self.letter(mail)
        message = letter.message
        body: dict[str, Any] = {"sender": mailbox(message.from_[0])}
        body |= {key: [mailbox(address) for address in those] for key, those in letter.kinds().items() if those}
        if message.provider_template is not None:
            body["template_id"] = message.provider_template
            if message.context:
                body["template_data"] = dict(message.context)
        else:
            body["subject"] = message.subject
            if message.html is not None:
                body["html_body"] = message.html
            if message.text is not None or message.html is None:
                body["text_body"] = message.text or ""
        headers = list(letter.headers)
        if message.reply_to:
            headers.append(("Reply-To", ", ".join(map(mailbox, message.reply_to))))
        if headers:
            body["custom_headers"] = [{"header": name, "value": value} for name, value in headers]
        if letter.files:
            body["attachments"] = [_file(attachment, attachment.name) for attachment in letter.files]
        if letter.inline:  # whose name there is their content id
            body["inlines"] = [_file(image, image.content_id or image.name) for image in letter.inline]
        if message.send_at is not None:
            body["schedule"] = whole_second(message.send_at).isoformat()
        return merged(body, message.provider_options, _TAKEN)

    # --- answer -------------------------------------------------------------------------------------------------------

    def accepted(self, data: Any, mail: Mail, response: Response) -> Receipt:
        """``{"request_id", "data": {"succeeded": 1, "failed": 0, "failures": [], "email_id": "1abc-..."}}``"""
        inner = data.get("data") if isinstance(data, dict) else None
        if isinstance(data, dict) and (data.get("error") or (isinstance(inner, dict) and inner.get("error"))):
            return self.refused(data, mail, response)
        if not isinstance(inner, dict):
            raise Junk("it has no data")
        failures = inner.get("failures")
        said = _texts(failures)
        failed = inner.get("failed", len(failures) if isinstance(failures, list) else 0)
        if type(failed) is not int or failed < 0 or (failed == 0 and said):
            raise Junk("its number of failures is not that of those it names")
        if failed and inner.get("succeeded") == 0:
            text = self.words(said) or "all recipients are refused"
            return Receipt.for_all(mail, Outcome.REJECTED, text=text, scope=Scope.RECIPIENT)
        if inner.get("succeeded") == 0:
            raise Junk("it says that nobody was sent to, and not why")
        scheduled = inner.get("schedule_id")
        given = self.id_of(inner.get("email_id") or scheduled)
        bad = named_in(said, mail) if failed else set()
        # It counts those whom it refuses, and may not name them.
        is_known = len(bad) == failed
        outcome = Outcome.ACCEPTED if is_known else Outcome.UNKNOWN
        text = self.words(said if is_known else f"{failed} refused, and it does not say who: {said}")
        if is_known and not scheduled and mail.message is not None and mail.message.send_at is not None:
            text = _UNSCHEDULED
        return Receipt(
            id=mail.id,
            results=tuple(
                [
                    RecipientResult(address, Outcome.REJECTED, text=self.words(said), scope=Scope.RECIPIENT)
                    if address.key in bad
                    else RecipientResult(
                        address,
                        outcome,
                        response.code,
                        text=text,
                        provider_id=given if is_known else None,
                        scope=Scope.MESSAGE,
                    )
                    for address in mail.envelope.recipients
                ]
            ),
        )

    def batch_receipts(self, response: Response, mails: Sequence[Mail]) -> list[Receipt]:
        """``{"data": [{"email_id": "..."}, {"error": "..."}]}``: an item for each mail, in their order."""
        data = response.json()
        items = data.get("data") if isinstance(data, dict) else None
        is_whole = response.is_success and response.cut is None
        if not is_whole or not isinstance(items, list) or len(items) != len(mails):
            return self.receipts(data, mails, response, self.accepted)
        return [
            self.receipts({"data": item}, [mail], response, self.accepted)[0]
            for item, mail in zip(items, mails, strict=True)
        ]

    def error_of(self, data: Any) -> tuple[int | str | None, str]:
        """``{"data": {"error", "error_code", "field_validation_errors"}}``, or the same without ``data`` around it."""
        if not isinstance(data, dict):
            return None, ""
        inner = data["data"] if isinstance(data.get("data"), dict) else data
        code, text = inner.get("error_code"), inner.get("error")
        fields = inner.get("field_validation_errors")
        if isinstance(fields, dict) and fields.get("fieldname") == _BAD_KEY:
            code = _BAD_KEY
        said = [text if isinstance(text, str) else "", _texts(fields)]
        return (code if isinstance(code, str) and code else None), "; ".join(filter(None, said))

    def retry_after_s(self, response: Response) -> float | None:
        """Retry-After, or a minute where it throttles."""
        asked = super().retry_after_s(response)
        return _THROTTLED_S if asked is None and response.status == 429 else asked


def _texts(value: Any, depth: int = 0) -> str:
    """All texts in what is documented as a list or an object and no further."""
    if isinstance(value, str):
        return value
    inner = value if isinstance(value, list) else value.values() if isinstance(value, Mapping) else ()
    return "; ".join(dict.fromkeys(filter(None, [_texts(item, depth + 1) for item in inner]))) if depth < 4 else ""


def _file(attachment: Attachment, name: str) -> dict[str, str]:
    return {"filename": name, "fileblob": base64_text(attachment), "mimetype": attachment.content_type}
