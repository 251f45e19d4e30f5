from pathlib import Path
from textwrap import dedent

import duckdb
import pytest

from headwater.base.errors import InputError, RunFailedError
from headwater.connect.destinations.duckdb.warehouse import DuckDBSession
from headwater.model.event import Checked
from headwater.quality.check import run_checks
from headwater.quality.read import read_checks
from headwater.run.cancel import Cancel

DATA = """
create schema analytics; create schema tap_shop;
create table tap_shop.customers as select * from (values ('ann'), ('bob')) t(name);
create table analytics.orders as select * from (values
  (1, 'ann', 10, 'open'), (2, 'bob', -3, 'open'), (2, 'cem', 99, 'lost'), (null, null, null, null)
) t(id, customer, amount, state);
"""


def run(tmp_path: Path, *, column: str = "id", check: str | None = None, text: str | None = None) -> list[Checked]:
    """The events of the checks of one column of `orders`, or of a whole file."""
    folder = tmp_path / "models"
    folder.mkdir()
    text = text or f"models:\n  - name: orders\n    columns:\n      - name: {column}\n        checks: [{check}]\n"
    (folder / "models.yml").write_text(dedent(text))
    events: list = []
    run.events = events
    with duckdb.connect(str(tmp_path / "w.duckdb")) as connection:
        connection.execute(DATA)
        session = DuckDBSession(connection, tmp_path / "w.duckdb")
        run_checks(session, read_checks(folder, "analytics"), step="models:check", emit=events.append, cancel=Cancel())
    return events


@pytest.mark.parametrize(
    ("column", "check", "failing", "says"),
    [
        ("id", "not_null", 1, "1 row of analytics.orders without `id`"),
        ("id", "unique", 2, "2 rows of analytics.orders share their `id` (id=2, rows=2)"),
        ("amount", "range: {min: 0, max: 50}", 2, "2 rows of analytics.orders with `amount` below 0 or above 50"),
        ("state", "accepted_values: [open, done]", 1, "1 row of analytics.orders with a `state` that is not accepted"),
        (
            "customer",
            "relationship: {to: tap_shop.customers, field: name}",
            1,
            "1 row of analytics.orders with a `customer` that is no `name` of tap_shop.customers",
        ),
    ],
)
def test_rows_that_break_a_check_are_counted_and_named(tmp_path, column, check, failing, says):
    with pytest.raises(RunFailedError):
        run(tmp_path, column=column, check=check)
    (event,) = run.events
    assert (event.outcome, event.failing, event.message) == ("failed", failing, says)


@pytest.mark.parametrize(
    ("column", "check"),
    [
        ("amount", "range: {max: 99}"),
        ("state", "accepted_values: [open, lost]"),
        ("ID", "range: {min: 1}"),
    ],
)
def test_null_breaks_no_check_but_not_null(tmp_path, column, check):
    (event,) = run(tmp_path, column=column, check=check)
    assert (event.outcome, event.failing, event.message) == ("success", 0, None)


def test_checks_of_a_whole_table(tmp_path):
    text = """
        models:
          - name: orders
            checks:
              - row_count: {min: 5, severity: warn}
              - unique: [id, customer]
              - sql: {name: nobody owes, query: select * from analytics.orders where amount < 0, severity: warn}
        """
    assert [(event.check, event.failing, event.severity) for event in run(tmp_path, text=text)] == [
        ("analytics.orders.row_count", 1, "warn"),
        ("analytics.orders.id+customer.unique", 0, "error"),
        ("nobody owes", 1, "warn"),
    ]


def test_all_checks_run_and_the_failure_names_each_and_how_to_see_the_rows(tmp_path):
    with pytest.raises(RunFailedError) as caught:
        run(tmp_path, check="not_null, unique, range: {min: 0}")
    error = caught.value
    assert len(run.events) == 3
    assert (error.reference, error.what, str(error.where)) == (
        "checks-failed",
        "2 of 3 checks failed",
        "models/models.yml:5",
    )
    assert error.why == (
        "`analytics.orders.id.not_null`: 1 row of analytics.orders without `id` (id=null) (models/models.yml:5)\n"
        "`analytics.orders.id.unique`: 2 rows of analytics.orders share their `id` (id=2, rows=2) (models/models.yml:5)"
    )
    assert error.hint == """headwater query 'select * from "analytics"."orders" where "id" is null limit 20'"""


def test_a_check_that_cannot_be_asked_keeps_none_of_the_others_from_being_asked(tmp_path):
    with pytest.raises(InputError) as caught:
        run(tmp_path, check="range: {min: 0, where: nope > 1}, freshness: 1 day, not_null, not_null: {name: again}")
    assert [(event.check.rpartition(".")[2], event.failing) for event in run.events] == [
        ("range", 0),
        ("freshness", 0),
        ("not_null", 1),
        ("again", 1),
    ]
    assert (run.events[0].message or "").startswith("it can't be asked: Binder Error: ")
    error = caught.value
    assert (error.reference, error.what) == ("bad-check", "the check `analytics.orders.id.range` can't be asked")
    first, second, *failed = (error.why or "").split("\n")
    assert first.startswith("Binder Error: ")
    assert second.startswith("the check `analytics.orders.id.freshness` can't be asked: ")
    assert failed == [
        "`analytics.orders.id.not_null` failed: 1 row of analytics.orders without `id` (models/models.yml:5)",
        "`again` failed: 1 row of analytics.orders without `id` (models/models.yml:5)",
    ]


@pytest.mark.parametrize(
    ("text", "what", "hint"),
    [
        (
            "models: [{name: ordrs, checks: [row_count: {min: 1}]}]",
            "there is no table `analytics.ordrs` in the warehouse",
            "did you mean `analytics.orders`?",
        ),
        (
            "models: [{name: orders, columns: [{name: stat, checks: [unique]}]}]",
            "`analytics.orders` has no column `stat`",
            "did you mean `state`?",
        ),
        (
            (
                "models: [{name: orders, columns: [{name: customer, checks: "
                "[relationship: {to: tap_shop.customers, field: nam}]}]}]"
            ),
            "`tap_shop.customers` has no column `nam`",
            "did you mean `name`?",
        ),
    ],
)
def test_unknown_names_stop_before_the_first_check(tmp_path, text, what, hint):
    with pytest.raises(InputError) as caught:
        run(tmp_path, text=text)
    assert (caught.value.what, caught.value.hint, str(caught.value.where), run.events) == (
        what,
        hint,
        "models/models.yml:1",
        [],
    )


def test_a_query_the_warehouse_refuses_is_the_users(tmp_path):
    with pytest.raises(InputError) as caught:
        run(
            tmp_path,
            text="models: [{name: orders, checks: [sql: {name: odd, query: select nope from analytics.orders}]}]",
        )
    error = caught.value
    assert (error.reference, error.what) == ("bad-check", "the check `odd` can't be asked")
    assert error.why.startswith('Binder Error: Referenced column "nope" not found in FROM clause!')
