"""SMTP, side by side in one run: ``python tests/benchmarks/smtp.py [--quick] [row ...]``; the rows are those of `ROWS`.

The sink is Postfix' ``smtp-sink``; a round trip is made by a proxy of our own, in a process of its own. A message is
2 kB of text and html, other ones for each, composed fresh. Peers that are not installed are named, not guessed. Here is
an environment with all of them; Django 6.1 needs Python 3.12::

    python3.13 -m venv /opt/mailer-peers/bench
    /opt/mailer-peers/bench/bin/pip install -e '.[test]' aiosmtplib
    npm install --prefix /opt/mailer-peers/node nodemailer
    apt-get install postfix                                    # smtp-sink, smtp-source, and itself
    /opt/mailer-peers/bench/bin/python tests/benchmarks/smtp.py

What is measured is the ``mailer`` that this file lies beside, whatever is installed. Postfix is started as root only;
without it CHUNKING is measured against the tests' own server, and the row says so.

Each figure is the best of ``--rounds``, the contestants taking turns, so that noise hits all alike. Seconds are of this
machine and moment; the ratios are what counts, and what each row is held to stands beside it. CPU is this process's
own, user and system, so that it hardly depends on who else works here.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
import resource
import shutil
import smtplib
import socket
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, make_msgid
from functools import partial
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent.parent)]

from mailer import AsyncMailer, Attachment, Mailer, Message  # noqa: E402

TEXT = ("This is a line of plain text, as an order confirmation has many of them.\n" * 14)[:1000]
HTML = ("<p>This is a <b>paragraph</b> of html, as an order confirmation has many.</p>\n" * 14)[:1000]
SENDER, SUBJECT = "shop@example.com", "Your order"
OPTIONS = "tls=none&max_messages=1000000&max_age=86400"
BIG = 25_000_000


# --- servers ----------------------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@contextlib.contextmanager
def running(command: list[str], port: int) -> Iterator[int]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.02)
        yield port
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def sink() -> Iterator[int]:
    program, port = shutil.which("smtp-sink", path=f"{os.environ['PATH']}:/usr/sbin"), free_port()
    if program is None:
        sys.exit("smtp-sink is missing: it comes with Postfix")
    as_user = ["-u", "nobody"] if os.geteuid() == 0 else []
    with running([program, *as_user, f"127.0.0.1:{port}", "200"], port) as listening:
        yield listening


@contextlib.contextmanager
def delayed(target: int, round_trip_s: float) -> Iterator[int]:
    """A port before the target; each direction takes half of the round trip."""
    port = free_port()
    with running([sys.executable, __file__, "--proxy", f"{port},{target},{round_trip_s}"], port) as listening:
        yield listening


async def proxy(port: int, target: int, round_trip_s: float) -> None:
    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        due: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def late() -> None:
            while True:
                at, data = await due.get()
                await asyncio.sleep(max(0.0, at - loop.time()))
                if not data:
                    break
                writer.write(data)
                await writer.drain()
            with contextlib.suppress(OSError, RuntimeError):
                writer.write_eof()

        task = asyncio.create_task(late())
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 18):
                due.put_nowait((loop.time() + round_trip_s / 2, data))
        due.put_nowait((loop.time() + round_trip_s / 2, b""))
        with contextlib.suppress(OSError):
            await task

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_connection("127.0.0.1", target)
        for each in (writer, ours):
            each.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.gather(pump(reader, ours), pump(theirs, writer))
        for each in (writer, ours):
            each.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    await server.serve_forever()


@contextlib.contextmanager
def chunking_server() -> Iterator[tuple[int, str]]:
    """A real Postfix that drops what it takes; else the tests' own server. Its port and name."""
    sys.path[:0] = [str(HERE.parent), str(HERE.parent / "real")]
    program = shutil.which("postfix", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None or os.geteuid() != 0:
        from rules import Rules, RuleServer

        with RuleServer(Rules(offers=("PIPELINING", "CHUNKING", "8BITMIME"))) as server:
            yield server.port, "our own scripted server, no Postfix here"
        return
    import peers

    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        folder.chmod(0o755)
        config = peers._subfolder(folder, "config")
        main = {
            "compatibility_level": "3.6",
            "queue_directory": peers._subfolder(folder, "queue"),
            "data_directory": peers._subfolder(folder, "data", owner="postfix"),
            "maillog_file": folder / "postfix.log",
            "maillog_file_prefixes": folder,
            "myhostname": "mx.test.invalid",
            "mydestination": "",
            "mynetworks": "127.0.0.0/8",
            "alias_maps": "",
            "inet_interfaces": "127.0.0.1",
            "inet_protocols": "ipv4",
            "smtpd_peername_lookup": "no",
            "disable_dns_lookups": "yes",
            "default_transport": "discard:",
            "smtpd_client_message_rate_limit": "0",
            "smtpd_relay_restrictions": "permit_mynetworks, reject",
        }
        (config / "main.cf").write_text("".join(f"{key} = {value}\n" for key, value in main.items()))
        services = peers._POSTFIX_SERVICES + "discard unix - - n - - discard\n"
        (config / "master.cf").write_text(f"127.0.0.1:{port} inet n - n - - smtpd\n{services}")
        subprocess.run([program, "-c", str(config), "start"], check=True, capture_output=True)
        try:
            peers._wait_for_greeting(port, log=folder / "postfix.log")
            tell = [program.removesuffix("fix") + "conf", "-c", str(config), "-h", "mail_version"]
            version = subprocess.run(tell, capture_output=True, text=True, check=False)
            yield port, f"Postfix {version.stdout.strip()}"
        finally:
            subprocess.run([program, "-c", str(config), "stop"], check=False, capture_output=True)


# --- contestants: (port, number of messages, recipients of each) -> None ----------------------------------------------


def recipients(number: int, many: int) -> list[str]:
    return [f"user{number}n{index}@example.org" for index in range(many)]


def texts(number: int) -> tuple[str, str]:
    """No two messages say the same."""
    return f"Order {number}\n{TEXT}", f"<h1>Order {number}</h1>\n{HTML}"


def messages(count: int, many: int = 1) -> Iterator[Message]:
    for number in range(count):
        text, html = texts(number)
        yield Message(from_=SENDER, to=recipients(number, many), subject=SUBJECT, text=text, html=html)


def standard(number: int, many: int) -> EmailMessage:
    message = EmailMessage(policy=SMTP)
    message["From"], message["To"], message["Subject"] = SENDER, ", ".join(recipients(number, many)), SUBJECT
    message["Date"], message["Message-ID"] = formatdate(), make_msgid(domain="example.com")
    text, html = texts(number)
    message.set_content(text)
    message.add_alternative(html, subtype="html")
    return message


def ours_many(port: int, count: int, many: int = 1, **options: Any) -> None:
    with Mailer(f"smtp://127.0.0.1:{port}?{OPTIONS}") as mailer:
        assert sum(receipt.ok for receipt in mailer.send_many(messages(count, many), **options)) == count


def ours_one(port: int, count: int, many: int = 1) -> None:
    with Mailer(f"smtp://127.0.0.1:{port}?{OPTIONS}") as mailer:
        for message in messages(count, many):
            mailer.send(message)


def ours_async(port: int, count: int, many: int = 1, **options: Any) -> None:
    async def work() -> int:
        async with AsyncMailer(f"smtp://127.0.0.1:{port}?{OPTIONS}") as mailer:
            return sum([receipt.ok async for receipt in mailer.send_many(messages(count, many), **options)])

    assert asyncio.run(work()) == count


def with_smtplib(port: int, count: int, many: int = 1) -> None:
    with smtplib.SMTP("127.0.0.1", port) as client:
        for number in range(count):
            client.send_message(standard(number, many))


def with_aiosmtplib(port: int, count: int, many: int = 1) -> None:
    import aiosmtplib

    async def work() -> None:
        async with aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False, use_tls=False) as client:
            for number in range(count):
                await client.send_message(standard(number, many))

    asyncio.run(work())


