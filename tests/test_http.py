"""The HTTP client, on each runtime: one deadline over everything, connections kept and never shared, faults told."""

from __future__ import annotations

import gc
import os
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import anyio
import httpx
import pytest
from worlds import World, new_world

from mailer.errors import (
    ConfigError,
    ConnectError,
    DeadlineExceeded,
    MailerError,
    ProtocolError,
    TlsError,
    TransportError,
)
from mailer.http import MAX_ANSWER_BYTES
from mailer.relay.exchange import Response
from mailer.testing import Answer, FakeRelay, ScriptedServer

SECRET = "s3cret-t0ken"


@pytest.fixture
def relay() -> Iterator[FakeRelay]:
    with FakeRelay("postmark", token=SECRET) as made:
        yield made


class Client:
    """A client of this world, with a plain ``post``.

    Attributes:
        sent: How often a whole request was handed over.
    """

    def __init__(self, world: World, given: Any = None, **keywords: Any) -> None:
        self.world = world
        self.http = world.call(world.runtime.http, given, **keywords)
        self.sent = 0

    def post(self, url: str, content: bytes = b"{}", *, within_s: float = 10.0, method: str = "POST") -> Response:
        def on_sent() -> None:
            self.sent += 1

        async def send() -> Response:
            deadline = self.world.runtime.now() + within_s
            headers = [("X-Token", SECRET)]
            return await self.http.send(
                method, url, content=content, headers=headers, deadline=deadline, on_sent=on_sent
            )

        return self.world.run(send)

    def close(self) -> None:
        self.world.run(self.http.aclose)


@pytest.fixture
def client(world: World) -> Iterator[Client]:
    made = Client(world)
    yield made
    made.close()


def failed(client: Client, url: str, **keywords: Any) -> MailerError:
    with pytest.raises(MailerError) as caught:
        client.post(url, **keywords)
    assert SECRET not in str(caught.value) + repr(caught.value.__cause__) + repr(caught.value.__context__)
    return caught.value


# --- what is sent and what comes --------------------------------------------------------------------------------------


def test_a_request_arrives_as_it_was_given(client: Client, relay: FakeRelay) -> None:
    relay.next(Answer(status=418, body="tea ü", headers={"X-A": "b"}))
    response = client.post(relay.base + "/a%20b?c=d", b"\x00body")
    assert (response.status, response.content, response.headers["x-a"]) == (418, "tea ü".encode(), "b")
    [request] = relay.requests
    assert (request.method, request.path, request.content) == ("POST", "/a%20b?c=d", b"\x00body")
    assert request.headers["x-token"] == SECRET
    assert request.headers["host"] == relay.base.removeprefix("http://")
    assert "cookie" not in request.headers
    assert response.cut is None
    assert client.sent == 1


def test_one_connection_serves_one_request_after_the_other(client: Client, relay: FakeRelay) -> None:
    for _ in range(5):
        assert client.post(relay.base).status == 401
    client.post(relay.base, b"", method="GET")
    assert {request.connection for request in relay.requests} == {0}
    client.close()
    client.post(relay.base)
    assert relay.requests[-1].connection == 1


def test_what_follows_an_answer_is_no_answer_to_the_next_request(client: Client) -> None:
    """Both in one segment: nothing is left on the socket that would show it."""
    one = r"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n"
    first, second = (f"C: <bytes 10>\nS: bytes b'{said}'\nS: hold" for said in (f"{one}1{one}2", f"{one}3"))
    with ScriptedServer(f"{first}\n---\n{second}") as server:
        url = f"http://127.0.0.1:{server.port}/"
        assert [client.post(url).content for _ in range(2)] == [b"1", b"3"]


