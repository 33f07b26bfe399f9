"""Merge: one message with fields that differ by recipient, as a message for each of them.

Each recipient of To, Cc and Bcc gets a mail of their own, which names nobody else. ``{{ name }}`` in subject, text,
html, AMP and alternatives stands for a value of ``merge_data`` (else of ``context``); a message with a template has it
rendered for each recipient instead, with both as its variables (``provider_template``: by the provider). Only names may
stand between the braces: what needs more than that is a template.
"""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .address import Address
from .errors import MailerError, MessageError, Outcome
from .field import shown
from .message import Message, MessageFields
from .receipt import Attempt, Receipt, RecipientResult

if TYPE_CHECKING:
    from typing import Unpack

__all__ = ["Merge", "has_merge", "merged_receipt"]

_PLACEHOLDER = re.compile(r"\{\{([^{}]*)\}\}")
_NAME = re.compile(r"\s*([^\W\d]\w*(?:\.\w+)*)\s*")
_MAX_KEY = 255 - 17


def has_merge(message: Message) -> bool:
    """Whether some field of the message differs by recipient."""
    return bool(message.merge_data or message.merge_metadata or message.merge_headers)


class Merge:
    """A message taken apart once, so that each recipient costs little.

    Attributes:
        recipients: Of To, Cc and Bcc, each once, in that order.
    """

    def __init__(self, message: Message) -> None:
        """Read the placeholders.

        Raises:
            MessageError: Something else than a name stands in ``{{ }}``, or a Message-ID is given for several mails.
        """
        unique: dict[tuple[str, str], Address] = {}
        for address in (*message.to, *message.cc, *message.bcc):
            unique.setdefault(address.key, address)
        self.recipients = tuple(unique.values())
        if not self.recipients:
            raise MessageError("there is no recipient", field="to")
        if message.message_id is not None and len(self.recipients) > 1:
            raise MessageError("several mails cannot have one Message-ID: leave it out", field="message_id")
        self._message = message.with_(cc=(), bcc=(), merge_data=None, merge_metadata=None, merge_headers=None)
        self._data, self._metadata, self._headers = message.merge_data, message.merge_metadata, message.merge_headers
        self._fills: dict[str, _Fill] = {}
        self._alternatives: list[tuple[str, _Fill]] = []
        if message.template is not None or not message.merge_data:
            return
        for field in ("subject", "text", "html", "amp_html"):
            if (text := getattr(message, field)) and "{{" in text:
                self._fills[field] = _Fill(text, field, _markup if field.endswith("html") else str)
        if any("{{" in text for _, text in message.alternatives):
            self._alternatives = [(kind, _Fill(text, "alternatives", str)) for kind, text in message.alternatives]

    def message_for(
        self, recipient: Address, own: Mapping[str, Any] | None = None, **fields: Unpack[MessageFields]
    ) -> Message:
        """What this recipient gets.

        Args:
            recipient: One of the message's, or somebody else where ``own`` is given.
            own: Their values; None takes those of ``merge_data``.
            fields: Further fields to set.

        Raises:
            MessageError: A placeholder has no value, or a value does not fit where it stands; it names the field.
        """
        message, key = self._message, recipient.addr_spec
        common = message.context
        if own is None:
            own = self._data.get(key) or {}
        changes: dict[str, Any] = {"to": recipient}
        if message.template is not None or message.provider_template is not None:
            changes["context"] = {**common, **own}
        for field, fill in self._fills.items():
            changes[field] = fill(own, common, recipient)
        if self._alternatives:
            changes["alternatives"] = [(kind, fill(own, common, recipient)) for kind, fill in self._alternatives]
        if self._metadata and (metadata := self._metadata.get(key)):
            changes["metadata"] = {**message.metadata, **metadata}
        if self._headers and (headers := self._headers.get(key)):
            replaced = {name.lower() for name in headers}
            kept = [pair for pair in message.headers if pair[0].lower() not in replaced]
            changes["headers"] = [*kept, *headers.items()]
        if message.idempotency_key is not None:
            changes["idempotency_key"] = _key_for(message.idempotency_key, key)
        changes.update(fields)
        return message.with_(**changes)

    def __iter__(self) -> Iterator[Message]:
        return map(self.message_for, self.recipients)


