"""Mail hosts: the connections to strangers' servers that are kept, for each server on the terms that it asks for."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..mail import Mail
from ..receipt import Receipt
from ..smtp.endpoint import Endpoint
from ..smtp.pool import PoolLimits
from .base import Backend, called
from .hop import Hop
from .smtp import SmtpBackend

if TYPE_CHECKING:
    from ..runtime import AddrInfo, Runtime

__all__ = ["Attempt", "MailHosts"]

_MAX_KEPT = 100


class MailHosts:
    """An SMTP backend for each hop, the one used longest ago given up first. Shared by threads and tasks.

    Args:
        terms: What all have in common; host, addresses and TLS are the hop's.
        limits: Of the connections to each.
    """

    def __init__(self, terms: Endpoint, limits: PoolLimits) -> None:
        self._terms = terms
        self._limits = limits
        self._kept: OrderedDict[Hop, SmtpBackend] = OrderedDict()

    def attempt(self, hop: Hop, addresses: Sequence[AddrInfo], deadline: float, owner: Backend) -> Attempt:
        """One try at the hop, by way of connections that may be there already.

        Args:
            hop: The host and its terms.
            addresses: Where it is now.
            deadline: The end of the try, on the runtime's clock.
            owner: The backend whose runtime, policy and transcript hold.
        """
        backend = self._kept.get(hop)
        if backend is None:
            terms = replace(
                self._terms,
                host=hop.host.strip("[]").removeprefix("ipv6:"),
                tls=hop.tls,
                verify=hop.verify,
                ca_file=self._terms.ca_file if hop.verify else None,
                certificate_check=hop.check,
            )
            made = SmtpBackend(terms, url=f"smtp://{hop.host}:{terms.port}?tls={hop.tls}", limits=self._limits)
            made.attach(owner.runtime, owner.unsupported)
            made.transcript = owner.transcript
            backend = self._kept.setdefault(hop, made)
            while len(self._kept) > _MAX_KEPT:
                _, oldest = self._kept.popitem(last=False)
                oldest.forget()
        with contextlib.suppress(KeyError):  # another thread has just dropped it
            self._kept.move_to_end(hop)
        backend.endpoint = replace(backend.endpoint, addresses=tuple(addresses))
        return Attempt(backend, deadline)

    async def close(self, runtime: Runtime) -> None:
        """Close the connections to all of them."""
        while self._kept:
            _, backend = self._kept.popitem()
            await called(runtime, backend.close)


class Attempt(Backend):
    """One try at a host, within what is left of the mail's time."""

    def __init__(self, host: SmtpBackend, deadline: float) -> None:
        self.features = host.features
        self.url = host.url
        self.attach(host.runtime, host.unsupported)
        self._host = host
        self._deadline = deadline

    def left_out(self, mail: Mail) -> tuple[str, ...]:
        return self._host.left_out(mail)

    async def send(self, mail: Mail) -> Receipt:
        return await self._host.send(mail, deadline=self._deadline)

    def settled(self, mail: Mail) -> Receipt:
        return self._host.settled(mail)
