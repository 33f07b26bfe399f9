"""One app, other backends in each environment: ``mailer.toml`` has a section for each, MAILER_ENV says which holds.

Runs as it stands, in a folder of its own, once for each section. With MAILER_URL in your environment that is the
backend instead: ``MAILER_URL=null: python environments.py``
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import mailer
from mailer import Message
from mailer.mailbox import Mailbox

SETTINGS = """
url = "console:"
from = "Shop <shop@example.com>"

[mailers.news]
from = "News <news@example.com>"

[test]
url = "memory:"

[staging]
url = "file:staging"

# The first server is down (nothing listens on port 1): the second one takes over.
[production]
url = "failover(smtp://127.0.0.1:1?tls=none {server})"

[production.mailers.news]
url = "null:"
"""


def confirm_order(customer: str) -> None:
    """What the app does. It knows of no backend."""
    receipt = mailer.send(Message(to=customer, subject="Your order", text="It is on its way.\n"))
    print(f"the order is {receipt.results[0].outcome.value} by {receipt.backend}")


def send_newsletter(customer: str) -> None:
    """By a mailer of its own, where there is one."""
    receipt = mailer.get("news").send(Message(to=customer, subject="News", text="There is none.\n"))
    print(f"the news are {receipt.results[0].outcome.value} by {receipt.backend}")


def run(environment: str) -> None:
    """What happens in one environment."""
    print(f"\n{environment}:")
    os.environ["MAILER_ENV"] = environment
    mailer.configure()  # reads mailer.toml and checks all of it; not needed, but fails early
    confirm_order("Ann <ann@example.org>")
    send_newsletter("Ann <ann@example.org>")
    mailer.close()


def main() -> None:
    """Run once in each environment."""
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as folder, Mailbox() as mailbox:
        os.chdir(folder)
        try:
            Path("mailer.toml").write_text(SETTINGS.format(server=mailbox.url), encoding="utf-8")
            for environment in ("test", "staging", "production"):
                run(environment)
            files = list(Path("staging").glob("*.eml"))
            print(f"\nstaging has {len(files)} files, production {len(mailbox.mails)} mail")
        finally:
            os.chdir(before)


if __name__ == "__main__":
    main()
