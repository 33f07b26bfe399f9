"""The lock: of threads that share something, and open in the child of a fork, whoever held it in the parent.

A server that forks its workers from a process with threads would else leave one of them a lock that nobody opens.
"""

from __future__ import annotations

import os
import threading
import weakref

__all__ = ["Lock"]

_LOCKS: weakref.WeakSet[threading.Lock] = weakref.WeakSet()


def Lock() -> threading.Lock:  # noqa: N802 - in the place of threading's
    """A new ``threading.Lock``. It is not to be held where the thread itself may fork, nor over an await."""
    made = threading.Lock()
    _LOCKS.add(made)
    return made


def _open_all() -> None:
    for lock in tuple(_LOCKS):
        if lock.locked():
            lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_open_all)
