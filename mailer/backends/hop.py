"""The hop: a host that takes a domain's mail, where it is, and how safely it has to be spoken to.

The domain says all three: MX and address records where (RFC 5321 section 5), TLSA records (DANE, RFC 7672) or a policy
over HTTPS (MTA-STS, RFC 8461) how safely. DANE goes before MTA-STS; where there is neither, TLS is used if it is
offered, with any certificate (RFC 7435).
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ..errors import Outcome, TlsError, TransportError
from ..receipt import Receipt, RecipientResult
from ..smtp import dane
from ..smtp.endpoint import TlsMode
from ..smtp.route import NoRoute, hosts_for
from ..verdict import Scope

if TYPE_CHECKING:
    from ..dns import DnsClient
    from ..runtime import AddrInfo, Runtime
    from ..smtp.mta_sts import MtaSts, StsPolicy

__all__ = ["Hop", "HopFinder", "Route"]

#: Hosts of a domain, and addresses of a host, that are looked at: a DNS answer may hold thousands, each of which takes
#: its time to say nothing (Postfix: 5 addresses in all, smtp_mx_address_limit).
_MOST = 20
_SMTP_PORT = 25


@dataclass(frozen=True, slots=True)
class Route:
    """The way to a domain.

    Attributes:
        domain: With A-labels, or an address literal in brackets.
        hosts: Best first.
        is_authentic: DNSSEC vouches for them.
        policy: What the domain wants by MTA-STS, or None.
        notes: What the receipt is to say of it.
    """

    domain: str
    hosts: Sequence[str]
    is_authentic: bool = False
    policy: StsPolicy | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Hop:
    """One host, and the terms of talking to it. Equal terms share connections, and failures: what another domain asks
    of the host, in vain, must not keep this one's mail from it.

    Attributes:
        host: Its name, or an address literal in brackets.
        tls: What to do about TLS; "opportunistic" goes on in clear where TLS fails.
        verify: The certificate must be by a trusted authority, for this host.
        tlsa: Or else it must be one that these name; (): any.
        names: What an authority's certificate may be for.
        protection: What TLS on these terms comes to, as :attr:`~mailer.receipt.RecipientResult.tls` says it.
        is_certain: Neither the host nor its certificate can be another's: DNSSEC or MTA-STS vouch for the one, and the
            other is checked. What REQUIRETLS wants (RFC 8689 section 4.2.1).
        notes: What the receipt is to say of it.
    """

    host: str
    tls: TlsMode
    verify: bool = False
    tlsa: tuple[dane.Tlsa, ...] = ()
    names: tuple[str, ...] = ()
    protection: str = "unverified"
    is_certain: bool = False
    notes: tuple[str, ...] = field(default=(), compare=False)

    @property
    def check(self) -> Callable[[Sequence[bytes]], str] | None:
        """Says why a certificate chain is not taken; None where TLSA records say nothing."""
        return functools.partial(self._refusal) if self.tlsa else None

    def result(self, result: RecipientResult, receipt: Receipt) -> RecipientResult:
        """A result of an attempt here, with which host it was, and how the way there was protected.

        What a server of our choice does wrong is a matter of our account; these are the recipient's, so it is theirs.
        """
        came_to_it = receipt.cause is None or result.outcome in (Outcome.ACCEPTED, Outcome.UNKNOWN)
        in_clear = self.tls == "none" or any(note.startswith("tls: none") for note in receipt.notes)
        is_theirs = result.scope is Scope.ACCOUNT and isinstance(receipt.cause, TransportError)
        return replace(
            result,
            remote_mta=self.host,
            tls=("none" if in_clear else self.protection) if came_to_it else None,
            scope=Scope.HOST if is_theirs else result.scope,
        )

    def _refusal(self, chain: Sequence[bytes]) -> str:
        return dane.refusal(self.tlsa, chain, self.names, datetime.now(UTC))


class HopFinder:
    """Asks a domain for its hops.

    Args:
        dns: Who is asked.
        port: Of the hosts.
        tls: "opportunistic" leaves it to the domain; "required" wants a verified certificate from all, "none" no TLS.
        own_names: This machine's, in lower case: a host listed no better than we are would send the mail back.
        shuffle: Mixes hosts of one preference in place.
        uses_dane: Whether TLSA records count.
        sts: Who finds MTA-STS policies; None: they do not count.
    """

    def __init__(
        self,
        dns: DnsClient,
        *,
        port: int,
        tls: TlsMode,
        own_names: Collection[str],
        shuffle: Callable[[list[str]], None],
        uses_dane: bool,
        sts: MtaSts | None,
    ) -> None:
        self._dns = dns
        self._port = port
        self._tls = tls
        self._own_names = own_names
        self._shuffle = shuffle
        self._uses_dane = uses_dane and tls != "none"
        self._sts = sts if tls != "none" else None

    async def route(self, runtime: Runtime, domain: str, deadline: float) -> Route:
        """The hosts of a domain, and its policy.

        Raises:
            NoRoute: It does not exist, takes no mail, or its mail is for this machine.
            TransportError: DNS cannot tell now.
        """
        if domain.startswith("["):
            return Route(domain, [domain])
        answer = await self._dns.look_up(runtime, domain, "MX", deadline)
        if answer.status == "missing":
            raise NoRoute("domain does not exist", "5.1.2", f"{domain} does not exist")
        records = [(mx.preference, mx.host) for mx in answer.records]
        hosts = hosts_for(domain, records, self._shuffle, self._own_names)[:_MOST]
        policy, said = None, ""
        if self._sts is not None:
            policy, said = await self._sts.policy(runtime, domain, deadline)
        return Route(domain, hosts, answer.is_authentic, policy, (said,) if said else ())

    async def hop(
        self, runtime: Runtime, route: Route, host: str, deadline: float, *, is_lenient: bool = False
    ) -> tuple[Hop, Sequence[AddrInfo]]:
        """One of the route's hosts, and its addresses; none if it has none, or only such as lead back here.

        Args:
            runtime: Where to wait.
            route: From :meth:`route`.
            host: One of its hosts.
            deadline: The end of it, on the runtime's clock.
            is_lenient: What the domain asks for does not count.

        Raises:
            TlsError: The domain's policy does not allow this host.
            TransportError: DNS cannot tell now where it is, or whether it has TLSA records: then it must be left alone,
                or an attacker could keep them from us (RFC 7672 section 2.1.2).
        """
        if host.startswith("["):
            literal = str(ipaddress.ip_address(host[1:-1].removeprefix("ipv6:")))
            return self._by_default(host), self._outward(await runtime.resolve(literal, self._port, deadline))
        found, is_authentic, name = await self._dns.located(runtime, host, self._port, deadline)
        addresses = self._outward(found)
        if is_lenient:
            return self._by_default(host), addresses
        hop: Hop | None = None
        if self._uses_dane and addresses and route.is_authentic and is_authentic:
            # RFC 7672 section 2.1.3: an alias has the records of where it leads, and else its own.
            for base in dict.fromkeys((name, host)):
                hop = hop or await self._by_dane(runtime, route, host, base, deadline)
        return hop or self._by_policy(route, host), addresses

    def _outward(self, addresses: Sequence[AddrInfo]) -> Sequence[AddrInfo]:
        """Those that do not lead back to this machine, whose own MTA may trust whoever comes from here."""
        if self._port == _SMTP_PORT:  # another port is for tests
            addresses = [address for address in addresses if not _is_here(str(address.sockaddr[0]))]
        return addresses[:_MOST]

    async def _by_dane(self, runtime: Runtime, route: Route, host: str, base: str, deadline: float) -> Hop | None:
        """The terms that the TLSA records at a name of the host set; None if there are none."""
        answer = await self._dns.look_up(runtime, f"_{self._port}._tcp.{base}", "TLSA", deadline)
        if not (answer.is_authentic and answer.records):
            return None
        # In one order, so that equal sets are equal terms.
        records = tuple(sorted(dane.usable(answer.records), key=str))
        if not records:
            # RFC 7672 section 2.2: TLS is mandatory then, and DANE cannot authenticate it. What a policy asks for, or
            # our own settings, is more than that and stands.
            hop = self._by_policy(route, host)
            if hop.verify:
                return hop
            note = f"{host}: none of its TLSA records can be used; its certificate was not checked"
            return Hop(host, "required", notes=(*hop.notes, note))
        # Section 3.2.2: an authority's certificates are for the name with the records, or for the domain. It is also
        # what the handshake asks for (section 8.1), so the host goes by it.
        names = tuple(dict.fromkeys((base, route.domain))) if dane.names_an_authority(records) else ()
        return Hop(base, "required", tlsa=records, names=names, protection="dane", is_certain=True)

    def _by_policy(self, route: Route, host: str) -> Hop:
        policy, hop = route.policy, self._by_default(host)
        hop = replace(hop, is_certain=hop.verify and route.is_authentic)
        if policy is None or policy.mode == "none":
            return hop
        allowed = policy.allows(host)
        refused = f"{host} is no mail host of {route.domain} by its MTA-STS policy ({', '.join(policy.mx)})"
        if policy.mode == "testing":
            return hop if allowed else replace(hop, notes=(f"mta-sts testing: {refused}",))
        if not allowed:
            raise TlsError(refused)
        return Hop(host, "required", verify=True, protection="mta-sts", is_certain=True)

    def _by_default(self, host: str) -> Hop:
        if self._tls == "required":
            return Hop(host, "required", verify=True, protection="verified")
        return Hop(host, self._tls)


def _is_here(address: str) -> bool:
    ip = ipaddress.ip_address(address)
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return ip.is_loopback or ip.is_unspecified
