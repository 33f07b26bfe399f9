"""The standard library's message objects: read into fields, or flattened for sending as they are.

The only module that imports :mod:`email`. Its objects check little (header names and NUL not at all, bare CR only in
some policies) and fail in many ways, so every value is looked at here and every exception becomes a MessageError.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.errors import NonASCIILocalPartDefect
from email.generator import BytesGenerator
from email.header import decode_header, make_header
from email.message import Message as StandardMessage
from email.policy import SMTP, Compat32
from email.utils import collapse_rfc2231_value, parsedate_to_datetime
from typing import Any

from .address import Address
from .attachment import Attachment
from .envelope import NULL_SENDER
from .errors import HeaderError, MailerError, MessageError
from .field import ADDRESS_FIELDS, shown
from .message import Message

__all__ = ["bytes_of", "message_of"]

_MAX_LINE = 998
_MAX_DEPTH = 50
_REMEDY = "send it as it is with mailer.send_raw"

_NAME = re.compile(r"[!-9;-~]+", re.ASCII)
_FOLD = re.compile(r"\r?\n(?=[ \t])")
# Controls, and what the standard library's own writer takes for a line end.
_UNSAFE = re.compile("[\x00-\x08\x0a-\x1f\x7f\x85\u2028\u2029]")

_MAILBOXES = {"from": "from_", "to": "to", "cc": "cc", "bcc": "bcc", "reply-to": "reply_to", "sender": "sender"}
# What servers wrote on the way says nothing that a new mail should repeat.
_TRACES = frozenset("received delivered-to authentication-results x-original-to".split())
_SIGNATURES = frozenset("dkim-signature arc-seal arc-message-signature arc-authentication-results".split())
_SIGNED_KINDS = frozenset(
    "multipart/signed multipart/encrypted application/pkcs7-mime application/x-pkcs7-mime".split()
)
_TEXT_FIELDS = {"text/plain": "text", "text/html": "html", "text/x-amp-html": "amp_html"}


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except MailerError:
        raise
    except Exception as error:
        raise MessageError(f"the standard library's email cannot handle it: {type(error).__name__}") from error


# --- as bytes ---------------------------------------------------------------------------------------------------------


class _AsIs(Compat32):
    """Headers as they stand, not folded anew, where their lines are not too long."""

    def fold_binary(self, name: str, value: Any) -> bytes:
        if hasattr(value, "fold"):  # of an EmailMessage within
            folded: str = value.fold(policy=SMTP)
            return folded.encode("ascii", "surrogateescape")
        if isinstance(value, str):
            lines = f"{name}: {value}".splitlines()
            try:
                field = "".join([f"{line}\r\n" for line in lines]).encode("ascii", "surrogateescape")
            except UnicodeEncodeError:
                return super().fold_binary(name, value)
            if max(map(len, lines)) <= _MAX_LINE:
                return field
        return super().fold_binary(name, value)


def bytes_of(message: StandardMessage) -> bytes:
    """The message as bytes: CRLF lines, header fields that were parsed not folded anew, no ``>From`` quoting.

    Raises:
        MessageError: A header of any part is unsafe, its field named; or it cannot be flattened.
    """
    _check(message)
    with _translated():
        for part in message.walk():
            for name, value in part.raw_items():
                if not _NAME.fullmatch(name):
                    raise HeaderError(f"{shown(name)} is not a header name", field="headers")
                if bad := _UNSAFE.search(_FOLD.sub("", str(value))):
                    raise HeaderError(f"holds a line break or control character: {shown(bad[0])}", field=name)
        policy: Any = message.policy
        if isinstance(policy, Compat32):
            policy = _AsIs(linesep="\r\n", mangle_from_=False, max_line_length=78)
        else:
            utf8 = any(map(_has_wide_address, message.values()))
            policy = policy.clone(linesep="\r\n", mangle_from_=False, refold_source="none", utf8=utf8)
        out = io.BytesIO()
        BytesGenerator(out, mangle_from_=False, policy=policy).flatten(message)
        return out.getvalue()


def _has_wide_address(value: Any) -> bool:
    """Whether a header names an address beyond ASCII: where headers are ASCII, the standard library would put
    encoded-words into it, which makes it another address (RFC 2047 section 5)."""
    return any(not address.addr_spec.isascii() for address in getattr(value, "addresses", ()))


def _check(message: object) -> None:
    if not isinstance(message, StandardMessage):
        raise MessageError(f"must be an email.message.Message or bytes, not {type(message).__name__}", field="content")


# --- as fields --------------------------------------------------------------------------------------------------------


def message_of(message: StandardMessage) -> Message:
    """Read an ``EmailMessage``, or what :mod:`email.mime` builds, into fields.

    Header fields that servers add on the way (Received and its like) are left out.

    Raises:
        MessageError: It holds what fields cannot say: a signature, an encrypted part, a structure other than text and
            html with attachments and inline images; or it is broken. The text says to use ``mailer.send_raw``.
    """
    _check(message)
    with _translated():
        return Message(**_header_fields(message), **_Body.of(message).fields())


def _cannot(what: str, field: str) -> MessageError:
    return MessageError(f"{what}: {_REMEDY}", field=field)


def _header_fields(message: StandardMessage) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    further: list[tuple[str, str]] = []
    for name, value in message.items():
        lower = name.lower()
        if lower in _SIGNATURES or lower.startswith("resent-"):
            raise _cannot("is not a field of Message", name)
        if lower in _TRACES or lower == "mime-version" or lower.startswith("content-"):
            continue
        key = _MAILBOXES.get(lower) or lower.replace("-", "_")
        if lower not in _MAILBOXES and lower not in _READ:
            body = ", ".join(map(str, _mailboxes(value, name))) if lower in ADDRESS_FIELDS else _text(value, name)
            further.append((name, body))
            continue
        if key in fields:
            raise HeaderError("stands more than once (RFC 5322 section 3.6)", field=name)
        fields[key] = _READ[lower](value, name) if lower in _READ else _mailboxes(value, name)
    if "sender" in fields:
        if len(fields["sender"]) != 1:
            raise HeaderError("must name one mailbox", field="Sender")
        fields["sender"] = fields["sender"][0]
    if "x_priority" in fields:
        fields["priority"] = fields.pop("x_priority")
    return fields | {"headers": further}


def _text(value: Any, name: str) -> str:
    """A header's body, unfolded and with its encoded-words decoded."""
    if isinstance(value, str) and hasattr(value, "defects"):  # of the modern policy: decoded already
        return str(value)
    text = _FOLD.sub("", value) if isinstance(value, str) else value
    try:
        return str(make_header(decode_header(text)))
    except (LookupError, ValueError) as error:
        raise HeaderError(f"cannot be decoded: {shown(str(text))}", field=name) from error


