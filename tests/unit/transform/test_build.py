from threading import Timer

import pytest

from headwater.base.errors import CancelledError, InputError, RunFailedError
from headwater.run.cancel import Cancel


def test_models_become_tables_and_views_in_their_schema(warehouse):
    warehouse.write(
        by_customer="select customer, sum(amount) as total from shop.orders group by customer",
        best="select * from by_customer order by total desc limit 1",
    )
    warehouse.describe("models:\n  - name: by_customer\n    materialized: view\n")
    assert warehouse.build() == {"by_customer": "built", "best": "built"}
    assert warehouse.sql("from analytics.best") == [("bob", 20)]
    assert warehouse.sql(
        "select table_name, table_type from information_schema.tables where table_schema = 'analytics' order by 1"
    ) == [("best", "BASE TABLE"), ("by_customer", "VIEW")]


def test_nothing_is_built_twice(warehouse):
    warehouse.write(a="from shop.orders", b="from a")
    warehouse.build()
    assert warehouse.build() == {"a": "skipped", "b": "skipped"}


def test_a_changed_text_builds_the_model_and_what_reads_it(warehouse):
    warehouse.write(a="from shop.orders", b="from a", c="from shop.orders")
    warehouse.build()
    warehouse.write(a="from shop.orders where amount > 5")
    assert warehouse.build() == {"a": "built", "b": "built", "c": "skipped"}
    assert warehouse.sql("select count(*) from analytics.b") == [(2,)]


@pytest.mark.parametrize(
    "change",
    [
        "insert into shop.orders values (4, 'eve', 1)",
        "update shop.orders set amount = 11 where id = 1",
        "delete from shop.orders where id = 1",
        "alter table shop.orders add column note varchar",
        "alter table shop.orders rename column amount to price",
    ],
)
def test_changed_rows_or_columns_of_a_source_are_noticed(warehouse, change):
    warehouse.write(a="select * from shop.orders", other="select 1")
    warehouse.build()
    warehouse.sql(change)
    assert warehouse.build() == {"a": "built", "other": "skipped"}


def test_a_load_is_noticed_by_its_instant_alone(warehouse):
    warehouse.sql("alter table shop.orders add column __loaded_at timestamptz default '2024-01-01 00:00:00Z'")
    warehouse.write(a="select * from shop.orders")
    warehouse.build()
    assert warehouse.build() == {"a": "skipped"}
    warehouse.sql("update shop.orders set amount = 0, __loaded_at = '2024-01-02 00:00:00Z' where id = 1")
    assert warehouse.build() == {"a": "built"}


def test_a_change_passes_through_a_view(warehouse):
    warehouse.write(v="from shop.orders", t="from v")
    warehouse.describe("models:\n  - name: v\n    materialized: view\n")
    warehouse.build()
    warehouse.sql("insert into shop.orders values (4, 'eve', 1)")
    assert warehouse.build() == {"v": "built", "t": "built"}
    assert warehouse.sql("select count(*) from analytics.t") == [(4,)]


def test_a_table_that_is_gone_is_built_again(warehouse):
    warehouse.write(a="from shop.orders")
    warehouse.build()
    warehouse.sql("drop table analytics.a")
    assert warehouse.build() == {"a": "built"}


def test_a_table_may_become_a_view_and_back(warehouse):
    warehouse.write(a="from shop.orders", b="from a")
    warehouse.build()
    warehouse.describe("models:\n  - name: a\n    materialized: view\n")
    assert warehouse.build() == {"a": "built", "b": "built"}
    warehouse.describe("")
    assert warehouse.build() == {"a": "built", "b": "built"}


def test_a_model_that_reads_the_clock_is_built_every_time(warehouse):
    warehouse.write(a="select current_date as today", b="from a")
    warehouse.build()
    assert warehouse.build() == {"a": "built", "b": "built"}


def test_full_refresh_builds_all(warehouse):
    warehouse.write(a="from shop.orders", b="from a")
    warehouse.build()
    assert warehouse.build(full_refresh=True) == {"a": "built", "b": "built"}


