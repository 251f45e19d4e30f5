"""Expectations of Great Expectations in our words."""

from __future__ import annotations

import pytest

from headwater.model.event import Checked, Outcome
from headwater.quality.checkers import expectations
from headwater.quality.checkers.told import Expectation

RESULT = {
    "file": "/p/gx/expectations/shop/orders.json",
    "table": "shop.orders",
    "suite": "shop.orders",
    "type": "expect_column_values_to_be_between",
    "words": {"column": "amount", "min_value": 0},
    "severity": "critical",
    "success": False,
    "measured": {"element_count": 2000, "unexpected_count": 1005, "unexpected_percent": 50.25},
}


def told(**changed):
    return expectations.told(Expectation(**{**RESULT, **changed}))


def test_a_failed_expectation_says_how_many_values_and_what_was_expected():
    assert told().event("gx:checkpoint") == Checked(
        step="gx:checkpoint",
        check="shop.orders.amount.expect_column_values_to_be_between",
        outcome=Outcome.FAILED,
        failing=1005,
        message="1,005 of 2,000 values are not as expect_column_values_to_be_between (min_value 0)",
        observed="1005",
    )


def test_a_number_of_the_whole_table_is_told():
    found = told(type="expect_table_row_count_to_be_between", words={"min_value": 5}, measured={}, observed=3)
    assert found.name == "shop.orders.expect_table_row_count_to_be_between"
    assert found.message == "3 is not as expect_table_row_count_to_be_between (min_value 5)"
    assert (found.failing, found.observed) == (1, "3")


@pytest.mark.parametrize(("severity", "fails"), [("critical", True), ("warning", False), ("info", False)])
def test_only_what_is_critical_fails_the_run(severity, fails):
    assert told(severity=severity).fails is fails


def test_what_was_raised_is_no_failing_row_of_data():
    found = told(measured={}, error='The column "amount" in BatchData does not exist.')
    assert (found.fails, found.message) == (False, 'The column "amount" in BatchData does not exist.')


def test_an_expectation_of_several_columns_names_them():
    words = {"column_list": ["a", "b"], "ignore_row_if": "never"}
    assert told(type="expect_compound", words=words).name == "shop.orders.a.b.expect_compound"


def test_long_words_are_cut():
    found = told(type="expect_in_set", words={"column": "a", "value_set": list(range(500))})
    assert len(found.message) < 200


def test_a_success_tells_nothing():
    assert told(success=True, measured={"unexpected_count": 0}).message is None
