"""A shop in PostgreSQL against what was loaded of it: equal everywhere, and each planted difference found and named."""

from __future__ import annotations

import json
import re
import signal
import time

import duckdb
import pytest

LOADERS = ["target-duckdb", "target-postgres", "target-mysql"]
PROJECT = """\
default_environment: dev
environments: [{name: dev}]
plugins:
  extractors:
  - name: tap-postgres
    variant: headwater
    config:
      filter_schemas: [checked]
      replication_keys: {checked-orders: updated_at}
  loaders:
  - name: target-duckdb
    variant: headwater
    config: {default_target_schema: lake}
  - name: target-postgres
    variant: headwater
    config: {default_target_schema: lake}
  - name: target-mysql
    variant: headwater
    config: {default_target_schema: lake}
  - name: target-parquet
    variant: headwater
    config: {load_method: overwrite, destination_path: parquet}
  - name: target-csv
    variant: headwater
    config: {load_method: overwrite, destination_path: csv}
  - name: target-jsonl
    variant: headwater
    config: {load_method: overwrite, destination_path: jsonl}
"""
# Every type of the contract, with values that databases like to write in their own way.
EVERYTHING = """
create table checked.everything as select
  i::bigint as id, nullif(i % 3, 0) = 1 as flag, (i * 7919 - 4000000)::int as whole, i::smallint as small,
  (i * 1.5)::numeric(12,4) as amount, (i * 100)::numeric(20,0) as hundreds,
  case when i % 5 = 0 then null else (i::numeric / 7)::numeric(30,12) end as ratio,
  -i * 0.001 as free, case when i % 3 = 0 then 0.10 else i / 3.0 end as thirds,
  case i % 6 when 0 then 0.1 when 1 then -0.0 when 2 then 1e300 when 3 then 5e-324 when 4 then 1/3.0::float8
    else i * 1.1::float8 end as score, (i / 3.0)::float4 as rough,
  case i % 4 when 0 then '' when 1 then null when 2 then 'Ünï|~' || chr(128512) || i else 'a ' end as label,
  case when i % 2 = 0 then decode(lpad(to_hex(i), 8, '0'), 'hex') end as raw,
  date '0044-03-15' + i * 300 as day, time '23:59:59.999999' - i * interval '1 second' as clock,
  timestamptz '1969-12-31 23:59:59.999999+00' + i * interval '1 hour 1 microsecond' as moment,
  timestamp '0001-01-01' + i * interval '1 year' as plain, 'x'::char(5) as padded,
  jsonb_build_object('b', i, 'a', array[1.50, null], 'ß', 'é') as doc, array['t' || i, null] as tags,
  md5(i::text)::uuid as token
from generate_series(1, 700) i
"""


@pytest.fixture
def shop(postgres, mariadb, project):
    postgres.sql("drop database if exists checked with (force)")
    postgres.sql("create database checked")
    for statement in (
        "create schema checked",
        EVERYTHING,
        "alter table checked.everything add primary key (id)",
        "create table checked.words (word text, place int, note text, primary key (word, place))",
        "insert into checked.words select 'W' || i % 40, i, 'note ' || i from generate_series(1, 3000) i",
        "create table checked.lines as select i % 50 as a, 'line ' || i % 70 as b from generate_series(1, 500) i",
        "create table checked.orders (id int primary key, total numeric(10,2), updated_at timestamptz not null)",
        (
            "insert into checked.orders select i, i, '2024-01-01Z'::timestamptz + i * interval '1 s' "
            "from generate_series(1, 1000) i"
        ),
    ):
        postgres.sql(statement, "checked")
    mariadb.sql("drop database if exists lake")
    hw = project(PROJECT)
    at = {"HOST": postgres.host, "PORT": postgres.port, "USER": postgres.user, "PASSWORD": postgres.password}
    for plugin in ("TAP_POSTGRES", "TARGET_POSTGRES"):
        hw.environ |= {f"{plugin}_{name}": str(value) for name, value in (at | {"DATABASE": "checked"}).items()}
    own = {"HOST": mariadb.host, "PORT": mariadb.port, "USER": mariadb.user, "PASSWORD": mariadb.password}
    hw.environ |= {f"TARGET_MYSQL_{name}": str(value) for name, value in own.items()}
    return hw


