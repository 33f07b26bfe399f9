"""Ready-made mail: RFC 5322 bytes that somebody else composed, and what is done about each oddity.

======================================  ==============================================================================
oddity                                  what happens
======================================  ==============================================================================
LF, CR or mixed line ends               all become CRLF
an mbox ``From `` line in front         dropped
NUL anywhere; no header; a header line  refused
that is neither a field nor folded
a field that may stand once, twice      refused (RFC 5322 section 3.6)
no From; several and no Sender          refused (RFC 5322 section 3.6.2)
a control character in a header         refused
an encoded-word as an address           refused (RFC 2047 section 5)
no Date, no Message-ID                  added
Bcc, Resent-Bcc, Return-Path            read for the envelope, then removed
a line over 998 octets                  its part is re-encoded; in a header, refused
octets above 127 in a body              kept; re-encoded part by part for a server without 8BITMIME
octets above 127 in a header            must be UTF-8; needs SMTPUTF8, or goes out downgraded (RFC 6857)
Resent- fields and no envelope given    refused: say who it is for
signed (DKIM, ARC)                      untouched but for LF becoming CRLF; what would need a change is refused
signed or encrypted body (S/MIME, PGP)  its body likewise; its header as any other's
======================================  ==============================================================================
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from . import header
from .address import Address
from .attachment import media_type
from .envelope import Envelope
from .errors import AddressError, HeaderError, MessageError
from .field import ADDRESS_FIELDS, OPAQUE_FIELDS, SINGLE_FIELDS, shown
from .transfer import BLOCK_BYTES, base64_lines, crlf, quoted_printable

__all__ = ["ReadyMade", "ascii_headers", "canonical", "has_long_line", "mailboxes_of", "seven_bit"]

_MAX_LINE = 998
_MAX_DEPTH = 50  # parts within parts; deeper ones are refused rather than recursed into

_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:(.*(?:\r\n[ \t].*)*)\r\n")
_LONG_LINE = re.compile(rb"^[^\r\n]{999}", re.MULTILINE)
_BARE_CR = re.compile(rb"\r(?!\n)")
_CONTROL = re.compile(rb"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]")  # but TAB; line ends and NUL are looked for elsewhere
_ENCODED_WORD = re.compile(r"=\?[^?]+\?[BbQq]\?[^?]*\?=")

_ONCE = SINGLE_FIELDS | frozenset("date from sender reply-to to cc bcc subject message-id mime-version".split())
_MAILBOXES = ADDRESS_FIELDS | frozenset("from sender reply-to to cc bcc".split())
_REMOVED = frozenset("bcc resent-bcc return-path".split())
_SIGNATURES = frozenset("dkim-signature arc-seal arc-message-signature".split())
_SIGNED_KINDS = frozenset(
    "multipart/signed multipart/encrypted application/pkcs7-mime application/x-pkcs7-mime".split()
)


def has_long_line(data: bytes) -> bool:
    """Whether a line is longer than 998 octets (RFC 5322 section 2.1.1)."""
    return _LONG_LINE.search(data) is not None


def canonical(data: bytes) -> bytes:
    """The bytes with CRLF line ends only, ending in one."""
    data = crlf(data)
    return data if data.endswith(b"\r\n") else data + b"\r\n"


@dataclass(frozen=True, slots=True)
class _Entity:
    """A header and a body: a whole mail, or one part of it. Fields are (lower-case name, raw bytes with CRLF)."""

    fields: tuple[tuple[str, bytes], ...]
    body: bytes

    @classmethod
    def read(cls, data: bytes) -> _Entity:
        fields, position = [], 0
        while position < len(data) and not data.startswith(b"\r\n", position):
            found = _FIELD.match(data, position)
            if not found:
                bad = data[position : position + 60].partition(b"\r\n")[0]
                raise HeaderError(f"{shown(bad)} is not a header field", field="content")
            fields.append((found[1].decode("ascii").lower(), found[0]))
            position = found.end()
        return cls(tuple(fields), data[position + 2 :])

    def body_of(self, name: str) -> str | None:
        """The first such field's body, unfolded, or None."""
        for lower, raw in self.fields:
            if lower == name:
                return _unfolded(raw)
        return None

    def kind(self) -> tuple[str, dict[str, str]]:
        try:
            return media_type(self.body_of("content-type") or "text/plain")
        except MessageError:
            return "application/octet-stream", {}

    def bytes_with(self, changes: dict[str, bytes], body: bytes) -> bytes:
        """Written again with these fields replaced (or added at the end) and another body."""
        left = dict(changes)
        fields = [left.pop(name, raw) if name in changes else raw for name, raw in self.fields]
        return b"".join([*fields, *left.values(), b"\r\n", body])


