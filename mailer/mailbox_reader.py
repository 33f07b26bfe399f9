"""Reading mailboxes from text: RFC 5322 section 3.4 with its comments, groups, routes and obsolete forms.

One pass over tokens, one token ahead and never back, no recursion but into a group: the time is linear in the length
of any text. What it reads is not checked further; :class:`mailer.address.Address` does that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NoReturn, TypeAlias

from .errors import AddressError

__all__ = ["SPECIAL", "WIDE_ATEXT", "MailboxReader", "shown_text"]

SPECIAL = r"\x00-\x20\x7f()<>@,;:\\\"\[\]"  # all other ASCII but the dot
WIDE_ATEXT = rf"^{SPECIAL}."  # with all beyond ASCII, RFC 6532 section 3.2; said so, it compiles in a tenth of the time

_BAD_IN_TEXT = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # TAB is a blank between words
_TOKEN = re.compile(
    rf"""(?P<blank>[ \t]++) | (?P<atom>[{WIDE_ATEXT}]++) | "(?P<quoted>(?:[^"\\]|\\.)*+)"
    | (?P<literal>\[[^\[\]\\]*+\]) | (?P<special>[<>@,;:.(])""",
    re.VERBOSE,
)
_PARENTHESIS = re.compile(r"\\.|[()]")
_QUOTED_PAIR = re.compile(r"\\(.)")
_UNCLOSED = {
    '"': "a quoted string is not closed",
    "(": "a comment is not closed",
    "[": "an address literal is not closed",
}


def shown_text(text: str) -> str:
    """The text for an error: printable, on one line, at most 80 characters."""
    shown = repr(text[:80])
    return shown if len(shown) <= 80 and len(text) <= 80 else shown[:77] + "..."


_Mailbox: TypeAlias = tuple[str, str, str]
_Token: TypeAlias = tuple[str, str, bool, int]
"""Kind ("atom", "quoted", "literal", "end" or the special itself), value, whether a blank is before it, position."""


def _tokens(text: str) -> Iterator[_Token]:
    if bad := _BAD_IN_TEXT.search(text):
        raise AddressError(f"a line break or control character at {bad.start()}: {shown_text(text)}")
    at, apart = 0, False
    while at < len(text):
        if not (match := _TOKEN.match(text, at)):
            why = _UNCLOSED.get(text[at], f"{shown_text(text[at])} may not stand")
            raise AddressError(f"{why} at {at}: {shown_text(text[at:])}")
        kind, value = str(match.lastgroup), match[str(match.lastgroup)]
        if value == "(" and kind == "special":
            at, apart = _after_comment(text, at), True
            continue
        if kind == "blank":
            apart = True
        else:
            if kind == "quoted" and "\\" in value:
                value = _QUOTED_PAIR.sub(r"\1", value)
            yield value if kind == "special" else kind, value, apart, at
            apart = False
        at = match.end()
    yield "end", "", apart, at


def _after_comment(text: str, start: int) -> int:
    depth = 0
    for match in _PARENTHESIS.finditer(text, start):
        depth += {"(": 1, ")": -1}.get(match[0], 0)
        if not depth:
            return match.end()
    raise AddressError(f"{_UNCLOSED['(']} at {start}: {shown_text(text[start:])}")


class MailboxReader:
    """Reads mailboxes from tokens, one token ahead and never back. ``many`` says that a list is expected."""

    def __init__(self, text: str, *, many: bool = False) -> None:
        self._text = text
        self._many = many
        self._tokens = _tokens(text)
        self._next()

    def _next(self) -> None:
        self._token = next(self._tokens)
        self.kind = self._token[0]

    def _take(self, kind: str) -> None:
        if self.kind != kind:
            self.refuse_next()
        self._next()

    def _refuse(self, why: str) -> NoReturn:
        at = self._token[3]
        raise AddressError(f"{why}, at {at}: {shown_text(self._text[max(0, at - 40) :])}")

    def refuse_next(self) -> NoReturn:
        """Say why the next token may not stand where it does."""
        if not self._many and self.kind in {",", ";", ":"}:
            self._refuse(
                "one mailbox is taken here: give several as a list, or read them with Address.parse_list"
                ' (a name with "," ";" or ":" in it must be quoted)'
            )
        if self.kind == "@":
            self._refuse('"@" may stand once, and in a name or local part only if that is quoted')
        if self.kind == "end":
            self._refuse("the address is not complete: it is local@domain or Name <local@domain>")
        self._refuse(f"{shown_text(self._token[1])} may not stand here")

    def words(self) -> list[_Token]:
        """The run of words and dots from here on: a phrase or a local part, the next token says which."""
        run: list[_Token] = []
        while self.kind in {"atom", "quoted", "."}:
            run.append(self._token)
            self._next()
        return run

    def mailboxes(self, end: str = "end") -> Iterator[_Mailbox]:
        """The mailboxes up to ``end``, those of groups among them; ";" ends a group, in which no other may stand."""
        while self.kind not in {end, "end"}:
            if self.kind == ",":
                self._next()
                continue
            run = self.words()
            if self.kind == ":" and run and end == "end":
                yield from self._group(run)
            else:
                yield self.mailbox(run)
            if self.kind not in {",", end, "end"}:
                self.refuse_next()

    def _group(self, run: list[_Token]) -> Iterator[_Mailbox]:
        self._phrase(run)
        self._take(":")
        yield from self.mailboxes(";")
        if self.kind != ";":
            self._refuse('a group is not closed by ";"')
        self._next()

    def mailbox(self, run: list[_Token]) -> _Mailbox:
        """Name, local part and domain of the mailbox that begins with ``run``, not checked further."""
        if self.kind == "@" and run:
            mailbox = ("", *self._addr_spec(run))
            if self.kind == "<":
                self._refuse('a name with "@" in it must be quoted')
            return mailbox
        if self.kind == "@":
            self._refuse("the local part is missing")
        if self.kind != "<":
            self.refuse_next()
        name = self._phrase(run) if run else ""
        self._next()
        if self.kind == "@":
            self._route()
        if self.kind == ">":
            self._refuse("the address is empty (for the null sender there is NULL_SENDER)")
        mailbox = (name, *self._addr_spec(self.words()))
        self._take(">")
        return mailbox

    def _route(self) -> None:
        """Leave out ``@a,@b:`` (RFC 5322 section 4.4)."""
        while self.kind in {"@", ","}:
            at_sign = self.kind == "@"
            self._next()
            if at_sign:
                self._domain()
        self._take(":")

    def _phrase(self, run: list[_Token]) -> str:
        if run[0][0] == ".":
            self._refuse("a name that begins with a dot must be quoted")
        return "".join(f" {value}" if apart else value for _, value, apart, _ in run).strip(" ")

    def _addr_spec(self, run: list[_Token]) -> tuple[str, str]:
        local = self._dotted(run, "the local part")
        self._take("@")
        return local, self._domain()

    def _domain(self) -> str:
        if self.kind == "literal":
            literal = self._token[1]
            self._next()
            return literal
        run = self.words()
        if any(kind == "quoted" for kind, *_ in run):
            self._refuse("a domain may not be quoted")
        return self._dotted(run, "the domain")

    def _dotted(self, run: list[_Token], what: str) -> str:
        if not run:
            self.refuse_next()
        if len(run) % 2 == 0 or any((token[0] == ".") != (i % 2 == 1) for i, token in enumerate(run)):
            self._refuse(f"{what} is not words parted by single dots")
        return "".join(value for _, value, *_ in run)
