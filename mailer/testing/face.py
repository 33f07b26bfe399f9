"""The faces of the library, for tests that run on each of them: blocking, asyncio, trio."""

from __future__ import annotations

import contextlib
import functools
import inspect
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import anyio
import anyio.from_thread

from ..backends.base import Backend
from ..envelope import Envelope
from ..errors import MailerError
from ..mail import Mail
from ..mailer import AsyncMailer, Mailer
from ..message import Message
from ..receipt import Receipt
from ..runtime import drive

__all__ = ["FACES", "Face", "PlainMailer", "face_of"]

T = TypeVar("T")

FACES = ("blocking", "asyncio", "trio")


class Face:
    """Blocking, asyncio or trio: runs what waits, from an ordinary test.

    Attributes:
        name: Which.
    """

    def __init__(self, name: str, portal: anyio.from_thread.BlockingPortal | None) -> None:
        self.name = name
        self._portal = portal

    def __repr__(self) -> str:
        return f"<Face {self.name}>"

    @property
    def is_async(self) -> bool:
        """Whether there is an event loop."""
        return self._portal is not None

    def call(self, function: Callable[..., T], *args: Any, **keywords: Any) -> T:
        """Call a plain function where the event loop runs, if there is one."""
        call = functools.partial(function, *args, **keywords)
        return call() if self._portal is None else self._portal.call(call)

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function, plain or async, and return what came of it in the end."""

        async def awaited() -> Any:
            value = function(*args)
            return await value if inspect.isawaitable(value) else value

        return drive(awaited()) if self._portal is None else self._portal.call(awaited)

    @contextlib.contextmanager
    def mailer(self, backend: Backend, **options: Any) -> Iterator[PlainMailer]:
        """The mailer of this face, closed at the end. It tries once: what a single try comes to is to be seen."""
        kind = AsyncMailer if self.is_async else Mailer
        mailer = PlainMailer(self, self.call(kind, backend, retry=None, **options))
        try:
            yield mailer
        finally:
            mailer.close()


class PlainMailer:
    """``Mailer`` or ``AsyncMailer`` with the same plain methods.

    Attributes:
        wrapped: The mailer itself.
        mails: What it handed to the backend, sealed.
    """

    def __init__(self, face: Face, wrapped: Any) -> None:
        self.wrapped = wrapped
        self.backend: Backend = wrapped.backend
        self.hooks = wrapped.hooks
        self.mails: list[Mail] = []
        self._face = face
        self.hooks.add_action("sending", lambda context: self.mails.append(context.mail))

    def send(self, message: Message) -> Receipt:
        """As :meth:`mailer.Mailer.send`; an exception that is none of the library's fails the test."""
        receipt: Receipt = self._ours(self.wrapped.send, message)
        return receipt

    def send_raw(self, content: bytes, envelope: Envelope | None = None) -> Receipt:
        """As :meth:`mailer.Mailer.send_raw`."""
        receipt: Receipt = self._ours(self.wrapped.send_raw, content, envelope)
        return receipt

    def compose(self, message: Message) -> Mail:
        """As :meth:`mailer.Mailer.compose`."""
        mail: Mail = self._ours(self.wrapped.compose, message)
        return mail

    def check(self) -> Any:
        """As :meth:`mailer.Mailer.check`."""
        return self._ours(self.wrapped.check)

    def close(self) -> None:
        """As :meth:`mailer.Mailer.close`."""
        self._ours(self.wrapped.aclose if self._face.is_async else self.wrapped.close)

    def at_once(self, jobs: Sequence[Callable[[], Any]]) -> list[Any]:
        """Call each in a thread (blocking) or await each in a task, all at the same time; the results in order."""
        if not self._face.is_async:
            together = threading.Barrier(len(jobs))

            def started(job: Callable[[], Any]) -> Any:
                together.wait(timeout=30)
                return job()

            with ThreadPoolExecutor(len(jobs)) as pool:
                return list(pool.map(started, jobs))
        results: list[Any] = [None] * len(jobs)

        async def keep(index: int, job: Callable[[], Any]) -> None:
            results[index] = await job()

        async def all_of_them() -> None:
            async with anyio.create_task_group() as group:
                for index, job in enumerate(jobs):
                    group.start_soon(keep, index, job)

        self._face.run(all_of_them)
        return results

    def _ours(self, method: Callable[..., Any], *args: Any) -> Any:
        try:
            return self._face.run(method, *args)
        except MailerError:
            raise
        except Exception as error:
            raise AssertionError(f"a foreign exception came out: {type(error).__name__}: {error}") from error


@contextlib.contextmanager
def face_of(name: str) -> Iterator[Face]:
    """Set a face up, with its event loop in a thread of its own, and take it down."""
    if name == "blocking":
        yield Face(name, None)
    else:
        with anyio.from_thread.start_blocking_portal(name) as portal:
            yield Face(name, portal)
