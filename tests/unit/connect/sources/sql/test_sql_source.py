"""What any SQL source makes of the databases that SQLAlchemy, ADBC and ODBC reach, and what it says when they fail."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path

import msgspec
import pyarrow as pa
import pytest
from sqlalchemy.exc import OperationalError

from headwater.base.errors import EnvironmentProblemError, InputError, RunFailedError
from headwater.base.redact import Redactor
from headwater.connect.contract import Checkpoint, ReadRequest, Rows, Schema
from headwater.connect.sources import sql as source
from headwater.connect.sources.sql.trouble import wanted_package
from headwater.model.catalog import Catalog
from headwater.sources.databases import by_sqlalchemy
from headwater.sources.databases.by_adbc import literal

MOMENT = datetime(2024, 1, 1, 10, 0, 0, 123456, UTC)
COMMON = {
    "id": 1,
    "b": True,
    "i": 9223372036854775807,
    "f": 0.1,
    "n": Decimal("1.50"),
    "t": "é😀",
    "y": b"\x00\xff",
    "d": date(2024, 2, 29),
    "h": time(10, 0, 0, 500000),
    "m": MOMENT,
}
POSTGRES = {
    "id int primary key": "1",
    "b boolean": "true",
    "i bigint": "9223372036854775807",
    "f float8": "0.1",
    "n numeric(10,2)": "1.50",
    "t text": "'é😀'",
    "y bytea": "'\\x00ff'",
    "d date": "'2024-02-29'",
    "h time": "'10:00:00.5'",
    "m timestamp": "'2024-01-01 10:00:00.123456'",
    "z timestamptz": "'2024-01-01 12:00:00.123456+02'",
    "j jsonb": """'{"a": 1.10}'""",
    "l int[]": "'{1,null}'",
    "u uuid": "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'",
    "v interval": "'1 year 2 days'",
    "x timetz": "'10:00+02'",
    "a inet": "'10.0.0.1/8'",
    "w numeric(50,10)": "1234567890123456789012345678901234567890.0123456789",
}
OF_POSTGRES = {
    "z": MOMENT,
    "j": '{"a": 1.10}',
    "l": "[1, null]",
    "u": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    "v": "1 year 2 days",
    "x": "10:00:00+02",
    "a": "10.0.0.1/8",
    "w": "1234567890123456789012345678901234567890.0123456789",
}
MARIADB = {
    "id int primary key": "1",
    "i bigint": "9223372036854775807",
    "f double": "0.1",
    "n decimal(10,2)": "1.50",
    "t longtext character set utf8mb4": "'é😀'",
    "y blob": "x'00ff'",
    "d date": "'2024-02-29'",
    "h time(6)": "'10:00:00.5'",
    "m datetime(6)": "'2024-01-01 10:00:00.123456'",
    "w bigint unsigned": "18446744073709551615",
    "s set('b','a')": "'a,b'",
    "q year": "2024",
}


def catalog(settings, *streams):
    found = source.discover(settings)
    return Catalog(streams=[one for one in found.streams if one.stream in streams])


def messages(settings, *streams, state=None):
    request = ReadRequest(catalog=catalog(settings, *streams), state=state, folder=Path("/nonexistent"))
    return list(source.read(settings, request))


def rows(found):
    return [row for one in found if isinstance(one, Rows) for row in one.batch.to_pylist()]


def state(found):
    return next(one.state for one in reversed(found) if isinstance(one, Checkpoint))


def table(columns):
    """Statements that make a table `t` with one row of values, and one of nulls."""
    nulls = ", ".join(["2", *["null"] * (len(columns) - 1)])
    return f"create table t ({', '.join(columns)})", f"insert into t values ({', '.join(columns.values())}), ({nulls})"


@pytest.fixture
def server(postgres):
    """An empty database, and its address without what comes first."""
    postgres.sql("drop database if exists anysql with (force)")
    postgres.sql("create database anysql")
    at = f"{postgres.user}:{postgres.password}@{postgres.host}:{postgres.port}/anysql"
    return lambda statement: postgres.sql(statement, "anysql"), at


@pytest.mark.parametrize("road", ["postgresql+psycopg://", "adbc:postgresql:postgresql://"])
def test_values_of_postgres_are_exact(server, road):
    run, at = server
    for statement in table(POSTGRES):
        run(statement)
    found = messages(source.Settings(url=f"{road}{at}"), "public-t")
    # This driver of ADBC gives decimals as text.
    decimals = {"n": "1.50"} if road.startswith("adbc") else {}
    assert rows(found) == [COMMON | OF_POSTGRES | decimals, {"id": 2} | dict.fromkeys([*COMMON, *OF_POSTGRES][1:])]
    assert [(one.keys, one.replace) for one in found if isinstance(one, Schema)] == [(("id",), False)]


def test_values_of_mariadb_are_exact(mariadb):
    mariadb.sql("create or replace database anysql")
    for statement in ("create table gone (n int)", "create view broken as select * from gone", "drop table gone"):
        mariadb.sql(statement, "anysql")
    for statement in table(MARIADB):
        mariadb.sql(statement, "anysql")
    at = f"{mariadb.user}:{mariadb.password}@{mariadb.host}:{mariadb.port}/anysql"
    found = rows(messages(source.Settings(url=f"mysql+pymysql://{at}?charset=utf8mb4"), "anysql-t"))
    wanted = {name: value for name, value in COMMON.items() if name != "b"}
    assert found[0] == wanted | {"w": Decimal(2**64 - 1), "s": "b,a", "q": 2024}
    assert found[1] == {"id": 2} | dict.fromkeys([*wanted, "w", "s", "q"][1:])


def test_rows_are_read_on_from_the_bookmark_with_all_that_share_it(server):
    run, at = server
    run("create table t (id int primary key, since timestamptz)")
    run("insert into t select n, timestamptz '2024-01-01' + n / 2 * interval '1 hour' from generate_series(0, 5) n")
    run("insert into t values (99, null)")
    settings = source.Settings(url=f"postgresql+psycopg://{at}", replication_keys={"public-t": "since"})
    first = messages(settings, "public-t")
    assert [row["id"] for row in rows(first)] == [99, 0, 1, 2, 3, 4, 5]
    assert msgspec.json.decode(state(first))["bookmarks"]["public-t"]["replication_key_value"] == (
        "2024-01-01T02:00:00.000000Z"
    )
    run("insert into t values (6, '2024-01-01 02:00Z'), (7, '2024-01-01 03:00Z')")
    again = messages(settings, "public-t", state=state(first))
    assert sorted(row["id"] for row in rows(again)) == [4, 5, 6, 7]
    back = msgspec.structs.replace(settings, lookback_seconds=3600)
    assert sorted(row["id"] for row in rows(messages(back, "public-t", state=state(first)))) == [2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("road", ["postgresql+psycopg://", "adbc:postgresql:postgresql://"])
def test_a_bookmark_of_moments_holds_in_whatever_zone_the_server_is(server, road):
    run, at = server
    run("alter database anysql set timezone = 'America/New_York'")
    run("create table t (id int primary key, since timestamptz)")
    run("insert into t values (1, '2024-01-01 10:00Z'), (2, '2024-01-01 12:00Z')")
    settings = source.Settings(url=f"{road}{at}", replication_keys={"public-t": "since"})
    first = messages(settings, "public-t")
    run("insert into t values (3, '2024-01-01 13:00Z')")
    assert [row["id"] for row in rows(messages(settings, "public-t", state=state(first)))] == [2, 3]


@pytest.mark.parametrize(
    ("value", "kind", "has_backslashes", "sql"),
    [
        (MOMENT, pa.timestamp("us", "UTC"), False, "'2024-01-01 10:00:00.123456+00:00'"),
        (MOMENT, pa.timestamp("us"), False, "'2024-01-01 10:00:00.123456'"),
        (date(2024, 2, 29), pa.date32(), False, "'2024-02-29'"),
        (Decimal("1.50"), pa.decimal128(10, 2), False, "1.50"),
        (r"it's \ here", pa.string(), False, r"'it''s \ here'"),
        (r"it's \ here", pa.string(), True, r"'it\'s \\ here'"),
        (r"\' or 1 = 1 --", pa.string(), True, r"'\\\' or 1 = 1 --'"),
    ],
)
def test_a_bookmark_is_written_as_the_database_of_an_adbc_driver_reads_it(value, kind, has_backslashes, sql):
    assert literal(value, kind, has_backslashes=has_backslashes) == sql


def test_views_are_read_and_only_wanted_schemas_are_discovered(server):
    run, at = server
    for statement in (
        "create schema other",
        'create table other."Odd ""name" ("a b" int primary key)',
        "create table t (n int)",
        "create view v as select 1 as n",
        "create materialized view mv as select 2 as n",
    ):
        run(statement)
    settings = source.Settings(url=f"postgresql+psycopg://{at}")
    found = source.discover(settings).streams
    assert [(one.stream, one.is_view, one.key_properties) for one in found] == [
        ('other-Odd "name', False, ["a b"]),
        ("public-mv", True, []),
        ("public-t", False, []),
        ("public-v", True, []),
    ]
    assert rows(messages(settings, "public-v", "public-mv")) == [{"n": 2}, {"n": 1}]
    only = source.discover(source.Settings(url=f"postgresql+psycopg://{at}", filter_schemas=["other"]))
    assert [one.stream for one in only.streams] == ['other-Odd "name']


def test_a_connection_that_is_lost_hides_no_view(server):
    run, at = server
    for name in "abc":
        run(f"create view {name} as select 1 as n")
    with by_sqlalchemy.opened(f"postgresql+psycopg://{at}", {"connect_args": {}, "isolation_level": None}) as database:
        found = database.tables(["public"])
        assert next(found).name == "a"
        others = "pg_stat_activity where pid <> pg_backend_pid() and datname = 'anysql'"
        run(f"select pg_terminate_backend(pid, 60000) from {others}")  # which waits for their end
        with pytest.raises(OperationalError, match="terminating connection"):
            list(found)


@pytest.fixture
def file(tmp_path):
    with closing(sqlite3.connect(tmp_path / "shop.db")) as connection:
        connection.execute("create table t (id integer primary key, n integer, v varchar(9), j json, d numeric)")
        connection.execute("""insert into t values (1, 1, 'a', '{"a": 1.10}', 1.5), (2, 'many', 'b', null, null)""")
        connection.commit()
    return tmp_path / "shop.db"


def test_a_value_of_another_type_widens_its_column(file):
    found = rows(messages(source.Settings(url=f"sqlite:///{file}"), "main-t"))
    assert [row["n"] for row in found] == ["1", "many"]
    assert found[0] == {"id": 1, "n": "1", "v": "a", "j": '{"a": 1.10}', "d": Decimal("1.500000000")}


def test_odbc_reads_by_a_driver_of_the_machine(file):
    driver = next(Path("/usr/lib").glob("*/odbc/libsqlite3odbc.so"), None)
    if driver is None:
        say = pytest.fail if os.environ.get("CI") else pytest.skip
        say("there is no ODBC driver for SQLite: apt-get install libsqliteodbc")
    found = messages(source.Settings(url=f"odbc:DRIVER={driver};Database={file}"), "t")
    assert [row["v"] for row in rows(found)] == ["a", "b"]
    assert next(one.keys for one in found if isinstance(one, Schema)) == ("id",)


def test_a_server_that_is_not_there_is_told_without_the_password(tmp_path):
    settings = source.Settings(url="postgresql+psycopg://me:pass%40word@127.0.0.1:1/shop")
    with pytest.raises(EnvironmentProblemError, match="cannot connect to the database") as caught:
        source.discover(settings)
    assert "pass" not in f"{caught.value.why} {caught.value.hint} {settings!r}"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me@host/shop?password=hunter22&sslmode=require",
        "adbc:postgresql:host=there password=hunter22 dbname=shop",
        "adbc:snowflake:me:hunter22@account/shop",
        "adbc:postgresql:postgresql://me:hunter22@there/shop",
        "odbc:DRIVER=x;UID=me;PWD={hunter22};Database=shop",
    ],
)
def test_a_password_is_known_wherever_it_stands_in_an_address(url):
    assert Redactor(source.passwords(url))("is hunter22 right?") == "is (redacted) right?"


def test_of_a_password_that_holds_an_at_sign_no_half_is_shown():
    secret = Redactor(source.passwords("mysql://me:hun@ter22@there/shop"))
    assert secret("no login with hun@ter22 at there") == "no login with (redacted) at there"


@pytest.mark.parametrize(
    ("url", "package"),
    [
        ("snowflake://me@account/shop", "sqlalchemy snowflake-sqlalchemy"),
        ("oracle+oracledb://me@host/shop", "sqlalchemy oracledb"),
        ("adbc:snowflake:me@account/shop", "adbc-driver-snowflake"),
    ],
)
def test_the_package_that_is_missing_is_named(url, package):
    with pytest.raises(EnvironmentProblemError, match="needs a package that `tap-sql` does not have") as caught:
        source.discover(source.Settings(url=url))
    assert caught.value.hint == f"name it in the project file, below `name: tap-sql`:  pip_url: {package}"


def test_packages_go_by_the_driver_first():
    assert wanted_package("mysql+pymysql://x") == "pymysql"
    assert wanted_package("mssql+pyodbc://x") == "pyodbc"
    assert wanted_package("odbc:DRIVER=x") == "pyodbc"
    assert wanted_package("unheard://x") is None


def test_a_table_that_is_gone_is_told(file):
    settings = source.Settings(url=f"sqlite:///{file}")
    known = catalog(settings, "main-t")
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("drop table t")
    with pytest.raises(InputError, match=r"there is no table `main\.t`"):
        list(source.read(settings, ReadRequest(catalog=known, state=None, folder=Path("/nonexistent"))))


def test_a_bookmark_that_is_no_value_is_told(file):
    settings = source.Settings(url=f"sqlite:///{file}", replication_keys={"main-t": "id"})
    bad = msgspec.json.encode({"bookmarks": {"main-t": {"replication_key": "id", "replication_key_value": "soon"}}})
    with pytest.raises(InputError, match="a bookmark is no value of its replication key") as caught:
        messages(settings, "main-t", state=bad)
    assert caught.value.why == "`soon` is no INTEGER"


def test_a_query_that_the_database_refuses_is_told(file):
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("create view v as select json_extract(v, '$') as n from t")
        connection.commit()
    with pytest.raises(RunFailedError, match="cannot read stream `main-v`") as caught:
        messages(source.Settings(url=f"sqlite:///{file}"), "main-v")
    assert "malformed JSON" in str(caught.value.why)
    assert caught.value.hint == "to go on without it: headwater select tap-sql 'main-v' '*' --exclude"


def test_an_address_that_is_none_is_told():
    with pytest.raises(EnvironmentProblemError, match="cannot connect to the database"):
        source.discover(source.Settings(url="shop at host with secretword"))
