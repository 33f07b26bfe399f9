"""A copy for each recipient: a provider whose batch is one content, and for each recipient what stands in its places.

Its language of templates is handlebars' or near it: ``{{{name}}}`` is a place whose value stands there as it is. It is
asked to evaluate anything only where mails differ in their texts, and "{{" stands in none of those.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from ..mail import Mail
from ..receipt import Receipt
from .batch import Alike, address_of, each_its_own, gathered, packed, to_all
from .exchange import Response
from .letter import Letter, text_bytes
from .places import Places, as_one
from .provider import Provider

__all__ = ["PerRecipient", "is_marked"]

_BATCH_BYTES = 20_000_000
# Options are laid over what mails have in common: they must have all of it.
_COMMON_WITH_OPTIONS = Alike()
_COMMON_AS_WRITTEN = Alike("metadata", "context")


class PerRecipient(Provider):
    """Groups mails to one recipient each, and reads the one answer for all of them.

    Attributes:
        texts: The fields of a message in which its language knows places; "headers" for custom header fields.
    """

    texts: ClassVar[tuple[str, ...]]

    @functools.cached_property
    def _common(self) -> Alike:
        return Alike("metadata", "context", *self.texts)

    def grouped(self, mails: Sequence[Mail]) -> Iterator[Sequence[Mail]]:
        """Mails that differ in what is each recipient's own there."""
        for group in gathered(mails, self._alike):
            _, places = self.as_one(group)
            if places.has_behind("}"):  # "{{{name}}}}" ends where?
                yield from ([mail] for mail in group)
            else:
                yield from packed(group, self._weight, self.batch_size, _BATCH_BYTES, named=address_of)

    def _weight(self, mail: Mail) -> tuple[int, int]:
        return 1, text_bytes(self.letter(mail).message)

    def _alike(self, mail: Mail) -> object:
        letter = self.letter(mail)
        message = letter.message
        if len(mail.envelope.recipients) > 1 or letter.content is not None:
            return None
        if message.provider_options:
            return _COMMON_WITH_OPTIONS(message)
        if message.provider_template is not None or is_marked(letter):
            return _COMMON_AS_WRITTEN(message)
        shape = [getattr(message, field) is None for field in self.texts if field != "headers"]
        return self._common(message), shape, [name for name, _ in letter.headers]

    def as_one(self, mails: Sequence[Mail]) -> tuple[Letter, Places]:
        """Mails that are alike as one letter with places in it, and what stands there in each."""
        return as_one([self.letter(mail) for mail in mails], self.texts, "{{{{{{mailer_{}}}}}}}".format)

    def bare(self, letter: Letter, *, metadata: object, variables: object) -> Letter:
        """The letter without what its recipients say for themselves, if they do; its mail's id is one's own always."""
        message = letter.message
        if metadata:
            message = message.with_(metadata={})
        if variables:
            message = message.with_(context={})
        return replace(letter, message=message, mail_id="")

    def variables(self, mails: Sequence[Mail], places: Places) -> list[Mapping[str, Any]]:
        """Each recipient's variables: what stands in the places, or a stored template's where those differ."""
        if places.count:
            return [{f"mailer_{n}": value for n, value in enumerate(values)} for values in places.values]
        return self.own(mails, "context") if self.letter(mails[0]).message.provider_template is not None else []

    def own(self, mails: Sequence[Mail], field: str) -> list[Mapping[str, Any]]:
        """What "metadata" or "context" is in each of them; nothing if it is the same in all."""
        letters = [self.letter(mail) for mail in mails]
        # Options that are laid over what mails have in common are to have all of it, and no id of theirs beside it.
        has_ids = field == "metadata" and not letters[0].message.provider_options
        values = [letter.metadata if has_ids else getattr(letter.message, field) for letter in letters]
        return values if len(set(map(repr, values))) > 1 else []

    def batch_receipts(self, response: Response, mails: Sequence[Mail]) -> list[Receipt]:
        """One answer, about recipients, each of whom is a mail here."""
        return each_its_own(self.receipt(response, to_all(mails)), mails)


def is_marked(letter: Letter) -> bool:
    """Whether anything in it would be evaluated."""
    message = letter.message
    addresses = (*message.from_, *message.reply_to, *letter.to, *letter.cc, *letter.bcc)
    texts = (message.subject, message.text, message.html, message.amp_html)
    words = (*texts, *[value for _, value in letter.headers], *[address.name for address in addresses])
    return any("{{" in text for text in words if text)
