"""The file backend: what is on disk after it succeeded, after it failed, and while others write there too."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import json
import mailbox
import os
import random
import re
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from worlds import World

from mailer.address import Address
from mailer.backends import file as module
from mailer.backends.base import carry
from mailer.backends.file import FileBackend, file_from_url
from mailer.backends.options import BackendURL
from mailer.backends.url import backend_from_url
from mailer.delivery import DeliveryOptions
from mailer.envelope import Envelope
from mailer.errors import ConfigError, MessageError, Outcome, TransportError
from mailer.features import Features
from mailer.mail import Content, Mail
from mailer.message import Message
from mailer.receipt import Receipt
from mailer.runtime import BlockingRuntime, drive

ENVELOPE = Envelope("ann@example.com", ["bob@example.org", "carol@example.net"])
HELLO = b"Subject: hi\r\n\r\nHello\r\nFrom here\r\n"
FORMATS = ("eml", "maildir", "mbox")
each_form = pytest.mark.parametrize("form", FORMATS)


def mail_of(content: Content | bytes = HELLO, mail_id: str = "0" * 32, **fields: Any) -> Mail:
    content = Content([content]) if isinstance(content, bytes) else content  # as it is: no end is mended
    return Mail(**{"id": mail_id, "envelope": ENVELOPE, "message": None, "content": content, **fields})


def made(world: World, path: Path, form: str = "eml", **options: Any) -> FileBackend:
    backend = FileBackend(path, form, **options)
    backend.attach(world.runtime)
    return backend


def sent(world: World, backend: FileBackend, mail: Mail | None = None) -> Receipt:
    return world.run(carry, backend, mail or mail_of())


def tree(folder: Path) -> dict[str, bytes | None]:
    """Every path below the folder, hidden ones too, with its content; None for a folder."""
    return {
        str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
    }


def contents(path: Path, form: str) -> list[bytes]:
    """The mails that a reader of the format finds, LF or CRLF as the format has them."""
    if form == "eml":
        return [found.read_bytes() for found in path.glob("*.eml")]
    if form == "maildir":
        with contextlib.closing(mailbox.Maildir(path, factory=None, create=False)) as box:
            return [box.get_bytes(key) for key in box.keys()]  # noqa: SIM118 - a Mailbox iterates over messages
    with contextlib.closing(mailbox.mbox(path, factory=None, create=False)) as box:
        found = [box.get_bytes(key) for key in box.keys()]  # noqa: SIM118
    return [re.sub(rb"(?m)^>(>*From )", rb"\1", content) for content in found]


class Disk:
    """Stands in for ``os`` in the module: the same, but for the functions that a test replaces."""

    def __init__(self, **replaced: Callable[..., Any]) -> None:
        self.__dict__.update(replaced)

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)


def raises(code: int) -> Callable[..., Any]:
    def fail(*args: Any, **keywords: Any) -> Any:
        raise OSError(code, os.strerror(code))

    return fail


class Hurried:
    """A runtime whose clock runs only while it sleeps; ``naps`` are called one at each sleep."""

    def __init__(self, world: World, naps: Iterator[Callable[[], object]]) -> None:
        self._runtime = world.runtime
        self._naps = naps
        self._now = 0.0
        self.is_async = world.runtime.is_async

    def now(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        self._now += seconds
        next(self._naps)()

    async def run(self, fn: Callable[[], Any], deadline: float | None = None) -> Any:
        return await self._runtime.run(fn, deadline)


class Source:
    """A piece of content that calls a function after each chunk."""

    def __init__(self, chunks: list[bytes], after: Callable[[int], object]) -> None:
        self._chunks, self._after = chunks, after

    def __len__(self) -> int:
        return sum(map(len, self._chunks))

    def __iter__(self) -> Iterator[bytes]:
        for index, chunk in enumerate(self._chunks):
            yield chunk
            self._after(index)


# --- eml --------------------------------------------------------------------------------------------------------------


def test_eml_is_the_content_byte_for_byte_with_its_envelope_beside_it(world, tmp_path):
    mail = mail_of(mail_id="abc123")
    receipt = sent(world, made(world, tmp_path, clock=lambda: 1_700_000_000.25), mail)

    assert receipt.ok
    assert [result.address for result in receipt.results] == list(ENVELOPE.recipients)
    [eml] = tmp_path.glob("*.eml")
    assert eml.read_bytes() == HELLO
    assert re.fullmatch(r"20231114T221320\.250000Z-abc123-\d+-[0-9a-f]{16}\.eml", eml.name)
    beside = json.loads(eml.with_suffix(".json").read_text("utf-8"))
    assert beside["id"] == "abc123"
    assert beside["time"] == "2023-11-14T22:13:20.250000+00:00"
    assert beside["sender"] == "ann@example.com"
    assert beside["recipients"] == ["bob@example.org", "carol@example.net"]
    assert Envelope.from_dict(beside["envelope"]) == ENVELOPE
    assert len(list(tmp_path.iterdir())) == 2
    assert str(eml) in receipt.results[0].text


def test_what_the_content_does_not_show_is_recorded(world, tmp_path):
    message = Message(
        from_="ann@example.com",
        to="bob@example.org",
        tags=["welcome"],
        metadata={"order": "7"},
        delivery=DeliveryOptions(notify="NEVER"),
        context={"not json": object()},
    )
    receipt = sent(world, made(world, tmp_path), mail_of(message=message))

    [beside] = tmp_path.glob("*.json")
    recorded = json.loads(beside.read_bytes())
    assert receipt.notes == ()
    assert recorded["message"]["tags"] == ["welcome"]
    assert recorded["message"]["metadata"] == {"order": "7"}
    assert recorded["message"]["delivery"]["notify"] == ["NEVER"]
    assert "context" not in recorded["message"]
    assert recorded["notes"] == []


def test_options_that_json_cannot_hold_are_a_note_and_no_refusal(world, tmp_path):
    message = Message(from_="ann@example.com", to="bob@example.org", provider_options={"x": object()})
    assert sent(world, made(world, tmp_path), mail_of(message=message)).ok
    [beside] = tmp_path.glob("*.json")
    assert "provider_options" in json.loads(beside.read_bytes())["notes"][0]


def test_json_is_utf8_and_null_sender_is_null(world, tmp_path):
    envelope = Envelope(None, [Address("Grüße", "jörg", "example.org")])
    assert sent(world, made(world, tmp_path), mail_of(envelope=envelope)).ok
    [beside] = tmp_path.glob("*.json")
    assert "jörg@example.org" in beside.read_text("utf-8")
    assert json.loads(beside.read_bytes())["sender"] is None


def test_json_is_there_when_the_eml_appears(world, tmp_path, monkeypatch):
    seen = []

    def link(source: str, target: str) -> None:
        if target.endswith(".eml"):
            seen.extend(tmp_path.glob("*.json"))
            assert json.loads(seen[0].read_bytes())["sender"] == "ann@example.com"
        os.link(source, target)

    monkeypatch.setattr(module, "os", Disk(link=link))
    assert sent(world, made(world, tmp_path)).ok
    assert len(seen) == 1


def test_eml_names_sort_by_time(world, tmp_path):
    times = iter([1_700_000_000.5, 1_700_000_001.25, 1_700_000_000.75, 1_600_000_000.0])
    backend = made(world, tmp_path, clock=lambda: next(times))
    for body in (b"2", b"4", b"3", b"1"):
        assert sent(world, backend, mail_of(body)).ok
    assert [path.read_bytes() for path in sorted(tmp_path.glob("*.eml"))] == [b"1", b"2", b"3", b"4"]


@pytest.mark.parametrize(
    "mail_id",
    ["../../etc/passwd", "C:\\x\\y", "/etc/passwd", "..", "", "x" * 5000, "ü ", "-rf", ".hidden"],
)
@each_form
def test_no_name_is_derived_from_what_a_mail_says(world, tmp_path, form, mail_id):
    inner = tmp_path / "inner"
    inner.mkdir()
    assert sent(world, made(world, inner / "box", form), mail_of(mail_id=mail_id)).ok

    assert [path.name for path in tmp_path.iterdir()] == ["inner"]
    assert [path.name for path in inner.iterdir()] == ["box"]
    names = [path.name for path in (inner / "box").rglob("*")]
    assert all(re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,200}", name) for name in names)
    assert all(re.fullmatch(r"[0-9]{8}T.*|tmp|new|cur|[0-9]+\.M.*", name) for name in names)
    assert not any(socket.gethostname() in name for name in names)


# --- maildir ----------------------------------------------------------------------------------------------------------


def test_maildir_has_lf_lines_and_nothing_added(world, tmp_path):
    box = tmp_path / "box"
    assert sent(world, made(world, box, "maildir")).ok
    assert sorted(path.name for path in box.iterdir()) == ["cur", "new", "tmp"]
    [path] = (box / "new").iterdir()
    assert path.read_bytes() == HELLO.replace(b"\r\n", b"\n")
    assert not list((box / "tmp").iterdir())
    assert re.fullmatch(rf"\d+\.M\d{{6}}P{os.getpid()}Q\d+\.[0-9a-f]{{16}}", path.name)


@pytest.fixture
def hasty_disk(monkeypatch):
    """Nothing waits for the platter: for many mails, whose names and bytes alone are looked at."""
    monkeypatch.setattr(os, "fsync", lambda file: None)


@pytest.mark.usefixtures("hasty_disk")
@pytest.mark.parametrize("clock", ["frozen", "set back"])
def test_thousand_deliveries_in_16_threads_clash_nowhere(world, tmp_path, clock):
    ticks = itertools.count()
    back = 3600 if clock == "set back" else 0
    count = 1000 if world.name == "blocking" else 250  # the names know no world
    backend = made(
        world, tmp_path / "box", "maildir", clock=lambda: 1_700_000_000.0 - (back if next(ticks) >= count // 2 else 0)
    )
    bodies = [b"Subject: %d\n\n" % number for number in range(count)]

    async def deliver() -> list[Any]:
        jobs = [lambda body=body: carry(backend, mail_of(body)) for body in bodies]
        return await world.runtime.gather(jobs, 16)

    assert all(receipt.ok for receipt in world.run(deliver))
    found = [path.read_bytes() for path in (tmp_path / "box" / "new").iterdir()]
    assert sorted(found) == sorted(bodies)
    assert not list((tmp_path / "box" / "tmp").iterdir())


@pytest.mark.parametrize("form", ["eml", "maildir"])
def test_taken_name_is_never_replaced(world, tmp_path, form, monkeypatch):
    """The counter stands and chance repeats itself: the second mail draws the first one's name, then another."""
    monkeypatch.setattr(module, "_counter", itertools.repeat(7))
    tokens = iter(["same", "same", "other"])
    backend = made(world, tmp_path, form, clock=lambda: 1.0, token=lambda: next(tokens))
    assert sent(world, backend, mail_of(b"first")).ok
    assert sent(world, backend, mail_of(b"second")).ok
    assert sorted(contents(tmp_path, form)) == [b"first", b"second"]


