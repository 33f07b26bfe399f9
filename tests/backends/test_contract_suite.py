"""Every backend of ours passes the contract that ships for other people's; and that contract can fail."""

from __future__ import annotations

import asyncio
import inspect
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import UnixSocketController
from aiosmtpd.lmtp import LMTP

pytest.register_assert_rewrite("mailer.testing.contract")

from mailer import Backend, Features, Outcome, Receipt, backend_from_url  # noqa: E402
from mailer.backends.file import FileBackend  # noqa: E402
from mailer.backends.group import FailoverBackend, RoundRobinBackend, WeightedBackend  # noqa: E402
from mailer.backends.memory import ConsoleBackend  # noqa: E402
from mailer.backends.mx import MxBackend  # noqa: E402
from mailer.dns import DnsClient  # noqa: E402
from mailer.mailbox import Mailbox  # noqa: E402
from mailer.smtp.endpoint import Timeouts  # noqa: E402
from mailer.smtp.reply import Reply  # noqa: E402
from mailer.testing import Answer, FakeRelay  # noqa: E402
from mailer.testing.contract import BackendContract  # noqa: E402
from mailer.testing.dns import DnsServer  # noqa: E402

SECRET = "s3cret-pa55"
TELLTALE = Reply(535, (f"5.7.8 {SECRET} is not the password of user",))  # there are such servers


class TestMemory(BackendContract):
    def make_backend(self):
        self.backend = backend_from_url("memory:")
        return self.backend

    def received(self):
        return [bytes(mail.content) for mail in self.backend.mails]


class TestNull(BackendContract):
    def make_backend(self):
        return backend_from_url("null:")


class _Screen:
    """A text stream that can be read back."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.written: list[str] = []

    def write(self, text: str) -> None:
        self.written.append(text)

    def flush(self) -> None:
        pass


class TestConsole(BackendContract):
    def make_backend(self):
        self.screen = _Screen()
        return ConsoleBackend(self.screen)

    def received(self):
        """Behind the envelope, in front of the closing rule; what we compose is ASCII, so nothing is escaped."""
        shown = [text.partition("\n\n")[2].removesuffix(f"{'-' * 80}\n") for text in self.screen.written]
        return [text.replace("\n", "\r\n").encode() for text in shown]


class TestSendmail(BackendContract):
    @pytest.fixture(autouse=True)
    def _program(self, tmp_path: Path):
        self.kept = tmp_path / "kept"
        self.kept.mkdir()
        self.program = tmp_path / "sendmail"
        self.program.write_text(
            f'#!/bin/sh\nnew=$(mktemp {tmp_path}/XXXXXXXX)\ncat >"$new" && exec mv "$new" {self.kept}\n'
        )
        self.program.chmod(0o700)

    def make_backend(self):
        return backend_from_url(f"sendmail://{self.program}")

    def make_failing_backend(self):
        return backend_from_url(f"sendmail://{self.program}.missing")

    def received(self):
        return [path.read_bytes().replace(b"\n", b"\r\n") for path in self.kept.iterdir()]


class _OverApi(BackendContract):
    """It composes anew: what arrives is none of our bytes."""

    secrets = (SECRET,)

    @pytest.fixture(autouse=True)
    def _relays(self) -> Iterator[None]:
        with (
            FakeRelay(self.provider, token=SECRET) as self.relay,
            FakeRelay(self.provider, token=SECRET) as self.failing,
        ):
            self.failing.accept = lambda request: Answer(status=401, body=f"{SECRET} is not a token")
            yield

    def make_backend(self):
        return backend_from_url(self.relay.url)

    def make_failing_backend(self):
        return backend_from_url(self.failing.url)


class TestPostmark(_OverApi):
    provider = "postmark"


class TestNetcore(_OverApi):
    provider = "netcore"


class _OnDisk(BackendContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path):
        self.path = tmp_path / "out"
        self.nowhere = tmp_path / "missing" / "out"

    def make_failing_backend(self):
        return FileBackend(self.nowhere, self.form)

    def make_backend(self):
        return backend_from_url(f"file://{self.path}?format={self.form}")


class TestEml(_OnDisk):
    form = "eml"

    def received(self):
        return [path.read_bytes() for path in self.path.glob("*.eml")]


class TestMaildir(_OnDisk):
    form = "maildir"

    def received(self):
        return [path.read_bytes().replace(b"\n", b"\r\n") for path in self.path.glob("new/*")]


class TestMbox(_OnDisk):
    form = "mbox"

    def received(self):
        if not self.path.exists():
            return []
        entries = re.split(rb"(?m)^From [^\n]*\n", self.path.read_bytes())[1:]
        contents = [re.sub(rb"(?m)^>(>*From )", rb"\1", entry.removesuffix(b"\n")) for entry in entries]
        return [content.replace(b"\n", b"\r\n") for content in contents]


class _OverSmtp(BackendContract):
    secrets = (SECRET,)

    @pytest.fixture(autouse=True)
    def _servers(self, server_tls: Any, ca_file: str) -> Iterator[None]:
        self.ca_file = ca_file
        with self.mailbox(server_tls) as self.server, Mailbox(users={}, replies={"AUTH": TELLTALE}) as self.refusing:
            yield

    def received(self):
        return [mail.content for mail in self.server.mails]

    def make_failing_backend(self):
        at = f"user:{SECRET}@127.0.0.1:{self.refusing.port}"
        return backend_from_url(f"smtp://{at}?tls=none&auth_in_clear=yes")


class TestSmtp(_OverSmtp):
    def mailbox(self, server_tls):
        return Mailbox(users={"user": SECRET})

    def make_backend(self):
        return backend_from_url(f"smtp://user:{SECRET}@127.0.0.1:{self.server.port}?tls=none&auth_in_clear=yes")


class TestSmtpWithStarttls(_OverSmtp):
    def mailbox(self, server_tls):
        return Mailbox(users={"user": SECRET}, tls=server_tls)

    def make_backend(self):
        return backend_from_url(f"smtp://user:{SECRET}@127.0.0.1:{self.server.port}?ca_file={self.ca_file}")


class TestSmtpToABareServer(_OverSmtp):
    """No extension at all: what is ASCII already must not be touched."""

    def mailbox(self, server_tls):
        return Mailbox(extensions=())

    def make_backend(self):
        return backend_from_url(f"smtp://127.0.0.1:{self.server.port}?tls=none")


class TestSmtps(_OverSmtp):
    def mailbox(self, server_tls):
        return Mailbox(users={"user": SECRET}, tls=server_tls, implicit_tls=True)

    def make_backend(self):
        return backend_from_url(f"smtps://user:{SECRET}@127.0.0.1:{self.server.port}?ca_file={self.ca_file}")

    def make_failing_backend(self):
        """The authority of this server is not the system's."""
        return backend_from_url(f"smtps://user:{SECRET}@127.0.0.1:{self.server.port}")


