"""Fixtures for all tests: the three worlds, and a certificate authority whose server is localhost."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import ssl
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from warm import caller_of_warm
from worlds import NAMES, World, new_world  # pytest puts this file's folder on the path

# The processes that tests start would each compile the library anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# How much a property is tried, where it does not say so itself.
settings.register_profile("ordinary", max_examples=40)
settings.register_profile("thorough", max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ordinary"))


@pytest.hookimpl(wrapper=True)
def pytest_sessionstart(session: pytest.Session) -> Iterator[None]:
    """Do once what each worker would in a new checkout: rewrite the tests' assertions, make a table of Unicode."""
    yield
    worker = getattr(session.config, "workerinput", None)
    if worker:
        folders = [
            path for name in session.config.args if (path := Path(session.config.invocation_params.dir, name)).is_dir()
        ]
        files = sorted(file for folder in folders for file in folder.rglob("test_*.py"))
        import_tests(files[int(worker["workerid"].removeprefix("gw")) :: worker["workercount"]])
    elif session.config.getoption("numprocesses", None):

        @settings(max_examples=1, database=None, deadline=None, suppress_health_check=list(HealthCheck))
        @given(st.text())
        def any_text(text: str) -> None:
            pass

        any_text()  # hypothesis keeps the table in the checkout


def import_tests(files: list[Path]) -> None:
    """Import a worker's share of the test files, as pytest is about to: what is rewritten is kept for the others."""
    for file in files:
        if not (file.parent / "__init__.py").exists():
            if str(file.parent) not in sys.path:
                sys.path.insert(0, str(file.parent))
            with contextlib.suppress(Exception, pytest.skip.Exception), warnings.catch_warnings():
                warnings.simplefilter("error")  # what fails here does so again, and is shown, when it is collected
                importlib.import_module(file.stem)


def pytest_collection_finish() -> None:
    """Set what collection made aside, which nothing frees: each collection of garbage would look through it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(params=NAMES)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Each of blocking, asyncio and trio in turn."""
    with new_world(request.param) as made:
        yield made


@pytest.fixture(params=[name for name in NAMES if name != "blocking"])
def async_world(request: pytest.FixtureRequest) -> Iterator[World]:
    """asyncio and trio, for what only they can do: cancel."""
    with new_world(request.param) as made:
        yield made


@pytest.fixture(scope="session")
def ca() -> trustme.CA:
    """An authority that only the tests trust."""
    return trustme.CA()


@pytest.fixture(scope="session")
def ca_file(ca: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of its certificate, PEM."""
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture(scope="session")
def server_tls(ca: trustme.CA) -> ssl.SSLContext:
    """What a server for localhost and 127.0.0.1 shows, issued by the authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """The beginning of a command that runs ``mailer`` or a Python file as a process, with the library loaded."""
    with caller_of_warm(tmp_path_factory.mktemp("warm")) as command:
        yield command
