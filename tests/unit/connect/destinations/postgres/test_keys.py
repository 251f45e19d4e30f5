"""Keys that are too long for an index are told apart by their hash."""

from __future__ import annotations

import datetime as dt
import hashlib
from decimal import Decimal

import pyarrow as pa
import pytest

from headwater.base.errors import InputError
from headwater.connect.contract import JSON_FIELD
from headwater.connect.destinations import staged
from headwater.connect.destinations.postgres import keys
from headwater.connect.destinations.postgres.tables import Column

TEXT = pa.schema([("id", pa.string()), ("n", pa.int64())])
LONG = "".join(hashlib.sha256(str(number).encode()).hexdigest() for number in range(100))


def rows(*names, n=1):
    return [{"id": name, "n": n} for name in names]


def indexes(shop, at="shop.users"):
    return sorted(
        one
        for (one,) in shop.sql(
            f"select regexp_replace(pg_get_indexdef(indexrelid), '^.* USING btree ', '') "
            f"|| case when indisprimary then ' primary' else '' end from pg_index where indrelid = '{at}'::regclass"
        )
    )


def test_a_table_has_the_hash_only_when_a_key_is_long(shop):
    shop.load(rows("a"), TEXT)
    assert indexes(shop) == ["(id) primary"]
    shop.load(rows("b", LONG), TEXT, run_id="run-2")
    assert indexes(shop) == ["(__key_hash) primary"]


def test_the_hash_is_that_of_mariadb(shop):
    columns = pa.schema(
        [("id", pa.string()), ("i", pa.int64()), ("d", pa.decimal128(5, 2)), ("b", pa.bool_()), ("x", pa.binary())]
    )
    shop.load(
        [{"id": f"{LONG}\\ü", "i": -7, "d": Decimal("1.5"), "b": True, "x": b"\x00\xff"}],
        columns,
        keys=("id", "i", "d", "b", "x"),
    )
    texts = [f"{LONG}\\ü".encode(), b"-7", b"1.50", b"1", b"\x00\xff"]
    expected = hashlib.sha256(".".join(one.hex().upper() for one in texts).encode()).digest()
    assert shop.sql("select __key_hash from shop.users") == [(expected,)]


KINDS = [
    (pa.float64(), 0.0, 2.5),
    (pa.date32(), dt.date(2024, 2, 29), dt.date(2024, 3, 1)),
    (pa.time64("us"), dt.time(1, 2, 3, 4), dt.time(1, 2, 3, 5)),
    (pa.timestamp("us", "UTC"), dt.datetime(2024, 1, 1, tzinfo=dt.UTC), dt.datetime(2024, 1, 2, tzinfo=dt.UTC)),
    (pa.bool_(), True, False),
    (pa.decimal128(38, 10), Decimal("1.5"), Decimal("1.50001")),
]


@pytest.mark.parametrize(("kind", "one", "other"), KINDS, ids=[str(kind) for kind, *_ in KINDS])
def test_a_key_of_each_type_beside_a_long_one(shop, kind, one, other):
    columns = pa.schema([("id", pa.string()), ("k", kind), ("n", pa.int64())])
    for number in (1, 2):
        sent = [{"id": LONG, "k": value, "n": number} for value in (one, other)]
        shop.load(sent, columns, keys=("id", "k"), run_id=f"run-{number}")
    assert shop.sql("select count(*), min(n) from shop.users") == [(2, 2)]


def test_numbers_that_are_equal_have_the_same_hash(shop):
    columns = pa.schema([("id", pa.string()), ("f", pa.float64()), ("d", pa.decimal128(10, 4)), ("n", pa.int64())])
    shop.sql("create schema shop")
    shop.sql(
        "create table shop.users (id varchar, f double precision, d numeric, n bigint, primary key (id, f, d)); "
        f"insert into shop.users values ('{LONG[:200]}', -0.0, 1.50, 1), ('a', 0, 100, 1)"
    )
    sent = [
        {"id": LONG[:200], "f": 0.0, "d": Decimal("1.5"), "n": 2},
        {"id": "a", "f": -0.0, "d": Decimal(100), "n": 2},
    ]
    shop.load([*sent, {"id": LONG, "f": 1.0, "d": Decimal(1), "n": 3}], columns, keys=("id", "f", "d"))
    assert shop.sql("select n, count(*) from shop.users group by 1 order by 1") == [(2, 2), (3, 1)]


def test_a_session_that_writes_numbers_and_moments_otherwise_changes_no_hash(shop):
    columns = pa.schema([("id", pa.string()), ("f", pa.float64()), ("t", pa.timestamp("us", "UTC"))])
    shop.load([{"id": LONG, "f": 0.1, "t": dt.datetime(2024, 1, 1, tzinfo=dt.UTC)}], columns, keys=("id", "f", "t"))
    before = shop.sql("select __key_hash from shop.users")
    shop.sql("set extra_float_digits = -15; set timezone = 'Asia/Tokyo'; update shop.users set f = f, t = t")
    assert shop.sql("select __key_hash from shop.users") == before


def test_a_table_of_others_keeps_its_primary_key(shop):
    shop.sql("create schema shop")
    shop.sql("create table shop.users (no int generated always as identity primary key, id text unique, n bigint)")
    shop.load(rows("a"), TEXT)
    shop.load(rows("a", LONG, n=2), TEXT, run_id="run-2")
    assert indexes(shop) == ["(__key_hash)", "(no) primary"]
    assert shop.sql("select no, n from shop.users where id = 'a'") == [(1, 2)]