class _Store(UnixSocketController):
    """aiosmtpd's LMTP, which leaves it to the handler to reply for each recipient."""

    def __init__(self, path: Path) -> None:
        self.contents: list[bytes] = []
        super().__init__(self, unix_socket=str(path))

    def factory(self) -> LMTP:
        return LMTP(self, enable_SMTPUTF8=True)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self.contents.append(envelope.original_content)
        return "\r\n".join(["250 2.1.5 saved"] * len(envelope.rcpt_tos))


class TestLmtp(BackendContract):
    """On a unix socket."""

    faces = ("blocking", "asyncio")  # what is SMTP's too runs on trio above, what is not in tests/smtp/test_lmtp.py

    @pytest.fixture(autouse=True)
    def _store(self, tmp_path: Path) -> Iterator[None]:
        self.folder = tmp_path
        self.store = _Store(tmp_path / "lmtp")
        self.store.start()
        yield
        self.store.stop()

    def make_backend(self):
        return backend_from_url(f"lmtp://{self.folder}/lmtp")

    def received(self):
        return self.store.contents

    def make_failing_backend(self):
        return backend_from_url(f"lmtp://{self.folder}/nobody")


class TestMx(BackendContract):
    """Straight to the recipients' servers, as a scripted resolver names them."""

    faces = ("blocking", "trio")  # what differs between worlds is in the SMTP backend that it uses

    @pytest.fixture(autouse=True)
    def _servers(self) -> Iterator[None]:
        zone = "example.org 60 IN MX 10 mx.example.org.\nmx.example.org 60 IN A 127.0.0.1\n"
        with DnsServer(zone) as self.dns, Mailbox() as self.mailbox:
            yield

    def make_backend(self):
        return MxBackend(dns=DnsClient([self.dns.address]), port=self.mailbox.port)

    def received(self):
        return [mail.content for mail in self.mailbox.mails]

    def make_failing_backend(self):
        return MxBackend(dns=DnsClient([("127.0.0.1", 9)]), timeouts=Timeouts(total_s=5.0))


class TestFailover(_OverSmtp):
    def mailbox(self, server_tls):
        return Mailbox(users={"user": SECRET})

    def make_backend(self):
        down = self.make_failing_backend()
        up = backend_from_url(f"smtp://user:{SECRET}@127.0.0.1:{self.server.port}?tls=none&auth_in_clear=yes")
        return FailoverBackend([down, up])

    def make_failing_backend(self):
        return FailoverBackend([super(TestFailover, self).make_failing_backend() for _ in range(2)])

    @property
    def cannot_carry(self):
        """What SMTP, the only member there is, does not carry."""
        smtp = backend_from_url("smtp://127.0.0.1").features
        return [name for name in Features.__slots__ if name != "merge" and not getattr(smtp, name)]


