"""Mailjet Send API 3.1: https://dev.mailjet.com/email/guides/send-api-v31/

``mailjet://API-KEY:SECRET-KEY@default``, or ``@us`` for an account in the United States. ``?sandbox=yes`` has
everything checked and nothing sent. Each mail of a request is refused or sent by itself, whatever the HTTP status.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..address import Address
from ..attachment import Attachment
from ..errors import ConfigError, Outcome
from ..features import Features, Limits
from ..mail import Mail
from ..receipt import Receipt, RecipientResult
from ..verdict import Scope
from .exchange import Request, Response
from .letter import Copy, Letter, base64_text
from .meaning import ACCOUNT, UNKNOWN
from .provider import Junk, Provider, base_url, items_of, merged, packed, size_of, yes_no
from .template_number import template_number

if TYPE_CHECKING:
    from typing import Self

    from ..backends.options import BackendURL

__all__ = ["Mailjet"]

_TAKEN = ("to", "cc", "bcc", "messages", "globals")
_TRACKING = {True: "enabled", False: "disabled"}
_BATCH_BYTES = 15_000_000
_BAD_ADDRESS = "mj-0013"
# What has a property of its own is refused as a header (send-0011).
_RESERVED = re.compile(r"from|sender|subject|to|cc|bcc|reply-to|x-mailjet-.*|x-mj-.*", re.IGNORECASE)


class Mailjet(Provider):
    """Mailjet's sending API.

    Attributes:
        secret: The secret key. Shown nowhere.
    """

    name = "mailjet"
    bases = {"default": "https://api.mailjet.com/v3.1", "us": "https://api.us.mailjet.com/v3.1"}
    features = Features.of_api(provider_template=True, tags=True, metadata=True, tracking=True)
    has_unique_headers = True
    limits = Limits(recipients=50, reply_to=1, tags=1, size_bytes=15_000_000)
    smtputf8 = True
    # The sender is not permitted, which is the account's to settle.
    errors = {"mj-0001": ACCOUNT, "mj-0015": ACCOUNT, "send-0006": ACCOUNT, "send-0007": ACCOUNT, "send-0008": ACCOUNT}
    options = {"sandbox": yes_no}
    batch_size = 50

    def __init__(self, token: str, secret: str, *, base: str = "", sandbox: bool = False) -> None:
        """Make it for an account.

        Args:
            token: The API key.
            secret: The secret key.
            base, sandbox: See :class:`Provider`.

        Raises:
            ConfigError: One of them cannot be a key.
        """
        super().__init__(token, base=base, sandbox=sandbox)
        if not isinstance(secret, str) or not re.fullmatch(r"[!-~]{1,1000}", secret, re.ASCII) or ":" in token:
            raise ConfigError(
                "mailjet: both keys must be printable ASCII without blanks, the first without a colon:"
                " mailjet://API-KEY:SECRET-KEY@default"
            )
        self.secret = secret

    @classmethod
    def from_url(cls, url: BackendURL, **options: Any) -> Self:
        """Make it from ``mailjet://API-KEY:SECRET-KEY@default`` and the options."""
        if url.username is None or url.password is None:
            raise ConfigError("mailjet: the URL needs both keys before the '@': mailjet://API-KEY:SECRET-KEY@default")
        base = base_url(url, cls.bases, is_http=options.pop("scheme", "https") == "http")
        return cls(url.username, url.password, base=base, **options)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Both keys."""
        return (self.token, self.secret)

    def left_out(self, letter: Letter) -> Iterable[tuple[str, str, bool]]:
        """Also: headers that have a property of their own."""
        yield from super().left_out(letter)
        own = [name for name, _ in letter.headers if _RESERVED.fullmatch(name)]
        if own:
            yield "headers", f"{', '.join(own)} are {self.name}'s own", False

    def refuse(self, letter: Letter) -> None:
        """Also: a stored template that is no number."""
        super().refuse(letter)
        if letter.message.provider_template is not None:
            template_number(letter.message.provider_template, self.name)

    # --- requests -----------------------------------------------------------------------------------------------------

    def request(self, mail: Mail) -> Request:
        """One mail."""
        return self.batch_request([mail])

    def grouped(self, mails: Sequence[Mail]) -> Iterator[Sequence[Mail]]:
        """By the number of items, and by size."""
        return packed(mails, self._weight, self.batch_size, _BATCH_BYTES)

    def _weight(self, mail: Mail) -> tuple[int, int]:
        letter = self.letter(mail)
        return len(letter.copies), size_of(letter) * len(letter.copies)

    def batch_request(self, mails: Sequence[Mail]) -> Request:
        """Up to 50 mails."""
        body: dict[str, Any] = {"Messages": [item for mail in mails for item in self._items(mail)]}
        if self.sandbox:
            body["SandboxMode"] = True
        login = b64encode(f"{self.token}:{self.secret}".encode("ascii")).decode("ascii")
        return Request.json(f"{self.base}/send", body, {"Authorization": f"Basic {login}"})

    def _items(self, mail: Mail) -> list[dict[str, Any]]:
        letter = self.letter(mail)
        common = _message(letter)
        return [
            merged(
                {
                    **{
                        key: [_named(address) for address in addresses]
                        for key, addresses in zip(("To", "Cc", "Bcc"), copy, strict=True)
                        if addresses
                    },
                    **common,
                },
                letter.message.provider_options,
                _TAKEN,
            )
            for copy in letter.copies
        ]

    # --- answers ------------------------------------------------------------------------------------------------------

    def receipt(self, response: Response, mail: Mail) -> Receipt:
        """One mail's answer has the form of a batch's."""
        return self.batch_receipts(response, [mail])[0]

    def batch_receipts(self, response: Response, mails: Sequence[Mail]) -> list[Receipt]:
        """The items come in their order, and decide for themselves, in a 4xx as in a 200."""
        data = response.json()
        items = data.get("Messages") if isinstance(data, dict) else None
        copies = [self.letter(mail).copies for mail in mails]
        count = sum(map(len, copies))
        decides = response.is_success or 400 <= response.status <= 499
        if not decides or response.cut is not None or not isinstance(items, list) or len(items) != count:
            # Some may have been sent where an answer of several items is no whole one.
            if not response.is_success and decides and (items or (response.cut is not None and count > 1)):
                text = f"{self.name} answered HTTP {response.status}, and not with an item for each mail"
                return [self.settled(UNKNOWN, mail, response, text, cause=response.cut) for mail in mails]
            return self.receipts(data, mails, response, self.accepted)
        left = iter(items)
        return [
            self._of_items([(next(left), copy) for copy in those], mail, response)
            for mail, those in zip(mails, copies, strict=True)
        ]

    def refuses_whole(self, response: Response) -> bool:
        """Not where each item says for itself what became of it."""
        data = response.json()
        return super().refuses_whole(response) and not (isinstance(data, dict) and data.get("Messages"))

    def accepted(self, data: Any, mail: Mail, response: Response) -> Receipt:
        """A success that has not an item for each mail is none; it may be an error by its body alone."""
        if isinstance(data, dict) and data.get("ErrorCode"):
            return self.refused(data, mail, response)
        raise Junk("it has no list of Messages with an item for each mail")

    def _of_items(self, items: list[tuple[Any, Copy]], mail: Mail, response: Response) -> Receipt:
        """One mail's receipt: of one item, or of one for each hidden recipient."""
        results: dict[tuple[str, str], RecipientResult] = {}
        error = None
        for item, copy in items:
            part = mail.with_(envelope=mail.envelope.for_recipients([address for group in copy for address in group]))
            receipt = self._of_item(item, copy, part, response)
            error = error or receipt.error
            results |= {result.address.key: result for result in receipt.results}
        whole = Receipt(id=mail.id, results=tuple([results[address.key] for address in mail.envelope.recipients]))
        return whole if error is None else whole.with_(error=error)

    def _of_item(self, item: Any, copy: Copy, mail: Mail, response: Response) -> Receipt:
        status = item.get("Status") if isinstance(item, dict) else None
        if status == "error":
            return self._at_fault(item, copy, mail, response)
        # Its own status counts, not that of the request, which others may have spoilt.
        fine = replace(response, status=200) if not response.is_success else response
        return self.receipts(item, [mail], fine, self._sent)[0]

    def _sent(self, item: Any, mail: Mail, response: Response) -> Receipt:
        """``{"Status": "success", "To": [{"Email", "MessageUUID", "MessageID"}], "Cc": [], "Bcc": []}``"""
        if not isinstance(item, dict) or item.get("Status") != "success":
            raise Junk("its item says neither success nor error")
        lists = [item.get(key) for key in ("To", "Cc", "Bcc")]
        entries = [entry for entries in lists if isinstance(entries, list) for entry in entries]
        results = []
        for address, entry in items_of(mail, entries, "Email"):
            result = RecipientResult(address, Outcome.ACCEPTED, response.code, text="success", scope=Scope.MESSAGE)
            if self.sandbox:
                result = replace(result, text="checked in the sandbox: nothing is sent")
            elif entry is None:
                result = replace(result, outcome=Outcome.UNKNOWN, text="the answer does not name this recipient")
            else:
                result = replace(result, provider_id=self.id_of(entry.get("MessageID") or entry.get("MessageUUID")))
            results.append(result)
        if all(result.outcome is Outcome.UNKNOWN for result in results):
            raise Junk("its item names none of the recipients")
        return Receipt(id=mail.id, results=tuple(results))

    def _at_fault(self, item: Mapping[str, Any], copy: Copy, mail: Mail, response: Response) -> Receipt:
        """Nobody was sent to. Whose addresses are bad are at fault; the others can be sent to without them."""
        errors = _errors(item)
        status = errors[0].get("StatusCode") if errors else None
        if not isinstance(status, int) or not 400 <= status <= 599:
            status = response.status if response.status >= 400 else 400
        receipt = self.refused(item, mail, replace(response, status=status))
        bad = _named_bad(errors, copy)
        if not bad or any(error.get("ErrorCode") != _BAD_ADDRESS for error in errors):
            return receipt
        results = [
            replace(result, scope=Scope.RECIPIENT)
            if result.address.key in bad
            else replace(result, outcome=Outcome.DEFERRED)
            for result in receipt.results
        ]
        return receipt.with_(results=tuple(results))

    def error_of(self, data: Any) -> tuple[int | str | None, str]:
        """``{"ErrorCode", "ErrorMessage"}``, or an item with a list of such as its ``Errors``."""
        if not isinstance(data, dict):
            return None, ""
        errors = _errors(data) or [data]
        code = errors[0].get("ErrorCode")
        said = [
            " ".join([text, *([f"({', '.join(map(str, related))})"] if isinstance(related, list) and related else [])])
            for text, related in [(error.get("ErrorMessage"), error.get("ErrorRelatedTo")) for error in errors]
            if isinstance(text, str)
        ]
        return (code if isinstance(code, str) and code else None), "; ".join(said)


