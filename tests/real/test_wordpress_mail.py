"""Our ``wp_mail`` and WordPress' own do the same with random calls, but for the differences that are documented."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest
from wordpress_calls import call, compared, ours

from .wordpress import INCLUDES, answers

pytestmark = pytest.mark.real

RECORDED = Path(__file__).parent.parent / "golden" / "wordpress_mail.jsonl"
RECORDED_CALLS = 40
CALLS = 1_000
SEED = int(os.environ.get("WP_MAIL_SEED", "0"))
"""Where to begin: another one tries other calls."""


def on_wordpress(calls: list[dict]) -> list[dict]:
    """What WordPress does with each."""
    return [
        {**one, "content": None if one["content"] is None else base64.b64decode(one["content"])}
        for one in answers("wordpress_mail.php", INCLUDES, calls)
    ]


@pytest.mark.usefixtures("certificates")
def test_random_calls_make_the_same_mail() -> None:
    calls = [call(SEED + number) for number in range(CALLS)]
    told = on_wordpress(calls)
    assert len(told) == CALLS
    sent = 0
    for number, (one, answer) in enumerate(zip(calls, told, strict=True)):
        assert compared(one, ours(one)) == compared(one, answer), f"call {SEED + number}: {one}"
        sent += answer["content"] is not None
    assert sent >= CALLS * 0.8


@pytest.mark.usefixtures("certificates")
def test_the_recorded_sample_is_what_wordpress_says() -> None:
    """With ``WP_MAIL_RECORD=1`` it is written anew: read the difference before it is kept."""
    calls = [call(seed) for seed in range(RECORDED_CALLS)]
    lines = [
        json.dumps(compared(one, answer), ensure_ascii=False)
        for one, answer in zip(calls, on_wordpress(calls), strict=True)
    ]
    if os.environ.get("WP_MAIL_RECORD") == "1":
        RECORDED.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert RECORDED.read_text(encoding="utf-8").splitlines() == lines
