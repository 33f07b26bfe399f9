"""The stream over real sockets on loopback, in three worlds: deadlines, faults, TLS, cancellation."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import os
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator

import anyio
import anyio.lowlevel
import pytest
import trustme

from mailer.errors import ConfigError, ConnectError, DeadlineExceeded, TlsError, TransportError
from mailer.runtime import AddrInfo, BlockingRuntime, drive
from mailer.stream import Stream
from mailer.tls import tls_context

LONG_S = 10.0  # a deadline that is not meant to come
SHORT_S = 0.2  # one that is; the bound on the clock is wide, as machines may be busy
BOUND_S = 3.0

Script = Callable[[socket.socket, threading.Event], None]


@contextlib.contextmanager
def peer(script: Script) -> Iterator[int]:
    """Run the script for each connection, in a thread of its own; yield the port. ``stop`` is set at the end."""
    stop = threading.Event()
    faults: list[BaseException] = []
    threads: list[threading.Thread] = []

    def talk(conn: socket.socket) -> None:
        with conn:
            conn.settimeout(LONG_S)
            try:
                script(conn, stop)
            except OSError:
                pass  # the client has gone, which many tests want
            except BaseException as exc:
                faults.append(exc)

    def serve() -> None:
        while True:
            conn, _ = listener.accept()
            if stop.is_set():
                conn.close()
                return
            threads.append(threading.Thread(target=talk, args=(conn,)))
            threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = threading.Thread(target=serve)
        accepting.start()
        try:
            yield listener.getsockname()[1]
        finally:
            stop.set()
            socket.create_connection(listener.getsockname()).close()  # wakes accept()
            for thread in [accepting, *threads]:
                thread.join(LONG_S)
                assert not thread.is_alive()
    if faults:
        raise faults[0]


def tls(context: ssl.SSLContext, script: Script) -> Script:
    """The script under TLS; a client that breaks the handshake off is fine."""

    def talk(conn: socket.socket, stop: threading.Event) -> None:
        with context.wrap_socket(conn, server_side=True) as secure:
            script(secure, stop)

    return talk


def echo(conn: socket.socket, stop: threading.Event) -> None:
    while data := conn.recv(65536):
        conn.sendall(data)


def silent(conn: socket.socket, stop: threading.Event) -> None:
    stop.wait(LONG_S)


def said(data: bytes) -> Script:
    def say(conn: socket.socket, stop: threading.Event) -> None:
        conn.sendall(data)
        stop.wait(LONG_S)

    return say


def reset(conn: socket.socket) -> None:
    """Close with RST instead of FIN."""
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    conn.close()


@contextlib.contextmanager
def stream_in(world, port: int, *, context: ssl.SSLContext | None = None, name: str = "localhost") -> Iterator[Stream]:
    async def make() -> Stream:
        deadline = world.runtime.now() + LONG_S
        made = await Stream.connect(world.runtime, "127.0.0.1", port, deadline=deadline)
        if context is not None:
            await made.start_tls(context, name, deadline=deadline)
        return made

    stream = world.run(make)
    try:
        yield stream
    finally:
        world.call(stream.close)


@pytest.fixture(params=["plain", "tls"])
def layer(request, ca_file, server_tls):
    """(server's wrapper of a script, client's context) for clear text and for TLS."""
    if request.param == "plain":
        return (lambda script: script), None
    return (lambda script: tls(server_tls, script)), tls_context(ca_file=ca_file)


def receive_exactly(world, stream: Stream, size: int) -> bytes:
    async def body() -> bytes:
        got = b""
        while len(got) < size:
            more = await stream.receive(size - len(got), deadline=world.runtime.now() + LONG_S)
            assert more
            got += more
        return got

    return world.run(body)


def send(world, stream: Stream, data: bytes) -> None:
    world.run(stream.send_all, data, deadline=world.runtime.now() + LONG_S)


# --- connecting -------------------------------------------------------------------------------------------------------


def resolving(world, *addresses: tuple[str, int]):
    """The world's runtime with a resolver that always gives these addresses."""

    class Resolving(type(world.runtime)):
        async def resolve(self, host, port, deadline):
            return [AddrInfo(socket.AF_INET, address) for address in addresses]

    return Resolving()


