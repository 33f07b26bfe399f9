"""Groups: several backends as one. Each recipient is cared for apart: who accepted, or may have, is not tried again.

A group takes mails to a first member, then to the next with whoever is left over, until nobody is. Groups differ only
in who is first: ``failover`` has an order of preference, ``roundrobin`` and ``weighted`` take turns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from ..errors import ConfigError, MailerError, Outcome, UnsupportedFeature
from ..features import Features, Unsupported
from ..mail import Mail
from ..receipt import Receipt, RecipientResult
from ..retry import MAX_RETRY_AFTER_S
from ..tally import Tally
from ..verdict import Scope
from .base import Backend, Health, called, carry_many, check_batch_size, examine

if TYPE_CHECKING:
    from ..oauth2.token import TokenSource
    from ..runtime import Runtime

__all__ = ["FailoverBackend", "GroupBackend", "RoundRobinBackend", "WeightedBackend"]

MAX_WEIGHT = 1000

# Deferred because of these, the next mail would fare no better: a reason to rest.
_OF_THE_MEMBER = (Scope.SESSION, Scope.HOST, Scope.ACCOUNT)
#: Enhanced codes of what a server cannot take, found out from its offers before anything was sent: too large for its
#: SIZE, a signed 8-bit part, no SMTPUTF8, no REQUIRETLS. Permanent on that route, and another may do (PROTOCOL.md 2).
_OF_THE_ROUTE = frozenset({"5.3.4", "5.6.3", "5.6.7", "5.7.30"})


class GroupBackend(Backend):
    """What all groups do: try one member after the other until every recipient has an outcome that is final.

    DEFERRED, and what a member cannot carry at all, goes on to the next; REJECTED by a server is final; UNKNOWN stays,
    since sending again may duplicate, unless ``resend_unknown``. Deferred by all, the last one's answer counts; but one
    about our account there gives way to another's, which a second try may help.

    A member that deferred everybody because of its host or our account there rests for ``rest_s`` seconds, or as long
    as it asked for: it is tried last meanwhile. Then one call finds out whether it is well again, while for all others
    it goes on resting. Shared by threads and tasks.

    Attributes:
        members: As given.
    """

    is_group = True
    passes_on = True
    _name: ClassVar[str]

    def __init__(self, members: Sequence[Backend], *, resend_unknown: bool = False, rest_s: float = 0.0) -> None:
        """Make a group.

        Args:
            members: At least one.
            resend_unknown: Try UNKNOWN at the next member too: a risk of two copies.
            rest_s: 0 for no rest, to 86400.

        Raises:
            ConfigError: One of these is wrong.
        """
        from ..runtime import Lock

        self.members = tuple(members)
        if not self.members:
            raise ConfigError(f"{self._name}: a group needs members")
        for member in self.members:
            if not isinstance(member, Backend):
                raise ConfigError(f"{self._name}: a member must be a Backend, not {type(member).__name__}")
        if not 0 <= rest_s <= 86_400:
            raise ConfigError(f"{self._name}: rest_s={rest_s!r}: must be from 0 to 86400 seconds")
        # The members decide what is carried; but to merge is the mailer's, unless every member does it.
        merges = all(member.features.merge for member in self.members)
        self.features = replace(Features.everything(), merge=merges)
        self.batch_size = max(map(check_batch_size, self.members))
        self._moves_on = {Outcome.DEFERRED, Outcome.UNKNOWN} if resend_unknown else {Outcome.DEFERRED}
        self._rest_s = rest_s
        self._rests_until: dict[int, float] = {}
        self._cut_short: dict[str, Receipt] = {}
        self._lock = Lock()  # over turns and rests; never held while waiting
        options = (["on_unknown=resend"] if resend_unknown else []) + ([f"rest={rest_s:g}"] if rest_s else [])
        self.url = f"{self._name}({' '.join(self._shown())})" + ("?" + "&".join(options) if options else "")

    def _shown(self) -> list[str]:
        return [str(member) for member in self.members]

    def attach(self, runtime: Runtime, unsupported: Unsupported = "default") -> None:
        """Bind the group and its members."""
        super().attach(runtime, unsupported)
        for member in self.members:
            member.transcript = member.transcript or self.transcript
            member.has_stand_in = self.has_stand_in or len(self.members) > 1
            member.attach(runtime, unsupported)

    @property
    def rewrites(self) -> frozenset[str]:
        """What any member does, for any may carry it."""
        return frozenset().union(*[member.rewrites for member in self.members])

    @property
    def wants_tokens(self) -> bool:
        """Whether a member does."""
        return any(member.wants_tokens for member in self.members)

    def use_tokens(self, tokens: TokenSource) -> None:
        """Give them to the one member that wants them; to two, one's token would get to the other."""
        wanting = [member for member in self.members if member.wants_tokens]
        if len(wanting) != 1:
            raise ConfigError(
                f"{self}: access tokens are for one member, and {len(wanting)} log in with them: make the group of"
                " backends that have their own: FailoverBackend([...])"
            )
        wanting[0].use_tokens(tokens)

    # --- sending ------------------------------------------------------------------------------------------------------

    async def send(self, mail: Mail) -> Receipt:
        """Try the members in turn, each with the recipients that are still open."""
        [said] = await self.send_many([mail])
        if isinstance(said, UnsupportedFeature):
            raise said
        return said

    async def send_many(self, mails: Sequence[Mail]) -> list[Receipt | UnsupportedFeature]:
        """The same for several mails, which keep together; UnsupportedFeature for one that no member could carry."""
        tallies = [Tally(mail) for mail in mails]
        refused: dict[Tally, UnsupportedFeature] = {}
        tried: list[int] = []
        try:
            while len(tried) < len(self.members) and (parts := self._remaining(tallies)):
                tried.append(self._next(tried))
                await self._carry_by(tried[-1], parts, refused)
        except BaseException:
            self._cut_short |= {tally.mail.id: tally.receipt() for tally in tallies}
            raise
        return [_hopeful(tally.receipt(), tally) if tally.receipts else refused[tally] for tally in tallies]

    async def _carry_by(
        self, index: int, parts: Sequence[tuple[Tally, Mail]], refused: dict[Tally, UnsupportedFeature]
    ) -> None:
        """Let one member try these, as many at once as it takes; its receipts go to the tallies."""
        member, receipts = self.members[index], []
        for start in range(0, len(parts), member.batch_size):
            batch = parts[start : start + member.batch_size]
            try:
                said = await carry_many(member, [mail for _, mail in batch])
            except BaseException:
                for tally, mail in batch:
                    tally.add(member.settled(mail))
                raise
            for (tally, _), receipt in zip(batch, said, strict=True):
                if isinstance(receipt, Receipt):
                    tally.add(receipt)
                    receipts.append(receipt)
                else:
                    tally.notes.append(str(receipt))
                    refused[tally] = receipt
        self._judge(index, receipts)

    def _remaining(self, tallies: list[Tally]) -> list[tuple[Tally, Mail]]:
        """What is left to carry: each mail with its tally, for those without a final outcome."""
        parts = []
        for tally in tallies:
            left = [result.address for result in tally.latest() if self._is_open(result)]
            if (mail := tally.mail_to(left)) is not None:
                parts.append((tally, mail))
        return parts

    def _is_open(self, result: RecipientResult) -> bool:
        """Whether the next member may do better."""
        return result.outcome in self._moves_on or _is_of_the_route(result)

    def settled(self, mail: Mail) -> Receipt:
        """What the members knew when the send was cut short."""
        return self._cut_short.pop(mail.id, None) or super().settled(mail)

    # --- whose turn it is ---------------------------------------------------------------------------------------------

    def _next(self, tried: Sequence[int]) -> int:
        """The member to try now: of those that do not rest, if there are any, the one whose turn it is."""
        with self._lock:
            untried = [index for index in range(len(self.members)) if index not in tried]
            awake = untried
            if self._rests_until:
                now = self.runtime.now()
                awake = [index for index in untried if self._rests_until.get(index, now) <= now] or untried
            index = self._choose(awake, tried)
            if index in self._rests_until:
                # This call finds out whether it is well; the others keep away meanwhile.
                self._rests_until[index] = self.runtime.now() + self._rest_s
            return index

    def _choose(self, awake: Sequence[int], tried: Sequence[int]) -> int:
        """Of these members the one to try now, after those that were tried. Called under the lock."""
        raise NotImplementedError

    def _judge(self, index: int, receipts: Sequence[Receipt]) -> None:
        """Let a member rest, or not, for what it just did."""
        results = [result for receipt in receipts for result in receipt.results]
        is_of_the_member = [result.outcome is Outcome.DEFERRED and result.scope in _OF_THE_MEMBER for result in results]
        with self._lock:
            if not results:  # it could carry none of these, so nothing was found out: that is for the next call
                if index in self._rests_until:
                    self._rests_until[index] = self.runtime.now()
            elif self._rest_s and all(is_of_the_member):
                rest_s = max([self._rest_s, *(result.retry_after_s or 0.0 for result in results)])
                self._rests_until[index] = self.runtime.now() + min(rest_s, MAX_RETRY_AFTER_S)
            else:
                self._rests_until.pop(index, None)

    # --- the rest -----------------------------------------------------------------------------------------------------

    async def check(self) -> Health:
        """Check every member; the group is well if one of them is."""
        healths: list[Health] = [await examine(member) for member in self.members]
        facts = {health.backend: "ok" if health.ok else str(health.cause) for health in healths}
        cause: MailerError | None = next((health.cause for health in healths if not health.ok), None)
        return Health(ok=any(health.ok for health in healths), backend=self.url, facts=facts, cause=cause)

    async def close(self) -> None:
        """Close every member."""
        for member in self.members:
            await called(self.runtime, member.close)


