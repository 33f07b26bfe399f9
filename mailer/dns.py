"""DNS for mail: MX, addresses, TXT, TLSA, asked over the runtime's sockets. Messages are dnspython's (extra ``dns``).

A stub resolver: it asks the recursive servers that it is given (else those of /etc/resolv.conf), by UDP and, where an
answer is cut short, by TCP. What cannot be learnt now is an exception; that there is nothing is an answer.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from .clock import monotonic_s
from .errors import ConfigError, ConnectError, DeadlineExceeded, TransportError
from .race import interleaved
from .runtime import AddrInfo
from .smtp.dane import Tlsa

if TYPE_CHECKING:
    import dns.message

    from .runtime import Runtime

__all__ = ["Answer", "DnsClient", "Mx", "Tlsa"]

#: What one server is given to answer, and how often all are asked, as resolv.conf's own defaults are.
_TRY_S = 3.0
_ROUNDS = 2
_MAX_CNAMES = 8
_CACHE_SIZE = 2000
_MAX_TTL_S = 3600.0
_UDP_BYTES = 1232  # fits every path without fragments (DNS flag day 2020)


@dataclass(frozen=True, slots=True)
class Mx:
    """One MX record: the host, in lower case without a final dot ("" is the root), and its preference, 0-65535."""

    preference: int
    host: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What there is of a type at a name.

    Attributes:
        status: "found"; "none", the name has no such records; "missing", there is no such name.
        records: :class:`Mx`, :class:`Tlsa`, or str (addresses, texts).
        is_authentic: A validating resolver that we trust vouches for it by DNSSEC.
        name: Where the aliases lead, in lower case without a final dot: the name asked for, if it is none itself.
    """

    status: Literal["found", "none", "missing"]
    records: tuple[Any, ...] = ()
    is_authentic: bool = False
    name: str = field(default="", compare=False)


