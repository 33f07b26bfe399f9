"""A link that is cut again and again, between our client and a real Postfix: nothing is lost, and nothing arrives twice
but what a receipt called UNKNOWN and was sent again for that."""

from __future__ import annotations

import collections
import email
import random
import select
import socket
import struct
import threading
import uuid
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import pytest
from worlds import World

import mailer

from .peers import HOST, Peer

pytestmark = pytest.mark.real

_BLOCK_BYTES = 16384
_MEAN_BYTES = 40_000
_ROUNDS = 300


class CutLink:
    """A proxy on loopback that cuts its connections, by FIN or by RST, until it has done so often enough.

    Args:
        to: The port it leads to.
        cuts: How often; connections are left alone after that.

    Attributes:
        port: Its own.
        cuts: How often it has.
    """

    def __init__(self, to: int, cuts: int) -> None:
        self.cuts = 0
        self._to, self._wanted, self._random = to, cuts, random.Random(cuts)
        self._threads: list[threading.Thread] = []
        self._listening = socket.create_server((HOST, 0))
        self.port: int = self._listening.getsockname()[1]

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(60)
        self._listening.close()

    def _start(self, function: Any, *arguments: Any) -> None:
        thread = threading.Thread(target=function, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):  # shut down
            while True:
                self._start(self._carry, self._listening.accept()[0])

    def _carry(self, client: socket.socket) -> None:
        with client, socket.create_connection((HOST, self._to)) as server, suppress(OSError):
            other, left = {client: server, server: client}, {}
            if self.cuts < self._wanted:
                # Replies are a tenth of what they answer, so that now and then one of them is what is cut.
                for end, mean_bytes in ((client, _MEAN_BYTES), (server, _MEAN_BYTES // 10)):
                    left[end] = round(self._random.expovariate(1 / mean_bytes))
            reading = set(other)
            while reading:
                for end in select.select(list(reading), [], [])[0]:
                    block = end.recv(_BLOCK_BYTES)
                    if not block:
                        reading.remove(end)
                        other[end].shutdown(socket.SHUT_WR)
                    elif end in left and len(block) >= left[end]:
                        other[end].sendall(block[: left[end]])
                        self._cut(client, server)
                        return
                    else:
                        other[end].sendall(block)
                        if end in left:
                            left[end] -= len(block)

    def _cut(self, *ends: socket.socket) -> None:
        self.cuts += 1
        if self._random.random() < 0.5:
            for end in ends:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_nothing_is_lost_and_only_what_is_unknown_arrives_twice(postfix: Peer, world: World) -> None:
    count, cuts = (10_000, 200) if world.name == "blocking" else (1_000, 20)
    token = uuid.uuid4().hex
    mails = {
        number: mailer.Message(
            from_="shop@example.com",
            to=f"{number}@example.org",
            subject=f"{number}",
            text="x" * 300,
            message_id=f"<{number}.{token}@example.com>",
        )
        for number in range(count)
    }
    doubts: collections.Counter[int] = collections.Counter()
    outcomes: collections.Counter[mailer.Outcome] = collections.Counter()
    with CutLink(postfix.port, cuts) as link:
        url = postfix.url.replace(f":{postfix.port}", f":{link.port}")
        with world.mailer(url) as client:
            for _ in range(_ROUNDS):
                for number, receipt in zip(list(mails), client.send_many(list(mails.values())), strict=True):
                    [result] = receipt.results
                    outcomes[result.outcome] += 1
                    if result.outcome is mailer.Outcome.ACCEPTED:
                        del mails[number]
                    elif result.outcome is mailer.Outcome.UNKNOWN:
                        doubts[number] += 1
                    else:
                        assert result.outcome is mailer.Outcome.DEFERRED
                if not mails:
                    break
    assert not mails
    assert link.cuts >= cuts
    assert postfix.settle is not None
    postfix.settle()
    stored = postfix.received(count, having=token.encode())
    copies = collections.Counter(int(email.message_from_bytes(mail)["Subject"]) for mail in stored)
    print(f"{world.name}: {link.cuts} cuts, {dict(outcomes)}, {len(stored) - count} arrived twice")
    assert sorted(copies) == list(range(count))
    assert {number: n for number, n in copies.items() if n > 1 + doubts[number]} == {}
