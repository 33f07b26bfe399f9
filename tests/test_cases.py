"""A table of cases in one test fails as its cases fail."""

from __future__ import annotations

import inspect

import pytest
from cases import each


def test_all_cases_run_and_those_that_fail_are_named():
    seen = []

    @each(("number", "text"), [(1, "a"), (2, "b"), (3, "c"), (4, "d")])
    def table(number, text, given):
        seen.append((number, text, given))
        if number == 2:
            with pytest.raises(ValueError):
                pass
        assert number != 3

    assert list(inspect.signature(table).parameters) == ["given"]  # the rest is for pytest's fixtures
    with pytest.raises(BaseExceptionGroup, match="2 of 4 cases") as caught:
        table(given=7)
    assert seen == [(1, "a", 7), (2, "b", 7), (3, "c", 7), (4, "d", 7)]
    assert [error.__notes__ for error in caught.value.exceptions] == [["the case: (2, 'b')"], ["the case: (3, 'c')"]]


def test_one_table_in_another_is_each_with_each():
    seen = []

    @each("outer", "ab")
    @each("inner", [(1,), (2,)])  # one name: a tuple is a value
    def table(outer, inner):
        seen.append((outer, inner))
        assert (outer, inner) != ("b", (1,))

    with pytest.raises(ExceptionGroup, match="1 of 2 cases") as caught:
        table()
    assert seen == [("a", (1,)), ("a", (2,)), ("b", (1,)), ("b", (2,))]
    [group] = caught.value.exceptions
    assert [group.__notes__, group.exceptions[0].__notes__] == [["the case: ('b',)"], ["the case: ((1,),)"]]


def test_no_case_is_no_test():
    with pytest.raises(AssertionError, match="no case"):
        each("name", [])
