"""Dramatiq's actors of ``test_tasks.py``: its workers load them, and their caller runs it as a program.

Without ``APP_BROKER`` the broker is Dramatiq's own for tests, and the workers are threads of the caller's.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.brokers.stub import StubBroker
from dramatiq.middleware import CurrentMessage
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend, StubBackend

from mailer import DeliveryDeferred, Mailer, Message

MAILER = Mailer(os.environ["APP_URL"], retry=None)
MAILER.send(Message(from_="shop@example.com", to="master@example.org", headers={"X-Process": str(os.getpid())}))

BROKER_URL = os.environ.get("APP_BROKER")
broker = RedisBroker(url=BROKER_URL) if BROKER_URL else StubBroker()
broker.add_middleware(CurrentMessage())
broker.add_middleware(Results(backend=RedisBackend(url=BROKER_URL) if BROKER_URL else StubBackend()))
dramatiq.set_broker(broker)


def is_to_be_tried_again(retries: int, error: BaseException) -> bool:
    """Only what was deferred; what is unknown may have arrived, and what was refused stays so."""
    return isinstance(error, DeliveryDeferred) and retries < 3


@dramatiq.actor(store_results=True, min_backoff=1, max_backoff=1, retry_when=is_to_be_tried_again)
def send(data: Mapping[str, Any]) -> dict[str, Any]:
    """Send a message that came as JSON."""
    current = CurrentMessage.get_current_message()
    message = Message.from_dict(data).with_(idempotency_key=current.message_id, headers={"X-Process": str(os.getpid())})
    return MAILER.send(message).to_dict()


def main() -> None:
    """Give it mails to the addresses of the command line, wait, and print what became of each."""
    worker = None if BROKER_URL else dramatiq.Worker(broker, worker_timeout=100, worker_threads=4)
    if worker is not None:
        worker.start()
    messages = [Message(from_="shop@example.com", to=to, subject="s", text="t") for to in sys.argv[1:]]
    for asked in [send.send(message.to_dict()) for message in messages]:
        try:
            told = asked.get_result(block=True, timeout=60_000)
            print(json.dumps({"id": told["id"], "outcomes": [one["outcome"] for one in told["results"]]}))
        except dramatiq.results.ResultFailure as error:
            print(json.dumps({"error": error.orig_exc_type}))
    if worker is not None:
        worker.stop()


if __name__ == "__main__":
    main()
