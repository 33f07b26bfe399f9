"""The cases that every provider is tested with, in this order. What each makes of them stands in its golden file."""

from __future__ import annotations

import errno
from datetime import UTC, datetime
from typing import Any, BinaryIO

from ..address import Address
from ..attachment import Attachment
from ..delivery import DeliveryOptions
from ..envelope import NULL_SENDER, Envelope
from ..mail import Content, Mail
from ..message import Message

__all__ = ["CASES", "FILES", "ORDINARY", "PNG", "WHEN", "mail_of", "message_of", "unreadable"]

PNG = Attachment.from_bytes("logo.png", b"\x89PNG", content_type="image/png", content_id="logo", inline=True)
FILES = (
    Attachment.from_bytes("r.pdf", b"%PDF-"),
    Attachment.from_bytes("Übersicht.csv", b"a;b\n", content_type="text/csv; charset=utf-8"),
    Attachment.from_message(b"Subject: x\r\n\r\nx\r\n"),
)


def unreadable() -> BinaryIO:
    """An attachment's content that is gone."""
    raise OSError(errno.ENOENT, "No such file or directory")


WHEN = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)

#: Name -> the fields of the message beyond From, To and subject; "recipients" are the envelope's.
CASES: dict[str, dict[str, Any]] = {
    "plain": {"text": "Hello\n"},
    "nothing": {},
    "names": {
        "from_": ('Müller, "Shop" \\', "shop@example.com"),
        "to": [("注文", "ann@example.org"), "Bob <bob@example.org>", ("x <y>, z", "c@d.test")],
        "cc": ("Cé", "ce@example.org"),
        "text": "x",
    },
    "idn": {"from_": "a@bücher.example", "to": "b@bücher.example", "cc": ["c@例え.テスト"], "text": "x"},
    "html": {"html": "<p>Hëllo</p>"},
    "text and html": {"text": "Hello", "html": "<p>Hello</p>"},
    "inline": {"html": '<img src="cid:logo">', "attachments": [PNG]},
    "inline without html": {"text": "x", "attachments": [PNG]},
    "attachments": {"text": "x", "attachments": FILES},
    "reply_to": {"text": "x", "reply_to": "Help <help@example.com>"},
    "reply_to list": {"text": "x", "reply_to": ["Help <help@example.com>", "sales@example.com"]},
    "sender": {"text": "x", "sender": "desk@example.com"},
    "return_path": {"text": "x", "return_path": NULL_SENDER},
    "headers": {"text": "x", "headers": {"List-Unsubscribe": "<https://example.com/u/7>", "X-Note": "größer"}},
    "headers twice": {"text": "x", "headers": [("X-A", "1"), ("X-A", "2")]},
    "priority": {"text": "x", "priority": "high"},
    "amp": {"html": "<p>x</p>", "amp_html": "<!doctype html><html amp4email></html>"},
    "alternatives": {"text": "x", "alternatives": [("text/calendar", "BEGIN:VCALENDAR\nEND:VCALENDAR\n")]},
    "tag": {"text": "x", "tags": "order"},
    "tags": {"text": "x", "tags": ["order", "de"]},
    "metadata": {"text": "x", "metadata": {"order": "7", "count": 3, "path": ["a", "ü"]}},
    "schedule": {"text": "x", "send_at": WHEN},
    "tracking on": {"text": "x", "track_opens": True, "track_clicks": True},
    "tracking off": {"text": "x", "track_opens": False, "track_clicks": False},
    "template": {"provider_template": "17", "context": {"name": "Ann"}, "subject": ""},
    "template by name": {"provider_template": "welcome", "context": {"name": "Ann"}, "subject": ""},
    "template and text": {"provider_template": "17", "text": "x"},
    "merge": {"text": "Hello {{ name }}", "merge_data": {"ann@example.org": {"name": "Ann"}}},
    "bcc": {"text": "x", "cc": "Cyd <cyd@example.org>", "bcc": ["dee@example.org", "eve@example.org"]},
    "bcc alone": {"text": "x", "to": [], "bcc": "dee@example.org"},
    "bcc only": {"text": "x", "to": [], "bcc": ["dee@example.org", "eve@example.org"]},
    "cc only": {"text": "x", "to": [], "cc": ["cyd@example.org", "cem@example.org"], "bcc": "dee@example.org"},
    "some are left": {
        "text": "x", "to": ["ann@example.org", "bob@example.org"], "cc": "cyd@example.org", "bcc": "dee@example.org",
        "recipients": ["bob@example.org", "dee@example.org"],
    },
    "others are added": {"text": "x", "recipients": ["ann@example.org", "archive@example.com"]},
    "twice": {
        "text": "x", "to": "Ann <ann@example.org>",
        "cc": ["ann@EXAMPLE.org", "bob@example.org"], "bcc": "bob@example.org",
    },
    "options": {"text": "x", "provider_options": {"settings": {"footer": False}, "Extra": [1]}},
    "options take over": {"text": "x", "provider_options": {"BCC": "eve@example.org"}},
    "options not JSON": {"text": "x", "provider_options": {"x": object}},
    "message_id": {"text": "x", "message_id": "<7@example.com>"},
    "date": {"text": "x", "date": WHEN},
    "idempotency_key": {"text": "x", "idempotency_key": "order-7"},
    "delivery": {"text": "x", "delivery": DeliveryOptions(notify="SUCCESS", deliver_by_s=60, mt_priority=1)},
    "require_tls": {"text": "x", "delivery": DeliveryOptions(require_tls=True)},
    "local part not ASCII": {"text": "x", "to": ["ann@example.org", "björn@example.org"]},
    "From not ASCII": {"text": "x", "from_": "björn@example.org"},
    "too many recipients": {"text": "x", "to": [f"n{number}@example.org" for number in range(51)]},
    "too large": {"text": "x", "attachments": [Attachment("x.bin", unreadable, 7_500_000)]},
    "unreadable": {"text": "x", "attachments": [Attachment("x.bin", unreadable, 20)]},
}  # fmt: skip


#: Merging makes plain mails before a provider sees them.
ORDINARY = [case for case in CASES if case != "merge"]


def message_of(name: str) -> Message:
    """The case's message."""
    fields = {key: value for key, value in CASES[name].items() if key != "recipients"}
    return Message(**{"from_": "Shop <shop@example.com>", "to": "Ann <ann@example.org>", "subject": "Grüße", **fields})


def mail_of(message: Message, recipients: list[str] | None = None) -> Mail:
    """The message, sealed for these recipients; its content is nobody's business here."""
    chosen = None if recipients is None else [Address.parse(recipient) for recipient in recipients]
    return Mail("0" * 32, Envelope.of(message, chosen), message, Content.of(b"x\r\n"))