def _django_message(connection: Any, number: int, many: int) -> Any:
    from django.core.mail import EmailMultiAlternatives

    text, html = texts(number)
    message = EmailMultiAlternatives(SUBJECT, text, SENDER, recipients(number, many), connection=connection)
    message.attach_alternative(html, "text/html")
    return message


def _django_connection(port: int) -> Any:
    from django.conf import settings

    if not settings.configured:
        settings.configure()
    from django.core.mail.backends.smtp import EmailBackend

    return EmailBackend(host="127.0.0.1", port=port)


def with_django(port: int, count: int, many: int = 1) -> None:
    connection = _django_connection(port)
    assert connection.send_messages([_django_message(connection, number, many) for number in range(count)]) == count


def with_django_each(port: int, count: int, many: int = 1) -> None:
    for number in range(count):
        _django_message(_django_connection(port), number, many).send()


NODE = """
const nodemailer = require('nodemailer');
if (NODELAY) {
  const {Socket} = require('net'), connect = Socket.prototype.connect;
  Socket.prototype.connect = function (...args) { return connect.apply(this, args).setNoDelay(true); };
}
const [port, count, many] = process.argv.slice(1).map(Number);
const pool = nodemailer.createTransport({host: '127.0.0.1', port, secure: false, ignoreTLS: true, pool: true,
  maxConnections: 1, maxMessages: Infinity});
const text = TEXT, html = HTML;
(async () => {
  const started = process.hrtime.bigint();
  const sends = [];
  for (let n = 0; n < count; n++) {
    const to = Array.from({length: many}, (_, i) => `user${n}n${i}@example.org`);
    sends.push(pool.sendMail({from: 'shop@example.com', to, subject: 'Your order',
      text: `Order ${n}\n` + text, html: `<h1>Order ${n}</h1>\n` + html}));
  }
  await Promise.all(sends);
  console.log(Number(process.hrtime.bigint() - started) / 1e9);
  pool.close();
})();
"""


