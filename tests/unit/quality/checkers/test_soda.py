"""Checks of Soda's contracts in our words."""

from __future__ import annotations

import pytest

from headwater.model.event import Checked, Outcome
from headwater.quality.checkers import soda
from headwater.quality.checkers.told import SodaCheck

RESULT = {
    "file": "/p/soda/contracts/orders.yml",
    "table": "shop.orders",
    "path": "columns.note.checks.missing",
    "column": "note",
    "type": "missing",
    "name": "No missing values",
    "line": 6,
    "outcome": "FAILED",
    "limits": {"must_be": 0},
    "value": 4,
    "measured": {"missing_count": 4, "missing_percent": 20.0, "check_rows_tested": 20},
}


def event(asked=True, **changed):
    told = soda.told(SodaCheck(**{**RESULT, **changed}), asked=asked)
    return told and told.event("soda:verify")


def test_a_failed_check_says_how_many_rows_and_what_was_allowed():
    assert event() == Checked(
        step="soda:verify",
        check="shop.orders.note.missing",
        outcome=Outcome.FAILED,
        failing=4,
        message="4 of 20 values are missing; must be 0",
        observed="4",
    )


def test_a_passed_check_has_no_failing_rows_but_what_was_seen():
    found = event(outcome="PASSED", limits={"must_be_less_than": 5})
    assert (found.outcome, found.failing, found.message, found.observed) == (Outcome.SUCCESS, 0, None, "4")


@pytest.mark.parametrize(("outcome", "level"), [("WARN", "warn"), ("WARN", "fail"), ("FAILED", "warn")])
def test_what_soda_warns_of_stops_nothing(outcome, level):
    told = soda.told(SodaCheck(**{**RESULT, "outcome": outcome, "level": level}))
    assert (told.severity, told.outcome, told.fails) == ("warn", Outcome.FAILED, False)


def test_a_check_without_a_judgement_is_a_warning_and_no_pass():
    found = event(outcome="NOT_EVALUATED", type="aggregate", path="columns.note.checks.aggregate", value=None)
    assert (found.outcome, found.severity, found.message) == (Outcome.FAILED, "warn", "Soda found nothing to judge")


def test_checks_of_a_contract_that_can_not_be_asked_are_cancelled():
    found = event(outcome="NOT_EVALUATED", asked=False, value=None)
    assert (found.outcome, found.failing, found.message) == (Outcome.CANCELLED, 0, "it could not be asked")


def test_a_check_that_soda_leaves_out_is_none():
    assert event(outcome="EXCLUDED") is None


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"value": 20.0, "limits": {"must_be_less_than": 5}}, "4 of 20 values are missing (20 %); must be less than 5"),
        ({"type": "row_count", "value": 1005, "limits": {"must_be_greater_than": 2000}}, "1,005 rows; must be "),
        ({"type": "freshness", "value": 30.25, "limits": {"must_be_less_than": 24}}, "30.25 hours old; must be less "),
        ({"type": "metric", "value": 225.0, "limits": {"must_be_greater_than": 3, "must_be_less_than": 20}},
         "the value is 225; must be greater than 3 and must be less than 20"),
        ({"type": "schema", "value": 2, "columns": ["`at` is new", "`id` is bigint, not varchar"]},
         "shop.orders: `at` is new, `id` is bigint, not varchar"),
        ({"type": "metric", "name": "a ratio", "value": None, "limits": {}}, "a ratio"),
    ],
)  # fmt: skip
def test_each_kind_says_what_was_measured(changed, says):
    assert event(**changed).message.startswith(says)


@pytest.mark.parametrize(
    ("path", "column", "name"),
    [
        ("columns.note.checks.missing.2", "note", "shop.orders.note.missing.2"),
        ("checks.row_count", None, "shop.orders.row_count"),
        ("checks.failed_rows.q", None, "shop.orders.failed_rows.q"),
    ],
)
def test_a_check_is_called_by_its_place_in_the_contract(path, column, name):
    assert event(path=path, column=column).check == name
