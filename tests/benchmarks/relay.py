"""Relays, side by side in one run: ``python tests/benchmarks/relay.py [--quick] [row ...]``; rows are those of `ROWS`.

The service is a Postmark on loopback, in a process of its own, which hardly reads the mails. A message is 2 kB of text
and html, other ones for each. django-anymail is measured where it is installed: each mail by a backend of its own (as
``message.send()`` does), all by one that is open, and, where all get the same, in its batches::

    python3.12 -m venv /opt/mailer-peers/bench
    /opt/mailer-peers/bench/bin/pip install -e . 'django-anymail[postmark]'
    /opt/mailer-peers/bench/bin/python tests/benchmarks/relay.py

How it is measured stands in ``smtp.py``, whose table this prints. A round trip takes no time here: over a real network
what batches save is more.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent)]

from smtp import HTML, SENDER, SUBJECT, TEXT, Bench, Goal, free_port, messages, recipients, running, texts  # noqa: E402

from mailer import AsyncMailer, Mailer, Message  # noqa: E402

MANY = 10_000


# --- the service ------------------------------------------------------------------------------------------------------


class Service(asyncio.Protocol):
    """HTTP/1.1, kept alive: takes a POST of a mail, or of a list of mails; a GET says how many POSTs there were."""

    requests = 0

    def __init__(self) -> None:
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._data += data
        while True:
            head, found, rest = self._data.partition(b"\r\n\r\n")
            fields = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:])
            length = int(fields.get(b"content-length", 0)) if found else 0
            if not found or len(rest) < length:
                return
            body, self._data = rest[:length], rest[length:]
            if head.startswith(b"POST"):
                Service.requests += 1
            self._transport.write(answer(body))


TO = re.compile(rb'"To": ?"([^"]+)"')
ITEM = b'{"To":"%s","SubmittedAt":"2026-01-01T00:00:00Z","MessageID":"0a1b","ErrorCode":0,"Message":"OK"}'


def answer(body: bytes) -> bytes:
    """It hardly reads them: what is measured is the client."""
    content = b"%d" % Service.requests
    if body:
        items = b",".join([ITEM % to for to in TO.findall(body)])
        content = b"[%s]" % items if body.startswith(b"[") else items
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
        len(content),
        content,
    )


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Service, "127.0.0.1", port)
    await server.serve_forever()


@contextlib.contextmanager
def service() -> Iterator[int]:
    port = free_port()
    with running([sys.executable, __file__, "--server", str(port)], port) as listening:
        yield listening


def requests_at(port: int) -> int:
    """How many there were so far."""
    client = http.client.HTTPConnection("127.0.0.1", port)
    client.request("GET", "/")
    count = int(client.getresponse().read())
    client.close()
    return count


# --- contestants: (port, number of messages, recipients of each) -> None ----------------------------------------------


def url(port: int) -> str:
    return f"postmark://TOKEN@127.0.0.1:{port}?scheme=http"


def ours_many(port: int, count: int, many: int = 1, **options: Any) -> None:
    with Mailer(url(port)) as mailer:
        assert sum(receipt.ok for receipt in mailer.send_many(messages(count, many), **options)) == count


def ours_one(port: int, count: int, many: int = 1) -> None:
    with Mailer(url(port)) as mailer:
        for message in messages(count, many):
            mailer.send(message)


def ours_async(port: int, count: int, many: int = 1) -> None:
    async def work() -> int:
        async with AsyncMailer(url(port)) as mailer:
            return sum([receipt.ok async for receipt in mailer.send_many(messages(count, many))])

    assert asyncio.run(work()) == count


def ours_same(port: int, count: int, many: int = 1) -> None:
    """All get the same, and nobody sees another."""
    same = Message(from_=SENDER, subject=SUBJECT, text=TEXT, html=HTML)
    with Mailer(url(port)) as mailer:
        sent = mailer.send_many(same.with_(to=recipients(number, 1)) for number in range(count))
        assert sum(receipt.ok for receipt in sent) == count


def _anymail(port: int) -> Any:
    from django.conf import settings

    if not settings.configured:
        settings.configure(ANYMAIL={"POSTMARK_SERVER_TOKEN": "TOKEN"})
    from anymail.backends.postmark import EmailBackend

    return EmailBackend(api_url=f"http://127.0.0.1:{port}/")


def _anymail_message(connection: Any, to: list[str], text: str, html: str, **more: Any) -> Any:
    from anymail.message import AnymailMessage

    message = AnymailMessage(SUBJECT, text, SENDER, to, connection=connection, **more)
    message.attach_alternative(html, "text/html")
    return message


def with_anymail_each(port: int, count: int, many: int = 1) -> None:
    for number in range(count):
        assert _anymail_message(_anymail(port), recipients(number, many), *texts(number)).send() == 1


def with_anymail(port: int, count: int, many: int = 1) -> None:
    with _anymail(port) as connection:
        those = [_anymail_message(connection, recipients(number, many), *texts(number)) for number in range(count)]
        assert connection.send_messages(those) == count


def with_anymail_batches(port: int, count: int, many: int = 1) -> None:
    """What its ``merge_data`` is for: one text to all, in requests of 500."""
    with _anymail(port) as connection:
        for start in range(0, count, 500):
            to = [recipients(number, 1)[0] for number in range(start, min(start + 500, count))]
            assert _anymail_message(connection, to, TEXT, HTML, merge_data={}).send() == 1


# --- rows -------------------------------------------------------------------------------------------------------------


def requests(bench: Bench) -> None:
    count = round(MANY * bench.scale)
    with service() as port:
        before = requests_at(port)
        ours_many(port, count)
        made = requests_at(port) - before
    print(f"\n{count} messages: {made} requests")
    bench.hold(f"{count} messages, requests", "one for 500", made / -(-count // 500), -1.001)


def many(bench: Bench) -> None:
    goals = {"anymail, a backend each": Goal(10, 0.05), "anymail, one connection": Goal(3, 0.05)}
    with service() as port:
        bench.compare("send_many, no two the same", port, MANY, ours_many, goals)


def same(bench: Bench) -> None:
    with service() as port:
        goals = {"anymail, its batches": Goal(3)}
        bench.compare("send_many, all get the same", port, MANY, ours_same, goals)


def one_at_a_time(bench: Bench) -> None:
    goals = {"anymail, a backend each": Goal(0, 0.5), "anymail, one connection": Goal(0, 0.5)}
    with service() as port:
        bench.compare("send one at a time", port, 1000, ours_one, goals)


def asynchronous(bench: Bench) -> None:
    with service() as port:
        bench.compare("send_many under asyncio", port, MANY, ours_async, {"anymail, one connection": Goal(3, 0.05)})


def flat(bench: Bench) -> None:
    """The most memory that a process of its own has had, after a thousand and after all."""
    print("\nPeak memory of a process")
    peaks = []
    with service() as port:
        for count in (1000, max(2000, round(MANY * bench.scale))):
            command = [sys.executable, __file__, "--peak", f"{port},{count}"]
            peaks.append(float(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
            print(f"  {count:7d} messages   {peaks[-1] / 1e6:7.1f} MB")
    bench.hold(f"peak memory, {count} messages", "1000: no more than a twentieth above", peaks[1] / peaks[0], -1.05)


ROWS: dict[str, Callable[[Bench], None]] = {
    "requests": requests,
    "many": many,
    "same": same,
    "one": one_at_a_time,
    "async": asynchronous,
    "flat": flat,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", choices=[[], *ROWS], help="which rows; all if none is named")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="0.1 sends a tenth of the messages")
    parser.add_argument("--quick", action="store_true", help="a tenth of the messages, one round: rough figures")
    parser.add_argument("--server", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.server:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(serve(arguments.server))
        return
    if arguments.peak:
        ours_many(*map(int, arguments.peak.split(",")))
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
        return
    if arguments.quick:
        arguments.rounds, arguments.scale = 1, 0.1
    bench = Bench(arguments.rounds, arguments.scale, "")
    here = f"Python {sys.version.split()[0]}"
    try:
        import anymail
        import django
    except ImportError:
        print(f"{here}; not here: django-anymail")
    else:
        print(f"{here}, Django {django.__version__}, django-anymail {'.'.join(map(str, anymail.VERSION))}")
        bench.add("anymail, a backend each", with_anymail_each)
        bench.add("anymail, one connection", with_anymail)
        bench.add("anymail, its batches", with_anymail_batches)
    for name in arguments.rows or ROWS:
        ROWS[name](bench)
    bench.table()


if __name__ == "__main__":
    main()
