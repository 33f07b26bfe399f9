"""Postal: https://docs.postalserver.io/developer/api

``postal://SERVER-API-KEY@postal.example.com``: it is run by yourself, and its host is the URL's. Each recipient has an
id of his own. Every answer is HTTP 200, whatever it says. ``?api=mime`` gives it the mail as it is, which carries what
its JSON has no field for: images within the html, a Message-ID, a signature.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..attachment import Attachment
from ..errors import Outcome, UnsupportedFeature
from ..features import Features, Limits
from ..mail import Mail
from ..receipt import Receipt, RecipientResult
from ..verdict import Scope
from .exchange import Request, Response
from .letter import Letter, base64_text, mailbox
from .meaning import ACCOUNT, SETTINGS
from .option import api
from .provider import Junk, Provider, items_of, merged
from .raw import MIME, base64_content

__all__ = ["Postal"]

_TAKEN = ("to", "cc", "bcc", "rcpt_to", "mail_from", "data")


class Postal(Provider):
    """Postal's sending API, version 1, of a server of your own."""

    name = "postal"
    bases = {}
    features = Features.of_api(inline=False, sender=True, tags=True)
    mime = replace(MIME, return_path=True, provider_options=True)
    has_unique_headers = True
    needs_to = True
    limits = Limits(to=50, cc=50, bcc=50, reply_to=1, tags=1)
    errors = {
        "AccessDenied": ACCOUNT,
        "InvalidServerAPIKey": ACCOUNT,
        "ServerSuspended": SETTINGS,
        "UnauthenticatedFromAddress": SETTINGS,  # the domain is none of the server's
    }
    options = {"api": api}

    # --- request ------------------------------------------------------------------------------------------------------

    def request(self, mail: Mail) -> Request:
        """One mail: in its parts, or as it is with its envelope."""
        letter = self.letter(mail)
        body, path = (_parts(letter), "message") if letter.content is None else (_whole(letter, mail), "raw")
        return Request.json(
            f"{self.base}/api/v1/send/{path}",
            merged(body, letter.message.provider_options, _TAKEN),
            {"X-Server-API-Key": self.token},
        )

    # --- answer -------------------------------------------------------------------------------------------------------

    def accepted(self, data: Any, mail: Mail, response: Response) -> Receipt:
        """``{"status": "success", "data": {"message_id", "messages": {"a@b": {"id": 12, "token": "abc"}}}}``"""
        data = self.fields_of(data)
        if data.get("status") in ("error", "parameter-error"):
            return self.refused(data, mail, response)
        inner = data.get("data")
        messages = inner.get("messages") if isinstance(inner, dict) else None
        if data.get("status") != "success" or not isinstance(messages, dict):
            raise Junk("it says neither success nor error")
        items = [{**item, "address": address} for address, item in messages.items() if isinstance(item, dict)]
        results = []
        for address, item in items_of(mail, items, "address"):
            result = RecipientResult(address, Outcome.ACCEPTED, response.code, scope=Scope.MESSAGE)
            if item is None:
                text = "the answer does not name this recipient"
                result = replace(result, outcome=Outcome.UNKNOWN, code=None, text=text)
            else:
                result = replace(result, provider_id=self.id_of(item.get("id")))
            results.append(result)
        if all(result.outcome is Outcome.UNKNOWN for result in results):
            raise Junk("it names none of the recipients")
        return Receipt(id=mail.id, results=tuple(results))

    def error_of(self, data: Any) -> tuple[int | str | None, str]:
        """``{"status": "error", "data": {"code": "NoContent", "message": "..."}}``"""
        inner = data.get("data") if isinstance(data, dict) else None
        if not isinstance(inner, dict):
            return None, ""
        code, text = inner.get("code"), inner.get("message")
        return (code if isinstance(code, str) and code else None), text if isinstance(text, str) else ""


def _parts(letter: Letter) -> dict[str, Any]:
    message = letter.message
    body: dict[str, Any] = {"from": mailbox(message.from_[0])}
    body |= {kind: [mailbox(address) for address in those] for kind, those in letter.kinds().items() if those}
    if message.sender is not None:
        body["sender"] = mailbox(message.sender)
    if message.reply_to:
        body["reply_to"] = mailbox(message.reply_to[0])
    body["subject"] = message.subject
    if message.html is not None:
        body["html_body"] = message.html
    if message.text is not None or message.html is None:
        body["plain_body"] = message.text or "\n"  # it takes no mail without content
    if letter.headers:
        body["headers"] = dict(letter.headers)
    if message.tags:
        body["tag"] = message.tags[0]
    if message.attachments:
        body["attachments"] = [_file(attachment) for attachment in message.attachments]
    return body


def _whole(letter: Letter, mail: Mail) -> dict[str, Any]:
    if mail.envelope.sender is None:
        raise UnsupportedFeature("that is empty is not carried by postal", field="return_path")
    return {
        "mail_from": mail.envelope.sender.ascii,
        "rcpt_to": [address.ascii for address in mail.envelope.recipients],
        "data": base64_content(letter),
    }


def _file(attachment: Attachment) -> dict[str, str]:
    return {"name": attachment.name, "content_type": attachment.content_type, "data": base64_text(attachment)}
