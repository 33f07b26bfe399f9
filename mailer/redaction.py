"""Redaction: texts without the secrets in them, known ones in every form, unknown ones by the company they keep.

:class:`Secrets` hides what is known to be secret (a password that a server says back, quoted, in base64 ...).
:func:`redacted` hides what looks like one: the user part of a URL, the value beside a name such as "password", an
``Authorization`` header, the answer behind ``AUTH PLAIN``. :class:`RedactingFilter` does both to log records.
"""

from __future__ import annotations

import base64
import functools
import html
import json
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar
from urllib.parse import quote, quote_plus, unquote_plus

from .errors import MailerError
from .field import printable

if TYPE_CHECKING:
    from typing import Self

__all__ = [
    "MASK",
    "RedactingFilter",
    "Secrets",
    "Unpickled",
    "forget_frames",
    "forgets_arguments",
    "redacted",
    "sounds_secret",
    "words_of",
]

P = ParamSpec("P")
T = TypeVar("T")

MASK = "***"
_PACKAGE = __name__.partition(".")[0]

# --- what is known ----------------------------------------------------------------------------------------------------

#: A run of any of base64's two alphabets; what holds a secret is hidden whole, since its neighbours may be half of it.
_ENCODED = re.compile(r"[A-Za-z0-9+/_=-]{4,}")
#: Shorter ones stand in half of all words: hiding just them would tell where, and so what, they are.
_MIN_CHARS = 4


class Secrets:
    """Some secrets in the forms in which a peer, a URL or an error may repeat them.

    As they are, escaped (Python, JSON, HTML, percent), in hexadecimal, and in base64 wherever in the encoded bytes they
    stand; upper and lower case alike.
    """

    __slots__ = ("_encoded", "_literal", "_pattern", "_short")

    def __init__(self, *secrets: str | bytes) -> None:
        literal: set[str] = set()
        encoded: set[str] = set()
        self._short: list[str] = []
        for secret in secrets:
            if not secret:
                continue
            data = secret if isinstance(secret, bytes) else secret.encode("utf-8", "surrogatepass")
            text = data.decode("utf-8", "backslashreplace")
            if len(text) < _MIN_CHARS:
                self._short.append(text.lower())
                encoded.add(base64.b64encode(data).decode().rstrip("=").lower())
                continue
            literal.update(_literal_forms(text, data))
            encoded.update(form.lower() for form in _base64_forms(data))
        self._literal = sorted({form.lower() for form in literal})
        self._pattern = "|".join(map(re.escape, sorted(literal, key=len, reverse=True)))
        self._encoded = sorted(encoded)

    def __repr__(self) -> str:
        return "<Secrets>"

    def found_in(self, text: str) -> bool:
        """Whether one of them stands in the text in any form."""
        return self.hide(text) != text

    def hide(self, text: str) -> str:
        """The text with each of them as ``***``; all of it, where they cannot be parted from the rest."""
        lowered = text.lower()
        for form in self._short:
            if form in lowered:
                return MASK
        if self._stands_in(lowered):
            text = re.sub(self._pattern, MASK, text, flags=re.IGNORECASE)
            if self._stands_in(text.lower()):  # there are letters whose cases differ in length
                return MASK
        for form in self._encoded:
            if form in lowered:
                text = _ENCODED.sub(self._hidden_run, text)
                break
        for sign, decoded in (("%", unquote_plus), ("&", html.unescape)):
            if sign in text and self._stands_in(decoded(text).lower()):
                return MASK
        return text

    def _hidden_run(self, run: re.Match[str]) -> str:
        lowered = run[0].lower()
        return MASK if any(form in lowered for form in self._encoded) else run[0]

    def _stands_in(self, lowered: str) -> bool:
        return any(form in lowered for form in self._literal)


def _literal_forms(text: str, data: bytes) -> Iterable[str]:
    yield text
    if len(stripped := text.strip()) >= _MIN_CHARS:
        yield stripped  # as a server says it that takes a line end behind it for no part of it
    yield data.decode("ascii", "backslashreplace")  # as replies are read
    yield ascii(text)[1:-1]
    yield repr(text)[1:-1]
    yield repr(data)[2:-1]
    yield json.dumps(text)[1:-1]
    yield html.escape(text)
    yield quote(data)
    yield quote(data, safe="")
    yield quote_plus(data)
    yield data.hex()


