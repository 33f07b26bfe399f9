"""Proxies: tunnels by HTTP CONNECT and SOCKS5 in three worlds, refusals, faults, secrets."""

from __future__ import annotations

import socket
import ssl
from typing import Any
from urllib.parse import quote

import pytest
from proxy_server import ProxyServer
from worlds import World

from mailer import Mailer, Message
from mailer.errors import AuthError, ConfigError, ConnectError, DeadlineExceeded, DeliveryDeferred, ProtocolError
from mailer.mailbox import Mailbox
from mailer.proxy import Proxy
from mailer.runtime import AddrInfo
from mailer.stream import Stream
from mailer.testing import FakeRelay

HI = Message(from_="a@x.test", to="b@x.test", subject="s", text="t\n")
SECRET = "s3cret/p@ss word"
LOGIN = "us%40er:s3cret%2Fp%40ss%20word@"


def connected(world: World, proxy: str, host: str = "mx.test", within_s: float = 30.0, **more: Any) -> Stream:
    async def body() -> Stream:
        deadline = world.runtime.now() + within_s
        return await Stream.connect(world.runtime, host, 25, deadline=deadline, proxy=Proxy.parse(proxy), **more)

    return world.run(body)


@pytest.mark.parametrize("kind", ["http", "socks5"])
def test_smtp_goes_by_a_proxy_to_a_name_that_only_it_can_resolve(
    world: World, kind: str, server_tls: ssl.SSLContext, ca_file: str
) -> None:
    """TLS is verified through the tunnel, for the server's name, which is not the proxy's."""
    with Mailbox(tls=server_tls) as box, ProxyServer(kind, box.port, login=("us@er", SECRET)) as proxy:
        option = f"proxy={quote(f'{kind}://{LOGIN}127.0.0.1:{proxy.port}')}"
        url = f"smtp://localhost:2525?tls=required&ca_file={ca_file}&{option}"
        with world.mailer(url, retry=None) as mailer:
            assert mailer.send(HI).ok
            assert "cret" not in str(mailer.backend)
            assert "us%40er" not in str(mailer.backend)
            assert "proxy=" in str(mailer.backend)
        assert proxy.asked == ["localhost:2525"]
        assert proxy.logins == [("us@er", SECRET)]
        assert box.mails[0].is_tls
        if world.name == "blocking":
            other = Mailer(url.replace("localhost", "other.test"), retry=None)
            with other as mailer, pytest.raises(DeliveryDeferred, match="another name"):
                mailer.send(HI)


@pytest.mark.parametrize("kind", ["http", "socks5"])
def test_a_relay_goes_by_a_proxy(world: World, kind: str) -> None:
    with FakeRelay() as relay, ProxyServer(kind, relay.port) as proxy:
        with world.mailer(f"{relay.url}&proxy={proxy.url}") as mailer:
            assert mailer.send(HI).ok
        assert proxy.asked == [f"127.0.0.1:{relay.port}"]


