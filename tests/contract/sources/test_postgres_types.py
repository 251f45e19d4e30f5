"""Two hundred types of PostgreSQL and their edges, on the way into DuckDB and on into PostgreSQL again."""

from __future__ import annotations

import os
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from headwater.connect.contract import OpenRequest, ReadRequest, Rows, Schema
from headwater.connect.destinations import duckdb as duckdb_target
from headwater.connect.destinations import postgres as postgres_target
from headwater.connect.sources import postgres as source

NAME = "types"
LONG = "x" * 70_000
NUMBERS = {
    "int2": ["0", "-32768", "32767"],
    "int4": ["-2147483648", "2147483647"],
    "int8": ["-9223372036854775808", "9223372036854775807"],
    "float4": ["1.1", "-0", "NaN", "Infinity", "-Infinity", "1e-45", "3.4028235e38"],
    "float8": ["0.1", "-0", "NaN", "Infinity", "-Infinity", "5e-324", "1.7976931348623157e308"],
    "numeric": ["0", "-0.5", "99999999999999999999", "1e-18", "NaN", "Infinity", "-Infinity"],
    "numeric(38,0)": ["99999999999999999999999999999999999999", "-1"],
    "numeric(38,38)": ["0.99999999999999999999999999999999999999"],
    "numeric(10,2)": ["12345678.90", "-0.01", "NaN"],
    "numeric(3,-2)": ["12300", "-99900"],
    "numeric(2,4)": ["0.0012"],
    "numeric(50,10)": ["1234567890123456789012345678901234567890.0123456789", "NaN"],
    "oid": ["0", "4294967295"],
    "money": ["-12.34", "92233720368547758.07"],
    "bool": ["true", "false"],
}
TEXTS = {
    "text": [
        "",
        " ",
        "NULL",
        "\\N",
        "tab\tline\nreturn\r",
        "quote''s \"and\" back\\slash",
        "é e\u0301 😀 \u2028",
        LONG,
    ],
    "varchar": ["", "é"],
    "varchar(3)": ["ab ", "€😀x"],
    "bpchar": ["a  "],
    "char(4)": ["ab", ""],
    '"char"': ["x"],
    "name": ["a name"],
    "citext": ["MiXed"],
    "uuid": ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"],
    "bytea": ["\\x", "\\x00ff27225c0a"],
    "bit(3)": ["101"],
    "bit varying": ["", "0101010101"],
    "xml": ['<a b="c">d</a>'],
    "json": ['{"b": 1, "a": [1.10, null, true, "\\u00e9"]}', '"text"', "null", "1e400"],
    "jsonb": ['{"b": 1, "a": [1.10, null, true]}', '"text"', "null", "12345678901234567890.123"],
    "jsonpath": ['$."a"[*]'],
    "tsvector": ["''a fat'':2A ''cat'':3"],
    "tsquery": ["''fat'' & !''cat'':*A"],
    "hstore": ['"a"=>"1", "b c"=>NULL, "q\\""=>""'],
    "ltree": ["Top.Science.Astronomy"],
    "isbn13": ["978-0-393-04002-9"],
}
MOMENTS = {
    "date": ["0001-01-01", "9999-12-31", "2024-02-29", "infinity", "-infinity", "0044-03-15 BC", "12024-01-01"],
    "time": ["00:00:00", "23:59:59.999999", "24:00:00"],
    "time(0)": ["10:00:01"],
    "timetz": ["10:00:00.5+05:30", "24:00:00-15:59:59"],
    "timestamp": ["0001-01-01 00:00:00", "9999-12-31 23:59:59.999999", "infinity", "0001-01-01 00:00:00 BC"],
    "timestamp(3)": ["2024-03-31 02:30:00.123"],
    "timestamptz": [
        "0001-01-01 00:00:00+00",
        "9999-12-31 23:59:59.999999+00",
        "2024-01-01 10:00:00+05:30",
        "-infinity",
    ],
    "interval": ["1 year 2 mons -3 days 04:05:06.789", "-178000000 years", "00:00:00"],
    "interval second(2)": ["1.23"],
}
OTHERS = {
    "inet": ["192.168.0.1/24", "::1", "2001:db8::/32"],
    "cidr": ["10.0.0.0/8"],
    "macaddr": ["08:00:2b:01:02:03"],
    "macaddr8": ["08:00:2b:01:02:03:04:05"],
    "point": ["(1.5,-2)", "(NaN,Infinity)"],
    "line": ["{1,-1,0}"],
    "lseg": ["[(0,0),(1,1)]"],
    "box": ["(1,1),(0,0)"],
    "path": ["[(0,0),(1,1)]", "((0,0),(1,1))"],
    "polygon": ["((0,0),(1,0),(1,1))"],
    "circle": ["<(0,0),1>"],
    "cube": ["(1, 2),(3, 4)"],
    "int4range": ["[1,5)", "empty", "(,)"],
    "int8range": ["[1,)"],
    "numrange": ["(1.5,2.5]"],
    "tsrange": ["[2024-01-01 00:00:00,infinity]"],
    "tstzrange": ["(2024-01-01 00:00:00+00,)"],
    "daterange": ["[2024-01-01,2024-02-01)"],
    "int4multirange": ["{[1,3),[5,8)}", "{}"],
    "tstzmultirange": ["{(2024-01-01 00:00:00+00,)}"],
    "pg_lsn": ["16/B374D848"],
    "xid8": ["18446744073709551615"],
    "txid_snapshot": ["10:20:10,14,15"],
    "regclass": ["pg_type"],
    "mood": ["fine", "it''s so-so", ""],
    "pair": ['(1,"x y")', "(,)", '(2,"")'],
    "nested": ['("(1,x)","{1,2}")'],
    "two_parts": ["[a,b)"],
}
# PostGIS is a package of its own, which CI always installs.
HAS_SHAPES = "CI" in os.environ or any(Path("/usr/share/postgresql").glob("*/extension/postgis.control"))
SHAPES = {
    "geometry": ["POINT(1.5 -2)", "SRID=4326;POLYGON((0 0,1 0,1 1,0 0))", "GEOMETRYCOLLECTION EMPTY"],
    "geometry(PointZ,4326)": ["SRID=4326;POINT Z (1 2 3)"],
    "geography": ["POINT(13.4 52.5)", "LINESTRING(0 0,179 89)"],
    "box2d": ["BOX(0 0,1 2)"],
}
SCALARS = NUMBERS | TEXTS | MOMENTS | OTHERS | (SHAPES if HAS_SHAPES else {})
MADE = (
    # In a schema of its own, else its table of reference systems would be a stream.
    *(("create schema gis", "create extension postgis schema gis") if HAS_SHAPES else ()),
    "create extension hstore",
    "create extension citext",
    "create extension ltree",
    "create extension cube",
    "create extension isn",
    "create type mood as enum ('fine', 'it''s so-so', '')",
    "create type pair as (a int, b text)",
    "create type nested as (p pair, n int[])",
    "create type two_parts as range (subtype = text)",
    "create domain some_numbers as int[]",
)
ARRAYS = {
    "int4[]": ["{}", "{1,NULL,3}", "{{1,2},{3,4}}"],
    "text[]": ['{"",NULL,"NULL","a,b","c\\"d","\\\\"}'],
    "numeric[]": ["{1.10,NULL,12345678901234567890.123,NaN}"],
    "float8[]": ["{NaN,Infinity,-0,1e-300}"],
    "bool[]": ["{t,f}"],
    "jsonb[]": ['{"{\\"a\\": 1}"}'],
    "mood[]": ['{fine,""}'],
    "pair[]": ['{"(1,x)",NULL}'],
    "some_numbers": ["{1,2}"],
    "timestamptz[]": ['{"2024-01-01 10:00:00+00"}'],
    "bytea[]": ['{"\\\\x00ff"}'],
    "hstore[]": ['{"\\"a\\"=>\\"1\\""}'],
}
# Types of the same words, of which a column is read as that of the type that they stand for.
SPELLINGS = (
    "smallint",
    "integer",
    "bigint",
    "real",
    "double precision",
    "decimal",
    "character varying",
    "character(4)",
)
# No type of a stream holds them; a run counts them.
BEYOND = {
    *((kind, value) for kind in ("numeric", "numeric(10,2)") for value in ("NaN", "Infinity", "-Infinity")),
    *(("date", value) for value in ("infinity", "-infinity", "0044-03-15 BC", "12024-01-01")),
    *(("timestamp", value) for value in ("infinity", "0001-01-01 00:00:00 BC")),
    ("time", "24:00:00"),
    ("timestamptz", "-infinity"),
}


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


