"""The real WordPress, a script of ours in its own PHP: JSON on each line in, JSON on each line out."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from .peers import HOME

__all__ = ["INCLUDES", "answers"]

INCLUDES = HOME / "wordpress/usr/share/wordpress/wp-includes"


def answers(script: str, argument: Path, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the script, beside this file, says to each line."""
    if not argument.exists() or shutil.which("php") is None:
        pytest.fail(f"wordpress: php or {argument} is missing: .ci/install-real-peers installs them", pytrace=False)
    done = subprocess.run(
        ["php", "-d", "display_errors=stderr", str(Path(__file__).with_name(script)), str(argument)],
        input="".join(json.dumps(one) + "\n" for one in lines),
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]
