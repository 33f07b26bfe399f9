"""Random calls of ``wp_mail``, what ours makes of one, and what there is to compare of a mail's text."""

from __future__ import annotations

import email
import email.policy
import random
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from mailer import Mailer
from mailer.contrib.wordpress import WordPress

__all__ = ["FILES", "WATCHED", "call", "compared", "ours"]

FILES = Path(__file__).parent / "golden" / "wordpress_files"
WATCHED = (
    "wp_mail pre_wp_mail wp_mail_from wp_mail_from_name wp_mail_content_type wp_mail_charset phpmailer_init"
    " wp_mail_succeeded wp_mail_failed"
).split()
_NAMES = ["", "", "Ann", "Ann Smith", "Zoë Ångström", "注文", "J. R. Hartley", "O'Neil", "Shop & Co", "a" * 60]
_WORDS = ["Hello", "Grüße ✓", ".", "From here", "=20", "<b>&amp;</b>", "x" * 200, "", "   ", "a: b", "\ttab"]
_OWN = ["X-Order: 7", "X-Größe: no", "List-Unsubscribe: <https://example.com/u?a=1:2>", "x-lower: ü", "X-Empty:"]


def call(seed: int) -> dict[str, Any]:
    """A call, the same for the same seed: forms that WordPress takes, and nothing of what differs on purpose."""
    pick = random.Random(seed)
    count = iter(range(1000))

    def mailbox() -> str:
        name, address = pick.choice(_NAMES), f"n{next(count)}@example.org"
        return pick.choice(["{} <{}>", "{}<{}>", " {}  <{}> "]).format(name, address) if name else address

    def mailboxes(most: int) -> str:
        return pick.choice([",", ", ", " , "]).join(mailbox() for _ in range(pick.randint(1, most)))

    body = pick.choice(["\n", "\r\n"]).join(pick.choice(_WORDS) for _ in range(pick.randint(0, 6))) + "end"
    lines = [pick.choice(["From", "from", "FROM"]) + ": " + mailbox()] if pick.random() < 0.6 else []
    for name in ("Cc", "Bcc", "Reply-To", "CC", "reply-to"):
        if pick.random() < 0.3:
            lines.append(f"{name}{pick.choice([':', ': ', ' : '])}{mailboxes(3)}")
    if pick.random() < 0.5:
        kind = pick.choice(["text/html", "text/plain", "text/html; charset=UTF-8", 'text/plain; charset="utf-8"'])
        lines.append(f"Content-Type: {kind}")
    lines += [one for one in _OWN if one.isascii() and pick.random() < 0.3]
    if pick.random() < 0.2:
        lines.append("MIME-Version: 1.0")
    pick.shuffle(lines)
    headers: Any = lines if pick.random() < 0.5 else pick.choice(["\n", "\r\n"]).join([*lines, ""])
    to: Any = mailboxes(4) if pick.random() < 0.6 else [mailbox() for _ in range(pick.randint(1, 3))]
    files = [str(FILES / name) for name in ("note.txt", "picture.png") if pick.random() < 0.3]
    filters: dict[str, Any] = {}
    for name, values in {
        "pre_wp_mail": [True, False],
        "wp_mail_from": ["forced@example.net"],
        "wp_mail_from_name": ["Forced", "Förced"],
        "wp_mail_content_type": ["text/html", "text/plain"],
        "AltBody": ["another text"],
    }.items():
        if pick.random() < 0.1:
            filters[name] = pick.choice(values)
    if pick.random() < 0.03:
        to, headers, filters = "nobody", "", {}
    return {
        "to": to,
        "subject": pick.choice(["Order 7", "Grüße – 注文", "", "  blanks  ", "a" * 120, "two  blanks"]),
        "message": body,
        "headers": headers,
        "attachments": files if pick.random() < 0.5 else "\n".join(files),
        "filters": filters,
    }


def ours(one: dict[str, Any]) -> dict[str, Any]:
    """What our ``wp_mail`` does with a call: as ``tests/real/wordpress_mail.php`` tells of WordPress'."""
    hooks: list[str] = []
    failed: list[str] = []
    filters = one["filters"]
    with Mailer("memory:", retry=None) as mailer:
        wordpress = WordPress(mailer, site="www.site.example", folders=FILES)

        def watch(name: str) -> None:
            def watcher(value: Any) -> Any:
                hooks.append(name)
                if name == "wp_mail_failed":
                    failed.append(value.message)
                if name == "phpmailer_init" and "AltBody" in filters:
                    value.AltBody = filters["AltBody"]
                return filters.get(name, value)

            wordpress.add_filter(name, watcher)

        for name in WATCHED:
            watch(name)
        sent = wordpress.wp_mail(*[one[name] for name in ("to", "subject", "message", "headers", "attachments")])
        mails = mailer.backend.mails
        return {
            "sent": sent,
            "recipients": [address.addr_spec for mail in mails for address in mail.envelope.recipients],
            "content": bytes(mails[0].content) if mails else None,
            "hooks": hooks,
            "failed": failed[0] if failed else None,
        }


def compared(one: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    """What must be the same on both sides of a call and its answer."""
    content = answer["content"]
    if content is None:
        ends = [name for name in answer["hooks"] if name in ("wp_mail_failed", "wp_mail_succeeded")]
        return {"sent": answer["sent"], "failed": answer["failed"] is not None, "ends": ends}
    parsed = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    html, text = parsed.get_body(("html",)), parsed.get_body(("plain",))
    if html is not None and "AltBody" not in one["filters"]:
        text = None  # WordPress sends the html alone, ours has a text beside it
    own = sorted(
        (name.lower(), str(value)) for name, value in parsed.items() if name.lower().startswith(("x-", "list"))
    )
    lists = {
        name: [(one.display_name, one.addr_spec) for field in parsed.get_all(name, []) for one in field.addresses]
        for name in ("From", "To", "Cc", "Bcc", "Reply-To")
    }
    return {
        "sent": answer["sent"],
        "hooks": answer["hooks"],
        "recipients": sorted(answer["recipients"]),
        **lists,
        "subject": str(parsed["Subject"]).strip(),
        "own": [pair for pair in own if pair[0] != "x-mailer"],
        "html": None if html is None else _lines(html),
        "text": None if text is None else _lines(text),
        "files": sorted((part.get_filename(), part.get_content_type(), _bytes(part)) for part in _files(parsed)),
    }


def _files(parsed: EmailMessage) -> list[Any]:
    return [part for part in parsed.walk() if part.get_content_disposition() == "attachment"]


def _bytes(part: Any) -> str:
    return part.get_payload(decode=True).hex()


def _lines(part: Any) -> list[str]:
    """The text's lines; how the last one ends, and blanks at the ends of lines, is the transport's business."""
    text = part.get_payload(decode=True).decode("utf-8").replace("\r\n", "\n")
    return [line.rstrip() for line in text.rstrip().split("\n")]
