"""Mandrill (Mailchimp Transactional): https://mailchimp.com/developer/transactional/api/messages/

``mandrill://API-KEY@default``. The key travels in the body of each request, and so stands where other providers have
the message: nothing here shows a body. A *test* key has everything checked and nothing sent. ``?api=mime`` gives it the
mail as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..address import Address
from ..attachment import Attachment
from ..errors import MessageError, Outcome, UnsupportedFeature
from ..features import Features, Limits
from ..mail import Mail
from ..receipt import Receipt, RecipientResult
from ..verdict import Scope
from .exchange import Request, Response
from .letter import Letter, as_text, base64_text, mailbox, whole_second
from .meaning import ACCOUNT, DEFERRED, REJECTED, SETTINGS, UNKNOWN
from .option import api
from .per_recipient import PerRecipient
from .provider import Junk, items_of, merged
from .raw import MIME, text_content

__all__ = ["Mandrill"]

# Who gets the mail, and who sees whom, is not an option's to say; nor which account sends.
_TAKEN = ("key", "to", "cc", "bcc", "raw_message")
_TAKEN_WITHIN = ("to", "cc", "bcc", "bcc_address", "preserve_recipients")
# The same in header fields, which it takes for instructions, by SMTP and so in content as it is:
# https://mailchimp.com/developer/transactional/docs/smtp-integration/
_INSTRUCTS = re.compile(rb"^(X-MC-(?:BccAddress|PreserveRecipients))[ \t]*:", re.IGNORECASE | re.MULTILINE)
_MAX_TAG = 50
_ACCEPTED = ("sent", "queued", "scheduled")
_REFUSED = ("rejected", "invalid")
# What is refused for other reasons than the mailbox.
_SCOPES = {"invalid-sender": Scope.MESSAGE, "unsigned": Scope.MESSAGE, "rule": Scope.MESSAGE}


class Mandrill(PerRecipient):
    """Mandrill's sending API, version 1.0."""

    name = "mandrill"
    bases = {"default": "https://mandrillapp.com/api/1.0"}
    features = Features.of_api(send_at=True, provider_template=True, tags=True, metadata=True, tracking=True)
    mime = replace(MIME, send_at=True, provider_options=True)
    has_unique_headers = True
    options = {"api": api}
    limits = Limits(schedule_s=365 * 24 * 3600)
    batch_size = 1000  # no limit is published
    texts = ("subject", "text", "html")
    # Its HTTP statuses were 500 for every error, and may be still: the name decides.
    errors = {
        "Invalid_Key": ACCOUNT,
        "PaymentRequired": SETTINGS,
        "Unknown_Subaccount": SETTINGS,
        "Unknown_Template": REJECTED,
        "ValidationError": REJECTED,
        "GeneralError": DEFERRED,
        "ServiceUnavailable": DEFERRED,
        "RequestLimitExceeded": DEFERRED,
    }

    def left_out(self, letter: Letter) -> Iterable[tuple[str, str, bool]]:
        """Also: tags that it refuses, and what is shown in the html and is no image."""
        yield from super().left_out(letter)
        message = letter.message
        if letter.content is not None:
            return
        if len(_tags(message.tags)) < len(message.tags):
            yield (
                "tags",
                f"of more than {_MAX_TAG} characters, or that begin with _, are not carried by {self.name}",
                True,
            )
        if not all(map(_is_image, letter.inline)):
            yield "inline", f"is carried by {self.name} for images alone", False

    def refuse(self, letter: Letter) -> None:
        """Also: header fields by which it would send to others, or show them."""
        super().refuse(letter)
        if letter.content is None:
            head = "".join([f"{name}:\n" for name, _ in letter.headers]).encode()
        else:
            head = bytes(letter.content).partition(b"\r\n\r\n")[0]
        if found := _INSTRUCTS.search(head):
            text = f"{found[1].decode()} tells {self.name} who gets or sees the mail, and only to, cc and bcc do"
            raise UnsupportedFeature(text, field="headers")

    # --- request ------------------------------------------------------------------------------------------------------

    def request(self, mail: Mail) -> Request:
        """One mail, plain or of a stored template."""
        letter = self.letter(mail)
        if letter.content is None:
            return self._request(letter, self._message(letter))
        body: dict[str, Any] = {"key": self.token, "raw_message": text_content(letter), "async": False}
        body["to"] = [address.ascii for address in mail.envelope.recipients]
        return self._post("/messages/send-raw", letter, body, letter.message.provider_options)

    def batch_request(self, mails: Sequence[Mail]) -> Request:
        """Several mails that are alike: a copy for each recipient, with variables and metadata of his own."""
        letter, places = self.as_one(mails)
        letters = [self.letter(mail) for mail in mails]
        metadata, variables = self.own(mails, "metadata"), self.variables(mails, places)
        body = self._message(self.bare(letter, metadata=metadata, variables=variables))
        body["preserve_recipients"] = False
        body["to"] = [_recipient(a, "to") for each in letters for a in (*each.to, *each.cc, *each.bcc)]
        if places.count:
            body["merge_language"] = "handlebars"
        addresses = [to["email"] for to in body["to"]]
        if variables:
            body["merge_vars"] = [
                {"rcpt": rcpt, "vars": _variables(its)} for rcpt, its in zip(addresses, variables, strict=True)
            ]
        if metadata:
            body["recipient_metadata"] = [
                {"rcpt": rcpt, "values": _texts_of(its)} for rcpt, its in zip(addresses, metadata, strict=True)
            ]
        return self._request(letter, body)

    def _request(self, letter: Letter, its: dict[str, Any]) -> Request:
        message = letter.message
        options = dict(message.provider_options)
        within = options.pop("message", {})
        if not isinstance(within, Mapping):
            raise MessageError("message: must be a mapping of the message's own fields", field="provider_options")
        body: dict[str, Any] = {
            "key": self.token,
            "message": merged(its, within, _TAKEN_WITHIN),
            "async": False,
        }
        path = "/messages/send"
        if message.provider_template is not None:
            path = "/messages/send-template"
            body |= {"template_name": message.provider_template, "template_content": []}
        return self._post(path, letter, body, options)

    def _post(self, path: str, letter: Letter, body: dict[str, Any], options: Mapping[str, Any]) -> Request:
        if letter.message.send_at is not None:
            body["send_at"] = whole_second(letter.message.send_at).strftime("%Y-%m-%d %H:%M:%S")
        return Request.json(self.base + path, merged(body, options, _TAKEN), {})

    def _message(self, letter: Letter) -> dict[str, Any]:
        message = letter.message
        to, cc = (letter.to, letter.cc) if letter.to else (letter.cc, ())
        # Who is hidden from everybody, and has nobody to be hidden behind, gets a copy of his own.
        are_all_hidden = not to
        kinds = {"to": (*to, *(letter.bcc if are_all_hidden else ())), "cc": cc}
        kinds["bcc"] = () if are_all_hidden else letter.bcc
        sender = message.from_[0]
        body: dict[str, Any] = {
            "from_email": sender.ascii,
            "to": [_recipient(address, kind) for kind, addresses in kinds.items() for address in addresses],
            "preserve_recipients": not are_all_hidden,
        }
        if sender.name:
            body["from_name"] = sender.name
        if message.subject or message.provider_template is None:
            body["subject"] = message.subject
        if message.provider_template is not None:
            if message.context:
                body["global_merge_vars"] = _variables(message.context)
        else:
            if message.html is not None:
                body["html"] = message.html
            if message.text is not None or message.html is None:
                body["text"] = message.text or ""
        headers = dict(letter.headers)
        if message.reply_to:
            headers["Reply-To"] = ", ".join(map(mailbox, message.reply_to))
        if headers:
            body["headers"] = headers
        images = [attachment for attachment in letter.inline if _is_image(attachment)]
        files = [*letter.files, *[attachment for attachment in letter.inline if not _is_image(attachment)]]
        if files:
            body["attachments"] = [_file(attachment, attachment.name) for attachment in files]
        if images:  # whose name there is their content id
            body["images"] = [_file(attachment, attachment.content_id or attachment.name) for attachment in images]
        if tags := _tags(message.tags):
            body["tags"] = tags
        if metadata := letter.metadata:
            body["metadata"] = _texts_of(metadata)
        for key, value in (("track_opens", message.track_opens), ("track_clicks", message.track_clicks)):
            if value is not None:
                body[key] = value
        return body

    # --- answer -------------------------------------------------------------------------------------------------------

    def accepted(self, data: Any, mail: Mail, response: Response) -> Receipt:
        """A list with an item for each recipient: ``{"email", "status", "reject_reason", "queued_reason", "_id"}``."""
        if isinstance(data, dict) and data.get("status") == "error":
            return self.refused(data, mail, response)
        if not isinstance(data, list) or not data or not all(isinstance(item, dict) for item in data):
            raise Junk("it is no JSON list with an item for each recipient")
        results = tuple([self._result(address, item, response) for address, item in items_of(mail, data, "email")])
        if all(result.outcome is Outcome.UNKNOWN for result in results):
            raise Junk(results[0].text)
        return Receipt(id=mail.id, results=results)

    def _result(self, address: Address, item: Mapping[str, Any] | None, response: Response) -> RecipientResult:
        """What the answer says of one recipient; where it says nothing that it documents, nothing is known."""
        try:
            if item is None:
                raise Junk("it does not name this recipient")
            status = item.get("status")
            if status in _ACCEPTED:
                text = _said(status, item.get("queued_reason"))
                given = self.id_of(item.get("_id"))
                outcome = Outcome.ACCEPTED
                return RecipientResult(
                    address, outcome, response.code, text=self.words(text), provider_id=given, scope=Scope.MESSAGE
                )
            if status in _REFUSED:
                reason = item.get("reject_reason")
                text = self.words(_said(status, reason))
                if reason == "test-mode-limit":  # the account's, until tomorrow
                    return RecipientResult(address, Outcome.DEFERRED, text=text, scope=Scope.ACCOUNT)
                scope = _SCOPES.get(reason, Scope.RECIPIENT) if isinstance(reason, str) else Scope.RECIPIENT
                return RecipientResult(address, Outcome.REJECTED, text=text, scope=scope)
            raise Junk("it gives no status that is known")
        except Junk as junk:
            return RecipientResult(address, UNKNOWN.outcome, text=str(junk), scope=UNKNOWN.scope)

    def error_of(self, data: Any) -> tuple[int | str | None, str]:
        """``{"status": "error", "code": -2, "name": "ValidationError", "message": "..."}``"""
        if not isinstance(data, dict):
            return None, ""
        name, text = data.get("name"), data.get("message")
        return (name if isinstance(name, str) and name else None), text if isinstance(text, str) else ""


def _variables(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"name": name, "content": value} for name, value in values.items()]


def _texts_of(metadata: Mapping[str, Any]) -> dict[str, str]:
    return {key: as_text(value) for key, value in metadata.items()}


def _said(status: str, reason: Any) -> str:
    return f"{status}: {reason}" if isinstance(reason, str) and reason else status


def _tags(tags: Iterable[str]) -> list[str]:
    """Those that do not make it refuse the mail."""
    return [tag for tag in tags if len(tag) <= _MAX_TAG and not tag.startswith("_")]


def _is_image(attachment: Attachment) -> bool:
    return attachment.content_type.startswith("image/")


def _recipient(address: Address, kind: str) -> dict[str, str]:
    named = {"name": address.name} if address.name else {}
    return {"email": address.ascii, **named, "type": kind}


def _file(attachment: Attachment, name: str) -> dict[str, str]:
    return {"type": attachment.content_type, "name": name, "content": base64_text(attachment)}
