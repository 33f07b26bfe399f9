"""DKIM: two keys for a domain, the records to publish, and signed mails.

Run it: it starts a server, and shows the signatures that the server got.
"""

from __future__ import annotations

import re

from mailer import HookError, Mailer, Message
from mailer.dkim import DkimKey
from mailer.plugins.dkim import Dkim
from mailer.testing import SmtpServer

# Once: make the keys ("mailer dkim keygen" writes them to files), and publish their records.
RSA = DkimKey.generate("example.com", "mail2026")
ED25519 = DkimKey.generate("example.com", "mail2026-ed25519", "ed25519")

# In production: DkimKey.parse("example.com", "mail2026", pem), or settings below plugins.dkim.
DKIM = Dkim(keys=[RSA, ED25519])


def tags(signature: str) -> dict[str, str]:
    """The tags of a DKIM-Signature field."""
    parts = (tag.partition("=") for tag in signature.split(";"))
    return {name.strip(): re.sub(r"\s", "", value) for name, _, value in parts}


def main() -> None:
    for key in (RSA, ED25519):
        print(f"publish {key.dns_name} TXT {key.dns_record}")
    with SmtpServer() as server, Mailer(server.url, from_="Shop <shop@example.com>", plugins=[DKIM]) as mailer:
        mailer.send(Message(to="ann@example.org", subject="Order 7", text="Thank you!"))
        mailer.send_raw("From: shop@example.com\r\nTo: ann@example.org\r\nSubject: Grüße\r\n\r\nGrüße!\r\n".encode())
        for mail in server.mails:
            signed = [tags(str(field)) for field in mail.message.get_all("DKIM-Signature", ())]
            print(f"{mail.message['Subject']}: " + ", ".join(f"{one['a']} {one['d']}/{one['s']}" for one in signed))
        print(f"both say bh={signed[0]['bh']}: {signed[0]['bh'] == signed[1]['bh']}")
        try:
            mailer.send(Message(from_="a@example.net", to="ann@example.org", subject="Hi", text="Not ours"))
        except HookError as error:
            print(f"a mail From a@example.net: {error}")


if __name__ == "__main__":
    main()
