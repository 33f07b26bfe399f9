"""The gate for what data names: shut by default; each hop, each address and each folder is looked at."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from cases import each
from hypothesis import given
from hypothesis import strategies as st
from site_server import Site
from worlds import World

from mailer.errors import ConfigError, DeadlineExceeded, MessageError, TransportError
from mailer.gate import Gate, is_public
from mailer.runtime import AddrInfo, BlockingRuntime, drive

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


def refused(gate: Gate, url: str, said: str | None = None) -> None:
    with pytest.raises(MessageError, match=said):
        drive(gate.fetch(url, BlockingRuntime(), field="html"))
    assert not gate.allows(url)


# --- by its text alone ------------------------------------------------------------------------------------------------


def test_it_is_shut_by_default(tmp_path: Path) -> None:
    gate = Gate()
    refused(gate, "https://example.com/a.png", "does not allow")
    (tmp_path / "a.png").write_bytes(PNG)
    with pytest.raises(MessageError, match="no file is attached by its path unless"):
        gate.path(tmp_path / "a.png")
    assert repr(gate) == "<Gate shut>"


@each(
    ("host", "url", "is_allowed"),
    [
        ("cdn.example.com", "https://cdn.example.com/a", True),
        ("CDN.example.com", "https://cdn.EXAMPLE.com/a", True),
        ("cdn.example.com", "https://cdn.example.com./a", True),
        ("cdn.example.com", "https://cdn.example.com:443/a", True),
        ("cdn.example.com", "https://cdn.example.com:8443/a", False),
        ("cdn.example.com:8443", "https://cdn.example.com:8443/a", True),
        ("cdn.example.com:8443", "https://cdn.example.com/a", False),
        ("*.example.com", "https://a.b.example.com/", True),
        ("*.example.com", "https://example.com/", False),
        ("*.example.com", "https://evilexample.com/", False),
        ("example.com", "https://example.com.evil.test/", False),
        ("*", "https://whatever.test/", True),
        ("*", "https://whatever.test:22/", False),
        ("example.com", "https://example.com@evil.test/", False),
        ("example.com", "https://user:pw@example.com/", False),
        ("example.com", "https://evil.test\\@example.com/", False),
        ("example.com", "https://example.com\\.evil.test/", False),
        ("example.com", "http://example.com/", False),
        ("*", "file:///etc/passwd", False),
        ("*", "ftp://example.com/", False),
        ("*", "gopher://example.com/", False),
        ("*", "//example.com/", False),
        ("*", "https:///etc/passwd", False),
        ("*", "https://example.com/\r\nHost: evil", False),
        ("*", "https://example.com/ a", False),
        ("*", "https://exämple.com/", False),
        ("*", "https://example.com:99999/", False),
        ("*", "https://[::1/", False),
        ("*", "https://example.com/" + "a" * 2000, False),
    ],
)
def test_what_a_url_may_be(host: str, url: str, is_allowed: bool) -> None:
    assert Gate(hosts=host).allows(url) is is_allowed
    if not is_allowed:
        refused(Gate(hosts=host), url)


def test_a_host_or_scheme_or_folder_that_is_none_is_a_config_error(tmp_path: Path) -> None:
    for host in ("", "https://example.com", "a b", "exämple.com", "*.*", "user@example.com", "example.com/x", "a:b"):
        with pytest.raises(ConfigError, match="hosts: "):
            Gate(hosts=host)
    with pytest.raises(ConfigError, match="schemes: "):
        Gate(schemes=["file"])
    (tmp_path / "file").write_bytes(b"")
    for folder in (tmp_path / "no", tmp_path / "file", "a\0b"):
        with pytest.raises(ConfigError, match="folders: "):
            Gate(folder)


def test_a_refusal_shows_no_query() -> None:
    with pytest.raises(MessageError) as caught:
        drive(Gate().fetch("https://example.com/a?token=s3cret-t0ken", BlockingRuntime()))
    assert "s3cret" not in str(caught.value)


# --- addresses --------------------------------------------------------------------------------------------------------


@each(
    ("address", "expected"),
    [
        ("127.0.0.1", False),
        ("0.0.0.0", False),
        ("10.1.2.3", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("192.0.2.1", False),
        ("93.184.215.14", True),
        ("::1", False),
        ("::", False),
        ("fe80::1", False),
        ("fe80::1%eth0", False),
        ("fd00:ec2::254", False),
        ("fec0::1", False),
        ("ff02::1", False),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True),
        ("::ffff:127.0.0.1", False),
        ("::ffff:169.254.169.254", False),
        ("::ffff:a9fe:a9fe", False),
        ("::ffff:93.184.215.14", True),
        ("::127.0.0.1", False),
        ("2002:0a01:0203::1", False),
        ("2002:5db8:d70e::1", True),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", False),
        ("64:ff9b::10.1.2.3", False),
        ("64:ff9b::93.184.215.14", True),
    ],
)
def test_what_is_public(address: str, expected: bool) -> None:
    assert is_public(address) is expected


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_the_same_however_it_is_written_as_ipv6(address: ipaddress.IPv4Address) -> None:
    plain = is_public(str(address))
    assert is_public(f"::ffff:{address}") is plain
    assert is_public(f"64:ff9b::{address}") is plain


class Resolving(BlockingRuntime):
    """Resolves every name to these addresses."""

    def __init__(self, *addresses: str) -> None:
        super().__init__()
        self.addresses = addresses

    async def resolve(self, host: str, port: int, deadline: float | None) -> Sequence[AddrInfo]:
        import socket

        return [
            AddrInfo(socket.AF_INET6 if ":" in a else socket.AF_INET, (a, port, 0, 0) if ":" in a else (a, port))
            for a in self.addresses
        ]


def test_a_public_name_at_a_private_address_is_not_asked() -> None:
    with Site() as site:
        port = site.host.rpartition(":")[2]
        gate = Gate(hosts=f"*:{port}", schemes=["http"])
        for addresses in (["127.0.0.1"], ["::ffff:127.0.0.1"], ["93.184.215.14", "127.0.0.1"]):
            with pytest.raises(MessageError, match="not public"):
                drive(gate.fetch(f"http://rebound.example:{port}/", Resolving(*addresses)))
        for host in ("127.0.0.1", "localhost", "0x7f.1", "2130706433", "[::ffff:127.0.0.1]", "0"):
            with pytest.raises((MessageError, TransportError)):
                drive(gate.fetch(f"http://{host}:{port}/", BlockingRuntime()))
        assert site.asked == []


# --- fetching ---------------------------------------------------------------------------------------------------------


def fetching(site: Site, **options: Any) -> Gate:
    return Gate(hosts=site.host, schemes=["http", "https"], private=True, **options)


def test_what_lies_there_comes_whole_and_nothing_is_told(world: World, server_tls: Any, ca_file: str) -> None:
    with Site(server_tls) as site:
        site.pages["/a.png?x=1"] = (200, {"Content-Type": "Image/PNG; q=1"}, PNG)
        gate = fetching(site, ca_file=ca_file)
        fetched = world.run(gate.fetch, f"{site.url}/a.png?x=1#part", world.runtime)
        assert (fetched.content, fetched.content_type, fetched.url) == (PNG, "image/png", f"{site.url}/a.png?x=1")
        assert {name.lower() for name in site.headers} == {"host", "user-agent", "accept-encoding"}
        file = world.run(gate.attachment, f"{site.url}/a.png?x=1", world.runtime)
        assert (file.name, file.content_type, bytes(file)) == ("a.png", "image/png", PNG)
        with pytest.raises(TransportError):  # an authority that nobody else trusts
            world.run(fetching(site).fetch, f"{site.url}/a.png", world.runtime)


def test_each_redirect_goes_through_the_gate() -> None:
    with Site() as site, Site() as inner:
        inner.pages["/secret"] = (200, {}, b"secret")
        site.pages |= {
            "/there": (200, {}, b"there"),
            "/relative": (302, {"Location": "there"}, b""),
            "/twice": (307, {"Location": f"{site.url}/relative"}, b""),
            "/inner": (302, {"Location": f"{inner.url}/secret"}, b""),
            "/file": (302, {"Location": "file:///etc/passwd"}, b""),
            "/round": (302, {"Location": "/round"}, b""),
            "/nowhere": (302, {}, b""),
        }
        gate = fetching(site)
        for path in ("/relative", "/twice"):
            fetched = drive(gate.fetch(site.url + path, BlockingRuntime()))
            assert (fetched.content, fetched.url) == (b"there", f"{site.url}/there")
        for path in ("/inner", "/file"):
            with pytest.raises(MessageError):
                drive(gate.fetch(site.url + path, BlockingRuntime()))
        assert inner.asked == []
        for path, said in {"/round": "more than 3 times", "/nowhere": "HTTP 302", "/none": "HTTP 404"}.items():
            with pytest.raises(TransportError, match=said):
                drive(gate.fetch(site.url + path, BlockingRuntime()))


def test_size_and_time_are_bounded() -> None:
    with Site() as site:
        site.pages["/large"] = (200, {}, b"x" * 101)
        site.pages["/fits"] = (200, {}, b"x" * 100)
        site.pages["/short"] = (200, {"Content-Length": "50"}, b"x")
        gate = fetching(site, max_bytes=100, timeout_s=0.3)
        assert len(drive(gate.fetch(f"{site.url}/fits", BlockingRuntime())).content) == 100
        for path, error in {"/large": TransportError, "/short": (TransportError, DeadlineExceeded)}.items():
            with pytest.raises(error):
                drive(gate.fetch(site.url + path, BlockingRuntime()))


# --- files ------------------------------------------------------------------------------------------------------------


def test_files_come_from_allowed_folders_alone(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    for folder in (inside / "deep", outside):
        folder.mkdir(parents=True)
    for file in (inside / "a.txt", inside / "deep/b.txt", outside / "c.txt"):
        file.write_bytes(b"12345")
    os.symlink(outside / "c.txt", inside / "link")
    os.symlink(outside, inside / "folder")
    os.symlink(inside / "loop", inside / "loop")
    os.mkfifo(inside / "pipe")
    gate = Gate(inside, max_bytes=5)
    for name in ("a.txt", "deep/b.txt", "deep/../a.txt", str(inside / "a.txt")):
        assert gate.path(name).read_bytes() == b"12345"
    wrong = ["../out/c.txt", str(outside / "c.txt"), "link", "folder/c.txt", "loop", "pipe", "deep", "", "none", "a\0b"]
    for name in [*wrong, "/etc/passwd", "~/.ssh/id_rsa", "/dev/zero"]:
        with pytest.raises(MessageError):
            gate.path(name, "attachments")
    with pytest.raises(MessageError, match="larger than 4 bytes"):
        Gate(inside, max_bytes=4).path("a.txt")
    assert bytes(drive(gate.attachment("a.txt", BlockingRuntime()))) == b"12345"
