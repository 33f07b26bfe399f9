"""Flask-Mail's own tests, and those of Flask-Security that mail, where they lie, with ours in place of theirs.

``.ci/flask-suites`` lays them out; the folder stands in ``MAILER_FLASK_SUITES``.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

FOLDER = os.environ.get("MAILER_FLASK_SUITES", "")
#: What mails, of Flask-Security's.
MAILING = [
    f"tests/test_{name}.py" for name in "confirmable recoverable passwordless registerable changeable misc".split()
]
#: Test -> why it fails whatever mails.
EXCUSED = {"test_td_format_babel_incomplete_locale": "Babel's data for that locale are complete by now"}


@pytest.mark.skipif(not FOLDER, reason="MAILER_FLASK_SUITES is not set: .ci/flask-suites prints it")
@pytest.mark.parametrize(
    ("suite", "chosen", "files", "least", "excused"),
    [
        ("flask-mail", "mail", ["tests.py"], 50, set()),
        ("flask-security", "mail", MAILING, 260, set(EXCUSED)),
        ("flask-security", "mailman", MAILING, 260, set(EXCUSED)),
    ],
)
def test_it_is_green_but_for_what_is_excused(
    suite: str, chosen: str, files: list[str], least: int, excused: set[str], tmp_path: Path
) -> None:
    report = tmp_path / "report.xml"
    # The folder may lie in ours: pytest then finds our settings, where it has none of its own.
    ours_not = ["-o", "addopts=", "-o", "filterwarnings="]
    options = ["-q", "-p", "no:cacheprovider", "-p", "flask_suite", *ours_not, f"--junitxml={report}"]
    done = subprocess.run(
        [Path(FOLDER) / "venv" / "bin" / "python", "-m", "pytest", *options, *files],
        cwd=Path(FOLDER) / suite,
        env=os.environ | {"FLASK_SUITE": chosen, "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    cases = list(ElementTree.parse(report).iter("testcase"))
    failed = {case.get("name") for case in cases if case.find("failure") is not None or case.find("error") is not None}
    passed = [case for case in cases if not list(case)]
    assert failed == excused, done.stdout
    assert len(passed) >= least, done.stdout
