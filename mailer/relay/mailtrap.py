"""Mailtrap: https://docs.mailtrap.io/developers/email-sending

``mailtrap://TOKEN@default`` is the transactional stream, ``@bulk`` the bulk one; ``?sandbox_id=ID`` has a sandbox catch
the mails in their place. Each mail of a batch is refused or taken by itself, inside a 200.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import inf
from typing import Any

from .. import header
from ..attachment import Attachment
from ..errors import ConfigError, Outcome
from ..features import Features, Limits
from ..mail import Mail
from ..receipt import Receipt, RecipientResult
from ..verdict import Scope
from .exchange import Request, Response
from .letter import Copy, Letter, as_text, base64_text, named, unfolded
from .provider import Junk, Provider, merged, packed, size_of

__all__ = ["Mailtrap"]

# Who gets the mail is the envelope's to say.
_TAKEN = ("to", "cc", "bcc", "base", "requests")
# What a batch may say once, for all of its items.
_SHARED = frozenset(
    "from reply_to subject text html category headers attachments custom_variables"
    " template_uuid template_variables".split()
)
_BATCH_BYTES = 50_000_000
_MAX_CATEGORY = 255


def _sandbox_id(value: str) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{1,18}", value, re.ASCII):
        raise ValueError("must be the sandbox's number, as the address of its page has it")
    return value


class Mailtrap(Provider):
    """Mailtrap's sending API.

    Attributes:
        sandbox_id: The sandbox that catches the mails, or "": they are sent.
    """

    name = "mailtrap"
    bases = {
        "default": "https://send.api.mailtrap.io/api",
        "bulk": "https://bulk.api.mailtrap.io/api",
        "sandbox": "https://sandbox.api.mailtrap.io/api",
    }
    features = Features.of_api(provider_template=True, tags=True, metadata=True)
    has_unique_headers = True
    template_has_subject = True
    rate = "15/s"  # 150 in ten seconds
    metadata_room = (inf, 900)  # 1000 with what JSON adds
    limits = Limits(recipients=1000, tags=1, size_bytes=10_000_000)
    options = {"sandbox_id": _sandbox_id}
    batch_size = 500

    def __init__(self, token: str, *, base: str = "", sandbox_id: str = "") -> None:
        """Make it for an account.

        Args:
            token: The API token.
            base: See :class:`Provider`; "" is the sandbox's host where there is a ``sandbox_id``.
            sandbox_id: The number of the sandbox that catches the mails.

        Raises:
            ConfigError: The token cannot be one, or there is a sandbox without its number, or a number without one.
        """
        if sandbox_id and base.rstrip("/") in ("", self.bases["default"]):
            base = self.bases["sandbox"]
        super().__init__(token, base=base)
        if bool(sandbox_id) != (self.base == self.bases["sandbox"]) and self.base in self.bases.values():
            raise ConfigError(f"{self.name}: a sandbox has its number: {self.name}://TOKEN@sandbox?sandbox_id=1234567")
        try:
            self.sandbox_id = sandbox_id and _sandbox_id(sandbox_id)
        except ValueError as error:
            raise ConfigError(f"{self.name}: sandbox_id {error}") from None
        self.sandbox = bool(sandbox_id)

    def left_out(self, letter: Letter) -> Iterable[tuple[str, str, bool]]:
        """Also: a long tag, and any beside a stored template, which has its own category."""
        yield from super().left_out(letter)
        message = letter.message
        if message.tags and message.provider_template is not None:
            yield "tags", f"are not carried by {self.name} beside a stored template", True
        elif message.tags and len(message.tags[0]) > _MAX_CATEGORY:
            yield "tags", f"of more than {_MAX_CATEGORY} characters are not carried by {self.name}", True

    # --- requests -----------------------------------------------------------------------------------------------------

    def request(self, mail: Mail) -> Request:
        """One mail; where all of several recipients are hidden, a batch with a copy for each."""
        items = self._items(mail)
        return self._post("send", items[0]) if len(items) == 1 else self._post("batch", _batch(items))

    def grouped(self, mails: Sequence[Mail]) -> Iterator[Sequence[Mail]]:
        """By the number of items, and by size."""
        return packed(mails, self._weight, self.batch_size, _BATCH_BYTES)

    def batch_request(self, mails: Sequence[Mail]) -> Request:
        """Up to 500 mails."""
        return self._post("batch", _batch([item for mail in mails for item in self._items(mail)]))

    def _weight(self, mail: Mail) -> tuple[int, int]:
        letter = self.letter(mail)
        # What JSON adds to it, about.
        return len(letter.copies), (size_of(letter) * 11 // 10 + 4096) * len(letter.copies)

    def _post(self, path: str, body: Any) -> Request:
        url = f"{self.base}/{path}/{self.sandbox_id}" if self.sandbox else f"{self.base}/{path}"
        # Without a User-Agent it may be kept out.
        return Request.json(url, body, {"Api-Token": self.token, "User-Agent": "mailer"})

    def _items(self, mail: Mail) -> list[dict[str, Any]]:
        letter = self.letter(mail)
        common = _common(letter)
        lists = [zip(("to", "cc", "bcc"), copy, strict=True) for copy in letter.copies]
        return [
            merged(
                {key: [named(address) for address in those] for key, those in copy if those} | common,
                letter.message.provider_options,
                _TAKEN,
            )
            for copy in lists
        ]

    # --- answers ------------------------------------------------------------------------------------------------------

    def receipt(self, response: Response, mail: Mail) -> Receipt:
        """One mail's answer; a batch's where the request was one."""
        if len(self.letter(mail).copies) > 1:
            return self.batch_receipts(response, [mail])[0]
        return self.receipts(response.json(), [mail], response, self.accepted)[0]

    def batch_receipts(self, response: Response, mails: Sequence[Mail]) -> list[Receipt]:
        """The items come in their order, and decide for themselves, always inside a 200."""
        data = response.json()
        items = data.get("responses") if isinstance(data, dict) else None
        copies = [self.letter(mail).copies for mail in mails]
        is_whole = isinstance(items, list) and len(items) == sum(map(len, copies))
        if not response.is_success or response.cut is not None or not is_whole:
            return self.receipts(data, mails, response, self._without_items)
        left = iter(items or ())
        return [
            self._of_items([(next(left), copy) for copy in those], mail, response)
            for mail, those in zip(mails, copies, strict=True)
        ]

    def _without_items(self, data: Any, mail: Mail, response: Response) -> Receipt:
        """A success that has not an item for each mail is none; without any, it may be an error by its body alone."""
        if isinstance(data, dict) and not data.get("responses") and self.error_of(data)[1]:
            return self.refused(data, mail, response)
        raise Junk("it has no list of responses with one for each mail")

    def _of_items(self, items: Iterable[tuple[Any, Copy]], mail: Mail, response: Response) -> Receipt:
        """One mail's receipt: of one item, or of one for each hidden recipient."""
        receipts = []
        for item, copy in items:
            recipients = [address for those in copy for address in those]
            part = mail.with_(envelope=mail.envelope.for_recipients(recipients))
            receipts.append(self.receipts(item, [part], response, self.accepted)[0])
        results = {result.address.key: result for receipt in receipts for result in receipt.results}
        whole = Receipt(id=mail.id, results=tuple([results[address.key] for address in mail.envelope.recipients]))
        error = next((receipt.error for receipt in receipts if receipt.error is not None), None)
        return whole if error is None else whole.with_(error=error)

    def accepted(self, data: Any, mail: Mail, response: Response) -> Receipt:
        """``{"success": true, "message_ids": ["0c7fd939-...", ...]}``, an id for each recipient in the order asked."""
        data = self.fields_of(data)
        is_fault = bool(self.error_of(data)[1])
        if data.get("success") is False or (is_fault and "success" not in data):
            return self.refused(data, mail, response)
        if data.get("success") is not True or is_fault:
            raise Junk("it says neither success nor error alone")
        letter = self.letter(mail)
        order = (*letter.to, *letter.cc, *letter.bcc)
        ids = data.get("message_ids")
        if self.sandbox and isinstance(ids, list):
            ids = ids[:1] * len(order)  # which has one for all
        if not isinstance(ids, list) or len(ids) != len(order):
            raise Junk("it has not an id for each recipient")
        given = {address.key: self.id_of(value) for address, value in zip(order, ids, strict=True)}
        text = f"caught by sandbox {self.sandbox_id}: nothing is sent" if self.sandbox else ""
        results = [
            RecipientResult(
                address,
                Outcome.ACCEPTED,
                response.code,
                text=text,
                provider_id=given[address.key],
                scope=Scope.MESSAGE,
            )
            for address in mail.envelope.recipients
        ]
        return Receipt(id=mail.id, results=tuple(results))

    def error_of(self, data: Any) -> tuple[int | str | None, str]:
        """``{"success": false, "errors": ["...", ...]}``; of some gateways ``{"error": "..."}``."""
        if not isinstance(data, dict):
            return None, ""
        errors = data.get("errors")
        said = [*(errors if isinstance(errors, list) else [errors]), data.get("error")]
        return None, "; ".join([text for text in said if isinstance(text, str)])


