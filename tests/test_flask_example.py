"""``examples/flask_app``, by its own tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parent.parent / "examples" / "flask_app"
sys.path[:0] = [str(EXAMPLE), str(EXAMPLE / "tests")]
pytest.register_assert_rewrite("test_members")

from test_members import *  # noqa: E402, F403
