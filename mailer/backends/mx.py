"""``mx://``: straight to the recipients' own servers, without a relay in between (RFC 5321 section 5)."""

from __future__ import annotations

import functools
import random
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
from ..smtp.endpoint import Endpoint, Timeouts, TlsMode
from ..smtp.pool import PoolLimits
from ..smtp.route import NoRoute
from ..tally import Tally
from ..verdict import VERDICTS, Scope
from .base import Backend, Health, carry
from .hop import Hop, HopFinder, Route
from .mail_hosts import MailHosts
from .options import BackendURL, choice, dns_servers, flag, ip_addresses, seconds, text, whole
from .rest import Rests
from .smtp import LIMIT_OPTIONS, TIMEOUT_OPTIONS

if TYPE_CHECKING:
    from ..dns import DnsClient
    from ..http import HttpClient
    from ..runtime import AddrInfo, Runtime
    from ..smtp.mta_sts import MtaSts

__all__ = ["MxBackend", "mx_from_url"]

#: RFC 5321 section 4.5.3.2: a server on the other side of the world may be this slow, and nobody waits for a page.
_TIMEOUTS = Timeouts.rfc5321()
#: For each host: one receiver's limit is rarely below 5 at once, and idle connections are the receiver's cost.
_LIMITS = PoolLimits(connections=5, messages=100, age_s=300.0, idle_s=5.0)
#: Hosts tried for one domain in one attempt; more are left for the next (Postfix: smtp_mx_session_limit).
_MAX_HOSTS = 5
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
    How each has to be spoken to, :mod:`mailer.backends.hop` finds out: by DANE, by MTA-STS, or else by TLS wherever it
    is offered, unchecked, and without where it fails (RFC 7435): what goes between strangers is protected from
    listening, not from lying. ``RecipientResult.remote_mta`` and ``.tls`` say what it came to.

    Attributes:
        port: 25, but for tests.
        helo: What EHLO says; receivers expect a name whose address leads back here. A domain whose best mail host bears
            it is a loop.
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
        tls: TlsMode = "opportunistic",
        dane: bool = True,
        mta_sts: bool | MtaSts = True,
        mta_sts_cache: str | None = None,
        ca_file: str | None = None,
        concurrency: int = 1,
        rest_s: float = 60.0,
        timeouts: Timeouts = _TIMEOUTS,
        limits: PoolLimits = _LIMITS,
        dns: DnsClient | None = None,
        shuffle: Callable[[list[str]], None] = random.shuffle,
        url: str = "mx:",
    ) -> None:
        """Make it. Opens no connection.

        Args:
            helo, source_address, proxy, port, concurrency: See the attributes.
            tls: "opportunistic" leaves it to each domain; "required" wants TLS and a certificate that holds, "none" no
                TLS.
            dane: Whether TLSA records count. They do only where ``dns`` is trusted to have validated them.
            mta_sts: Whether MTA-STS policies count, or who finds them.
            mta_sts_cache: A file where policies are kept; None: in memory.
            ca_file: A PEM file with the only authorities to trust, for policies and for what they and "required" ask
                for; None: the system's.
            rest_s: For how long a host is left alone that failed five times in a row on the same terms; 0: it is not.
            timeouts: For each step; ``total_s`` for the mail in all.
            limits: Of the connections to each host.
            dns: Whom to ask; None: the servers of /etc/resolv.conf.
            shuffle: Mixes hosts of one preference in place.
            url: How it prints itself.
        """
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
        self._ca_file = ca_file
        self._timeouts = timeouts
        self._dns = dns
        self._rests = Rests(rest_s)
        sts = self._sts(mta_sts_cache) if mta_sts is True else mta_sts or None
        self._finder = HopFinder(
            dns,
            port=port,
            tls=tls,
            own_names={helo.lower().rstrip(".")} - {""},
            shuffle=shuffle,
            uses_dane=dane,
            sts=sts,
        )
        self._facts = {"tls": tls, "dane": "yes" if dane else "no", "mta_sts": "no" if sts is None else "yes"}
        terms = Endpoint(
            host="",
            port=port,
            ca_file=ca_file,
            helo=helo,
            source_address=self.source_address,
            proxy=self.proxy,
            timeouts=timeouts,
        )
        self._hosts = MailHosts(terms, limits)
        self._cut_short: dict[str, Receipt] = {}

    def _sts(self, cache: str | None) -> MtaSts:
        from ..smtp.mta_sts import MtaSts, StsCache

        def client(runtime: Runtime, max_bytes: int) -> HttpClient:
            from ..http import HttpClient

            return HttpClient(
                runtime,
                connect_timeout_s=self._timeouts.connect_s,
                ca_file=self._ca_file,
                proxy=self.proxy,
                resolve=functools.partial(self._dns.addresses, runtime),
                max_answer_bytes=max_bytes,
            )

        return MtaSts(self._dns, client, cache=StsCache(cache))

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
        facts = {"dns": answer.status, "helo": self.helo or "the local address as a literal", **self._facts}
        if not self._dns.is_trusted:
            facts["dane"] = "no: the resolver is not on this machine, so its word on DNSSEC is not taken"
        return Health(ok=True, backend=self.url, facts=facts)

    async def close(self) -> None:
        """Close the connections to all hosts."""
        await self._hosts.close(self.runtime)

    # --- one domain ---------------------------------------------------------------------------------------------------

    async def _to_domain(self, domain: str, tally: Tally, deadline: float) -> None:
        """Try the domain's hosts until every recipient has an answer that another host would not change."""
        try:
            route = await self._finder.route(self.runtime, domain, deadline)
        except NoRoute as none:
            return tally.add(_for_all(tally.mail, none.event, none.text, self.url, none.enhanced_code))
        except TransportError as error:
            return tally.add(_for_all(tally.mail, "name server failed", str(error), self.url).with_(error=error))
        tally.notes += route.notes
        passed_over: list[Receipt] = []
        is_lenient = self._tls == "opportunistic" and _needs_no_tls(tally.mail)
        tried = 0
        for host in route.hosts:
            left = [r.address for r in tally.latest() if not tally.receipts or (r.outcome, r.scope) in _MOVES_ON]
            part = tally.mail_to(left)
            if part is None or tried == _MAX_HOSTS:
                return None
            if self.runtime.now() >= deadline:
                passed_over.append(_for_all(part, "connection lost", f"no time was left to try {host}", self.url))
                break
            try:
                hop, addresses = await self._finder.hop(self.runtime, route, host, deadline, is_lenient=is_lenient)
            except TransportError as error:
                event, code = (
                    ("host not allowed", "4.7.5") if isinstance(error, TlsError) else ("name server failed", "")
                )
                passed_over.append(_for_all(part, event, str(error), self.url, code).with_(error=error))
                tally.notes.append(str(error))
                continue
            if not addresses:
                continue
            refusal = self._refusal(route, hop, part)
            if refusal is not None:
                passed_over.append(refusal)
                continue
            tried += 1
            tally.notes += hop.notes
            await self._to_host(hop, addresses, part, tally, deadline)
        if not tally.receipts:
            tally.add(_best_of(passed_over) or self._homeless(route, tally.mail))
        return None

    def _refusal(self, route: Route, hop: Hop, part: Mail) -> Receipt | None:
        """Why the host is not to be tried with this mail now; None if it is."""
        if part.delivery.require_tls and not hop.is_certain:
            # RFC 8689 section 4.2.1: where there is no such host the message MUST NOT be sent.
            said = f"REQUIRETLS was asked for, and neither DANE nor MTA-STS makes {hop.host} certain"
            if route.notes:  # for want of an answer; later there may be one
                return _for_all(part, "host not allowed", f"{said} now: {route.notes[0]}", self.url, "4.7.5")
            return _for_all(part, "not carried here", said, self.url, "5.7.30")
        left_s, why = self._rests.left_s(hop, self.runtime.now())
        if not left_s:
            return None
        receipt = _for_all(
            part, "no connection", f"{hop.host} is left alone after failing again and again: {why}", self.url
        )
        return receipt.with_(results=tuple(replace(result, retry_after_s=left_s) for result in receipt.results))

    def _homeless(self, route: Route, mail: Mail) -> Receipt:
        # RFC 5321 section 5.1: MX records whose hosts have no address are not replaced by the domain's own address.
        hosts = ", ".join(route.hosts)
        said = f"{route.domain}: none of its mail hosts has an address (127.0.0.0/8 and ::1 are none): {hosts}"
        return _for_all(mail, "domain does not exist", said, self.url, "5.4.4")

    async def _to_host(
        self, hop: Hop, addresses: Sequence[AddrInfo], part: Mail, tally: Tally, deadline: float
    ) -> None:
        receipt = await self._attempt(hop, addresses, part, tally, deadline)
        if hop.tls == "opportunistic" and isinstance(receipt.cause, TlsError) and not part.delivery.require_tls:
            # RFC 7435 section 3: better without than not at all, as nobody said that there would be TLS.
            again = tally.mail_to([r.address for r in receipt.results if r.outcome is Outcome.DEFERRED])
            if again is not None:
                receipt = await self._attempt(replace(hop, tls="none"), addresses, again, tally, deadline)
        if not all((result.outcome, result.scope) == (Outcome.DEFERRED, Scope.HOST) for result in receipt.results):
            self._rests.answered(hop)
        elif (now := self.runtime.now()) < deadline:  # else it may be for want of time
            self._rests.failed(hop, receipt.results[0].text, now)

    async def _attempt(
        self, hop: Hop, addresses: Sequence[AddrInfo], part: Mail, tally: Tally, deadline: float
    ) -> Receipt:
        attempt = self._hosts.attempt(hop, addresses, deadline, self)
        try:
            receipt = await carry(attempt, part)
        except UnsupportedFeature as error:  # found out from this host; the other domains' fare as they may
            receipt = _for_all(part, "not carried here", str(error), str(attempt))
        except BaseException:
            tally.add(attempt.settled(part))
            raise
        receipt = receipt.with_(results=tuple(hop.result(result, receipt) for result in receipt.results))
        tally.add(receipt)
        return receipt


