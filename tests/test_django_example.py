"""``examples/django_site``, by its own tests: in a process of its own, as Django is set up once in one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parent.parent / "examples" / "django_site"


def test_the_django_site_does_what_its_tests_say() -> None:
    environment = {**os.environ, "MAILER_ENV": "testing"}
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    done = subprocess.run(
        [sys.executable, "-W", "error", "manage.py", "test"],
        cwd=EXAMPLE,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Ran 10 tests" in done.stderr