@pytest.mark.parametrize("form", ["eml", "maildir"])
def test_when_every_name_is_taken_the_mail_is_deferred(world, tmp_path, form, monkeypatch):
    monkeypatch.setattr(module, "_counter", itertools.repeat(7))
    backend = made(world, tmp_path, form, clock=lambda: 1.0, token=lambda: "same")
    assert sent(world, backend, mail_of(b"first")).ok
    before = tree(tmp_path)
    receipt = sent(world, backend, mail_of(b"second"))
    assert [result.outcome for result in receipt.results] == [Outcome.DEFERRED] * 2
    assert isinstance(receipt.cause, TransportError)
    assert tree(tmp_path) == before


# --- mbox -------------------------------------------------------------------------------------------------------------


def test_mbox_has_separator_quoting_and_blank_line(world, tmp_path):
    path = tmp_path / "mbox"
    backend = made(world, path, "mbox", clock=lambda: 1_700_000_000.0)
    body = b"Subject: x\r\n\r\nFrom a\r\n>From b\r\n>>>From c\r\n From d\r\nfrom e\r\nFrom\r\n>Fro"
    assert sent(world, backend, mail_of(body)).ok
    assert sent(world, backend, mail_of(b"Subject: y\r\n\r\n", envelope=Envelope(None, "bob@example.org"))).ok
    assert path.read_bytes() == (
        b"From ann@example.com Tue Nov 14 22:13:20 2023\n"
        b"Subject: x\n\n>From a\n>>From b\n>>>>From c\n From d\nfrom e\nFrom\n>Fro\n\n"
        b"From MAILER-DAEMON Tue Nov 14 22:13:20 2023\n"
        b"Subject: y\n\n\n"
    )


