"""One-time codes in a mail: what a user is asked to type in."""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["codes_in"]

_URL = re.compile(r"\b[a-z][a-z0-9+.-]*://\S+|\S+@\S+", re.IGNORECASE)
_MONEY = r"[€$£¥]|(?:EUR|USD|GBP|CHF|JPY|CAD|AUD|PLN|SEK|NOK|DKK|Euro|euros?|dollars?)\b"
# Neither part of a word or number, nor of an amount, a date, a time, a telephone number or a "#number".
_BEFORE = r"(?<![\w#$€£+@/.:,-])(?<!\d )(?<![#$€£¥] )(?<!(?:EUR|USD|GBP|CHF|JPY|CAD|AUD|PLN|SEK|NOK|DKK) )"
_AFTER = rf"(?![\w%@/€$£¥-]|[.,:]\w| \d| ?(?:%|{_MONEY}))"
_DIGITS = re.compile(rf"{_BEFORE}(?:\d{{6}}|\d{{3}}[ -]\d{{3}}){_AFTER}")
#: In groups: "A1B2-C3D4", "WDJB-MJHT"; in one: "X7K2Q9", with a digit and a letter in capitals.
_GROUPS = r"[A-Z0-9]{3,6}(?:-[A-Z0-9]{3,6}){1,4}|[a-z0-9]{4,6}(?:-[a-z0-9]{4,6}){1,4}"
_MIXED = r"(?=[A-Z]*\d)(?=\d*[A-Z])[A-Z0-9]{5,10}"
_NUMBER = r"\d{4,10}|\d{2,4}(?:[ -]\d{2,4}){1,3}"
#: Alone a number is in groups of one size; what reads as a year or a date is one, and is no code.
_DATE = r"(?:19|20)\d\d(?:-?(?:0[1-9]|1[0-2])(?:-?(?:0[1-9]|[12]\d|3[01]))?)?"
_EVEN = r"\d{4,10}|\d{3}[ -]\d{3}|\d{4}[ -]\d{4}|\d\d(?: \d\d){2,3}"
_ALONE = re.compile(rf"(?!{_DATE}\Z)(?:{_EVEN}|(?![\d-]+\Z)(?:{_GROUPS}|{_MIXED}))")
_NAMED = re.compile(
    rf"\b(?:code|pin|otp|tan|passcode|password|passwort|token|kennwort|c[oó]digo|codice)\b[^\w\n]*(?:(?:is|ist|est|es)\b)?"
    rf"[^\w\n]*\n?[ \t*_]*({_NUMBER}|{_GROUPS}|{_MIXED}){_AFTER}",
    re.IGNORECASE,
)
#: What stands before a number, or before the word "code", that is another's: an order's, a town's, a telephone's.
_NUMBERED = (
    r"order|invoice|bill|receipt|ticket|ref|reference|tracking|booking|reservation|policy|contract|serial|sku|isbn|iban"
    r"|vat|po|id|version|build|flight|phone|tel|telephone|mobile|fax|total|amount|sum|price|balance|zip|postal|postcode"
    r"|plz|colou?r|bestellung|rechnung|\w+nummer|betrag|summe|preis"
)
#: These may end a sentence too: "to open your account: 482913".
_ALSO_WORDS = (
    r"account|user|client|customer|member(?:ship)?|case|item|article|product|part|room|call|post|country|area|error"
    r"|status|promo|promotion|discount|coupon|voucher|gift|bar|source|dress"
)
_OF_ANOTHER = re.compile(
    rf"\b(?:(?:{_NUMBERED})[-. ]{{0,2}}|(?:{_ALSO_WORDS})[- ](?!\Z)|(?P<bare>(?:{_ALSO_WORDS})[- ]\Z))"
    r"(?(bare)|(?:(?:number|no|nr|id|code|#)\b)?[\s.:#]{0,3}(?:(?:is|ist)\s)?\Z)",
    re.IGNORECASE,
)


def codes_in(text: str) -> list[str]:
    """The codes in plain text, in order, each once.

    Such is a number of six digits, also as "123 456" or "123-456"; and, alone on its line or behind a word like "code",
    a number of another length, or letters and digits ("X7K2Q9", "A1B2-C3D4"). Blanks and hyphens are taken out of
    numbers. URLs, addresses, amounts, dates and years are not looked at, nor what the word before says to be something
    else: an order's number, a telephone's, a post code.
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
        if not _is_another_s(text, match.start()):
            yield match.start(), match[0]
    for match in _NAMED.finditer(text):
        code = match[1]
        is_below = "\n" in text[match.start() : match.start(1)]
        if not re.search(r"\d", code) and not ("-" in code and code.isupper()):
            continue  # a word of the sentence
        is_another_s = match[0].lower().startswith("code") and _is_another_s(text, match.start())
        if not is_another_s and not (is_below and re.fullmatch(_DATE, code)):
            yield match.start(1), code
    at = 0
    for line in text.splitlines(keepends=True):
        bare = line.strip(" \t\r\n*_>|.:\"'")
        if _ALONE.fullmatch(bare):
            yield at + line.index(bare), bare
        at += len(line)


def _is_another_s(text: str, start: int) -> bool:
    """Whether the words before say that this is something else."""
    line = text.rfind("\n", 0, start) + 1
    return _OF_ANOTHER.search(text[max(line, start - 40) : start]) is not None
