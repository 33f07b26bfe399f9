"""One-time codes in a mail: what a user is asked to type in."""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["codes_in"]

_URL = re.compile(r"\b[a-z][a-z0-9+.-]*://\S+|\S+@\S+", re.IGNORECASE)
# Neither part of a word or number, nor of an amount, a date, a time, a telephone number or a "#number".
_BEFORE = r"(?<![\w#$€£+@/.:,-])(?<!\d )(?<![#$€£] )"
_AFTER = r"(?![\w%@/€$£-]|[.,:]\w| \d| ?[%€$£])"
_DIGITS = re.compile(rf"{_BEFORE}(?:\d{{6}}|\d{{3}}[ -]\d{{3}}){_AFTER}")
#: In groups: "A1B2-C3D4", "WDJB-MJHT"; in one: "X7K2Q9", with a digit and a letter in capitals.
_GROUPS = r"[A-Z0-9]{3,6}(?:-[A-Z0-9]{3,6}){1,4}|[a-z0-9]{4,6}(?:-[a-z0-9]{4,6}){1,4}"
_MIXED = r"(?=[A-Z]*\d)(?=\d*[A-Z])[A-Z0-9]{5,10}"
_NUMBER = r"\d{4,10}|\d{2,4}(?:[ -]\d{2,4}){1,3}"
_ALONE = re.compile(rf"(?:{_NUMBER}|{_GROUPS}|{_MIXED})")
_NAMED = re.compile(
    rf"\b(?:code|pin|otp|tan|passcode|password|passwort|token|kennwort|c[oó]digo|codice)\b[^\w\n]*(?:(?:is|ist|est|es)\b)?"
    rf"[^\w\n]*\n?[ \t*_]*({_NUMBER}|{_GROUPS}|{_MIXED}){_AFTER}",
    re.IGNORECASE,
)


def codes_in(text: str) -> list[str]:
    """The codes in plain text, in order, each once.

    Such is a number of six digits, also as "123 456" or "123-456"; and, alone on its line or behind a word like "code",
    a number of another length, or letters and digits ("X7K2Q9", "A1B2-C3D4"). Blanks and hyphens are taken out of
    numbers; URLs, addresses, amounts and dates are not looked at.
    """
    plain = _URL.sub(lambda found: " " * len(found[0]), text)
    found = sorted(_found(plain))
    codes: list[str] = []
    end = -1
    for start, code in found:
        if start < end:
            continue
        end = start + len(code)
        codes.append(re.sub(r"[ -]", "", code) if not re.search(r"[^\d -]", code) else code)
    return list(dict.fromkeys(codes))


def _found(text: str) -> Iterator[tuple[int, str]]:
    for match in _DIGITS.finditer(text):
        yield match.start(), match[0]
    for match in _NAMED.finditer(text):
        if re.search(r"\d", match[1]) or "-" in match[1]:
            yield match.start(1), match[1]
    at = 0
    for line in text.splitlines(keepends=True):
        bare = line.strip(" \t\r\n*_>|.:\"'")
        if _ALONE.fullmatch(bare):
            yield at + line.index(bare), bare
        at += len(line)
