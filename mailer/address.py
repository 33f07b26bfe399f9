"""The mailbox address: one strict type for header, envelope and policy.

Text is read as RFC 5322 section 3.4 has it, comments, groups and routes included, and held to what RFC 5321 section
4.1.2 and RFC 6531 section 3.3 let travel. One pass and no recursion: the time is linear in the length of any text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NoReturn, Self, TypeAlias

from .errors import AddressError

__all__ = ["Address"]

_MAX_NAME = 998  # characters; a whole line has no more, RFC 5322 section 2.1.1
_MAX_LOCAL = 64  # octets as sent, so with quotes where it needs them, RFC 5321 section 4.5.3.1.1
_MAX_DOMAIN = 255  # octets, RFC 5321 section 4.5.3.1.2
_MAX_ADDR_SPEC = 254  # octets as sent: a path is 256 with its angle brackets, RFC 5321 section 4.5.3.1.3

_ATEXT = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\-"  # RFC 5322 section 3.2.3
_SPECIAL = r"\x00-\x20\x7f()<>@,;:\\\"\[\]"  # all other ASCII but the dot
_WIDE_ATEXT = (
    rf"^{_SPECIAL}."  # with all beyond ASCII, RFC 6532 section 3.2; said so, it compiles in a tenth of the time
)
_LABEL = r"(?!-)[a-z0-9-]{1,63}+(?<!-)"  # RFC 5321 section 4.1.2, RFC 1035 section 2.3.4

_DOT_STRING = re.compile(rf"[{_WIDE_ATEXT}]++(?:\.[{_WIDE_ATEXT}]++)*+")
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*+")
# A name that stands unquoted. What looks like an encoded-word (RFC 2047) is quoted: there a reader must not decode it.
_BARE_NAME = re.compile(rf"(?!.*=\?)[{_WIDE_ATEXT}]++(?: [{_WIDE_ATEXT}]++)*+")

_BAD_IN_NAME = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_BAD_IN_LOCAL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_BAD_IN_TEXT = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # TAB is a blank between words

# Nearly every address has this form: `local@domain`, `A Name <local@domain>` or `"Name, A" <local@domain>`. All others
# go to _Reader, which gives the same for these.
_PLAIN = re.compile(
    rf"((?:([^{_SPECIAL}.\ud800-\udfff][^{_SPECIAL}\ud800-\udfff]*+(?: [^{_SPECIAL}\ud800-\udfff]++)*+)"
    rf"|\"([^\"\\\x00-\x1f\x7f\ud800-\udfff]*+)\") ?<)?"
    rf"([{_ATEXT}]++(?:\.[{_ATEXT}]++)*+)@([^{_SPECIAL}]++)(?(1)>)"
)
_PLAIN_LIST = re.compile(r"[^\"\\():;\[]*+")  # every comma parts two addresses: no quotes, comments, groups or routes
_TOKEN = re.compile(
    rf"""(?P<blank>[ \t]++) | (?P<atom>[{_WIDE_ATEXT}]++) | "(?P<quoted>(?:[^"\\]|\\.)*+)"
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