def test_blanks_in_the_sender_do_not_split_the_separator(world, tmp_path):
    backend = made(world, tmp_path / "mbox", "mbox", clock=lambda: 0.0)
    assert sent(world, backend, mail_of(envelope=Envelope('"a b"@example.com', "bob@example.org"))).ok
    assert (tmp_path / "mbox").read_bytes().startswith(b'From "a-b"@example.com Thu Jan  1 00:00:00 1970\n')


@pytest.mark.parametrize("tail", [b"", b"\n", b"\n\n", b"\n\n\n"])
def test_separator_stands_after_a_blank_line_whatever_was_there(world, tmp_path, tail):
    path = tmp_path / "mbox"
    path.write_bytes(b"From x Thu Jan  1 00:00:00 1970\nSubject: torn" + tail)
    assert sent(world, made(world, path, "mbox")).ok
    assert re.search(rb"torn\n\n+From ann@example\.com ", path.read_bytes())
    assert len(contents(path, "mbox")) == 2


@pytest.mark.parametrize("content", [b"", b"\r\n", b"From \r\nFrom ", b">", b"\r", b"\n\n\n"])
def test_mbox_of_one_byte_lines_holds_quirky_content_apart(world, tmp_path, content):
    backend = made(world, tmp_path / "mbox", "mbox")
    for _ in range(2):
        assert sent(world, backend, mail_of(Content([bytes([byte]) for byte in content]))).ok
    wanted = content.replace(b"\r\n", b"\n")
    found = contents(tmp_path / "mbox", "mbox")
    assert [one.rstrip(b"\n") for one in found] == [wanted.rstrip(b"\n")] * 2


def random_mails(count: int, seed: int) -> list[tuple[Mail, bytes]]:
    """Mails of awkward fragments cut at random, each with what a reader must find (LF lines)."""
    rng = random.Random(seed)
    fragments = [b"From ", b">", b">>", b"F", b"From", b"\r\n", b"\r\n\r\n", b"From x\r\n", b">From y\r\n", b" ", b"\t"]
    fragments += [b".", b"word", b"caf\xc3\xa9", b"\x00\xff", b"--\r\n", b"From: z\r\n", b"\r", b"\n", b">" * 80]
    mails = []
    for number in range(count):
        body = b"".join(rng.choices(fragments, k=rng.randrange(40)))
        whole = b"Subject: %d\r\n\r\n" % number + body + b"\r\n"
        cuts = sorted(rng.randrange(len(whole) + 1) for _ in range(rng.randrange(12)))
        pieces = [whole[start:end] for start, end in itertools.pairwise([0, *cuts, len(whole)])]
        mails.append((mail_of(Content(pieces)), whole.replace(b"\r\n", b"\n")))
    return mails


@pytest.mark.usefixtures("hasty_disk")
@pytest.mark.parametrize("form", ["maildir", "mbox"])
def test_thousand_random_bodies_survive_the_standard_readers(world, tmp_path, form):
    mails = random_mails(1000 if world.name == "blocking" else 100, seed=70)  # the bytes know no world
    backend = made(world, tmp_path / "box", form)

    async def deliver() -> list[Receipt]:
        return [await carry(backend, mail) for mail, _ in mails]

    assert all(receipt.ok for receipt in world.run(deliver))
    found = contents(tmp_path / "box", form)
    if form == "mbox":
        assert found == [wanted for _, wanted in mails]
    assert sorted(found) == sorted(wanted for _, wanted in mails)


