"""``circuit``: a backend that fails and fails is left alone for a while, by all workers."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Callable, Sequence
from functools import cached_property

from pydantic import Field, InstanceOf, SecretStr, field_validator, model_validator

from ..backends.base import Backend
from ..backends.wrapping import Plan, Wrapped, WrappingBackend
from ..circuit import CLOSED, Circuit, CircuitPolicy, CircuitStore, MemoryCircuits, RedisCircuits, SqliteCircuits
from ..clock import epoch_s
from ..errors import Outcome, UnsupportedFeature
from ..hooks import Hooks
from ..hookspecs import Context
from ..log import CIRCUIT, STORE_FAILED
from ..mail import Mail
from ..plugin import Plugin, PluginSettings
from ..receipt import Receipt, RecipientResult
from ..redaction import words_of
from ..runtime import Runtime
from ..store_file import checked_path
from ..verdict import Scope

__all__ = ["CircuitBackend", "CircuitBreaker", "CircuitSettings"]

#: Around what was chosen to carry the mail, and inside of what limits and keeps back.
_PRIORITY = 20
#: For how long a store that failed is not asked again: it delays one mail in so many seconds.
_STORE_REST_S = 30.0
_OF_THE_BACKEND = (Scope.SESSION, Scope.HOST, Scope.ACCOUNT)


class CircuitSettings(PluginSettings):
    """Settings of ``circuit``."""

    failures: int = Field(5, ge=1, le=1000, description="After how many failures in a row the circuit opens.")
    open_s: float = Field(
        30.0, ge=0, le=3600, description="For how many seconds nobody asks then; more if the server asked for more."
    )
    probe_s: float = Field(
        180.0, gt=0, le=3600, description="A probe without an answer for so many seconds is given up, and another sent."
    )
    path: str | None = Field(
        None, description="The name of an SQLite file by which the processes of a machine share what they know."
    )
    redis: SecretStr | None = Field(
        None, description="Or a Redis server, for several machines: `redis://:password@host:6379/0`."
    )
    store: InstanceOf[CircuitStore] | None = Field(None, description="Or a `CircuitStore` of your own.")
    wait_s: float = Field(
        0.5, gt=0, le=60, description="How long a locked file, or Redis, is waited for; then it goes on without."
    )
    _path = field_validator("path")(checked_path)

    @model_validator(mode="after")
    def _one_store(self) -> CircuitSettings:
        if sum([one is not None for one in (self.path, self.redis, self.store)]) > 1:
            raise ValueError("give path, redis or store, one of them")
        if self.redis is not None:
            RedisCircuits(self.redis.get_secret_value())  # what is wrong is to be known now
        return self

    @property
    def policy(self) -> CircuitPolicy:
        """When it opens and closes."""
        return CircuitPolicy(failures=self.failures, open_s=self.open_s, probe_s=self.probe_s)

    def opened_store(self) -> CircuitStore:
        """Where circuits are kept."""
        if self.path is not None:
            return SqliteCircuits(self.path, wait_s=self.wait_s)
        if self.redis is not None:
            return RedisCircuits(self.redis.get_secret_value(), wait_s=self.wait_s)
        return MemoryCircuits() if self.store is None else self.store


class CircuitBreaker(Plugin[CircuitSettings]):
    """Breaks circuits.

    Attributes:
        clock: Seconds since 1970, the same for all who share a store.
    """

    name = "circuit"
    clock: Callable[[], float] = staticmethod(epoch_s)

    def register(self, hooks: Hooks) -> None:
        """Stand before the backend."""
        self._wrapped = Wrapped(lambda inner: CircuitBackend(inner, self.circuits, self.settings.policy, self._now))
        hooks.add_filter("backend", self.wrap, _PRIORITY)

    def _now(self) -> float:
        return self.clock()

    @cached_property
    def circuits(self) -> _Circuits:
        """What is known, by all that is wrapped."""
        return _Circuits(self.settings.opened_store())

    def wrap(self, backend: Backend, context: Context) -> Backend:
        """The backend behind its circuit."""
        return self._wrapped.of(backend)

    def close(self) -> None:
        """Let the store go of what it opened."""
        if "circuits" in self.__dict__:
            self.circuits.store.close()


class _Circuits:
    """A store, and what this process knows by itself while the store does not answer."""

    def __init__(self, store: CircuitStore) -> None:
        self.store = store
        self._own = MemoryCircuits()
        self._rests_until = 0.0

    async def asked(self, runtime: Runtime, ask: Callable[[CircuitStore], Circuit], now: float) -> Circuit:
        """What the store says; if it fails, what this process knows, for some time."""
        if now >= self._rests_until or self._rests_until > now + _STORE_REST_S:
            try:
                return ask(self.store) if self.store.is_quick else await runtime.run(lambda: ask(self.store))
            except Exception as error:  # noqa: BLE001 - whatever a store raises, mail is to be sent
                self._rests_until = now + _STORE_REST_S
                STORE_FAILED(plugin="circuit", rest_s=_STORE_REST_S, reason=words_of(error))
        return ask(self._own)


class CircuitBackend(WrappingBackend):
    """Stands before a backend, and defers everyone at once while the circuit is open.

    Its name in the store is the backend's URL with its secrets masked.
    """

    def __init__(
        self,
        inner: Backend,
        circuits: CircuitStore | _Circuits,
        policy: CircuitPolicy,
        clock: Callable[[], float] = epoch_s,
    ) -> None:
        super().__init__(inner)
        self._circuits = _Circuits(circuits) if isinstance(circuits, CircuitStore) else circuits
        self._policy = policy
        self._clock = clock
        self._name = str(inner)
        self._has_failures = False  # as far as this process knows: then a success takes them back

    async def stages(self, mails: Sequence[Mail]) -> AsyncGenerator[tuple[Sequence[Mail], Sequence[Plan]], None]:
        """All of them, if the circuit is closed; the first alone, if it is the probe; or none."""
        waiting = list(mails)
        while waiting:
            circuit, may_go = await self._ask()
            if not may_go:
                yield waiting, [self._refused(mail, circuit) for mail in waiting]
                return
            going = waiting if self._policy.is_closed(circuit) else waiting[:1]
            yield going, [Plan(shares=[(self.inner, mail)]) for mail in going]
            del waiting[: len(going)]

    async def _ask(self) -> tuple[Circuit, bool]:
        """The circuit, and whether a mail may go; not closed, it is the probe."""
        now, policy = self._clock(), self._policy
        circuit = await self._circuits.asked(self.runtime, lambda store: store.look(self._name), now)
        self._has_failures = self._has_failures or circuit != CLOSED
        if policy.is_closed(circuit):
            return circuit, True
        if policy.wait_s(circuit, now):
            return circuit, False
        may_go = False

        def probe(circuit: Circuit) -> Circuit:  # unless somebody was quicker
            nonlocal may_go
            may_go = policy.wait_s(circuit, now) == 0
            return policy.probed(circuit, now) if may_go and not policy.is_closed(circuit) else circuit

        circuit = await self._circuits.asked(self.runtime, lambda store: store.change(self._name, probe), now)
        return circuit, may_go

    async def learn(
        self, backend: Backend, mails: Sequence[Mail], said: Sequence[Receipt | UnsupportedFeature]
    ) -> None:
        """Count a failure, or close the circuit."""
        results = [result for receipt in said if isinstance(receipt, Receipt) for result in receipt.results]
        now, policy = self._clock(), self._policy
        if results and all(map(_is_of_the_backend, results)):
            pause_s = max([result.retry_after_s or 0.0 for result in results])
            # What was said of one mail is no other recipient's concern: the host's words, or none.
            reasons = [result.text for result in results if result.outcome is Outcome.DEFERRED and result.text]
            reason = reasons[-1] if reasons else "no answer"
            self._has_failures = True
            await self._change(lambda circuit: policy.failed(circuit, now, reason, pause_s), now)
        elif self._has_failures:
            self._has_failures = not results
            await self._change(lambda circuit: CLOSED if results else policy.released(circuit), now)

    async def _change(self, change: Callable[[Circuit], Circuit], now: float) -> None:
        before = CLOSED

        def noted(circuit: Circuit) -> Circuit:
            nonlocal before
            before = circuit
            return change(circuit)

        after = await self._circuits.asked(self.runtime, lambda store: store.change(self._name, noted), now)
        is_closed = self._policy.is_closed(after)
        if is_closed != self._policy.is_closed(before):
            CIRCUIT(backend=self._name, state="closed" if is_closed else "open")

    def _refused(self, mail: Mail, circuit: Circuit) -> Plan:
        wait_s = float(max(math.ceil(self._policy.wait_s(circuit, self._clock())), 1))
        receipt = Receipt.for_all(
            mail,
            Outcome.DEFERRED,
            text=f"the circuit is open, after {circuit.failures} failures ({circuit.reason}): next try in {wait_s:g} s",
            retry_after_s=wait_s,
            scope=Scope.HOST,
        )
        return Plan(results=receipt.results)


def _is_of_the_backend(result: RecipientResult) -> bool:
    """Whether the next mail would fare no better."""
    return result.outcome is Outcome.UNKNOWN or (result.outcome is Outcome.DEFERRED and result.scope in _OF_THE_BACKEND)
