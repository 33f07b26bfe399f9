"""Postmark: https://postmarkapp.com/developer/api/email-api

``postmark://SERVER-TOKEN@default?stream=broadcast``. The token ``POSTMARK_API_TEST`` has everything checked and nothing
sent. Mails of a stored template go by an endpoint of their own, and so into batches of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import inf
from typing import Any

from ..attachment import Attachment
from ..errors import Outcome
from ..features import Features, Limits
from ..mail import Mail
from ..receipt import Receipt, RecipientResult
from ..verdict import Scope
from .exchange import Request, Response
from .letter import as_text, base64_text, mailbox
from .meaning import DEFERRED, SETTINGS
from .provider import Junk, Provider, merged, named_in, packed, size_of, word

__all__ = ["Postmark"]

_INACTIVE = 406
_BATCH_BYTES = 50_000_000
_TRACK_LINKS = {True: "HtmlAndText", False: "None"}
# Who gets the mail is the envelope's to say.
_TAKEN = ("to", "cc", "bcc", "messages")
_TEST_TOKEN = "POSTMARK_API_TEST"  # noqa: S105 - a public one


class Postmark(Provider):
    """Postmark's sending API, for one server.

    Attributes:
        stream: The message stream, or "" for the server's default.
    """

    name = "postmark"
    bases = {"default": "https://api.postmarkapp.com"}
    features = Features.of_api(provider_template=True, tags=True, metadata=True, tracking=True)
    limits = Limits(recipients=50, tags=1, size_bytes=10_000_000)
    # Its error codes are no HTTP statuses, though some look like them.
    errors = {
        100: DEFERRED,  # maintenance
        429: DEFERRED,  # the rate limit, which an item of a batch may meet alone
        405: SETTINGS,  # out of credits
        412: SETTINGS,  # the account is pending
        413: SETTINGS,  # the account may not send
        1235: SETTINGS,  # there is no such message stream
    }
    template_has_subject = True
    options = {"stream": word}
    metadata_room = (10, inf)
    batch_size = 500

    def __init__(self, token: str, *, base: str = "", stream: str = "") -> None:
        """See :class:`Provider`; ``stream`` is a message stream's id, such as "broadcast"."""
        super().__init__(token, base=base)
        self.stream = stream

    # --- requests -----------------------------------------------------------------------------------------------------

    def request(self, mail: Mail) -> Request:
        """One mail, plain or of a stored template."""
        path = "/email/withTemplate" if _is_templated(mail) else "/email"
        return self._post(path, self._body(mail))

    def grouped(self, mails: Sequence[Mail]) -> Iterator[Sequence[Mail]]:
        """By endpoint, then by number and size."""
        for templated in (False, True):
            its = [mail for mail in mails if _is_templated(mail) is templated]
            yield from packed(its, self._weight, self.batch_size, _BATCH_BYTES)

    def _weight(self, mail: Mail) -> tuple[int, int]:
        return 1, size_of(self.letter(mail)) * 11 // 10 + 4096  # what JSON adds to it, about

    def batch_request(self, mails: Sequence[Mail]) -> Request:
        """Up to 500 mails, all plain or all of stored templates."""
        bodies = [self._body(mail) for mail in mails]
        if _is_templated(mails[0]):
            return self._post("/email/batchWithTemplates", {"Messages": bodies})
        return self._post("/email/batch", bodies)

    def check_request(self) -> Request | None:
        """What the token's server is; the test token belongs to none."""
        if self.token == _TEST_TOKEN:
            return None
        headers = (("Accept", "application/json"), ("X-Postmark-Server-Token", self.token))
        return Request(f"{self.base}/server", headers, method="GET")

    def _post(self, path: str, body: Any) -> Request:
        return Request.json(self.base + path, body, {"X-Postmark-Server-Token": self.token})

    def _body(self, mail: Mail) -> dict[str, Any]:
        letter = self.letter(mail)
        message = letter.message
        lists = {"From": message.from_[:1], "To": letter.to, "Cc": letter.cc, "Bcc": letter.bcc}
        body: dict[str, Any] = {
            key: ", ".join(map(mailbox, addresses))
            for key, addresses in {**lists, "ReplyTo": message.reply_to}.items()
            if addresses
        }
        if "To" not in body and len(mail.envelope.recipients) == 1:
            body["To"] = body.pop("Cc", None) or body.pop("Bcc")  # alone, nobody is hidden from anybody
        if message.provider_template is not None:
            body |= _template(message.provider_template) | {"TemplateModel": dict(message.context)}
        else:
            body["Subject"] = message.subject
            if message.html is not None:
                body["HtmlBody"] = message.html
            if message.text is not None or message.html is None:
                body["TextBody"] = message.text or ""
        if letter.headers:
            body["Headers"] = [{"Name": name, "Value": value} for name, value in letter.headers]
        if message.attachments:
            body["Attachments"] = [*map(_attached, letter.files), *map(_shown_inside, letter.inline)]
        if message.tags:
            body["Tag"] = message.tags[0]
        if metadata := letter.metadata:
            body["Metadata"] = {key: as_text(value) for key, value in metadata.items()}
        if message.track_opens is not None:
            body["TrackOpens"] = message.track_opens
        if message.track_clicks is not None:
            body["TrackLinks"] = _TRACK_LINKS[message.track_clicks]
        if self.stream:
            body["MessageStream"] = self.stream
        return merged(body, message.provider_options, _TAKEN)

    # --- answers ------------------------------------------------------------------------------------------------------

    def accepted(self, data: Any, mail: Mail, response: Response) -> Receipt:
        """One mail's answer: its ErrorCode decides, whatever the HTTP status."""
        data = self.fields_of(data)
        code = data.get("ErrorCode")
        if isinstance(code, bool) or not isinstance(code, int):
            raise Junk("it has no ErrorCode")
        if code != 0:
            return self.refused(data, mail, response)
        said = str(data.get("Message") or "")
        accepted = RecipientResult(
            mail.envelope.recipients[0],
            Outcome.ACCEPTED,
            response.code,
            text=self.words(said),
            provider_id=self.id_of(data.get("MessageID")),
            scope=Scope.MESSAGE,
        )
        # It may say that all is well, but for these inactive addresses, which get nothing.
        inactive = named_in(said, mail) if "inactive" in said.lower() else set()
        results = [
            replace(accepted, address=address)
            if address.key not in inactive
            else RecipientResult(address, Outcome.REJECTED, text=accepted.text, scope=Scope.RECIPIENT)
            for address in mail.envelope.recipients
        ]
        return Receipt(id=mail.id, results=tuple(results))

    def batch_receipts(self, response: Response, mails: Sequence[Mail]) -> list[Receipt]:
        """The items come in the order of the mails; each decides for itself."""
        items = response.json()
        if not response.is_success or response.cut or not isinstance(items, list) or len(items) != len(mails):
            return self.receipts(items, mails, response, _no_list)
        return [
            self.receipts(item, [mail], response, self.accepted)[0] for item, mail in zip(items, mails, strict=True)
        ]

    def error_of(self, data: Any) -> tuple[int | str | None, str]:
        """``{"ErrorCode": 300, "Message": "..."}``"""
        if not isinstance(data, dict):
            return None, ""
        code, text = data.get("ErrorCode"), data.get("Message")
        is_code = isinstance(code, int) and not isinstance(code, bool) and code != 0
        return (code if is_code else None), text if isinstance(text, str) else ""

    def refused(self, data: Any, mail: Mail, response: Response) -> Receipt:
        """Also: where some are named as inactive, those are at fault; the others were not sent to, and can be."""
        receipt = super().refused(data, mail, response)
        code, said = self.error_of(data)
        inactive = named_in(said, mail) if code == _INACTIVE else set()
        if not inactive:
            return receipt
        results = [
            replace(result, scope=Scope.RECIPIENT)
            if result.address.key in inactive
            else replace(result, outcome=Outcome.DEFERRED)
            for result in receipt.results
        ]
        return receipt.with_(results=tuple(results))


def _no_list(data: Any, mail: Mail, response: Response) -> Receipt:
    raise Junk("it is no JSON list with an item for each mail")


def _is_templated(mail: Mail) -> bool:
    return mail.message is not None and mail.message.provider_template is not None


def _template(name: str) -> dict[str, Any]:
    """A whole number is an id, anything else an alias: those begin with a letter."""
    return (
        {"TemplateId": int(name)} if name.isascii() and name.isdigit() and len(name) < 19 else {"TemplateAlias": name}
    )


def _attached(attachment: Attachment) -> dict[str, Any]:
    return {
        "Name": attachment.name,
        "Content": base64_text(attachment),
        "ContentType": attachment.content_type,
    }


def _shown_inside(attachment: Attachment) -> dict[str, Any]:
    return _attached(attachment) | {"ContentID": f"cid:{attachment.content_id}"}
