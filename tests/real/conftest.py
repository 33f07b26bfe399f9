"""One session fixture for each real peer; `peers.py` says what they are.

With ``REAL_PEERS=1`` a missing program fails the test; without it, every test that needs a peer is skipped.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from .peers import PEERS, Certificates, MissingProgramError, Peer


@contextmanager
def _folder(name: str) -> Iterator[Path]:
    # pytest's own folders are closed to the users that Postfix, Exim and smtp-sink become.
    made = Path(tempfile.mkdtemp(prefix=f"mailer-{name}-"))
    made.chmod(0o755)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="session")
def certificates() -> Iterator[Certificates]:
    """The servers' certificate; asking for it skips the test unless real peers were asked for."""
    if os.environ.get("REAL_PEERS") != "1":
        pytest.skip("REAL_PEERS is not set to 1; it needs the servers that .ci/install-real-peers installs")
    with _folder("tls") as folder:
        yield Certificates.issue(folder)


def _started(name: str) -> Any:
    @pytest.fixture(scope="session", name=name)
    def fixture(certificates: Certificates) -> Iterator[Peer]:
        with ExitStack() as stack:
            try:
                yield stack.enter_context(PEERS[name](stack.enter_context(_folder(name)), certificates))
            except MissingProgramError as missing:
                pytest.fail(f"{name}: {missing}", pytrace=False)

    return fixture


postfix = _started("postfix")
smtp_sink = _started("smtp_sink")
exim = _started("exim")
maildev = _started("maildev")
maildump = _started("maildump")
sendria = _started("sendria")
fakesmtpd = _started("fakesmtpd")
aiosmtpd = _started("aiosmtpd")


def _each(*names: str) -> Any:
    @pytest.fixture(params=names)
    def fixture(request: pytest.FixtureRequest) -> Peer:
        running: Peer = request.getfixturevalue(request.param)
        return running

    return fixture


peer = _each(*PEERS)
peer_with_login = _each("postfix", "exim", "maildev", "sendria", "aiosmtpd")
mta = _each("postfix", "exim")  # real mail transfer agents: TLS on both ports, a log of refused logins


@pytest.fixture
def other_authority(certificates: Certificates) -> Iterator[Path]:
    """The PEM file of an authority that signed no server here."""
    with _folder("other") as folder:
        yield Certificates.issue(folder).ca_file