def _batch(items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The items, and once, as their ``base``, what all of them have alike: text, html and attachments mostly."""
    first, *others = items
    shared = {
        key: value
        for key, value in first.items()
        if key in _SHARED and all(key in item and item[key] == value for item in others)
    }
    return {
        **({"base": shared} if shared else {}),
        "requests": [{key: value for key, value in item.items() if key not in shared} for item in items],
    }


def _common(letter: Letter) -> dict[str, Any]:
    """An item without its recipients."""
    message = letter.message
    body: dict[str, Any] = {"from": named(message.from_[0])}
    headers = {name: unfolded(header.custom(name, value)) for name, value in letter.headers}
    if len(message.reply_to) == 1:
        body["reply_to"] = named(message.reply_to[0])
    elif message.reply_to:
        headers["Reply-To"] = unfolded(header.addresses("Reply-To", message.reply_to))
    if message.provider_template is not None:
        body |= {"template_uuid": message.provider_template, "template_variables": dict(message.context)}
    else:
        body["subject"] = message.subject
        if message.html:
            body["html"] = message.html
        if message.text or not message.html:
            body["text"] = message.text or "\n"  # an empty one is refused
        if message.tags and len(message.tags[0]) <= _MAX_CATEGORY:
            body["category"] = message.tags[0]
    if headers:
        body["headers"] = headers
    if message.attachments:
        body["attachments"] = [*map(_attached, letter.files), *map(_shown_inside, letter.inline)]
    if metadata := letter.metadata:
        body["custom_variables"] = {key: as_text(value) for key, value in metadata.items()}
    return body


def _attached(attachment: Attachment) -> dict[str, str]:
    return {
        "filename": attachment.name,
        "content": base64_text(attachment),
        "type": attachment.content_type,
        "disposition": "attachment",
    }


def _shown_inside(attachment: Attachment) -> dict[str, str]:
    return _attached(attachment) | {"disposition": "inline", "content_id": attachment.content_id or attachment.name}
