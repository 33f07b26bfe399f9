"""MTA-STS (RFC 8461): a domain's word, over verified HTTPS, that its mail hosts have TLS, and which hosts they are.

:class:`StsPolicy` is what was said, :class:`StsCache` what is still to be held to, :class:`MtaSts` asks: DNS for the
policy's id, and the domain's web server for the policy where the id is new. What cannot be learnt now leaves what was
learnt before in force, or else the domain without a policy.
"""

from __future__ import annotations

import json
import os
import re
import stat
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from ..clock import epoch_s
from ..errors import MailerError, TransportError

if TYPE_CHECKING:
    from ..dns import DnsClient
    from ..http import HttpClient
    from ..relay.exchange import Response
    from ..runtime import Event, Runtime

__all__ = ["MAX_POLICY_BYTES", "MtaSts", "StsCache", "StsPolicy", "policy_id"]

MAX_POLICY_BYTES = 64_000
"""RFC 8461 section 3.3: "senders SHOULD impose a limit on the amount of data ... 64 kilobytes"."""
_FETCH_S = 60.0
"""The same section: "a reasonable timeout, such as one minute"."""
_RETRY_S = 300.0
"""And: a failed fetch of one id is not repeated for five minutes or longer."""
_MAX_AGE_S = 31_557_600
"""A year, the most that max_age may be (section 3.2)."""
_MAX_DOMAINS = 1000

_RECORD = re.compile(r"v=STSv1[ \t]*;.*", re.ASCII)
_ID = re.compile(r"(?:^|;)[ \t]*id[ \t]*=[ \t]*([A-Za-z0-9]{1,32})[ \t]*(?:;|$)", re.ASCII)
_FIELD = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]{0,31}):[ \t]*(.*)", re.ASCII)
_HOST = re.compile(r"(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*", re.ASCII)


def policy_id(texts: Iterable[str]) -> str | None:
    """The id that the TXT records at ``_mta-sts.`` give; None: the domain has no policy.

    More than one STSv1 record, or one that is malformed, counts as none (RFC 8461 section 3.1).
    """
    records = [text for text in texts if _RECORD.fullmatch(text)]
    found = _ID.search(records[0].partition(";")[2]) if len(records) == 1 else None
    return None if found is None else found[1]


@dataclass(frozen=True, slots=True)
class StsPolicy:
    """What a domain says of its mail hosts.

    Attributes:
        mode: "enforce": deliver to these hosts under verified TLS, or not at all; "testing": deliver anyway and tell;
            "none": there is no policy any more.
        mx: The hosts, in lower case: names, or "*." and a domain, which stands for one label in front of it.
        max_age_s: How long it is to be held to.
    """

    mode: Literal["enforce", "testing", "none"]
    mx: tuple[str, ...] = ()
    max_age_s: int = 86_400

    @classmethod
    def parse(cls, text: str) -> StsPolicy:
        """Read a policy file (RFC 8461 section 3.2): lines of "key: value", CRLF or LF; unknown keys are passed over.

        Raises:
            ValueError: It is none. The text says why.
        """
        fields: dict[str, str] = {}
        hosts: list[str] = []
        for line in re.split(r"\r?\n", text):
            if not line.strip(" \t"):
                continue
            found = _FIELD.fullmatch(line.rstrip(" \t"))
            if found is None:
                raise ValueError(f"{line[:80]!r} is not 'key: value'")
            if found[1] == "mx":
                hosts.append(found[2].lower().rstrip("."))
            else:
                fields.setdefault(found[1], found[2])  # "all entries except for the first MUST be ignored"
        if fields.get("version") != "STSv1":
            raise ValueError("it does not say 'version: STSv1'")
        mode, max_age = fields.get("mode"), fields.get("max_age", "")
        if mode not in ("enforce", "testing", "none"):
            raise ValueError(f"mode {mode!r} is not enforce, testing or none")
        if not re.fullmatch(r"[0-9]{1,10}", max_age, re.ASCII):
            raise ValueError(f"max_age {max_age[:20]!r} is not a number of seconds")
        if bad := [host for host in hosts if not _HOST.fullmatch(host)]:
            raise ValueError(f"mx {bad[0][:80]!r} is not a host name")
        if not hosts and mode != "none":
            raise ValueError("it names no mx")
        return cls(cast("Any", mode), tuple(hosts), min(int(max_age), _MAX_AGE_S))

    def allows(self, host: str) -> bool:
        """Whether a mail host, with A-labels, is one of these (RFC 8461 section 4.1)."""
        host = host.lower().rstrip(".")
        return host in self.mx or f"*.{host.partition('.')[2]}" in self.mx