class TestWeighted(TestFailover):
    """Its members take turns, one of which is down, and rests."""

    def make_backend(self):
        down, up = super().make_backend().members
        return WeightedBackend([up, down], [3, 1], rest_s=60)

    def make_failing_backend(self):
        return RoundRobinBackend(super().make_failing_backend().members)


class PlainPigeon(Backend):
    """What a third party may write: a plain ``send``, no url, few features."""

    features = Features(attachments=False, inline=False, alternatives=False)

    def __init__(self, loft: list[bytes]) -> None:
        self.loft = loft

    def send(self, mail):
        if self.loft is None:
            raise RuntimeError("no pigeons left")
        self.loft.append(bytes(mail.content))
        return Receipt.for_all(mail, Outcome.ACCEPTED, code=250, text="flew off")


class AsyncPigeon(PlainPigeon):
    async def send(self, mail):
        await self.runtime.sleep(0)
        return PlainPigeon.send(self, mail)

    async def check(self):
        return True

    async def close(self):
        await self.runtime.sleep(0)


class _Pigeons(BackendContract):
    def make_backend(self):
        self.loft = []
        return self.kind(self.loft)

    def received(self):
        return self.loft

    def make_failing_backend(self):
        return self.kind(None)


class TestPlainBackendOfAThirdParty(_Pigeons):
    kind = PlainPigeon


class TestAsyncBackendOfAThirdParty(_Pigeons):
    kind = AsyncPigeon


class LoopPigeon(PlainPigeon):
    async def send(self, mail):
        await asyncio.sleep(0)
        return PlainPigeon.send(self, mail)


class TestBackendOfOneEventLoop(_Pigeons):
    faces = ("asyncio",)
    kind = LoopPigeon


class TestBackendThatNobodyCanLookInto(TestMemory):
    """The hooks are optional: a contract that cannot see what arrives still holds."""

    def received(self):
        return None


# --- a contract that cannot fail is a defect --------------------------------------------------------------------------

BROKEN = Path(__file__).with_name("broken_backends.py")


def _broken_classes() -> dict[str, str]:
    """Class -> the test that must fail, which stands in the first line of its docstring."""
    found = re.findall(r'^class (Test\w+)\(.*\):\n    """(test_\w+)', BROKEN.read_text(encoding="utf-8"), re.MULTILINE)
    return dict(found)


def contract_failures(folder: Path, *wanted: str) -> dict[str, dict[str, str]]:
    """What these tests of the contract say of the broken backends: class -> the tests that failed -> how."""
    report = folder / "report.xml"
    options = ["-q", "--tb=no", "-rN", "-p", "no:cacheprovider", "-p", "no:randomly", f"--junitxml={report}"]
    command = [sys.executable, "-m", "pytest", *options, "-o", "faulthandler_timeout=40"]
    command += [f"{BROKEN}::{test}" for test in wanted]
    env = {**os.environ, "CI": "true"}  # where pytest compares at any length
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=env)
    except subprocess.TimeoutExpired as late:
        pytest.fail(f"{late}\n{(late.stdout or b'').decode()}\n{(late.stderr or b'').decode()}")
    assert done.returncode == 1, done.stdout + done.stderr  # tests ran, and some failed
    found: dict[str, dict[str, str]] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        failed = found.setdefault(case.attrib["classname"].rpartition(".")[2], {})
        for fault in (*case.iter("failure"), *case.iter("error")):
            failed[case.attrib["name"]] = fault.attrib["message"]
    return found


def test_each_broken_backend_fails_and_a_sound_one_does_not(tmp_path):
    broken = _broken_classes()
    failures = contract_failures(tmp_path, "TestSound", *(f"{name}::{test}" for name, test in broken.items()))
    assert failures.pop("TestSound") == {}
    seen = {name: {failed.partition("[")[0] for failed in failed_tests} for name, failed_tests in failures.items()}
    assert seen == {name: {test} for name, test in broken.items()}
    said = failures["TestGarblesLargeMails"]["test_it_arrives_as_it_was_composed[blocking]"]
    assert "what arrived of 'large' is not what was composed: from octet" in said
    assert len(said) < 1000  # the content is a third of a megabyte


def test_every_test_of_the_contract_is_seen_to_fail():
    tests = {name for name, _ in inspect.getmembers(BackendContract, inspect.isfunction) if name.startswith("test_")}
    assert set(_broken_classes().values()) == tests


def test_the_suite_needs_a_backend():
    with pytest.raises(NotImplementedError, match="make_backend"):
        BackendContract().make_backend()


def test_pytest_is_not_loaded_with_the_testing_package():
    code = "import sys, mailer.testing; assert 'pytest' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_suite_knows_every_feature():
    from mailer import features
    from mailer.testing import contract

    # The mailer merges; raw is a mail's, not a message's.
    assert set(contract._NEEDS) == set(Features.__slots__) - {"merge", "raw"}
    assert contract._ADVISORY == features._ADVISORY