def test_quoting_waits_for_at_most_four_bytes_however_the_line_is_cut():
    chunks = [b"x\n", *[b">"] * 1000, b"F", b"r", b"o", b"m", b" ", b"y"]
    total = given = 0
    out = b""
    for chunk in module._quoted(iter(chunks)):
        out += chunk
    assert out == b"x\n" + b">" * 1001 + b"From y"

    def counted() -> Iterator[bytes]:
        nonlocal given
        for chunk in chunks:
            given += len(chunk)
            yield chunk

    for chunk in module._quoted(counted()):
        total += len(chunk)
        assert total >= given - 4


# --- what fails leaves nothing ----------------------------------------------------------------------------------------


class FailingDisk(Disk):
    """Its n-th call that could fail does: a write after half of it, a close after it closed."""

    CALLS = ("open", "write", "fsync", "link", "mkdir", "close", "fstat", "pread")

    def __init__(self, nth: int, code: int) -> None:
        super().__init__(**{name: self._failing(name) for name in self.CALLS})
        self.calls, self.nth, self.code = 0, nth, code
        self.failed = ""

    def _failing(self, name: str) -> Callable[..., Any]:
        real = getattr(os, name)

        def call(*args: Any, **keywords: Any) -> Any:
            self.calls += 1
            if self.calls != self.nth:
                return real(*args, **keywords)
            self.failed = name
            if name == "close":
                real(*args)
            elif name == "write":
                real(args[0], args[1][: len(args[1]) // 2])
            raise OSError(self.code, os.strerror(self.code))

        return call


@pytest.mark.parametrize(
    ("form", "code"), [*((form, errno.ENOSPC) for form in FORMATS), ("eml", errno.EIO), ("mbox", errno.EDQUOT)]
)
def test_whichever_call_fails_nothing_is_visible_and_nothing_is_left(world, tmp_path, form, code, monkeypatch):
    failed = set()
    for nth in itertools.count(1):
        folder = tmp_path / str(nth)
        folder.mkdir()
        path = folder / "box"
        backend = made(world, path, form)
        disk = FailingDisk(nth, code)
        with monkeypatch.context() as patch:
            patch.setattr(module, "os", disk)
            receipt = sent(world, backend)
        if not disk.failed:
            assert receipt.ok
            break
        failed.add(disk.failed)
        if form == "mbox" and disk.failed == "close":  # after fsync: the mail is there, so that is what is said
            continue
        assert [result.outcome for result in receipt.results] == [Outcome.DEFERRED] * 2, disk.failed
        assert type(receipt.cause) is TransportError
        assert os.strerror(code) in str(receipt.cause)
        assert str(path) in str(receipt.cause)
        assert not any(content for content in tree(folder).values()), disk.failed
        assert not [name for name in tree(folder) if "." in name]
        assert sent(world, backend).ok
        assert len(contents(path, form)) == 1
    assert {"open", "write", "fsync"} <= failed


def test_mbox_is_cut_back_to_where_it_ended(world, tmp_path, monkeypatch):
    path = tmp_path / "mbox"
    backend = made(world, path, "mbox")
    assert sent(world, backend).ok
    before = path.read_bytes()
    for name in ("write", "fsync"):
        with monkeypatch.context() as patch:
            patch.setattr(module, "os", Disk(**{name: raises(errno.ENOSPC)}))
            assert sent(world, backend).deferred
        assert path.read_bytes() == before
    assert sent(world, backend).ok
    assert len(contents(path, "mbox")) == 2


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 64 KiB."""
    folder = tmp_path / "mounted"
    folder.mkdir()
    mount = shutil.which("mount")
    if (
        mount is None
        or subprocess.run(
            [mount, "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], check=False, capture_output=True
        ).returncode
    ):
        pytest.skip("this machine does not let us mount a tmpfs")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@each_form
def test_full_disk_shows_nothing_and_takes_the_next_small_mail(world, mounted, form):
    backend = made(world, mounted / "box", form)
    assert sent(world, backend, mail_of(b"small 1\r\n")).ok
    before = tree(mounted)
    big = mail_of(Content([b"x" * 998 + b"\r\n"] * 200))
    receipt = sent(world, backend, big)
    assert [result.outcome for result in receipt.results] == [Outcome.DEFERRED] * 2
    assert isinstance(receipt.cause, TransportError)
    assert os.strerror(errno.ENOSPC) in str(receipt.cause)
    assert tree(mounted) == before
    assert sent(world, backend, mail_of(b"small 2\r\n")).ok
    assert len(contents(mounted / "box", form)) == 2


@each_form
def test_read_only_disk_is_a_configuration_error_even_for_root(world, mounted, form):
    subprocess.run(["mount", "-o", "remount,ro", str(mounted)], check=True)
    backend = made(world, mounted / "box", form)
    receipt = sent(world, backend)
    assert receipt.deferred
    assert isinstance(receipt.cause, ConfigError)
    health = world.run(backend.check)
    assert not health.ok
    assert isinstance(health.cause, ConfigError)


LIMITED = """
import resource, sys
from mailer.backends.base import carry
from mailer.backends.file import FileBackend
from mailer.envelope import Envelope
from mailer.mail import Content, Mail
from mailer.runtime import BlockingRuntime, drive
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
backend = FileBackend(sys.argv[1], sys.argv[2])
backend.attach(BlockingRuntime())
for size in (100, 20_000, 100):
    content = Content([b"x" * 98 + b"\\r\\n"] * (size // 100))
    receipt = drive(carry(backend, Mail("0", Envelope("ann@example.com", "bob@example.org"), None, content)))
    print(receipt.results[0].outcome.value, type(receipt.cause).__name__)
"""


@each_form
def test_file_size_limit_of_the_process_shows_nothing(tmp_path, form):
    run = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path / "box"), form], capture_output=True, text=True, check=True
    )
    assert run.stdout.splitlines() == ["accepted NoneType", "deferred TransportError", "accepted NoneType"]
    assert [len(content) for content in contents(tmp_path / "box", form)] == [100 if form == "eml" else 99] * 2
    assert not [name for name in tree(tmp_path) if name.endswith(".tmp") or "/tmp/" in name]


# --- the path is wrong ------------------------------------------------------------------------------------------------


def refused(world: World, backend: FileBackend) -> ConfigError:
    """The cause, the same from send and from check."""
    receipt = sent(world, backend)
    assert [result.outcome for result in receipt.results] == [Outcome.DEFERRED] * 2
    assert isinstance(receipt.cause, ConfigError), receipt.cause
    assert isinstance(receipt.cause.__cause__, OSError) or backend.format == "mbox"
    assert backend.path in str(receipt.cause)
    health = world.run(backend.check)
    assert not health.ok
    assert isinstance(health.cause, ConfigError)
    return receipt.cause


@each_form
def test_missing_parent_is_a_configuration_error(world, tmp_path, form):
    refused(world, made(world, tmp_path / "no" / "box", form))
    assert not tree(tmp_path)


@pytest.mark.parametrize("form", ["eml", "maildir"])
def test_file_in_place_of_the_directory_is_a_configuration_error(world, tmp_path, form):
    (tmp_path / "box").write_bytes(b"here")
    refused(world, made(world, tmp_path / "box", form))
    assert tree(tmp_path) == {"box": b"here"}


@pytest.mark.parametrize("name", ["tmp", "new", "cur"])
def test_file_in_place_of_a_maildir_subdirectory_is_deferred(world, tmp_path, name):
    (tmp_path / name).write_bytes(b"here")
    receipt = sent(world, made(world, tmp_path, "maildir"))
    assert receipt.deferred
    assert isinstance(receipt.cause, ConfigError)
    assert {kept: content for kept, content in tree(tmp_path).items() if content is not None} == {name: b"here"}


def test_directory_or_fifo_in_place_of_the_mbox_is_a_configuration_error(world, tmp_path):
    (tmp_path / "folder").mkdir()
    refused(world, made(world, tmp_path / "folder", "mbox"))
    os.mkfifo(tmp_path / "fifo")
    refused(world, made(world, tmp_path / "fifo", "mbox"))


@contextlib.contextmanager
def unprivileged() -> Iterator[None]:
    """As nobody, for a test that runs as root."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


@each_form
def test_directory_without_permission_is_a_configuration_error(world, form):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        (folder / "locked").mkdir()
        (folder / "warm").mkdir()
        sent(world, made(world, folder / "warm" / "box", form))  # loads what is loaded on first use, while it may
        world.run(made(world, folder / "warm" / "box", form).check)
        (folder / "locked").chmod(0o555)
        folder.chmod(0o755)
        with unprivileged():
            cause = refused(world, made(world, folder / "locked" / "box", form))
        assert os.strerror(errno.EACCES) in str(cause)
        assert not list((folder / "locked").iterdir())


# --- content that fails, interrupts -----------------------------------------------------------------------------------


def failing_content(error: BaseException) -> Content:
    def fail(index: int) -> None:
        if index == 1:
            raise error

    return Content([Source([b"Subject: x\r\n\r\n", b"more\r\n", b"end\r\n"], fail)])


@each_form
@pytest.mark.parametrize(
    "error", [MessageError("changed while it was read"), FileNotFoundError(errno.ENOENT, "gone"), FileExistsError()]
)
def test_content_that_cannot_be_read_rejects_and_leaves_nothing(world, tmp_path, form, error):
    backend = made(world, tmp_path / "box", form)
    assert sent(world, backend).ok
    before = tree(tmp_path)
    receipt = sent(world, backend, mail_of(failing_content(error)))
    assert [result.outcome for result in receipt.results] == [Outcome.REJECTED] * 2
    assert isinstance(receipt.cause, MessageError)
    assert tree(tmp_path) == before


@each_form
def test_ctrl_c_leaves_nothing(tmp_path, form):
    backend = FileBackend(tmp_path / "box", form)
    backend.attach(BlockingRuntime())
    assert drive(carry(backend, mail_of())).ok
    before = tree(tmp_path)
    mail = mail_of(failing_content(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        drive(carry(backend, mail))
    assert tree(tmp_path) == before
    assert {result.outcome for result in backend.settled(mail).results} == {Outcome.UNKNOWN}


@each_form
@pytest.mark.parametrize("ends", ["well", "badly"])
def test_cancelled_send_is_unknown_and_its_thread_finishes_or_cleans_up(async_world, tmp_path, form, ends):
    backend = made(async_world, tmp_path / "box", form)
    begun, go_on, over = threading.Event(), threading.Event(), threading.Event()

    def wait(index: int) -> None:
        if index == 0:
            begun.set()
            assert go_on.wait(30)
            if ends == "badly":
                raise MessageError("changed while it was read")

    write = backend._write

    def watched(mail: Mail) -> str | None:
        try:
            return write(mail)
        finally:
            over.set()

    backend._write = watched
    mail = mail_of(Content([Source([b"a\r\n", b"b\r\n"], wait)]))

    async def cancel() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(carry, backend, mail)
            with anyio.fail_after(30):
                while not begun.is_set():
                    await anyio.lowlevel.checkpoint()
            assert not contents(tmp_path / "box", form) or form == "mbox"
            group.cancel_scope.cancel()

    async_world.run(cancel)
    assert {result.outcome for result in backend.settled(mail).results} == {Outcome.UNKNOWN}
    go_on.set()
    assert over.wait(30)
    assert len(contents(tmp_path / "box", form)) == (1 if ends == "well" else 0)
    assert not [name for name in tree(tmp_path) if name.endswith(".tmp") or "/tmp/" in name]


def test_failed_write_lets_go_of_the_attachment_that_was_being_read(world, tmp_path, monkeypatch):
    """The receipt keeps the error, and the error the frames; the content must be closed all the same."""
    closed = []

    class Watched(Source):
        def __iter__(self) -> Iterator[bytes]:
            try:
                yield from super().__iter__()
            finally:
                closed.append(True)

    monkeypatch.setattr(module, "os", Disk(write=raises(errno.ENOSPC)))
    for form in FORMATS:
        content = Content([Watched([b"a\r\n", b"b\r\n"], lambda index: None)])
        # An mbox writes its separator before the content is begun, so there is nothing to close.
        receipt = sent(world, made(world, tmp_path / form, form), mail_of(content))
        assert receipt.cause is not None
    assert len(closed) == 2


# --- others on the same disk ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("hasty_disk")
@pytest.mark.parametrize("form", ["eml", "mbox"])
def test_parallel_writers_in_threads_or_tasks_lose_nothing(world, tmp_path, form):
    backend = made(world, tmp_path / "box", form)
    mails = random_mails(200, seed=5)

    async def deliver() -> list[Any]:
        return await world.runtime.gather([lambda mail=mail: carry(backend, mail) for mail, _ in mails], 8)

    assert all(receipt.ok for receipt in world.run(deliver))
    wanted = [bytes(mail.content) if form == "eml" else lf for mail, lf in mails]
    assert sorted(contents(tmp_path / "box", form)) == sorted(wanted)


WRITER = """
import sys
from mailer.backends.base import carry
from mailer.backends.file import FileBackend
from mailer.envelope import Envelope
from mailer.mail import Content, Mail
from mailer.runtime import BlockingRuntime, drive
backend = FileBackend(sys.argv[1], sys.argv[2], clock=lambda: 1.0)
backend.attach(BlockingRuntime())
for number in range(50):
    lines = b"Subject: %s %d\\r\\n\\r\\n" % (sys.argv[3].encode(), number) + b"From the start\\r\\n" * 300
    content = Content([lines[at : at + 1000] for at in range(0, len(lines), 1000)])
    assert drive(carry(backend, Mail("0", Envelope("ann@example.com", "bob@example.org"), None, content))).ok
"""


@each_form
def test_parallel_writers_in_processes_lose_nothing(tmp_path, form):
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "box"), form, str(number)])
        for number in range(4)
    ]
    assert [writer.wait(120) for writer in writers] == [0] * 4
    found = [content.replace(b"\r\n", b"\n") for content in contents(tmp_path / "box", form)]
    subjects = [content.split(b"\n")[0] for content in found]
    assert sorted(subjects) == sorted(b"Subject: %d %d" % pair for pair in itertools.product(range(4), range(50)))
    assert all(content.count(b"From the start\n") == 300 and content.endswith(b"start\n") for content in found)


HOLDER = """
import fcntl, sys
with open(sys.argv[1], "ab") as mbox:
    getattr(fcntl, sys.argv[2])(mbox, fcntl.LOCK_EX)
    print("locked", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def other_program(path: Path, how: str) -> Iterator[Callable[[], object]]:
    """Another process that holds the mbox by ``lockf`` or ``flock`` until the function is called."""
    command = [sys.executable, "-c", HOLDER, str(path), how]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        yield holder.communicate


@contextlib.contextmanager
def dot_lock(path: Path, how: str) -> Iterator[Callable[[], object]]:
    lock = path.with_name(path.name + ".lock")
    lock.touch()
    yield lock.unlink


@pytest.mark.parametrize(("holding", "how"), [(other_program, "lockf"), (other_program, "flock"), (dot_lock, "")])
def test_mbox_waits_for_another_programs_lock(world, tmp_path, holding, how):
    path = tmp_path / "mbox"
    path.touch()
    backend = FileBackend(path, "mbox")
    with holding(path, how) as release:
        naps = iter([lambda: None, lambda: None, release])
        backend.attach(Hurried(world, naps))
        assert sent(world, backend).ok
        assert next(naps, None) is None
    assert len(contents(path, "mbox")) == 1


@pytest.mark.parametrize(("holding", "how"), [(other_program, "lockf"), (other_program, "flock"), (dot_lock, "")])
def test_mbox_that_stays_locked_defers_within_the_time_set(world, tmp_path, holding, how):
    path = tmp_path / "mbox"
    path.touch()
    backend = FileBackend(path, "mbox", lock_wait_s=3)
    with holding(path, how) as release:
        runtime = Hurried(world, itertools.repeat(lambda: None))
        backend.attach(runtime)
        receipt = sent(world, backend)
        release()
    assert receipt.deferred
    assert isinstance(receipt.cause, TransportError)
    assert "locked" in str(receipt.cause)
    assert 3 <= runtime.now() <= 3.05
    assert path.read_bytes() == b""


def test_mbox_locked_by_the_standard_library_in_this_process_stays_locked(world, tmp_path):
    """To close the file would drop the fcntl lock that other code of this process holds on it."""
    path = tmp_path / "mbox"
    with contextlib.closing(mailbox.mbox(path)) as box:
        box.lock()
        backend = FileBackend(path, "mbox", lock_wait_s=1)
        backend.attach(Hurried(world, itertools.repeat(lambda: None)))
        assert sent(world, backend).deferred
        probe = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'ab'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
        other = subprocess.run([sys.executable, "-c", probe, str(path)], check=False, capture_output=True)
        assert b"BlockingIOError" in other.stderr
        box.unlock()
    assert sent(world, backend).ok


def test_mbox_keeps_others_out_while_it_writes(world, tmp_path):
    path = tmp_path / "mbox"
    seen = []

    def look(index: int) -> None:
        probe = "import fcntl, sys; getattr(fcntl, sys.argv[2])(open(sys.argv[1], 'ab'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
        for how in ("lockf", "flock"):
            run = subprocess.run([sys.executable, "-c", probe, str(path), how], check=False, capture_output=True)
            seen.append(b"BlockingIOError" in run.stderr)

    assert sent(world, made(world, path, "mbox"), mail_of(Content([Source([b"a\r\n"], look)]))).ok
    assert seen == [True, True]
    with path.open("ab") as free:
        fcntl.lockf(free, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_mbox_replaced_while_it_was_being_locked_is_opened_anew(world, tmp_path, monkeypatch):
    path = tmp_path / "mbox"
    path.write_bytes(b"")
    moved = tmp_path / "moved"
    real = fcntl.flock

    def flock(mbox: int, how: int) -> None:
        if not moved.exists():
            path.rename(moved)
        real(mbox, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    backend = FileBackend(path, "mbox")
    backend.attach(Hurried(world, itertools.repeat(lambda: None)))
    assert sent(world, backend).ok
    assert moved.read_bytes() == b""
    assert len(contents(path, "mbox")) == 1


# --- links, modes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "planted"),
    [
        ("eml", ".{eml}.eml.tmp"),
        ("eml", ".{eml}.json.tmp"),
        ("eml", "{eml}.json"),
        ("eml", "{eml}.eml"),
        ("maildir", "tmp/{maildir}"),
        ("maildir", "new/{maildir}"),
    ],
)
@pytest.mark.parametrize("dangling", [False, True])
def test_symbolic_link_under_a_guessed_name_is_not_followed(world, tmp_path, form, planted, dangling, monkeypatch):
    monkeypatch.setattr(module, "_counter", itertools.repeat(7))
    names = {"eml": f"19700101T000001.000000Z-{'0' * 32}-7-guessed", "maildir": f"1.M000000P{os.getpid()}Q7.guessed"}
    victim = tmp_path / "victim"
    if not dangling:
        victim.write_bytes(b"precious")
    box = tmp_path / "box"
    link = box / planted.format(**names)
    link.parent.mkdir(parents=True)
    link.symlink_to(victim)
    tokens = iter(["guessed", "other"])
    assert sent(world, made(world, box, form, clock=lambda: 1.0, token=lambda: next(tokens))).ok

    assert next(tokens, None) is None
    assert link.is_symlink()
    assert victim.read_bytes() == b"precious" if not dangling else not victim.exists()
    link.unlink()
    assert len(contents(box, form)) == 1
    assert len([name for name, content in tree(box).items() if content is not None]) == (2 if form == "eml" else 1)


@pytest.mark.parametrize("dangling", [False, True])
def test_mbox_that_is_a_symbolic_link_is_refused(world, tmp_path, dangling):
    victim = tmp_path / "victim"
    if not dangling:
        victim.write_bytes(b"precious")
    (tmp_path / "mbox").symlink_to(victim)
    refused(world, made(world, tmp_path / "mbox", "mbox"))
    assert victim.read_bytes() == b"precious" if not dangling else not victim.exists()


@each_form
def test_only_the_owner_may_read(world, tmp_path, form):
    before = os.umask(0)
    try:
        assert sent(world, made(world, tmp_path / "box", form)).ok
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*") if path.is_file()}
    folders = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*") if path.is_dir()}
    assert modes == {0o600}
    assert folders <= {0o700}


@pytest.mark.parametrize("form", ["eml", "maildir"])
def test_disk_without_hard_links_is_renamed_on_and_never_over(world, tmp_path, form, monkeypatch):
    monkeypatch.setattr(module, "os", Disk(link=raises(errno.EPERM)))
    monkeypatch.setattr(module, "_counter", itertools.repeat(7))
    tokens = iter(["same", "same", "other"])
    backend = made(world, tmp_path, form, clock=lambda: 1.0, token=lambda: next(tokens))
    assert sent(world, backend, mail_of(b"first")).ok
    assert sent(world, backend, mail_of(b"second")).ok
    assert sorted(contents(tmp_path, form)) == [b"first", b"second"]
    assert not [name for name in tree(tmp_path) if name.endswith(".tmp")]


@each_form
def test_disk_that_takes_a_few_bytes_at_a_time_gets_them_all(world, tmp_path, form, monkeypatch):
    monkeypatch.setattr(module, "os", Disk(write=lambda file, data: os.write(file, data[:3])))
    assert sent(world, made(world, tmp_path / "box", form)).ok
    assert contents(tmp_path / "box", form) == [HELLO if form == "eml" else HELLO.replace(b"\r\n", b"\n")]


@each_form
def test_disk_that_cannot_sync_directories_is_good_enough(world, tmp_path, form, monkeypatch):
    def fsync(file: int) -> None:
        if stat.S_ISDIR(os.fstat(file).st_mode):
            raise OSError(errno.EINVAL, "not here")

    monkeypatch.setattr(module, "os", Disk(fsync=fsync))
    assert sent(world, made(world, tmp_path / "box", form)).ok


@each_form
def test_file_is_synced_before_it_has_its_name_and_the_directory_after(tmp_path, form, monkeypatch):
    calls = []

    def fsync(file: int) -> None:
        calls.append("sync folder" if stat.S_ISDIR(os.fstat(file).st_mode) else "sync file")
        os.fsync(file)

    def link(source: str, target: str) -> None:
        calls.append("link")
        os.link(source, target)

    backend = FileBackend(tmp_path / "box", form)
    backend.attach(BlockingRuntime())
    if form != "mbox":
        drive(carry(backend, mail_of()))  # what is made on first use
    monkeypatch.setattr(module, "os", Disk(fsync=fsync, link=link))
    assert drive(carry(backend, mail_of())).ok
    assert (
        calls
        == {
            "eml": ["sync file", "sync file", "link", "link", "sync folder"],
            "maildir": ["sync file", "link", "sync folder"],
            "mbox": ["sync file", "sync folder"],
        }[form]
    )


@each_form
def test_memory_does_not_grow_with_the_mail(tmp_path, form):
    size = 16 * 2**20
    block = (b"x" * 76 + b"\r\n") * 800

    class Blocks:
        def __len__(self) -> int:
            return len(block) * (size // len(block))

        def __iter__(self) -> Iterator[bytes]:
            return itertools.repeat(block, size // len(block))

    backend = FileBackend(tmp_path / "box", form)
    backend.attach(BlockingRuntime())
    drive(carry(backend, mail_of()))
    mail = mail_of(Content([Blocks()]))
    tracemalloc.start()
    try:
        assert drive(carry(backend, mail)).ok
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < size / 16
    assert sum(len(content or b"") for content in tree(tmp_path).values()) > size * 0.9


# --- URLs, check ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "path", "form"),
    [
        ("file:///var/mail/out?format=eml", "/var/mail/out", "eml"),
        ("file:///var/mail/out", "/var/mail/out", "eml"),
        ("file:/var/mail/out?format=MAILDIR", "/var/mail/out", "maildir"),
        ("file:rel/path", "{cwd}/rel/path", "eml"),
        ("file:box?format=mbox", "{cwd}/box", "mbox"),
        ("file:.?format=maildir", "{cwd}", "maildir"),
        ("file:///a%20b/%C3%BC%3F", "/a b/ü?", "eml"),
        ("file:///out/", "/out", "eml"),
    ],
)
def test_url_says_path_and_format(url, path, form, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    backend = backend_from_url(url)
    assert isinstance(backend, FileBackend)
    assert (backend.path, backend.format) == (path.format(cwd=tmp_path), form)
    again = backend_from_url(str(backend))
    assert isinstance(again, FileBackend)
    assert (again.path, again.format) == (backend.path, backend.format)


def test_relative_path_counts_from_where_it_was_made(world, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    backend = file_from_url(BackendURL.parse("file:out"), world.runtime)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    receipt = sent(world, backend)
    assert receipt.ok
    assert receipt.backend == "file:out"
    assert len(contents(tmp_path / "out", "eml")) == 1


@pytest.mark.parametrize(
    "url", ["file:", "file://", "file:?format=eml", "file://host/dir", "file://rel/dir", "file://u@/d"]
)
def test_url_without_path_or_with_a_host_shows_the_right_forms(url):
    with pytest.raises(ConfigError, match=r"file:///absolute/path.*file:relative/path"):
        backend_from_url(url)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("file:///x?format=zip", "eml, maildir, mbox"),
        ("file:///x?fromat=eml", "'format'"),
        ("file:///x?format=", "format"),
        ("file:///x%00y", "NUL"),
    ],
)
def test_wrong_option_says_what_there_is(url, said):
    with pytest.raises(ConfigError, match=said):
        backend_from_url(url)


@pytest.mark.parametrize(("path", "form"), [("", "eml"), ("a\0b", "eml"), ("x", "zip")])
def test_wrong_arguments_are_configuration_errors(path, form):
    with pytest.raises(ConfigError):
        FileBackend(path, form)


@pytest.mark.parametrize("name", ["a b", "ü", "q?f#%", os.fsdecode(b"\xff")])
def test_backend_made_by_hand_prints_a_url_that_reads_back(tmp_path, name):
    backend = FileBackend(tmp_path / name, "mbox")
    assert str(backend).startswith("file:///")
    if name.isprintable():
        again = backend_from_url(str(backend))
        assert isinstance(again, FileBackend)
        assert (again.path, again.format) == (backend.path, "mbox")


def test_everything_is_carried():
    assert FileBackend.features == Features.everything()


@each_form
@pytest.mark.parametrize("state", ["missing", "used"])
def test_check_tries_to_write_and_leaves_nothing(world, tmp_path, form, state, monkeypatch):
    backend = made(world, tmp_path / "box", form)
    if state == "used":
        assert sent(world, backend).ok
    before = tree(tmp_path)
    health = world.run(backend.check)
    assert health.ok
    assert health.backend == str(backend)
    assert health.facts == {"path": str(tmp_path / "box"), "format": form}
    assert tree(tmp_path) == before
    monkeypatch.setattr(module, "os", Disk(open=raises(errno.EROFS)))
    health = world.run(backend.check)
    assert not health.ok
    assert isinstance(health.cause, ConfigError)
    assert tree(tmp_path) == before