@dataclass(frozen=True, slots=True)
class _Kept:
    id: str
    until: float
    policy: StsPolicy


class StsCache:
    """Policies, for as long as each is to be held to: in memory, and in a file too if one is named.

    A process that sends one mail and ends learns nothing from memory; with a file, an attacker who keeps the policy
    from it must have done so since ever. Shared by processes: each change is written whole, under another name first.

    Args:
        path: The file (JSON, mode 0600); None: memory alone.
        clock: Seconds since 1970.
    """

    def __init__(self, path: str | None = None, *, clock: Callable[[], float] = epoch_s) -> None:
        self._path = path
        self._clock = clock
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._stamp: tuple[int, int] | None = None

    def get(self, domain: str) -> tuple[str, StsPolicy] | None:
        """The id and policy of a domain, if it is still to be held to. The id is "" where it should be fetched anew.

        That is so for the second half of its time: who waits until the end has a moment without any, and an attacker
        can wait for that (RFC 8461 section 10.2).
        """
        self._read()
        kept = self._kept.get(domain)
        left_s = 0.0 if kept is None else kept.until - self._clock()
        if kept is None or left_s <= 0:
            return None
        with suppress(KeyError):  # another thread's put has just dropped it
            # What is asked for stays: domains that a stranger invents are not to push it out.
            self._kept.move_to_end(domain)
        return kept.id if left_s > kept.policy.max_age_s / 2 else "", kept.policy

    def put(self, domain: str, id_: str, policy: StsPolicy) -> None:
        """Keep a policy that was just fetched."""
        self._read()
        self._kept[domain] = _Kept(id_, self._clock() + policy.max_age_s, policy)
        self._kept.move_to_end(domain)
        while len(self._kept) > _MAX_DOMAINS:
            self._kept.popitem(last=False)
        self._write()

    def _read(self) -> None:
        """Take in what another process has written since. A file that is missing or broken is an empty one, and so is
        one that somebody else may have written: they would choose who is held to which policy.
        """
        if self._path is None:
            return
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            state = os.stat(self._path)
            stamp = (state.st_ino, state.st_mtime_ns)
            if stamp == self._stamp or not _is_ours(state):
                return
            with open(self._path, encoding="utf-8") as file:
                data = json.load(file)
            self._stamp = stamp
            for domain, (id_, until, mode, mx, max_age_s) in data.items():
                self._kept[domain] = _Kept(id_, float(until), StsPolicy(mode, tuple(mx), int(max_age_s)))

    def _write(self) -> None:
        if self._path is None:
            return
        data = {
            domain: (kept.id, kept.until, kept.policy.mode, kept.policy.mx, kept.policy.max_age_s)
            for domain, kept in self._kept.items()
            if kept.until > self._clock()
        }
        temporary = ""
        try:
            # mkstemp makes it 0600; policies are public, but who may write them decides where mail goes.
            handle, temporary = tempfile.mkstemp(dir=os.path.dirname(self._path) or ".", prefix=".mta-sts-")
            with open(handle, "w", encoding="utf-8") as file:
                json.dump(data, file)
            os.replace(temporary, self._path)
        except OSError:  # memory still has it; mail is not to wait for a disk
            with suppress(OSError):
                os.unlink(temporary)


def _is_ours(found: os.stat_result) -> bool:
    """Whether nobody but this user and root can have written a file."""
    if not stat.S_ISREG(found.st_mode):  # opening a FIFO would block
        return False
    return os.name != "posix" or (found.st_uid in (0, os.geteuid()) and not found.st_mode & 0o022)