def _is_of_the_route(result: RecipientResult) -> bool:
    """Whether it was refused on this side, for what the server does not offer."""
    return result.outcome is Outcome.REJECTED and result.code is None and result.enhanced_code in _OF_THE_ROUTE


def _hopeful(receipt: Receipt, tally: Tally) -> Receipt:
    """The receipt, but where the last member's fault is our account there, or what it cannot take, an earlier answer.

    A spare with a wrong password, or a low limit of size, is no reason not to try the first again.
    """
    if not any(map(_is_hopeless, receipt.results)):
        return receipt
    # The last answer of the best kind: deferred for another reason, then by an account, which somebody may put right.
    answers = [result for said in tally.receipts for result in said.results if result.outcome is Outcome.DEFERRED]
    answers.sort(key=lambda result: result.scope is not Scope.ACCOUNT)
    deferred = {result.address.key: result for result in answers}
    results = [
        deferred.get(result.address.key, result) if _is_hopeless(result) else result for result in receipt.results
    ]
    return receipt.with_(results=tuple(results))


def _is_hopeless(result: RecipientResult) -> bool:
    return _is_of_the_route(result) or (result.outcome is Outcome.DEFERRED and result.scope is Scope.ACCOUNT)


class FailoverBackend(GroupBackend):
    """Members in order of preference: the first is tried first, every time."""

    _name = "failover"

    def _choose(self, awake: Sequence[int], tried: Sequence[int]) -> int:
        return awake[0]