@pytest.fixture
def refusing() -> Iterator[int]:
    """A port that refuses: bound, so that nobody else gets it, but not listening."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.fixture
def stalling() -> Iterator[int]:
    """A port that neither accepts nor refuses: its queue is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def test_what_is_sent_comes_back_and_the_end_is_empty(world, layer):
    wrapped, context = layer

    def once(conn, stop):
        conn.sendall(conn.recv(100))

    with peer(wrapped(once)) as port, stream_in(world, port, context=context) as stream:
        assert stream.peer == f"127.0.0.1:{port}"
        assert stream.is_secure is (context is not None)
        send(world, stream, b"hello")
        assert receive_exactly(world, stream, 5) == b"hello"
        assert world.run(stream.receive, 10, deadline=world.runtime.now() + LONG_S) == b""
        assert not stream.closed


def test_small_writes_are_not_held_back(world):
    with peer(silent) as port, stream_in(world, port) as stream:
        assert stream._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_refused_first_address_leads_to_the_second_at_once(world, refusing):
    with peer(echo) as port:
        runtime = resolving(world, ("127.0.0.1", refusing), ("127.0.0.1", port))
        start = time.monotonic()
        stream = world.run(Stream.connect, runtime, "mx.example", 25, deadline=start + LONG_S)
        assert stream.peer == f"127.0.0.1:{port}"
        assert time.monotonic() - start < BOUND_S
        stream.close()


def test_no_address_that_answers_is_a_connect_error_with_every_reason(world, refusing):
    runtime = resolving(world, ("127.0.0.1", refusing), ("127.0.0.2", refusing))
    with pytest.raises(ConnectError) as caught:
        world.run(Stream.connect, runtime, "mx.example", 25, deadline=world.runtime.now() + LONG_S)
    text = str(caught.value)
    assert "mx.example:25" in text
    assert f"127.0.0.1:{refusing}: Connection refused" in text
    assert f"127.0.0.2:{refusing}: Connection refused" in text
    assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.skipif(sys.platform != "linux", reason="relies on how Linux treats a full accept queue")
def test_connecting_ends_at_the_deadline(world, stalling):
    start = time.monotonic()
    with pytest.raises(DeadlineExceeded, match=f"mx.example:25.*127.0.0.1:{stalling}"):
        world.run(Stream.connect, resolving(world, ("127.0.0.1", stalling)), "mx.example", 25, deadline=start + SHORT_S)
    assert SHORT_S * 0.9 < time.monotonic() - start < BOUND_S


@pytest.mark.skipif(sys.platform != "linux", reason="relies on how Linux treats a full accept queue")
def test_a_stalled_first_address_costs_only_the_connect_timeout(world, stalling):
    with peer(echo) as port:
        runtime = resolving(world, ("127.0.0.1", stalling), ("127.0.0.1", port))
        start = time.monotonic()
        stream = world.run(Stream.connect, runtime, "mx.example", 25, deadline=start + 60, connect_timeout_s=SHORT_S)
        assert stream.peer == f"127.0.0.1:{port}"
        assert SHORT_S * 0.9 < time.monotonic() - start < BOUND_S
        stream.close()


@pytest.mark.skipif(sys.platform != "linux", reason="relies on how Linux treats a full accept queue")
def test_all_addresses_stalled_within_the_deadline_is_a_connect_error(world, stalling):
    with pytest.raises(ConnectError, match="no answer in time"):
        world.run(
            Stream.connect,
            resolving(world, ("127.0.0.1", stalling)),
            "mx.example",
            25,
            deadline=world.runtime.now() + 60,
            connect_timeout_s=SHORT_S,
        )


# --- deadlines --------------------------------------------------------------------------------------------------------


def read_until_the_deadline(world, stream: Stream, max_bytes: int) -> float:
    """Read on as long as it goes, under one deadline; how long that was."""

    async def body() -> float:
        start = world.runtime.now()
        with pytest.raises(DeadlineExceeded, match=stream.peer):
            while await stream.receive(max_bytes, deadline=start + SHORT_S):
                pass
        return world.runtime.now() - start

    return world.run(body)


def test_a_silent_peer_is_left_at_the_deadline(world, layer):
    wrapped, context = layer
    with peer(wrapped(silent)) as port, stream_in(world, port, context=context) as stream:
        assert SHORT_S * 0.9 < read_until_the_deadline(world, stream, 100) < BOUND_S
        assert stream.closed


