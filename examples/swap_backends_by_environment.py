"""One app, another backend in each environment: only MAILER_URL differs.

Runs as it stands, once for each of the URLs below, as development, tests, staging and production would set them. With
MAILER_URL in your environment it runs once, with that: ``MAILER_URL=console:``
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from mailer import Mailer, Message
from mailer.mailbox import Mailbox


def confirm_order(mailer: Mailer, customer: str) -> None:
    """What the app does. It knows of no backend."""
    receipt = mailer.send(Message(to=customer, subject="Your order", text="It is on its way.\n"))
    [result] = receipt.results
    print(f"{result.outcome.value} by {receipt.backend} ({result.text})")


def run() -> None:
    """What the app's start does: ``Mailer()`` reads MAILER_URL and MAILER_FROM."""
    with Mailer() as mailer:
        confirm_order(mailer, "Ann <ann@example.org>")


def main() -> None:
    """Run with the environment's backend, or with one after the other."""
    os.environ.setdefault("MAILER_FROM", "Shop <shop@example.com>")
    if os.environ.get("MAILER_URL"):
        return run()
    with tempfile.TemporaryDirectory() as folder, Mailbox() as mailbox:
        environments = {
            "development": "console:",
            "tests": "memory:",
            "staging": f"file:{folder}/staging?format=eml",
            "production": mailbox.url,
            # The first server is down (nothing listens on port 1): the second one takes over.
            "production, two servers": f"failover(smtp://127.0.0.1:1?tls=none {mailbox.url})",
        }
        for name, url in environments.items():
            os.environ["MAILER_URL"] = url
            print(f"\n{name}:")
            run()
        print(
            f"staging has {len(list(Path(folder).glob('staging/*.eml')))} file, production {len(mailbox.mails)} mails"
        )
    return None


if __name__ == "__main__":
    main()
