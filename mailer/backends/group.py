"""Groups: several backends as one. Each recipient is cared for apart: who accepted, or may have, is not tried again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import MailerError, Outcome, UnsupportedFeature
from ..features import Features, Unsupported
from ..mail import Mail
from ..receipt import Attempt, Receipt, RecipientResult
from .base import Backend, Health, called, carry, examine

if TYPE_CHECKING:
    from ..runtime import Runtime

__all__ = ["FailoverBackend"]


class FailoverBackend(Backend):
    """Tries its members in order until every recipient has an outcome that is final.

    DEFERRED, and what a member cannot carry at all, goes on to the next; REJECTED is final; UNKNOWN stays, since
    sending again may duplicate, unless ``resend_unknown``. A member that deferred everybody because it could not be
    reached rests for ``rest_s`` seconds: it is tried last meanwhile.

    Attributes:
        members: In the order of preference.
    """

    features = Features.everything()  # the members decide
    is_group = True

    def __init__(self, members: Sequence[Backend], *, resend_unknown: bool = False, rest_s: float = 0.0) -> None:
        if not members:
            raise ValueError("a group needs members")
        self.members = tuple(members)
        self._moves_on = {Outcome.DEFERRED, Outcome.UNKNOWN} if resend_unknown else {Outcome.DEFERRED}
        self._rest_s = rest_s
        self._rests_until: dict[int, float] = {}
        self._cut_short: dict[str, Receipt] = {}
        options = (["on_unknown=resend"] if resend_unknown else []) + ([f"rest={rest_s:g}"] if rest_s else [])
        self.url = f"failover({' '.join(map(str, self.members))})" + ("?" + "&".join(options) if options else "")

    def attach(self, runtime: Runtime, unsupported: Unsupported = "default") -> None:
        """Bind the group and its members."""
        super().attach(runtime, unsupported)
        for member in self.members:
            member.attach(runtime, unsupported)

    async def send(self, mail: Mail) -> Receipt:
        """Try the members in order, each with the recipients that are still open."""
        so_far = _SoFar(mail)
        refused: UnsupportedFeature | None = None
        for index in self._order():
            member, part = self.members[index], so_far.remaining(self._moves_on)
            if part is None:
                break
            try:
                receipt = await carry(member, part)
            except UnsupportedFeature as error:
                refused = error
                so_far.notes.append(str(error))
                continue
            except BaseException:
                so_far.add(member.settled(part))
                self._cut_short[mail.id] = so_far.receipt()
                raise
            so_far.add(receipt)
            if self._rest_s and receipt.cause is not None and len(receipt.deferred) == len(receipt.results):
                self._rests_until[index] = self.runtime.now() + self._rest_s
            else:
                self._rests_until.pop(index, None)
        if refused is not None and not so_far.attempts:
            raise refused
        return so_far.receipt()

    def _order(self) -> list[int]:
        if not self._rests_until:
            return list(range(len(self.members)))
        now = self.runtime.now()
        return sorted(range(len(self.members)), key=lambda index: self._rests_until.get(index, 0.0) > now)

    def settled(self, mail: Mail) -> Receipt:
        """What the members knew when the send was cut short."""
        return self._cut_short.pop(mail.id, None) or super().settled(mail)

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


class _SoFar:
    """One mail's results over several tries: the latest for each recipient."""

    def __init__(self, mail: Mail) -> None:
        self._mail = mail
        self._results: dict[tuple[str, str], RecipientResult] = {}
        self._backend = ""
        self.attempts: list[Attempt] = []
        self.notes: list[str] = []

    def remaining(self, moves_on: set[Outcome]) -> Mail | None:
        """The mail for those without a final outcome, or None if there is nobody left."""
        left = [
            address
            for address in self._mail.envelope.recipients
            if address.key not in self._results or self._results[address.key].outcome in moves_on
        ]
        if len(left) == len(self._mail.envelope.recipients):
            return self._mail
        return self._mail.with_(envelope=self._mail.envelope.for_recipients(left)) if left else None

    def add(self, receipt: Receipt) -> None:
        for result in receipt.results:
            before = self._results.get(result.address.key)
            # Resent after UNKNOWN and then deferred or refused: the first copy may still have arrived.
            if before is None or before.outcome is not Outcome.UNKNOWN or result.outcome is Outcome.ACCEPTED:
                self._results[result.address.key] = result
        self.attempts += receipt.attempts
        self.notes += receipt.notes
        if receipt.accepted or not self._backend:
            self._backend = receipt.backend

    def receipt(self) -> Receipt:
        silent = "no backend could be tried"
        results = [
            self._results.get(address.key) or RecipientResult(address, Outcome.DEFERRED, text=silent)
            for address in self._mail.envelope.recipients
        ]
        return Receipt(
            id=self._mail.id,
            backend=self._backend,
            results=tuple(results),
            attempts=tuple(self.attempts),
            notes=tuple(dict.fromkeys(self.notes)),
        )
