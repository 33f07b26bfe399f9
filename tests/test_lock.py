"""The lock of what threads share: in the child of a fork nobody waits for a thread that it lacks."""

from __future__ import annotations

import os
import signal
import threading
import warnings
from contextlib import ExitStack

import pytest

from mailer import Mailer, default
from mailer.circuit import MemoryCircuits
from mailer.lock import Lock, RLock
from mailer.rate import RateLimiter
from mailer.rate_table import RateTable
from mailer.runtime import BlockingRuntime
from mailer.seen import MemorySeen


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_finds_every_lock_open():
    kept = [
        MemoryCircuits(),
        MemorySeen(),
        RateTable(),
        RateLimiter(None, BlockingRuntime()),
        Mailer("roundrobin(null: null:)").backend,
    ]
    locks = [Lock(), default._lock, *(one._lock for one in kept)]
    with ExitStack() as held, warnings.catch_warnings():  # as other threads might hold them at that moment
        for lock in locks:
            held.enter_context(lock)
        warnings.simplefilter("ignore", DeprecationWarning)  # pytest-xdist has threads of its own
        child = os.fork()
        if not child:
            signal.alarm(20)  # rather than for ever
            for lock in locks:
                lock.acquire()
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not any(lock.locked() for lock in locks), "the parent's are its own"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_reentrant_one_that_another_thread_holds_is_open_there_too():
    lock, held, over = RLock(), threading.Event(), threading.Event()

    def hold():
        with lock, lock:
            held.set()
            over.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert held.wait(30)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # there are threads, which is what this is about
            child = os.fork()
        if not child:
            signal.alarm(20)  # rather than for ever
            with lock, lock:
                os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert not lock.acquire(blocking=False), "the parent's is held as before"
    finally:
        over.set()
        thread.join(30)
