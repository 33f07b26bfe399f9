"""What ``wp_mail`` takes, read: header lines, lists of mailboxes and of files. Nothing is left out in silence."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from typing import Any

from ...address import Address
from ...attachment import Attachment
from ...errors import AddressError, HeaderError, MessageError
from ...field import shown

__all__ = ["HeaderLines", "decoded", "files", "mailboxes"]

# More than any subject or name has: the standard library's reader takes time by the square of it.
_MAX_DECODED = 10_000

#: A file as it was given: a path, or what is attached already.
Given = str | os.PathLike[str] | Attachment


def decoded(text: str) -> str:
    """The text, with the encoded-words (RFC 2047) that callers of ``wp_mail`` make themselves read.

    Its result is checked as anything else is: an encoded line break comes out as one, and is refused.
    """
    if "=?" not in text or len(text) > _MAX_DECODED:
        return text
    try:
        return str(make_header(decode_header(text)))
    except (HeaderParseError, LookupError, UnicodeError, ValueError):
        return text  # not one: it stands as it is


def mailboxes(given: object, field: str) -> list[Address]:
    """Read addresses: a string of them with commas between, or a list of one each.

    Names need no quotes: what stands before the last ``<`` is the name (``Foo (Bar) <a@x>``). A comma within quotes or
    angle brackets parts nothing, where WordPress takes it for the end.

    Raises:
        AddressError: One is not an address. WordPress passes over it.
    """
    if isinstance(given, Address):
        return [given]
    if isinstance(given, str):
        return [_mailbox(part, field) for part in _parted(given) if part.strip(" \t\r\n")]
    if isinstance(given, (bytes, Mapping)) or not isinstance(given, Iterable):
        raise AddressError(f"must be a string of addresses or a list of them, not {type(given).__name__}", field=field)
    return [_mailbox(one, field) for one in given]


def _parted(text: str) -> list[str]:
    """Parted at the commas that stand for themselves."""
    if '"' not in text:
        return text.split(",")
    parts, start, within = [], 0, ""
    for index, char in enumerate(text):
        if within == "\\":
            within = '"'
        elif within:
            within = "\\" if char == "\\" else "" if char == '"' else within
        elif char == '"':
            within = '"'
        elif char == ",":
            parts.append(text[start:index])
            start = index + 1
    return [*parts, text[start:]]


def _mailbox(given: object, field: str) -> Address:
    if not isinstance(given, str):
        return Address.of(given, field=field)  # type: ignore[arg-type]  # it says what is wrong with it
    text = given.strip(" \t")
    before, bracket, rest = text.rpartition("<")
    if not bracket or not rest.endswith(">"):
        return Address.of(text, field=field)
    bare = Address.of(rest[:-1].strip(), field=field)
    try:
        return Address(decoded(_unquoted(before.strip(" \t"))), bare.local, bare.domain)
    except AddressError as error:
        raise AddressError(str(error), field=field) from None


def _unquoted(name: str) -> str:
    """A name without the quotes around it. WordPress keeps them as a part of it."""
    if len(name) >= 2 and name[0] == name[-1] == '"':
        name = name[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    return name


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderLines:
    """The lines of ``headers``: those that ``wp_mail`` takes out, and the custom ones.

    Attributes:
        from_: (name, address) as they stand there; "" for what is not said. The last From counts.
        content_type: Without parameters; "" if there is none.
        charset: "" if none is said.
        boundary: Of a multipart body that is made already; "" for others.
        cc: In order, from all such lines.
        bcc: The same.
        reply_to: The same.
        custom: (name, value) in order, with repeats: WordPress keeps the last of each name.
    """

    from_: tuple[str, str] = ("", "")
    content_type: str = ""
    charset: str = ""
    boundary: str = ""
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()
    reply_to: tuple[Address, ...] = ()
    custom: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, given: object) -> HeaderLines:
        """Read them.

        Args:
            given: A string of lines, or a list of one each. In a string a line that begins with a blank goes on with
                the one before (RFC 5322 section 2.2.3); an item of a list holds no line break.

        Raises:
            HeaderError: A line is no "Name: value". WordPress passes over it.
            AddressError: An address in From, Cc, Bcc or Reply-To is none.
        """
        read: dict[str, Any] = {"cc": [], "bcc": [], "reply_to": []}
        custom = []
        for text in _lines(given):
            name, colon, value = text.partition(":")
            name, value = name.strip(), value.strip()
            if not colon or not name:
                raise HeaderError(f"{shown(text)} is not a line like 'Name: value'", field="headers")
            lower = name.lower()
            if lower in _LISTS:
                read[_LISTS[lower]] += mailboxes(value, _LISTS[lower])
            elif lower == "from":
                read["from_"] = _sender(value, read.get("from_", ("", "")))
            elif lower == "content-type":
                read |= _content_type(value)
            elif lower not in _COMPOSERS:
                custom.append((name, decoded(value)))
        for field in _LISTS.values():
            read[field] = tuple(read[field])
        return cls(**read, custom=tuple(custom))


_LISTS = {"cc": "cc", "bcc": "bcc", "reply-to": "reply_to"}
#: How the body is written is the composer's to say, and comes out as whoever gave these meant.
_COMPOSERS = frozenset({"mime-version", "content-transfer-encoding"})


def _lines(given: object) -> list[str]:
    if not given:
        return []
    if isinstance(given, str):
        texts = given.replace("\r\n", "\n").split("\n")
    elif isinstance(given, (bytes, Mapping)) or not isinstance(given, Iterable):
        raise HeaderError(f"must be lines or a list of lines, not {type(given).__name__}", field="headers")
    else:
        texts = list(given)
    lines: list[list[str]] = []
    for text in texts:
        if not isinstance(text, str):
            raise HeaderError(f"each must be a line, not {type(text).__name__}", field="headers")
        if not (bare := text.strip()):
            continue
        if lines and isinstance(given, str) and text[0] in " \t":
            lines[-1].append(f" {bare}")
        elif lines and ":" not in bare and "boundary=" in bare.lower():  # on a line of its own, as WordPress takes it
            lines[-1].append("; " + bare.lstrip("; "))
        else:
            lines.append([bare])
    return ["".join(parts) for parts in lines]


def _sender(value: str, known: tuple[str, str]) -> tuple[str, str]:
    """Name and address of a From, each as it was if it is not said."""
    if not value:
        return known
    before, bracket, rest = value.partition("<")
    if not bracket:
        return known[0], value
    name = decoded(before.replace('"', "").strip())
    return name or known[0], rest.replace(">", "").strip()


def _content_type(value: str) -> dict[str, str]:
    kind, *parameters = value.split(";")
    read = {"content_type": kind.strip().lower()} if kind.strip() else {}
    for parameter in parameters:
        name, equals, text = parameter.partition("=")
        if equals and name.strip().lower() in ("charset", "boundary"):
            read[name.strip().lower()] = text.strip().strip("\"'")
    return read


def files(given: object, field: str) -> list[tuple[str, Given]]:
    """Read attachments or embeds: paths on lines of a string, a list of paths, or a mapping of name to path.

    Returns:
        (name, file) in order; the name is "" where none is given. Blank ones are passed over.

    Raises:
        MessageError: It is nothing of the kind.
    """
    if not given:
        return []
    pairs: Iterable[tuple[object, object]]
    if isinstance(given, str):
        pairs = [("", one) for one in given.replace("\r\n", "\n").split("\n")]
    elif isinstance(given, (os.PathLike, Attachment)):
        pairs = [("", given)]
    elif isinstance(given, Mapping):
        pairs = given.items()
    elif isinstance(given, Iterable) and not isinstance(given, bytes):
        pairs = [("", one) for one in given]
    else:
        raise MessageError(f"must be paths, or a mapping of name to path, not {type(given).__name__}", field=field)
    found: list[tuple[str, Given]] = []
    for name, file in pairs:
        if not isinstance(file, (str, os.PathLike, Attachment)):
            raise MessageError(f"each must be a path, not {type(file).__name__}", field=field)
        if file != "":
            found.append((name if isinstance(name, str) else "", file))
    return found
