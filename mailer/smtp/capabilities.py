"""What a server offers, by its answer to EHLO (RFC 5321 section 4.1.1.1), and what it showed of its limits."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from .command import KEYWORD, MECHANISM
from .reply import Reply

__all__ = ["Capabilities", "Learnt"]

_MAX_KEYWORD_BYTES = 64
"""Longer EHLO keywords are nobody's: ignored."""
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE)
"""RFC 3339 section 5.6."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a server said it can do in its answer to EHLO. `Capabilities()` is what HELO leaves: nothing.

    Attributes:
        keywords: Each keyword in upper case to its parameters as given ("" if none), in the order of the reply.
        auth: SASL mechanisms in upper case, in order, once each; ``AUTH=LOGIN`` (a draft's form) is among them.
        size: The largest mail in octets; 0 if there is no limit or none that can be read; None if SIZE is not offered.
    """

    keywords: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    auth: tuple[str, ...] = ()
    size: int | None = None

    @classmethod
    def parse(cls, ehlo_reply: Reply) -> Capabilities:
        """Return what a positive reply to EHLO (or LHLO) offers; what is no keyword in it is ignored."""
        keywords: dict[str, str] = {}
        mechanisms: list[str] = []
        for line in ehlo_reply.lines[1:]:
            if not line.replace("\t", " ").rstrip("\r").isprintable():
                continue
            keyword, parameters = (*line.split(None, 1), "", "")[:2]
            if keyword.upper().startswith("AUTH="):
                keyword, parameters = "AUTH", f"{keyword[5:]} {parameters}"
            keyword, parameters = keyword.upper(), parameters.strip()
            if len(keyword) > _MAX_KEYWORD_BYTES or not KEYWORD.fullmatch(keyword):
                continue
            if keyword == "AUTH":
                mechanisms += [word.upper() for word in parameters.split() if MECHANISM.fullmatch(word)]
                parameters = " ".join(dict.fromkeys(mechanisms))
                keywords[keyword] = parameters
            else:
                keywords.setdefault(keyword, parameters)
        size = (_whole(keywords["SIZE"]) or 0) if "SIZE" in keywords else None
        return cls(MappingProxyType(keywords), tuple(dict.fromkeys(mechanisms)), size)

    def has(self, keyword: str) -> bool:
        """Return whether the extension is offered; any case."""
        return keyword.upper() in self.keywords

    @property
    def eightbitmime(self) -> bool:
        """RFC 6152."""
        return "8BITMIME" in self.keywords

    @property
    def smtputf8(self) -> bool:
        """RFC 6531."""
        return "SMTPUTF8" in self.keywords

    @property
    def pipelining(self) -> bool:
        """RFC 2920."""
        return "PIPELINING" in self.keywords

    @property
    def chunking(self) -> bool:
        """RFC 3030."""
        return "CHUNKING" in self.keywords

    @property
    def binarymime(self) -> bool:
        """RFC 3030: any octets at all, in chunks."""
        return "BINARYMIME" in self.keywords and self.chunking

    def limit(self, name: str) -> int | None:
        """A figure of LIMITS (RFC 9422): "MAILMAX", "RCPTMAX" or "RCPTDOMAINMAX"; None if there is none to be read."""
        if not (limits := self.keywords.get("LIMITS")):
            return None
        for word in limits.upper().split():
            key, _, value = word.partition("=")
            if key == name and re.fullmatch(r"[1-9][0-9]{0,5}", value):
                return int(value)
        return None

    @property
    def least_deliver_by_s(self) -> int | None:
        """The shortest time that DELIVERBY takes for returning a mail (RFC 2852 section 3), or None."""
        return _whole(self.keywords.get("DELIVERBY", ""))

    @property
    def longest_hold_s(self) -> int | None:
        """How long FUTURERELEASE holds a mail (RFC 4865 section 4: the first of two words); None if it says nothing."""
        return _whole(self.keywords.get("FUTURERELEASE", "").partition(" ")[0])

    @property
    def latest_release(self) -> datetime | None:
        """Until when FUTURERELEASE holds one: the second word, an RFC 3339 time; None if it is none."""
        for word in self.keywords.get("FUTURERELEASE", "").split()[:2]:
            if _TIME.fullmatch(word):
                with contextlib.suppress(ValueError):
                    return datetime.fromisoformat(word.upper())
        return None

    @property
    def starttls(self) -> bool:
        """RFC 3207."""
        return "STARTTLS" in self.keywords

    @property
    def dsn(self) -> bool:
        """RFC 3461."""
        return "DSN" in self.keywords

    @property
    def enhancedstatuscodes(self) -> bool:
        """RFC 2034."""
        return "ENHANCEDSTATUSCODES" in self.keywords


def _whole(digits: str) -> int | None:
    return int(digits) if re.fullmatch(r"[0-9]{1,20}", digits) else None


@dataclass(slots=True)
class Learnt:
    """What a server showed of its limits; None: nothing yet. Shared by the connections to it.

    Attributes:
        recipients: How many one transaction took, until 452 4.5.3 to RCPT.
        messages: How many transactions one connection took, until 421 to MAIL.
        connections: How many it had from us at once, until 421 to one more.
    """

    recipients: int | None = None
    messages: int | None = None
    connections: int | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is known."""
        return self.recipients is self.messages is self.connections is None

    def forget(self) -> None:
        """Start again: things may have changed."""
        self.recipients = self.messages = self.connections = None
