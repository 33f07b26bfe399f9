"""A TCP connection or unix socket, with TLS or without: bytes out, bytes in, each within a deadline.

Written once on a non-blocking socket. Every operation is attempted first; the runtime is asked to wait only if it would
block. Whatever goes wrong in an operation, cancellation and Ctrl-C too, closes the stream, so that a late answer never
meets a later question. One task or thread uses a stream at a time, in one direction at a time.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import select
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import ConnectError, DeadlineExceeded, TlsError, TransportError
from .log import CLOSED, OPENED, SECURED
from .race import connected
from .tls import alert_reason, handshake_reason

if TYPE_CHECKING:
    import ssl

    from .proxy import Proxy
    from .runtime import AddrInfo, Runtime
    from .smtp.auth import ChannelBinding

__all__ = ["Stream"]

T = TypeVar("T")
_Wait = Callable[[socket.socket, float | None], Awaitable[None]]

_CHUNK_BYTES = 256 * 1024
"""What one write hands over at most, so that the clock is read in between."""
_STREAK = 64
"""Operations that may succeed at once, one after the other, before other tasks get their turn."""


_NUMBERS = itertools.count(1)


class Stream:
    """One connection. Made by :meth:`connect`; ends with :meth:`close`.

    Attributes:
        peer: The address at the other end, "192.0.2.1:25", "[2001:db8::1]:25", or a unix socket's path.
        number: Counts this process's connections, from 1; the log knows it by this.
        sent_bytes: What was handed to the system so far, TLS's own not counted. Right also after a failed send.
    """

    __slots__ = (
        "_ahead",
        "_failure",
        "_is_full",
        "_poll",
        "_runtime",
        "_server_name",
        "_sock",
        "_streak",
        "_tls",
        "_want_read",
        "_want_write",
        "number",
        "peer",
        "sent_bytes",
    )

    def __init__(self, runtime: Runtime, sock: socket.socket, peer: str) -> None:
        self._runtime = runtime
        self._sock = sock
        self.peer = peer
        self.number = next(_NUMBERS)
        self.sent_bytes = 0
        self._tls: ssl.SSLSocket | None = None
        self._server_name = ""
        self._want_read: tuple[type[OSError], ...] = ()
        self._want_write: tuple[type[OSError], ...] = ()
        self._is_full: tuple[type[OSError], ...] = (BlockingIOError,)
        self._ahead = b""  # read by has_input(), not yet received
        self._poll = select.poll() if hasattr(select, "poll") else None  # Windows has none
        if self._poll is not None:
            self._poll.register(sock, select.POLLIN)
        self._failure: Exception | None = None  # the peer's alert, met where it could not be raised
        self._streak = 0

    @classmethod
    async def connect(
        cls,
        runtime: Runtime,
        host: str,
        port: int,
        *,
        deadline: float,
        connect_timeout_s: float | None = None,
        addresses: Sequence[AddrInfo] = (),
        sources: Sequence[str] = (),
        proxy: Proxy | None = None,
        on_found: Callable[[], None] | None = None,
    ) -> Stream:
        """Connect to the first address of the host that answers; see :func:`mailer.race.connected`.

        Args:
            runtime: Where to wait.
            host: A name or an IP address, without brackets; of a unix socket, its path.
            port: The TCP port.
            deadline: The end of it all, on ``runtime.now()``.
            addresses: Where the host is, if that is known; its name is not looked up then.
            connect_timeout_s: The most that finding the addresses, and each of them, may take; None: the deadline's.
            sources: IP addresses of this machine to connect from, at most one for each family; (): any.
            proxy: By way of which; None: straight there. It gets the addresses in turn, or else the name to look up.
            on_found: Called once the addresses are known.

        Raises:
            AuthError, ProtocolError: The proxy refused the login, or is none.
            ConnectError: No address answered. The text names host, port and the reason for each address.
            DeadlineExceeded: The deadline came first, or the name was not resolved in time.
        """
        if proxy is not None:
            if on_found is not None:
                on_found()  # where it is, is for the proxy to find out
            return await cls._by_proxy(
                runtime, host, port, deadline, connect_timeout_s, tuple(addresses), tuple(sources), proxy
            )
        sock, address = await connected(
            runtime,
            host,
            port,
            deadline=deadline,
            connect_timeout_s=connect_timeout_s,
            addresses=addresses,
            sources=sources,
            on_found=on_found,
        )
        stream = cls(runtime, sock, str(address))
        if OPENED.wanted():
            OPENED(connection=stream.number, host=host, port=port, peer=stream.peer)
        return stream

    @classmethod
    async def _by_proxy(
        cls,
        runtime: Runtime,
        host: str,
        port: int,
        deadline: float,
        connect_timeout_s: float | None,
        addresses: tuple[AddrInfo, ...],
        sources: tuple[str, ...],
        proxy: Proxy,
    ) -> Stream:
        reasons: list[str] = []
        last: ConnectError | None = None
        for target in [str(address.sockaddr[0]) for address in addresses] or [host]:
            try:
                stream = await cls.connect(
                    runtime,
                    proxy.host,
                    proxy.port,
                    deadline=deadline,
                    connect_timeout_s=connect_timeout_s,
                    sources=sources,
                )
            except (ConnectError, DeadlineExceeded) as exc:
                raise type(exc)(f"the proxy {proxy} cannot be reached: {exc}") from exc
            limit = deadline if connect_timeout_s is None else min(deadline, runtime.now() + connect_timeout_s)
            stream.peer = f"the proxy {proxy}"  # whose fault it is until the server is there
            try:
                await proxy.tunnel(stream, target, port, deadline=limit)
            except ConnectError as exc:
                stream.close()
                reasons.append(str(exc))
                last = exc
            except BaseException:
                stream.close()
                raise
            else:
                name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
                stream.peer = f"{name} by {proxy}"
                return stream
        raise ConnectError(f"no connection to {host}:{port} ({'; '.join(reasons)})") from last

    # --- what it is ---

    @property
    def closed(self) -> bool:
        """Whether it is closed, by :meth:`close` or by a failed operation."""
        return self._sock.fileno() == -1

    @property
    def is_secure(self) -> bool:
        """Whether TLS protects it, or did until it was closed."""
        return self._tls is not None

    @property
    def tls_version(self) -> str | None:
        """The protocol agreed on, "TLSv1.3"; None without TLS or once closed."""
        return None if self._tls is None else self._tls.version()

    @property
    def cipher(self) -> str | None:
        """The cipher suite agreed on, "TLS_AES_256_GCM_SHA384"; None without TLS or once closed."""
        agreed = None if self._tls is None else self._tls.cipher()
        return None if agreed is None else agreed[0]

    @property
    def certificate(self) -> bytes:
        """The peer's certificate, DER; b"" without TLS or once closed."""
        return b"" if self._tls is None else self._tls.getpeercert(binary_form=True) or b""

    @property
    def tls_session(self) -> ssl.SSLSession | None:
        """What the next connection to this peer may resume; None if the peer has given nothing for that (yet)."""
        session = None if self._tls is None or self.closed else self._tls.session
        return session if session is not None and session.has_ticket else None

    @property
    def chain(self) -> tuple[bytes, ...]:
        """The certificates that the peer showed, DER, its own first; unchecked, but for what the handshake did."""
        if self._tls is None or self.closed:
            return ()
        if sys.version_info >= (3, 13):
            return tuple(self._tls.get_unverified_chain())
        import _ssl

        # What became public with Python 3.13.
        found: Any = self._tls._sslobj.get_unverified_chain() or ()  # type: ignore[attr-defined]
        return tuple(certificate.public_bytes(_ssl.ENCODING_DER) for certificate in found)

    @property
    def binding(self) -> ChannelBinding | None:
        """What a login can be tied to: tls-exporter (RFC 9266) where Python has it, else tls-server-end-point; or None.

        tls-unique is not used: TLS 1.3 has none, and below it is broken without the extended master secret.
        """
        import ssl

        from .smtp.auth import ChannelBinding
        from .smtp.binding import server_end_point

        if self._tls is None:
            return None
        if "tls-exporter" in ssl.CHANNEL_BINDING_TYPES and (data := self._tls.get_channel_binding("tls-exporter")):
            return ChannelBinding("tls-exporter", data)
        certificate = self.certificate
        data = server_end_point(certificate) if certificate else None
        return ChannelBinding("tls-server-end-point", data) if data else None

    @property
    def local_ip(self) -> str:
        """The address at this end, "192.0.2.7"; loopback's for a unix socket; "" once closed."""
        if self.closed:
            return ""
        name = self._sock.getsockname()
        return str(name[0]) if isinstance(name, tuple) else "127.0.0.1"

    def has_input(self) -> bool:
        """Whether data or the end is there now, without waiting: a kept connection with either is stale.

        Under TLS only what the peer's application sent counts, no session ticket.
        """
        if self._ahead or self.closed:
            return True
        try:
            if self._tls is None:
                if self._poll is not None and not self._poll.poll(0):  # half of the time of a read that fails
                    return False
                self._sock.recv(1, socket.MSG_PEEK)
            else:
                self._ahead = self._sock.recv(1)  # there is no peeking through TLS
        except BlockingIOError:
            return False
        except OSError as exc:
            if isinstance(exc, (*self._want_read, *self._want_write)):
                return False
            self._note_alert(exc)
        return True

    # --- what it does ---

    async def start_tls(
        self,
        context: ssl.SSLContext,
        server_hostname: str,
        *,
        deadline: float,
        session: ssl.SSLSession | None = None,
    ) -> None:
        """Do the TLS handshake, as the client. Everything after it is protected.

        Args:
            context: From :func:`mailer.tls.tls_context`, or your own.
            server_hostname: The name or IP address that the certificate must bear; sent as SNI (RFC 6066 section 3).
            deadline: The end of the handshake.
            session: From :attr:`tls_session` of an earlier connection with this context: where the server still knows
                it, keys and certificate need not be proved again.

        Raises:
            TlsError: It failed, or the certificate does not hold. The text names the host and the reason.
            DeadlineExceeded: The peer did not finish in time.
        """
        import ssl

        if self._tls is not None:
            raise TlsError(f"{server_hostname}: TLS has begun already")
        self._check_open()
        name = server_hostname.rstrip(".")
        if type(context) is not ssl.SSLContext and issubclass(ssl.SSLContext, type(context)):
            # gevent has put its own in the place of ssl's since this was made: a mailer made by `gunicorn --preload`,
            # before the worker patches. As it is, it could make no socket any more.
            context.__class__ = ssl.SSLContext
        try:
            name.encode("idna")  # as wrap_socket does, but that would leave a half-made socket behind
            self._sock = tls = context.wrap_socket(
                self._sock, server_hostname=name, do_handshake_on_connect=False, session=session
            )
            self._want_read, self._want_write = (ssl.SSLWantReadError,), (ssl.SSLWantWriteError,)
            self._is_full = (BlockingIOError, ssl.SSLWantWriteError)
            await self._perform(tls.do_handshake, self._runtime.wait_readable, "the TLS handshake", deadline)
        except (OSError, ValueError) as exc:  # ValueError: it is no name at all
            self.close()
            raise TlsError(
                f"{server_hostname} ({self.peer}): {handshake_reason(exc, server_hostname, context)}"
            ) from exc
        self._tls, self._server_name = tls, server_hostname
        if SECURED.wanted():
            SECURED(connection=self.number, tls=self.tls_version, cipher=self.cipher)

    async def receive(self, max_bytes: int, *, deadline: float) -> bytes:
        """Return the next bytes, 1 to ``max_bytes``, as soon as there are any; b"" once the peer has ended.

        Raises:
            TransportError: The connection broke. TlsError: The peer does not accept our certificate, or wants one.
            DeadlineExceeded: Nothing came in time. The clock is read first, so that bytes that are always ready do not
                outrun it.
        """
        if self._ahead:
            ahead, self._ahead = self._ahead, b""
            return ahead
        self._check_open()
        if self._failure is not None:
            self.close()
            raise self._broken(self._failure) from self._failure
        # Where waiting is one cheap system call and nothing hides in TLS, asking first saves an attempt that fails.
        first = self._runtime.wait_readable if self._tls is None and not self._runtime.is_async else None
        try:
            return await self._perform(
                lambda: self._sock.recv(max_bytes), self._runtime.wait_readable, "an answer", deadline, first
            )
        except OSError as exc:
            raise self._broken(exc) from exc

    async def send_all(
        self, data: bytes | memoryview, *, deadline: float, listen: Callable[[bytes], bool] | None = None
    ) -> bool:
        """Send all of the data.

        Args:
            data: What to send.
            deadline: The end of it.
            listen: Called with what the peer says while it does not take the data; True leaves the rest unsent. None:
                the peer is not listened to, so what it says waits.

        Returns:
            Whether all of it was sent.

        Raises:
            TransportError: The connection broke; how much had arrived is unknown. ``sent_bytes`` tells what had left.
            DeadlineExceeded: The peer did not take it in time.
        """
        self._check_open()
        sent = 0
        if len(data) <= _CHUNK_BYTES and self._streak < _STREAK and self._runtime.now() < deadline:
            try:
                sent = self._sock.send(data)
            except OSError as exc:
                if not isinstance(exc, (*self._is_full, *self._want_read)):
                    self._hear_out()
                    self.close()
                    raise self._broken(exc) from exc
            else:  # nearly always it is taken at once, and whole
                self._streak += 1
                self.sent_bytes += sent
                if sent == len(data):
                    return True
        rest = memoryview(data)[sent:]
        wait = self._runtime.wait_writable if listen is None else self._runtime.wait_either

        def attempt() -> int:
            # One that would block is repeated with the very same bytes, as TLS asks.
            try:
                sent = self._sock.send(rest[:_CHUNK_BYTES])
            except self._is_full:
                if listen is None or not self._heard(listen):
                    raise
                return 0
            self.sent_bytes += sent
            return sent

        try:
            while rest:
                sent = await self._perform(attempt, wait, "the data to be taken", deadline)
                if not sent:
                    return False
                rest = rest[sent:]
        except OSError as exc:
            raise self._broken(exc) from exc
        return True

    def _heard(self, listen: Callable[[bytes], bool]) -> bool:
        """Give what the peer says right now to ``listen``; its answer, False if there is nothing."""
        try:
            received = self._sock.recv(_CHUNK_BYTES)
        except OSError as exc:
            if isinstance(exc, (*self._is_full, *self._want_read)):
                return False
            raise
        if not received:
            raise ConnectionAbortedError(errno.ECONNABORTED, "the peer closed it before it had everything")
        return listen(received)

    def send_now(self, data: bytes) -> None:
        """Send what can be sent without waiting. Raises nothing: it is for last words."""
        with contextlib.suppress(OSError, ValueError):
            self._sock.send(data)

    def close(self) -> None:
        """Close it, as often as wished. Waits for nothing, raises nothing.

        Only this process's handle goes: no TLS farewell and no shutdown, so that a forked child may close what it
        inherited while its parent goes on.
        """
        if CLOSED.wanted() and not self.closed:
            CLOSED(connection=self.number, peer=self.peer)
        try:
            self._sock.close()
        except OSError:  # reset in the meantime; the handle is gone all the same
            self._sock.detach()

    def _broken(self, exc: Exception) -> TransportError:
        if said := alert_reason(self._failure or exc):
            return TlsError(f"{self._server_name} ({self.peer}): {said}")
        return TransportError(f"{self.peer}: the connection broke: {_reason(exc)}")

    def _check_open(self) -> None:
        if self.closed:
            raise TransportError(f"{self.peer}: the connection is closed")

    async def _perform(
        self, attempt: Callable[[], T], wait: _Wait, what: str, deadline: float, first: _Wait | None = None
    ) -> T:
        """Attempt until it does not block, waiting in between. Closes on every exception; ``OSError`` comes out raw.

        With ``first`` it waits so before the first attempt.
        """
        runtime = self._runtime
        try:
            if self._streak >= _STREAK:
                # Before the attempt, never after it: a send that was done must not be reported as cut short.
                self._streak = 0
                await runtime.sleep(0)
            while True:
                if first is not None:
                    ready, first = first, None
                else:
                    if runtime.now() >= deadline:
                        raise DeadlineExceeded(f"{self.peer}: {what} took too long")
                    try:
                        result = attempt()
                    except BlockingIOError:
                        ready = wait
                    except self._want_read:
                        ready = runtime.wait_readable
                    except self._want_write:
                        ready = runtime.wait_writable if wait == runtime.wait_readable else wait
                    else:
                        self._streak += 1
                        return result
                    self._streak = 0
                try:
                    await ready(self._sock, deadline)
                except DeadlineExceeded:
                    raise DeadlineExceeded(f"{self.peer}: {what} took too long") from None
        except OSError:
            self._hear_out()
            self.close()
            raise
        except BaseException:
            self.close()
            raise

    def _hear_out(self) -> None:
        """Keep what the peer said before the connection broke, for ``receive``: it may be the reason why."""
        try:
            self._ahead += self._sock.recv(_CHUNK_BYTES)
        except (OSError, ValueError) as exc:  # there is nothing, or no TLS to read it with
            self._note_alert(exc)

    def _note_alert(self, exc: Exception) -> None:
        if alert_reason(exc):
            self._failure = exc


def _reason(exc: Exception) -> str:
    """What the system says, without number and Python's class."""
    if isinstance(exc, OSError) and exc.errno in errno.errorcode and exc.strerror:
        return exc.strerror
    return str(exc) or type(exc).__name__
