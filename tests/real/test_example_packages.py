"""The example packages, installed by pip as a stranger installs them. What builds them comes from a package index."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.real

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "plugin_package": "mailwright_labels",
    "backend_package": "mailwright_archive",
    "provider_package": "mailwright_pigeon",
}


@pytest.mark.usefixtures("certificates")
@pytest.mark.parametrize("package", PACKAGES)
def test_a_stranger_installs_it_and_its_tests_pass(package, tmp_path):
    """``pip install`` into a fresh folder, which is all that its tests get beside what this suite has."""
    site = tmp_path / "site"
    folder = ROOT / "examples" / package
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(folder)]
    subprocess.run(pip, check=True, timeout=300)
    assert (site / PACKAGES[package] / "py.typed").is_file()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAILER_")}
    environment |= {"PYTHONPATH": os.pathsep.join([str(site), str(ROOT)])}
    tests = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-c",
        os.devnull,
        "--rootdir",
        str(tmp_path),
    ]
    subprocess.run([*tests, str(folder / "tests")], check=True, timeout=300, env=environment, cwd=tmp_path)
    run = [sys.executable, "-m", "mailer"]
    if package == "plugin_package":
        environment |= {"MAILER_URL": "null:", "MAILER_PLUGINS": "labels", "MAILER_PLUGINS__LABELS__TEXT": "x"}
        said = subprocess.run(
            [*run, "plugins"], check=True, timeout=60, env=environment, cwd=tmp_path, capture_output=True, text=True
        ).stdout
        assert said.splitlines()[0].split() == ["labels", "1.0", "on", "mailwright-labels", "message,", "sent"]
    elif package == "provider_package":
        code = "from mailer import Mailer; print(Mailer('pigeon://T0ken@eu?loft=south').backend)"
        said = subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            timeout=60,
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
        ).stdout
        assert said == "pigeon://***@eu?loft=south\n"
    else:
        message = ["--from", "a@b.test", "--to", "c@d.test", "--text", "x"]
        subprocess.run(
            [*run, "send", "--url", "archive:mails.db", *message], check=True, timeout=60, env=environment, cwd=tmp_path
        )
        assert (tmp_path / "mails.db").is_file()