def _needs_no_tls(mail: Mail) -> bool:
    """Whether it says "TLS-Required: No": arrive at all costs, as a report of broken TLS must (RFC 8689 section 5)."""
    fields = () if mail.message is None or mail.delivery.require_tls else mail.message.headers
    return any(name.lower() == "tls-required" and value.strip().lower() == "no" for name, value in fields)


def _sources(given: str | Sequence[str]) -> tuple[str, ...]:
    try:
        return ip_addresses(given if isinstance(given, str) else ",".join(given)) if given else ()
    except ValueError as error:
        raise ConfigError(f"mx: source_address={given!r}: {error}") from None


def _for_all(mail: Mail, event: str, said: str, backend: str, enhanced_code: str = "") -> Receipt:
    outcome, scope = VERDICTS[event]
    return Receipt.for_all(mail, outcome, text=said, enhanced_code=enhanced_code or None, scope=scope, backend=backend)


def _best_of(receipts: Sequence[Receipt]) -> Receipt | None:
    """Of what hosts that were not tried come to: the one that leaves hope, if there is one."""
    return next((receipt for receipt in receipts if receipt.deferred), receipts[0] if receipts else None)


#: Options that are the backend's arguments as they stand.
_AS_GIVEN = (
    "helo",
    "source_address",
    "proxy",
    "tls",
    "dane",
    "mta_sts",
    "mta_sts_cache",
    "ca_file",
    "port",
    "concurrency",
)


