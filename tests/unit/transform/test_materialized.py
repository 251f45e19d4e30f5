"""What models become, in DuckDB and in PostgreSQL alike."""

from __future__ import annotations

import pytest

from headwater.base.errors import InputError, RunFailedError
from headwater.model.event import Lineage, ModelBuilt


def test_tables_and_views_are_built_and_built_again_only_when_something_changed(site):
    site.write(
        orders="select * from shop.orders",
        totals="select customer, sum(amount) as total from orders group by customer",
        models_yml="models: [{name: orders, materialized: view}]",
    )
    assert site.build() == {"orders": "success None", "totals": "success 2"}
    assert site.build() == {"orders": "skipped", "totals": "skipped"}
    site.sql("insert into shop.orders values (3, 'cem', 5)")
    assert site.build() == {"orders": "success None", "totals": "success 3"}
    (lineage,) = (event for event in site.events if isinstance(event, Lineage))
    assert {node.key: node.needs for node in lineage.nodes} == {
        "source.shop.orders": (),
        "model.orders": ("source.shop.orders",),
        "model.totals": ("model.orders",),
    }


def test_a_table_is_swapped_also_when_views_of_ours_read_it(site):
    site.write(a="select * from shop.orders", v="select * from a", models_yml="models: [{name: v, materialized: view}]")
    site.build()
    site.write(a="select id, 1 as one from shop.orders")
    assert site.build() == {"a": "success 2", "v": "success None"}
    assert site.sql("select * from analytics.v order by id") == [(1, 1), (2, 1)]


def test_an_incremental_model_takes_only_the_lines_for_new_rows_once_its_table_stands(site):
    site.write(
        orders="select id, amount from shop.orders\nwhere id > (select max(id) from this) -- incremental\n",
        models_yml="models: [{name: orders, materialized: incremental}]",
    )
    assert site.build() == {"orders": "success 2"}
    site.sql("update shop.orders set amount = 99 where id = 1; insert into shop.orders values (3, 'cem', 5)")
    assert site.build() == {"orders": "success 1"}
    assert site.sql("select id, amount from analytics.orders order by id") == [(1, 10), (2, 20), (3, 5)]
    assert site.build(full_refresh=True) == {"orders": "success 3"}
    assert site.sql("select amount from analytics.orders where id = 1") == [(99,)]


def test_rows_of_an_incremental_model_replace_those_of_the_same_key_and_columns_are_added(site):
    site.write(
        orders="select id, amount from shop.orders",
        models_yml="models: [{name: orders, materialized: incremental, unique_key: id}]",
    )
    site.build()
    site.sql("delete from shop.orders where id = 1; update shop.orders set amount = 21")
    site.write(orders="select id, amount, customer from shop.orders")
    assert site.build() == {"orders": "success 1"}
    assert site.sql("select * from analytics.orders order by id") == [(1, 10, None), (2, 21, "bob")]


def test_a_changed_type_of_an_incremental_model_is_refused(site):
    site.write(
        orders="select id, amount from shop.orders",
        models_yml="models: [{name: orders, materialized: incremental, unique_key: id}]",
    )
    site.build()
    site.write(orders="select id, cast(amount as text) as amount from shop.orders")
    with pytest.raises(RunFailedError) as caught:
        site.build()
    assert (caught.value.reference, str(caught.value.where)) == ("type-changed", "models/orders.sql:1")
    assert site.sql("select sum(amount) from analytics.orders") == [(30,)]


def test_a_snapshot_keeps_every_version_of_a_row(site):
    site.write(
        history="select id, amount from shop.orders",
        models_yml="models: [{name: history, materialized: snapshot, unique_key: id}]",
    )
    assert site.build() == {"history": "success 2"}
    site.sql("update shop.orders set amount = 11 where id = 1; delete from shop.orders where id = 2")
    assert site.build() == {"history": "success 1"}
    assert site.build() == {"history": "skipped"}
    shown = "select id, amount, __valid_to is null, __valid_from < coalesce(__valid_to, now()) from analytics.history"
    assert site.sql(f"{shown} order by id, __valid_from") == [
        (1, 10, False, True),
        (1, 11, True, True),
        (2, 20, False, True),
    ]
    site.sql("insert into shop.orders values (2, 'bob', 20)")
    site.build()
    overlaps = "a.id = b.id and a.__valid_from < b.__valid_from and b.__valid_from < coalesce(a.__valid_to, now())"
    assert site.sql(f"select count(*) from analytics.history a join analytics.history b on {overlaps}") == [(0,)]
    assert site.sql("select count(*) from analytics.history where id = 2") == [(2,)]


