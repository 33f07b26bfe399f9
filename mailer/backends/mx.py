"""``mx://``: straight to the recipients' own servers, without a relay in between (RFC 5321 section 5)."""

from __future__ import annotations

import functools
import ipaddress
import random
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..address import Address
from ..errors import ConfigError, MailerError, Outcome, TlsError, TransportError, UnsupportedFeature
from ..features import Features
from ..mail import Mail
from ..proxy import Proxy
from ..receipt import Receipt
from ..smtp.command import helo_name
from ..smtp.endpoint import Endpoint, Timeouts
from ..smtp.route import NoRoute, hosts_for
from ..tally import Tally
from ..verdict import VERDICTS, Scope
from .base import Backend, Health, called, carry
from .options import BackendURL, choice, flag, ip_addresses, seconds, text
from .smtp import SmtpBackend

if TYPE_CHECKING:
    from ..dns import DnsClient
    from ..runtime import AddrInfo, Runtime

__all__ = ["MxBackend", "mx_from_url"]

#: RFC 5321 section 4.5.3.2: a server on the other side of the world may be this slow, and nobody waits for a page.
_TIMEOUTS = Timeouts(connect_s=30.0, command_s=300.0, final_s=600.0, total_s=1800.0)
#: Hosts tried for one domain in one attempt; more are left for the next (Postfix: smtp_mx_session_limit).
_MAX_HOSTS = 5
_MAX_KEPT_HOSTS = 100
#: What another host of the domain may do better.
_MOVES_ON = {
    (Outcome.DEFERRED, Scope.HOST),
    (Outcome.DEFERRED, Scope.SESSION),
    (Outcome.DEFERRED, Scope.ACCOUNT),
    (Outcome.REJECTED, Scope.HOST),
}


