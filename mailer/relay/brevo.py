"""Brevo, formerly Sendinblue: https://developers.brevo.com/reference/sendtransacemail

``brevo://API-KEY@default``. ``?sandbox=yes`` has everything checked and nothing sent. It takes no text without html: a
text alone goes with html that shows it. An attachment's type is the one of its name's ending.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC
from typing import Any

from .. import header
from ..address import Address
from ..errors import Outcome
from ..features import Features, Limits
from ..mail import Mail
from ..message import Message
from ..receipt import Receipt, RecipientResult
from ..retry import retry_after_seconds
from ..verdict import Scope
from .batch import Alike, gathered, packed
from .exchange import Request, Response
from .letter import Letter, base64_text, inert, named, shown_as_html, text_bytes, unfolded
from .meaning import SETTINGS, UNKNOWN
from .provider import Junk, Provider, merged, yes_no
from .template_number import template_number

__all__ = ["Brevo"]

_TAKEN = ("to", "cc", "bcc", "messageversions")
_METADATA, _SANDBOX = "X-Mailin-custom", "X-Sib-Sandbox"
# Among the headers, and none of the mail's: instructions.
_OWN = frozenset({_METADATA.lower(), _SANDBOX.lower(), "idempotencykey", "sender.ip"})
_MAX_NAME = 70
_LISTS = ("to", "cc", "bcc")
_BATCH_BYTES = 20_000_000  # variables take 1 MB in all
# RFC 5322 section 3.2.3. Of a name with one of these and what is not ASCII, it sends nothing; an encoded word it does.
_SPECIAL = re.compile(r'[()<>\[\]:;@\\,."]')
_EVALUATED = re.compile(r"\{[{%]")


class Brevo(Provider):
    """Brevo's sending API, version 3.

    Its ``idempotencyKey`` is none of ours: a repeat is answered with an error, and in no documented form.
    """

    name = "brevo"
    bases = {"default": "https://api.brevo.com/v3"}
    features = Features.of_api(inline=False, send_at=True, provider_template=True, tags=True, metadata=True)
    has_unique_headers = True
    limits = Limits(recipients=99, reply_to=1)
    errors = {
        "not_enough_credits": SETTINGS,
        "account_under_validation": SETTINGS,
        # An app's own idempotencyKey was there before; what has become of that mail it does not say.
        "duplicate_request": UNKNOWN,
    }
    options = {"sandbox": yes_no}
    batch_size = 2000

    def left_out(self, letter: Letter) -> Iterable[tuple[str, str, bool]]:
        """Also: long names, headers that instruct it, and texts that it takes in no such form."""
        yield from super().left_out(letter)
        message = letter.message
        everybody = (*message.from_, *message.reply_to, *letter.to, *letter.cc, *letter.bcc)
        if any(len(address.name) > _MAX_NAME for address in everybody):
            yield "names", f"of more than {_MAX_NAME} characters are cut by {self.name}", True
        elif any(_SPECIAL.search(a.name) and not _SPECIAL.search(_name(a)) and "=?" not in _name(a) for a in everybody):
            yield "names", f"of such length, with punctuation beside what is not ASCII, lose that by {self.name}", True
        if own := sorted({name for name, _ in letter.headers if name.lower() in _OWN}):
            yield "headers", f"{', '.join(own)} are instructions to {self.name}: use its options", False
        # It undoes encoded words, and JSON's escapes, before it sends: seen by django-anymail's makers.
        if raw := sorted({name for name, value in letter.headers if name.lower() not in _OWN and not value.isascii()}):
            yield "headers", f"({', '.join(raw)}) are sent by {self.name} as they are, not in ASCII", True
        if "\\u" in json.dumps(dict(letter.metadata), default=str):
            yield "metadata", f"is sent by {self.name} as it is, not in ASCII", True
        if message.provider_template is None and _EVALUATED.search(f"{message.subject} {message.text or ''}"):
            yield (
                "text",
                f"or a subject with '{{{{' or '{{%' would be evaluated by {self.name}: html alone can say it",
                False,
            )
        if message.provider_template is None and message.html is None and message.text:
            yield "text", f"is carried by {self.name} with html that shows it", True

    def refuse(self, letter: Letter) -> None:
        """Also: a stored template that is no number."""
        super().refuse(letter)
        if letter.message.provider_template is not None:
            template_number(letter.message.provider_template, self.name)

    # --- request ------------------------------------------------------------------------------------------------------

    def request(self, mail: Mail) -> Request:
        """One mail: to all its recipients together, or, where all are hidden, a version for each."""
        return self.batch_request([mail])

    def grouped(self, mails: Sequence[Mail]) -> Iterator[Sequence[Mail]]:
        """Mails that differ in what a version of its own can say."""
        for group in gathered(mails, self._alike):
            yield from packed(group, self._weight, self.batch_size, _BATCH_BYTES)

    def _alike(self, mail: Mail) -> object:
        message = self.letter(mail).message
        if message.provider_options:
            return _COMMON_WITH_OPTIONS(message)
        is_given = [bool(value) for value in (message.text, message.html, message.reply_to, message.context)]
        return _COMMON(message), bool(message.subject), is_given

    def _weight(self, mail: Mail) -> tuple[int, int]:
        message = self.letter(mail).message
        size = text_bytes(message) if message.provider_template is None else 20 * len(repr(message.context))
        return len(mail.envelope.recipients), size

    def batch_request(self, mails: Sequence[Mail]) -> Request:
        """Several mails that are alike: a version for each copy, with what is its own."""
        letters = [self.letter(mail) for mail in mails]
        letter = letters[0]
        message = letter.message
        versions = [
            {key: [_named(address) for address in those] for key, those in zip(_LISTS, copy, strict=True) if those}
            for each in letters
            for copy in each.copies
        ]
        body: dict[str, Any] = {"sender": _named(message.from_[0])}
        if len(versions) == 1:
            body |= versions[0]
        else:  # "to" must name somebody, and nobody here may see another
            body["messageVersions"] = versions
        said = [_said(each.message) for each in letters]
        body |= said[0]
        owners = [its for each, its in zip(letters, said, strict=True) for _ in each.copies]
        for key in said[0]:
            if any(its[key] != said[0][key] for its in said):
                for version, its in zip(versions, owners, strict=True):
                    version[key] = its[key]
                if key == "params":  # a version that lacks one of them must not be lent another recipient's
                    del body[key]
        metadata = letter.metadata if len(letters) == 1 else message.metadata  # versions have no field for it
        if headers := self._headers(letter, metadata):
            body["headers"] = headers
        if message.attachments:
            body["attachment"] = [{"name": a.name, "content": base64_text(a)} for a in message.attachments]
        if message.tags:
            body["tags"] = list(message.tags)
        if message.send_at is not None:
            moment = message.send_at.astimezone(UTC).isoformat(timespec="milliseconds")
            body["scheduledAt"] = moment.replace("+00:00", "Z")
        return Request.json(
            f"{self.base}/smtp/email", merged(body, message.provider_options, _TAKEN), {"api-key": self.token}
        )

    def _headers(self, letter: Letter, metadata: Mapping[str, Any]) -> dict[str, str]:
        """In Title-Case and ASCII, as it demands; the instructions to it among them."""
        headers = {
            "-".join([word[:1].upper() + word[1:] for word in name.split("-")]): unfolded(header.custom(name, value))
            for name, value in letter.headers
            if name.lower() not in _OWN
        }
        if metadata:
            headers[_METADATA] = json.dumps(dict(metadata), default=str)
        if self.sandbox:
            headers[_SANDBOX] = "drop"
        return headers

    # --- answer -------------------------------------------------------------------------------------------------------

    def accepted(self, data: Any, mail: Mail, response: Response) -> Receipt:
        """``{"messageId": "<...@smtp-relay.mailin.fr>"}``, or ``messageIds``, one for each version."""
        return self._of_ids(self._ids(data, len(self.letter(mail).copies)), mail, response)

    def batch_receipts(self, response: Response, mails: Sequence[Mail]) -> list[Receipt]:
        """The ids come in the order of the versions."""
        data = response.json()
        count = sum(len(self.letter(mail).copies) for mail in mails)
        left: Iterator[str] | None = None

        def accepted(data: Any, mail: Mail, response: Response) -> Receipt:
            nonlocal left
            left = iter(self._ids(data, count)) if left is None else left
            return self._of_ids([next(left) for _ in self.letter(mail).copies], mail, response)

        return self.receipts(data, mails, response, accepted)

    def _ids(self, data: Any, count: int) -> list[str]:
        data = self.fields_of(data)
        several = data.get("messageIds", [data.get("messageId")])
        if not isinstance(several, list) or len(several) != count:
            raise Junk("it has not an id for each version")
        return [self.id_of(given) for given in several]

    def _of_ids(self, ids: list[str], mail: Mail, response: Response) -> Receipt:
        """One id for each copy: they all have the one, or each recipient has his."""
        recipients = mail.envelope.recipients
        results = [
            RecipientResult(address, Outcome.ACCEPTED, response.code, provider_id=given, scope=Scope.MESSAGE)
            for address, given in zip(recipients, ids if len(ids) > 1 else ids * len(recipients), strict=True)
        ]
        return Receipt(id=mail.id, results=tuple(results))

    def error_of(self, data: Any) -> tuple[int | str | None, str]:
        """``{"code": "invalid_parameter", "message": "..."}``"""
        if not isinstance(data, dict):
            return None, ""
        code, text = data.get("code"), data.get("message")
        return (code if isinstance(code, str) and code else None), text if isinstance(text, str) else ""

    def retry_after_s(self, response: Response) -> float | None:
        """Retry-After, or the seconds of ``x-sib-ratelimit-reset``."""
        asked = super().retry_after_s(response)
        if asked is not None or response.status != 429:
            return asked
        return retry_after_seconds(response.headers.get("x-sib-ratelimit-reset"), response.received_at)


# What a version says for itself; options are laid over what they have in common.
_COMMON_WITH_OPTIONS = Alike()
_COMMON = Alike("subject", "text", "html", "context", "reply_to")


def _said(message: Message) -> dict[str, Any]:
    """What versions may differ in."""
    body: dict[str, Any] = {}
    if message.reply_to:
        body["replyTo"] = _named(message.reply_to[0])
    if message.subject:
        body["subject"] = message.subject
    if message.provider_template is not None:
        body["templateId"] = template_number(message.provider_template, Brevo.name)
        if message.context:
            body["params"] = dict(message.context)
    else:
        html = shown_as_html(message.text or "") if message.html is None else message.html
        body["htmlContent"] = inert(html)
        if message.text:
            body["textContent"] = message.text
    return body


def _named(address: Address) -> dict[str, str]:
    return {key: _name(address) if key == "name" else value for key, value in named(address).items()}


def _name(address: Address) -> str:
    """The name in a form that arrives: an encoded word (RFC 2047) where it would be lost, if there is room for it."""
    name = address.name[:_MAX_NAME]
    if name.isascii() or not _SPECIAL.search(name):
        return name
    encoded = " ".join(header.phrase(name))
    return encoded if len(encoded) <= _MAX_NAME else " ".join(_SPECIAL.sub(" ", name).split())