def columns():
    """Name, type and values of every column: each type, a domain of it, an array of it."""
    found = []
    for kind, values in SCALARS.items():
        found += [(f"plain {kind}", kind, values), (f"domain {kind}", quoted(f"of {kind}"), values)]
        if kind not in ("money", "regclass", "nested", "xid8", *SHAPES):  # shapes within arrays are GeoJSON
            found.append((f"array {kind}", f"{kind}[]", [f"array {kind}"]))
    found += [(f"array of edges {kind}", kind, values) for kind, values in ARRAYS.items()]
    found += [(f"spelling {kind}", kind, SCALARS["int2"][:1]) for kind in SPELLINGS]
    return found


COLUMNS = columns()


def literal(kind, value):
    return f"array['{SCALARS[kind][0]}'::{kind}, null]" if value == f"array {kind}" else f"E'{escaped(value)}'"


def escaped(value):
    return value.replace("\\", "\\\\")


@pytest.fixture(scope="module")
def server(older_postgres):
    """The system's, which comes with extensions and XML."""
    older_postgres.sql(f"drop database if exists {NAME} with (force)")
    older_postgres.sql(f"create database {NAME}")
    older_postgres.sql(f"alter database {NAME} set search_path = public, gis")
    with older_postgres.connect(NAME) as connection:
        for statement in MADE:
            connection.execute(statement)
        for kind in SCALARS:
            connection.execute(f"create domain {quoted(f'of {kind}')} as {kind}")
        given = ", ".join(f"{quoted(name)} {kind}" for name, kind, _ in COLUMNS)
        connection.execute(f"create table t (id int primary key, {given})")
        for row in range(max(len(values) for _, _, values in COLUMNS) + 1):
            values = [
                literal(name.removeprefix("array "), some[row]) if row < len(some) else "null"
                for name, _, some in COLUMNS
            ]
            connection.execute(f"insert into t values ({row}, {', '.join(values)})")
    return older_postgres


