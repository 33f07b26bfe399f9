"""The route to a domain: which hosts take its mail, and in which order (RFC 5321 section 5.1, RFC 7505)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import groupby

__all__ = ["NoRoute", "hosts_for"]


@dataclass(frozen=True, slots=True)
class NoRoute(Exception):
    """There is no way to this domain, for good.

    Attributes:
        event: What it is, a key of :data:`mailer.verdict.VERDICTS`.
        enhanced_code: The enhanced status code that says so (RFC 3463, RFC 7505).
        text: For people.
    """

    event: str
    enhanced_code: str
    text: str


def hosts_for(
    domain: str,
    records: Sequence[tuple[int, str]],
    shuffle: Callable[[list[str]], None],
    own_names: Collection[str] = (),
) -> list[str]:
    """The hosts to try, best first.

    Args:
        domain: The domain, with A-labels.
        records: Its MX records as (preference, host), in any order, hosts in lower case without final dot, "" for the
            root; none means that there are no MX records, and the domain itself is the host (section 5.1: an implicit
            MX).
        shuffle: Mixes hosts of one preference in place, so that they share the load.
        own_names: Names of this machine, in lower case: a host that is listed no better than we are would send it back.
            So would the domain itself, where it is one of them.

    Raises:
        NoRoute: The domain takes no mail (a null MX), or its mail is for this machine.
    """
    if not records:
        if domain in own_names:
            raise NoRoute("mail loops", "5.4.6", f"{domain} is this machine, which does not take its mail")
        return [domain]
    hosts = [(preference, host) for preference, host in records if host]
    if not hosts:
        raise NoRoute("domain takes no mail", "5.1.10", f"{domain} takes no mail (null MX, RFC 7505)")
    # "it MUST ... discard all MX records with preferences equal to or higher" than its own (RFC 5321 section 5.1)
    limit = min((preference for preference, host in hosts if host in own_names), default=None)
    usable = sorted((p, host) for p, host in hosts if limit is None or p < limit)
    if not usable:
        raise NoRoute("mail loops", "5.4.6", f"{domain}: its best MX is this machine, which does not take its mail")
    ordered: list[str] = []
    for _, group in groupby(usable, key=lambda item: item[0]):
        equal = list(dict.fromkeys(host for _, host in group))
        shuffle(equal)
        ordered += [host for host in equal if host not in ordered]
    return ordered
