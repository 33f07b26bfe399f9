"""Locks: of threads that share something, and open in the child of a fork, whoever held them in the parent.

A server that forks its workers from a process with threads would else leave one of them a lock that nobody opens.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any

__all__ = ["Lock", "RLock"]

_LOCKS: weakref.WeakSet[threading.Lock] = weakref.WeakSet()
_RLOCKS: weakref.WeakSet[Any] = weakref.WeakSet()  # typeshed has no word of what is called below


def Lock() -> threading.Lock:  # noqa: N802 - in the place of threading's
    """A new ``threading.Lock``. It is not to be held where the thread itself may fork, nor over an await."""
    made = threading.Lock()
    _LOCKS.add(made)
    return made


def RLock() -> threading.RLock:  # noqa: N802 - in the place of threading's
    """A new ``threading.RLock``, for who may come back to it by anybody's code. As :func:`Lock` in all else."""
    made = threading.RLock()
    _RLOCKS.add(made)
    return made


def _open_all() -> None:
    for lock in tuple(_LOCKS):
        if lock.locked():
            lock.release()
    for reentrant in tuple(_RLOCKS):
        reentrant._at_fork_reinit()  # only its owner, who is not here, could release it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_open_all)
