"""Tables that are there already, and columns that grow."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pytest

from headwater.base.errors import InputError
from headwater.connect import types
from headwater.connect.destinations.mysql.called import identifiers

USERS = pa.schema([("id", pa.int64()), ("name", pa.string())])
NOPAD = "character set utf8mb4 collate utf8mb4_nopad_bin"


@pytest.mark.parametrize(
    ("made", "why", "hint"),
    [
        (
            "create table users (id bigint primary key, name text character set utf8mb3)",
            "its character set utf8mb3 can't hold every text",
            "alter table `shop`.`users` convert to character set utf8mb4 collate utf8mb4_nopad_bin",
        ),
        (
            "create table users (id bigint primary key, name text character set utf8mb4) engine = MyISAM",
            "`shop.users` is a table of MyISAM, which has no transactions",
            "alter table `shop`.`users` engine = InnoDB",
        ),
        ("create view users as select 1 as id", "`shop.users` is a view", None),
        (
            "create table users (id bigint, name text character set utf8mb4)",
            "`shop.users` has no unique index on (`id`)",
            "alter table `shop`.`users` add unique key (`id`)",
        ),
        (
            "create table users (id bigint primary key, name varchar(9) character set utf8mb4 unique)",
            "`shop.users` has a second unique index, `name`, so an upsert could overwrite rows of other keys",
            "make it an ordinary one: alter table `shop`.`users` drop index `name`, add index …",
        ),
        (
            "create table users (id bigint primary key, age int not null)",
            "the column is NOT NULL and the source does not send it",
            "allow nulls: alter table `shop`.`users` modify `age` int null",
        ),
    ],
)
def test_what_a_table_of_others_can_not_hold_is_refused_before_a_row_is_loaded(shop, made, why, hint):
    shop.sql(made)
    with pytest.raises(InputError) as caught:
        shop.send(shop.open(), [])
    assert caught.value.reference == "unsupported-change"
    assert caught.value.why == why
    if hint:
        assert caught.value.hint == hint
    if hint and hint.startswith("alter"):
        shop.opened[-1].close()
        shop.sql(hint)
        shop.load([{"id": 1, "name": "😈"}])


def test_a_key_under_a_collation_that_merges_texts_is_refused(shop):
    shop.sql("create table users (id varchar(9) character set utf8mb4 collate utf8mb4_general_ci primary key)")
    columns = pa.schema([("id", pa.string())])
    with pytest.raises(InputError) as caught:
        shop.load([{"id": "a"}], columns)
    assert caught.value.hint == f"alter table `shop`.`users` modify `id` varchar(9) {NOPAD} not null"
    shop.sql(caught.value.hint)
    shop.load([{"id": "a"}, {"id": "A"}], columns)
    assert len(shop.sql("select * from users")) == 2


MOMENT = dt.datetime(2024, 1, 31, 10, 0, 0, 5, tzinfo=dt.UTC)
STORED = {
    "bool": [True, False],
    "int64": [-(2**63), 0, 7],
    "double": [0.5, 1e300, 1e-7, -2.0, 0.1 + 0.2, 5e-324, 1.7976931348623157e308],
    "date32[day]": [dt.date(1, 1, 1), dt.date(2024, 1, 31)],
    "time64[us]": [dt.time(1, 2, 3), dt.time(1, 2, 3, 4)],
    "timestamp[us, tz=UTC]": [MOMENT],
    "decimal128(10, 2)": [Decimal("1.50"), Decimal("-99999999.99")],
}
TYPES = {
    str(one): one
    for one in (
        types.BOOL,
        types.INT64,
        types.FLOAT64,
        types.DATE,
        types.TIME,
        types.TIMESTAMP,
        pa.decimal128(10, 2),
    )
}


@pytest.mark.parametrize("name", STORED)
def test_stored_values_become_the_text_that_new_ones_would(shop, name):
    def columns(of):
        return pa.schema([("id", pa.int64()), ("v", of)])

    values = STORED[name]
    shop.load([{"id": n, "v": value} for n, value in enumerate(values)], columns(TYPES[name]))
    shop.load([{"id": 99, "v": "text"}], columns(pa.string()), run_id="run-2")
    found = [text for (text,) in shop.sql("select v from users where id < 99 order by id")]
    if name == "double":
        assert [float(text) for text in found] == values
    else:
        assert found == types.cast(pa.array(values, TYPES[name]), pa.string()).to_pylist()


def grow(shop, before, after, values, more):
    shop.load([{"id": n, "v": value} for n, value in enumerate(values)], pa.schema([("id", pa.int64()), ("v", before)]))
    shop.load([{"id": 99, "v": more}], pa.schema([("id", pa.int64()), ("v", after)]), run_id="run-2")
    return shop.type_of("v"), [value for (value,) in shop.sql("select v from users order by id")]


def test_an_integer_becomes_a_double_when_every_stored_one_stays_exact(shop):
    assert grow(shop, pa.int64(), pa.float64(), [2**53], 0.5) == ("double", [2.0**53, 0.5])


def test_an_integer_that_a_double_can_not_hold_becomes_text(shop):
    assert grow(shop, pa.int64(), pa.float64(), [2**53 + 1], 0.5) == ("longtext", ["9007199254740993", "0.5"])


def test_a_double_becomes_a_decimal_when_exact(shop):
    found = grow(shop, pa.float64(), pa.decimal128(12, 3), [0.125, 1.005], Decimal("0.001"))
    assert found == ("decimal(12,3)", [Decimal("0.125"), Decimal("1.005"), Decimal("0.001")])


@pytest.mark.parametrize("stored", [0.0625, 1e20])
def test_a_double_that_a_decimal_can_not_hold_becomes_text(shop, stored):
    assert grow(shop, pa.float64(), pa.decimal128(12, 3), [stored], Decimal("0.001"))[0] == "longtext"


def test_a_decimal_grows_in_scale_and_size(shop):
    found = grow(shop, pa.decimal128(5, 1), pa.decimal128(12, 3), [Decimal("9999.9")], Decimal("0.001"))
    assert found == ("decimal(12,3)", [Decimal("9999.900"), Decimal("0.001")])


def test_a_date_becomes_a_moment(shop):
    day = dt.date(2024, 1, 31)
    found = grow(shop, pa.date32(), pa.timestamp("us", "UTC"), [day], MOMENT)
    assert found == ("datetime(6)", [dt.datetime(2024, 1, 31), MOMENT.replace(tzinfo=None)])  # noqa: DTZ001 - MariaDB's


@pytest.mark.parametrize("before", [pa.int64(), pa.timestamp("us", "UTC")], ids=str)
def test_a_key_that_becomes_text_stays_the_key(shop, before):
    first = 1 if before == pa.int64() else MOMENT
    text = "1" if before == pa.int64() else "2024-01-31T10:00:00.000005Z"
    shop.load([{"id": first, "n": 1}], pa.schema([("id", before), ("n", pa.int64())]))
    columns = pa.schema([("id", pa.string()), ("n", pa.int64())])
    shop.load([{"id": text, "n": 2}, {"id": "x", "n": 3}], columns, run_id="run-2")
    assert dict(shop.sql("select id, n from users")) == {text: 2, "x": 3}


def test_a_comment_and_not_null_survive_a_widening(shop):
    shop.sql(
        "create table users (id int not null primary key comment 'it''s a \\\\ key', name text character set utf8mb4)"
    )
    shop.load([{"id": 2**40, "name": "a"}])
    found = shop.sql(
        "select column_type, is_nullable, column_comment from information_schema.columns "
        "where table_schema = 'shop' and table_name = 'users' and column_name = 'id'"
    )
    assert found == [("bigint(20)", "NO", "it's a \\ key")]


def test_a_timestamp_column_gets_a_type_that_does_not_end_in_2038(shop):
    shop.sql("create table users (id bigint primary key, v timestamp null)")
    shop.load(
        [{"id": 1, "v": MOMENT.replace(year=2100)}], pa.schema([("id", pa.int64()), ("v", pa.timestamp("us", "UTC"))])
    )
    assert shop.type_of("v") == "datetime(6)"


def test_too_many_texts_for_a_row_are_refused_by_name(shop):
    columns = pa.schema([("id", pa.int64()), *((f"c{n}", pa.string()) for n in range(900))])
    with pytest.raises(InputError) as caught:
        shop.load([{"id": 1}], columns)
    assert caught.value.reference == "too-many-columns"


def test_names_that_the_server_does_not_take(shop):
    columns = pa.schema([(name, pa.int64()) for name in ("id", "😈", "😀", "end ", "end", "a\0b", "_headwater_x")])
    shop.load([dict.fromkeys(columns.names, 1)], columns, stream="_headwater_ledger")
    shop.load([dict.fromkeys(columns.names, 2)], columns, stream="_headwater_ledger", run_id="run-2", keys=("id",))
    ((table,),) = shop.sql("select table_name from _headwater_tables where stream = '_headwater_ledger'")
    assert table.startswith("__headwater_ledger_")
    assert len(shop.sql(f"select * from `{table}`")) == 2


def test_a_name_that_looks_like_what_another_became_stays_apart():
    taken = identifiers(["😈"], fold_case=True)["😈"]
    assert len(set(identifiers(["😈", taken], fold_case=True).values())) == 2
    assert len(set(identifiers(["😈"], fold_case=True, known={taken: taken}).values()) | {taken}) == 2
