"""Django's own suite, run where it lies, with our backends in place of its own (tests/contrib/django_suite.py).

``.ci/django-pythons`` fetches the source of each release beside its interpreter; nothing of it is copied.
"""

from __future__ import annotations

import functools
import os
import re
import subprocess
from pathlib import Path

import pytest
from test_django_versions import RELEASES, pythons

HERE = Path(__file__).parent
#: What runs with our ``EmailBackend``, ``LocMemBackend``, ``FileBackend`` and ``ConsoleBackend`` for Django's own of
#: these names; locmem is the default in all its tests.
OURS = "smtp,locmem,filebased,console"
LABELS = ("mail", "logging_tests", "auth_tests.test_forms", "auth_tests.test_views", "middleware")

SMTPLIB = "patches smtplib, which is not what carries the mail here"
TAKEN = "all our backends take fail_silently, also where Django's own is about to stop"
AS_ROOT = "root may write into any folder: Django's own is red too"

#: Release -> test -> why it is red.
EXCUSED: dict[str, dict[str, str]] = {
    "5.2": {"mail.tests.SMTPBackendTests.test_email_msg_uses_crlf": SMTPLIB},
    "6.0": {"mail.tests.SMTPBackendTests.test_email_msg_uses_crlf": SMTPLIB},
    "6.1": {
        "mail.test_backends.SMTPBackendTests.test_auth_attempted": SMTPLIB,
        "mail.test_backends.SMTPBackendTests.test_smtp_connection_uses_host_and_port": SMTPLIB,
        "mail.test_backends.SMTPBackendTests.test_serialized_message_uses_crlf_line_ending": SMTPLIB,
        "mail.test_backends.LocmemBackendTests.test_fail_silently_arg_accepted": TAKEN,
    },
}
#: Release -> how many tests there are at least of its two SMTP classes, its two file classes and its console class, so
#: that none is lost unseen.
LEAST = {
    "5.2": {".SMTPBackend": 50, ".FileBackend": 38, ".ConsoleBackend": 19},
    "6.0": {".SMTPBackend": 55, ".FileBackend": 42, ".ConsoleBackend": 21},
    "6.1": {".SMTPBackend": 58, ".FileBackend": 44, ".ConsoleBackend": 12},
}


@functools.cache
def results(release: str, stands_for: str, *labels: str) -> dict[str, str]:
    """Test -> "FAIL", "ERROR" or ""; a test with parts is red if one of them is."""
    python = pythons().get(release)
    if python is None:
        pytest.skip(f"Django {release}: not run: MAILER_DJANGO_PYTHONS names no Python that has it")
    version = subprocess.run(
        [python, "-c", "import django; print(django.__version__)"], check=True, capture_output=True, text=True
    ).stdout.strip()
    source = Path(python).parents[2] / "source" / f"django-{version}" / "tests"
    if not source.is_dir():
        pytest.skip(f"Django {version}: not run: there is no {source}, which .ci/django-pythons fetches")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAILER_", "PYTHON"))}
    environment |= {"PYTHONPATH": str(HERE), "DJANGO_SUITE_STANDS_FOR": stands_for, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [python, "runtests.py", "--settings=django_suite", "--parallel=1", "-v", "2", *labels]
    done = subprocess.run(command, cwd=source, env=environment, capture_output=True, timeout=300)
    told = (done.stdout + done.stderr).decode(errors="replace")
    found = dict.fromkeys(re.findall(r"^\w+ \(([\w.]+)\)", told, re.MULTILINE), "")
    found |= {test: red for red, test in re.findall(r"^(FAIL|ERROR): \w+ \(([\w.]+)\)", told, re.MULTILINE)}
    assert re.search(r"^Ran \d+ tests", told, re.MULTILINE), told[-3000:]
    assert "aiosmtpd" not in told, told[-3000:]  # without which Django passes over its SMTP tests
    return found


@pytest.mark.parametrize("release", RELEASES)
def test_djangos_suite_is_green_but_for_named_reasons(release: str) -> None:
    found = results(release, OURS, *LABELS)
    red = {test for test, outcome in found.items() if outcome}
    excused = EXCUSED[release]
    if os.geteuid() == 0:
        red -= {test for test in red if test.endswith(".test_error_if_file_path_is_not_writable")}  # AS_ROOT
    assert red == set(excused)
    assert all(any(test.startswith(f"{label}.") for test in found) for label in LABELS)
    for of_class, least in LEAST[release].items():
        assert sum(of_class in test for test in found) >= least, of_class
    assert sum(".SMTPBackend" in test for test in excused) <= (3 if release == "6.1" else 1)