class MtaSts:
    """Finds the policy of a domain.

    Args:
        dns: Who is asked for records, and for the web server's address.
        http: Makes the client for policies: one that verifies, follows no redirect, and reads so many bytes at most.
        cache: What is known; None: an empty one in memory.
        port: The web server's; another than 443 is for tests.
    """

    def __init__(
        self,
        dns: DnsClient,
        http: Callable[[Runtime, int], HttpClient],
        *,
        cache: StsCache | None = None,
        port: int = 443,
    ) -> None:
        self._dns = dns
        self._http = http
        self._cache = cache or StsCache()
        self._port = port
        self._failed: dict[tuple[str, str], tuple[float, str]] = {}
        self._under_way: dict[tuple[object, str, str], Event] = {}

    async def policy(self, runtime: Runtime, domain: str, deadline: float) -> tuple[StsPolicy | None, str]:
        """The policy that holds for mail to a domain (its A-labels, not its MX hosts'), and what went wrong, or "".

        Never raises for a domain: one whose policy cannot be learnt has the one learnt before, or none (section 5.1).
        """
        cached = self._cache.get(domain)
        known = None if cached is None else cached[1]
        try:
            answer = await self._dns.look_up(runtime, f"_mta-sts.{domain}", "TXT", deadline)
        except TransportError as error:
            return known, f"mta-sts of {domain}: {error}"
        id_ = policy_id(answer.records)
        if id_ is None:
            return known, ""
        key = runtime.token(), domain, id_  # a fork or another event loop does not wait for this one
        while True:
            if (cached := self._cache.get(domain)) is not None and cached[0] == id_:
                return cached[1], ""
            other = self._under_way.setdefault(key, mine := runtime.event())
            if other is mine:
                break
            if not await other.wait(deadline):
                return known, f"mta-sts of {domain}: its policy was not there in time"
        try:
            return await self._renewed(runtime, domain, id_, known, deadline)
        finally:
            del self._under_way[key]
            mine.set()

    async def _renewed(
        self, runtime: Runtime, domain: str, id_: str, known: StsPolicy | None, deadline: float
    ) -> tuple[StsPolicy | None, str]:
        """The policy of this id, fetched unless that failed a moment ago; else the known one, and why."""
        until, said = self._failed.get((domain, id_), (0.0, ""))
        if until <= runtime.now():
            try:
                policy = await self._fetched(runtime, domain, min(deadline, runtime.now() + _FETCH_S))
            except (MailerError, ValueError) as error:
                said = f"mta-sts of {domain}: its policy could not be had: {error}"
                if len(self._failed) >= _MAX_DOMAINS:
                    self._failed.clear()
                self._failed[domain, id_] = runtime.now() + _RETRY_S, said
            else:
                self._cache.put(domain, id_, policy)
                return policy, ""
        return known, said

    async def _fetched(self, runtime: Runtime, domain: str, deadline: float) -> StsPolicy:
        host = f"mta-sts.{domain}"
        url = f"https://{host}{'' if self._port == 443 else f':{self._port}'}/.well-known/mta-sts.txt"
        client = self._http(runtime, MAX_POLICY_BYTES)
        try:
            response = await client.send("GET", url, deadline=deadline)
        finally:
            await client.aclose()
        return _read(response)


def _read(response: Response) -> StsPolicy:
    """The policy in an answer (RFC 8461 section 3.3). Raises ValueError, or what cut the answer short."""
    if response.cut is not None:
        raise response.cut
    if response.status != 200:
        # "HTTP 3xx redirects MUST NOT be followed"
        raise ValueError(f"the web server answered {response.status}")
    content_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "text/plain":
        raise ValueError(f"the content type is {content_type[:80]!r}, not 'text/plain'")
    try:
        return StsPolicy.parse(response.content.decode("utf-8"))
    except UnicodeDecodeError:
        raise ValueError("the policy is not UTF-8") from None
