"""MailerSend: https://developers.mailersend.com/api/v1/email.html

``mailersend://API-TOKEN@default``. Its success has no body: the id stands in a header. Each mail goes by itself, so
that its answer is whole. ``?bulk=500`` has ``send_many`` put so many into a bulk request: that is processed later, and
what is refused there is told only by webhooks, and at ``GET /bulk-email/{id}``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ..attachment import Attachment
from ..errors import ConfigError, Outcome
from ..features import Features, Limits
from ..mail import Mail
from ..receipt import Receipt, RecipientResult
from ..verdict import Scope
from .batch import packed
from .exchange import Request, Response
from .letter import Letter, base64_text, inert, named, size_of, whole_second
from .provider import Junk, Provider, items_of, merged

__all__ = ["MailerSend"]

_TAKEN = ("to", "cc", "bcc")
_HEADER = re.compile(r"[A-Za-z0-9-]+", re.ASCII)
_MOST_IN_BULK = 500
_BATCH_BYTES = 25_000_000
_MARK = re.compile(r"\{[{%]")
_CODE = re.compile(r"#(MS[0-9]{1,9})", re.ASCII)


def _bulk(value: str) -> int:
    if not value.isascii() or not value.isdigit() or not 1 <= int(value[:4]) <= _MOST_IN_BULK:
        raise ValueError(f"must be a whole number from 1 to {_MOST_IN_BULK}")
    return int(value)


class MailerSend(Provider):
    """MailerSend's sending API, version 1.

    Attributes:
        bulk: How many mails of a ``send_many`` go in one request that is processed later, 1 to 500; 1: each by itself.
    """

    name = "mailersend"
    bases = {"default": "https://api.mailersend.com/v1"}
    features = Features.of_api(send_at=True, provider_template=True, tags=True, tracking=True)
    needs_to = True
    rate = "120/m"
    limits = Limits(recipients=70, to=50, cc=10, bcc=10, reply_to=1, tags=5, schedule_s=72 * 3600)

    options = {"bulk": _bulk}

    def __init__(self, token: str, *, base: str = "", bulk: int = 1) -> None:
        """See :class:`Provider`, and the attribute."""
        super().__init__(token, base=base)
        if isinstance(bulk, bool) or not isinstance(bulk, int) or not 1 <= bulk <= _MOST_IN_BULK:
            raise ConfigError(f"{self.name}: bulk={bulk!r}: must be a whole number from 1 to {_MOST_IN_BULK}")
        self.bulk = self.batch_size = bulk
        if bulk > 1:
            self.rate = "10/m"

    def left_out(self, letter: Letter) -> Iterable[tuple[str, str, bool]]:
        """Also: headers whose names it does not take, types that are not what the file's name says."""
        yield from super().left_out(letter)
        message = letter.message
        odd = [name for name, _ in letter.headers if not _HEADER.fullmatch(name)]
        if odd:
            yield "headers", f"{', '.join(odd)} are not carried by {self.name}: letters, digits and '-' alone", False
        if message.provider_template is None and _MARK.search(f"{message.subject} {message.text or ''}"):
            yield "text", f"or a subject with '{{{{' may be evaluated by {self.name}", True
        if any(a.content_type.partition(";")[0] != _guessed(a) for a in message.attachments):
            yield "attachments", f"have by {self.name} the type that their name says", True

    # --- request ------------------------------------------------------------------------------------------------------

    def request(self, mail: Mail) -> Request:
        """One mail, plain or of a stored template."""
        return self._post("/email", self._body(mail))

    def batch_request(self, mails: Sequence[Mail]) -> Request:
        """A bulk request."""
        return self._post("/bulk-email", [self._body(mail) for mail in mails])

    def grouped(self, mails: Sequence[Mail]) -> Iterator[Sequence[Mail]]:
        """By number, and by size."""
        return packed(mails, lambda mail: (1, size_of(self.letter(mail))), self.batch_size, _BATCH_BYTES)

    def _post(self, path: str, body: Any) -> Request:
        return Request.json(self.base + path, body, {"Authorization": f"Bearer {self.token}"})

    def _body(self, mail: Mail) -> dict[str, Any]:
        letter = self.letter(mail)
        message = letter.message
        body: dict[str, Any] = {"from": named(message.from_[0])}
        body |= {key: [named(address) for address in those] for key, those in letter.kinds().items() if those}
        if message.reply_to:
            body["reply_to"] = named(message.reply_to[0])
        if message.subject or message.provider_template is None:
            body["subject"] = message.subject
        if message.provider_template is not None:
            body["template_id"] = message.provider_template
            if message.context:
                data = dict(message.context)
                body["personalization"] = [{"email": a.ascii, "data": data} for a in mail.envelope.recipients]
        else:
            if message.html is not None:
                body["html"] = inert(message.html)
            if message.text is not None or message.html is None:
                body["text"] = message.text or ""
        body |= _headers(letter)
        if message.attachments:
            body["attachments"] = [*map(_attached, letter.files), *map(_shown_inside, letter.inline)]
        if message.tags:
            body["tags"] = list(message.tags[: self.limits.tags])
        settings = {
            key: value
            for key, value in (("track_clicks", message.track_clicks), ("track_opens", message.track_opens))
            if value is not None
        }
        if settings:
            body["settings"] = settings
        if message.send_at is not None:
            body["send_at"] = int(whole_second(message.send_at).timestamp())
        return merged(body, message.provider_options, _TAKEN)

    # --- answers ------------------------------------------------------------------------------------------------------

    def accepted(self, data: Any, mail: Mail, response: Response) -> Receipt:
        """202 and the id in ``X-Message-Id``; a body has ``warnings`` about who is suppressed, and gets nothing."""
        warnings = data.get("warnings") if isinstance(data, dict) else None
        if response.content.strip() and not isinstance(warnings, list):
            if isinstance(data, dict) and data.get("errors"):
                return self.refused(data, mail, response)
            raise Junk("it has a body that is no list of warnings")
        listed = [warning for warning in warnings or () if isinstance(warning, dict)]
        said = self.words("; ".join(dict.fromkeys(w["warning"] for w in listed if isinstance(w.get("warning"), str))))
        kinds = {warning.get("type") for warning in listed if isinstance(warning.get("type"), str)}
        if "ALL_SUPPRESSED" in kinds:
            text = said or "all recipients are suppressed"
            return Receipt.for_all(mail, Outcome.REJECTED, text=text, scope=Scope.RECIPIENT)
        given = self.id_of(response.headers.get("x-message-id"))
        entries = [entry for w in listed if isinstance(w.get("recipients"), list) for entry in w["recipients"]]
        is_held = response.headers.get("x-send-paused", "").strip().lower() == "true"
        held = "accepted and held: sending is paused for the account" if is_held else ""
        pairs = list(items_of(mail, entries, "email"))
        if "SOME_SUPPRESSED" in kinds and all(entry is None for _, entry in pairs):
            raise Junk("it says that some are suppressed, and not who")
        return Receipt(
            id=mail.id,
            results=tuple(
                [
                    RecipientResult(
                        address,
                        Outcome.ACCEPTED,
                        response.code,
                        text=held or said,
                        provider_id=given,
                        scope=Scope.MESSAGE,
                    )
                    if entry is None
                    else RecipientResult(
                        address, Outcome.REJECTED, text=self.words(_reason(entry, said)), scope=Scope.RECIPIENT
                    )
                    for address, entry in pairs
                ]
            ),
        )

    def batch_receipts(self, response: Response, mails: Sequence[Mail]) -> list[Receipt]:
        """``{"message": "...", "bulk_email_id": "..."}``: one id for them all, under which more is told later."""
        return self.receipts(response.json(), mails, response, self._taken_in_bulk)

    def _taken_in_bulk(self, data: Any, mail: Mail, response: Response) -> Receipt:
        data = self.fields_of(data)
        given = self.id_of(data.get("bulk_email_id"))
        text = f"taken to be processed: GET /bulk-email/{given} tells what is refused there"
        return self.taken(mail, response, given, text=text)

    def error_of(self, data: Any) -> tuple[int | str | None, str]:
        """``{"message": "... #MS42207", "errors": {"from.email": ["..."]}}``"""
        text = data.get("message") if isinstance(data, dict) else None
        if not isinstance(text, str):
            return None, ""
        code = _CODE.search(text)
        errors = data.get("errors")
        fields = ", ".join(map(str, errors)) if isinstance(errors, dict) else ""
        return (code[1] if code else None), f"{text} ({fields})" if fields else text