class WeightedBackend(GroupBackend):
    """Members take turns to be first, each in proportion to its weight; the others follow in their order.

    A turn is one mail, or one batch of ``send_many``. Turns are spread evenly and always the same: ``3*A 1*B`` is
    A A B A. Who rests has no turn, and the others share it.

    Attributes:
        weights: One for each member: 1 to 1000.
    """

    _name = "weighted"

    def __init__(
        self,
        members: Sequence[Backend],
        weights: Sequence[int],
        *,
        resend_unknown: bool = False,
        rest_s: float = 0.0,
    ) -> None:
        """Make a group. As :class:`GroupBackend`.

        Raises:
            ConfigError: Also for weights that are not one for each member, or out of range.
        """
        self.weights = tuple(weights)
        if len(self.weights) != len(members):
            raise ConfigError(f"{self._name}: {len(members)} members need as many weights, not {len(self.weights)}")
        for weight in self.weights:
            if isinstance(weight, bool) or not isinstance(weight, int) or not 1 <= weight <= MAX_WEIGHT:
                raise ConfigError(f"{self._name}: weight {weight!r}: must be a whole number from 1 to {MAX_WEIGHT}")
        self._credit = [0] * len(self.weights)
        super().__init__(members, resend_unknown=resend_unknown, rest_s=rest_s)

    def _shown(self) -> list[str]:
        return [f"{weight}*{member}" for weight, member in zip(self.weights, self.members, strict=True)]

    def _choose(self, awake: Sequence[int], tried: Sequence[int]) -> int:
        if tried:
            return min(awake, key=lambda index: (index - tried[-1]) % len(self.members))
        # Smooth weighted round-robin, as nginx has it: everybody earns their weight, the richest pays for all.
        for index in awake:
            self._credit[index] += self.weights[index]
        chosen = max(awake, key=self._credit.__getitem__)
        self._credit[chosen] -= sum([self.weights[index] for index in awake])
        return chosen


class RoundRobinBackend(WeightedBackend):
    """Members take turns to be first; the others follow in their order."""

    _name = "roundrobin"

    def __init__(self, members: Sequence[Backend], *, resend_unknown: bool = False, rest_s: float = 0.0) -> None:
        """Make a group. As :class:`GroupBackend`."""
        super().__init__(members, [1] * len(members), resend_unknown=resend_unknown, rest_s=rest_s)

    def _shown(self) -> list[str]:
        return [str(member) for member in self.members]