class MxBackend(Backend):
    """Sends each recipient's mail to the servers that their domain names in DNS.

    Recipients of one domain share a transaction. The hosts of the best preference come first, equal ones in random
    order; another is tried when one cannot be reached or will not talk, and not when it has answered for the recipient.
    TLS is used wherever it is offered, the certificate is not checked, and a host whose TLS fails is spoken to without
    (RFC 7435): what goes between strangers is protected from listening, not from lying.

    Attributes:
        port: 25, but for tests.
        helo: What EHLO says; receivers expect a name whose address leads back here.
        concurrency: Domains served at once for one mail.
        source_address: IP addresses of this machine to connect from, at most one of each family; (): any.
        proxy: By way of which hosts are reached; None: straight. DNS is asked straight.
    """

    features = Features(notify=True, require_tls=True, deliver_by=True, mt_priority=True)
    is_group = True  # what it tries are hosts, each with its own attempt on the receipt

    def __init__(
        self,
        *,
        helo: str = "",
        source_address: str | Sequence[str] = (),
        proxy: str | Proxy | None = None,
        port: int = 25,
        tls: str = "opportunistic",
        concurrency: int = 1,
        timeouts: Timeouts = _TIMEOUTS,
        dns: DnsClient | None = None,
        shuffle: Callable[[list[str]], None] = random.shuffle,
        url: str = "mx:",
    ) -> None:
        if tls not in ("opportunistic", "required", "none"):
            raise ConfigError(f"mx: tls={tls!r}: must be one of opportunistic, required, none")
        if dns is None:
            from ..dns import DnsClient as Client

            dns = Client()
        self.helo = helo
        self.source_address = _sources(source_address)
        self.proxy = Proxy.parse(proxy) if isinstance(proxy, str) else proxy
        self.port = port
        self.concurrency = concurrency
        self.url = url
        self._tls = tls
        self._timeouts = timeouts
        self._dns = dns
        self._shuffle = shuffle
        self._hosts: OrderedDict[tuple[str, str], SmtpBackend] = OrderedDict()
        self._cut_short: dict[str, Receipt] = {}

    async def send(self, mail: Mail) -> Receipt:
        """One attempt for every domain."""
        deadline = self.runtime.now() + self._timeouts.total_s
        domains: dict[str, list[Address]] = {}
        for address in mail.envelope.recipients:
            domains.setdefault(address.ascii.rpartition("@")[2].lower(), []).append(address)
        whole = Tally(mail)
        tallies = [Tally(whole.mail_to(group) or mail) for group in domains.values()]
        jobs = [
            functools.partial(self._to_domain, domain, tally, deadline)
            for domain, tally in zip(domains, tallies, strict=True)
        ]
        try:
            for failure in await self.runtime.gather(jobs, self.concurrency):
                if failure is not None:
                    raise failure
        except BaseException:
            for tally in tallies:
                whole.add(tally.receipt())
            self._cut_short[mail.id] = whole.receipt()
            raise
        for tally in tallies:
            whole.add(tally.receipt())
        return whole.receipt()

    def settled(self, mail: Mail) -> Receipt:
        """What was known when the send was cut short."""
        return self._cut_short.pop(mail.id, None) or super().settled(mail)

    async def check(self) -> Health:
        """Nothing can be known before there is a recipient, but that DNS answers."""
        try:
            answer = await self._dns.look_up(self.runtime, "", "NS", self.runtime.now() + self._timeouts.connect_s)
        except MailerError as error:
            return Health(ok=False, backend=self.url, cause=error)
        facts = {"dns": answer.status, "helo": self.helo or "the local address as a literal"}
        return Health(ok=True, backend=self.url, facts=facts)

    async def close(self) -> None:
        """Close the connections to all hosts."""
        while self._hosts:
            _, backend = self._hosts.popitem()
            await called(self.runtime, backend.close)

    # --- one domain ---------------------------------------------------------------------------------------------------

    async def _to_domain(self, domain: str, tally: Tally, deadline: float) -> None:
        """Try the domain's hosts until every recipient has an answer that another host would not change."""
        try:
            hosts = await self._route(domain, deadline)
        except NoRoute as none:
            return tally.add(_for_all(tally.mail, none.event, none.text, self.url, none.enhanced_code))
        except TransportError as error:
            return tally.add(_for_all(tally.mail, "name server failed", str(error), self.url).with_(error=error))
        failure: TransportError | None = None
        tried = 0
        for host in hosts:
            left = [r.address for r in tally.latest() if not tally.receipts or (r.outcome, r.scope) in _MOVES_ON]
            part = tally.mail_to(left)
            if part is None or tried == _MAX_HOSTS:
                return None
            try:
                addresses = await self._addresses(host, deadline)
            except TransportError as error:
                failure = error
                continue
            if addresses:
                tried += 1
                await self._to_host(host, addresses, part, tally)
        if tally.receipts:
            return None
        if failure is not None:
            return tally.add(_for_all(tally.mail, "name server failed", str(failure), self.url).with_(error=failure))
        # RFC 5321 section 5.1: MX records whose hosts have no address are not replaced by the domain's own address.
        said = f"{domain}: none of its mail hosts has an address: {', '.join(hosts)}"
        return tally.add(_for_all(tally.mail, "domain does not exist", said, self.url, "5.4.4"))

    async def _route(self, domain: str, deadline: float) -> list[str]:
        if domain.startswith("["):
            return [domain]
        answer = await self._dns.look_up(self.runtime, domain, "MX", deadline)
        if answer.status == "missing":
            raise NoRoute("domain does not exist", "5.1.2", f"{domain} does not exist")
        own_names = {self.helo.lower()} - {""}
        return hosts_for(domain, [(mx.preference, mx.host) for mx in answer.records], self._shuffle, own_names)

    async def _addresses(self, host: str, deadline: float) -> Sequence[AddrInfo]:
        if host.startswith("["):
            literal = host[1:-1].removeprefix("ipv6:")
            return await self.runtime.resolve(str(ipaddress.ip_address(literal)), self.port, deadline)
        return await self._dns.addresses(self.runtime, host, self.port, deadline)

    async def _to_host(self, host: str, addresses: Sequence[AddrInfo], part: Mail, tally: Tally) -> None:
        receipt = await self._attempt(host, self._tls, addresses, part, tally)
        if self._tls == "opportunistic" and isinstance(receipt.cause, TlsError) and not part.delivery.require_tls:
            # RFC 7435 section 3: better without than not at all, as nobody said that there would be TLS.
            again = tally.mail_to([r.address for r in receipt.results if r.outcome is Outcome.DEFERRED])
            if again is not None:
                await self._attempt(host, "none", addresses, again, tally)

    async def _attempt(self, host: str, tls: str, addresses: Sequence[AddrInfo], part: Mail, tally: Tally) -> Receipt:
        backend = self._backend_for(host, tls, addresses)
        try:
            receipt = await carry(backend, part)
        except UnsupportedFeature as error:  # found out from this host; the other domains' fare as they may
            receipt = _for_all(part, "not carried here", str(error), str(backend))
        except BaseException:
            tally.add(backend.settled(part))
            raise
        tally.add(receipt)
        return receipt

    def _backend_for(self, host: str, tls: str, addresses: Sequence[AddrInfo]) -> SmtpBackend:
        """The one that keeps this host's connections."""
        key = (host, tls)
        backend = self._hosts.get(key)
        if backend is None:
            endpoint = Endpoint(
                host=host.strip("[]").removeprefix("ipv6:"),
                port=self.port,
                tls=tls,  # type: ignore[arg-type]  # one of the three
                verify=tls == "required",
                helo=self.helo,
                source_address=self.source_address,
                proxy=self.proxy,
                timeouts=self._timeouts,
            )
            backend = SmtpBackend(endpoint, url=f"smtp://{host}:{self.port}?tls={tls}")
            backend.attach(self.runtime, self.unsupported)
            backend.transcript = self.transcript
            self._hosts[key] = backend
            while len(self._hosts) > _MAX_KEPT_HOSTS:
                _, oldest = self._hosts.popitem(last=False)
                oldest.forget()
        else:
            self._hosts.move_to_end(key)
        backend.endpoint = replace(backend.endpoint, addresses=tuple(addresses))
        return backend