def _reason(entry: Any, said: str) -> str:
    reasons = entry.get("reason")
    named_reasons = [reason for reason in reasons if isinstance(reason, str)] if isinstance(reasons, list) else []
    return ", ".join(named_reasons) or said or "suppressed"


def _headers(letter: Letter) -> dict[str, Any]:
    """What has a field of its own, and the others as a list, in which one may stand twice."""
    fields: dict[str, Any] = {}
    others = []
    for name, value in letter.headers:
        lower = name.lower()
        if lower == "list-unsubscribe":
            fields["list_unsubscribe"] = value
        elif lower == "in-reply-to":
            fields["in_reply_to"] = value
        elif lower == "references":
            fields["references"] = value.split()
        elif lower == "precedence" and value.lower() == "bulk":
            fields["precedence_bulk"] = True
        elif _HEADER.fullmatch(name):
            others.append({"name": name, "value": value})
    return fields | ({"headers": others} if others else {})


def _guessed(attachment: Attachment) -> str:
    return Attachment.from_bytes(attachment.name, b"").content_type.partition(";")[0]


def _attached(attachment: Attachment) -> dict[str, str]:
    return {"filename": attachment.name, "content": base64_text(attachment), "disposition": "attachment"}


def _shown_inside(attachment: Attachment) -> dict[str, str]:
    shown = {"disposition": "inline", "id": attachment.content_id or attachment.name}
    return _attached(attachment) | shown
