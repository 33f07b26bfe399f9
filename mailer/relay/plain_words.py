"""Plain words: a provider that fills each recipient's values in, and of which nobody says whether it escapes them.

So it is given none where that would matter: letters and digits, and between them single signs that html and its
templates leave alone. A mail whose own words are others goes by itself, written out.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from typing import ClassVar

from ..address import Address
from ..mail import Mail
from .batch import Alike, address_of, gathered, packed
from .letter import Letter
from .per_recipient import PerRecipient, is_marked
from .places import Places, as_one

__all__ = ["PlainWords"]

_PLAIN = re.compile(r"[^\W_]+(?:[ .,:;@/+_-][^\W_]+)*")
# Each time some mails go by themselves, the others may have more in common, and so other words of their own.
_ROUNDS = 3
_BATCH_BYTES = 20_000_000
_EVERYTHING = Alike()


class PlainWords(PerRecipient):
    """Groups mails to one recipient each, whose texts differ in plain words alone.

    Attributes:
        texts: The fields of a message in which its language knows places.
        owned: "metadata" and "context" (of a stored template) as far as each recipient has his own there.
    """

    owned: ClassVar[tuple[str, ...]] = ("context",)

    @functools.cached_property
    def _kinds(self) -> tuple[Alike, Alike]:
        """Of a stored template's mails, and of written ones."""
        return Alike(*self.owned), Alike(*self.owned, *self.texts)

    def grouped(self, mails: Sequence[Mail]) -> Iterator[Sequence[Mail]]:
        """Mails that differ in what is each recipient's own there, if those are plain words."""
        for group in gathered(mails, self._alike):
            for part in packed(group, self._weight, self.batch_size, _BATCH_BYTES, named=address_of):
                yield from self._plain(part)

    def _plain(self, mails: Sequence[Mail]) -> Iterator[Sequence[Mail]]:
        for _ in range(_ROUNDS):
            if len(mails) < 2:
                break
            _, places = self.as_one(mails)
            if places.has_before("{") or places.has_behind("}"):
                break
            are_plain = [all(map(_PLAIN.fullmatch, values)) for values in places.values]
            if all(are_plain):
                yield mails
                return
            yield from ([mail] for mail, is_plain in zip(mails, are_plain, strict=True) if not is_plain)
            mails = [mail for mail, is_plain in zip(mails, are_plain, strict=True) if is_plain]
        yield from ([mail] for mail in mails)

    def _alike(self, mail: Mail) -> object:
        letter = self.letter(mail)
        message = letter.message
        is_written = message.provider_template is None
        if len(mail.envelope.recipients) > 1 or letter.content is not None or (is_written and is_marked(letter)):
            return None
        if message.provider_options:  # laid over what mails have in common: they must have all of it
            return _EVERYTHING(message)
        templated, written = self._kinds
        return written(message) if is_written else templated(message), message.text is None, message.html is None

    def only(self, mail: Mail) -> Address:
        """The only recipient, with the name that the message gives him."""
        letter = self.letter(mail)
        return (*letter.to, *letter.cc, *letter.bcc)[0]

    def as_one(self, mails: Sequence[Mail]) -> tuple[Letter, Places]:
        """Mails that are alike as one letter with places in it, and what stands there in each."""
        letters = [self.letter(mail) for mail in mails]
        return as_one(letters, self.texts, "{{{{mailer_{}}}}}".format, is_trimmed=True)