def _unfolded(raw: bytes) -> str:
    text = raw.partition(b":")[2].replace(b"\r\n", b"")
    try:
        return text.decode("utf-8").strip(" \t")
    except UnicodeDecodeError:
        raise HeaderError(
            f"is neither ASCII nor UTF-8: {shown(text)}", field=raw.partition(b":")[0].decode("ascii", "replace")
        ) from None


@dataclass(frozen=True, slots=True)
class ReadyMade:
    """Bytes that are fit to be sent, and what their header says.

    Attributes:
        content: CRLF lines, ending in one.
        envelope: As the header has it: Sender, else From; To, Cc and Bcc. None if it does not say.
        is_signed: A signature covers it or its body, which must not be changed.
    """

    content: bytes
    envelope: Envelope | None
    is_signed: bool

    @classmethod
    def of(cls, data: bytes, *, message_id: str, date: datetime) -> ReadyMade:
        """Apply the table above.

        Args:
            data: The whole mail, any line ends.
            message_id: Taken where the mail has none; with angle brackets.
            date: Taken where the mail has none; with a time zone.

        Raises:
            MessageError: It cannot be sent as it is; ``.field`` names the header at fault.
        """
        if b"\0" in data:
            raise MessageError("holds a NUL octet", field="content")
        has_bare_cr = _BARE_CR.search(data) is not None
        data = canonical(data)
        if data.startswith((b"From ", b">From ")):
            data = data.partition(b"\r\n")[2]
        entity = _Entity.read(data)
        if not entity.fields:
            raise MessageError("does not begin with a header", field="content")
        counts: dict[str, int] = {}
        for name, raw in entity.fields:
            counts[name] = counts.get(name, 0) + 1
            if counts[name] > 1 and name in _ONCE:
                raise HeaderError("stands more than once (RFC 5322 section 3.6)", field=name)
            if _LONG_LINE.search(raw):
                raise HeaderError("has a line of more than 998 octets", field=name)
            if bad := _CONTROL.search(raw):
                raise HeaderError(f"holds a control character: {shown(bad[0])}", field=name)
            if not raw.isascii():
                _unfolded(raw)
        if not entity.body_of("from"):
            raise MessageError("the mail has no From", field="from")
        if len(_read_mailboxes(entity, "from")) > 1 and "sender" not in counts:
            raise MessageError("several From addresses need a Sender (RFC 5322 section 3.6.2)", field="sender")
        has_signed_header = not _SIGNATURES.isdisjoint(counts)
        is_signed = has_signed_header or entity.kind()[0] in _SIGNED_KINDS
        envelope = _envelope(entity, counts)
        if is_signed and (has_bare_cr or _LONG_LINE.search(entity.body)):
            raise MessageError("signed, but its lines cannot be sent as they are", field="content")
        if has_signed_header:
            for name in sorted(_REMOVED & counts.keys()):
                raise MessageError("cannot be removed from a signed mail, and must not be sent", field=name)
            return cls(data, envelope, is_signed=True)
        if _LONG_LINE.search(entity.body):
            shorter = seven_bit(data)
            if shorter is None:
                raise MessageError("has a line of more than 998 octets that cannot be re-encoded", field="content")
            entity = _Entity.read(shorter)
        added = b""
        if "date" not in counts:
            added += f"Date: {header.date_time(date)}\r\n".encode("ascii")
        if "message-id" not in counts:
            added += header.opaque("Message-ID", message_id).encode("ascii")
        kept = [raw for name, raw in entity.fields if name not in _REMOVED]
        return cls(added + b"".join([*kept, b"\r\n", entity.body]), envelope, is_signed=is_signed)


def _envelope(entity: _Entity, counts: Iterable[str]) -> Envelope | None:
    if any(name.startswith("resent-") for name in counts):
        return None
    sender = _read_mailboxes(entity, "sender") or _read_mailboxes(entity, "from")
    recipients = [mailbox for name in ("to", "cc", "bcc") for mailbox in _read_mailboxes(entity, name)]
    return Envelope(sender[0], recipients) if sender and recipients else None


def _read_mailboxes(entity: _Entity, name: str) -> list[Address]:
    body = entity.body_of(name)
    if not body:
        return []
    try:
        mailboxes = [Address("", mailbox.local, mailbox.domain) for mailbox in Address.parse_list(body)]
    except AddressError as error:
        raise AddressError(str(error), field=name) from error
    for mailbox in mailboxes:
        if _ENCODED_WORD.search(mailbox.local):
            raise AddressError(f"an encoded-word is no address: {shown(mailbox.local)}", field=name)
    return mailboxes


def mailboxes_of(data: bytes, name: str) -> list[Address]:
    """Whom a header field of a mail with CRLF line ends names; nobody if it is not there.

    Raises:
        AddressError: What stands there is no address.
        HeaderError: The header is none.
    """
    return _read_mailboxes(_Entity.read(data), name)


# --- for peers that take less -----------------------------------------------------------------------------------------