def test_an_informational_answer_is_passed_over(client: Client, relay: FakeRelay) -> None:
    relay.next(Answer(raw=b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"))
    assert client.post(relay.base).status == 204


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_check_74_a_redirect_is_an_answer_and_nothing_goes_where_it_points(
    client: Client, relay: FakeRelay, status: int
) -> None:
    with FakeRelay() as elsewhere:
        relay.next(Answer(status=status, headers={"Location": elsewhere.base + "/steal"}))
        assert client.post(relay.base).status == status
        assert elsewhere.requests == []


def test_the_environment_has_no_say(client: Client, relay: FakeRelay, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeRelay() as proxy:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.base)
        assert client.post(relay.base).status == 401
        assert proxy.requests == []


def test_a_large_body_is_sent_whole(client: Client, relay: FakeRelay) -> None:
    content = os.urandom(1 << 20) * 6
    client.post(relay.base, content)
    assert relay.requests[0].content == content


def test_a_huge_answer_is_cut_and_its_connection_dropped(client: Client, relay: FakeRelay) -> None:
    relay.next(Answer(body=b"x" * (MAX_ANSWER_BYTES + 5)))
    response = client.post(relay.base)
    assert len(response.content) == MAX_ANSWER_BYTES
    assert isinstance(response.cut, ProtocolError)
    client.post(relay.base)
    assert relay.requests[-1].connection == 1


def test_compression_is_not_asked_for(client: Client, relay: FakeRelay) -> None:
    client.post(relay.base)
    assert relay.requests[0].headers["accept-encoding"] == "identity"


# --- the deadline -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        Answer(body=b"x" * 4000, drip_s=0.01),  # even the head takes longer
        Answer(raw=b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 4000, drip_s=0.005),
        Answer(raw=b"HTTP/1.1 102 x\r\n\r\n" * 4000, drip_s=0.005),
        Answer(hold=True),
    ],
    ids=["whole", "head", "informational", "silence"],
)
def test_a_dripping_head_ends_at_the_deadline(client: Client, relay: FakeRelay, answer: Answer) -> None:
    client.post(relay.base)  # all is loaded and connected, so that the next request leaves in time
    relay.next(answer)
    start = time.monotonic()
    assert isinstance(failed(client, relay.base, within_s=0.4), DeadlineExceeded)
    assert time.monotonic() - start < 0.4 * 3
    assert client.sent == 2
    client.post(relay.base)
    assert relay.requests[-1].connection == 1  # what was late never meets the next request


def test_a_dripping_body_ends_at_the_deadline_with_the_status_known(client: Client, relay: FakeRelay) -> None:
    client.post(relay.base)
    relay.next(Answer(status=429, body=b"x" * 9000, drip_body_s=0.01))
    start = time.monotonic()
    response = client.post(relay.base, within_s=0.4)
    assert time.monotonic() - start < 0.4 * 3
    assert (response.status, type(response.cut)) == (429, DeadlineExceeded)
    assert 0 < len(response.content) < 9000


def test_a_server_that_does_not_read_ends_at_the_deadline_and_nothing_was_sent(client: Client) -> None:
    with ScriptedServer("C: <bytes 10>\nS: delay 20") as deaf:
        error = failed(client, f"http://127.0.0.1:{deaf.port}/", content=b"x" * (64 << 20), within_s=0.4)
    assert isinstance(error, DeadlineExceeded)
    assert client.sent == 0


def test_a_deadline_that_has_passed_opens_nothing(client: Client, relay: FakeRelay) -> None:
    assert isinstance(failed(client, relay.base, within_s=-1), TransportError)
    assert (relay.requests, client.sent) == ([], 0)


# --- faults -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(lose=True), TransportError),
        (Answer(lose="reset"), TransportError),
        (Answer(raw=b""), TransportError),
        (Answer(raw=b"220 smtp.example.com ESMTP\r\n"), ProtocolError),
        (Answer(raw=b"\x16\x03\x01" + SECRET.encode()), ProtocolError),
        (Answer(raw=b"HTTP/1.1 200 OK\r\n" + b"X: " + SECRET.encode() + b"\x00\r\n\r\n"), ProtocolError),
        (Answer(raw=b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000), ProtocolError),
    ],
    ids=["lost", "reset", "closed", "smtp", "tls", "nul", "endless"],
)
def test_no_status_after_the_request_is_an_error(
    client: Client, relay: FakeRelay, answer: Answer, error: type[MailerError]
) -> None:
    relay.next(answer)
    assert isinstance(failed(client, relay.base), error)
    assert client.sent == 1
    assert client.post(relay.base).status == 401