def _mailboxes(value: Any, name: str) -> list[Address]:
    if hasattr(value, "addresses"):
        # An address beyond ASCII counts as a defect there, and is none (RFC 6532).
        if not all(isinstance(defect, NonASCIILocalPartDefect) for defect in value.defects):
            raise HeaderError(f"is not a list of addresses: {shown(str(value))}", field=name)
        return [Address(a.display_name, a.username, a.domain) for a in value.addresses]
    # Decoded only once it is parted: a name may hold a comma.
    found = Address.parse_list(_FOLD.sub("", str(value)))
    return [Address(_text(a.name, name), a.local, a.domain) if "=?" in a.name else a for a in found]


def _date(value: Any, name: str) -> datetime:
    try:
        moment = parsedate_to_datetime(str(value))
    except ValueError as error:
        raise HeaderError(f"{shown(str(value))} is not a date", field=name) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)  # -0000: UTC of an unknown place


def _message_id(value: Any, _name: str) -> str:
    return str(value).strip()


def _return_path(value: Any, name: str) -> Any:
    text = str(value).strip()
    return NULL_SENDER if text == "<>" else Address.of(text, field=name)


def _priority(value: Any, name: str) -> int:
    found = re.match(r"\s*([1-5])\b", str(value))
    if not found:
        raise HeaderError(f"{shown(str(value))} does not begin with 1 to 5", field=name)
    return int(found[1])


_READ = {
    "subject": _text,
    "date": _date,
    "message-id": _message_id,
    "return-path": _return_path,
    "x-priority": _priority,
}