@dataclass(frozen=True, slots=True)
class Address:
    """A mailbox, with the name it is shown under.

    Equality and hash include the name; ``key`` leaves it out. ``Address.parse(str(a)) == a`` for every address.

    Attributes:
        name: Display name, unquoted and never decoded, "" if none; at most 998 characters, blanks at its ends stripped.
            Any Unicode but the C0 controls (TAB, CR and LF among them), DEL and lone surrogates.
        local: Local part, unquoted, case kept; at most 64 octets as sent. Printable ASCII, or non-ASCII (RFC 6531) but
            C1 controls and line separators. "" is the valid, if odd, ``""@example.org``.
        domain: In lower case: a host name of one or more labels, in U-labels (mapped by UTS 46, valid in IDNA 2008) or
            A-labels as it was given, or an address literal, ``[192.0.2.1]`` or ``[IPv6:2001:db8::1]``.

    Raises:
        AddressError: A part is not of that form, or the address is longer than 254 octets as sent. Its field is the
            part's name ("name", "local", "domain"), or "" if no part alone is at fault.
    """

    name: str
    local: str
    domain: str

    def __post_init__(self) -> None:
        name = _checked_name(_text(self.name, "name"))
        domain, ascii_domain = _checked_domain(_text(self.domain, "domain"))
        local = _checked_local(_text(self.local, "local"), ascii_domain)
        _set_name(self, name)
        _set_local(self, local)
        _set_domain(self, domain)

    # -- Other forms ------------------------------------------------------------------------------------------------

    @property
    def addr_spec(self) -> str:
        """``local@domain`` to be read: U-labels, the local part quoted where it must be, no angle brackets."""
        return f"{_wire_local(self.local)}@{self.domain}"

    @property
    def ascii(self) -> str:
        """``local@domain`` for the wire: A-labels, the local part quoted where it must be, no angle brackets.

        A local part has no ASCII form: where ``needs_smtputf8`` is true, its non-ASCII characters stand here too.
        """
        return f"{_wire_local(self.local)}@{_ascii_domain(self.domain)}"

    @property
    def needs_smtputf8(self) -> bool:
        """Whether only a server with SMTPUTF8 (RFC 6531) can take it: the local part is not ASCII."""
        return not self.local.isascii()

    @property
    def key(self) -> tuple[str, str]:
        """``(local, A-label domain)``: equal for two addresses of the same mailbox, whatever their names."""
        return self.local, _ascii_domain(self.domain)

    def format(self) -> str:
        """``Name <addr-spec>``, or the addr-spec alone without a name; Unicode, the name quoted where it must be."""
        if not self.name:
            return self.addr_spec
        name = self.name if _BARE_NAME.fullmatch(self.name) else _quoted(self.name)
        return f"{name} <{self.addr_spec}>"

    def __str__(self) -> str:
        return self.format()

    def to_dict(self) -> dict[str, str]:
        """The three parts, for JSON."""
        return {"name": self.name, "local": self.local, "domain": self.domain}

    # -- Ways in ----------------------------------------------------------------------------------------------------

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The address that ``to_dict`` wrote, checked again; unknown keys are ignored, a missing name is "".

        Raises:
            AddressError: A part is missing or wrong.
        """
        for part in ("local", "domain"):
            if part not in data:
                raise AddressError("is missing", field=part)
        return cls(data.get("name", ""), data["local"], data["domain"])

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read exactly one mailbox, with or without a name (RFC 5322 section 3.4).

        Comments and an obsolete route are dropped, and a dot is taken in an unquoted name (``John Q. Public <j@x>``).
        Encoded-words are not decoded: they are the name, literally.

        Raises:
            AddressError: It is not one mailbox: none, several, a group, or wrong. CR, LF and NUL are always wrong.
        """
        if not isinstance(text, str):
            raise AddressError(f"an address is read from str, not {type(text).__name__}")
        plain = _PLAIN.fullmatch(text)
        if plain is not None:
            _, bare, quoted, local, host = plain.groups("")
            name = bare or quoted.strip(" ")
            domain, ascii_domain = _checked_domain(host)
            size = len(local)
            if size <= _MAX_LOCAL and size + len(ascii_domain) < _MAX_ADDR_SPEC and len(name) <= _MAX_NAME:
                self = _new(cls)
                _set_name(self, name)
                _set_local(self, local)
                _set_domain(self, domain)
                return self
        reader = _Reader(text)
        mailbox = reader.mailbox(reader.words())
        if reader.kind != "end":
            reader.refuse_next()
        return cls(*mailbox)

    @classmethod
    def parse_list(cls, text: str) -> tuple[Self, ...]:
        """Read a header-style list: mailboxes and groups between commas, in order (RFC 5322 section 3.4).

        A group stands for its members, an empty one for none. Empty elements are skipped (section 4.4), so a blank
        text has no addresses. Line breaks must be unfolded before.

        Raises:
            AddressError: An element is not an address, or a group does not end with ";".
        """
        if not isinstance(text, str):
            raise AddressError(f"addresses are read from str, not {type(text).__name__}")
        if _PLAIN_LIST.fullmatch(text):
            parts = (part.strip(" \t") for part in text.split(","))
            return tuple(cls.parse(part) for part in parts if part)
        return tuple(cls(*mailbox) for mailbox in _Reader(text, many=True).mailboxes())

    @classmethod
    def of(cls, value: Address | str | tuple[str, str], *, field: str = "") -> Address:
        """The address that a caller means: an Address as it is, a str for ``parse``, or a pair ``(name, addr-spec)``.

        Args:
            value: A name with "@" in it is refused in a pair, since ``("a@x", "b@y")`` is meant for two addresses.
            field: The name of the message's field, for the error.

        Raises:
            AddressError: With ``field``; of another type, or no address.
        """
        if isinstance(value, Address):
            return value
        try:
            if isinstance(value, str):
                return cls.parse(value)
            if isinstance(value, tuple):
                return cls._of_pair(value)
        except AddressError as error:
            if not field:
                raise
            raise AddressError(str(error), field=field) from None
        raise AddressError(
            f"an address is a str, (name, addr-spec) or Address, not {type(value).__name__}", field=field
        )

    @classmethod
    def _of_pair(cls, pair: tuple[object, ...]) -> Self:
        if len(pair) != 2 or not isinstance(name := pair[0], str) or not isinstance(text := pair[1], str):
            raise AddressError("a tuple is one address, (name, addr-spec), both str: give several as a list")
        if "@" in name:
            raise AddressError(f'the name of a pair has "@" in it, give several addresses as a list: {_shown(name)}')
        bare = cls.parse(text)
        if bare.name:
            raise AddressError(f"the address of a pair has a name of its own: {_shown(text)}")
        return cls(name, bare.local, bare.domain)


# A frozen dataclass is slow to fill through object.__setattr__; its slots are set directly, with checked values only.
_new = object.__new__
_set_name, _set_local, _set_domain = (Address.__dict__[part].__set__ for part in ("name", "local", "domain"))


