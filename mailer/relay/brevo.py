"""Brevo, formerly Sendinblue: https://developers.brevo.com/reference/sendtransacemail

``brevo://API-KEY@default``. ``?sandbox=yes`` has everything checked and nothing sent. It takes no text without html: a
text alone goes with html that shows it. An attachment's type is the one of its name's ending.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC
from typing import Any

from .. import header
from ..address import Address
from ..errors import MessageError, Outcome
from ..features import Features, Limits
from ..field import shown
from ..mail import Mail
from ..receipt import Receipt, RecipientResult
from ..retry import retry_after_seconds
from ..verdict import Scope
from .exchange import Request, Response
from .letter import Letter, base64_text, named, shown_as_html, unfolded
from .meaning import SETTINGS, UNKNOWN
from .provider import Junk, Provider, merged, yes_no

__all__ = ["Brevo"]

_TAKEN = ("to", "cc", "bcc", "messageversions")
_METADATA, _SANDBOX = "X-Mailin-custom", "X-Sib-Sandbox"
# Among the headers, and none of the mail's: instructions.
_OWN = frozenset({_METADATA.lower(), _SANDBOX.lower(), "idempotencykey", "sender.ip"})
_MAX_NAME = 70


class Brevo(Provider):
    """Brevo's sending API, version 3.

    Its ``idempotencyKey`` is none of ours: a repeat is answered with an error, and in no documented form.
    """

    name = "brevo"
    bases = {"default": "https://api.brevo.com/v3"}
    features = Features(
        inline=False,
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
        provider_options=True,
    )
    has_unique_headers = True
    limits = Limits(recipients=99, reply_to=1)
    errors = {
        "not_enough_credits": SETTINGS,
        "account_under_validation": SETTINGS,
        # An app's own idempotencyKey was there before; what has become of that mail it does not say.
        "duplicate_request": UNKNOWN,
    }
    options = {"sandbox": yes_no}

    def left_out(self, letter: Letter) -> Iterable[tuple[str, str, bool]]:
        """Also: long names, headers that instruct it, and texts that it takes in no such form."""
        yield from super().left_out(letter)
        message = letter.message
        everybody = (*message.from_, *message.reply_to, *letter.to, *letter.cc, *letter.bcc)
        if any(len(address.name) > _MAX_NAME for address in everybody):
            yield "names", f"of more than {_MAX_NAME} characters are cut by {self.name}", True
        if own := sorted({name for name, _ in letter.headers if name.lower() in _OWN}):
            yield "headers", f"{', '.join(own)} are instructions to {self.name}: use its options", False
        if message.provider_template is None and message.html is None and message.text:
            yield "text", f"is carried by {self.name} with html that shows it", True

    # --- request ------------------------------------------------------------------------------------------------------

    def request(self, mail: Mail) -> Request:
        """One mail: to all its recipients together, or, where all are hidden, a version for each."""
        letter = self.letter(mail)
        message = letter.message
        body: dict[str, Any] = {"sender": _named(message.from_[0])}
        if letter.to or letter.cc:
            to, cc = (letter.to, letter.cc) if letter.to else (letter.cc, ())
            groups = {"to": to, "cc": cc, "bcc": letter.bcc}
            body |= {key: [_named(address) for address in those] for key, those in groups.items() if those}
        elif len(letter.bcc) == 1:
            body["to"] = [_named(letter.bcc[0])]
        if _is_in_versions(letter):  # "to" must name somebody, and nobody here may see another
            body["messageVersions"] = [{"to": [_named(address)]} for address in letter.bcc]
        if message.reply_to:
            body["replyTo"] = _named(message.reply_to[0])
        if message.subject:
            body["subject"] = message.subject
        if message.provider_template is not None:
            body["templateId"] = _template_id(message.provider_template)
            if message.context:
                body["params"] = dict(message.context)
        else:
            body["htmlContent"] = shown_as_html(message.text or "") if message.html is None else message.html
            if message.text:
                body["textContent"] = message.text
        if headers := self._headers(letter):
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

    def _headers(self, letter: Letter) -> dict[str, str]:
        """In Title-Case and ASCII, as it demands; the instructions to it among them."""
        headers = {
            "-".join([word[:1].upper() + word[1:] for word in name.split("-")]): unfolded(header.custom(name, value))
            for name, value in letter.headers
            if name.lower() not in _OWN
        }
        if letter.message.metadata:
            headers[_METADATA] = json.dumps(dict(letter.message.metadata), default=str)
        if self.sandbox:
            headers[_SANDBOX] = "drop"
        return headers

    # --- answer -------------------------------------------------------------------------------------------------------

    def accepted(self, data: Any, mail: Mail, response: Response) -> Receipt:
        """``{"messageId": "<...@smtp-relay.mailin.fr>"}``, or ``messageIds``, one for each version."""
        if not isinstance(data, dict):
            raise Junk("it is no JSON object")
        recipients = mail.envelope.recipients
        versions = len(recipients) if _is_in_versions(self.letter(mail)) else 1
        several = data.get("messageIds", [data.get("messageId")])
        if not isinstance(several, list) or len(several) != versions:
            raise Junk("it has not an id for each version")
        ids = [self.id_of(given) for given in several] * (len(recipients) // versions)
        results = [
            RecipientResult(address, Outcome.ACCEPTED, response.code, provider_id=given, scope=Scope.MESSAGE)
            for address, given in zip(recipients, ids, strict=True)
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


def _is_in_versions(letter: Letter) -> bool:
    return not letter.to and not letter.cc and len(letter.bcc) > 1


def _named(address: Address) -> dict[str, str]:
    return {key: value[:_MAX_NAME] if key == "name" else value for key, value in named(address).items()}


def _template_id(name: str) -> int:
    if not (name.isascii() and name.isdigit() and len(name) < 19):
        raise MessageError(f"brevo's templates have whole numbers, not {shown(name)}", field="provider_template")
    return int(name)
