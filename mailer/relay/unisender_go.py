"""Unisender Go: https://godocs.unisender.ru/web-api-ref#email-send

``unisendergo://API-KEY@go1`` or ``@go2``, the account's data centre; ``default`` is the first. Everyone gets a copy of
his own, which shows To and Cc as they are. Its language of templates is asked of every text and cannot be switched off:
``{{`` is refused in plain mails. It puts a link to unsubscribe below a mail, unless the account may say
``provider_options={"skip_unsubscribe": 1}``.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC
from math import inf
from types import MappingProxyType
from typing import Any

from .. import header
from ..address import Address
from ..attachment import Attachment
from ..errors import Outcome
from ..features import Features, Limits
from ..mail import Mail
from ..receipt import Receipt, RecipientResult
from ..verdict import Scope
from .exchange import Request, Response
from .letter import Letter, as_text, base64_text, mailbox, unfolded, whole_second
from .meaning import SETTINGS
from .per_recipient import is_marked
from .plain_words import PlainWords
from .provider import Junk, merged

__all__ = ["UnisenderGo"]

_TAKEN = ("recipients", "to", "cc", "bcc")
_MAX_METADATA = 10
_MAX_TAGS, _MAX_TAG = 4, 50
_NOTHING: Mapping[str, Any] = MappingProxyType({})
# Names with these in a header are taken for several mailboxes, however they are quoted; as encoded-words they are not.
_BLURRED = frozenset(",<>@")
# RFC 2047 section 2: an encoded-word has 75 characters at most, "=?utf-8?b?" and "?=" among them.
_WORD_BYTES = (75 - 12) // 4 * 3
# What is refused for the moment only.
_DEFERRED = ("temporary_unavailable",)
_TWICE = "duplicate"


class UnisenderGo(PlainWords):
    """Unisender Go's sending API, version 1."""

    name = "unisendergo"
    bases = {
        "default": "https://go1.unisender.ru/ru/transactional/api/v1",
        "go1": "https://go1.unisender.ru/ru/transactional/api/v1",
        "go2": "https://go2.unisender.ru/ru/transactional/api/v1",
    }
    features = Features.of_api(
        amp_html=True, send_at=True, provider_template=True, tags=True, metadata=True, tracking=True
    )
    has_unique_headers = True
    metadata_room = (_MAX_METADATA, inf)
    batch_size = 500
    texts = ("subject", "text", "html")
    owned = ("context", "metadata")
    limits = Limits(recipients=500, cc=10, reply_to=1, tags=_MAX_TAGS, size_bytes=10_000_000)
    errors = {114: SETTINGS}  # the account lives in the other data centre

    # --- before sending -----------------------------------------------------------------------------------------------

    def left_out(self, letter: Letter) -> Iterable[tuple[str, str, bool]]:
        """Also: what its templates would evaluate, and more metadata than it takes."""
        yield from super().left_out(letter)
        message = letter.message
        if message.provider_template is None and is_marked(letter):
            yield "text", f"with '{{{{', in subject, names and headers too, is evaluated by {self.name}", False
        if len(_tags(message.tags)) < len(message.tags[:_MAX_TAGS]):
            yield "tags", f"of more than {_MAX_TAG} characters are not carried by {self.name}", True
        if len(message.metadata) > _MAX_METADATA:
            yield "metadata", f"beyond the first {_MAX_METADATA} keys is not carried by {self.name}", True

    # --- request ------------------------------------------------------------------------------------------------------

    def request(self, mail: Mail) -> Request:
        """One mail: a copy for each of its recipients; to whom it shows To and Cc, if there is anybody to show."""
        letter = self.letter(mail)
        return self._post(letter, [_recipient(address) for address in (*letter.to, *letter.cc, *letter.bcc)])

    def batch_request(self, mails: Sequence[Mail]) -> Request:
        """Several mails that are alike: a copy for each recipient, with substitutions and metadata of his own."""
        letter, places = self.as_one(mails)
        variables, metadata = self.variables(mails, places), self.own(mails, "metadata")
        recipients = [
            _recipient(self.only(mail), variables[n] if variables else {}, metadata[n] if metadata else {})
            for n, mail in enumerate(mails)
        ]
        return self._post(self.bare(letter, metadata=metadata, variables=variables), recipients)

    def _post(self, letter: Letter, recipients: list[dict[str, Any]]) -> Request:
        message = letter.message
        sender = message.from_[0]
        body: dict[str, Any] = {"from_email": sender.ascii}
        if sender.name:
            body["from_name"] = sender.name
        if message.reply_to:
            body["reply_to"] = message.reply_to[0].ascii
            if message.reply_to[0].name:  # which it writes as it is given
                body["reply_to_name"] = _phrase(message.reply_to[0].name, is_quoted_by_it=False)
        if message.subject or message.provider_template is None:
            body["subject"] = message.subject
        if message.provider_template is not None:
            body["template_id"] = message.provider_template
            if message.context:
                body["global_substitutions"] = dict(message.context)
        else:
            body["body"] = _texts(letter)
        body["recipients"] = recipients
        if headers := _headers(letter):
            body["headers"] = headers
        if letter.files:
            body["attachments"] = [_file(attachment, attachment.name) for attachment in letter.files]
        if letter.inline:  # whose name there is their content id
            body["inline_attachments"] = [_file(a, a.content_id or a.name) for a in letter.inline]
        if tags := _tags(message.tags):
            body["tags"] = tags
        if metadata := letter.metadata:
            body["global_metadata"] = _metadata(metadata)
        for key, flag in (("track_links", message.track_clicks), ("track_read", message.track_opens)):
            if flag is not None:
                body[key] = int(flag)
        if message.send_at is not None:
            when = whole_second(message.send_at).astimezone(UTC)
            body["options"] = {"send_at": when.strftime("%Y-%m-%d %H:%M:%S")}
        return Request.json(
            f"{self.base}/email/send.json",
            {"message": merged(body, message.provider_options, _TAKEN)},
            {"X-API-KEY": self.token},
        )

    # --- answer -------------------------------------------------------------------------------------------------------

    def accepted(self, data: Any, mail: Mail, response: Response) -> Receipt:
        """``{"status": "success", "job_id": "1ZymBc-...", "emails": [...], "failed_emails": {"a@b": "invalid"}}``"""
        data = self.fields_of(data)
        if data.get("status") == "error":
            return self.refused(data, mail, response)
        taken, failed = data.get("emails"), _failed(data)
        if data.get("status") != "success" or not isinstance(taken, list):
            raise Junk("it says neither success nor error")
        known = {email.lower() for email in taken if isinstance(email, str)}
        given = self.id_of(data.get("job_id")) if known else None
        results = []
        for address in mail.envelope.recipients:
            names = {address.ascii.lower(), address.addr_spec.lower()}
            reason = next((failed[name] for name in names if name in failed), None)
            if names & known and reason in (None, _TWICE):
                outcome = Outcome.ACCEPTED
                result = RecipientResult(address, outcome, response.code, provider_id=given, scope=Scope.MESSAGE)
            elif reason is not None:
                result = self._refused(address, reason)
            else:
                text = "the answer does not name this recipient"
                result = RecipientResult(address, Outcome.UNKNOWN, text=text, scope=Scope.MESSAGE)
            results.append(result)
        if all(result.outcome is Outcome.UNKNOWN for result in results):
            raise Junk("it names none of the recipients")
        return Receipt(id=mail.id, results=tuple(results))

    def refused(self, data: Any, mail: Mail, response: Response) -> Receipt:
        """Nobody was sent to; whom an error names is refused for his own sake."""
        receipt = super().refused(data, mail, response)
        failed = _failed(data)
        results = [
            self._refused(r.address, reason) if (reason := failed.get(r.address.ascii.lower())) is not None else r
            for r in receipt.results
        ]
        return receipt.with_(results=tuple(results))

    def _refused(self, address: Address, reason: str) -> RecipientResult:
        outcome = Outcome.DEFERRED if reason in _DEFERRED else Outcome.REJECTED
        return RecipientResult(address, outcome, text=self.words(reason), scope=Scope.RECIPIENT)

    def error_of(self, data: Any) -> tuple[int | str | None, str]:
        """``{"status": "error", "message": "...", "code": 204}``"""
        if not isinstance(data, dict):
            return None, ""
        code, text = data.get("code"), data.get("message")
        return (code if type(code) is int else None), text if isinstance(text, str) else ""