def _base64_forms(data: bytes) -> Iterable[str]:
    """What base64 makes of the data wherever it stands: without the characters that depend on its neighbours."""
    for before in range(3):
        size = before + len(data)
        stable = base64.b64encode(bytes(before) + data)[-(-before * 8 // 6) : size * 8 // 6].decode()
        if len(stable) >= _MIN_CHARS:
            yield stable
            yield stable.translate(str.maketrans("+/", "-_"))


class Unpickled:
    """What keeps a secret: it is not pickled, for a pickle is clear text. A copy is the thing itself."""

    __slots__ = ()

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} keeps credentials and is not pickled: make it anew, from its URL")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self


def forget_frames(error: BaseException) -> None:
    """Take the library's own frames from the tracebacks of the error and of all it is chained from.

    For where they hold a secret: there are error reporters that show a frame's variables. What a plug-in did below them
    stays.
    """
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        found = waiting.pop()
        if found is not None and id(found) not in seen:
            seen.add(id(found))
            trace = found.__traceback__
            while trace is not None and trace.tb_frame.f_globals.get("__name__", "").partition(".")[0] == _PACKAGE:
                trace = trace.tb_next
            found.__traceback__ = trace
            waiting += [found.__cause__, found.__context__]


def forgets_arguments(function: Callable[P, T]) -> Callable[P, T]:
    """A decorator: the library's errors out of the function come without the frames that hold its arguments.

    For what is given URLs: the caller's own frame may hold one, ours need not.
    """

    @functools.wraps(function)
    def forgetful(*args: P.args, **keywords: P.kwargs) -> T:
        try:
            return function(*args, **keywords)
        except MailerError as error:
            forget_frames(error)
            del args, keywords
            raise

    return forgetful


# --- what looks like one ----------------------------------------------------------------------------------------------

_NAMES = (
    r"(?:pass(?:word|wd|phrase|code)|secret|token|credential|authori[sz]ation|cookie"
    r"|(?:api|access|private|secret|signing|auth|server|account)[-_ ]?key)[\w-]{0,40}"
    r"|(?<![A-Za-z0-9])(?:pass|pw|pwd|key)(?![A-Za-z0-9])"
)
_NAME = re.compile(_NAMES, re.IGNORECASE)
#: name = value, name: value, "name": "value", ("name", "value"); a quoted value goes to its quote, or to the end.
_VALUE = re.compile(
    rf"""((?:{_NAMES})(?:\\?["']?\s*(?:=>|[:=])\s*|["']\s*,\s*(?=b?["']))b?)"""
    r"""(\\"(?:(?!\\").)*+(?:\\")?|"(?:[^"\\]|\\.)*+["\\]?|'(?:[^'\\]|\\.)*+['\\]?|(?!\*\*\*)[^\s,;&)\]}]+)""",
    re.IGNORECASE | re.DOTALL,
)
#: Up to the line's end: a scheme and its parameters.
_HEADER = re.compile(
    r"""(\b(?:proxy-)?authorization["']?\s*[:=]\s*b?)("(?:[^"\\]|\\.)*+["\\]?|'(?:[^'\\]|\\.)*+['\\]?|[^\r\n"']+)""",
    re.IGNORECASE | re.DOTALL,
)
_SCHEME = re.compile(r"\b(Bearer|Basic)(\s+)[A-Za-z0-9._~+/-]{8,}=*", re.IGNORECASE)
_MECHANISM = r"(?:PLAIN|LOGIN|XOAUTH2|OAUTHBEARER|CRAM-MD5|DIGEST-MD5|NTLM|GSSAPI|EXTERNAL|SCRAM-[A-Z0-9-]+)"
#: A client's AUTH with its first answer; in a server's list of mechanisms another mechanism follows.
_AUTH = re.compile(rf"\b(AUTH\s+{_MECHANISM}\s+)(?!{_MECHANISM}\b)[A-Za-z0-9+/=]{{4,}}", re.IGNORECASE)
#: One match takes all up to the next blank or quote, so that a hostile text costs linear time.
_URL = re.compile(r"""://[^\s"'<>]*""")


def redacted(text: str) -> str:
    """The text with what looks like a secret as ``***``. In doubt it is hidden: ``?to=ann@example.org`` of a URL is."""
    if "://" in text:
        text = _URL.sub(_without_user, text)
    if _NAME.search(text):
        text = _HEADER.sub(rf"\1{MASK}", text)
        text = _VALUE.sub(_without_value, text)
    text = _SCHEME.sub(rf"\1\2{MASK}", text)
    return _AUTH.sub(rf"\1{MASK}", text)


def words_of(error: BaseException) -> str:
    """What a foreign exception says, redacted and on one line; its class alone, if it cannot say anything."""
    name = type(error).__name__
    try:
        said = str(error)
    except Exception:  # noqa: BLE001 - anybody's class
        said = ""
    return printable(redacted(f"{name}: {said}" if said else name))


def sounds_secret(name: str) -> bool:
    """Whether a value of this name is to be hidden: "password", "SMTP_PASSWORD", "api_key", "X-Server-Token" ..."""
    return _NAME.search(name) is not None


def _without_value(found: re.Match[str]) -> str:
    quote_mark = next((mark for mark in ('\\"', '"', "'") if found[2].startswith(mark)), "")
    return f"{found[1]}{quote_mark}{MASK}{quote_mark}"


def _without_user(found: re.Match[str]) -> str:
    # Up to the last "@": a raw "/" or "@" in a password is wrong, and happens.
    who, at, where = found[0][3:].rpartition("@")
    if not at:
        return found[0]
    user, colon, _ = who.partition(":")
    return f"://{user}:{MASK}@{where}" if colon else f"://{MASK}@{where}"


# --- log records ------------------------------------------------------------------------------------------------------

#: What every record has; everything else came by ``extra``.
_OF_EVERY_RECORD = frozenset([*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"])
_MAX_DEPTH = 6


class RedactingFilter(logging.Filter):
    """Hides secrets in log records: message, arguments, ``extra`` fields, exception and stack texts.

    Put it on a handler, where it sees the records of every library::

        handler.addFilter(RedactingFilter(secrets=[os.environ["SMTP_PASSWORD"]]))

    It changes the record itself, so handlers that come later see it redacted too. Where an exception's text held a
    secret, ``exc_text`` has it redacted and ``exc_info`` is gone. Every record passes.

    Args:
        secrets: Values to hide wherever and however encoded they occur, beside what looks like a secret.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__()
        self._known = Secrets(*secrets)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact the record; True."""
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - wrong arguments: the handler is to say so, with what is left here
            record.msg, record.args = self._text(str(record.msg)), self._value(record.args, 0)
        else:
            if (shown := self._text(message)) != message:
                record.msg, record.args = shown, None
            elif record.args:
                record.args = self._value(record.args, 0)
        for name in record.__dict__.keys() - _OF_EVERY_RECORD:
            value = record.__dict__[name]
            record.__dict__[name] = MASK if sounds_secret(name) and value else self._value(value, 0)
        if record.exc_info and record.exc_info[0] is not None:
            text = record.exc_text or logging.Formatter().formatException(record.exc_info)
            if (shown := self._text(text)) != text:
                record.exc_text, record.exc_info = shown, None
        elif record.exc_text:
            record.exc_text = self._text(record.exc_text)
        if record.stack_info:
            record.stack_info = self._text(record.stack_info)
        return True

    def _text(self, text: str) -> str:
        return self._known.hide(redacted(text))

    def _value(self, value: Any, depth: int) -> Any:
        if value is None or isinstance(value, (bool, int, float)):
            return value
        if isinstance(value, str):
            return self._text(value)
        if depth < _MAX_DEPTH:
            if isinstance(value, Mapping):
                return {
                    key: MASK if isinstance(key, str) and sounds_secret(key) and item else self._value(item, depth + 1)
                    for key, item in value.items()
                }
            if type(value) in (list, tuple, set, frozenset):
                return type(value)(self._value(item, depth + 1) for item in value)
        try:
            text = repr(value)
        except Exception:  # noqa: BLE001 - anybody's object
            return f"<{type(value).__name__}>"
        return value if (shown := self._text(text)) == text else shown
