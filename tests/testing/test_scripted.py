"""ScriptedServer: it does what the script says, no more, and knows who left it."""

from __future__ import annotations

import socket
import ssl
import threading
import time

import pytest
import trustme

from mailer.smtp.data import unstuffed
from mailer.testing import ScriptedServer


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


@pytest.fixture(scope="module")
def client_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def connect(server: ScriptedServer) -> socket.socket:
    return socket.create_connection((server.host, server.port), timeout=10)


def read(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (piece := sock.recv(size - len(data))):
        data += piece
    return data


def read_all(sock: socket.socket) -> bytes:
    return read(sock, 1 << 30)


WHOLE = r"""
    # a comment
    S: 220 hi
    C: EHLO *
    S: 250-hello
    S: 250 SIZE
    C: MAIL FROM:<a@[127.0.0.1]>*
    S: 250 ok
    C: DATA
    S: 354 go
    C: <data>
    S: 250 taken
    C: BDAT * LAST
    C: <chunk>
    S: 250 taken
    C: <bytes 5>
    C: QUIT
    S: bytes b'22'
    S: bytes b'1 bye\r\n'
"""
SAID = b"EHLO c.test\r\nMAIL FROM:<a@[127.0.0.1]> SIZE=3\r\nDATA\r\n..x\r\n.\r\nBDAT 4 LAST\r\n\r\n.\r12345QUIT\r\n"


@pytest.mark.parametrize("chunk", [None, "line", "byte"])
@pytest.mark.parametrize("step", [1, 1000])
def test_a_dialogue_is_the_same_in_every_cut(chunk, step: int) -> None:  # type: ignore[no-untyped-def]
    with ScriptedServer(WHOLE, chunk=chunk) as server:
        with connect(server) as sock:
            for start in range(0, len(SAID), step):
                sock.sendall(SAID[start : start + step])
            assert read_all(sock) == (
                b"220 hi\r\n250-hello\r\n250 SIZE\r\n250 ok\r\n354 go\r\n250 taken\r\n250 taken\r\n221 bye\r\n"
            )
        assert server.wait_idle()
        server.assert_clean()
        assert server.received == [b"..x\r\n.\r\n", b"\r\n.\r"]
        assert unstuffed(server.received[0]) == b".x\r\n"
        assert server.log == [["EHLO c.test", "MAIL FROM:<a@[127.0.0.1]> SIZE=3", "DATA", "BDAT 4 LAST", "QUIT"]]
        assert server.raw == [SAID]
        assert server.connections == 1


def test_successive_lines_travel_in_one_segment_unless_parted() -> None:
    def segments(script: str, **options: object) -> list[bytes]:
        server = ScriptedServer(script, **options)  # type: ignore[arg-type]
        return [data for step in _groups(server) for data in server._sent(step)]

    def _groups(server: ScriptedServer):  # type: ignore[no-untyped-def]
        from mailer.testing.scripted import _grouped

        return [group for verb, group in _grouped(server._scripts[0]) if verb == "send"]

    script = "S: 220 go\nS: 250 evil\nS: delay 0\nS: 1"
    assert segments(script) == [b"220 go\r\n250 evil\r\n", b"1\r\n"]
    assert segments(script, chunk="line") == [b"220 go\r\n", b"250 evil\r\n", b"1\r\n"]
    assert segments("S: 1", chunk="byte") == [b"1", b"\r", b"\n"]


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (b"HELO c.test\r\n", "expected 'EHLO *', got 'HELO c.test'"),
        (b"EHLO c.test\n", "without CRLF"),
        (b"XEHLO c.test\r\n", "got 'XEHLO c.test'"),
        (b"EHLO", "the client ended the connection"),
        (b"", "the client ended the connection"),
    ],
)
def test_a_client_that_leaves_the_script_is_named_and_cut_off(said: bytes, error: str) -> None:
    with ScriptedServer("S: 220 hi\nC: EHLO *\nS: 250 never") as server:
        with connect(server) as sock:
            assert read(sock, 8) == b"220 hi\r\n"
            sock.sendall(said)
            sock.shutdown(socket.SHUT_WR)
            assert read_all(sock) == b""
        assert server.wait_idle()
        (found,) = server.errors
        assert found.startswith("connection 1: ")
        assert error in found
        with pytest.raises(AssertionError, match="connection 1"):
            server.assert_clean()


@pytest.mark.parametrize(("said", "is_clean"), [(b"", True), (b"QUIT\r\n", False)])
def test_the_end_of_the_client_can_be_expected(said: bytes, is_clean: bool) -> None:
    with ScriptedServer("S: 220 hi\nC: <eof>") as server:
        with connect(server) as sock:
            sock.sendall(said)
            sock.shutdown(socket.SHUT_WR)
            read_all(sock)
        assert server.wait_idle()
        assert (not server.errors) is is_clean


def test_connections_get_their_scripts_in_order_and_the_last_serves_the_rest() -> None:
    with ScriptedServer("S: 220 one\n---\nS: 421 two") as server:
        seen = []
        for _ in range(3):
            with connect(server) as sock:
                seen.append(read_all(sock))
        assert seen == [b"220 one\r\n", b"421 two\r\n", b"421 two\r\n"]
        assert server.connections == 3
    with ScriptedServer(connections=["S: 1", "S: 2"]) as server, connect(server) as first, connect(server) as second:
        assert (read_all(first), read_all(second)) == (b"1\r\n", b"2\r\n")


