"""The mailbox address: one strict type for header, envelope and policy.

Text is read as RFC 5322 section 3.4 has it, comments, groups and routes included, and held to what RFC 5321 section
4.1.2 and RFC 6531 section 3.3 let travel. One pass and no recursion: the time is linear in the length of any text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

from .errors import AddressError
from .mailbox_reader import SPECIAL, WIDE_ATEXT, MailboxReader, shown_text

__all__ = ["Address"]

_MAX_NAME = 998  # characters; a whole line has no more, RFC 5322 section 2.1.1
_MAX_LOCAL = 64  # octets as sent, so with quotes where it needs them, RFC 5321 section 4.5.3.1.1
_MAX_DOMAIN = 255  # octets, RFC 5321 section 4.5.3.1.2
_MAX_ADDR_SPEC = 254  # octets as sent: a path is 256 with its angle brackets, RFC 5321 section 4.5.3.1.3

_ATEXT = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\-"  # RFC 5322 section 3.2.3
_LABEL = r"(?!-)[a-z0-9-]{1,63}+(?<!-)"  # RFC 5321 section 4.1.2, RFC 1035 section 2.3.4

_DOT_STRING = re.compile(rf"[{WIDE_ATEXT}]++(?:\.[{WIDE_ATEXT}]++)*+")
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*+")
# A name that stands unquoted. What looks like an encoded-word (RFC 2047) is quoted: there a reader must not decode it.
_BARE_NAME = re.compile(rf"(?!.*=\?)[{WIDE_ATEXT}]++(?: [{WIDE_ATEXT}]++)*+")

_BAD_IN_NAME = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_BAD_IN_LOCAL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

# Nearly every address has this form: `local@domain`, `A Name <local@domain>` or `"Name, A" <local@domain>`. All others
# go to MailboxReader, which gives the same for these.
_PLAIN = re.compile(
    rf"((?:([^{SPECIAL}.\ud800-\udfff][^{SPECIAL}\ud800-\udfff]*+(?: [^{SPECIAL}\ud800-\udfff]++)*+)"
    rf"|\"([^\"\\\x00-\x1f\x7f\ud800-\udfff]*+)\") ?<)?"
    rf"([{_ATEXT}]++(?:\.[{_ATEXT}]++)*+)@([^{SPECIAL}]++)(?(1)>)"
)
_PLAIN_LIST = re.compile(r"[^\"\\():;\[]*+")  # every comma parts two addresses: no quotes, comments, groups or routes


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
        if not isinstance(data, Mapping):
            raise AddressError(f"an address is read from a mapping, not {type(data).__name__}")
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
        reader = MailboxReader(text)
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
        return tuple(cls(*mailbox) for mailbox in MailboxReader(text, many=True).mailboxes())

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
            raise AddressError(
                f'the name of a pair has "@" in it, give several addresses as a list: {shown_text(name)}'
            )
        bare = cls.parse(text)
        if bare.name:
            raise AddressError(f"the address of a pair has a name of its own: {shown_text(text)}")
        return cls(name, bare.local, bare.domain)


# A frozen dataclass is slow to fill through object.__setattr__; its slots are set directly, with checked values only.
_new = object.__new__
_set_name, _set_local, _set_domain = (Address.__dict__[part].__set__ for part in ("name", "local", "domain"))


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
        raise AddressError(f"a line break, control character or lone surrogate: {shown_text(name)}", field="name")
    if len(name) > _MAX_NAME:
        raise AddressError(f"of {len(name)} characters, at most {_MAX_NAME}: {shown_text(name)}", field="name")
    return name


def _checked_local(local: str, ascii_domain: str) -> str:
    if _BAD_IN_LOCAL.search(local):
        raise AddressError(f"a line break, control character or lone surrogate: {shown_text(local)}", field="local")
    size = len(_wire_local(local).encode())
    if size > _MAX_LOCAL:
        raise AddressError(f"of {size} octets, at most {_MAX_LOCAL}: {shown_text(local)}", field="local")
    if (size := size + 1 + len(ascii_domain)) > _MAX_ADDR_SPEC:
        raise AddressError(f"an address of {size} octets, at most {_MAX_ADDR_SPEC}: {shown_text(local)}@...")
    return local


@lru_cache(maxsize=1024)  # a mailing goes to few domains; wrong ones are not kept
def _checked_domain(text: str) -> tuple[str, str]:
    """The domain as an Address keeps it, and its A-label form."""
    if len(text) > _MAX_DOMAIN:
        raise AddressError(f"of {len(text)} characters, at most {_MAX_DOMAIN}: {shown_text(text)}", field="domain")
    if text.startswith("["):
        literal = _checked_literal(text)
        return literal, literal
    domain = ascii_domain = text.lower()
    if not text.isascii() or "xn--" in domain:
        domain, ascii_domain = _checked_idn(text)
    if not _HOST.fullmatch(ascii_domain):
        raise AddressError(
            f"not labels of 1 to 63 letters, digits and inner hyphens, parted by single dots: {shown_text(text)}",
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
        raise AddressError(f"not in IDNA 2008, {str(exc)[:100]}: {shown_text(text)}", field="domain") from exc


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
            f"not an address literal such as [192.0.2.1] or [IPv6:2001:db8::1]: {shown_text(text)}", field="domain"
        ) from None
    return f"[IPv6:::ffff:{address.ipv4_mapped}]" if address.ipv4_mapped else f"[IPv6:{address}]"