def test_a_dripping_peer_cannot_stretch_the_deadline(world, layer):
    wrapped, context = layer

    def drip(conn, stop):
        while not stop.wait(0.01):
            conn.sendall(b"x")

    with peer(wrapped(drip)) as port, stream_in(world, port, context=context) as stream:
        assert SHORT_S * 0.9 < read_until_the_deadline(world, stream, 1) < BOUND_S


def test_a_peer_with_bytes_always_ready_cannot_outrun_the_deadline(world, layer):
    wrapped, context = layer

    def flood(conn, stop):
        while True:
            conn.sendall(bytes(65536))

    with peer(wrapped(flood)) as port, stream_in(world, port, context=context) as stream:
        assert SHORT_S * 0.9 < read_until_the_deadline(world, stream, 10) < BOUND_S


def test_a_peer_that_takes_nothing_is_left_at_the_deadline(world, layer):
    wrapped, context = layer
    with peer(wrapped(silent)) as port, stream_in(world, port, context=context) as stream:
        start = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            world.run(stream.send_all, bytes(50_000_000), deadline=start + SHORT_S)
        assert SHORT_S * 0.9 < time.monotonic() - start < BOUND_S
        assert stream.closed


def test_a_deadline_that_has_passed_beats_bytes_that_are_there(world):
    with peer(said(b"late")) as port, stream_in(world, port) as stream:
        world.run(world.runtime.wait_readable, stream._sock, world.runtime.now() + LONG_S)
        with pytest.raises(DeadlineExceeded):
            world.run(stream.receive, 10, deadline=world.runtime.now())


@pytest.mark.parametrize("max_bytes", [1, 65536])
def test_reading_what_is_always_ready_leaves_other_tasks_their_turn(async_world, max_bytes):
    def flood(conn, stop):
        while True:
            conn.sendall(bytes(65536))

    async def body(stream: Stream) -> tuple[int, float]:
        ticks = 0
        start = time.monotonic()

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await anyio.lowlevel.checkpoint()

        with anyio.move_on_after(SHORT_S):  # also seen only if the reader pauses
            async with anyio.create_task_group() as group:
                group.start_soon(tick)
                while True:
                    await stream.receive(max_bytes, deadline=start + 60)
        return ticks, time.monotonic() - start

    with peer(flood) as port, stream_in(async_world, port) as stream:
        ticks, took_s = async_world.run(body, stream)
        assert ticks > 10
        assert took_s < BOUND_S
        assert stream.closed


# --- faults -----------------------------------------------------------------------------------------------------------


def test_large_data_survives_partial_writes_in_both_directions(world, layer):
    wrapped, context = layer
    data = os.urandom(1 << 16) * 64  # 4 MiB, more than the buffers hold

    def digest(conn, stop):
        seen, left = hashlib.sha256(), len(data)
        while left:
            part = conn.recv(65536)
            assert part
            seen.update(part)
            left -= len(part)
        conn.sendall(seen.digest() + data)

    with peer(wrapped(digest)) as port, stream_in(world, port, context=context) as stream:
        send(world, stream, memoryview(data))
        assert receive_exactly(world, stream, 32) == hashlib.sha256(data).digest()
        assert receive_exactly(world, stream, len(data)) == data


def test_nothing_to_send_is_nothing_sent(world, layer):
    wrapped, context = layer
    with peer(wrapped(echo)) as port, stream_in(world, port, context=context) as stream:
        send(world, stream, b"")
        send(world, stream, b"x")
        assert receive_exactly(world, stream, 1) == b"x"


def test_a_reset_is_a_transport_error_and_closes(world):
    def break_off(conn, stop):
        conn.recv(1)
        reset(conn)

    with peer(break_off) as port, stream_in(world, port) as stream:
        send(world, stream, b"x")
        with pytest.raises(TransportError, match="reset") as caught:
            world.run(stream.receive, 10, deadline=world.runtime.now() + LONG_S)
        assert isinstance(caught.value.__cause__, ConnectionResetError)
        assert stream.closed


def test_sending_to_a_peer_that_has_gone_is_a_transport_error_and_closes(world, layer):
    wrapped, context = layer

    def break_off(conn, stop):
        conn.recv(1)
        reset(conn)

    with peer(wrapped(break_off)) as port, stream_in(world, port, context=context) as stream:
        with pytest.raises(TransportError, match="the connection broke"):
            send(world, stream, bytes(50_000_000))
        assert stream.closed


