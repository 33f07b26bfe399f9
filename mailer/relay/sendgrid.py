"""SendGrid (Twilio): https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send

``sendgrid://API-KEY@default``, or ``@eu`` for a subuser that is pinned to Europe. ``?sandbox=yes`` has everything
checked and nothing sent. Its success has no body: the id stands in a header.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from math import inf
from typing import Any

from ..attachment import Attachment
from ..errors import Outcome, UnsupportedFeature
from ..features import Features, Limits
from ..field import shown
from ..mail import Mail
from ..message import Message
from ..receipt import Receipt
from ..retry import MAX_RETRY_AFTER_S
from .batch import Alike, gathered, packed
from .exchange import Request, Response
from .letter import Letter, as_text, base64_text, named, whole_second
from .places import Places
from .provider import Junk, Provider, merged, yes_no

__all__ = ["SendGrid"]

# It writes these itself, and refuses a request that has them.
_RESERVED = frozenset(
    "x-sg-id x-sg-eid received dkim-signature content-type content-transfer-encoding"
    " to from subject reply-to cc bcc".split()
)
_TAKEN = ("personalizations", "to", "cc", "bcc", "mail_settings.bcc")
_PERSONALIZATION = re.compile(r"personalizations\.([0-9]{1,4})(?:\.|$)", re.ASCII)
_MAX_CATEGORY = 255
_MAX_ARGS_BYTES = 10_000
_MAX_VALUES_BYTES = 10_000


class SendGrid(Provider):
    """SendGrid's sending API, version 3."""

    name = "sendgrid"
    bases = {"default": "https://api.sendgrid.com", "eu": "https://api.eu.sendgrid.com"}
    features = Features.of_api(
        alternatives=True, amp_html=True, send_at=True, provider_template=True, tags=True, metadata=True, tracking=True
    )
    has_unique_headers = True
    template_has_subject = True
    limits = Limits(recipients=1000, tags=10, schedule_s=72 * 3600)
    options = {"sandbox": yes_no}
    metadata_room = (inf, _MAX_ARGS_BYTES)
    batch_size = 1000

    # --- before sending -----------------------------------------------------------------------------------------------

    def left_out(self, letter: Letter) -> Iterable[tuple[str, str, bool]]:
        """Also: headers that it writes itself, and long tags."""
        yield from super().left_out(letter)
        message = letter.message
        if reserved := sorted(_RESERVED & {name.lower() for name, _ in letter.headers}):
            yield "headers", f"{', '.join(reserved)} are {self.name}'s own to write", False
        if any(len(tag) > _MAX_CATEGORY for tag in message.tags):
            yield "tags", f"of more than {_MAX_CATEGORY} characters are not carried by {self.name}", True

    def refuse(self, letter: Letter) -> None:
        """Also: more metadata than it takes, and variables of an older template."""
        super().refuse(letter)
        size = sum(len(key.encode()) + len(value.encode()) for key, value in _args(letter.message.metadata).items())
        if size > _MAX_ARGS_BYTES:
            text = f"has {size} bytes, {self.name} takes {_MAX_ARGS_BYTES}"
            raise UnsupportedFeature(text, field="metadata")
        name = letter.message.provider_template
        if name is not None and letter.message.context and not name.startswith("d-"):
            text = f"{shown(name)} has no variables at {self.name}, whose templates with variables are named d-..."
            raise UnsupportedFeature(text, field="provider_template")

    # --- request ------------------------------------------------------------------------------------------------------

    def request(self, mail: Mail) -> Request:
        """One mail: to all its recipients together, or, where all are hidden, one copy for each."""
        return self.batch_request([mail])

    def grouped(self, mails: Sequence[Mail]) -> Iterator[Sequence[Mail]]:
        """Mails that differ in what is a personalization's own, and in no more of their texts than it takes there."""
        for group in gathered(mails, self._alike):
            places = _places([self.letter(mail).message for mail in group])
            is_over = [sum(len(value.encode()) for value in values) > _MAX_VALUES_BYTES for values in places.values]
            yield from ([mail] for mail, alone in zip(group, is_over, strict=True) if alone)
            fitting = [mail for mail, alone in zip(group, is_over, strict=True) if not alone]
            yield from packed(fitting, lambda mail: (len(mail.envelope.recipients), 0), self.batch_size)

    def _alike(self, mail: Mail) -> object:
        message = self.letter(mail).message
        common = _COMMON_WITH_OPTIONS if message.provider_options else _COMMON
        return common(message), bool(message.subject), [kind for kind, _ in _contents(message)]

    def batch_request(self, mails: Sequence[Mail]) -> Request:
        """Several mails that are alike: each its own personalizations, none of whose recipients sees another's."""
        letters = [self.letter(mail) for mail in mails]
        letter = letters[0]
        message = letter.message
        messages = [each.message for each in letters]
        places = _places(messages)
        tag = _absent(messages) if places.count else ""
        own: list[dict[str, Any]] = [
            {f"{tag}{number}%": value for number, value in enumerate(values)} for values in places.values
        ]
        own = [{"substitutions": values} if values else {} for values in own]
        common: dict[str, Any] = {}
        for key, said in (("subject", [each.subject for each in messages]), ("headers", _headers(letters))):
            if all(value == said[0] for value in said):
                common[key] = said[0]
            else:  # a personalization's own takes the place of the request's
                own = [{key: value, **its} if value else its for its, value in zip(own, said, strict=True)]
        body: dict[str, Any] = {
            "from": named(message.from_[0]),
            "personalizations": [
                one for each, its in zip(letters, own, strict=True) for one in self._personalizations(each, its)
            ],
        }
        if message.reply_to:
            body["reply_to_list"] = [named(address) for address in message.reply_to]
        if common.get("subject"):
            body["subject"] = message.subject
        if message.provider_template is not None:
            body["template_id"] = message.provider_template
        else:
            body["content"] = [
                {"type": kind, "value": places.text(str(number), lambda place: f"{tag}{place}%")}
                for number, (kind, _) in enumerate(_contents(message))
            ]
        if message.attachments:
            body["attachments"] = [*map(_attached, letter.files), *map(_shown_inside, letter.inline)]
        if common.get("headers"):
            body["headers"] = common["headers"]
        if tags := [tag for tag in dict.fromkeys(message.tags) if len(tag) <= _MAX_CATEGORY][: self.limits.tags]:
            body["categories"] = tags
        if message.send_at is not None:
            body["send_at"] = int(whole_second(message.send_at).timestamp())
        flags = {"click_tracking": message.track_clicks, "open_tracking": message.track_opens}
        if tracking := {key: {"enable": flag} for key, flag in flags.items() if flag is not None}:
            body["tracking_settings"] = tracking
        if self.sandbox:
            body["mail_settings"] = {"sandbox_mode": {"enable": True}}
        return Request.json(
            f"{self.base}/v3/mail/send",
            merged(body, message.provider_options, _TAKEN),
            {"Authorization": f"Bearer {self.token}"},
        )

    def _personalizations(self, letter: Letter, own: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        message = letter.message
        more = dict(own)
        if args := _args(letter.metadata):
            more["custom_args"] = args
        if message.provider_template is not None and message.context:
            more["dynamic_template_data"] = dict(message.context)
        for group in letter.copies:
            named_ones = zip(("to", "cc", "bcc"), group, strict=True)
            yield {key: [named(address) for address in those] for key, those in named_ones if those} | more

    # --- answer -------------------------------------------------------------------------------------------------------

    def accepted(self, data: Any, mail: Mail, response: Response) -> Receipt:
        """202 without a body, the id in ``X-Message-Id``; 200 where the sandbox has checked the mail."""
        if response.content.strip() and not isinstance(data, dict):
            raise Junk("it has a body, and no JSON object")
        if isinstance(data, dict) and data.get("errors"):
            return self.refused(data, mail, response)
        is_checked = response.status == 200 and self._is_sandboxed(mail)
        if response.status != 202 and not is_checked:
            raise Junk("it is no 202")
        given = response.headers.get("x-message-id")
        return self.taken(
            mail,
            response,
            None if is_checked and given is None else self.id_of(given),
            text="the sandbox has checked it, nothing is sent" if is_checked else "",
        )

    def batch_receipts(self, response: Response, mails: Sequence[Mail]) -> list[Receipt]:
        """All or none: who is named as at fault is refused; the others were not sent to, and can be."""
        data = response.json()
        receipts = self.receipts(data, mails, response, self.accepted)
        owners = [index for index, mail in enumerate(mails) for _ in self.letter(mail).copies]
        named_ones = [owners[n] if n is not None and n < len(owners) else None for n in _at_fault(data)]
        if response.status != 400 or not named_ones or None in named_ones:
            return receipts
        return [
            receipt
            if index in named_ones
            else receipt.with_(results=tuple([replace(r, outcome=Outcome.DEFERRED) for r in receipt.results]))
            for index, receipt in enumerate(receipts)
        ]

    def _is_sandboxed(self, mail: Mail) -> bool:
        """By the option, or by ``provider_options``, whichever counts."""
        value: Any = mail.message.provider_options if mail.message is not None else {}
        for key in ("mail_settings", "sandbox_mode", "enable"):
            if not isinstance(value, dict) and not hasattr(value, "get"):
                return self.sandbox
            value = value.get(key)
        return self.sandbox if value is None else value is True

    def error_of(self, data: Any) -> tuple[int | str | None, str]:
        """``{"errors": [{"message": "...", "field": "personalizations.0.to", "help": null}]}``"""
        errors = data.get("errors") if isinstance(data, dict) else None
        texts = []
        for error in errors if isinstance(errors, list) else []:
            text, field = (error.get("message"), error.get("field")) if isinstance(error, dict) else (error, None)
            if isinstance(text, str) and text:
                texts.append(f"{text} ({field})" if isinstance(field, str) and field else text)
        return None, "; ".join(texts)

    def retry_after_s(self, response: Response) -> float | None:
        """Retry-After, or until ``X-RateLimit-Reset``, a unix time."""
        asked, reset = super().retry_after_s(response), response.headers.get("x-ratelimit-reset", "").strip()
        if asked is not None or response.status != 429 or not (reset.isascii() and reset.isdigit() and len(reset) < 12):
            return asked
        return min(max(int(reset) - response.received_at.timestamp(), 0.0), MAX_RETRY_AFTER_S)


# What each personalization says for itself; options are laid over what they have in common.
_COMMON_WITH_OPTIONS = Alike("metadata", "context")
_COMMON = Alike("metadata", "context", "subject", "headers", "text", "html", "amp_html", "alternatives")


def _headers(letters: Sequence[Letter]) -> list[dict[str, str]]:
    return [{name: value for name, value in letter.headers if name.lower() not in _RESERVED} for letter in letters]


def _places(messages: Sequence[Message]) -> Places:
    """What differs in the contents of messages that are alike."""
    columns = zip(*[[value for _, value in _contents(message)] for message in messages], strict=True)
    return Places({str(number): column for number, column in enumerate(columns)}, len(messages))


def _absent(messages: Sequence[Message]) -> str:
    """How a tag begins that stands in nothing that they say: all of that arrives as it was written."""
    texts = [text for message in messages for text in (message.subject, *[value for _, value in _contents(message)])]
    texts += [address.name for address in messages[0].reply_to]
    return next(tag for number in count() if not any((tag := f"%mailer{number}.") in text for text in texts))


def _at_fault(data: Any) -> list[int | None]:
    """For each error the number of its personalization; None where it is about them all."""
    errors = data.get("errors") if isinstance(data, dict) else None
    found = [
        _PERSONALIZATION.match(str(error.get("field"))) if isinstance(error, dict) else None
        for error in (errors if isinstance(errors, list) else [])
    ]
    return [int(match[1]) if match else None for match in found]


def _args(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Text to text: anything else is a Bad Request without a reason."""
    return {key: as_text(value) for key, value in metadata.items()}


def _contents(message: Message) -> Iterator[tuple[str, str]]:
    """In the order that it demands; none may be empty."""
    if message.provider_template is not None:
        return  # it brings its own
    if message.text or message.html is None:
        yield "text/plain", message.text or "\n"
    if message.html is not None:
        yield "text/html", message.html or "\n"
    if message.amp_html is not None:
        yield "text/x-amp-html", message.amp_html or "\n"
    for kind, text in message.alternatives:
        yield kind, text or "\n"


def _attached(attachment: Attachment, disposition: str = "attachment") -> dict[str, Any]:
    return {
        "content": base64_text(attachment),
        "filename": attachment.name,
        "type": attachment.content_type,
        "disposition": disposition,
    }


def _shown_inside(attachment: Attachment) -> dict[str, Any]:
    return _attached(attachment, "inline") | {"content_id": attachment.content_id}