@pytest.fixture(scope="module")
def read(server, tmp_path_factory):
    """What the source makes of the table."""
    at = {"host": server.host, "port": server.port, "user": server.user, "password": server.password}
    settings = source.Settings(**at, database=NAME, filter_schemas=["public"])
    request = ReadRequest(
        catalog=source.discover(settings), state=None, folder=tmp_path_factory.mktemp("read"), batch_bytes=64 << 20
    )
    return [one for one in source.read(settings, request) if isinstance(one, Schema | Rows)]


def load(target, settings, messages, folder):
    request = OpenRequest(pipeline="types", run_id="1", source="lake", folder=folder)
    session = target.open(settings, request)
    for message in messages:
        session.prepare(message) if isinstance(message, Schema) else session.stage(message)
    session.boundary()
    session.commit(b"{}", final=True)
    session.close()


def differing(server):
    """Column, what was there and what came back, of every value that differs once it is what it was."""
    found = []
    live = dict(
        server.sql("select column_name, data_type from information_schema.columns where table_schema = 'lake'", NAME)
    )
    for name, kind, values in COLUMNS:
        was, came = f"t.{quoted(name)}", f"l.{quoted(name)}"
        if live[name] == "jsonb":
            pair = f"to_jsonb({was})", f"to_jsonb({came})"
            if kind in ("json", '"of json"'):
                pair = f"{was}::text::jsonb", came
        elif live[name] == "timestamp with time zone" and "timestamptz" not in kind:
            pair = f"{was}::text", f"({came} at time zone 'UTC')::{kind}::text"
        elif live[name] == "numeric":
            pair = f"{was}::numeric", f"{came}"  # 1 and 1.00 are one number
        else:
            pair = f"{was}::text", f"({came}::text)::{kind}::text"
        rows = server.sql(
            f'select id, {pair[0]}::text, {pair[1]}::text from t join lake."public-t" l using (id) '
            f"where {pair[0]} is distinct from {pair[1]}",
            NAME,
        )
        base = name.removeprefix("plain ").removeprefix("domain ")
        found += [(name, was, now) for number, was, now in rows if now or (base, values[number]) not in BEYOND]
    return found


def test_there_are_two_hundred_types():
    assert len(COLUMNS) >= 200


def test_every_value_that_a_stream_can_not_hold_is_counted(read):
    counted = {}
    for one in read:
        if isinstance(one, Rows):
            counted |= one.repaired
    expected = {}
    for name, _, values in COLUMNS:
        base = name.removeprefix("plain ").removeprefix("domain ")
        if count := sum((base, value) in BEYOND for value in values):
            expected[name] = count
    assert counted == expected


def test_postgres_gets_back_what_it_had(server, read, tmp_path):
    fresh(server)
    load(postgres_target, target(server), read, tmp_path)
    assert differing(server) == []


def test_so_it_does_by_way_of_duckdb(server, read, tmp_path):
    file = tmp_path / "warehouse.duckdb"
    load(duckdb_target, duckdb_target.Settings(filepath=str(file), default_target_schema="lake"), read, tmp_path)
    schema = next(one for one in reversed(read) if isinstance(one, Schema))
    names = ", ".join(map(quoted, schema.columns.names))
    with duckdb.connect(str(file), read_only=True) as connection:
        connection.execute("set timezone = 'UTC'")
        table = connection.execute(f'select {names} from lake."public-t"').to_arrow_table()
    held = pa.Table.from_arrays(
        [column.cast(field.type) for column, field in zip(table.columns, schema.columns, strict=True)],
        schema=schema.columns,
    ).combine_chunks()
    fresh(server)
    messages = [schema, *(Rows(stream=schema.stream, batch=batch) for batch in held.to_batches())]
    load(postgres_target, target(server), messages, tmp_path)
    assert differing(server) == []


def fresh(server):
    server.sql("drop schema if exists lake cascade", NAME)
    server.sql("drop schema if exists _headwater cascade", NAME)


def target(server):
    at = {"host": server.host, "port": server.port, "user": server.user, "password": server.password}
    return postgres_target.Settings(**at, database=NAME, default_target_schema="lake")