def _errors(item: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    errors = item.get("Errors")
    return [error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []


def _named_bad(errors: Iterable[Mapping[str, Any]], copy: Copy) -> set[tuple[str, str]]:
    """The keys of those whom ``"ErrorRelatedTo": ["To[0].Email"]`` means."""
    lists = dict(zip(("To", "Cc", "Bcc"), copy, strict=True))
    bad = set()
    for error in errors:
        related = error.get("ErrorRelatedTo")
        for where in related if isinstance(related, list) else ():
            found = re.fullmatch(r"(To|Cc|Bcc)\[([0-9]{1,3})\](\..*)?", str(where), re.ASCII)
            if found and int(found[2]) < len(lists[found[1]]):
                bad.add(lists[found[1]][int(found[2])].key)
    return bad


def _message(letter: Letter) -> dict[str, Any]:
    """An item without its recipients."""
    message = letter.message
    body: dict[str, Any] = {"From": _named(message.from_[0])}
    if message.reply_to:
        body["ReplyTo"] = _named(message.reply_to[0])
    if message.subject or message.provider_template is None:
        body["Subject"] = message.subject
    if message.provider_template is not None:
        body |= {"TemplateID": template_number(message.provider_template, Mailjet.name), "TemplateLanguage": True}
        if message.context:
            body["Variables"] = dict(message.context)
    else:
        if message.html is not None:
            body["HTMLPart"] = message.html
        if message.text is not None or message.html is None:
            body["TextPart"] = message.text or ""
    headers = {name: value for name, value in letter.headers if not _RESERVED.fullmatch(name)}
    if headers:
        body["Headers"] = headers
    if letter.files:
        body["Attachments"] = [_file(attachment) for attachment in letter.files]
    if letter.inline:
        body["InlinedAttachments"] = [
            _file(attachment) | {"ContentID": attachment.content_id or attachment.name} for attachment in letter.inline
        ]
    if message.tags:
        body["CustomCampaign"] = message.tags[0]
    if metadata := letter.metadata:
        body["EventPayload"] = json.dumps(metadata, ensure_ascii=False, default=str)
    for key, value in (("TrackOpens", message.track_opens), ("TrackClicks", message.track_clicks)):
        if value is not None:
            body[key] = _TRACKING[value]
    return body


def _named(address: Address) -> dict[str, str]:
    return {"Email": address.ascii, "Name": address.name} if address.name else {"Email": address.ascii}


def _file(attachment: Attachment) -> dict[str, str]:
    return {
        "ContentType": attachment.content_type,
        "Filename": attachment.name,
        "Base64Content": base64_text(attachment),
    }
