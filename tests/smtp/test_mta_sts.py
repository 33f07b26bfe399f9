"""MTA-STS (RFC 8461): records, policies, which host is meant, and what is kept."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.smtp.mta_sts import StsCache, StsPolicy, policy_id


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (["v=STSv1; id=20160831085700Z;"], "20160831085700Z"),  # RFC 8461 section 3.1
        (["v=STSv1;id=1"], "1"),
        (["v=STSv1 ; foo=bar; id=a1 ; x=y;"], "a1"),
        (["v=spf1 -all", "v=STSv1; id=1;"], "1"),
        ([], None),
        (["v=spf1 -all"], None),
        (["v=STSv1; id=1;", "v=STSv1; id=2;"], None),  # "senders MUST assume the recipient domain does not have"
        (["v=STSv1; id=;"], None),
        (["v=STSv1; id=a-b;"], None),
        (["v=STSv1; id=" + "a" * 33], None),
        (["v=STSv1; valid=7;"], None),
        (["v=STSv2; id=1;"], None),
        (["id=1; v=STSv1;"], None),
    ],
)
def test_check_52_the_records_id(texts: list[str], found: str | None) -> None:
    assert policy_id(texts) == found


# RFC 8461 section 3.2
EXAMPLE = """version: STSv1
mode: enforce
mx: mail.example.com
mx: *.example.net
mx: backupmx.example.com
max_age: 604800
"""


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_check_52_the_rfcs_policy(end: str) -> None:
    policy = StsPolicy.parse(EXAMPLE.replace("\n", end))
    assert policy == StsPolicy(
        "enforce", ("mail.example.com", "*.example.net", "backupmx.example.com"), max_age_s=604_800
    )
    for host, is_allowed in [
        ("mail.example.com", True),
        ("MAIL.example.com.", True),
        ("backupmx.example.com", True),
        ("mx1.example.net", True),
        ("example.net", False),  # "*." stands for exactly one label (section 4.1)
        ("a.b.example.net", False),
        ("other.example.com", False),
        ("example.com", False),
        ("", False),
    ]:
        assert policy.allows(host) is is_allowed, host


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (("mode: enforce", "mode: testing"), "testing"),
        (("max_age: 604800", "max_age:86400 \t"), "enforce"),
        (("max_age: 604800", "max_age: 9999999999"), "enforce"),
        (("max_age: 604800", "max_age: 604800\nmode: none\nx-new_key: any thing: at all"), "enforce"),
        (("mx: mail.example.com\nmx: *.example.net\nmx: backupmx.example.com\n", ""), ValueError),
        (("version: STSv1", "version: STSv2"), ValueError),
        (("version: STSv1\n", ""), ValueError),
        (("mode: enforce", "mode: Enforce"), ValueError),
        (("max_age: 604800", "max_age: -1"), ValueError),
        (("max_age: 604800", "max_age: 1e3"), ValueError),
        (("max_age: 604800\n", ""), ValueError),
        (("mx: *.example.net", "mx: *.*.net"), ValueError),
        (("mx: *.example.net", "mx: *"), ValueError),
        (("mx: *.example.net", "mx: [192.0.2.1]"), ValueError),
        (("mode: enforce", "<html>"), ValueError),
    ],
)
def test_check_52_what_is_a_policy(change: tuple[str, str], wanted: object) -> None:
    text = EXAMPLE.replace(*change)
    if wanted is ValueError:
        with pytest.raises(ValueError, match=r"\w"):
            StsPolicy.parse(text)
    else:
        policy = StsPolicy.parse(text)
        assert policy.mode == wanted
        assert policy.max_age_s <= 31_557_600


@given(st.one_of(st.text(), st.text(alphabet="version: STSv1\r\nmodexaagpolicy_0123456789*.-")))
def test_whatever_a_web_server_says_is_a_policy_or_a_value_error(text: str) -> None:
    policy_id([text])
    with contextlib.suppress(ValueError):
        assert StsPolicy.parse(text).mode in ("enforce", "testing", "none")
    with contextlib.suppress(ValueError):
        StsPolicy.parse(f"version: STSv1\nmode: enforce\nmx: {text}\nmax_age: 1").allows(text)


def test_a_policy_that_is_none_names_no_hosts() -> None:
    assert StsPolicy.parse("version: STSv1\nmode: none\nmax_age: 0") == StsPolicy("none", (), 0)


def test_it_is_kept_until_its_age_is_over_and_shared_by_a_file(tmp_path: Path) -> None:
    now = [1000.0]
    path = str(tmp_path / "sts.json")
    policy = StsPolicy("enforce", ("mx.a.test",), 60)
    for file in (None, path):
        now[0] = 1000.0
        cache, other = (StsCache(file, clock=lambda: now[0]) for _ in range(2))
        assert other.get("a.test") is None
        cache.put("a.test", "1", policy)
        assert cache.get("a.test") == ("1", policy)
        assert other.get("a.test") == (None if file is None else ("1", policy))
        now[0] = 1031.0
        assert cache.get("a.test") == ("", policy)  # it holds, and is to be fetched anew
        now[0] = 1061.0
        assert cache.get("a.test") is None
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["sts.json"]


@pytest.mark.parametrize("content", ["", "[]", '{"a.test": 7}', '{"a.test": ["1", "x", "enforce", [], 1]}', "\xff"])
def test_a_broken_file_is_an_empty_one_and_a_full_disk_costs_no_mail(tmp_path: Path, content: str) -> None:
    path = tmp_path / "sts.json"
    path.write_text(content, encoding="latin-1")
    cache = StsCache(str(path))
    assert cache.get("a.test") is None
    cache.put("a.test", "1", StsPolicy("testing", ("a.test",)))
    assert StsCache(str(path)).get("a.test") is not None
    lost = StsCache(str(tmp_path / "missing" / "sts.json"))
    lost.put("a.test", "1", StsPolicy("testing", ("a.test",)))
    assert lost.get("a.test") is not None


@pytest.mark.parametrize("how", ["others may write it", "a FIFO"])
def test_check_52_a_file_that_others_may_have_written_says_nothing(tmp_path: Path, how: str) -> None:
    path = tmp_path / "sts.json"
    if how == "a FIFO":
        os.mkfifo(path, 0o600)
    else:
        StsCache(str(path)).put("a.test", "1", StsPolicy("none"))
        path.chmod(0o662)
    cache = StsCache(str(path))
    assert cache.get("a.test") is None
    cache.put("b.test", "1", StsPolicy("enforce", ("mx.b.test",)))
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert StsCache(str(path)).get("b.test") is not None
    assert StsCache(str(path)).get("a.test") is None


def test_memory_is_bounded_and_what_is_asked_for_stays() -> None:
    cache = StsCache()
    for number in range(1100):
        cache.put(f"{number}.test", "1", StsPolicy("enforce", ("mx.test",)))
        assert cache.get("0.test") is not None
    assert cache.get("100.test") is None
    assert cache.get("1099.test") is not None
