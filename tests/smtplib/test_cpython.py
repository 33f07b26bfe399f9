"""CPython's own tests of smtplib, against ours: an oracle that knows nothing of us."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

#: Test id to the reason why it cannot hold of ours. There is none.
NOT_HELD: dict[str, str] = {}


def test_cpythons_own_suite_is_green():
    if importlib.util.find_spec("test.test_smtplib") is None:
        pytest.skip("this Python was installed without its own tests (test.test_smtplib)")
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("cpython_suite.py")],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found["ran"] >= 82
    assert found["skipped"] == []
    assert {name: why for name, why in found["failed"].items() if name not in NOT_HELD} == {}
