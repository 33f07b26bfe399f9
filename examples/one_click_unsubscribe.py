"""One-click unsubscribe: a link of each recipient's own, the page it leads to, and no mail to who has clicked.

Run it: it starts a mail server and a web server, sends, clicks as a mail program does, and sends again.
"""

from __future__ import annotations

import http.client
import threading
from typing import Any
from urllib.parse import urlsplit
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from mailer import Context, Mailer, Message, Plugin
from mailer.plugins.list_unsubscribe import ListUnsubscribe
from mailer.plugins.suppression import Suppression
from mailer.suppression import MemorySuppressionList
from mailer.testing import SmtpServer
from mailer.unsubscribe_app import UnsubscribeApp


class Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class has it
        pass


def asked(method: str, url: str, body: str | None = None) -> int:
    """The status that a request gets."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    connection.request(method, parts.path, body, {"Content-Type": "application/x-www-form-urlencoded"})
    status = connection.getresponse().status
    connection.close()
    return status


def show(context: Context) -> None:
    if context.event is not None:
        print(f"the event: {context.event.kind} {context.event.recipient} from {context.event.tags}")


def main() -> None:
    suppressed = MemorySuppressionList()  # SqliteSuppressionList(path), where there are several processes
    news = [
        Message(to=to, subject="News", text="News!", tags=["news"]) for to in ("ann@example.org", "bob@example.org")
    ]
    with SmtpServer() as server, WSGIServer(("127.0.0.1", 0), Quiet) as web:
        plugin = ListUnsubscribe(
            url=f"http://127.0.0.1:{web.server_port}/unsubscribe",  # https, but on this machine
            secret="a secret of 32 characters or more, from the settings",
            tags=["news"],
        )
        plugins: list[Plugin[Any]] = [plugin, Suppression(list=suppressed)]
        with Mailer(server.url, from_="shop@example.com", plugins=plugins) as mailer:
            mailer.hooks.add_action("event", show)
            # In Django, Flask or FastAPI: mounted at /unsubscribe; app.asgi under ASGI.
            app: UnsubscribeApp = plugin.app(mailer)
            web.set_app(app.wsgi)
            threading.Thread(target=web.serve_forever, daemon=True).start()

            for receipt in mailer.send_many(news):
                print(f"{receipt.results[0].address}: {receipt.results[0].outcome.value}")
            link = str(server.mails[0].message["List-Unsubscribe"]).strip("<>")
            print(f"GET: {asked('GET', link)}, {len(suppressed)} suppressed")
            print(f"POST: {asked('POST', link, 'List-Unsubscribe=One-Click')}, {len(suppressed)} suppressed")
            print(f"a link that was changed: {asked('POST', link[:-1] + '!', 'List-Unsubscribe=One-Click')}")
            for receipt in mailer.send_many(news):
                [result] = receipt.results
                print(f"{result.address}: {result.outcome.value}" + (f", {result.text}" if receipt.rejected else ""))
            web.shutdown()


if __name__ == "__main__":
    main()