def test_known_addresses_are_tried_in_turn(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, ProxyServer("socks5", server.getsockname()[1]) as proxy:
        v6 = AddrInfo(socket.AF_INET6, ("2001:db8::1", 25, 0, 0))
        connected(world, proxy.url, addresses=[v6]).close()
        assert proxy.asked == ["[2001:db8::1]:25"]
    with ProxyServer("socks5", says=b"\x05\x04\x00\x01\0\0\0\0\0\0") as proxy:
        v4 = AddrInfo(socket.AF_INET, ("192.0.2.1", 25))
        with pytest.raises(
            ConnectError, match=r"\[2001:db8::1\]:25: host unreachable; .*192\.0\.2\.1:25: host unreach"
        ):
            connected(world, proxy.url, addresses=[v6, v4])


@pytest.mark.parametrize(
    ("kind", "says", "error", "text"),
    [
        ("http", b"HTTP/1.1 403 No\x1b[2J way\r\n\r\n", ConnectError, r"did not connect to mx\.test:25: 403 No\\x1b"),
        ("http", b"HTTP/1.1 407 no " + SECRET.encode() + b"\r\n\r\n", AuthError, "refused the login: 407"),
        ("http", b"220 smtp.test ESMTP\r\n\r\n", ProtocolError, "does not speak HTTP"),
        ("http", b"x" * 20_000, ProtocolError, "more than 16384"),
        ("http", b"HTTP/1.1 200 OK\r\n", ProtocolError, "closed the connection"),
        ("socks5", b"\x05\x02\x00\x01\0\0\0\0\0\0", ConnectError, "rules do not allow"),
        ("socks5", b"\x05\x63\x00\x01\0\0\0\0\0\0", ConnectError, "reply 99"),
        ("socks5", b"\x04\x00\x00\x01\0\0\0\0\0\0", ProtocolError, "does not speak SOCKS5"),
        ("socks5", b"\x05\x00\x00\x09\0\0\0\0\0\0", ProtocolError, "address of type 9"),
        ("socks5", b"\x05\x00", ProtocolError, "closed the connection"),
    ],
)
def test_what_a_proxy_refuses_is_told_and_no_secret_with_it(
    world: World, kind: str, says: bytes, error: type[Exception], text: str
) -> None:
    with ProxyServer(kind, says=says, login=("us@er", SECRET)) as proxy, pytest.raises(error, match=text) as caught:
        connected(world, f"{kind}://{LOGIN}127.0.0.1:{proxy.port}")
    assert "cret" not in str(caught.value)
    assert "us@er" not in str(caught.value)


def test_a_proxy_that_cannot_be_reached_is_named_as_such(world: World) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        with pytest.raises(
            ConnectError, match=rf"the proxy http://\*\*\*@127\.0\.0\.1:{port} cannot be reached: .*refused"
        ):
            connected(world, f"http://{LOGIN}127.0.0.1:{port}")


@pytest.mark.parametrize("kind", ["http", "socks5"])
def test_a_silent_proxy_and_one_that_wants_a_login(world: World, kind: str) -> None:
    with ProxyServer(kind, says=b"") as proxy:
        start = world.runtime.now()
        with pytest.raises(DeadlineExceeded, match=f"the proxy {kind}://127"):
            connected(world, proxy.url, within_s=0.1)
        assert world.runtime.now() - start < 3
    with ProxyServer(kind, login=("a", "b")) as proxy:
        for url in (proxy.url, proxy.url.replace("//", "//a:wrong@")):
            with pytest.raises(AuthError, match=f"the proxy {kind}://"):
                connected(world, url)


def test_the_servers_first_words_are_its_own(world: World) -> None:
    """A greeting in one segment with the proxy's answer is not lost."""
    with ProxyServer("http", says=b"HTTP/1.0 200\r\n\r\n220 mx.test\r\n") as proxy:
        stream = connected(world, proxy.url)
        received = b""
        while len(received) < 13:
            received += world.run(stream.receive, 100, deadline=world.runtime.now() + 10)
        assert received == b"220 mx.test\r\n"
        assert stream.peer == f"mx.test:25 by {proxy.url}"
        world.call(stream.close)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://a:b@p.test:3128", "http://***@p.test:3128"),
        ("socks5://p.test", "socks5://p.test:1080"),
        ("socks5h://[::1]:9050", "socks5://[::1]:9050"),
        ("http://p.test", "http://p.test:80"),
    ],
)
def test_it_prints_itself_without_its_login(url: str, shown: str) -> None:
    assert str(Proxy.parse(url)) == shown
    assert "b@" not in repr(Proxy.parse(url))


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("https://p.test", "no https:// proxy"),
        ("socks4://p.test", "no socks4:// proxy"),
        ("p.test:3128", "no p.test:// proxy"),
        ("socks5://", "names no host"),
        ("http://p.test/path", "takes no path"),
        ("socks5://user@p.test", "1 to 255 octets"),
        (f"socks5://{'u' * 256}:p@p.test", "1 to 255 octets"),
        ("http://a%3Ab:c@p.test", "colon"),
    ],
)
def test_what_is_no_proxy_is_a_config_error(url: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        Mailer(f"smtp://mx.test?proxy={quote(url)}")
    with pytest.raises(ConfigError, match=text):
        Mailer(f"postmark://TOKEN@default?proxy={quote(url)}")


def test_no_proxy_leads_to_a_unix_socket_or_around_a_given_client() -> None:
    with pytest.raises(ConfigError, match="unix socket"):
        Mailer("lmtp:///run/lmtp?proxy=http://p.test")
    from mailer.backends.relay import RelayBackend
    from mailer.relay.postmark import Postmark

    with pytest.raises(ConfigError, match="its own proxy"):
        RelayBackend(Postmark("TOKEN"), client=object(), proxy="http://p.test")


def test_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with Mailbox() as box, Mailer(f"smtp://127.0.0.1:{box.port}?tls=none") as mailer:
        assert mailer.send(HI).ok
