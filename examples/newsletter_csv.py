"""A newsletter from a CSV file and a template: by the command, in two goes, then the same from Python.

Runs as it stands: the server is a mailbox started here, where you would put your own URL. The files are in
``newsletter/`` beside this one.
"""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from mailer import Mailer, Message
from mailer.mailbox import Mailbox
from mailer.smtp.reply import Reply

FOLDER = Path(__file__).parent / "newsletter"
PEOPLE, TEMPLATES = FOLDER / "people.csv", FOLDER / "templates"
NO_SUCH_USER = {"RCPT *@gone.example": Reply(550, ("5.1.1 no such user",))}


def by_the_command(url: str, folder: str) -> None:
    """Send two mails, and the rest as another run that reads in the journal what the first has done."""
    command = [sys.executable, "-m", "mailer", "send", "--csv", str(PEOPLE), "--url", url]
    command += ["--from", "News <news@example.com>", "--template", "newsletter", "--templates", str(TEMPLATES)]
    command += ["--rate", "100/s", "--resume", "sent.journal", "--rejects", "rejects.csv"]
    for more in (["--limit", "2"], []):
        done = subprocess.run([*command, *more], cwd=folder, stdout=subprocess.PIPE, text=True)
        print(done.stdout, f"exit code {done.returncode}", sep="")
    print((Path(folder) / "rejects.csv").read_text(encoding="utf-8"), end="")


def letters() -> Iterator[Message]:
    """The messages, made one by one as they are sent; here it is you who finds duplicates and bad rows."""
    with PEOPLE.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["email"].startswith("ann@"):
                context = {"First_name": row["First name"], "plan": row["plan"], "renews": row["renews"]}
                yield Message(to=row["email"], template="newsletter", context=context)


def main() -> None:
    """Send the newsletter both ways."""
    with Mailbox(replies=NO_SUCH_USER) as mailbox, tempfile.TemporaryDirectory() as folder:
        by_the_command(mailbox.url, folder)
        print(f"the server has {len(mailbox.mails)} mails")
        with Mailer(mailbox.url, from_="News <news@example.com>", templates=TEMPLATES) as mailer:
            for receipt in mailer.send_many(letters()):
                print(f"from Python, message {receipt.message_index}: {receipt.results[0].outcome.value}")


if __name__ == "__main__":
    main()
