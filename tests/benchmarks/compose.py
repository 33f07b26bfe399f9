"""Composing, side by side with the standard library in one run: ``python tests/benchmarks/compose.py``.

Prints ratios (ours is 1); the milliseconds are of this machine and this moment. Building the message is included on
both sides. Each case alternates the two and keeps the best of several rounds, so that noise hits both alike.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from email.headerregistry import Address as StdAddress
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid
from pathlib import Path

from mailer import Attachment, Message
from mailer.mime import compose

SUBJECT = "Grüße – your order № 7"
TEXT = ("This is a line of plain text, as an order confirmation has many of them.\n" * 28)[:2048]
HTML = ("<p>This is a <b>paragraph</b> of html, as an order confirmation has many.</p>\n" * 27)[:2048]
NAMES = [f"Jörg Müller {number}" for number in range(50)]
BLOB = os.urandom(10 * 1024 * 1024)


def ours(to: object, attachments: tuple[Attachment, ...] = ()) -> bytes:
    message = Message(
        from_="Shop <shop@example.com>", to=to, subject=SUBJECT, text=TEXT, html=HTML, attachments=attachments
    )
    random = os.urandom(32).hex()
    content = compose(message, message_id=f"<{random[:32]}@example.com>", date=datetime.now(UTC), boundary=random[32:])
    return bytes(content)


def standard(to: object, blob: bytes | None = None) -> bytes:
    message = EmailMessage(policy=SMTP)
    message["From"] = "Shop <shop@example.com>"
    message["To"] = to
    message["Subject"] = SUBJECT
    message["Date"] = format_datetime(datetime.now(UTC))
    message["Message-ID"] = make_msgid(domain="example.com")
    message.set_content(TEXT)
    message.add_alternative(HTML, subtype="html")
    if blob is not None:
        message.add_attachment(blob, maintype="application", subtype="octet-stream", filename="blob.bin")
    return message.as_bytes(policy=SMTP)


def best(functions: list[Callable[[], bytes]], rounds: int, number: int) -> list[float]:
    """Seconds per call of each function: the best of the rounds, which take turns."""
    figures = [float("inf")] * len(functions)
    for _ in range(rounds):
        for index, function in enumerate(functions):
            start = time.perf_counter()
            for _ in range(number):
                function()
            figures[index] = min(figures[index], (time.perf_counter() - start) / number)
    return figures


def peak_of_a_streamed_attachment(size: int) -> float:
    """MB over the base while a file of so many octets is composed and read to its end, chunk by chunk."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "blob.bin"
        with path.open("wb") as file:
            for _ in range(size // len(BLOB[: 1 << 20])):
                file.write(BLOB[: 1 << 20])
        tracemalloc.start()
        base = tracemalloc.get_traced_memory()[0]
        message = Message(from_="a@example.com", to="b@example.org", attachments=[Attachment.from_path(path)])
        content = compose(message, message_id="<1@example.com>", date=datetime.now(UTC), boundary="b")
        total = sum(len(chunk) for chunk in content)
        peak = tracemalloc.get_traced_memory()[1] - base
        tracemalloc.stop()
    if total != len(content):
        raise SystemExit(f"the length was announced as {len(content)} and is {total}")
    return peak / 1e6


def main() -> None:
    many_ours = [(name, f"joerg{number}@example.org") for number, name in enumerate(NAMES)]
    many_std = [StdAddress(name, f"joerg{number}", "example.org") for number, name in enumerate(NAMES)]
    cases: list[tuple[str, Callable[[], bytes], Callable[[], bytes], int, int, float]] = [
        (
            "2 kB text + 2 kB html",
            lambda: ours("Alice <alice@example.org>"),
            lambda: standard("Alice <alice@example.org>"),
            7,
            100,
            20,
        ),
        ("the same to 50 names", lambda: ours(many_ours), lambda: standard(many_std), 7, 20, 50),
        (
            "the same + 10 MB",
            lambda: ours("alice@example.org", (Attachment.from_bytes("blob.bin", BLOB),)),
            lambda: standard("alice@example.org", BLOB),
            5,
            1,
            4,
        ),
    ]
    print(f"Python {sys.version.split()[0]}")
    print(f"{'case':<24}{'mailer ms':>11}{'email ms':>11}{'ratio':>8}  wanted")
    for name, mine, theirs, rounds, number, wanted in cases:
        us, them = best([mine, theirs], rounds, number)
        print(f"{name:<24}{us * 1e3:>11.3f}{them * 1e3:>11.3f}{them / us:>7.1f}x  >= {wanted:g}x")
    print(f"{'25 MB from a path':<24}{peak_of_a_streamed_attachment(25 << 20):>11.2f} MB peak over base     < 8 MB")


if __name__ == "__main__":
    main()