def mx_from_url(url: BackendURL, runtime: Runtime | None = None) -> MxBackend:
    """``mx:`` or ``mx://?helo=mail.example.com``.

    Options: ``helo``, ``source_address``, ``proxy``; ``tls`` (opportunistic, required, none), ``dane``, ``mta_sts``,
    ``mta_sts_cache`` (a file), ``ca_file``; ``resolver`` (IP addresses of DNS servers, each with a port or without) and
    ``trust_resolver`` (they validate DNSSEC, and nobody stands between); ``port`` (for tests), ``concurrency`` (domains
    at once), ``rest``, ``transcript``; ``max_connections``, ``max_messages``, ``max_age`` and ``max_idle`` (for each
    host); and timeouts in seconds, as for ``smtp``, ``timeout`` for one mail in all.
    """
    url.refuse("username", "host", "port", "path")
    options = url.options(
        helo=text,
        source_address=ip_addresses,
        proxy=text,
        tls=choice("opportunistic", "required", "none"),
        dane=flag,
        mta_sts=flag,
        mta_sts_cache=text,
        ca_file=text,
        resolver=dns_servers,
        trust_resolver=flag,
        port=whole(1, 65535),
        concurrency=whole(1, 100),
        rest=seconds,
        max_connections=whole(1, 20),
        max_messages=whole(1, 1_000_000),
        max_age=seconds,
        max_idle=seconds,
        transcript=flag,
        **dict.fromkeys(TIMEOUT_OPTIONS, seconds),
    )
    helo = options.get("helo", "")
    if helo and helo_name(helo) != helo:
        raise ConfigError(f"mx: option helo={helo!r}: must be a fully qualified host name")
    from ..dns import DnsClient

    timeouts = {field: options[name] for name, field in TIMEOUT_OPTIONS.items() if name in options}
    limits = {field: options[name] for name, field in LIMIT_OPTIONS.items() if name in options}
    backend = MxBackend(
        **{name: options[name] for name in _AS_GIVEN if name in options},
        dns=DnsClient(options.get("resolver"), trusts_ad=options.get("trust_resolver")),
        rest_s=options.get("rest", 60.0),
        timeouts=replace(_TIMEOUTS, **timeouts),
        limits=replace(_LIMITS, **limits),
        url=str(url),
    )
    backend.transcript = options.get("transcript", False)
    if runtime is not None:
        backend.attach(runtime)
    return backend
