"""Our registry and WordPress' own do the same with random programs, but for the differences that are documented."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hook_programs import program, trace

from .wordpress import INCLUDES, answers

pytestmark = pytest.mark.real

RECORDED = Path(__file__).parent.parent / "golden" / "wordpress_hooks.jsonl"
PROGRAMS = 14_000
SEED = int(os.environ.get("HOOK_PROGRAMS_SEED", "0"))
"""Where to begin: another one tries other programs."""


def on_wordpress(programs: list[dict]) -> list[dict]:
    """What WordPress does with each: its trace, and the faults of its own that it met."""
    return answers("wordpress_hooks.php", INCLUDES / "plugin.php", programs)


@pytest.mark.usefixtures("certificates")
def test_random_programs_leave_the_same_trace_on_wordpress() -> None:
    programs = [program(SEED + number) for number in range(PROGRAMS)]
    told = on_wordpress(programs)
    assert len(told) == PROGRAMS
    compared = differing_by_fault = 0
    for number, (one, answer) in enumerate(zip(programs, told, strict=True)):
        ours = trace(one)
        if not answer["faults"]:
            compared += 1
            assert ours == answer["trace"], f"program {SEED + number}"
        elif ours != answer["trace"]:
            differing_by_fault += 1
    assert compared >= 10_000
    assert differing_by_fault > 0, "WordPress has been mended: see docs/explain/design.md"


@pytest.mark.usefixtures("certificates")
def test_the_recorded_sample_is_what_wordpress_says() -> None:
    recorded = [json.loads(line) for line in RECORDED.read_text(encoding="utf-8").splitlines()]
    told = on_wordpress([one["program"] for one in recorded])
    assert [answer["trace"] for answer in told] == [one["trace"] for one in recorded]
    assert not any(answer["faults"] for answer in told)