# What is done to the destination, and how it is told: the stream, the row, what is wrong and in which column.
PLANTED = [
    ("delete from {everything} where id = 10", ("id=10", "missing", "")),
    ("update {everything} set id = 100000 where id = 11", ("id=11", "missing", "")),
    (None, ("id=100000", "extra", "")),
    ("update {everything} set whole = whole + 1 where id = 20", ("id=20", "differing", "whole")),
    ("update {everything} set label = null where id = 24", ("id=24", "differing", "label")),
    ("update {everything} set score = 38.50000000000001 where id = 35", ("id=35", "differing", "score")),
    (
        "update {everything} set moment = moment + interval {microsecond} where id = 40",
        ("id=40", "differing", "moment"),
    ),
    ("update {everything} set plain = plain + interval {hour} where id = 41", ("id=41", "differing", "plain")),
    ("update {everything} set ratio = round(ratio, 11) where id = 46", ("id=46", "differing", "ratio")),
    ("update {everything} set thirds = concat(thirds, '1') where id = 47", ("id=47", "differing", "thirds")),
    ("update {everything} set label = 'a' where id = 51", ("id=51", "differing", "label")),
    ("update {everything} set flag = null, day = null where id = 61", ("id=61", "differing", "flag, day")),
    ("update {words} set note = 'NOTE 7' where place = 7", ("word=W7, place=7", "differing", "note")),
    # A sum over rows is the same when two of them swap a value: their checksums must not be sums themselves.
    (
        "update {words} set note = case place when 20 then 'note 21' else 'note 20' end where place in (20, 21)",
        ("word=W20, place=20", "differing", "note"),
    ),
    (None, ("word=W21, place=21", "differing", "note")),
    ("update {words} set word = 'w8' where place = 8", ("word=W8, place=8", "missing", "")),
    (None, ("word=w8, place=8", "extra", "")),
]


@pytest.mark.parametrize("loader", LOADERS)
def test_what_was_loaded_is_equal_and_each_planted_difference_is_named(shop, loader, postgres, mariadb):
    shop.ok("run", "tap-postgres", loader)
    found = json.loads(shop.ok("verify", "tap-postgres", loader, "--json").out)["streams"]
    rows = {verdict["stream"]: verdict["compared"]["source_rows"] for verdict in found}
    assert rows == {
        "checked-everything": 700,
        "checked-lines": 500,
        "checked-orders": 1000,
        "checked-words": 3000,
    }
    assert [verdict["left_out"] for verdict in found] == [[]] * 4

    mark = "`" if loader == "target-mysql" else '"'
    names = {name: f"lake.{mark}checked-{name}{mark}" for name in ("everything", "words")}
    units = {"microsecond": "1 microsecond", "hour": "1 hour"}
    if loader != "target-mysql":
        units = {name: f"'{text}'" for name, text in units.items()}
    statements = [statement.format(**names, **units) for statement, _ in PLANTED if statement]
    if loader == "target-duckdb":
        with duckdb.connect(str(shop.root / "warehouse.duckdb")) as connection:
            connection.execute("; ".join(statements))
    for statement in statements if loader != "target-duckdb" else ():
        mariadb.sql(statement) if loader == "target-mysql" else postgres.sql(statement, "checked")

    done = shop("verify", "tap-postgres", loader)
    assert done.code == 1
    assert done.error.startswith("error: 2 of 4 streams differ")
    lines = done.out.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("stream") and "columns" in line)
    told = [
        tuple(part.strip() for part in re.split(r"  +", line, maxsplit=3)[1:]) for line in lines[start + 2 :] if line
    ]
    assert sorted(one if len(one) == 3 else (*one, "") for one in told) == sorted(row for _, row in PLANTED)
    assert "'a '" not in done.out + done.err
    assert "check checked-words equals its source: 5 failing rows" in shop.ok("logs", "show", "last").out
    shown = shop("verify", "tap-postgres", loader, "--stream", "*-everything", "--values").out
    assert "label: 'a ' → 'a'" in shown


