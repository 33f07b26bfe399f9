"""``mailer demo``: the main job, shown on a server that the command starts for it."""

from __future__ import annotations

import email
import email.policy
import struct
import tempfile
import zlib
from email.message import EmailMessage
from pathlib import Path
from typing import cast

import click

from ..attachment import Attachment
from ..mailbox import Mailbox
from ..mailer import Mailer
from ..message import Message
from .backend import mailer_of, mailer_option
from .show import echo_receipt, plain

__all__ = ["command"]


@click.command("demo")
@click.option("--to", "url", metavar="URL", help="Send by this backend instead of to a mailbox started here.")
@mailer_option
@click.option("--out", type=click.Path(path_type=Path), metavar="PATH", help="Where the received .eml goes.")
def command(url: str | None, name: str | None, out: Path | None) -> None:
    """Send a mail and show what happened: the receipt, the dialogue, what arrived.

    Needs no settings and no network: an SMTP mailbox is started on a free loopback port. With --to the same message
    goes out by another backend, e.g. --to console: or --to file:./out
    """
    if url is not None or name is not None:
        with mailer_of(url, name) as mailer:
            receipt = mailer.send(_message())
        _title("The receipt")
        echo_receipt(receipt)
        receipt.raise_unless_ok()
        return
    with Mailbox() as mailbox:
        _title(f"Sending by {mailbox.url}")
        with Mailer(mailbox.url) as mailer:
            receipt = mailer.send(_message())
        [received] = mailbox.wait_for(1)
        dialogue = mailbox.dialogue
    echo_receipt(receipt)
    _title("The dialogue")
    for said in dialogue:
        click.echo(plain(said))
    _title("What arrived")
    parsed = email.message_from_bytes(received.content, policy=email.policy.default)
    for name in ("From", "To", "Subject", "Date", "Message-ID"):
        click.echo(f"{name}: {plain(str(parsed[name]))}")
    _tree(parsed, 0)
    path = out or Path(tempfile.mkdtemp(prefix="mailer-demo-")) / "demo.eml"
    path.write_bytes(received.content)
    click.echo(f"\n{len(received.content)} bytes written to {path}")
    receipt.raise_unless_ok()


def _title(text: str) -> None:
    click.echo(f"\n--- {text} ---")


def _tree(part: EmailMessage, depth: int) -> None:
    name = part.get_filename()
    cid = part["Content-ID"]
    size = "" if part.is_multipart() else f"  {len(part.get_payload(decode=True) or b'')} bytes"
    more = (f"  {name!r}" if name else "") + (f"  {cid}" if cid else "")
    click.echo(f"{'  ' * depth}- {part.get_content_type()}{size}{plain(more)}")
    if part.is_multipart():
        for child in part.iter_parts():
            _tree(cast(EmailMessage, child), depth + 1)


def _message() -> Message:
    message = Message(
        from_="Grüße vom Laden <shop@example.com>",
        to=["Ada Lovelace <ada@example.org>", "Bücherei <info@bücher.example>"],
        bcc="archive@example.com",
        subject="Grüße – order 7 is on its way ✓",
        text="Hello,\n\nyour order 7 is on its way: 3 × tea, 12,40 €.\n.\nA line with only a dot stood above.\n",
        html=('<h1>Hello</h1><p><img src="cid:stamp" alt="">Your order <b>7</b> is on its way: 3 × tea, 12,40 €.</p>'),
        headers={"X-Order": "7"},
    )
    stamp = Attachment.from_bytes("stamp.png", _png(24, 24), content_id="stamp")
    invoice = Attachment.from_bytes("Rechnung №7.csv", "item;count;price\ntea;3;12,40 €\n".encode())
    return message.inline(stamp).attach(invoice)


def _png(width: int, height: int) -> bytes:
    """A small picture: a red disc."""
    rows = bytearray()
    for y in range(height):
        rows.append(0)
        for x in range(width):
            inside = (2 * x + 1 - width) ** 2 + (2 * y + 1 - height) ** 2 < width * height
            rows += b"\xc8\x32\x32" if inside else b"\xff\xff\xff"

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(rows), 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body