def _sources(given: str | Sequence[str]) -> tuple[str, ...]:
    try:
        return ip_addresses(given if isinstance(given, str) else ",".join(given)) if given else ()
    except ValueError as error:
        raise ConfigError(f"mx: source_address={given!r}: {error}") from None


def _for_all(mail: Mail, event: str, said: str, backend: str, enhanced_code: str = "") -> Receipt:
    outcome, scope = VERDICTS[event]
    return Receipt.for_all(mail, outcome, text=said, enhanced_code=enhanced_code or None, scope=scope, backend=backend)


def mx_from_url(url: BackendURL, runtime: Runtime | None = None) -> MxBackend:
    """``mx:`` or ``mx://?helo=mail.example.com``.

    Options: ``helo``, ``source_address``, ``proxy``, ``tls`` (opportunistic, required, none), ``concurrency`` (domains
    at once), ``transcript``, and in seconds ``timeout`` (one attempt in all), ``connect_timeout``, ``command_timeout``,
    ``final_timeout``.
    """
    url.refuse("username", "host", "port", "path")
    options = url.options(
        helo=text,
        source_address=ip_addresses,
        proxy=text,
        tls=choice("opportunistic", "required", "none"),
        concurrency=_count,
        transcript=flag,
        **dict.fromkeys(_TIMEOUT_OPTIONS, seconds),
    )
    helo = options.get("helo", "")
    if helo and helo_name(helo) != helo:
        raise ConfigError(f"mx: option helo={helo!r}: must be a fully qualified host name")
    timeouts = {field: options[name] for name, field in _TIMEOUT_OPTIONS.items() if name in options}
    backend = MxBackend(
        helo=helo,
        source_address=options.get("source_address", ()),
        proxy=options.get("proxy"),
        tls=options.get("tls", "opportunistic"),
        concurrency=options.get("concurrency", 1),
        timeouts=replace(_TIMEOUTS, **timeouts),
        url=str(url),
    )
    backend.transcript = options.get("transcript", False)
    if runtime is not None:
        backend.attach(runtime)
    return backend


_TIMEOUT_OPTIONS = {
    "timeout": "total_s",
    "connect_timeout": "connect_s",
    "command_timeout": "command_s",
    "final_timeout": "final_s",
}


def _count(value: str) -> int:
    if not (value.isascii() and value.isdigit() and 1 <= int(value) <= 100):
        raise ValueError("must be a whole number from 1 to 100")
    return int(value)