@pytest.mark.parametrize(
    "answer",
    [
        Answer(body=b"half", length=10),
        Answer(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz"),
        Answer(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"),
    ],
)
def test_an_answer_cut_in_its_body_says_so(client: Client, relay: FakeRelay, answer: Answer) -> None:
    relay.next(answer)
    response = client.post(relay.base)
    assert (response.status, response.content) == (200, b"half")
    assert isinstance(response.cut, (TransportError, ProtocolError))


def test_a_body_that_ends_with_the_connection_is_whole(client: Client, relay: FakeRelay) -> None:
    relay.next(Answer(raw=b"HTTP/1.0 200 OK\r\n\r\nall"))
    response = client.post(relay.base)
    assert (response.content, response.cut) == (b"all", None)


def test_an_early_refusal_is_heard_though_the_request_was_not_read(client: Client) -> None:
    refusal = r"S: bytes b'HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno'"
    with ScriptedServer(f"C: <bytes 10>\n{refusal}\nS: close") as server:
        response = client.post(f"http://127.0.0.1:{server.port}/", b"x" * (16 << 20))
    assert (response.status, response.content) == (413, b"no")


def test_nobody_listens(client: Client, relay: FakeRelay) -> None:
    relay.stop()
    assert isinstance(failed(client, f"http://127.0.0.1:{relay.port}/"), ConnectError)
    assert client.sent == 0


def test_an_idle_connection_that_was_dropped_is_replaced(client: Client, relay: FakeRelay) -> None:
    client.post(relay.base)
    [kept] = client.http._idle  # type: ignore[attr-defined]
    relay.stop()  # closes it; what follows has a new port, so the old one is looked at in place
    for _ in range(500):
        if kept.stream.has_input():
            break
        time.sleep(0.01)
    assert isinstance(failed(client, f"http://127.0.0.1:{relay.port}/"), ConnectError)
    assert client.sent == 1


def test_a_connection_kept_too_long_is_dropped(client: Client, relay: FakeRelay) -> None:
    client.post(relay.base)
    client.http._idle[0].idle_since -= 60  # type: ignore[attr-defined]
    client.post(relay.base)
    assert [request.connection for request in relay.requests] == [0, 1]


@pytest.mark.parametrize(
    "url",
    ["ftp://x/", "https:///", "/email", "http://user:pw@127.0.0.1/", "http://127.0.0.1/\u00fc", "http://127.0.0.1/a b"],
)
def test_what_is_no_url_for_us_is_a_config_error(client: Client, url: str) -> None:
    assert isinstance(failed(client, url), ConfigError)


# --- TLS --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def tls_server(server_tls: ssl.SSLContext) -> Iterator[ScriptedServer]:
    answer = r"S: bytes b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'"
    with ScriptedServer(f"S: tls\nC: POST / *\nC: <bytes 1>\n{answer}\nC: <eof>", tls=server_tls) as server:
        yield server


def test_tls_with_an_authority_of_ones_own(world: World, tls_server: ScriptedServer, ca_file: str) -> None:
    client = Client(world, ca_file=ca_file)
    assert client.post(f"https://localhost:{tls_server.port}/").content == b"ok"
    client.close()


def test_tls_is_verified(client: Client, tls_server: ScriptedServer) -> None:
    assert isinstance(failed(client, f"https://localhost:{tls_server.port}/"), TlsError)
    assert client.sent == 0
    assert SECRET.encode() not in b"".join(tls_server.raw)


def test_tls_names_another_host(world: World, tls_server: ScriptedServer, ca_file: str) -> None:
    client = Client(world, ca_file=ca_file)
    assert isinstance(failed(client, f"https://127.0.0.2:{tls_server.port}/"), (TlsError, ConnectError))
    assert client.sent == 0


# --- shared by many ---------------------------------------------------------------------------------------------------


def test_threads_never_share_a_connection(relay: FakeRelay) -> None:
    relay.next(*[lambda request: Answer(body=request.content)] * 200)
    with new_world("blocking") as world:
        client = Client(world)
        wrong: list[bytes] = []

        def work(number: int) -> None:
            for turn in range(20):
                content = f"{number}.{turn}".encode()
                if client.post(relay.base, content).content != content:
                    wrong.append(content)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        client.close()
    assert wrong == []
    assert len(relay.requests) == 160


def test_a_fork_begins_anew(relay: FakeRelay) -> None:
    with new_world("blocking") as world:
        client = Client(world)
        client.post(relay.base)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                status = 0 if client.post(relay.base).status == 401 else 2
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        client.post(relay.base)
        client.close()
    assert [request.connection for request in relay.requests] == [0, 1, 0]


def test_another_event_loop_begins_anew(relay: FakeRelay) -> None:
    with new_world("asyncio") as first, new_world("asyncio") as second:
        client = Client(first)
        client.post(relay.base)
        client.world = second
        client.post(relay.base)
        client.close()
    assert [request.connection for request in relay.requests] == [0, 1]
    gc.collect()


def test_cancelled_the_connection_is_closed(async_world: World, relay: FakeRelay) -> None:
    relay.next(Answer(hold=True))
    client = Client(async_world)

    async def cut_short() -> None:
        with anyio.move_on_after(0.2):
            await client.http.send(
                "POST", relay.base, content=b"x", headers=(), deadline=async_world.runtime.now() + 30
            )

    async_world.run(cut_short)
    client.post(relay.base)
    assert [request.connection for request in relay.requests] == [0, 1]
    client.close()


# --- a client of the app's own ----------------------------------------------------------------------------------------


def given(world: World, handler: Any) -> Client:
    kind = httpx.Client if world.name == "blocking" else httpx.AsyncClient
    return Client(world, kind(transport=httpx.MockTransport(handler), follow_redirects=True))


def test_a_given_client_sends(world: World) -> None:
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(302, headers={"Location": "http://elsewhere.test/"}, content=b"there")

    client = given(world, handler)
    response = client.post("https://api.test/email?a=b", b"body")
    assert (response.status, response.content) == (302, b"there")
    [request] = seen
    assert (request.method, str(request.url), request.content) == ("POST", "https://api.test/email?a=b", b"body")
    assert (request.headers["X-Token"], request.headers["Content-Length"]) == (SECRET, "4")
    assert "transfer-encoding" not in request.headers
    assert client.sent == 1
    client.close()
    client.post("https://api.test/", b"", method="GET")


def test_a_given_client_over_a_real_socket(world: World, relay: FakeRelay) -> None:
    kind = httpx.Client if world.name == "blocking" else httpx.AsyncClient
    mine = kind(trust_env=False)
    client = Client(world, mine)
    assert client.post(relay.base, b"body").status == 401
    assert relay.requests[0].content == b"body"
    assert client.sent == 1
    relay.next(Answer(lose=True))
    assert isinstance(failed(client, relay.base), MailerError)
    assert client.sent == 2
    relay.next(Answer(body=b"half", length=10))
    assert isinstance(client.post(relay.base).cut, MailerError)
    world.run(mine.aclose) if world.name != "blocking" else mine.close()


@pytest.mark.parametrize(
    ("raised", "error"),
    [
        (httpx.ConnectError("x"), ConnectError),
        (httpx.ConnectTimeout("x"), ConnectError),
        (httpx.PoolTimeout("x"), ConnectError),
        (httpx.ProxyError("x"), ConnectError),
        (httpx.UnsupportedProtocol("x"), ConfigError),
        (httpx.ReadTimeout("x"), DeadlineExceeded),
        (httpx.ReadError("x"), TransportError),
        (httpx.RemoteProtocolError("x"), TransportError),
        (httpx.DecodingError("x"), ProtocolError),
    ],
)
def test_a_given_clients_errors_are_ours(world: World, raised: Exception, error: type[MailerError]) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        raise raised

    caught = failed(given(world, handler), "https://api.test/")
    assert type(caught) is error
    assert type(raised).__name__ in str(caught)
    assert (caught.__cause__, caught.__context__) == (None, None)  # they hold the request, and so its secrets


def test_what_a_given_client_does_wrong_is_its_own(world: World) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        given(world, handler).post("https://api.test/")


def test_a_given_async_client_is_held_to_the_deadline(async_world: World, relay: FakeRelay) -> None:
    relay.next(Answer(body=b"x" * 4000, drip_s=0.01))
    mine = httpx.AsyncClient(trust_env=False)
    client = Client(async_world, mine)
    start = time.monotonic()
    assert isinstance(failed(client, relay.base, within_s=0.4), DeadlineExceeded)
    assert time.monotonic() - start < 0.4 * 3
    async_world.run(mine.aclose)


def test_a_given_blocking_client_reads_no_body_beyond_the_deadline(relay: FakeRelay) -> None:
    relay.next(Answer(body=b"x" * 4000, drip_s=0.01))
    mine = httpx.Client(trust_env=False)
    with new_world("blocking") as world:
        start = time.monotonic()
        response = Client(world, mine).post(relay.base, within_s=0.4)
        assert (response.status, type(response.cut)) == (200, DeadlineExceeded)
        assert time.monotonic() - start < 0.4 * 3
    mine.close()


def test_a_given_client_of_the_other_kind_is_a_config_error(world: World) -> None:
    other = httpx.AsyncClient if world.name == "blocking" else httpx.Client
    for wrong in (other(), object(), "http://proxy"):
        with pytest.raises(ConfigError, match="client: give an httpx"):
            Client(world, wrong)


def test_httpx_is_not_loaded_by_us(relay: FakeRelay) -> None:
    lines = [
        "import sys; from mailer import Mailer, Message",
        f"with Mailer({relay.url!r}) as m: m.send(Message(from_='a@b.test', to='c@d.test'))",
        "print({'httpx', 'httpcore', 'anyio', 'asyncio'} & set(sys.modules))",
    ]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