def test_a_source_that_goes_on_is_compared_up_to_the_checkpoint(shop, postgres):
    shop.ok("run", "tap-postgres", "target-duckdb")
    postgres.sql("update checked.orders set total = 0, updated_at = '2024-02-01Z' where id in (5, 6)", "checked")
    postgres.sql("insert into checked.orders values (2000, 1, '2024-02-02Z')", "checked")
    done = shop.ok("verify", "tap-postgres", "target-duckdb", "--stream", "checked-orders", "--json")
    (verdict,) = json.loads(done.out)["streams"]
    assert (verdict["compared"]["later"], verdict["compared"]["extra"]) == (2, 0)
    assert verdict["remarks"][0].startswith("rows up to updated_at = 2024-01-01T00:16:40.000000Z")
    postgres.sql("delete from checked.orders where id = 9", "checked")
    assert shop("verify", "tap-postgres", "target-duckdb", "--stream", "checked-orders").code == 1


def test_former_versions_are_no_differences(shop, postgres):
    words = PROJECT.replace("schema: lake}", "schema: lake, load_method: history}").replace(
        "  loaders:", "    select: [checked-words.*]\n  loaders:"
    )
    shop.write("headwater.yml", words)
    shop.ok("run", "tap-postgres", "target-duckdb")
    postgres.sql("update checked.words set note = 'new' where place = 6", "checked")
    shop.ok("run", "--full-refresh", "tap-postgres", "target-duckdb")
    assert shop.query('select count(*) from lake."checked-words"') == [(3001,)]
    shop.ok("verify", "tap-postgres", "target-duckdb")


def test_what_cannot_be_verified_is_said(shop):
    shop.write(
        "headwater.yml",
        PROJECT.replace(
            "    config:\n      filter",
            "    config:\n      stream_maps: {checked-words: {word: word.upper()}}\n      filter",
        ),
    )
    assert "verify-with-stages" in shop("--log-format=json", "verify", "tap-postgres", "target-duckdb").err
    assert shop("verify", "target-duckdb", "tap-postgres").code == 2
    assert shop("verify", "tap-postgres", "target-duckdb", "--stream", "nothing").code == 2


@pytest.mark.parametrize(("loader", "left_out"), [("target-parquet", 0), ("target-csv", 0), ("target-jsonl", 6)])
def test_files_equal_their_source(shop, loader, left_out, postgres):
    shop.ok("run", "tap-postgres", loader)
    found = json.loads(shop.ok("verify", "tap-postgres", loader, "--json").out)["streams"]
    assert {verdict["stream"]: verdict["compared"]["destination_rows"] for verdict in found}["checked-words"] == 3000
    assert max(len(verdict["left_out"]) for verdict in found) == left_out
    postgres.sql("update checked.words set note = null where place = 7", "checked")
    assert "word=W7, place=7  differing  note" in shop("verify", "tap-postgres", loader).out


def test_files_as_a_source(shop):
    shop.write("data/people.csv", "id,name,born,paid\n1,Ada,1815-12-10,1.50\n2,,1912-06-23,0.1\n")
    shop.write(
        "headwater.yml",
        PROJECT.replace(
            "  extractors:",
            "  extractors:\n  - name: tap-files\n    variant: headwater\n"
            "    config: {path: data/people.csv, keys: {people: [id]}}",
        ),
    )
    shop.ok("run", "tap-files", "target-duckdb")
    shop.ok("verify", "tap-files", "target-duckdb")
    shop.write("data/people.csv", "id,name,born,paid\n1,Ada,1815-12-10,1.50\n2,,1912-06-23,0.2\n")
    assert "id=2  differing  paid" in shop("verify", "tap-files", "target-duckdb").out


def test_a_comparison_that_is_interrupted_ends_at_once(shop, postgres):
    shop.ok("run", "tap-postgres", "target-duckdb")
    postgres.sql("alter table checked.lines rename to slow", "checked")
    postgres.sql("create view checked.lines as select s.*, pg_sleep(600) is null as z from checked.slow s", "checked")
    process = shop.start("verify", "tap-postgres", "target-duckdb", "--stream", "checked-lines")
    asleep = "select 1 from pg_stat_activity where application_name = 'headwater verify' and wait_event = 'PgSleep'"
    for _ in range(200):
        if postgres.sql(asleep):
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    assert postgres.sql(asleep) == []