class DnsClient:
    """Asks DNS servers.

    Args:
        servers: (address, port) of recursive servers; None reads /etc/resolv.conf at the first question.
        trusts_ad: Believe their word that an answer is authentic. None does so where all of them are on this machine,
            as nobody stands between (RFC 4035 section 4.9.3).
        clock: Seconds, for how long answers are kept.
    """

    def __init__(
        self,
        servers: Sequence[tuple[str, int]] | None = None,
        *,
        trusts_ad: bool | None = None,
        clock: Callable[[], float] = monotonic_s,
    ) -> None:
        try:
            import dns.message  # noqa: F401 - that it is there
        except ImportError as error:
            raise ConfigError("DNS needs dnspython: pip install 'mailwright[dns]'") from error
        self._servers = None if servers is None else tuple(servers)
        self._trusts_ad = trusts_ad
        self._clock = clock
        self._cache: dict[tuple[str, str], tuple[float, Answer]] = {}

    # --- questions ----------------------------------------------------------------------------------------------------

    async def look_up(self, runtime: Runtime, name: str, kind: str, deadline: float) -> Answer:
        """The records of a type ("MX", "A", "AAAA", "TXT", "TLSA") at a name, following aliases.

        Args:
            name: With A-labels; the final dot may be left out.

        Raises:
            ConnectError: No server gave an answer that can be used (SERVFAIL, bogus DNSSEC, junk): try again later.
            DeadlineExceeded: None came in time.
        """
        key = (name.lower().rstrip("."), kind)
        kept = self._cache.get(key)
        if kept is not None and kept[0] > self._clock():
            return kept[1]
        answer, ttl_s = await self._asked(runtime, key[0], kind, deadline)
        if len(self._cache) >= _CACHE_SIZE:
            self._cache.clear()
        self._cache[key] = self._clock() + min(ttl_s, _MAX_TTL_S), answer
        return answer

    async def addresses(self, runtime: Runtime, host: str, port: int, deadline: float) -> Sequence[AddrInfo]:
        """The addresses of a host, IPv6 and IPv4 in turn, IPv6 first (RFC 8305 section 4); none if it has none.

        Raises:
            ConnectError, DeadlineExceeded: As :meth:`look_up`, if neither kind could be learnt.
        """
        return (await self.located(runtime, host, port, deadline))[0]

    async def located(
        self, runtime: Runtime, host: str, port: int, deadline: float
    ) -> tuple[Sequence[AddrInfo], bool, str]:
        """The same, whether DNSSEC vouches for all of them, and the name that they stand at, where aliases lead."""
        found: list[AddrInfo] = []
        failure: TransportError | None = None
        is_authentic, name = True, host
        # Some servers leave AAAA unanswered: that is not to use up the time for A (RFC 4074 section 4.1).
        half = runtime.now() + (deadline - runtime.now()) / 2
        for kind, family, until in (("AAAA", socket.AF_INET6, half), ("A", socket.AF_INET, deadline)):
            try:
                answer = await self.look_up(runtime, host, kind, until)
            except TransportError as error:
                failure = error
                continue
            tail = (0, 0) if family == socket.AF_INET6 else ()
            found += [AddrInfo(family, (address, port, *tail)) for address in answer.records]
            is_authentic = is_authentic and answer.is_authentic
            name = answer.name if answer.records else name
        if failure is not None and not found:
            raise failure
        return interleaved(found), is_authentic, name

    @property
    def is_trusted(self) -> bool:
        """Whether its servers' word that an answer is authentic is taken."""
        self._recursive_servers()
        return bool(self._trusts_ad)

    # --- one question -------------------------------------------------------------------------------------------------

    async def _asked(self, runtime: Runtime, name: str, kind: str, deadline: float) -> tuple[Answer, float]:
        import dns.exception
        import dns.flags
        import dns.message

        try:
            query = dns.message.make_query(f"{name}.", kind, use_edns=0, payload=_UDP_BYTES)
        except (dns.exception.DNSException, ValueError, UnicodeError) as error:
            raise ConnectError(f"{name!r} cannot be asked for in DNS: {error}") from error
        query.flags |= dns.flags.AD  # RFC 6840 section 5.7: tell us whether it is authentic
        reasons: dict[str, None] = {}
        last: Exception | None = None
        for _ in range(_ROUNDS):
            for server in self._recursive_servers():
                if runtime.now() >= deadline:
                    raise DeadlineExceeded(f"DNS: no answer about {name} {kind} in time ({'; '.join(reasons)})")
                try:
                    reply = await self._exchange(runtime, server, query, min(deadline, runtime.now() + _TRY_S))
                    return self._read(reply, name, kind)
                except (OSError, TransportError, dns.exception.DNSException, ValueError) as error:
                    last = error
                    reasons[f"{server[0]}: {error or type(error).__name__}"] = None
        raise ConnectError(f"DNS: {name or '.'} {kind} cannot be learnt now ({'; '.join(reasons)})") from last

    def _recursive_servers(self) -> Sequence[tuple[str, int]]:
        if self._servers is None:
            import dns.exception
            import dns.resolver

            try:
                found = dns.resolver.Resolver()
                self._servers = tuple((str(server), found.port) for server in found.nameservers)
            except (dns.exception.DNSException, OSError) as error:
                raise ConfigError(f"/etc/resolv.conf names no DNS server: {error}") from error
        if self._trusts_ad is None:
            self._trusts_ad = all(address.startswith("127.") or address == "::1" for address, _ in self._servers)
        return self._servers

    async def _exchange(
        self, runtime: Runtime, server: tuple[str, int], query: dns.message.Message, deadline: float
    ) -> dns.message.Message:
        import dns.flags
        import dns.message

        wire = query.to_wire()
        family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
        # Connected, so that only this server can answer; a fresh socket has a fresh port, which is hard to guess.
        with contextlib.closing(socket.socket(family, socket.SOCK_DGRAM)) as sock:
            sock.setblocking(False)
            sock.connect(server)
            sock.send(wire)
            while True:
                await runtime.wait_readable(sock, deadline)
                try:
                    received = sock.recv(65535)
                except BlockingIOError:
                    continue
                with contextlib.suppress(Exception):  # a forged or broken datagram: the true one may still come
                    # The question first: the rest of an answer that was cut short may not parse (RFC 2181 section 9).
                    reply = dns.message.from_wire(received, question_only=True)
                    if query.is_response(reply):
                        if not reply.flags & dns.flags.TC:
                            reply = dns.message.from_wire(received, ignore_trailing=True)
                        break
        if not reply.flags & dns.flags.TC:
            return reply
        return await self._exchange_tcp(runtime, server, query, wire, deadline)

    async def _exchange_tcp(
        self,
        runtime: Runtime,
        server: tuple[str, int],
        query: dns.message.Message,
        wire: bytes,
        deadline: float,
    ) -> dns.message.Message:
        import dns.message

        from .stream import Stream

        stream = await Stream.connect(runtime, server[0], server[1], deadline=deadline)
        try:
            await stream.send_all(len(wire).to_bytes(2, "big") + wire, deadline=deadline)
            received = b""
            while len(received) < 2 or len(received) < 2 + int.from_bytes(received[:2], "big"):
                block = await stream.receive(65535, deadline=deadline)
                if not block:
                    raise TransportError("the connection ended within an answer")
                received += block
        finally:
            stream.close()
        reply = dns.message.from_wire(received[2 : 2 + int.from_bytes(received[:2], "big")])
        if not query.is_response(reply):
            raise TransportError("an answer to another question")
        return reply

    # --- reading an answer --------------------------------------------------------------------------------------------

    def _read(self, reply: dns.message.Message, name: str, kind: str) -> tuple[Answer, float]:
        """The answer and how long it may be kept. Raises ConnectError for SERVFAIL and its like."""
        import dns.flags
        import dns.rcode
        import dns.rdatatype

        code = reply.rcode()
        if code not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            raise ConnectError(dns.rcode.to_text(code))
        authentic = bool(self._trusts_ad) and bool(reply.flags & dns.flags.AD)
        wanted = dns.rdatatype.from_text(kind)
        owner = reply.question[0].name
        ttl_s = _MAX_TTL_S
        for _ in range(_MAX_CNAMES):
            here = [rrset for rrset in reply.answer if rrset.name == owner]
            for rrset in here:
                if rrset.rdtype == wanted:
                    records = tuple(_record(kind, rdata) for rdata in rrset)
                    return Answer("found", records, authentic, _name(owner)), min(ttl_s, rrset.ttl)
            alias = next((rrset for rrset in here if rrset.rdtype == dns.rdatatype.CNAME), None)
            if alias is None:
                break
            owner, ttl_s = alias[0].target, min(ttl_s, alias.ttl)
        else:
            raise ConnectError(f"{name} has more than {_MAX_CNAMES} aliases")
        soa = next((rrset for rrset in reply.authority if rrset.rdtype == dns.rdatatype.SOA), None)
        # RFC 2308 section 5; without an SOA a negative answer is not kept.
        kept_s = min(soa.ttl, soa[0].minimum) if soa is not None else 0.0
        status: Literal["missing", "none"] = "missing" if code == dns.rcode.NXDOMAIN else "none"
        return Answer(status, (), authentic, _name(owner)), min(ttl_s, kept_s)


def _name(found: Any) -> str:
    return str(found.to_text()).lower().rstrip(".")


def _record(kind: str, rdata: Any) -> Any:
    if kind == "MX":
        return Mx(rdata.preference, _name(rdata.exchange))  # "." is the root: a null MX (RFC 7505)
    if kind == "TLSA":
        return Tlsa(rdata.usage, rdata.selector, rdata.mtype, bytes(rdata.cert))
    if kind == "TXT":
        return b"".join(rdata.strings).decode("utf-8", "replace")
    return rdata.to_text()
