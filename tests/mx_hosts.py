"""Mail hosts on 127.0.0.x, one port for all, and a mailer for direct delivery to them by a DNS server of the tests'."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from worlds import World

from mailer import Message
from mailer.backends.mx import MxBackend
from mailer.dns import DnsClient
from mailer.mailbox import Mailbox
from mailer.smtp.endpoint import Timeouts
from mailer.testing import ScriptedServer
from mailer.testing.dns import DnsServer

__all__ = ["TIMEOUTS", "ZONE", "hosts", "message", "mx", "outcomes"]

ZONE = """
one.test 60 IN MX 10 mx1.one.test.
one.test 60 IN MX 20 mx2.one.test.
mx1.one.test 60 IN A 127.0.0.2
mx2.one.test 60 IN A 127.0.0.3
two.test 60 IN MX 10 mx.two.test.
mx.two.test 60 IN A 127.0.0.4
bare.test 60 IN A 127.0.0.4
null.test 60 IN MX 0 .
homeless.test 60 IN MX 10 mx.homeless.test.
mx.homeless.test 60 IN TXT "no address"
homeless.test 60 IN A 127.0.0.4
"""
TIMEOUTS = Timeouts(connect_s=5, command_s=10, final_s=10, total_s=30)


def message(*to: str, **more: Any) -> Message:
    return Message(**{"from_": "a@x.test", "to": list(to), "subject": "s", "text": "t\n", **more})


@contextlib.contextmanager
def mx(
    world: World, port: int, zone: str = ZONE, faults: Any = None, *, authentic: bool = False, **more: Any
) -> Iterator[Any]:
    """A mailer for direct delivery to this port, and the DNS server that it asks."""
    with DnsServer(zone, faults, authentic=authentic) as dns:
        client = DnsClient([dns.address])
        if callable(more.get("mta_sts")):
            more["mta_sts"] = more["mta_sts"](client)
        fields = {"timeouts": TIMEOUTS, "shuffle": lambda hosts: None, **more}
        backend = MxBackend(port=port, dns=client, **fields)
        with world.mailer(backend, retry=None) as mailer:
            mailer.dns = dns
            yield mailer


@contextlib.contextmanager
def hosts(*servers: str | ssl.SSLContext) -> Iterator[tuple[int, list[Any]]]:
    """Servers on these addresses, all on one port; each "mailbox", a mailbox with this TLS, or a script."""
    while True:
        with contextlib.ExitStack() as stack:
            port, made = 0, []
            try:
                for number, server in enumerate(servers):
                    host = f"127.0.0.{number + 2}"
                    made.append(_server(stack, server, host, port))
                    port = port or made[-1].port
            except OSError:  # somebody else has the port on one of them
                continue
            yield port, made
            return


def _server(stack: contextlib.ExitStack, kind: str | ssl.SSLContext, host: str, port: int) -> Any:
    if isinstance(kind, ssl.SSLContext):
        return stack.enter_context(Mailbox(host=host, port=port, tls=kind))
    if kind == "mailbox":
        return stack.enter_context(Mailbox(host=host, port=port))
    if kind == "refused":
        closed = stack.enter_context(contextlib.closing(socket.socket()))
        closed.bind((host, port))
        return SimpleNamespace(port=closed.getsockname()[1])
    return stack.enter_context(ScriptedServer(kind, host=host, port=port))


def outcomes(receipt: Any) -> list[tuple[str, str, str | None]]:
    return [(r.address.addr_spec, r.outcome.value, r.enhanced_code) for r in receipt.results]