def test_a_failing_model_keeps_its_old_table_and_stops_only_what_needs_it(warehouse):
    warehouse.write(a="from shop.orders", b="from a", c="from b", other="select 1")
    warehouse.build()
    warehouse.write(a="select id,\n  amont\nfrom shop.orders", other="select 2")
    with pytest.raises(RunFailedError) as caught:
        warehouse.build()
    error = caught.value
    assert (error.reference, error.what, str(error.where)) == (
        "model-failed",
        "the model `a` can't be built",
        "models/a.sql:2",
    )
    assert error.why == (
        'Binder Error: Referenced column "amont" not found in FROM clause! Candidate bindings: "amount"\n'
        "not built, because they need it: b, c"
    )
    assert warehouse.happened["b"] == warehouse.happened["c"] == "cancelled: it needs `a`, which failed"
    assert warehouse.happened["other"] == "built"
    assert warehouse.sql("select count(*) from analytics.a") == [(3,)]


def test_a_mended_model_builds_what_waited_for_it(warehouse):
    warehouse.write(a="select id / 0 as x, error('no') from shop.orders", b="from a")
    with pytest.raises(RunFailedError, match="`a` can't be built"):
        warehouse.build()
    warehouse.write(a="from shop.orders")
    assert warehouse.build() == {"a": "built", "b": "built"}


@pytest.mark.parametrize(
    ("sql", "hint"),
    [
        ("select *\nfrom shop.ordrs", "did you mean `shop.orders`?"),
        ("select *\nfrom orders", "did you mean `shop.orders`?"),
        ("select *\nfrom custmers", "did you mean `customers`?"),
        ("select *\nfrom zzz", "load it first, or correct the name"),
        (
            "select *\nfrom this",
            "`this` is the table of an incremental model: say `materialized: incremental` of `wrong`",
        ),
    ],
)
def test_an_unknown_table_stops_before_anything_is_built(warehouse, sql, hint):
    warehouse.write(customers="select 1", wrong=sql)
    with pytest.raises(InputError) as caught:
        warehouse.build()
    error = caught.value
    assert (error.reference, str(error.where), error.hint) == ("unknown-table", "models/wrong.sql:2", hint)
    assert warehouse.happened == {}


def test_a_view_that_lost_its_table_fails_the_model_that_reads_it(warehouse):
    warehouse.sql("create view shop.recent as select * from shop.orders")
    warehouse.write(a="select *\nfrom shop.recent", other="select 1")
    warehouse.build()
    warehouse.sql("drop table shop.orders")
    with pytest.raises(RunFailedError) as caught:
        warehouse.build()
    assert caught.value.what == "the model `a` can't be built"
    assert "Table with name orders does not exist" in str(caught.value.why)
    assert warehouse.happened["other"] == "skipped"


def test_a_table_nobody_modelled_is_not_replaced(warehouse):
    warehouse.sql("create schema analytics; create table analytics.precious as select 1")
    warehouse.write(precious="select 2")
    with pytest.raises(InputError) as caught:
        warehouse.build()
    assert caught.value.reference == "not-ours"
    assert warehouse.sql("from analytics.precious") == [(1,)]


def test_a_comment_behind_the_select_does_no_harm(warehouse):
    warehouse.write(a="-- first\nselect 1 as x -- last\n;\n-- really last")
    warehouse.build()
    assert warehouse.sql("from analytics.a") == [(1,)]


def test_a_cancelled_run_stops_in_the_middle_of_a_model(warehouse):
    warehouse.write(endless="select count(*) from range(100_000_000_000) a, range(1000) b")
    cancel = Cancel()
    timer = Timer(0.5, cancel.set, (15,))
    timer.start()
    with pytest.raises(CancelledError):
        warehouse.build(cancel=cancel)
    assert warehouse.sql("select count(*) from duckdb_tables() where schema_name = 'analytics'") == [(0,)]