def test_a_tls_peer_that_ends_without_farewell_is_an_end(world, ca_file, server_tls):
    def cut(conn, stop):
        conn.sendall(b"221 bye\r\n")
        os.close(conn.detach())

    with peer(tls(server_tls, cut)) as port, stream_in(world, port, context=tls_context(ca_file=ca_file)) as stream:
        assert receive_exactly(world, stream, 9) == b"221 bye\r\n"
        assert world.run(stream.receive, 10, deadline=world.runtime.now() + LONG_S) == b""


def test_a_closed_stream_refuses_politely(world):
    with peer(echo) as port, stream_in(world, port) as stream:
        stream.close()
        stream.close()
        assert stream.closed
        assert stream.has_input()
        deadline = world.runtime.now() + LONG_S
        for operation in (
            lambda: world.run(stream.receive, 1, deadline=deadline),
            lambda: world.run(stream.send_all, b"x", deadline=deadline),
            lambda: world.run(stream.start_tls, tls_context(), "localhost", deadline=deadline),
        ):
            with pytest.raises(TransportError, match="closed"):
                operation()


class Interrupted(BaseException):
    """As Ctrl-C is: no Exception."""


@pytest.mark.parametrize("direction", ["receive", "send", "handshake"])
def test_an_interruption_while_waiting_closes(world, direction):
    class Interrupting(type(world.runtime)):
        async def wait_readable(self, sock, deadline):
            raise Interrupted

        wait_writable = wait_readable

    async def body(stream: Stream) -> None:
        deadline = world.runtime.now() + LONG_S
        if direction == "receive":
            await stream.receive(1, deadline=deadline)
        elif direction == "send":
            await stream.send_all(bytes(50_000_000), deadline=deadline)
        else:
            await stream.start_tls(tls_context(), "localhost", deadline=deadline)

    with peer(silent) as port, stream_in(world, port) as stream:
        stream._runtime = Interrupting()
        with pytest.raises(Interrupted):
            world.run(body, stream)
        assert stream.closed


@pytest.mark.parametrize("direction", ["receive", "send", "handshake"])
def test_cancellation_closes_the_connection_and_the_peer_sees_it(async_world, direction):
    ended = threading.Event()

    def await_the_end(conn, stop):
        if direction == "send":
            closed_by_client.wait(LONG_S)
        with contextlib.suppress(OSError):
            while conn.recv(65536):
                pass
        ended.set()

    closed_by_client = threading.Event()

    async def body(stream: Stream) -> None:
        deadline = async_world.runtime.now() + LONG_S

        async def operate() -> None:
            if direction == "receive":
                await stream.receive(1, deadline=deadline)
            elif direction == "send":
                await stream.send_all(bytes(50_000_000), deadline=deadline)
            else:
                await stream.start_tls(tls_context(), "localhost", deadline=deadline)

        async with anyio.create_task_group() as group:
            group.start_soon(operate)
            await anyio.wait_all_tasks_blocked()
            assert not stream.closed
            group.cancel_scope.cancel()
        assert stream.closed

    with peer(await_the_end) as port, stream_in(async_world, port) as stream:
        async_world.run(body, stream)
        closed_by_client.set()
        assert ended.wait(LONG_S)


def test_cancelled_connecting_leaves_no_socket_behind(async_world):
    """An unclosed socket is a ResourceWarning, which is an error in these tests."""

    class Never(type(async_world.runtime)):
        async def wait_writable(self, sock, deadline):
            await anyio.sleep_forever()

    async def body(port: int) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(connect, port)
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()

    async def connect(port: int) -> None:
        deadline = async_world.runtime.now() + LONG_S
        await Stream.connect(Never(), "127.0.0.1", port, deadline=deadline)

    with peer(silent) as port:
        async_world.run(body, port)


# --- what is there already --------------------------------------------------------------------------------------------


def test_has_input_is_false_while_the_peer_is_quiet_and_sees_data_without_losing_it(world, layer):
    wrapped, context = layer
    with peer(wrapped(echo)) as port, stream_in(world, port, context=context) as stream:
        assert not stream.has_input()  # under TLS 1.3 the session tickets are there, and are nothing
        send(world, stream, b"abc")
        world.run(world.runtime.wait_readable, stream._sock, world.runtime.now() + LONG_S)
        while not stream.has_input():  # the tickets may come first
            world.run(world.runtime.wait_readable, stream._sock, world.runtime.now() + LONG_S)
        assert stream.has_input()
        assert receive_exactly(world, stream, 3) == b"abc"
        assert not stream.has_input()


