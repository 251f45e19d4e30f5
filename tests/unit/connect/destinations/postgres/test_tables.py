"""Tables as they are found, and as they become."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pytest

from headwater.base.errors import EnvironmentProblemError, InputError, RunFailedError
from headwater.connect.contract import JSON_FIELD


def columns(**of):
    return pa.schema([("id", pa.int64()), *of.items()])


def refused(shop, *args, **more):
    with pytest.raises(InputError) as caught:
        shop.load(*args, run_id="run-2", **more)
    assert caught.value.reference == "unsupported-change"
    return caught.value


def test_a_new_table_has_the_keys_as_its_primary_key(shop):
    receipt = shop.load([{"id": 1, "name": "a"}])
    assert [(one.change, one.detail) for one in receipt.changes] == [("table-created", "shop.users")]
    assert shop.sql(
        "select pg_get_constraintdef(oid) from pg_constraint where conrelid = 'shop.users'::regclass and contype = 'p'"
    ) == [("PRIMARY KEY (id)",)]


def test_long_names_are_cut_at_a_character_and_kept_apart(shop):
    first, second = "é" * 35 + "x", "é" * 35 + "y"
    for run in ("run-1", "run-2"):
        shop.load(
            [{"id": 1, first: "1", second: "2"}], columns(**{first: pa.string(), second: pa.string()}), run_id=run
        )
    names = [name for (name,) in shop.sql("select column_name from _headwater.columns where column_name <> 'id'")]
    assert len(set(names)) == 2
    assert all(len(name.encode()) <= 63 and name.startswith("é" * 20) for name in names)
    assert shop.sql(f'select "{names[0]}", "{names[1]}" from shop.users') in ([("1", "2")], [("2", "1")])


def test_names_of_system_columns_and_of_ours_get_others(shop):
    taken = ["ctid", "xmin", "tableoid", "__loaded_at", "__deleted_at", "__ordinal"]
    shop.load([{"id": 1, **dict.fromkeys(taken, "x")}], columns(**dict.fromkeys(taken, pa.string())))
    found = dict(shop.sql("select source_name, column_name from _headwater.columns where source_name <> 'id'"))
    assert set(found) == set(taken)
    assert not set(found.values()) & set(taken)


def test_a_name_with_nul_is_the_same_column_every_time(shop):
    for run in ("run-1", "run-2", "run-3"):
        shop.load([{"id": 1, "a\0b": "x"}], columns(**{"a\0b": pa.string()}), run_id=run)
    assert shop.sql("select count(*) from _headwater.columns") == [(2,)]


def test_a_fraction_is_never_rounded_into_an_integer(shop):
    shop.load([{"id": 1, "v": 1}], columns(v=pa.int64()))
    shop.load([{"id": 2, "v": Decimal("1.5")}], columns(v=pa.decimal128(10, 1)), run_id="run-2")
    assert shop.type_of("v") == "numeric(20,1)"
    assert shop.sql("select v from shop.users order by id") == [(Decimal("1.0"),), (Decimal("1.5"),)]


def test_a_stored_value_that_would_not_survive_makes_the_column_text(shop):
    shop.load([{"id": 1, "v": 2**53 + 1}], columns(v=pa.int64()))
    shop.load([{"id": 2, "v": 0.5}], columns(v=pa.float64()), run_id="run-2")
    assert shop.sql("select v from shop.users order by id") == [("9007199254740993",), ("0.5",)]


def test_a_view_on_a_column_that_would_have_to_change_is_named_and_nothing_is_done(shop):
    shop.load([{"id": 1, "v": 1}], columns(v=pa.int64()), state=b"1")
    shop.sql("create view shop.report as select v from shop.users")
    error = refused(shop, [{"id": 2, "v": 0.5, "w": 1}], columns(v=pa.float64(), w=pa.int64()), state=b"2")
    assert error.why == "bigint can't become double precision: `shop.report` uses it"
    assert error.hint.endswith("drop view shop.report")
    assert shop.type_of("v") == "bigint"
    assert shop.sql("select * from shop.report") == [(1,)]
    assert shop.open("run-3").checkpoint() == b"1"


def test_a_view_does_not_mind_new_columns_and_replaced_content(shop):
    shop.load([{"id": 1, "name": "a"}])
    shop.sql("create view shop.report as select id from shop.users")
    shop.load([{"id": 2, "v": 1}], columns(v=pa.int64()), run_id="run-2", replace=True)
    assert shop.sql("select * from shop.report") == [(2,)]


def test_a_column_that_somebody_dropped_comes_back(shop):
    session = shop.open()
    shop.send(session, [{"id": 1, "name": "a"}])
    session.commit(b"1")
    shop.sql("alter table shop.users drop column name")
    shop.send(session, [{"id": 2, "name": "b"}])
    assert [one.change for one in session.commit(b"2").changes] == ["column-added"]
    assert shop.sql("select id, name from shop.users order by id") == [(1, None), (2, "b")]


def test_a_table_that_somebody_dropped_comes_back(shop):
    session = shop.open()
    shop.send(session, [{"id": 1, "name": "a"}])
    session.commit(b"1")
    shop.sql("drop table shop.users")
    shop.send(session, [{"id": 2, "name": "b"}])
    session.commit(b"2")
    assert shop.sql("select id, name from shop.users") == [(2, "b")]


def test_a_column_that_has_to_be_sent_is_reported_before_a_row_is_loaded(shop):
    shop.load([{"id": 1, "name": "a"}])
    shop.sql("alter table shop.users add column tenant int not null default 1")
    shop.load([{"id": 2, "name": "a default will do"}], run_id="run-2")
    shop.sql("alter table shop.users alter column tenant drop default")
    error = refused(shop, [{"id": 2, "name": "b"}])
    assert (error.what.split("`")[1], error.why) == ("tenant", "the column is NOT NULL and the source does not send it")


def test_other_keys_than_before_are_refused(shop):
    shop.load([{"id": 1, "name": "a"}])
    assert refused(shop, [{"id": 1, "name": "a"}], keys=("name",)).why == "the key was (id) and is now (name)"


def test_replaced_content_may_have_other_keys(shop):
    shop.load([{"id": 1, "name": "a"}])
    shop.load([{"id": 1, "name": "a"}, {"id": 1, "name": "b"}], keys=("name",), run_id="run-2", replace=True)
    shop.load([{"id": 2, "name": "b"}], keys=("name",), run_id="run-3")
    assert shop.sql("select id, name from shop.users order by name") == [(1, "a"), (2, "b")]


def test_a_table_of_others_needs_a_unique_index(shop):
    shop.sql("create schema shop")
    shop.sql("create table shop.users (id bigint, name varchar(40))")
    error = refused(shop, [{"id": 1, "name": "a"}])
    assert error.why == '`shop.users` has no unique index on ("id")'
    assert error.hint == 'create unique index on "shop"."users" ("id")'
    shop.sql(error.hint)
    shop.load([{"id": 1, "name": "a" * 50}])


def test_a_table_of_another_loader_is_taken_over(shop):
    shop.sql("create schema shop")
    shop.sql(
        "create table shop.users (id bigint primary key, amount numeric, at timestamp, details json, note varchar, "
        "_sdc_batched_at timestamp)"
    )
    shop.sql("insert into shop.users values (1, 0.1, '2026-01-01', '{}', 'old', now())")
    wanted = columns(
        amount=pa.decimal128(38, 18),
        at=pa.timestamp("us", "UTC"),
        note=pa.string(),
    ).append(pa.field("details", pa.string(), metadata=JSON_FIELD))
    new = {"amount": Decimal("1.25"), "at": dt.datetime(2026, 2, 1, 12, tzinfo=dt.UTC), "details": "[1]", "note": "new"}
    shop.load([{"id": 1, **new}, {"id": 2, **new}], wanted)
    assert [shop.type_of(name) for name in ("amount", "at", "details", "note")] == [
        "numeric",
        "timestamp without time zone",
        "json",
        "character varying",
    ]
    same = (Decimal("1.25"), dt.datetime(2026, 2, 1, 12), [1], "new")  # noqa: DTZ001 - the column has no zone
    assert shop.sql("select amount, at, details, note from shop.users order by id") == [same, same]
    assert shop.sql("select id from shop.users where _sdc_batched_at is null") == [(2,)]


def test_what_is_not_a_table_is_not_loaded_into(shop):
    shop.sql("create schema shop")
    shop.sql("create view shop.users as select 1 as id")
    assert refused(shop, [{"id": 1, "name": "a"}]).why == "`shop.users` is a view"


def test_schemas_of_the_database_are_not_loaded_into(shop):
    for schema in ("pg_catalog", "_headwater", "information_schema"):
        with pytest.raises(InputError) as caught:
            shop.open(default_target_schema=schema)
        assert caught.value.reference == "reserved-schema"


def test_a_table_with_too_many_columns_is_refused_at_once(shop):
    many = columns(**{f"c{number}": pa.int64() for number in range(1600)})
    with pytest.raises(InputError) as caught:
        shop.load([], many)
    assert caught.value.reference == "too-many-columns"


def test_books_of_a_later_release_are_left_alone(shop):
    shop.load([{"id": 1, "name": "a"}])
    shop.sql("update _headwater.format set version = 99")
    with pytest.raises(EnvironmentProblemError) as caught:
        shop.open("run-2")
    assert caught.value.reference == "warehouse-newer"


def test_a_rule_of_the_table_that_a_value_breaks(shop):
    shop.load([{"id": 1, "name": "a"}])
    shop.sql("alter table shop.users add check (name <> 'bad')")
    with pytest.raises(RunFailedError) as caught:
        shop.load([{"id": 2, "name": "bad"}], run_id="run-2")
    assert caught.value.reference == "value-rejected"
    assert 'violates check constraint "users_name_check"' in caught.value.why


def test_a_value_too_long_for_an_index_of_others(shop):
    shop.load([{"id": 1, "name": "a"}])
    shop.sql("create index on shop.users (name)")
    with pytest.raises(RunFailedError) as caught:
        shop.load([{"id": 1, "name": "".join(map(chr, range(0x4E00, 0x4E00 + 9000)))}], run_id="run-2")
    assert caught.value.reference == "value-rejected"
    assert caught.value.hint == (
        "an index that you made on `shop.users` can't hold so long a value: drop it, or index a hash of the column"
    )
