"""LinearPattern against Python's own engine, wherever both know a pattern; and its time."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailer.linear_pattern import LinearPattern

_ATOMS = st.sampled_from(["a", "b", "@", ".", r"\.", "[ab]", "[^a]", "[]a]", "[a-c.]", r"\w", r"\d", r"\W", ""])
_PATTERNS = st.recursive(
    _ATOMS,
    lambda below: st.one_of(
        st.lists(below, min_size=2, max_size=3).map("".join),
        st.lists(below, min_size=2, max_size=3).map(lambda parts: f"({'|'.join(parts)})"),
        st.tuples(below, st.sampled_from("* + ? {2} {1,2} {0,2} {1,} {,2} *? +? ??".split())).map(
            lambda pair: f"(?:{pair[0]}){pair[1]}"
        ),
    ),
    max_leaves=8,
)


@given(_PATTERNS, st.lists(st.text("abA@.1", max_size=8), min_size=6, max_size=12))
@settings(max_examples=120, deadline=None)
def test_it_says_what_pythons_engine_says(pattern, texts):
    ours = LinearPattern(pattern)
    for text in texts:
        assert ours.matches(text) == bool(re.fullmatch(pattern, text, re.IGNORECASE | re.DOTALL)), text


@pytest.mark.parametrize("pattern", ["(a+)+b", ".*.*.*.*.*.*x", "(a|a)*b", "(a|aa)+b", "a?" * 60 + "a" * 61, "(.*)*@b"])
def test_patterns_that_blow_others_up_take_linear_time(pattern):
    """Counted, not timed: how often a step is tried grows with the text as the text does."""

    class Counted(LinearPattern):
        __slots__ = ()
        tried = 0

        @staticmethod
        def _passed(step, character):
            Counted.tried += 1
            return LinearPattern._passed(step, character)

    counts = []
    for length in (60, 120, 240):
        Counted.tried = 0
        assert not Counted(pattern).matches("a" * length + "!")
        counts.append(Counted.tried)
    assert counts[2] <= 2.2 * counts[1] <= 2.2 * 2.2 * counts[0]
    assert counts[2] <= 300 * 240


def test_the_whole_text_must_match():
    whole = r".+@example\.com"
    for pattern in (whole, rf"^{whole}$", rf"\A{whole}\Z", rf"(?i){whole}", rf"(?i)^{whole}"):
        made = LinearPattern(pattern)
        assert made.matches("Ann@Example.com")
        for text in ("a@example.com.evil.test", "a@example.com\n", "a@exampleXcom", "@example.com", "a@example.co"):
            assert not made.matches(text)
    assert LinearPattern("a|b").matches("b")
    assert not LinearPattern("a|b").matches("ab")
    assert LinearPattern(r"a\$").matches("a$")
    assert LinearPattern(r"a\\$").matches("a\\")


@pytest.mark.parametrize(
    "pattern",
    [
        "(?=a)b",
        "(?<!a)b",
        "(?s)a",
        "(?P<x>a)",
        r"(a)\1",
        r"\bfoo",
        r"a\A",
        r"\Za",
        r"\x41",
        "a*+",
        "a$b",
        "a^b",
        "(a",
        "[",
        "a)",
        "*",
        "a{b}",
        "a{9999999}",
        "(?:a{100}){100}",
        "a{0,1999}{2}",
        "(" * 60 + "a" + ")" * 60,
        "a\\",
    ],
)
def test_what_it_does_not_know_is_refused(pattern):
    with pytest.raises(ValueError, match=r"no regular expression|not known here|too large|more than 50 deep"):
        LinearPattern(pattern)
