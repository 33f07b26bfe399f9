"""The batch: which mails one request carries together, and whose receipt is whose."""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields

from ..errors import MailerError, Outcome
from ..mail import Mail
from ..message import Message
from ..receipt import Receipt, RecipientResult

__all__ = ["Alike", "Weight", "address_of", "each_its_own", "gathered", "packed", "to_all"]

#: How many mails, and how many bytes, a mail is in a request.
Weight = Callable[[Mail], tuple[int, int]]

# What no request says of the mails in it, or says for each: whom it is for, and what has done its work already.
_OWN = frozenset(
    "to cc bcc template locale merge_data merge_metadata merge_headers message_id date idempotency_key".split()
)
_EXACT = ("context", "metadata", "provider_options")  # where 1 and True are not the same
_MAX_OPEN = 32


class Alike:
    """Reads off a message what mails in one request must have in common: every field of a message but those named.

    Args:
        own: Fields that the request says for each mail.
    """

    def __init__(self, *own: str) -> None:
        names = [field.name for field in fields(Message) if field.name not in _OWN.union(own)]
        self._common = operator.attrgetter(*[name for name in names if name not in _EXACT])
        self._exact = [operator.attrgetter(name) for name in names if name in _EXACT]

    def __call__(self, message: Message) -> object:
        """Equal for messages that may go together."""
        exact = [repr(mapping) for read in self._exact if (mapping := read(message))]
        return (self._common(message), *exact) if exact else self._common(message)


def packed(
    mails: Iterable[Mail],
    weight: Weight,
    most: int,
    most_bytes: int = sys.maxsize,
    *,
    named: Callable[[Mail], object] | None = None,
) -> Iterator[Sequence[Mail]]:
    """Cut the mails, in their order, into what one request holds; each holds one at least.

    Args:
        mails: What is to be sent.
        weight: Of a mail: how many items of a request it is, and how many bytes.
        most, most_bytes: What a request takes of both.
        named: By what a request names a mail: no two in it have the same.
    """
    group: list[Mail] = []
    names: set[object] = set()
    count = size = 0
    for mail in mails:
        more, larger = weight(mail)
        name = named(mail) if named is not None else None
        if group and (count + more > most or size + larger > most_bytes or name in names):
            yield group
            group, count, size = [], 0, 0
            names.clear()
        group.append(mail)
        if named is not None:
            names.add(name)
        count, size = count + more, size + larger
    if group:
        yield group


def gathered(mails: Iterable[Mail], alike: Callable[[Mail], object]) -> Iterator[list[Mail]]:
    """The mails that are alike, together, whatever stands between them.

    Args:
        mails: What is to be sent.
        alike: What those that go together have in common, compared as ``==`` does; None for one that goes alone.
    """
    waiting: list[tuple[object, list[Mail]]] = []
    for mail in mails:
        common = alike(mail)
        if common is None:
            yield [mail]
            continue
        for known, group in reversed(waiting):
            if known == common:
                group.append(mail)
                break
        else:
            if len(waiting) == _MAX_OPEN:  # comparing with all of them would be quadratic
                yield waiting.pop(0)[1]
            waiting.append((common, [mail]))
    for _, group in waiting:
        yield group


# --- a mail for each recipient, which a request names by the recipient ------------------------------------------------


def address_of(mail: Mail) -> str:
    """Of the only recipient, as providers compare addresses: in lower case, the domain in A-labels."""
    return mail.envelope.recipients[0].ascii.lower()


def to_all(mails: Sequence[Mail]) -> Mail:
    """The first mail, to the recipients of them all: whom an answer to the batch speaks of."""
    return mails[0].with_(envelope=mails[0].envelope.for_recipients([r for m in mails for r in m.envelope.recipients]))


def each_its_own(receipt: Receipt, mails: Sequence[Mail]) -> list[Receipt]:
    """What a receipt for ``to_all(mails)`` says of each mail."""
    results = {result.address.key: result for result in receipt.results}
    return [_part(receipt.error, mail, [results[r.key] for r in mail.envelope.recipients]) for mail in mails]


def _part(error: MailerError | None, mail: Mail, results: Sequence[RecipientResult]) -> Receipt:
    is_all_well = all(result.outcome is Outcome.ACCEPTED for result in results)
    return Receipt(id=mail.id, results=tuple(results), error=None if is_all_well else error)