def test_has_input_sees_bytes_that_tls_has_decrypted_already(world, ca_file, server_tls):
    with (
        peer(tls(server_tls, said(b"abc"))) as port,
        stream_in(world, port, context=tls_context(ca_file=ca_file)) as stream,
    ):
        assert receive_exactly(world, stream, 1) == b"a"
        assert stream.has_input()
        assert receive_exactly(world, stream, 2) == b"bc"


def test_has_input_sees_the_end_and_a_reset(world, layer):
    wrapped, context = layer

    def end(conn, stop):
        conn.recv(1)

    def break_off(conn, stop):
        conn.recv(1)
        reset(conn)

    for script in (end, break_off):
        with peer(wrapped(script)) as port, stream_in(world, port, context=context) as stream:
            send(world, stream, b"x")
            until = time.monotonic() + LONG_S
            while not stream.has_input():
                world.run(world.runtime.wait_readable, stream._sock, until)


# --- TLS --------------------------------------------------------------------------------------------------------------


def handshake(world, port: int, context: ssl.SSLContext, name: str = "localhost") -> Stream:
    with stream_in(world, port, context=context, name=name) as stream:
        return stream


def test_tls_is_verified_and_its_version_and_cipher_are_known(world, ca_file, server_tls):
    with (
        peer(tls(server_tls, silent)) as port,
        stream_in(world, port, context=tls_context(ca_file=ca_file)) as stream,
    ):
        assert stream.is_secure
        assert stream.tls_version == "TLSv1.3"
        assert stream.cipher.startswith("TLS_")
        with pytest.raises(TlsError, match="already"):
            world.run(stream.start_tls, tls_context(), "localhost", deadline=world.runtime.now() + LONG_S)


def test_the_name_is_sent_as_sni_without_its_final_dot(world, ca, ca_file):
    names = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("mx.example").configure_cert(context)
    context.sni_callback = lambda sock, name, ctx: names.append(name)
    with peer(tls(context, silent)) as port:
        handshake(world, port, tls_context(ca_file=ca_file), "mx.example.")
    assert names == ["mx.example"]


def test_a_context_made_before_ssl_was_patched_is_of_the_kind_in_its_place(world, ca_file, server_tls, monkeypatch):
    """As with gevent, whose sockets a context of ssl's own cannot make; tests/real has gevent itself."""
    before = tls_context(ca_file=ca_file)
    made = []

    class Patched(ssl.SSLContext):
        __slots__ = ()

        def wrap_socket(self, *args, **keywords):
            made.append(type(self))
            return super().wrap_socket(*args, **keywords)

    class Own(ssl.SSLContext):
        """The app's own kind stays what it is."""

    own = Own(ssl.PROTOCOL_TLS_CLIENT)
    own.load_verify_locations(ca_file)
    kind = ssl.SSLContext
    monkeypatch.setattr(ssl, "SSLContext", Patched)
    try:
        with peer(tls(server_tls, echo)) as port:
            for context in (before, own):
                handshake(world, port, context, "localhost")
    finally:
        before.__class__ = kind  # it is one for all of this process
    assert made == [Patched]
    assert type(own) is Own


def test_an_ip_address_is_verified_as_one(world, ca_file, server_tls):
    with peer(tls(server_tls, silent)) as port:
        handshake(world, port, tls_context(ca_file=ca_file), "127.0.0.1")
        with pytest.raises(TlsError, match="another IP address"):
            handshake(world, port, tls_context(ca_file=ca_file), "127.0.0.2")


