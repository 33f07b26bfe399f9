"""What a mail says to whoever reads it, as values that compare, however it is folded and encoded."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage
from typing import Any

__all__ = ["headers_of", "leaves_of", "shape_of", "tree_of"]

_MAILBOXES = ("from", "sender", "to", "cc", "reply-to")
_UNREAD = ("mime-version", "content-type", "content-transfer-encoding")


def _parsed(content: bytes) -> Any:
    return email.message_from_bytes(content, policy=email.policy.default)


def headers_of(mail: EmailMessage) -> dict[str, Any]:
    """Name to value: mailboxes as pairs, the date in seconds, anything else as decoded text without folds.

    Of several of one name the first; the name stands under "twice" then.
    """
    found: dict[str, Any] = {}
    for name, value in mail.items():
        name = name.lower()
        if name in _UNREAD:
            continue
        if name in found:
            found.setdefault("twice", []).append(name)
        elif name in _MAILBOXES:
            found[name] = [(one.display_name, one.addr_spec) for one in value.addresses]
        elif name == "date":
            found[name] = value.datetime.timestamp()
        else:
            found[name] = " ".join(str(value).split())
    return found


def leaves_of(mail: EmailMessage) -> list[tuple[Any, ...]]:
    """The parts that are no multipart: type, content (text with LF), file name, disposition, content id."""
    leaves = []
    for part in mail.walk():
        if part.is_multipart() and part.get_content_type() != "message/rfc822":
            continue
        if part.get_content_type() == "message/rfc822":
            payload: Any = part.get_payload(0)
            content: Any = shape_of(payload.as_bytes())
        else:
            content = part.get_payload(decode=True)
            if part.get_content_maintype() == "text" and part.get_filename() is None:
                text = content.decode(part.get_content_charset("utf-8"))
                content = text.replace("\r\n", "\n").removesuffix("\n")
        leaves.append(
            (
                part.get_content_type(),
                content,
                part.get_filename(),
                part.get_content_disposition(),
                part["Content-ID"] and str(part["Content-ID"]).strip("<>"),
            )
        )
        if part.get_content_type() == "message/rfc822":
            break
    return leaves


def tree_of(mail: EmailMessage) -> Any:
    """The types of the parts, nested."""
    kind = mail.get_content_type()
    if not mail.is_multipart() or kind == "message/rfc822":
        return kind
    return kind.removeprefix("multipart/"), *[tree_of(part) for part in mail.iter_parts()]  # type: ignore[arg-type]


def shape_of(content: bytes) -> dict[str, Any]:
    """All of it but how the parts are nested."""
    mail = _parsed(content)
    return {"headers": headers_of(mail), "leaves": leaves_of(mail)}
