"""A DNS server on loopback, UDP and TCP, with a zone in text; and with faults. Its messages are dnspython's (``dns``).

::

    with DnsServer("one.test 60 IN MX 10 mx.one.test.\\nmx.one.test 60 IN A 127.0.0.2") as server:
        backend = MxBackend(dns=DnsClient([server.address]), port=2525)
"""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from typing import Any, Self

from ..errors import ConfigError

try:
    import dns.flags
    import dns.message
    import dns.rcode
    import dns.rrset
except ImportError as error:
    raise ConfigError("mailer.testing.dns needs dnspython: pip install 'mailwright[dns]'") from error

__all__ = ["DnsServer"]


def _both() -> tuple[socket.socket, socket.socket]:
    """A TCP and a UDP socket with one port number."""
    while True:
        tcp = socket.create_server(("127.0.0.1", 0))
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            udp.bind(tcp.getsockname())
        except OSError:  # somebody else's: another number
            tcp.close()
            udp.close()
            continue
        return tcp, udp


class DnsServer:
    """Answers from a zone; a context manager.

    Args:
        zone: Lines of "name TTL IN TYPE data". A name that owns nothing is NXDOMAIN.
        faults: (name, type) to what to do: "servfail", "refused", "silent", "junk", "forged" (a false answer first,
            with another id), "truncated" (cut within a record, with TC, so that it is asked by TCP), "tcp cut" (and TCP
            ends within the answer).
        authentic: Set the AD bit.

    Attributes:
        unsigned: Names whose answers have no AD bit all the same.
        asked: (name, type, "udp" or "tcp") in order.
    """

    def __init__(
        self, zone: str = "", faults: dict[tuple[str, str], str] | None = None, *, authentic: bool = False
    ) -> None:
        self.records: dict[tuple[str, str], list[str]] = {}
        for line in zone.split("\n"):
            if line.strip():
                name, ttl, _, kind, data = line.split(None, 4)
                self.records.setdefault((name.lower(), kind), []).append(f"{ttl} {data}")
        self.faults = faults or {}
        self.authentic = authentic
        self.unsigned: set[str] = set()
        self.asked: list[tuple[str, str, str]] = []
        self._tcp, self._udp = _both()
        self.address: tuple[str, int] = self._tcp.getsockname()
        self._ending = False
        self._threads = [threading.Thread(target=serve, daemon=True) for serve in (self._serve_udp, self._serve_tcp)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending = True
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wake:
            wake.sendto(b"", self.address)
        with contextlib.suppress(OSError):
            socket.create_connection(self.address, 5).close()
        for thread in self._threads:
            thread.join(10)
        self._udp.close()
        self._tcp.close()

    def _serve_udp(self) -> None:
        while True:
            wire, peer = self._udp.recvfrom(65535)
            if self._ending:
                return
            for answer in self._answers(wire, "udp"):
                self._udp.sendto(answer, peer)

    def _serve_tcp(self) -> None:
        while True:
            connection, _ = self._tcp.accept()
            with connection:
                if self._ending:
                    return
                connection.settimeout(5)
                with contextlib.suppress(OSError):
                    received = connection.recv(65535)
                    for answer in self._answers(received[2:], "tcp"):
                        framed = len(answer).to_bytes(2, "big") + answer
                        half = len(framed) // 2
                        connection.sendall(framed[:half])
                        if "tcp cut" not in self.faults.values():
                            connection.sendall(framed[half:])

    def _answers(self, wire: bytes, by: str) -> list[bytes]:
        query: Any = dns.message.from_wire(wire)
        question = query.question[0]
        name, kind = question.name.to_text().lower().rstrip("."), dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind, by))
        fault = self.faults.get((name, kind), "")
        if fault == "silent":
            return []
        if fault == "junk":
            return [b"", b"\xff" * 40, wire[:5]]
        reply = dns.message.make_response(query, recursion_available=True)
        if self.authentic and name not in self.unsigned:
            reply.flags |= dns.flags.AD
        if fault in ("servfail", "refused"):
            reply.set_rcode(dns.rcode.SERVFAIL if fault == "servfail" else dns.rcode.REFUSED)
            return [reply.to_wire()]
        if fault in ("truncated", "tcp cut") and by == "udp":
            reply.flags |= dns.flags.TC
            self._fill(reply, name, kind)
            return [reply.to_wire()[:-3]]
        self._fill(reply, name, kind)
        answers = [reply.to_wire()]
        if fault == "forged":
            forged = dns.message.make_response(query)
            forged.id = query.id ^ 1
            forged.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, "10 evil.test."))
            answers.insert(0, forged.to_wire())
        return answers

    def _fill(self, reply: Any, name: str, kind: str) -> None:
        for _ in range(12):
            for wanted in (kind, "CNAME"):
                if data := self.records.get((name, wanted)):
                    ttl = int(data[0].split()[0])
                    texts = [text.partition(" ")[2] for text in data]
                    reply.answer.append(dns.rrset.from_text(f"{name}.", ttl, "IN", wanted, *texts))
                    break
            else:
                break
            if wanted == kind:
                return
            name = texts[0].rstrip(".").lower()
        reply.authority.append(
            dns.rrset.from_text("test.", 300, "IN", "SOA", "ns.test. root.test. 1 3600 600 86400 60")
        )
        if not any(owner == name for owner, _ in self.records):
            reply.set_rcode(dns.rcode.NXDOMAIN)