def test_a_snapshot_by_its_column_of_changes_dates_versions_with_it_and_may_keep_what_is_gone(site):
    site.sql(
        "alter table shop.orders add column seen timestamp; update shop.orders set seen = timestamp '2024-01-01 10:00'"
    )
    by = "updated_at: seen, keep_deleted: true"
    site.write(
        history="select id, amount, seen from shop.orders",
        models_yml=f"models: [{{name: history, materialized: snapshot, unique_key: id, {by}}}]",
    )
    site.build()
    site.sql("delete from shop.orders where id = 2; update shop.orders set seen = timestamp '2024-02-01', amount = 0")
    site.build()
    days = "cast(__valid_from as date)::text, cast(__valid_to as date)::text"
    assert site.sql(f"select id, amount, {days} from analytics.history order by id, __valid_from") == [
        (1, 10, "2024-01-01", "2024-02-01"),
        (1, 0, "2024-02-01", None),
        (2, 20, "2024-01-01", None),
    ]


def test_a_snapshot_without_a_true_key_is_refused(site):
    site.write(
        history="select amount / 100 as amount, id from shop.orders",
        models_yml="models: [{name: history, materialized: snapshot, unique_key: amount}]",
    )
    if site.native == "duckdb":
        site.write(history="select amount // 100 as amount, id from shop.orders")
    with pytest.raises(RunFailedError) as caught:
        site.build()
    assert (caught.value.reference, caught.value.why) == ("bad-key", "2 rows with amount = 0")


def test_seeds_are_tables_whose_types_change_no_value(site):
    site.write(
        countries_csv='code,name,since,share\n007,"Bond, James",2024-01-31,1.5\n,"",,2\n',
        names="select name from countries",
        models_yml="seeds: [{name: countries, columns: [{name: share, type: decimal}]}]",
    )
    assert site.build() == {"countries": "success 2", "names": "success 2"}
    assert site.sql("select code, name, since::text, share * 2 = 3 from countries order by code") == [
        ("007", "Bond, James", "2024-01-31", True),
        (None, "", None, False),
    ]
    assert set(site.build().values()) == {"skipped"}
    site.write(countries_csv="code,name,since,share\n8,x,,1\n")
    assert site.build() == {"countries": "success 1", "names": "success 1"}


def test_a_python_model_gets_tables_and_returns_one(site):
    site.write(
        big="select * from shop.orders where amount > 10",
        doubled_py="def model(big, every='shop.orders', few='select id from shop.orders where id = 1'):\n"
        "    assert (big.num_rows, every.num_rows, few.num_rows) == (1, 2, 1)\n"
        "    return every.append_column('twice', [[v * 2 for v in every['amount'].to_pylist()]])\n",
        rows_py="def model(doubled):\n    return [{'id': 1, 'tags': ['a']}, {'id': None, 'tags': None}]\n",
    )
    assert site.build() == {"big": "success 1", "doubled": "success 2", "rows": "success 2"}
    assert site.sql("select id, customer, amount, twice from doubled order by id") == [
        (1, "ann", 10, 20),
        (2, "bob", 20, 40),
    ]
    assert site.build() == {"big": "skipped", "doubled": "skipped", "rows": "skipped"}


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("def model(orders):\n    return 1\n", "", "yields what can't be loaded: `model` returns a `int`, and not"),
        ("import pyarrow as pa\n\ndef model():\n    return pa.table({})\n", ":1", "`made` returns no columns"),
        ("def model():\n    return 1 / 0\n", ":2", "failed in `model`: ZeroDivisionError: division by zero"),
        ("import nopackage\n\ndef model():\n    return 1\n", ":1", "needs the package `nopackage`"),
    ],
)
def test_what_can_be_wrong_with_a_python_model_is_said_with_its_line(site, text, where, what):
    site.write(orders="select 1 as x", made_py=text)
    with pytest.raises((InputError, RunFailedError)) as caught:
        site.build()
    assert what in caught.value.what
    assert str(caught.value.where) == f"models/made.py{where}"


def test_a_failing_model_says_its_line_and_stops_only_what_needs_it(site):
    site.write(a="select id,\n  amont\nfrom shop.orders", b="select * from a", other="select 1 as x")
    with pytest.raises(RunFailedError) as caught:
        site.build()
    assert (str(caught.value.where), "amont" in str(caught.value.why)) == ("models/a.sql:2", True)
    assert [event.model for event in site.events if isinstance(event, ModelBuilt) and event.outcome == "success"] == [
        "other"
    ]


def test_many_models_at_a_time_come_in_the_order_of_what_they_read(site):
    site.write(**{f"a{n}": "select * from shop.orders" for n in range(12)})
    site.write(**{f"b{n}": f"select * from a{n} union all select * from a{(n + 1) % 12}" for n in range(12)})
    site.write(c=" union all ".join(f"select * from b{n}" for n in range(12)))
    assert site.build()["c"] == "success 48"
    assert set(site.build().values()) == {"skipped"}


def test_a_select_without_columns_is_refused(site):
    site.write(empty="select\nfrom shop.orders")
    with pytest.raises((InputError, RunFailedError)) as caught:
        site.build()
    assert (caught.value.reference, str(caught.value.where)) == ("no-columns", "models/empty.sql:1")
