"""What may stand in a command, a path or a header, and what a mail is on the wire."""

from __future__ import annotations

import re
from email.message import Message
from smtplib import quoteaddr
from typing import Any

from ..redaction import MASK
from ..transfer import crlf
from .errors import SMTPCommandError

__all__ = ["check_headers", "check_line", "check_path", "content_of"]

_BREAKS_LINE = re.compile(r"[\r\n\0]")
#: A header line's end that is no fold: what follows would be a header, or the body.
_BREAKS_HEADER = re.compile(r"(?:\r\n|[\r\n])(?![ \t])|\0")
#: Ends where it seems to: beyond its bracket there would be a parameter. Commas stand in a source route alone; of two
#: mailboxes newer Pythons put both into the brackets.
_PATH = re.compile(r'\s*<(?:@[^<>":]*:)?(?:"(?:[^"\\]|\\.)*"|[^<>",])*>')
#: What may stand beside an address and is no part of it.
_BLANKS = re.compile(r"\([^()]*\)|\s")
_ESCAPES = str.maketrans({"\r": "\\r", "\n": "\\n", "\0": "\\0"})


def check_line(line: str, *, is_secret: bool = False) -> None:
    """Raise SMTPCommandError, a ValueError as smtplib's, if this is more than one command line."""
    if _BREAKS_LINE.search(line):
        shown = MASK if is_secret else line.translate(_ESCAPES)
        raise SMTPCommandError(f"command and arguments contain prohibited newline characters: {shown}")


def check_path(address: str) -> None:
    """Raise SMTPCommandError if an address would break out of its command, or is not what would be sent of it.

    quoteaddr takes one mailbox out of whatever it is given: the first of two, "a" of ``a"b@c``. Whether a mailbox is
    one is for the server to say, of each recipient alone.
    """
    path = quoteaddr(address)
    check_line(path)
    if _BREAKS_HEADER.search(address.strip()):  # a fold may stand in there; what quoteaddr took out else is no blank
        check_line(address)
    given, sent = _BLANKS.sub("", address), _BLANKS.sub("", path)
    if not _PATH.fullmatch(path) or not (given == sent[1:-1] or given.endswith(sent)):
        raise SMTPCommandError(f"{address!r} is not one mailbox and nothing else: it would go out as {path}")


def check_headers(message: Message[Any, Any]) -> None:
    """Raise SMTPCommandError if a header, of a part too, holds another one: `email` writes it so on older Pythons."""
    for part in message.walk():
        for name, value in part.raw_items():
            if _BREAKS_HEADER.search(str(value)):
                raise SMTPCommandError("holds a line end with another header, or a body, behind it", field=name)


def content_of(msg: Any) -> bytes:
    """The mail in CRLF lines, dots as they are. UnicodeEncodeError: it is text beyond ASCII; TypeError: neither."""
    return crlf(msg.encode("ascii") if isinstance(msg, str) else bytes(memoryview(msg)))