def test_close_is_a_fin_and_what_still_comes_is_recorded() -> None:
    with ScriptedServer("S: 220 hi\nS: close") as server:
        with connect(server) as sock:
            assert read_all(sock) == b"220 hi\r\n"
            sock.sendall(b"QUIT\r\n")
        assert server.wait_idle()
        assert server.raw == [b"QUIT\r\n"]
        server.assert_clean()


def test_reset_is_a_rst() -> None:
    with ScriptedServer("S: 220 hi\nC: GO\nS: reset") as server, connect(server) as sock:
        read(sock, 8)
        sock.sendall(b"GO\r\n")
        with pytest.raises(ConnectionResetError):
            sock.recv(1)


def test_hold_sends_nothing_and_records() -> None:
    with ScriptedServer("S: hold\nS: 220 never") as server:
        with connect(server) as sock:
            sock.sendall(b"x")
            sock.shutdown(socket.SHUT_WR)
            assert read_all(sock) == b""
        assert server.wait_idle()
        assert server.raw == [b"x"]
        server.assert_clean()


def test_drip_sends_one_byte_at_a_time_and_delay_waits() -> None:
    with ScriptedServer("S: delay 0.1\nS: drip 0.02 220") as server, connect(server) as sock:
        started = time.monotonic()
        assert read_all(sock) == b"220\r\n"
        assert time.monotonic() - started >= 0.2


def test_repeat_sends_often_and_survives_a_client_that_gives_up() -> None:
    with ScriptedServer("S: repeat 3 250-x\nS: 250 x\n---\nS: repeat 1e9 250-x") as server:
        with connect(server) as sock:
            assert read_all(sock) == b"250-x\r\n" * 3 + b"250 x\r\n"
        with connect(server) as sock:
            assert len(read(sock, 100_000)) == 100_000
        assert server.wait_idle()
        server.assert_clean()


def test_tls_in_the_middle(server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    script = "S: 220 hi\nC: STARTTLS\nS: 220 go\nS: tls\nC: EHLO *\nS: 250 safe"
    with ScriptedServer(script, tls=server_tls) as server:
        sock = connect(server)
        read(sock, 8)
        sock.sendall(b"STARTTLS\r\n")
        assert read(sock, 8) == b"220 go\r\n"
        with client_tls.wrap_socket(sock, server_hostname="127.0.0.1") as secure:
            secure.sendall(b"EHLO c.test\r\n")
            assert read_all(secure) == b"250 safe\r\n"
        assert server.wait_idle()
        server.assert_clean()
        assert server.raw == [b"STARTTLS\r\nEHLO c.test\r\n"]
        assert server.url.startswith("smtp://")
        assert server.url.endswith("?tls=required")


def test_the_end_under_tls_is_announced(server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    with ScriptedServer("S: tls\nS: 220 hi", tls=server_tls) as server:
        secure = client_tls.wrap_socket(connect(server), server_hostname="127.0.0.1", suppress_ragged_eofs=False)
        with secure:
            assert read_all(secure) == b"220 hi\r\n"
        assert server.wait_idle()
        assert server.url == f"smtps://127.0.0.1:{server.port}"


def test_a_client_that_refuses_the_certificate_is_no_error_of_the_script(server_tls: ssl.SSLContext) -> None:
    with ScriptedServer("S: tls\nS: 220 hi", tls=server_tls) as server:
        with connect(server) as sock, pytest.raises(ssl.SSLCertVerificationError):
            ssl.create_default_context().wrap_socket(sock, server_hostname="127.0.0.1")
        assert server.wait_idle()
        assert len(server.handshake_failures) == 1
        server.assert_clean()


def test_tls_without_a_context_is_an_error() -> None:
    with ScriptedServer("S: tls") as server:
        with connect(server) as sock:
            assert read_all(sock) == b""
        assert server.wait_idle()
        assert "no context" in server.errors[0]
    assert ScriptedServer("S: 220").url == "smtp://127.0.0.1:0?tls=none"


@pytest.mark.parametrize(
    "line",
    ["220 hi", "X: hi", "S: bytes 5", "S: bytes b'", "S: delay x", "S: delay -1", "S: delay inf", "S: repeat x 250"],
)
def test_a_wrong_script_is_refused_when_it_is_given(line: str) -> None:
    with pytest.raises(ValueError, match="not a line of a script"):
        ScriptedServer(f"S: 220 hi\n{line}")


@pytest.mark.parametrize("script", ["S: hold", "S: delay 60", "S: drip 60 220 hi", "C: EHLO *", "C: <data>", "S: tls"])
def test_stop_is_prompt_whatever_the_server_waits_for(script: str, server_tls: ssl.SSLContext) -> None:
    server = ScriptedServer(f"S: 220 hi\n{script}", tls=server_tls).start()
    with connect(server) as sock:
        assert read(sock, 8) == b"220 hi\r\n"
        started = time.monotonic()
        server.stop()
        assert time.monotonic() - started < 3
        assert not [thread for thread in threading.enumerate() if f"-{server.port}" in thread.name]
    server.assert_clean()
