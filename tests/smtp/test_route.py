"""Which hosts take a domain's mail: preference, equal ones, null MX, ourselves among them."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.smtp.route import NoRoute, hosts_for


def keep(hosts: list[str]) -> None:
    """Leave them in order."""


def test_check_22_f69_without_mx_the_domain_is_the_host() -> None:
    assert hosts_for("a.test", [], keep) == ["a.test"]


def test_check_22_by_preference_and_each_once() -> None:
    records = [(20, "c"), (10, "b"), (10, "a"), (30, "a"), (10, "b")]
    assert hosts_for("d", records, keep) == ["a", "b", "c"]


def test_check_51_f68_null_mx_takes_no_mail() -> None:
    with pytest.raises(NoRoute) as caught:
        hosts_for("a.test", [(0, "")], keep)
    assert (caught.value.event, caught.value.enhanced_code) == ("domain takes no mail", "5.1.10")
    assert hosts_for("a.test", [(0, ""), (10, "mx")], keep) == ["mx"]


def test_check_22_hosts_no_better_than_ourselves_are_left_out() -> None:
    records = [(10, "a"), (20, "me"), (20, "b"), (30, "c")]
    assert hosts_for("d", records, keep, {"me"}) == ["a"]
    with pytest.raises(NoRoute) as caught:
        hosts_for("d", records[1:], keep, {"me"})
    assert (caught.value.event, caught.value.enhanced_code) == ("mail loops", "5.4.6")


def test_check_22_a_domain_without_mx_that_is_ourselves_is_a_loop() -> None:
    with pytest.raises(NoRoute) as caught:
        hosts_for("me", [], keep, {"me"})
    assert (caught.value.event, caught.value.enhanced_code) == ("mail loops", "5.4.6")


def test_f72_equal_hosts_share_the_load() -> None:
    firsts = Counter(
        hosts_for("d", [(10, "a"), (10, "b"), (20, "c")], random.Random(seed).shuffle)[0] for seed in range(400)
    )
    assert set(firsts) == {"a", "b"}
    assert all(140 <= count <= 260 for count in firsts.values())  # 35-65 %


@given(st.lists(st.tuples(st.integers(0, 65535), st.sampled_from(["", "a", "b", "c", "me"]))), st.randoms())
def test_whatever_the_records_hosts_are_unique_and_never_ourselves(
    records: list[tuple[int, str]], mixer: random.Random
) -> None:
    try:
        hosts = hosts_for("d", records, mixer.shuffle, {"me"})
    except NoRoute:
        return
    assert len(set(hosts)) == len(hosts) >= 1
    assert not {"", "me"} & set(hosts)
    best = {host: min(p for p, h in records if h == host) for host in hosts if records}
    assert [best[host] for host in hosts if records] == sorted(best.values())