def seven_bit(data: bytes) -> bytes | None:
    """The same mail with every body in a 7-bit transfer encoding and lines of at most 998 (RFC 6152 section 3).

    Args:
        data: A whole mail with CRLF line ends.

    Returns:
        The bytes, ``data`` itself if nothing needs a change; None if it cannot be had without touching a signed or
        encrypted part, or a header holds octets above 127.
    """
    try:
        return _seven_bit(data, 0)
    except HeaderError:
        return None


def _seven_bit(data: bytes, depth: int) -> bytes | None:
    if data.isascii() and not _LONG_LINE.search(data):
        return data
    if depth > _MAX_DEPTH:
        return None
    entity = _Entity.read(data)
    kind, parameters = entity.kind()
    names = {name for name, _ in entity.fields}
    if kind in _SIGNED_KINDS or names & _SIGNATURES:
        return None
    if not all(raw.isascii() and not _LONG_LINE.search(raw) for _, raw in entity.fields):
        return None
    encoding = (entity.body_of("content-transfer-encoding") or "7bit").lower()
    if kind.startswith("multipart/") and parameters.get("boundary"):
        body = _seven_bit_parts(entity.body, parameters["boundary"].encode(), depth)
    elif kind == "message/rfc822":
        body = _seven_bit(entity.body, depth + 1)
    elif encoding not in ("7bit", "8bit", "binary") or kind.startswith(("multipart/", "message/")):
        return None  # claims to be encoded, and is not; or of a kind that cannot be (RFC 2045 section 6.4)
    else:
        return _encoded_leaf(entity, is_text=kind.startswith("text/"))
    if body is None:
        return None
    changes = {"content-transfer-encoding": b"Content-Transfer-Encoding: 7bit\r\n"} if encoding != "7bit" else {}
    return entity.bytes_with(changes, body)


def _seven_bit_parts(body: bytes, boundary: bytes, depth: int) -> bytes | None:
    # RFC 2046 section 5.1.1: the delimiter is CRLF "--" boundary, with blanks allowed behind it.
    delimiter = re.compile(rb"(?:\A|\r\n)--" + re.escape(boundary) + rb"(--)?[ \t]*(?=\r\n|\Z)")
    out: list[bytes] = []
    position, number, closed = 0, 0, False
    for found in delimiter.finditer(body):
        between = body[position : found.start()]
        if number == 0:
            between = _unread(between)
        elif not closed:
            part = _seven_bit(between[2:], depth + 1)  # behind the delimiter's line end
            if part is None:
                return None
            between = between[:2] + part
        out += (between, found[0])
        position, number, closed = found.end(), number + 1, closed or bool(found[1])
    if number == 0:
        return None
    rest = body[position:]
    if not closed:  # the last delimiter is missing: what follows is the last part
        last = _seven_bit(rest[2:], depth + 1)
        if last is None:
            return None
        rest = b"\r\n" + last
    out.append(_unread(rest) or b"\r\n")
    return b"".join(out)


def _unread(text: bytes) -> bytes:
    """A preamble or epilogue, which nobody reads: dropped where it would need a change."""
    return text if text.isascii() and not _LONG_LINE.search(text) else b""


def _encoded_leaf(entity: _Entity, *, is_text: bool) -> bytes:
    body = entity.body
    if is_text:
        encoding, encoded = b"quoted-printable", quoted_printable(body.replace(b"\r\n", b"\n"))
    else:
        encoding = b"base64"
        encoded = b"".join(base64_lines(body[at : at + BLOCK_BYTES] for at in range(0, len(body), BLOCK_BYTES)))
    field = b"Content-Transfer-Encoding: " + encoding + b"\r\n"
    return entity.bytes_with({"content-transfer-encoding": field}, encoded)


def ascii_headers(data: bytes) -> bytes | None:
    """The same mail with ASCII header fields, for a server without SMTPUTF8 (RFC 6857).

    Free text becomes encoded-words; a mailbox whose local part is not ASCII becomes a group without members.

    Returns:
        The bytes, or None if a signature covers them or a field of machine tokens is not ASCII.
    """
    entity = _Entity.read(data)
    if not _SIGNATURES.isdisjoint(name for name, _ in entity.fields):
        return None
    fields = []
    for lower, raw in entity.fields:
        if raw.isascii():
            fields.append(raw)
            continue
        if lower in OPAQUE_FIELDS or lower.startswith("content-"):
            return None
        name = raw.partition(b":")[0].rstrip().decode("ascii")
        body = _unfolded(raw)
        if lower in _MAILBOXES:
            mailboxes = Address.parse_list(body)
            field = header.addresses(name, mailboxes) if mailboxes else f"{name}: undisclosed-recipients:;\r\n"
            fields.append(field.encode("ascii"))
        else:
            fields.append(header.unstructured(name, body).encode("ascii"))
    return b"".join([*fields, b"\r\n", entity.body])