class _Fill:
    """A text with placeholders, taken apart: literals and names in turn."""

    __slots__ = ("_field", "_names", "_parts", "_shown")

    def __init__(self, text: str, field: str, shown_as: Callable[[object], str]) -> None:
        self._field = field
        self._shown = shown_as
        self._parts = _PLACEHOLDER.split(text)  # odd ones are what stood between the braces
        self._names: list[tuple[int, str, str]] = []  # the place, the name's first word and the dotted rest
        for index in range(1, len(self._parts), 2):
            found = _NAME.fullmatch(self._parts[index])
            if found is None:
                inside = shown(self._parts[index])
                raise MessageError(f"{inside} in {{{{ }}}} is no name: what is more takes a template", field=field)
            first, _, rest = found[1].partition(".")
            self._names.append((index, first, rest))

    def __call__(self, own: Mapping[str, Any], common: Mapping[str, Any], recipient: Address) -> str:
        filled = self._parts.copy()
        for index, first, rest in self._names:
            value = own[first] if first in own else common.get(first)
            if rest:
                value = _within(value, rest)
            if value is None:
                name = f"{first}.{rest}" if rest else first
                raise MessageError(f"{recipient.addr_spec} has no value for {{{{ {name} }}}}", field=self._field)
            try:
                filled[index] = self._shown(value)
            except Exception as error:
                name = f"{first}.{rest}" if rest else first
                text = f"{recipient.addr_spec}'s value for {{{{ {name} }}}} raised {type(error).__name__}"
                raise MessageError(text, field=self._field) from error
        return "".join(filled)


def _markup(value: object) -> str:
    """As html shows it: escaped, unless the value says that it is markup."""
    return str(value.__html__()) if hasattr(value, "__html__") else html.escape(str(value))


def _within(found: Any, path: str) -> Any:
    """What the dotted names lead to through mappings; None if there is nothing."""
    for name in path.split("."):
        if not isinstance(found, Mapping) or name not in found:
            return None
        found = found[name]
    return found


def _key_for(key: str, addr_spec: str) -> str:
    """An idempotency key of this recipient's own, the same whenever the message is sent again."""
    return f"{key[:_MAX_KEY]}.{hashlib.sha256(f'{key} {addr_spec}'.encode()).hexdigest()[:16]}"


def merged_receipt(receipt_id: str, parts: Sequence[tuple[Address | None, Receipt | MailerError]]) -> Receipt:
    """One receipt for what became of each recipient's own mail.

    Args:
        parts: Each recipient and how it ended; no recipient where the message became no mail at all.

    A recipient whose mail could not be made is REJECTED; if that is so for everybody, the first reason is the
    receipt's ``error``.
    """
    results: list[RecipientResult] = []
    attempts: list[Attempt] = []
    notes: dict[str, None] = {}
    backend, skipped = "", None
    failures = [said for _, said in parts if isinstance(said, MailerError)]
    if len(failures) == len(parts):
        return Receipt(id=receipt_id, error=failures[0])
    for recipient, said in parts:
        assert recipient is not None, "else it failed as a whole"  # noqa: S101 - for type checkers
        if isinstance(said, MailerError):
            results.append(RecipientResult(recipient, Outcome.REJECTED, text=str(said)))
            continue
        results += said.results
        attempts += said.attempts
        backend = backend or said.backend
        if said.skipped is not None:
            skipped = skipped or said.skipped
            notes[f"{recipient.addr_spec} was skipped: {said.skipped}"] = None
        notes.update(dict.fromkeys(said.notes))
    return Receipt(
        id=receipt_id,
        backend=backend,
        results=tuple(results),
        attempts=tuple(attempts),
        notes=tuple(notes),
        skipped=None if results else skipped,
    )
