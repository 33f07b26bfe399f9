"""Celery's app of ``test_tasks.py``: its worker loads it, and its caller runs it as a program."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from celery import Celery, Task

from mailer import DeliveryDeferred, DeliveryRefused, Mailer, Message

MAILER = Mailer(os.environ["APP_URL"], retry=None)
MAILER.send(Message(from_="shop@example.com", to="master@example.org", headers={"X-Process": str(os.getpid())}))

app = Celery("shop", broker=os.environ["APP_BROKER"], backend=os.environ["APP_BROKER"])
app.conf.update(
    task_acks_late=True,
    broker_connection_retry_on_startup=True,
    result_serializer=os.environ.get("APP_RESULTS", "json"),
    accept_content=["json", "pickle"],
)


@app.task(name="send", bind=True, autoretry_for=(DeliveryDeferred,), max_retries=3, default_retry_delay=0)
def send(self: Task, data: Mapping[str, Any]) -> dict[str, Any]:
    """Send a message that came as JSON; the key is the task's, so it is the same on every try of it."""
    message = Message.from_dict(data).with_(idempotency_key=self.request.id, headers={"X-Process": str(os.getpid())})
    return MAILER.send(message).to_dict()


def main() -> None:
    """Give it mails to the addresses of the command line, wait, and print what became of each."""
    messages = [Message(from_="shop@example.com", to=to, subject="s", text="t") for to in sys.argv[1:]]
    asked = [send.delay(message.to_dict()) for message in messages]
    for result in asked:
        try:
            told = result.get(timeout=60)
            print(json.dumps({"id": told["id"], "outcomes": [one["outcome"] for one in told["results"]]}))
        except DeliveryRefused as error:
            [refused] = error.receipt.rejected
            print(json.dumps({"error": type(error).__name__, "code": refused.code, "to": str(refused.address)}))
    app.conf.task_always_eager = True
    print(json.dumps({"eager": send.delay(messages[0].to_dict()).get()["results"][0]["outcome"]}))


if __name__ == "__main__":
    main()
