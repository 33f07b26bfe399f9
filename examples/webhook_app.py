"""A web app that hears what became of its mails, and does not write again to who bounced.

Runs as it stands: the provider is a fake that is started here, and its call of the webhook is made by hand. In an app
of yours mount ``webhooks`` in the framework, and give the provider its URL:
https://hook:SECRET@shop.example.com/webhooks/postmark.
"""

from __future__ import annotations

import base64
import json
import threading
import urllib.error
import urllib.request
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from mailer import Context, Mailer, Message
from mailer.plugins.suppression import Suppression
from mailer.testing import FakeRelay
from mailer.webhooks import WsgiWebhooks

SECRET = "hook:a-long-secret"
HELLO = Message(from_="shop@example.com", to="ann@gone.example", subject="Your order", text="It is on its way.")


def tell(context: Context) -> None:
    """Print what a provider told: here an app would look up the mail by its id."""
    if (event := context.event) is not None:
        print(f"{event.recipient}: {event.kind}, hard: {event.is_hard}, {event.code} {event.enhanced_code}")
        print(f"about mail {context.mail_id}")


def main() -> None:
    """Send, be told that it bounced, and try to send again."""
    with FakeRelay("postmark") as service, Mailer(service.url, plugins=[Suppression()]) as mailer:
        mailer.hooks.add_action("event", tell)
        webhooks = WsgiWebhooks(mailer, {"postmark": SECRET})
        receipt = mailer.send(HELLO)
        print(f"mail {receipt.id} is accepted as {receipt.provider_ids[0]}")

        told = {
            "RecordType": "Bounce",
            "Type": "HardBounce",
            "MessageID": receipt.provider_ids[0],
            "Email": "ann@gone.example",
            "Details": "smtp;550 5.1.1 The account does not exist",
            "BouncedAt": "2026-01-02T03:04:05Z",
            "Metadata": service.requests[-1].json["Metadata"],  # a provider repeats it
        }
        with make_server("127.0.0.1", 0, webhooks, handler_class=Quiet) as server:
            url = f"http://127.0.0.1:{server.server_port}/postmark"
            for secret in ("hook:guessed", SECRET):
                status = called(server, url, secret, told)
                print(f"with {'the' if secret == SECRET else 'a wrong'} secret: HTTP {status}")

        again = mailer.send(HELLO.with_(to=["ann@gone.example", "bob@example.org"]))
        for result in again.results:
            print(f"{result.address}: {result.outcome.value} {result.text}")


def called(server: Any, url: str, secret: str, told: dict[str, Any]) -> int:
    """Call the webhook once, as Postmark does; the status of its answer."""
    login = base64.b64encode(secret.encode()).decode()
    headers = {"Content-Type": "application/json", "Authorization": f"Basic {login}"}
    request = urllib.request.Request(url, json.dumps(told).encode(), headers)
    thread = threading.Thread(target=server.handle_request)
    thread.start()
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    finally:
        thread.join()


class Quiet(WSGIRequestHandler):
    """Logs no requests."""

    def log_message(self, *args: Any) -> None:
        """Nothing."""


if __name__ == "__main__":
    main()