def with_nodemailer(node: str, no_delay: bool, port: int, count: int, many: int = 1) -> float:
    """Its own seconds: the start of Node is not counted.

    Args:
        no_delay: Turn Nagle's algorithm off, as it does not by itself: its last two writes of a mail otherwise wait for
            the sink's delayed acknowledgement, 40 ms.
    """
    script = NODE.replace("TEXT", json.dumps(TEXT)).replace("HTML", json.dumps(HTML))
    script = script.replace("NODELAY", json.dumps(no_delay))
    done = subprocess.run(
        ["node", "-e", script, str(port), str(count), str(many)],
        cwd=node,
        env={**os.environ, "NODE_PATH": f"{node}/node_modules"},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


def with_smtp_source(program: str, port: int, count: int, many: int = 1) -> None:
    command = [program, "-d", "-s", "1", "-l", "2500", "-m", str(count), "-r", str(many), "-f", SENDER]
    subprocess.run([*command, "-t", "user@example.org", f"127.0.0.1:{port}"], check=True, capture_output=True)


def with_sockets(port: int, count: int, many: int = 1) -> None:
    """No client, but the ceiling of any in Python: bytes made before, a write and the reads that it takes for each."""
    envelope = f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<user@example.org>\r\nDATA\r\n".encode()
    mail = b"Subject: x\r\n\r\n" + (b"x" * 70 + b"\r\n") * 34 + b".\r\n" + envelope
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for step, replies in ((b"", 1), (b"HELO x.example.com\r\n", 1), (envelope, 3), *[(mail, 4)] * count):
            client.sendall(step)
            while replies > 0:
                replies -= client.recv(65536).count(b"\n")


# --- measuring --------------------------------------------------------------------------------------------------------

Contestant = Callable[[int, int, int], float | None]


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


@dataclass(frozen=True)
class Goal:
    """How often faster than a peer ours is to be; 0.0 only shows the peer.

    Attributes:
        ratio: 2.0 is twice.
        share: Of the messages that ours sends, how many the peer sends, where it takes long.
    """

    ratio: float
    share: float = 1.0


@dataclass
class Bench:
    """Who is here, how long to measure, and the lines of the table so far."""

    rounds: int
    scale: float
    node: str
    missing: list[str] = field(default_factory=list)
    verdicts: list[tuple[str, str, str, str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._all: dict[str, Contestant] = {"smtplib": with_smtplib, "bare sockets, nothing composed": with_sockets}
        for module, name, contestant in (
            ("django", "Django", with_django),
            ("django", "Django, a connection each", with_django_each),
            ("aiosmtplib", "aiosmtplib", with_aiosmtplib),
        ):
            try:
                __import__(module)
            except ImportError:
                self.missing.append(name)
            else:
                self._all[name] = contestant
        if shutil.which("node") and Path(self.node, "node_modules", "nodemailer").is_dir():
            self._all["Nodemailer"] = partial(with_nodemailer, self.node, False)
            self._all["Nodemailer, Nagle off"] = partial(with_nodemailer, self.node, True)
        else:
            self.missing.append("Nodemailer")
        program = shutil.which("smtp-source", path=f"{os.environ['PATH']}:/usr/sbin")
        if program:
            self._all["smtp-source"] = partial(with_smtp_source, program)
        else:
            self.missing.append("smtp-source")

    def add(self, name: str, contestant: Contestant) -> None:
        self._all[name] = contestant

    def compare(
        self,
        title: str,
        port: int,
        number: int,
        ours: Contestant,
        goals: dict[str, Goal],
        *,
        many: int = 1,
        rounds: int = 0,
    ) -> None:
        """Time all, and print how often ours is faster than each."""
        number = max(4, round(number * self.scale))
        field_ = {"ours": ours, **{name: self._all[name] for name in goals if name in self._all}}
        best: dict[str, float] = {}
        best_cpu: dict[str, float] = {}
        for contestant in field_.values():
            contestant(port, 1, many)  # what is loaded on first use is not counted
        for _ in range(rounds or self.rounds):
            for name, contestant in field_.items():
                count = number if name == "ours" else max(4, round(number * goals[name].share))
                started, used = time.perf_counter(), cpu_s()
                own = contestant(port, count, many)
                took = (own if own is not None else time.perf_counter() - started) / count
                best[name] = min(best.get(name, took), took)
                best_cpu[name] = min(best_cpu.get(name, 9e9), (cpu_s() - used) / count)
        print(f"\n{title} ({number} messages)")
        print(f"  {'ours':32s} {best['ours'] * 1e3:9.3f} ms a message   CPU {best_cpu['ours'] * 1e6:7.0f} us")
        for name, goal in goals.items():
            if name not in best:
                print(f"  {name:32s}  not here")
                self.verdicts.append((title, name, "", f"{goal.ratio:g}x", "NOT MEASURED"))
                continue
            in_process = f"   CPU {best_cpu[name] * 1e6:7.0f} us" if best_cpu[name] > 20e-6 else ""
            ratio = best[name] / best["ours"]
            print(f"  {name:32s} {best[name] * 1e3:9.3f} ms   {ratio:7.2f}x{in_process}")
            if goal.ratio:
                self.hold(title, name, ratio, goal.ratio)

    def hold(self, title: str, against: str, ratio: float, goal: float, unit: str = "x") -> None:
        """Put down a figure that was to reach a goal (or, with a goal below 0, to stay below it)."""
        reached = ratio < -goal if goal < 0 else ratio >= goal
        off = abs(ratio / abs(goal) - 1) * 100
        wanted = f"< {-goal:g} {unit}" if goal < 0 else f"{goal:g}{unit}"
        verdict = "reached" if reached else f"MISSED by {off:.0f} %"
        self.verdicts.append((title, against, f"{ratio:.2f}{' ' if goal < 0 else ''}{unit}", wanted, verdict))

    def table(self) -> None:
        """All that was held to a goal, a line each."""
        print("\n| measure | against | reached | wanted | |\n|---|---|---|---|---|")
        for line in self.verdicts:
            print(f"| {' | '.join(line)} |")


def loopback(bench: Bench) -> None:
    goals = {
        "Django": Goal(10, 0.1),
        "aiosmtplib": Goal(10, 0.1),
        "smtplib": Goal(10, 0.1),
        "Nodemailer": Goal(6, 0.02),
        "Nodemailer, Nagle off": Goal(6, 0.3),
        "smtp-source": Goal(0.8),
        "bare sockets, nothing composed": Goal(0),
    }
    with sink() as port:
        bench.compare("loopback, one connection, send_many", port, 3000, ours_many, goals)


def one_at_a_time(bench: Bench) -> None:
    with sink() as port:
        goals = {"Django, a connection each": Goal(12, 0.2)}
        bench.compare("loopback, send one at a time", port, 1000, ours_one, goals)


def far_data(bench: Bench) -> None:
    with sink() as near, delayed(near, 0.05) as port:
        goals = {"smtplib": Goal(4, 0.1), "Nodemailer": Goal(2, 0.1)}
        bench.compare("50 ms round trip, one connection, DATA", port, 200, ours_many, goals, rounds=1)


def far_chunking(bench: Bench) -> None:
    with chunking_server() as (near, name), delayed(near, 0.05) as port:
        title = f"50 ms round trip, one connection, CHUNKING, {name}"
        bench.compare(title, port, 1600, ours_many, {"smtplib": Goal(40, 0.0125)}, rounds=2)


def fifty_recipients(bench: Bench) -> None:
    with sink() as near, delayed(near, 0.05) as port:
        goals = {"smtplib": Goal(25, 0.1)}
        title = "50 recipients in one message, 50 ms round trip"
        bench.compare(title, port, 40, ours_many, goals, many=50, rounds=1)


def large(bench: Bench) -> None:
    data = os.urandom(BIG)
    with sink() as port, tempfile.NamedTemporaryFile(suffix=".bin") as file:
        file.write(data)
        file.flush()

        def ours(at: int, count: int, _: int) -> None:
            with Mailer(f"smtp://127.0.0.1:{at}?{OPTIONS}") as mailer:
                for _ in range(count):
                    attachment = Attachment.from_path(file.name)
                    mailer.send(
                        Message(from_=SENDER, to="a@example.org", subject="s", text="t", attachments=[attachment])
                    )

        def theirs(at: int, count: int, _: int) -> None:
            with smtplib.SMTP("127.0.0.1", at) as client:
                for number in range(count):
                    message = standard(number, 1)
                    blob = Path(file.name).read_bytes()
                    message.add_attachment(blob, maintype="application", subtype="octet-stream", filename="blob.bin")
                    client.send_message(message)

        bench.add("smtplib, 25 MB", theirs)
        title = "25 MB attachment from disk"
        bench.compare(title, port, 4, ours, {"smtplib, 25 MB": Goal(3)}, rounds=2)
        tracemalloc.start()
        base = tracemalloc.get_traced_memory()[0]
        ours(port, 1, 1)
        peak = (tracemalloc.get_traced_memory()[1] - base) / 1e6
        tracemalloc.stop()
        print(f"  our peak memory over the base {peak:.1f} MB")
        bench.hold(title, "our peak memory over the base", peak, -8.0, "MB")


def eight_connections(bench: Bench) -> None:
    """A sink that answers after 20 ms: so eight connections should do eight times as much."""
    print("\n8 connections to a sink that answers after 20 ms")
    count = max(80, round(400 * bench.scale))
    with sink() as near, delayed(near, 0.02) as port:
        for name, contestant in (("blocking, threads", ours_many), ("asyncio", ours_async)):
            took = {}
            for concurrency in (1, 8):
                started = time.perf_counter()
                contestant(port, count * concurrency // 8, concurrency=concurrency)
                took[concurrency] = (time.perf_counter() - started) / (count * concurrency // 8)
            ratio = took[1] / took[8]
            print(f"  {name:32s} {took[8] * 1e3:9.3f} ms   {ratio:7.2f}x one connection")
            bench.hold("8 connections, answers after 20 ms", f"one connection, {name}", ratio, 6.4)


def flat(bench: Bench) -> None:
    """The cost of a message, in user and system time of this process, at 10, 1,000 and 100,000."""
    print("\nCPU time of a message, by how many are sent")
    costs = []
    with sink() as port:
        ours_many(port, 200)
        for count in (10, 1000, round(100_000 * bench.scale)):
            gc.collect()  # what the rows before left is not this one's to clear away
            before = resource.getrusage(resource.RUSAGE_SELF)
            ours_many(port, count)
            after = resource.getrusage(resource.RUSAGE_SELF)
            user, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
            print(f"  {count:7d} messages   user {user / count * 1e6:7.1f} us   system {system / count * 1e6:7.1f} us")
            costs.append(user / count)
    title = f"CPU a message of {count}"
    bench.hold(title, "of 1000, user time: no more than a tenth above", costs[-1] / costs[1], -1.1)


ROWS: dict[str, Callable[[Bench], None]] = {
    "loopback": loopback,
    "one": one_at_a_time,
    "data": far_data,
    "chunking": far_chunking,
    "recipients": fifty_recipients,
    "large": large,
    "eight": eight_connections,
    "flat": flat,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", choices=[[], *ROWS], help="which rows; all if none is named")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="0.1 sends a tenth of the messages")
    parser.add_argument("--quick", action="store_true", help="a tenth of the messages, one round: rough figures")
    parser.add_argument("--node", default="/opt/mailer-peers/node", help="the folder with Nodemailer's node_modules")
    parser.add_argument("--proxy", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.proxy:
        port, target, seconds = arguments.proxy.split(",")
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(proxy(int(port), int(target), float(seconds)))
        return
    if arguments.quick:
        arguments.rounds, arguments.scale = 1, 0.1
    bench = Bench(arguments.rounds, arguments.scale, arguments.node)
    versions = [f"Python {sys.version.split()[0]}"]
    with contextlib.suppress(ImportError):
        import django

        versions.append(f"Django {django.__version__}")
    print(", ".join(versions), *(f"; not here: {', '.join(bench.missing)}" if bench.missing else ""), sep="")
    for name in arguments.rows or ROWS:
        ROWS[name](bench)
    bench.table()


if __name__ == "__main__":
    main()
