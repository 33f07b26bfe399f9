"""Trying again within one call: what is tried, when, and what never is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.retry import MAX_RETRY_AFTER_S, retry_after_seconds

NOW = datetime(1994, 11, 6, 8, 49, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        (" 120\t", 120.0),
        ("0", 0.0),
        ("1.5", 1.5),
        ("000000000007", 7.0),
        ("86401", MAX_RETRY_AFTER_S),
        ("9" * 5000, MAX_RETRY_AFTER_S),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 7.0),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 7.0),
        ("Sun Nov  6 08:49:37 1994", 7.0),
        ("Sun, 06 Nov 1994 08:49:60 GMT", 29.0),
        ("Sun, 06 Nov 1994 08:49:29 GMT", 0.0),
        ("Sunday, 06-Nov-44 08:49:37 GMT", MAX_RETRY_AFTER_S),
        ("Sunday, 06-Nov-45 08:49:37 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_RETRY_AFTER_S),
        (None, None),
        ("", None),
        ("-1", None),
        ("+7", None),
        ("nan", None),
        ("inf", None),
        ("1e3", None),
        ("٧", None),
        ("7 seconds", None),
        ("7, 8", None),
        ("soon\r\nX: y", None),
        ("Sun, 31 Feb 1994 08:49:37 GMT", None),
        ("Sun, 06 Nov 1994 25:49:37 GMT", None),
        ("Sun, 06 Nov 0000 08:49:37 GMT", None),
        ("Sun, 06 Nov 1994 08:49:37 +0000", None),
    ],
)
def test_check_72_retry_after_in_seconds_or_as_a_date_with_a_cap(header, seconds):
    assert retry_after_seconds(header, NOW) == seconds
    elsewhere = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert retry_after_seconds(header, elsewhere) == seconds


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2,8}, [0-9]{2}[ -][A-Z][a-z]{2}[ -][0-9]{2,4} [0-9:]{8} GMT"))
def test_any_retry_after_is_none_or_within_the_cap(header):
    seconds = retry_after_seconds(header, NOW)
    assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER_S


@given(st.integers(0, 80_000))
def test_any_date_that_the_standard_library_writes_is_read(seconds):
    assert retry_after_seconds(format_datetime(NOW + timedelta(seconds=seconds), usegmt=True), NOW) == seconds
