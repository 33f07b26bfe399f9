"""Header fields as values: which names and bodies may be built, and who writes them (RFC 5322 section 2.2).

One gate for every string that reaches a header: what :func:`field_name` and :func:`line` let through holds no
line break, no NUL and no other control character, so no later layer has to look again.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, cast

from .errors import HeaderError, MessageError

__all__ = [
    "ADDRESS_FIELDS",
    "OPAQUE_FIELDS",
    "SINGLE_FIELDS",
    "field_name",
    "has_surrogate",
    "line",
    "printable",
    "prose",
    "reads_json",
    "several",
    "shown",
    "token_id",
    "visible",
]

F = TypeVar("F", bound=Callable[..., Any])

# RFC 5322 section 3.6.8: printable ASCII except colon. 76 leaves room for the colon on a line of 78.
_NAME = re.compile(r"[!-9;-~]{1,76}", re.ASCII)
# RFC 5322 allows TAB inside a body (WSP); every other C0 control and DEL is obsolete there.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_ESCAPES = {number: f"\\x{number:02x}" for number in (*range(0x20), 0x7F)}
_SURROGATE = re.compile("[\ud800-\udfff]")
# RFC 5322 section 3.6.4 msg-id without its brackets; as wide as ids in the wild, as narrow as one token.
_ID = re.compile(r"[!-;=?-~]{1,900}", re.ASCII)

# Written from the message's own fields: as a custom header they would be a second one (RFC 5322 section 3.6).
_OF_MESSAGE = {
    "from": "from_",
    "to": "to",
    "cc": "cc",
    "bcc": "bcc",
    "reply-to": "reply_to",
    "sender": "sender",
    "subject": "subject",
    "date": "date",
    "message-id": "message_id",
    "return-path": "return_path",
    "x-priority": "priority",
}
# Written by the composer, a signer or a server on the way.
_OF_OTHERS = frozenset(
    "mime-version received dkim-signature arc-seal arc-message-signature arc-authentication-results"
    " authentication-results delivered-to bcc resent-bcc".split()
)

#: At most one of each (RFC 5322 section 3.6), beyond those the composer writes itself.
SINGLE_FIELDS = frozenset(
    "in-reply-to references disposition-notification-to auto-submitted list-id list-help list-subscribe"
    " list-unsubscribe list-unsubscribe-post list-post list-owner list-archive importance precedence".split()
)
#: Bodies made of machine tokens: folded at blanks, never encoded (an encoded-word would break threads and one-click).
OPAQUE_FIELDS = frozenset(
    "in-reply-to references message-id resent-message-id content-id archived-at auto-submitted feedback-id"
    " list-id list-help list-subscribe list-unsubscribe list-unsubscribe-post list-post list-owner list-archive"
    " importance precedence require-recipient-valid-since tls-required supersedes original-message-id".split()
)
#: Bodies made of mailboxes: an encoded-word may stand in a display name only (RFC 2047 section 5).
ADDRESS_FIELDS = frozenset(
    "disposition-notification-to return-receipt-to errors-to resent-from resent-sender resent-to resent-cc"
    " x-confirm-reading-to mail-followup-to mail-reply-to".split()
)


def shown(value: object, limit: int = 80) -> str:
    """The value as an error message may show it: escaped, one line, cut to ``limit`` characters."""
    text = ascii(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def visible(text: str) -> str:
    """The text in visible ASCII on one line: control characters and all that is not ASCII as escapes."""
    if text.isascii() and text.isprintable():
        return text
    return text.encode("ascii", "backslashreplace").decode("ascii").translate(_ESCAPES)


def printable(text: str) -> str:
    """The text on one line: what cannot be printed as escapes; letters of any script stay."""
    if text.isprintable():
        return text
    return "".join([char if char.isprintable() else ascii(char)[1:-1] for char in text])


def field_name(name: object) -> str:
    """Check a custom header's name.

    Raises:
        HeaderError: It is not 1-76 printable ASCII characters without colon, or is not the caller's to write.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise HeaderError(
            f"header name {shown(name)} must be 1-76 printable ASCII characters without blank or colon", field="headers"
        )
    lower = name.lower()
    if lower in _OF_MESSAGE:
        raise HeaderError(f"set it with Message({_OF_MESSAGE[lower]}=...), not as a custom header", field=name)
    if lower in _OF_OTHERS or lower.startswith("content-"):
        raise HeaderError("this header is written by the library or by servers on the way", field=name)
    return name


def line(value: object, field: str, *, error: type[MessageError] = MessageError) -> str:
    """Check a string that must stay on one line of a header, command or URL.

    Raises:
        MessageError: Not a string, or it holds CR, LF, NUL, another control character but TAB, or a lone surrogate.
    """
    if not isinstance(value, str):
        raise error(f"must be a string, not {type(value).__name__}", field=field)
    if value.isascii():
        if value.isprintable():
            return value
    elif _SURROGATE.search(value):
        raise error(f"holds a lone surrogate, which no encoding can carry: {shown(value)}", field=field)
    if _CONTROL.search(value):
        raise error(f"holds a line break or control character: {shown(value)}", field=field)
    return value


def several(value: object, field: str, *, error: type[MessageError] = MessageError) -> Iterable[Any]:
    """Check what must be a list or another iterable of values; None is none of them.

    Raises:
        MessageError: Something else, a string among it.
    """
    if value is None:
        return ()
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise error(f"must be a list, not {type(value).__name__}", field=field)
    return value


def reads_json(read: F) -> F:
    """Let a ``from_dict`` raise :class:`MessageError`, naming its class, for whatever ``to_dict`` never writes."""

    @functools.wraps(read)
    def checked(cls: type, data: Any) -> Any:
        if not isinstance(data, Mapping):
            raise MessageError(f"is read from a mapping, not {type(data).__name__}", field=cls.__name__)
        try:
            return read(cls, data)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            text = f"not what to_dict writes, {type(error).__name__}: {shown(str(error))}"
            raise MessageError(text, field=cls.__name__) from error

    return cast(F, checked)


def has_surrogate(text: str) -> bool:
    """Whether the text holds a lone surrogate, which UTF-8 cannot carry."""
    try:
        return not text.isascii() and not text.encode()  # ten times as fast as looking for one
    except UnicodeEncodeError:
        return True


def prose(value: object, field: str) -> str:
    """Check a body text: any line ends, but no NUL and no lone surrogate (RFC 5322 section 2.3)."""
    if not isinstance(value, str):
        raise MessageError(f"must be a string, not {type(value).__name__}", field=field)
    if "\0" in value:
        raise MessageError("holds a NUL character", field=field)
    if has_surrogate(value):
        raise MessageError("holds a lone surrogate, which UTF-8 cannot carry", field=field)
    return value


def token_id(value: object, field: str, *, needs_at: bool = False) -> str:
    """Check a Message-ID or Content-ID and return it without angle brackets.

    Raises:
        HeaderError: Not 1-900 printable ASCII characters without blanks or angle brackets, or, where ``needs_at``,
            not of the form left@right.
    """
    text = line(value, field, error=HeaderError)
    if text.startswith("<") and text.endswith(">"):
        text = text[1:-1]
    left, at, right = text.rpartition("@")
    if not _ID.fullmatch(text) or (needs_at and not (left and at and right)):
        form = "<left@right>" if needs_at else "one token"
        raise HeaderError(f"{shown(value)} is not {form} of printable ASCII without blanks", field=field)
    return text
