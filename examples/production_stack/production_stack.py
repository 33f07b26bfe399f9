"""A whole set-up out of one settings file: ``mailer.toml`` beside this has routes, rates, DKIM, a log and alerts.

Runs as it stands, in a folder of its own: the environment says where the servers are, as it would in production; here
they are started for the run, and the first of the two SMTP servers is down (nothing listens on port 1).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from pathlib import Path

import mailer
from mailer import DeliveryError, Message
from mailer.dkim import DkimKey
from mailer.plugins.log import Log
from mailer.testing import FakeRelay, SmtpServer

HERE = Path(__file__).parent


def app() -> None:
    """What the app does. It knows of none of this."""
    orders = [Message(to=f"{name}@example.org", subject="Your order", text="Thank you.\n") for name in ("ann", "bob")]
    for receipt in mailer.get().send_many(orders):
        print(f"order: {receipt.results[0].outcome.value}")

    news = mailer.send(Message(to="ann@example.org", subject="News", text="Tea is back.\n", tags=["news"]))
    print(f"news: {news.results[0].outcome.value} as {news.results[0].provider_id}")

    many = [Message(to=f"reader{n}@big.example", subject="Your order", text="Thank you.\n") for n in range(12)]
    outcomes = [receipt.results[0].outcome.value for receipt in mailer.get().send_many(many)]
    print(f"to one domain: {outcomes.count('accepted')} accepted, {outcomes.count('deferred')} deferred")

    try:
        mailer.send(Message(to="nobody@example.org", subject="Your order", text="Thank you.\n"))
    except DeliveryError as error:
        print(f"to nobody: {error.receipt.results[0].outcome.value}")


@contextmanager
def set_up(**environ: str) -> Iterator[None]:
    """A folder with the settings and a key, an environment, and back."""
    before, kept = os.getcwd(), dict(os.environ)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        shutil.copy(HERE / "mailer.toml", "mailer.toml")
        Path("dkim.pem").write_text(DkimKey.generate("example.com", "mail2026").private_pem(), encoding="ascii")
        os.environ |= environ
        try:
            yield
        finally:
            mailer.close()
            os.environ.clear()
            os.environ |= kept
            os.chdir(before)


def main() -> None:
    """Start the servers, run the app, and look what came of it."""
    with SmtpServer() as second, SmtpServer() as ops, FakeRelay("mailgun") as provider:
        second.on("RCPT", "nobody@example.org").reply("550 5.1.1 no such user")
        servers = {
            "MAILER_URL": f"failover(smtp://127.0.0.1:1?tls=none {second.url})?rest=60",
            "MAILER_MAILERS__NEWS__URL": f"{provider.url}&api=mime",
            "MAILER_PLUGINS__ALERTS__URL": ops.url,
        }
        with set_up(**servers):
            mailer.configure()
            app()
            plugin = mailer.get().plugins["log"]
            assert isinstance(plugin, Log)
            mailer.close()  # the log and the alerts have what they were told
            entries = plugin.log.search(limit=100)
            print(f"the log has {len(entries)} entries, {len(plugin.log.search(outcome='rejected'))} of them rejected")

        signed = sum(b"DKIM-Signature: v=1; a=rsa-sha256;" in mail.content for mail in second.mails)
        print(f"the second server has {len(second.mails)} mails, {signed} signed")
        signed = sum(b"DKIM-Signature: v=1; a=rsa-sha256;" in request.content for request in provider.requests)
        print(f"the provider has {len(provider.requests)}, {signed} signed")
        for mail in ops.mails:
            print(f"the operators were told: {message_from_bytes(mail.content)['Subject']}")


if __name__ == "__main__":
    main()
