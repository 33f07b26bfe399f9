"""Header fields as bytes go out: folded at 78, encoded-words (RFC 2047), parameters (RFC 2231).

Every function returns whole fields or bodies with CRLF folds, as ASCII (UTF-8 only where ``utf8`` asks for it,
RFC 6532). What reaches them passed :mod:`mailer.field`: there is no control character left but TAB.
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from urllib.parse import quote

from .address import Address
from .errors import AddressError, HeaderError
from .field import ADDRESS_FIELDS, OPAQUE_FIELDS, shown

__all__ = ["addresses", "custom", "date_time", "opaque", "parameters", "phrase", "unstructured"]

_FOLD = 78  # RFC 5322 section 2.1.1: lines SHOULD be no more than 78 characters
_WORD_LINE = 76  # RFC 2047 section 2: a line with an encoded-word, at most 76; the word itself 75
_WORD = 75
_SHORT_WORD = 32  # less room behind a field's name is not worth an encoded-word: it goes to the next line
_HARD = 998  # RFC 5322 section 2.1.1: MUST be no more than 998

_SEGMENT = re.compile(r"[ \t]*[^ \t]+")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+(?: [A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+)*", re.ASCII)
# RFC 2047 section 5 (3): the only characters that stand for themselves in an encoded-word of a phrase; safe everywhere.
_Q_SAFE = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!*+-/")
_Q = [chr(byte) if byte in _Q_SAFE else "_" if byte == 0x20 else f"={byte:02X}" for byte in range(256)]
# Line breaks to some parsers, though RFC 6532 lets them stand: written as encoded-words even among raw UTF-8.
_NOT_RAW = re.compile("[\x80-\x9f\u2028\u2029]")


# --- encoded-words ----------------------------------------------------------------------------------------------------


def _encoded_words(text: str, first: int = _WORD) -> list[str]:
    """Text as encoded-words of whole characters, the first at most ``first`` characters long, others 75."""
    raw = text.encode()
    if len(raw) <= (first - 12) // 4 * 3:
        if len(raw) - len(text) > 2 or len(raw) < 12:  # mostly non-ASCII or short: base64 costs no more
            return [f"=?utf-8?b?{b2a_base64(raw, newline=False).decode()}?="]
        encoded = "".join([_Q[byte] for byte in raw])
        if len(encoded) <= first - 12:
            return [f"=?utf-8?q?{encoded}?="]
        return [f"=?utf-8?b?{b2a_base64(raw, newline=False).decode()}?="]
    in_q = sum([len(_Q[byte]) for byte in raw]) <= len(raw) * 4 // 3
    words, start, width, room = [], 0, 0, first - 12
    for index, char in enumerate(text):
        octets = char.encode()
        cost = sum([len(_Q[byte]) for byte in octets]) if in_q else len(octets)
        if width + cost > (room if in_q else room // 4 * 3) and index > start:
            words.append(_one_word(text[start:index], in_q))
            start, width, room = index, 0, _WORD - 12
        width += cost
    words.append(_one_word(text[start:], in_q))
    return words


def _one_word(text: str, in_q: bool) -> str:
    raw = text.encode()
    if in_q:
        return "=?utf-8?q?" + "".join([_Q[byte] for byte in raw]) + "?="
    return f"=?utf-8?b?{b2a_base64(raw, newline=False).decode()}?="


def _folded(name: str, words: Iterable[str], limit: int) -> str:
    """``Name: word word``, CRLF before each word that would pass the limit; too long a word parts at its blanks."""
    parts, column = [name, ":"], len(name) + 1
    for index, word in enumerate(words):
        if column + 1 + len(word) > limit and (index or (len(word) < limit and " " not in word)):
            parts.append("\r\n")
            column = 0
        while column + 1 + len(word) > limit and " " in word:
            cut = word.rfind(" ", 0, max(limit - column, 0))
            if cut < 0 and column:
                parts.append("\r\n")
                column = 0
                continue
            cut = cut if cut >= 0 else word.index(" ")
            parts += (" ", word[:cut], "\r\n")
            word, column = word[cut + 1 :], 0
        parts += (" ", word)
        column += 1 + len(word)
    parts.append("\r\n")
    return "".join(parts)


# --- bodies -----------------------------------------------------------------------------------------------------------


def unstructured(name: str, body: str, *, utf8: bool = False) -> str:
    """A field of free text, whole with its CRLF (RFC 5322 section 2.2.1).

    Plain ASCII is folded at blanks, which stay as they are. Anything else becomes encoded-words: non-ASCII, what looks
    like an encoded-word already (it must come out as typed), tokens too long for a line.
    """
    plain = (body.isascii() or (utf8 and not _NOT_RAW.search(body))) and "=?" not in body
    if plain and len(name) + len(body) <= _FOLD - 2:
        return f"{name}: {body}\r\n" if body else f"{name}:\r\n"
    if plain:
        segments = _SEGMENT.findall(" " + body)
        if all(len(segment.encode()) < _HARD - len(name) for segment in segments):
            parts, column = [name, ":"], len(name) + 1
            for index, segment in enumerate(segments):
                if index and column + len(segment) > _FOLD:
                    parts.append("\r\n")
                    column = 0
                parts.append(segment)
                column += len(segment)
            return "".join(parts) + "\r\n"
    first = _WORD_LINE - len(name) - 2
    return _folded(name, _encoded_words(body, first if first >= _SHORT_WORD else _WORD), _WORD_LINE)


def opaque(name: str, body: str) -> str:
    """A field of machine tokens, folded at blanks and never encoded.

    Raises:
        HeaderError: Not ASCII, or one token alone is longer than a line may be.
    """
    if not body.isascii():
        raise HeaderError(f"{shown(body)} is not ASCII, and this field cannot be encoded", field=name)
    tokens = body.split()
    if any(len(token) > _HARD - 1 for token in tokens):
        raise HeaderError("holds a token longer than a line of 998 characters", field=name)
    parts, column = [name, ":"], len(name) + 1
    for index, token in enumerate(tokens):
        if column + 1 + len(token) > (_FOLD if index else _HARD):
            parts.append("\r\n")
            column = 0
        parts.append(" " + token)
        column += 1 + len(token)
    return "".join(parts) + "\r\n"


def phrase(name: str, *, utf8: bool = False, first: int = _WORD) -> list[str]:
    """A display name as words that may be parted by folds: atoms, one quoted-string, or encoded-words.

    Args:
        first: How long the first word may be, if it is an encoded one.
    """
    if (name.isascii() or (utf8 and not _NOT_RAW.search(name))) and "=?" not in name:
        if _ATOMS.fullmatch(name) and (len(name) <= 60 or max(map(len, name.split(" "))) <= 60):
            return [name]  # folded at its blanks
        quoted = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
        if len(quoted) <= 64:
            return [quoted]
    return _encoded_words(name, first)


def addresses(name: str, mailboxes: Sequence[Address], *, utf8: bool = False) -> str:
    """A field of mailboxes, whole with its CRLF, folded between them (RFC 5322 section 3.4).

    Outside ``utf8``, domains go out as A-labels. A local part that is not ASCII then stands as a group without members,
    its address inside the encoded group name: readable, not usable, as RFC 6857 section 3.1.8 has it.
    """
    if len(mailboxes) == 1 and not mailboxes[0].name and (utf8 or mailboxes[0].local.isascii()):
        spec = mailboxes[0].addr_spec if utf8 else mailboxes[0].ascii
        if len(name) + 2 + len(spec) <= _WORD_LINE:  # nothing to encode, nothing to fold
            return f"{name}: {spec}\r\n"
    words: list[str] = []
    for mailbox in mailboxes:
        room = _WORD if words else _WORD_LINE - len(name) - 2
        if not (utf8 or mailbox.local.isascii()):
            said = f"{mailbox.name} {mailbox.addr_spec}" if mailbox.name else mailbox.addr_spec
            words += (*_encoded_words(said, room), ":;,")
            continue
        spec = mailbox.addr_spec if utf8 else mailbox.ascii
        display = mailbox.name
        if display:
            if not display.isascii() and len(display) <= 22 and not utf8:
                # The common case in full, for speed: so few octets make one encoded-word, in the shorter way.
                raw = display.encode()
                if len(raw) <= (room - 12) // 4 * 3:
                    how, said = "b", b2a_base64(raw, newline=False).decode()
                    if len(raw) - len(display) <= 2 and len(raw) >= 12:  # else base64 is as short, or all but
                        in_q = "".join([_Q[byte] for byte in raw])
                        how, said = ("q", in_q) if len(in_q) <= len(said) else (how, said)
                    word = f"=?utf-8?{how}?{said}?="
                    words.append(f"{word} <{spec}>,")
                    continue
            words += phrase(display, utf8=utf8, first=room)
            if len(words[-1]) + len(spec) <= 70:
                words[-1] += f" <{spec}>,"
            else:
                words.append(f"<{spec}>,")
        else:
            words.append(spec + ",")
    if words:
        words[-1] = words[-1][:-1]
    return _folded(name, words, _WORD_LINE)


def custom(name: str, body: str, *, utf8: bool = False) -> str:
    """A caller's header field by its kind: mailboxes, machine tokens or free text.

    Raises:
        HeaderError: The body is not of that kind.
    """
    lower = name.lower()
    if lower in OPAQUE_FIELDS:
        return opaque(name, body)
    if lower in ADDRESS_FIELDS:
        try:
            mailboxes = Address.parse_list(body)
        except AddressError as error:
            raise HeaderError(str(error), field=name) from error
        if not mailboxes:
            raise HeaderError("names no mailbox", field=name)
        return addresses(name, mailboxes, utf8=utf8)
    return unstructured(name, body, utf8=utf8)


# --- parameters -------------------------------------------------------------------------------------------------------

_TOKEN = re.compile(r"[!#$&+\-.0-9A-Z^_`a-z{|}~]+", re.ASCII)
_QUOTABLE = re.compile(r"[ !#-\[\]-~]*", re.ASCII)


def parameters(body: str, pairs: Iterable[tuple[str, str]], *, column: int) -> str:
    """``body; name=value`` with folds, for a field whose name and ": " take ``column`` characters; no CRLF at the end.

    ASCII values stand as a token or quoted-string; others, and long ones, as RFC 2231 section 3 and 4 continuations.
    """
    parts, column = [body], column + len(body)
    for name, value in pairs:
        for piece in _parameter(name, value):
            parts.append(";")
            column += 1
            if column + 1 + len(piece) > _FOLD - 1:
                parts.append("\r\n")
                column = 0
            parts.append(" " + piece)
            column += 1 + len(piece)
    return "".join(parts)


def _parameter(name: str, value: str) -> list[str]:
    room = max(_FOLD - len(name) - 10, 20)
    if len(value) <= room and "=?" not in value:
        if _TOKEN.fullmatch(value):
            return [f"{name}={value}"]
        if _QUOTABLE.fullmatch(value):
            return [f'{name}="{value}"']
    encoded = quote(value, safe="!#$&+^`{}~")
    if len(encoded) <= room - 8:
        return [f"{name}*=utf-8''{encoded}"]
    pieces: list[str] = []
    start = 0
    while start < len(encoded):
        end = start + room - 8
        if end < len(encoded):  # an escape stays whole
            escape = encoded.rfind("%", end - 2, end)
            end = escape if escape >= 0 else end
        charset = "utf-8''" if not pieces else ""
        pieces.append(f"{name}*{len(pieces)}*={charset}{encoded[start:end]}")
        start = end
    return pieces


# --- dates ------------------------------------------------------------------------------------------------------------


def date_time(moment: datetime) -> str:
    """A time as RFC 5322 section 3.3 has it, with a numeric zone: ``Tue, 24 Nov 2026 09:07:45 +0530``.

    Args:
        moment: With a zone; a zone that is not whole minutes is written in UTC.
    """
    offset = moment.utcoffset()
    if offset is None:
        raise HeaderError("is naive: give it a time zone", field="date")
    zone = "+0000"
    if offset:
        seconds = offset.days * 86400 + offset.seconds
        if seconds % 60:
            try:
                moment, seconds = moment.astimezone(UTC), 0
            except OverflowError as error:
                raise HeaderError("is out of range in UTC", field="date") from error
        hours, minutes = divmod(abs(seconds) // 60, 60)
        zone = f"{'-' if seconds < 0 else '+'}{hours:02}{minutes:02}"
    text = moment.ctime()  # "Tue Nov 24 09:07:45 2026", in English whatever the locale
    return f"{text[:3]}, {text[8:10].replace(' ', '0')} {text[4:7]} {text[20:]} {text[11:19]} {zone}"
