"""Backends that deliver nowhere: ``memory:`` keeps, ``console:`` shows, ``null:`` forgets. They accept everybody."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

from ..errors import Outcome
from ..features import Features
from ..mail import Mail
from ..receipt import Receipt
from .base import Backend
from .options import BackendURL

if TYPE_CHECKING:
    from ..runtime import Runtime

__all__ = [
    "ConsoleBackend",
    "MemoryBackend",
    "NullBackend",
    "console_from_url",
    "memory_from_url",
    "null_from_url",
    "show",
]


class MemoryBackend(Backend):
    """Keeps what it is given, for tests.

    Attributes:
        mails: In the order they were sent.
    """

    features = Features.everything()
    url = "memory:"
    keeps_in_process = True

    def __init__(self) -> None:
        self.mails: list[Mail] = []

    async def send(self, mail: Mail) -> Receipt:
        """Keep it."""
        self.mails.append(mail)
        return Receipt.for_all(mail, Outcome.ACCEPTED, text="kept in memory", backend=self.url)


class NullBackend(Backend):
    """Forgets everything. The mail is still composed, so what is wrong with it shows."""

    features = Features.everything()
    url = "null:"
    keeps_in_process = True

    async def send(self, mail: Mail) -> Receipt:
        """Do nothing."""
        return Receipt.for_all(mail, Outcome.ACCEPTED, text="dropped", backend=self.url)


class ConsoleBackend(Backend):
    """Writes each mail to a text stream, for development.

    Envelope first, then the content. Control characters but line ends and TAB are escaped: a mail may hold anything,
    and a terminal obeys escape sequences.
    """

    features = Features.everything()
    url = "console:"

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    async def send(self, mail: Mail) -> Receipt:
        """Write it, in one call, so that mails of several threads do not mix."""
        show("".join(_lines(mail)), self._stream or sys.stdout)
        return Receipt.for_all(mail, Outcome.ACCEPTED, text="written to the console", backend=self.url)


def show(text: str, stream: TextIO) -> None:
    """Write the text in one call, with control characters escaped, and what the stream's encoding lacks."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    plain = "".join([c if c in "\n\t" or c.isprintable() else ascii(c)[1:-1] for c in text])
    stream.write(plain.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


def _lines(mail: Mail) -> Iterator[str]:
    sender = mail.envelope.sender.addr_spec if mail.envelope.sender else ""
    yield f"{'-' * 80}\nMAIL FROM:<{sender}>\n"
    for recipient in mail.envelope.recipients:
        yield f"RCPT TO:<{recipient.addr_spec}>\n"
    yield "\n"
    yield bytes(mail.content).decode("utf-8", "backslashreplace").replace("\r\n", "\n")
    yield f"{'-' * 80}\n"


def _plain(backend: Backend, url: BackendURL, runtime: Runtime | None) -> Backend:
    url.refuse("username", "host", "port", "path")
    url.options()
    if runtime is not None:
        backend.attach(runtime)
    return backend


def memory_from_url(url: BackendURL, runtime: Runtime | None = None) -> Backend:
    """``memory:``"""
    return _plain(MemoryBackend(), url, runtime)


def console_from_url(url: BackendURL, runtime: Runtime | None = None) -> Backend:
    """``console:``"""
    return _plain(ConsoleBackend(), url, runtime)


def null_from_url(url: BackendURL, runtime: Runtime | None = None) -> Backend:
    """``null:``"""
    return _plain(NullBackend(), url, runtime)
