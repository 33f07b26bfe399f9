"""Bulk mail, side by side with what one would write by hand, in one run: ``python tests/benchmarks/bulk.py``.

* ``mailer send --csv`` against a loop of ``csv``, ``EmailMessage`` and ``smtplib``, each in a process of its own: to
  nowhere (made, not sent) and to Postfix' smtp-sink, where that is installed. A busy machine falsifies CPU the least.
* Making a personalised mail with an attachment of 100 kB, for each of a thousand recipients.

Ratios compare; the figures are of this machine and this moment. The start of a process is measured by a run of one row
and taken off.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

from mailer import Attachment, Mailer, Message

ROWS = 2000
RECIPIENTS = 1000
TEXT = "Dear {name},\n\nyour code is {code}.\n\n" + "A line of plain text, as a newsletter has some of them.\n" * 30
OURS = TEXT.replace("{", "{{ ").replace("}", " }}")
BLOB = os.urandom(100_000)

BY_HAND = """
import csv, smtplib, sys
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, make_msgid
path, port, text = sys.argv[1], int(sys.argv[2]), sys.argv[3]
client = smtplib.SMTP("127.0.0.1", port) if port else None
for row in csv.DictReader(open(path, newline="")):
    message = EmailMessage(policy=SMTP)
    message["From"], message["To"] = "shop@example.com", row["email"]
    message["Subject"] = "News for " + row["name"]
    message["Date"], message["Message-ID"] = formatdate(), make_msgid(domain="example.com")
    message.set_content(text.format(**row))
    if client:
        client.send_message(message)
    else:
        message.as_bytes()
if client:
    client.quit()
"""


def spent(command: list[str], folder: Path) -> tuple[float, float]:
    """Seconds of CPU and of the clock that a process takes."""
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[:4]} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime, time.perf_counter() - start


def per_row(command: Callable[[str], list[str]], folder: Path) -> tuple[float, float]:
    """Microseconds of CPU and of the clock for each row: the best of three."""
    start = [min(pair) for pair in zip(*(spent(command("one.csv"), folder) for _ in range(3)), strict=True)]
    whole = [min(pair) for pair in zip(*(spent(command("all.csv"), folder) for _ in range(3)), strict=True)]
    cpu, clock = ((all_ - one) / (ROWS - 1) * 1e6 for all_, one in zip(whole, start, strict=True))
    return cpu, clock


@contextlib.contextmanager
def sink() -> Iterator[int | None]:
    """The port of a smtp-sink that forgets what it takes; None if it is not installed."""
    program = shutil.which("smtp-sink", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if program is None:
        yield None
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    process = subprocess.Popen([program, "-u", "nobody", f"127.0.0.1:{port}", "100"], stderr=subprocess.DEVNULL)
    try:
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
        yield port
    finally:
        process.terminate()
        process.wait()


def rows_side_by_side() -> None:
    """Print what a row costs both ways."""
    with tempfile.TemporaryDirectory() as name, sink() as port:
        folder = Path(name)
        lines = [f"user{number}@example.org,Name {number},C{number:05d}\n" for number in range(ROWS)]
        (folder / "all.csv").write_text("email,name,code\n" + "".join(lines))
        (folder / "one.csv").write_text("email,name,code\n" + lines[0])
        print(f"{ROWS} rows, 1.8 kB each{'CPU us/row':>26}{'us/row':>9}{'rows/s':>9}{'CPU ratio':>11}")
        for to, where in (("nowhere", 0), ("smtp-sink", port)):
            if where is None:
                print("smtp-sink is not installed: not run")
                continue
            url = f"smtp://127.0.0.1:{where}?tls=none" if where else "null:"
            ours = [sys.executable, "-m", "mailer", "send", "--from", "shop@example.com", "--url", url, "--no-progress"]
            ours += ["--subject", "News for {{ name }}", "--text", OURS]
            hand, _ = cpu_hand, clock_hand = per_row(
                lambda file, where=where: [sys.executable, "-c", BY_HAND, file, str(where), TEXT], folder
            )
            plain = per_row(lambda file, ours=ours: [*ours, "--csv", file], folder)
            journaled = per_row(
                lambda file, ours=ours: ["sh", "-c", 'rm -f j; exec "$@"', "sh", *ours, "--csv", file, "--resume", "j"],
                folder,
            )
            for what, (cpu, clock) in (
                (f"to {to}, by hand", (cpu_hand, clock_hand)),
                (f"to {to}, mailer send --csv", plain),
                (f"to {to}, with --resume", journaled),
            ):
                print(f"{what:<36}{cpu:>11.0f}{clock:>9.0f}{1e6 / clock:>9.0f}{hand / cpu:>10.1f}x")


def recipients_side_by_side() -> None:
    """Print what a recipient of a personalised mail with 100 kB attached costs in composing."""
    people = {
        f"user{number}@example.org": {"name": f"Name {number}", "code": f"{number}"} for number in range(RECIPIENTS)
    }
    message = Message(
        from_="shop@example.com",
        to=list(people),
        subject="News for {{ name }}",
        text=OURS,
        merge_data=people,
        attachments=[Attachment.from_bytes("news.pdf", BLOB)],
    )

    def mailer() -> int:
        with Mailer("null:") as sending:
            return sum(1 for _ in sending.compose_all(message))

    def by_hand() -> int:
        for address, values in list(people.items())[:20]:
            made = EmailMessage(policy=SMTP)
            made["From"], made["To"], made["Subject"] = "shop@example.com", address, f"News for {values['name']}"
            made.set_content(TEXT.format(**values))
            made.add_attachment(BLOB, maintype="application", subtype="pdf", filename="news.pdf")
            made.as_bytes()
        return 20

    figures = []
    for function in (mailer, by_hand):
        best = float("inf")
        for _ in range(5):
            start = time.process_time()
            count = function()
            best = min(best, (time.process_time() - start) / count * 1e6)
        figures.append(best)
    ours, theirs = figures
    print(f"\na personalised mail with 100 kB attached, composed for each of {RECIPIENTS}:")
    print(f"{ours:.0f} us a recipient (wanted: below 40); by hand {theirs:.0f} us, {theirs / ours:.0f}x")


def main() -> None:
    """Print both."""
    print(f"Python {sys.version.split()[0]}")
    rows_side_by_side()
    recipients_side_by_side()


if __name__ == "__main__":
    main()
