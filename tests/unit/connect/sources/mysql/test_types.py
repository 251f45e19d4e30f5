"""Every type of a column, with the values at its edges, as DuckDB gets them."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal

import pyarrow as pa
import pytest

from headwater.base.errors import RunFailedError
from headwater.connect.contract import Rows
from headwater.connect.types import is_json

NINES = "9" * 35 + "." + "9" * 30
LONG = "x" * 70_000
# Declaration, its type in a stream, values in SQL and what becomes of them.
TYPES = [
    ("tinyint", "int64", {"-128": -128, "127": 127, "null": None}),
    ("tinyint unsigned", "int64", {"0": 0, "255": 255}),
    ("boolean", "bool", {"true": True, "0": False, "null": None}),
    ("smallint", "int64", {"-32768": -32768, "32767": 32767}),
    ("mediumint unsigned", "int64", {"16777215": 16777215}),
    ("int", "int64", {"-2147483648": -(2**31), "2147483647": 2**31 - 1, "null": None}),
    ("int unsigned", "int64", {"4294967295": 2**32 - 1}),
    ("int(8) zerofill", "int64", {"42": 42}),
    ("bigint", "int64", {"-9223372036854775808": -(2**63), "9223372036854775807": 2**63 - 1, "-1": -1}),
    ("bigint unsigned", "decimal128(20, 0)", {"18446744073709551615": Decimal(2**64 - 1), "null": None}),
    ("decimal(12,2)", "decimal128(12, 2)", {"-9999999999.99": Decimal("-9999999999.99"), "0.01": Decimal("0.01")}),
    ("decimal(18,0)", "decimal128(18, 0)", {"-999999999999999999": Decimal(-999999999999999999)}),
    ("decimal(18,18)", "decimal128(18, 18)", {"0.999999999999999999": Decimal("0.999999999999999999")}),
    ("decimal(38,30)", "decimal128(38, 30)", {f"12345678.{'1' * 30}": Decimal(f"12345678.{'1' * 30}"), "null": None}),
    ("decimal(65,30)", "string", {NINES: NINES, f"-{NINES}": f"-{NINES}"}),
    ("float", "double", {"0.1": 0.10000000149011612, "-3.4028234e38": -3.4028234663852886e38, "null": None}),
    (
        "double",
        "double",
        {"1.7976931348623157e308": 1.7976931348623157e308, "5e-324": 5e-324, "0.1": 0.1, "1/3e0": 1 / 3},
    ),
    ("double(10,2)", "double", {"1.25": 1.25}),
    ("bit(1)", "bool", {"1": True, "0": False, "null": None}),
    ("bit(9)", "int64", {"b'100000001'": 257}),
    ("bit(64)", "decimal128(20, 0)", {"18446744073709551615": Decimal(2**64 - 1), "null": None}),
    ("year", "int64", {"1901": 1901, "2155": 2155, "0": 0}),
    (
        "date",
        "date32[day]",
        {
            "'0001-01-31'": date(1, 1, 31),
            "'0001-01-01'": date(1, 1, 1),
            "'9999-12-31'": date(9999, 12, 31),
            "null": None,
        },
    ),
    ("time", "time64[us]", {"'00:00:00'": time(0), "'23:59:59'": time(23, 59, 59), "null": None}),
    ("time(6)", "time64[us]", {"'23:59:59.999999'": time(23, 59, 59, 999999)}),
    ("time(1)", "string", {"'838:59:59.0'": "838:59:59.0", "'-01:00:00'": "-01:00:00.0", "'10:11:12.5'": "10:11:12.5"}),
    (
        "datetime(6)",
        "timestamp[us, tz=UTC]",
        {
            "'0001-01-01'": datetime(1, 1, 1, tzinfo=UTC),
            "'9999-12-31 23:59:59.999999'": datetime(9999, 12, 31, 23, 59, 59, 999999, UTC),
            "'1969-12-31 23:59:59.000001'": datetime(1969, 12, 31, 23, 59, 59, 1, UTC),
            "null": None,
        },
    ),
    (
        "timestamp(3) null",
        "timestamp[us, tz=UTC]",
        {"'1970-01-01 00:00:01.5'": datetime(1970, 1, 1, 0, 0, 1, 500000, UTC), "null": None},
    ),
    ("char(5)", "string", {"'a '": "a", "''": "", "null": None}),
    ("varchar(50)", "string", {"'a '": "a ", "'日本🎈'": "日本🎈", "'a\\0b\\n'": "a\0b\n"}),
    ("varchar(50) character set latin1", "string", {"'é€'": "é€"}),
    ("varchar(9) character set utf16", "string", {"'é€'": "é€"}),
    ("longtext", "string", {f"'{LONG}'": LONG, "''": "", f"'{'y' * 251}'": "y" * 251, f"'{'z' * 250}'": "z" * 250}),
    ("binary(4)", "binary", {"x'00ff'": b"\x00\xff\x00\x00"}),
    ("varbinary(9)", "binary", {"x'c1f500'": b"\xc1\xf5\x00", "''": b"", "null": None}),
    ("longblob", "binary", {f"repeat(x'fb', {2**16})": b"\xfb" * 2**16}),
    ("enum('a','b,c','')", "string", {"'b,c'": "b,c", "''": "", "null": None}),
    ("set('a','b')", "string", {"'a,b'": "a,b", "''": "", "null": None}),
    ("json", "string", {"'{\"a\": [1.10, null]}'": '{"a": [1.10, null]}', "null": None}),
    ("uuid", "string", {"'123e4567-e89b-12d3-a456-426655440000'": "123e4567-e89b-12d3-a456-426655440000"}),
    ("inet6", "string", {"'::1'": "::1"}),
    ("point", "string", {"point(0.1, 1e-17)": "POINT(0.1 1e-17)", "null": None}),
    ("geometry", "string", {"st_geomfromtext('LINESTRING(0 0,1 1)')": "LINESTRING(0 0,1 1)"}),
]


def _by_stream(messages):
    found = {}
    for one in messages:
        if isinstance(one, Rows):
            values = one.batch.sort_by("id").column("v").to_pylist()
            found.setdefault(one.stream, []).extend(values)
    return found


def test_every_type_comes_exactly(shop):
    for number, (declared, _, values) in enumerate(TYPES):
        shop.sql(f"create table t{number:02} (id int auto_increment primary key, v {declared})")
        for value in values:
            with shop.server.connect("source") as connection, connection.cursor() as cursor:
                cursor.execute("set sql_mode = ''")
                cursor.execute(f"insert into t{number:02} (v) values ({value})")
    read = shop.read()
    types = {one.stream: str(one.batch.schema.field("v").type) for one in read.messages if isinstance(one, Rows)}
    got = _by_stream(read.messages)
    for number, (declared, data_type, values) in enumerate(TYPES):
        stream = f"source-t{number:02}"
        assert (declared, got[stream]) == (declared, list(values.values()))
        assert (declared, types[stream]) == (declared, data_type)
    assert read.repaired == {}


def test_json_is_known_as_such(shop):
    shop.sql("create table t (id int primary key, j json, `od``d` json, plain longtext)")
    assert [one.name for one in shop.read("t").schema.columns if is_json(one)] == ["j", "od`d"]


def test_random_doubles_and_decimals_come_to_the_last_bit(shop):
    shop.sql("create table t (id int primary key, d double not null, e decimal(18,9) not null)")
    shop.sql(
        "insert into t select seq, (rand(7) - 0.5) * pow(10, 60 * (rand() - 0.5)), rand() * 1e9 from seq_1_to_5000"
    )
    with shop.server.connect("source") as connection, connection.cursor() as cursor:
        cursor.execute("select id, hex(st_aswkb(point(d, 0))), cast(e as char) from t order by id")
        wanted = cursor.fetchall()
    rows = shop.read("t").rows
    bits = [pa.array([row["d"]], pa.float64()).buffers()[1].to_pybytes()[:8].hex().upper() for row in rows]
    assert [(row["id"], bit, str(row["e"])) for row, bit in zip(rows, bits, strict=True)] == [
        (number, shown[10:26], text) for number, shown, text in wanted
    ]


def _mode(shop, mode, *statements):
    with shop.server.connect("source") as connection, connection.cursor() as cursor:
        cursor.execute(f"set sql_mode = '{mode}'")
        for statement in statements:
            cursor.execute(statement)


def test_dates_that_are_none_are_null_and_counted(shop):
    shop.sql("create table t (id int primary key, d date, n date not null, m datetime(3), s timestamp null)")
    _mode(
        shop,
        "allow_invalid_dates",
        "insert into t values (1, '0000-00-00', '0000-00-00', '0000-00-00', '0000-00-00')",
        "insert into t values (2, '2024-00-10', '2024-02-31', '2024-02-31 10:00:00', null)",
        "insert into t values (3, '2024-02-29', '0000-01-01', '0000-12-31 23:59:59', null)",
    )
    read = shop.read("t")
    assert [list(row.values())[1:] for row in read.rows] == [
        [None] * 4,
        [None] * 4,
        [date(2024, 2, 29), None, None, None],
    ]
    assert read.repaired == {"d": 2, "n": 3, "m": 3, "s": 1}


def test_a_key_is_never_repaired(shop):
    shop.sql("create table t (d date primary key)")
    _mode(shop, "", "insert into t values ('0000-00-00')")
    with pytest.raises(RunFailedError) as caught:
        shop.read("t")
    assert caught.value.reference == "value-rejected"


def test_a_flag_that_is_more_than_that_becomes_text_and_loses_nothing(shop):
    shop.sql("create table t (id int primary key, v boolean)")
    shop.sql("insert into t values (1, 1), (2, 0), (3, 2), (4, -1), (5, null)")
    assert [row["v"] for row in shop.read("t").rows] == ["true", "false", "2", "-1", None]
    assert [row["v"] for row in shop.read("t", tinyint1_is_bool=False).rows] == [1, 0, 2, -1, None]


def test_a_time_beyond_a_day_makes_its_column_text_from_there_on(shop):
    shop.sql("create table t (id int primary key, v time, filler varchar(500) default (repeat('x', 500)))")
    shop.sql("insert into t (id, v) select seq, '10:00:00' from seq_1_to_200")
    shop.sql("update t set v = '24:00:00' where id = 200")
    read = shop.read("t", batch_bytes=20_000)
    first, last = (one.columns.field("v") for one in (read.messages[0], read.schema))
    assert [str(first.type), str(last.type)] == ["time64[us]", "string"]
    assert last.metadata == {b"headwater.declared": b"time64[us]"}
    assert [read.rows[0]["v"], read.rows[-1]["v"]] == [time(10), "24:00:00"]


def test_generated_and_invisible_columns_come_like_others(shop):
    shop.sql(
        "create table t (id int primary key, twice int as (id * 2), kept int as (id * 3) stored, hidden int invisible)"
    )
    shop.sql("insert into t (id, hidden) values (1, 9)")
    assert shop.read("t").rows == [{"id": 1, "twice": 2, "kept": 3, "hidden": 9}]


def test_more_columns_than_one_word_has_flags(shop):
    names = [f"c{number}" for number in range(150)]
    shop.sql(f"create table t (id int primary key, {', '.join(f'{name} int' for name in names)})")
    shop.sql(f"insert into t (id, {', '.join(names[::2])}) values (1, {', '.join(map(str, range(0, 150, 2)))})")
    (row,) = shop.read("t").rows
    assert [row[name] for name in names] == [None if number % 2 else number for number in range(150)]


def test_a_table_of_nothing_but_texts_or_one_column(shop):
    shop.sql("create table texts (a text, b text)")
    shop.sql("insert into texts values ('x', null), (null, ''), (null, null)")
    shop.sql("create table one (id int)")
    shop.sql("insert into one values (1), (null)")
    assert shop.read("texts").rows == [{"a": "x", "b": None}, {"a": None, "b": ""}, {"a": None, "b": None}]
    assert shop.read("one").rows == [{"id": 1}, {"id": None}]


def test_a_row_longer_than_a_packet(shop):
    shop.sql("set global max_allowed_packet = 67108864")
    shop.sql("create table t (id int primary key, a longblob, b text)")
    shop.sql(
        "insert into t values (1, repeat('ab', 9000000), 'x'), (2, 'short', null), (3, repeat('c', 16777216), 'y')"
    )
    rows = shop.read("t").rows
    assert [(row["id"], len(row["a"]), row["b"]) for row in rows] == [
        (1, 18_000_000, "x"),
        (2, 5, None),
        (3, 16_777_216, "y"),
    ]
    assert rows[0]["a"] == b"ab" * 9_000_000
