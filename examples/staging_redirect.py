"""Staging: everything goes to one inbox, but for who is allowed; production is the same code without the setting.

Run it: it starts a server, and shows what the server got.
"""

from __future__ import annotations

import os

from mailer import Mailer, Message, Settings
from mailer.testing import SmtpServer

# What mailer.toml would hold: the table [staging] counts where MAILER_ENV is "staging".
SETTINGS = {
    "from": "Shop <shop@example.com>",
    "staging": {
        "plugins": {
            "redirect": {
                "to": "Staging <staging@example.com>",
                "allow": ["@qa.example.com"],
                "allow_pattern": r"test\+\d+@example\.org",
            }
        }
    },
}

ORDERS = [
    Message(to="Ann <ann@example.org>", bcc="books@example.com", subject="Order 7", text="Thank you!"),
    Message(to="tess@qa.example.com", subject="Order 8", text="Thank you!"),
    Message(
        to=["test+1@example.org", "bob@example.net"], bcc="books@example.com", subject="Order 9", text="Thank you!"
    ),
]


def main() -> None:
    with SmtpServer() as server:
        for env in ("staging", "production"):
            os.environ["MAILER_ENV"] = env
            with Mailer(settings=Settings({"url": server.url, **SETTINGS, "production": {}})) as mailer:
                for _ in mailer.send_many(ORDERS):
                    pass
            print(f"{env}:")
            for mail in server.mails:
                print(f"  {mail.message['Subject']} went to {', '.join(mail.recipients)}")
                for name, value in mail.message.items():
                    if name.startswith("X-Original"):
                        print(f"    {name}: {value}")
            server.clear()


if __name__ == "__main__":
    main()