class _Body:
    """Gathers the parts of a tree by what they are for."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.alternatives: list[tuple[str, str]] = []
        self.attachments: list[Attachment] = []

    @classmethod
    def of(cls, message: StandardMessage) -> _Body:
        body = cls()
        body.take(message, 0, within="")
        return body

    def fields(self) -> dict[str, Any]:
        return {**self.texts, "alternatives": self.alternatives, "attachments": self.attachments}

    def take(self, part: StandardMessage, depth: int, *, within: str) -> None:
        kind = part.get_content_type()
        if kind in _SIGNED_KINDS:
            raise _cannot(f"{kind} cannot be taken apart", "content")
        if depth > _MAX_DEPTH:
            raise _cannot(f"parts within parts, over {_MAX_DEPTH} deep", "content")
        parts: Any = part.get_payload()
        if kind.startswith("multipart/"):
            if kind not in ("multipart/mixed", "multipart/alternative", "multipart/related") or not _is_list(parts):
                raise _cannot(f"{kind} has no field", "content")
            for inner in parts if kind != "multipart/related" else _root_first(part):
                self.take(inner, depth + 1, within="alternative" if kind == "multipart/alternative" else kind)
        elif _is_text(part):
            self._take_text(part, kind, within)
        elif within == "alternative":
            raise _cannot(f"{kind} as an alternative has no field", "content")
        else:
            self.attachments.append(_attachment(part, kind, within))

    def _take_text(self, part: StandardMessage, kind: str, within: str) -> None:
        field = _TEXT_FIELDS.get(kind)
        if field is not None and field not in self.texts:
            self.texts[field] = _prose(part)
        elif within in ("", "alternative") and field is None:
            self.alternatives.append((_typed(part, kind, without=("charset",)), _prose(part)))
        elif field is None:
            self.attachments.append(_attachment(part, kind, within))
        else:
            raise _cannot(f"a second {kind} has no field", "content")


def _is_list(payload: object) -> bool:
    return isinstance(payload, list)


def _root_first(related: StandardMessage) -> list[Any]:
    """RFC 2387 section 3.2: the root is the part that ``start`` names, else the first."""
    parts: list[Any] = list(related.get_payload())
    start = related.get_param("start")
    return sorted(parts, key=lambda part: str(part["Content-ID"]).strip() != start) if start else parts


def _is_text(part: StandardMessage) -> bool:
    return (
        part.get_content_maintype() == "text"
        and part.get_content_disposition() != "attachment"
        and part.get_filename() is None
    )


def _prose(part: StandardMessage) -> str:
    payload = part.get_payload()
    if isinstance(payload, str) and not payload.isascii() and not re.search("[\udc80-\udcff]", payload):
        return payload  # set as text, never encoded
    data = part.get_payload(decode=True)
    charset = str(part.get_content_charset("utf-8"))
    try:
        # "us-ascii" with other octets is common, and nearly always UTF-8.
        return (data or b"").decode("utf-8" if charset == "us-ascii" else charset)  # type: ignore[union-attr]
    except (LookupError, ValueError) as error:
        raise _cannot(f"a text part is not in its charset {shown(charset)}", "content") from error


def _typed(part: StandardMessage, kind: str, *, without: tuple[str, ...]) -> str:
    pairs = [(name.lower(), collapse_rfc2231_value(value)) for name, value in part.get_params([])[1:]]
    quoted = [f'; {n}="' + re.sub(r'(["\\])', r"\\\1", v) + '"' for n, v in pairs if n not in without]
    return kind + "".join(quoted)


def _attachment(part: StandardMessage, kind: str, within: str) -> Attachment:
    name = part.get_filename()
    if name and "=?" in name:  # not allowed there (RFC 2047 section 5), and common
        name = _text(name, "filename")
    payload = part.get_payload()
    if kind == "message/rfc822" and _is_list(payload):
        return Attachment.from_message(payload[0], name=name or "message.eml")  # type: ignore[index,arg-type]
    if _is_list(payload):
        raise _cannot(f"{kind} has no field", "content")
    content_id = part["Content-ID"]
    # EmailMessage.add_related calls an image "attachment" if it has a file name.
    is_shown = within == "multipart/related" or part.get_content_disposition() != "attachment"
    return Attachment.from_bytes(
        name or "attachment",
        part.get_payload(decode=True) or b"",  # type: ignore[arg-type]
        content_type=_typed(part, kind, without=("name",)),
        content_id=str(content_id).strip() if content_id else None,
        inline=bool(content_id) and is_shown,
    )