def _shown(text: str) -> str:
    """The text for an error: printable, on one line, at most 80 characters."""
    shown = repr(text[:80])
    return shown if len(shown) <= 80 and len(text) <= 80 else shown[:77] + "..."


# -- Parts ----------------------------------------------------------------------------------------------------------


def _text(value: object, part: str) -> str:
    """The value as a plain str: a subclass (markup, enum) may behave otherwise when it is put together."""
    if not isinstance(value, str):
        raise AddressError(f"must be str, not {type(value).__name__}", field=part)
    return str.__str__(value)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _wire_local(local: str) -> str:
    return local if _DOT_STRING.fullmatch(local) else _quoted(local)


def _checked_name(name: str) -> str:
    name = name.strip(" \t")
    if _BAD_IN_NAME.search(name):
        raise AddressError(f"a line break, control character or lone surrogate: {_shown(name)}", field="name")
    if len(name) > _MAX_NAME:
        raise AddressError(f"of {len(name)} characters, at most {_MAX_NAME}: {_shown(name)}", field="name")
    return name


def _checked_local(local: str, ascii_domain: str) -> str:
    if _BAD_IN_LOCAL.search(local):
        raise AddressError(f"a line break, control character or lone surrogate: {_shown(local)}", field="local")
    size = len(_wire_local(local).encode())
    if size > _MAX_LOCAL:
        raise AddressError(f"of {size} octets, at most {_MAX_LOCAL}: {_shown(local)}", field="local")
    if (size := size + 1 + len(ascii_domain)) > _MAX_ADDR_SPEC:
        raise AddressError(f"an address of {size} octets, at most {_MAX_ADDR_SPEC}: {_shown(local)}@...")
    return local


@lru_cache(maxsize=1024)  # a mailing goes to few domains; wrong ones are not kept
def _checked_domain(text: str) -> tuple[str, str]:
    """The domain as an Address keeps it, and its A-label form."""
    if len(text) > _MAX_DOMAIN:
        raise AddressError(f"of {len(text)} characters, at most {_MAX_DOMAIN}: {_shown(text)}", field="domain")
    if text.startswith("["):
        literal = _checked_literal(text)
        return literal, literal
    domain = ascii_domain = text.lower()
    if not text.isascii() or "xn--" in domain:
        domain, ascii_domain = _checked_idn(text)
    if not _HOST.fullmatch(ascii_domain):
        raise AddressError(
            f"not labels of 1 to 63 letters, digits and inner hyphens, parted by single dots: {_shown(text)}",
            field="domain",
        )
    return domain, ascii_domain


def _ascii_domain(domain: str) -> str:
    return domain if domain.isascii() else _checked_domain(domain)[1]


def _checked_idn(text: str) -> tuple[str, str]:
    import idna  # its tables are large and few addresses need them

    try:
        domain = idna.uts46_remap(text)
        if domain.isascii():  # A-labels among others, which may be any LDH label
            for label in domain.split("."):
                if label.startswith("xn--"):
                    idna.ulabel(label)
            return domain, domain
        return domain, idna.encode(domain, strict=True).decode("ascii")
    except UnicodeError as exc:  # idna.IDNAError is one
        raise AddressError(f"not in IDNA 2008, {str(exc)[:100]}: {_shown(text)}", field="domain") from exc


def _checked_literal(text: str) -> str:
    """The literal in one spelling (RFC 5321 section 4.1.3, RFC 5952), the same on every version of Python."""
    import ipaddress  # few addresses need it

    inner = text[1:-1]
    try:
        if not text.endswith("]") or "%" in inner:  # a zone is of this host alone
            raise ValueError
        if inner[:5].lower() != "ipv6:":
            return f"[{ipaddress.IPv4Address(inner)}]"
        address = ipaddress.IPv6Address(inner[5:])
    except ValueError:
        raise AddressError(
            f"not an address literal such as [192.0.2.1] or [IPv6:2001:db8::1]: {_shown(text)}", field="domain"
        ) from None
    return f"[IPv6:::ffff:{address.ipv4_mapped}]" if address.ipv4_mapped else f"[IPv6:{address}]"


# -- Reading --------------------------------------------------------------------------------------------------------

_Mailbox: TypeAlias = tuple[str, str, str]
_Token: TypeAlias = tuple[str, str, bool, int]
"""Kind ("atom", "quoted", "literal", "end" or the special itself), value, whether a blank is before it, position."""


def _tokens(text: str) -> Iterator[_Token]:
    if bad := _BAD_IN_TEXT.search(text):
        raise AddressError(f"a line break or control character at {bad.start()}: {_shown(text)}")
    at, apart = 0, False
    while at < len(text):
        if not (match := _TOKEN.match(text, at)):
            why = _UNCLOSED.get(text[at], f"{_shown(text[at])} may not stand")
            raise AddressError(f"{why} at {at}: {_shown(text[at:])}")
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
    raise AddressError(f"{_UNCLOSED['(']} at {start}: {_shown(text[start:])}")


class _Reader:
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
        raise AddressError(f"{why}, at {at}: {_shown(self._text[max(0, at - 40) :])}")

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
        self._refuse(f"{_shown(self._token[1])} may not stand here")

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
