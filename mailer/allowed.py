"""Which addresses are meant, as settings name them: mailboxes, whole domains, a pattern."""

from __future__ import annotations

from collections.abc import Iterable

from .address import Address
from .errors import AddressError
from .linear_pattern import LinearPattern

__all__ = ["Allowed", "plain"]


class Allowed:
    """Some addresses. Names, and upper and lower case, make no difference; a domain does not mean those below it.

    Args:
        addresses: Mailboxes, and ``@example.com`` for all of a domain.
        pattern: A regular expression that a whole address must match (:class:`LinearPattern`).

    Raises:
        ValueError: One is neither, or the pattern is none; the text begins with "allow: " or "allow_pattern: ".
    """

    __slots__ = ("_domains", "_mailboxes", "_pattern")

    def __init__(self, addresses: Iterable[str], pattern: str | None = None) -> None:
        self._domains: set[str] = set()
        self._mailboxes: set[str] = set()
        self._pattern: LinearPattern | None = None
        for one in addresses:
            try:
                if one.startswith("@"):
                    self._domains.add(Address.parse(f"all{one}").key[1])
                else:
                    self._mailboxes.add(plain(Address.parse(one)))
            except AddressError as error:
                raise ValueError(f"allow: {error}") from None
        if pattern is not None:
            try:
                self._pattern = LinearPattern(pattern)
            except ValueError as error:
                raise ValueError(f"allow_pattern: {error}") from None

    def __contains__(self, address: Address) -> bool:
        text = plain(address)
        return (
            text in self._mailboxes
            or address.key[1] in self._domains
            or (self._pattern is not None and any([self._pattern.matches(form) for form in _spellings(text)]))
        )


def plain(address: Address) -> str:
    """What is compared: no name, the domain in A-labels, in lower case."""
    return address.ascii.lower()


def _spellings(text: str) -> tuple[str, ...]:
    """The address with its domain in A-labels and in U-labels: a pattern may have either."""
    local, _, domain = text.rpartition("@")
    if "xn--" not in domain:
        return (text,)
    import idna  # its tables are large and few addresses need them

    return (text, f"{local}@{idna.decode(domain)}")
