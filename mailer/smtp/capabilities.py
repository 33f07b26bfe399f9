"""What a server offers: its answer to EHLO (RFC 5321 section 4.1.1.1)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from .command import KEYWORD, MECHANISM
from .reply import Reply

__all__ = ["Capabilities"]

_MAX_KEYWORD_BYTES = 64
"""Longer EHLO keywords are nobody's: ignored."""


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
        size = None
        if "SIZE" in keywords:
            digits = keywords["SIZE"]
            size = int(digits) if re.fullmatch(r"[0-9]{1,20}", digits) else 0
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
        """A figure of LIMITS (RFC 9422), such as "RCPTMAX" or "MAILMAX"; None if none is given that can be read."""
        for word in self.keywords.get("LIMITS", "").upper().split():
            key, _, value = word.partition("=")
            if key == name and re.fullmatch(r"[1-9][0-9]{0,5}", value):
                return int(value)
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
