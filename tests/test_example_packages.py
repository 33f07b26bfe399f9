"""The example packages, as they lie; ``tests/real/test_example_packages.py`` installs them as a stranger does."""

from __future__ import annotations

import importlib
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def as_installed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[None]:
    """What pip would do, without pip: its source on the path, and metadata with the entry points."""
    folder = ROOT / "examples" / request.param
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    metadata = tmp_path / "site" / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
        for group, entries in project["entry-points"].items()
    ]
    (metadata / "entry_points.txt").write_text("".join(groups))
    added = [str(folder / "src"), str(folder / "tests"), str(tmp_path / "site")]
    sys.path[:0] = added
    importlib.invalidate_caches()
    yield
    for path in added:
        sys.path.remove(path)


@pytest.mark.parametrize("as_installed", ["plugin_package"], indirect=True)
@pytest.mark.usefixtures("as_installed")
def test_the_plugin_package_does_what_its_tests_say(monkeypatch):
    tests = importlib.import_module("test_labels")
    tests.test_mail_is_labelled_and_counted()
    tests.test_it_is_turned_on_by_the_environment(monkeypatch)


@pytest.mark.parametrize("as_installed", ["backend_package"], indirect=True)
@pytest.mark.usefixtures("as_installed")
def test_the_backend_package_does_what_its_tests_say(monkeypatch, tmp_path):
    monkeypatch.setattr("mailer.backends.url._registered", {})
    tests = importlib.import_module("test_archive")
    tests.test_a_url_makes_one(tmp_path)
    tests.test_a_file_that_cannot_be_written_defers(tmp_path)


@pytest.mark.parametrize("as_installed", ["provider_package"], indirect=True)
@pytest.mark.usefixtures("as_installed")
def test_the_provider_package_does_what_its_tests_say(monkeypatch):
    """All but the contract, which ``tests/testing/test_conformance.py`` runs on it."""
    monkeypatch.setattr("mailer.backends.url._registered", {})
    importlib.import_module("test_pigeon").test_a_mail_goes_out_by_its_url()
