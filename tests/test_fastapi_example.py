"""``examples/fastapi_app``, by its own tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("fastapi")
EXAMPLE = Path(__file__).parent.parent / "examples" / "fastapi_app"
sys.path[:0] = [str(EXAMPLE), str(EXAMPLE / "tests")]
pytest.register_assert_rewrite("test_courses")

from test_courses import *  # noqa: E402, F403
