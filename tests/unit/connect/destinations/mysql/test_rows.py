"""Values and keys as MariaDB would bend them, and as they have to be."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal

import pyarrow as pa
import pytest

from headwater.base.errors import RunFailedError
from headwater.connect.contract import JSON_FIELD, Rows, Schema
from headwater.connect.destinations.mysql import connection

KEYED = pa.schema([("id", pa.string()), ("n", pa.int64())])
ALIKE = ["A", "a", "a ", "á", "a\u0301", "", " ", "a\0"]


@pytest.fixture(params=["load data", "insert"])
def either_way(request, mariadb):
    mariadb.sql(f"set global local_infile = {int(request.param == 'load data')}")
    yield
    mariadb.sql("set global local_infile = 1")


@pytest.mark.usefixtures("either_way")
def test_keys_that_collations_take_for_one_are_several_rows(shop):
    for round_ in range(2):
        rows = [{"id": key, "n": n + round_} for n, key in enumerate(ALIKE)]
        shop.load(rows, KEYED, run_id=f"run-{round_}")
    assert dict(shop.sql("select id, n from users")) == {key: n + 1 for n, key in enumerate(ALIKE)}
    assert shop.type_of("id") == "varchar(255)"


@pytest.mark.usefixtures("either_way")
def test_keys_too_long_for_an_index_are_kept_apart_by_their_hash(shop):
    shop.load([{"id": "a", "n": 1}], KEYED)
    long = "x" * 5000
    rows = [{"id": long + "y", "n": 2}, {"id": long + "z", "n": 3}, {"id": long + "y", "n": 4}, {"id": "a ", "n": 5}]
    shop.load(rows, KEYED, run_id="run-2")
    shop.load([{"id": "a", "n": 6}, {"id": long + "z", "n": 7}], KEYED, run_id="run-3")
    assert dict(shop.sql("select id, n from users")) == {"a": 6, "a ": 5, long + "y": 4, long + "z": 7}
    assert shop.type_of("id") == "longtext"
    assert shop.type_of("__key_hash") == "binary(32)"


def test_a_hash_keeps_composite_keys_apart(shop):
    columns = pa.schema([("id", pa.string()), ("b", pa.string()), ("n", pa.int64())])
    long = "x" * 400
    rows = [{"id": long, "b": "y", "n": 1}, {"id": long + "y", "b": "", "n": 2}, {"id": long + ".", "b": "y", "n": 3}]
    for run in ("run-1", "run-2"):
        shop.load(rows, columns, keys=("id", "b"), run_id=run)
    assert shop.sql("select n from users order by n") == [(1,), (2,), (3,)]


@pytest.mark.usefixtures("either_way")
def test_every_byte_and_every_sign_comes_back(shop):
    columns = pa.schema([("id", pa.int64()), ("b", pa.binary()), ("t", pa.string())])
    text = "".join(map(chr, range(256))) + "\u2028😈\\N'\"`%s\\"
    rows = [
        {"id": 1, "b": bytes(range(256)), "t": text},
        {"id": 2, "b": b"", "t": ""},
        {"id": 3, "b": None, "t": None},
        {"id": 4, "b": b"\\N", "t": "\\N"},
        {"id": 5, "b": b"NULL", "t": "NULL"},
    ]
    shop.load(rows, columns)
    assert shop.sql("select id, b, t from users order by id") == [tuple(row.values()) for row in rows]


NUMBERS = [0.1, 1.005, 1e300, 5e-324, -0.0, 1.7976931348623157e308, 123456789.12345679, 2.5e-7, 1e16]


@pytest.mark.usefixtures("either_way")
def test_numbers_come_back_exactly(shop):
    columns = pa.schema([("id", pa.int64()), ("f", pa.float64()), ("d", pa.decimal128(38, 30))])
    decimals = [Decimal(text) for text in ("1E-30", "-99999999.999999999999999999999999999999", "0", "1.005")]
    rows = [{"id": n, "f": number, "d": decimals[n % len(decimals)]} for n, number in enumerate(NUMBERS)]
    shop.load(rows, columns)
    found = shop.sql("select f, d from users order by id")
    assert [f for f, _ in found] == NUMBERS
    assert [d for _, d in found] == [row["d"] for row in rows]


def test_decimals_finer_than_the_server_has_are_text(shop):
    columns = pa.schema([("id", pa.int64()), ("d", pa.decimal128(38, 37))])
    shop.load([{"id": 1, "d": Decimal("1e-37")}], columns)
    assert shop.sql("select d from users") == [("0.0000000000000000000000000000000000001",)]


def test_a_year_that_the_server_does_not_have_makes_the_column_text(shop):
    columns = pa.schema([("id", pa.int64()), ("at", pa.timestamp("us", "UTC"))])
    shop.load([{"id": 1, "at": dt.datetime(2024, 1, 31, 10, tzinfo=dt.UTC)}], columns)
    beyond = pa.record_batch([pa.array([2]), pa.array([253402300800000000], pa.timestamp("us", "UTC"))], schema=columns)
    session = shop.open("run-2")
    session.prepare(Schema(stream="users", columns=columns, keys=("id",)))
    session.stage(Rows(stream="users", batch=beyond))
    receipt = session.commit(None)
    assert [(one.change, one.detail) for one in receipt.changes] == [("column-widened", "datetime(6) → longtext")]
    assert shop.sql("select `at` from users order by id") == [
        ("2024-01-31T10:00:00.000000Z",),
        ("10000-01-01T00:00:00.000000Z",),
    ]


def test_deep_json_is_taken(shop):
    columns = pa.schema([pa.field("id", pa.int64()), pa.field("v", pa.string(), metadata=JSON_FIELD)])
    deep = "[" * 90 + "]" * 90
    shop.load([{"id": 1, "v": deep}], columns)
    assert shop.sql("select v from users") == [(deep,)]
    shop.load([{"id": 2, "v": json.dumps({"a": "\\n\n"})}], columns, run_id="run-2")
    assert shop.sql("select json_value(v, '$.a') from users where id = 2") == [("\\n\n",)]


def test_a_row_larger_than_a_packet_is_refused_before_it_is_sent(shop):
    shop.server.sql("set global max_allowed_packet = 1048576")
    try:
        with pytest.raises(RunFailedError) as caught:
            shop.load([{"id": 1, "name": "x" * 1_500_000}], state=b"1")
    finally:
        shop.server.sql("set global max_allowed_packet = 16777216")
    assert caught.value.reference == "row-too-large"
    assert caught.value.hint == "raise the limit at the server: set global max_allowed_packet = 2097152"
    assert shop.open("run-2").checkpoint() is None


def test_ten_megabytes_in_one_text(shop):
    shop.load([{"id": 1, "name": "ä" * 5_000_000}])
    assert shop.sql("select char_length(name), length(name) from users") == [(5_000_000, 10_000_000)]


def test_a_value_that_a_table_of_others_would_change_is_refused(shop):
    shop.sql("create table users (id bigint primary key, name varchar(3) character set utf8mb4) engine = InnoDB")
    with pytest.raises(RunFailedError) as caught:
        shop.load([{"id": 1, "name": "abcd"}], state=b"1")
    assert caught.value.reference == "value-rejected"
    assert caught.value.why == "the row with id=1: Data truncated for column 'name' at row 1"
    assert shop.sql("select * from users") == []


def test_zero_is_a_key_and_not_the_next_number(shop):
    shop.sql("create table users (id bigint primary key auto_increment, name longtext character set utf8mb4)")
    shop.load([{"id": 0, "name": "zero"}])
    assert shop.sql("select id from users") == [(0,)]


def test_a_server_that_asks_for_a_file_gets_none(shop):
    shop.sql("create table stolen (line text)")
    session = shop.open()
    secret = shop.folder / "secret"
    secret.write_text("secret\n")
    with pytest.raises(RuntimeError, match="LOAD_LOCAL"):
        session.writer.connected().run(f"load data local infile '{secret}' into table shop.stolen")
    session.close()
    assert shop.sql("select * from stolen") == []


def test_what_is_sent_is_never_the_file_that_the_server_names(shop):
    shop.sql("create table stolen (line text)")
    session = shop.open()
    statement = "load data local infile '/etc/passwd' into table shop.stolen"
    assert session.writer.connected().run_exactly(statement, [b"ours\n"]) == 1
    with pytest.raises(connection.UnfitError):
        session.writer.connected().run_exactly("insert ignore into shop.stolen select repeat('x', 70000)")
    assert shop.sql("select line from stolen limit 1") == [("ours",)]


def test_a_server_that_makes_loads_slow_or_narrow_is_told(shop, mariadb):
    ((packet,),) = mariadb.sql("select @@global.max_allowed_packet")
    shop.open().close()
    assert shop.notices == []
    mariadb.sql("set global local_infile = 0")
    mariadb.sql("set global max_allowed_packet = 4194304")
    try:
        shop.open().close()
    finally:
        mariadb.sql("set global local_infile = 1")
        mariadb.sql(f"set global max_allowed_packet = {packet}")
    slow, narrow = shop.notices
    assert slow == (
        "the server takes no LOAD DATA LOCAL, so rows go by INSERT, which takes half as long again; "
        "to allow it: set global local_infile = 1"
    )
    assert narrow == (
        "the server lets rows of at most 4,194,304 bytes through, and a longer one ends the load; "
        "to let more through: set global max_allowed_packet = 16777216"
    )