def test_a_table_that_others_refer_to_by_its_key_stays_as_it_is(shop):
    shop.load(rows("a"), TEXT)
    shop.sql("create table shop.theirs (user_id text references shop.users (id))")
    with pytest.raises(InputError) as caught:
        shop.load(rows("b", LONG), TEXT, run_id="run-2")
    assert caught.value.reference == "unsupported-change"
    assert caught.value.why == (
        "its keys are too long for an index, and their hash can't take their place: cannot drop constraint users_pkey "
        "on table shop.users because other objects depend on it"
    )
    assert shop.sql("select id from shop.users") == [("a",)]
    shop.load(rows("b"), TEXT, run_id="run-3")


def test_a_table_with_rows_that_have_no_key_stays_as_it_is(shop):
    shop.sql("create schema shop")
    shop.sql("create table shop.users (id text unique, n bigint); insert into shop.users values (null, 1)")
    with pytest.raises(InputError) as caught:
        shop.load(rows(LONG), TEXT)
    assert caught.value.why == "its keys are too long for an index, and `shop.users` has rows without one"
    assert shop.sql("select id, n from shop.users") == [(None, 1)]


def test_a_source_may_have_a_column_of_that_name(shop):
    columns = pa.schema([("id", pa.string()), ("__key_hash", pa.string())])
    shop.load([{"id": LONG, "__key_hash": "theirs"}], columns)
    assert shop.sql("select __key_hash__379cb782 from shop.users") == [("theirs",)]


def test_views_see_the_table_go_on(shop):
    shop.load(rows("a"), TEXT)
    shop.sql("create view shop.seen as select * from shop.users")
    shop.load(rows("a", LONG, n=2), TEXT, run_id="run-2")
    assert shop.sql("select count(*), min(n) from shop.seen") == [(2, 2)]


def test_two_keys_of_one_hash_would_end_the_load(shop):
    """As near as a test comes to it: the column is given another definition."""
    shop.load(rows(LONG), TEXT)
    shop.sql("alter table shop.users drop column __key_hash")
    shop.sql(
        "alter table shop.users add __key_hash bytea generated always as "
        "(sha256(decode(left(id, 5), 'escape'))) stored primary key"
    )
    with pytest.raises(Exception, match="does not fit"):
        shop.load(rows(LONG + "other", n=2), TEXT, run_id="run-2")
    assert shop.sql("select id, n from shop.users") == [(LONG, 1)]


@pytest.mark.parametrize("before", [[], ["a"], [LONG + "0"]], ids=["new", "short", "long"])
def test_long_keys_are_sent_ahead(shop, monkeypatch, before):
    monkeypatch.setattr(staged, "PORTION_BYTES", 1)
    if before:
        shop.load(rows(*before), TEXT)
    session = shop.open("run-2")
    shop.send(session, rows("b"), TEXT)
    shop.send(session, rows(LONG, LONG + "1"), TEXT)
    session.commit(b"1")
    shop.send(session, rows(LONG, n=2), TEXT)
    shop.send(session, rows("b", LONG + "1", n=3), TEXT)
    shop.send(session, rows("c", n=4), TEXT)
    receipt = session.commit(b"2", final=True)
    assert receipt.streams["users"].rows_in == 4
    found = shop.sql("select id, n from shop.users order by n, id")
    assert found == [*((name, 1) for name in before), (LONG, 2), (LONG + "1", 3), ("b", 3), ("c", 4)]


def column(sql, kind, metadata=None):
    return Column(source="k", name="k", type=pa.field("k", kind, metadata=metadata), sql_type=sql)


@pytest.mark.parametrize(
    ("columns", "values"),
    [
        ([column("text", pa.string())], [pa.array(["x", LONG[:2656]])]),
        (
            [column("text", pa.string()), column("bytea", pa.binary())],
            [pa.array([LONG[:1300]]), pa.array([b"x" * 1324])],
        ),
        ([column("jsonb", pa.string(), JSON_FIELD)], [pa.array(["[" + ",".join("1" * 220) + "]"])]),
        ([column("bigint", pa.int64())] * 31, [pa.array([2**63 - 1])] * 31),
        ([column("text", pa.string())] * 31, [pa.array([LONG[:54]])] * 31),
    ],
    ids=["text", "two", "jsonb", "numbers", "texts"],
)
def test_what_is_said_to_fit_an_index_does(shop, columns, values):
    assert not keys.are_too_long(columns, values)
    schema = pa.schema(
        [pa.field(f"k{number}", one.type.type, metadata=one.type.metadata) for number, one in enumerate(columns)]
    )
    row = {field.name: array[-1].as_py() for field, array in zip(schema, values, strict=True)}
    shop.load([row], schema, keys=tuple(schema.names), settings={"load_method": "history"})
    assert len(indexes(shop)) == 2


def test_what_is_longer_is_said_to_be(shop):
    assert keys.are_too_long([column("text", pa.string())], [pa.array([LONG[:2657]])])
    assert keys.are_too_long([column("jsonb", pa.string(), JSON_FIELD)], [pa.array(["1" * 500])])
    assert keys.are_too_long([column("text", pa.string())] * 32, [pa.array([""])] * 32)
    assert not keys.are_too_long([column("text", pa.string())], [pa.array([], pa.string())])
