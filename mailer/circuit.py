"""Circuits: whether a backend is worth asking, known to all who ask it.

After so many failures in a row a circuit opens: nobody asks, for a while. Then one mail is the probe, half-open: if it
goes through the circuit closes, else it is open again. The rules are functions on values; a store keeps the values, in
this process or for several.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from .errors import ConfigError
from .field import printable
from .runtime import Lock
from .store_file import store_file

__all__ = ["Circuit", "CircuitPolicy", "CircuitStore", "MemoryCircuits", "RedisCircuits", "SqliteCircuits"]

#: As long as a circuit is ever open at once: a clock that was put back keeps none open for longer, neither.
MAX_OPEN_S = 3600.0
_KEPT_S = 86_400
_MAX_REASON = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """What is known of a backend. Times are seconds since 1970, as several machines may share them; 0 is never.

    Attributes:
        failures: In a row.
        open_until: Nobody asks before.
        probe_until: By when the probe that is on its way has an answer, or counts as lost.
        reason: Of the last failure; one line.
    """

    failures: int = 0
    open_until: float = 0.0
    probe_until: float = 0.0
    reason: str = ""

    def __post_init__(self) -> None:
        numbers = (self.failures, self.open_until, self.probe_until)
        if not all([isinstance(one, (int, float)) and 0 <= one < 1e12 for one in numbers]):
            raise ValueError(f"no state of a circuit: {numbers}")
        object.__setattr__(self, "reason", printable(str(self.reason))[:_MAX_REASON])


CLOSED = Circuit()


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitPolicy:
    """When a circuit opens, and when it is tried again.

    Attributes:
        failures: So many in a row open it: 1 to 1000.
        open_s: For so many seconds, 0 to 3600; longer if the peer asked for a longer pause.
        probe_s: A probe without an answer for so long is given up, and another sent.
    """

    failures: int = 5
    open_s: float = 30.0
    probe_s: float = 180.0

    def __post_init__(self) -> None:
        if not (1 <= self.failures <= 1000 and 0 <= self.open_s <= MAX_OPEN_S and 0 < self.probe_s <= MAX_OPEN_S):
            raise ConfigError(f"{self}: failures is from 1 to 1000, open_s and probe_s up to {MAX_OPEN_S:g} seconds")

    def is_closed(self, circuit: Circuit) -> bool:
        """Whether everybody may ask."""
        return circuit.failures < self.failures

    def wait_s(self, circuit: Circuit, now: float) -> float:
        """How long until somebody may ask, in seconds; 0 if that is now."""
        if self.is_closed(circuit):
            return 0.0
        until = max(min(circuit.open_until, now + MAX_OPEN_S), min(circuit.probe_until, now + self.probe_s))
        return max(until - now, 0.0)

    def probed(self, circuit: Circuit, now: float) -> Circuit:
        """Half-open: the probe is on its way."""
        return replace(circuit, probe_until=now + self.probe_s)

    def failed(self, circuit: Circuit, now: float, reason: str, pause_s: float = 0.0) -> Circuit:
        """After a failure. One that comes late, of a mail on its way when the circuit opened, does not prolong that."""
        failures = min(circuit.failures + 1, 10_000)
        until = circuit.open_until
        if failures >= self.failures and (not circuit.open_until or circuit.probe_until or until <= now):
            until = now + min(max(self.open_s, pause_s), MAX_OPEN_S)
        return Circuit(failures=failures, open_until=until, reason=reason)

    def released(self, circuit: Circuit) -> Circuit:
        """The probe found nothing out: another may be sent."""
        return replace(circuit, probe_until=0.0)


Change = Callable[[Circuit], Circuit]


class CircuitStore:
    """Keeps circuits by name. Subclass it for a store of your own; both methods are plain, and may raise anything.

    May be used by threads at once.

    Attributes:
        is_quick: It asks nothing outside of the process, so that async mailers call it without a thread.
    """

    is_quick: bool = False

    def look(self, name: str) -> Circuit:
        """The circuit of this name; a closed one if it is not known."""
        raise NotImplementedError(f"{type(self).__name__} has no look")

    def change(self, name: str, change: Change) -> Circuit:
        """Put the changed circuit in its place, with nobody between, and return it. ``change`` may be called again."""
        raise NotImplementedError(f"{type(self).__name__} has no change")

    def close(self) -> None:
        """Let go of what it opened. It may be used again."""


class MemoryCircuits(CircuitStore):
    """Circuits of this process."""

    is_quick = True

    def __init__(self) -> None:
        self._circuits: dict[str, Circuit] = {}
        self._lock = Lock()

    def look(self, name: str) -> Circuit:
        """See :class:`CircuitStore`."""
        return self._circuits.get(name, CLOSED)

    def change(self, name: str, change: Change) -> Circuit:
        """See :class:`CircuitStore`."""
        with self._lock:
            circuit = self._circuits[name] = change(self._circuits.get(name, CLOSED))
            return circuit


class SqliteCircuits(CircuitStore):
    """Circuits in an SQLite file, for all processes of a machine."""

    def __init__(self, path: str | os.PathLike[str], *, wait_s: float = 0.5) -> None:
        """Name the file, which is made when it is first used; ``wait_s``: for how long it may be locked by others.

        Raises:
            ConfigError: The name is none; see :func:`~mailer.store_file.store_file`.
        """
        self.path = store_file(path, "circuits need")
        self._wait_s = wait_s

    def look(self, name: str) -> Circuit:
        """See :class:`CircuitStore`."""
        with self._opened() as db:
            return _found(db, name)

    def change(self, name: str, change: Change) -> Circuit:
        """See :class:`CircuitStore`."""
        with self._opened() as db:
            db.execute("BEGIN IMMEDIATE")  # read and write in one: no other process comes between
            circuit = change(_found(db, name))
            values = (name, circuit.failures, circuit.open_until, circuit.probe_until, circuit.reason)
            db.execute("INSERT OR REPLACE INTO circuits VALUES (?, ?, ?, ?, ?)", values)
            db.execute("COMMIT")
            return circuit

    @contextlib.contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """A connection of its own each time: it belongs to no thread, and no child of a fork."""
        with contextlib.closing(sqlite3.connect(self.path, timeout=self._wait_s, isolation_level=None)) as db:
            db.execute(
                "CREATE TABLE IF NOT EXISTS circuits (name TEXT PRIMARY KEY, failures INTEGER NOT NULL,"
                " open_until REAL NOT NULL, probe_until REAL NOT NULL, reason TEXT NOT NULL) WITHOUT ROWID"
            )
            yield db

    def __repr__(self) -> str:
        return f"<SqliteCircuits {self.path}>"


def _found(db: sqlite3.Connection, name: str) -> Circuit:
    row = db.execute(
        "SELECT failures, open_until, probe_until, reason FROM circuits WHERE name = ?", (name,)
    ).fetchone()
    return CLOSED if row is None else Circuit(failures=row[0], open_until=row[1], probe_until=row[2], reason=row[3])


class RedisCircuits(CircuitStore):
    """Circuits in Redis, for all machines that ask it. They are forgotten a day after their last change."""

    def __init__(self, url: str, *, wait_s: float = 0.5, prefix: str = "mailer:circuit:") -> None:
        """Name the server: ``redis://:password@host:6379/0``. Nothing is connected yet.

        Args:
            url: As the package ``redis`` takes it.
            wait_s: How long connecting, and each answer, may take.
            prefix: What keys begin with.

        Raises:
            ConfigError: The package is missing, or the URL wrong.
        """
        import importlib

        try:
            redis = importlib.import_module("redis")
            no_pause = importlib.import_module("redis.backoff").NoBackoff()
            once = importlib.import_module("redis.retry").Retry(no_pause, 0)
        except ImportError:
            raise ConfigError("circuits in Redis need its package: pip install 'mailwright[redis]'") from None
        self._prefix = prefix
        try:
            self._redis: Any = redis.Redis.from_url(
                url, socket_timeout=wait_s, socket_connect_timeout=wait_s, retry=once, decode_responses=True
            )
        except ValueError:
            raise ConfigError("the URL of Redis is wrong: redis://:password@host:6379/0") from None

    def look(self, name: str) -> Circuit:
        """See :class:`CircuitStore`."""
        return _read(self._redis.get(self._prefix + name))

    def change(self, name: str, change: Change) -> Circuit:
        """See :class:`CircuitStore`."""
        key = self._prefix + name

        def changed(pipe: Any) -> Circuit:
            circuit = change(_read(pipe.get(key)))
            pipe.multi()
            pipe.set(key, json.dumps(asdict(circuit)), ex=_KEPT_S)
            return circuit

        circuit: Circuit = self._redis.transaction(changed, key, value_from_callable=True)
        return circuit

    def close(self) -> None:
        """See :class:`CircuitStore`."""
        self._redis.close()


def _read(text: str | None) -> Circuit:
    return CLOSED if text is None else Circuit(**json.loads(text))