def _failed(data: Any) -> Mapping[str, str]:
    """Address in lower case -> why it is refused."""
    failed = data.get("failed_emails") if isinstance(data, dict) else None
    items = failed.items() if isinstance(failed, dict) else ()
    return {email.lower(): reason for email, reason in items if isinstance(reason, str)}


def _recipient(
    address: Address, variables: Mapping[str, Any] = _NOTHING, metadata: Mapping[str, Any] = _NOTHING
) -> dict[str, Any]:
    recipient: dict[str, Any] = {"email": address.ascii}
    if substitutions := {**variables, **({"to_name": address.name} if address.name else {})}:
        recipient["substitutions"] = substitutions
    if metadata:
        recipient["metadata"] = _metadata(metadata)
    return recipient


def _metadata(metadata: Mapping[str, Any]) -> dict[str, str]:
    return {key: as_text(value) for key, value in [*metadata.items()][:_MAX_METADATA]}


def _tags(tags: Sequence[str]) -> list[str]:
    return [tag for tag in tags[:_MAX_TAGS] if len(tag) <= _MAX_TAG]


def _headers(letter: Letter) -> dict[str, str]:
    """The custom ones in ASCII, and whom everybody is shown; one who is alone is shown himself without it."""
    headers = {name: unfolded(header.custom(name, value)) for name, value in letter.headers}
    to, cc = (letter.to, letter.cc) if letter.to else (letter.cc, ())
    if to and len(to) + len(cc) + len(letter.bcc) > 1:
        headers["to"] = ", ".join(map(_shown, to))
        if cc:
            headers["cc"] = ", ".join(map(_shown, cc))
    return headers


def _shown(address: Address) -> str:
    if address.name.isascii() and _BLURRED.isdisjoint(address.name):
        return mailbox(address)
    return f"{_phrase(address.name)} <{address.ascii}>"


def _phrase(name: str, *, is_quoted_by_it: bool = True) -> str:
    """A name that can be misread in no header: as encoded-words (RFC 2047), if it is not plain."""
    plain = name.isascii() and (is_quoted_by_it or name.replace(" ", "").isalnum())
    if plain and _BLURRED.isdisjoint(name):
        return name
    words, piece = [], b""
    for char in name:
        if len(piece) + len(char.encode()) > _WORD_BYTES:
            words.append(piece)
            piece = b""
        piece += char.encode()
    return " ".join([f"=?utf-8?b?{b64encode(word).decode('ascii')}?=" for word in (*words, piece)])


def _texts(letter: Letter) -> dict[str, str]:
    message = letter.message
    texts = {"html": message.html, "plaintext": message.text, "amp": message.amp_html}
    body = {key: text for key, text in texts.items() if text is not None}
    return body or {"plaintext": ""}


def _file(attachment: Attachment, name: str) -> dict[str, str]:
    return {"type": attachment.content_type, "name": name, "content": base64_text(attachment)}