def self_signed(common_name: str, directory) -> tuple[ssl.SSLContext, str]:
    """A server context with a certificate that signed itself and has no alternative name; and its PEM file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = directory / "self.pem"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    both = directory / "both.pem"
    both.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + path.read_bytes()
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return context, str(path)


def test_a_self_signed_certificate_is_refused_unless_checking_was_switched_off(world, tmp_path):
    context, _ = self_signed("localhost", tmp_path)
    with peer(tls(context, silent)) as port:
        with pytest.raises(TlsError, match=r"localhost.*self-signed"):
            handshake(world, port, tls_context())
        assert handshake(world, port, tls_context(verify=False)).is_secure


def test_a_name_in_the_common_name_alone_does_not_count(world, tmp_path):
    context, path = self_signed("localhost", tmp_path)
    with peer(tls(context, silent)) as port, pytest.raises(TlsError, match="another name"):
        handshake(world, port, tls_context(ca_file=path))


def issued(ca: trustme.CA, *names: str, **validity: datetime.datetime) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(*names, **validity).configure_cert(context)
    return context


def day(offset: int) -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=offset)


@pytest.mark.parametrize(
    ("names", "validity", "text"),
    [
        (["mx.example"], {}, "localhost.*another name"),
        (["localhost"], {"not_before": day(-9), "not_after": day(-2)}, "localhost.*expired"),
        (["localhost"], {"not_before": day(2), "not_after": day(9)}, "localhost.*not yet valid"),
    ],
    ids=["wrong name", "expired", "not yet valid"],
)
def test_a_certificate_that_does_not_hold_is_refused_with_the_reason(world, ca, ca_file, names, validity, text):
    with peer(tls(issued(ca, *names, **validity), silent)) as port, pytest.raises(TlsError, match=text) as caught:
        handshake(world, port, tls_context(ca_file=ca_file))
    assert isinstance(caught.value.__cause__, ssl.SSLError)


def test_an_authority_that_nobody_knows_is_refused(world, server_tls, tmp_path):
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    with peer(tls(server_tls, silent)) as port:
        for context in (tls_context(), tls_context(ca_file=str(other))):
            with pytest.raises(TlsError, match=r"localhost.*unknown CA"):
                handshake(world, port, context)


@pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1"])
def test_a_server_with_old_tls_only_is_refused(world, ca, ca_file, version):
    context = issued(ca, "localhost")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
    context.set_ciphers("ALL:@SECLEVEL=0")
    with peer(tls(context, silent)) as port:
        with pytest.raises(TlsError, match=r"localhost.*1\.2 or later"):
            handshake(world, port, tls_context(ca_file=ca_file))
        old = ssl.create_default_context(cafile=ca_file)
        old.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            old.minimum_version = ssl.TLSVersion.TLSv1
        # The server is sound: whoever allows the old version gets it.
        assert handshake(world, port, old).closed


def test_tls_one_point_two_is_still_spoken(world, ca, ca_file):
    context = issued(ca, "localhost")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with (
        peer(tls(context, echo)) as port,
        stream_in(world, port, context=tls_context(ca_file=ca_file)) as stream,
    ):
        assert stream.tls_version == "TLSv1.2"
        send(world, stream, b"x")
        assert receive_exactly(world, stream, 1) == b"x"


@pytest.mark.parametrize("greeting", [b"220 mx.example ESMTP\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_a_port_without_tls_is_named_as_such(world, greeting):
    with (
        peer(said(greeting)) as port,
        pytest.raises(TlsError, match=r"localhost.*does not speak TLS on this port"),
    ):
        handshake(world, port, tls_context())


@pytest.mark.parametrize("rudely", [False, True], ids=["end", "reset"])
def test_a_close_during_the_handshake_is_named_as_such(world, rudely):
    def leave(conn, stop):
        conn.recv(65536)
        if rudely:
            reset(conn)

    with peer(leave) as port, pytest.raises(TlsError, match="closed the connection during the TLS handshake"):
        handshake(world, port, tls_context())


def test_no_cipher_in_common_is_readable(world, ca, ca_file):
    context = issued(ca, "localhost")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")  # for RSA keys; this one is elliptic
    with peer(tls(context, silent)) as port, pytest.raises(TlsError, match="cipher in common"):
        handshake(world, port, tls_context(ca_file=ca_file))


@pytest.mark.parametrize("name", ["", "a..b", "x" * 70])
def test_a_name_that_no_certificate_can_bear_is_a_tls_error(world, name, server_tls):
    with peer(tls(server_tls, silent)) as port, pytest.raises(TlsError, match="not a name"):
        handshake(world, port, tls_context(), name)


def test_a_failed_handshake_closes_and_is_not_secure(world, server_tls):
    async def body(stream: Stream) -> None:
        with pytest.raises(TlsError):
            await stream.start_tls(tls_context(), "localhost", deadline=world.runtime.now() + LONG_S)

    with peer(tls(server_tls, silent)) as port, stream_in(world, port) as stream:
        world.run(body, stream)
        assert stream.closed
        assert not stream.is_secure
        assert (stream.tls_version, stream.cipher) == (None, None)


def test_a_stalled_handshake_ends_at_the_deadline(world):
    with peer(silent) as port, stream_in(world, port) as stream:
        start = time.monotonic()
        with pytest.raises(DeadlineExceeded, match="TLS handshake"):
            world.run(stream.start_tls, tls_context(), "localhost", deadline=start + SHORT_S)
        assert SHORT_S * 0.9 < time.monotonic() - start < BOUND_S
        assert stream.closed


def test_the_loop_keeps_running_during_a_stalled_handshake(async_world):
    async def body(stream: Stream) -> int:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await anyio.sleep(0.01)
                ticks += 1

        async with anyio.create_task_group() as group:
            group.start_soon(tick)
            with pytest.raises(DeadlineExceeded):
                await stream.start_tls(tls_context(), "localhost", deadline=async_world.runtime.now() + SHORT_S)
            group.cancel_scope.cancel()
        return ticks

    with peer(silent) as port, stream_in(async_world, port) as stream:
        assert async_world.run(body, stream) >= 4  # 20 on an idle machine


def test_tls_settings_are_strict_by_default_and_made_once(ca_file):
    strict = tls_context()
    assert strict.verify_mode is ssl.CERT_REQUIRED
    assert strict.check_hostname
    assert not strict.hostname_checks_common_name
    assert strict.minimum_version is ssl.TLSVersion.TLSv1_2
    assert strict is tls_context()
    assert tls_context(ca_file=ca_file) is tls_context(ca_file=ca_file)
    loose = tls_context(verify=False)
    assert loose.verify_mode is ssl.CERT_NONE
    assert loose is not strict
    assert loose.minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_ca_file_that_cannot_be_used_is_a_config_error_that_names_it(tmp_path):
    (tmp_path / "rubbish.pem").write_text("no certificate")
    for name in ("missing.pem", "rubbish.pem", ""):
        path = str(tmp_path / name)
        with pytest.raises(ConfigError, match=path):
            tls_context(ca_file=path)


# --- threads and processes --------------------------------------------------------------------------------------------


def test_eight_threads_each_with_a_stream_of_its_own(layer):
    wrapped, context = layer
    runtime = BlockingRuntime()
    results: dict[int, bool] = {}

    async def exchange(number: int, port: int) -> bool:
        deadline = runtime.now() + LONG_S
        stream = await Stream.connect(runtime, "127.0.0.1", port, deadline=deadline)
        try:
            if context is not None:
                await stream.start_tls(context, "localhost", deadline=deadline)
            for turn in range(30):
                line = b"%d:%d" % (number, turn) * 200
                await stream.send_all(line, deadline=deadline)
                got = b""
                while len(got) < len(line):
                    got += await stream.receive(65536, deadline=deadline)
                if got != line:
                    return False
            return True
        finally:
            stream.close()

    def work(number: int, port: int) -> None:
        results[number] = drive(exchange(number, port))

    with peer(wrapped(echo)) as port:
        threads = [threading.Thread(target=work, args=(number, port)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LONG_S * 3)
    assert results == dict.fromkeys(range(8), True)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_that_closes_leaves_the_parents_tls_session_alone(ca_file, server_tls):
    script = """if True:
        import os, sys
        from mailer.runtime import BlockingRuntime, drive
        from mailer.stream import Stream
        from mailer.tls import tls_context

        async def main():
            runtime = BlockingRuntime()
            deadline = runtime.now() + 10
            stream = await Stream.connect(runtime, "127.0.0.1", int(sys.argv[1]), deadline=deadline)
            await stream.start_tls(tls_context(ca_file=sys.argv[2]), "localhost", deadline=deadline)
            child = os.fork()
            if not child:
                stream.close()
                os._exit(0)
            os.waitpid(child, 0)
            await stream.send_all(b"still here", deadline=deadline)
            got = b""
            while len(got) < 10:
                got += await stream.receive(100, deadline=deadline) or b"the end came"
            print(got.decode())
            stream.close()

        drive(main())
    """
    with peer(tls(server_tls, echo)) as port:
        command = [sys.executable, "-W", "error", "-c", script, str(port), ca_file]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout.strip(), done.stderr) == ("still here", "")
