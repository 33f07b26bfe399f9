"""Rests of hosts that fail again and again, on a clock of the test's."""

from __future__ import annotations

import pytest

from mailer.backends.rest import Rests
from mailer.errors import ConfigError


def test_check_20_who_failed_five_times_is_left_alone_and_then_tried_by_one() -> None:
    rests = Rests(60.0)
    for at in range(5):
        assert rests.left_s("mx", float(at)) == (0.0, "")
        rests.failed("mx", f"refused at {at}", float(at))
    assert rests.left_s("mx", 10.0) == (54.0, "refused at 4")
    assert rests.left_s("other", 10.0) == (0.0, "")
    assert rests.left_s("mx", 64.0) == (0.0, "")  # this one tries it
    assert rests.left_s("mx", 64.0)[0] == 60.0  # and the others do not
    rests.failed("mx", "refused again", 65.0)
    assert rests.left_s("mx", 66.0) == (59.0, "refused again")
    rests.answered("mx")
    assert rests.left_s("mx", 66.0) == (0.0, "")


def test_failures_that_are_not_in_a_row_do_not_count_and_memory_is_bounded() -> None:
    rests = Rests(60.0, after=2)
    for _ in range(9):
        rests.failed("mx", "", 0.0)
        rests.answered("mx")
    assert rests.left_s("mx", 0.0) == (0.0, "")
    for number in range(1500):
        rests.failed(f"{number}", "", 0.0)
        rests.failed(f"{number}", "", 0.0)
    assert rests.left_s("1", 0.0) == (0.0, "")
    assert rests.left_s("1499", 0.0)[0] == 60.0
    none = Rests(0.0, after=1)
    none.failed("mx", "", 0.0)
    assert none.left_s("mx", 0.0) == (0.0, "")
    with pytest.raises(ConfigError, match="rest_s"):
        Rests(float("nan"))
