"""The tests of the shim, test_django*.py, under each Django release that is served, in an environment of its own.

Their interpreters stand in ``MAILER_DJANGO_PYTHONS``, parted by os.pathsep; ``.ci/django-pythons`` makes them.
"""

from __future__ import annotations

import functools
import os
import subprocess
from pathlib import Path

import pytest

RELEASES = ("5.2", "6.0", "6.1")
TESTS = [str(path) for path in Path(__file__).parent.glob("test_django*.py") if path != Path(__file__)]
ROOT = Path(__file__).parents[2]
TESTS.append(str(ROOT / "tests" / "test_django_example.py"))


@functools.cache
def pythons() -> dict[str, str]:
    """Release -> interpreter."""
    found = {}
    for python in filter(None, os.environ.get("MAILER_DJANGO_PYTHONS", "").split(os.pathsep)):
        program = "import django; print('%d.%d' % django.VERSION[:2])"
        told = subprocess.run([python, "-c", program], check=True, capture_output=True, text=True)
        found[told.stdout.strip()] = python
    return found


@pytest.mark.parametrize("release", RELEASES)
def test_the_shim_serves_django(release: str) -> None:
    python = pythons().get(release)
    if python is None:
        pytest.skip(f"Django {release}: not run: MAILER_DJANGO_PYTHONS names no Python that has it")
    arguments = ["-q", "-ra", "--noconftest", "-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml"), *TESTS]
    done = subprocess.run([python, "-m", "pytest", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300)
    summary = done.stdout.strip().rpartition("\n")[2]
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in summary
    assert "failed" not in summary
    assert "error" not in summary
