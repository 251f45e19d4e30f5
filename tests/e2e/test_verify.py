"""A shop in PostgreSQL against what was loaded of it: equal everywhere, and each planted difference found and named."""

from __future__ import annotations

import json

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
"""
# Every type of the contract, with values that databases like to write in their own way.
EVERYTHING = """
create table checked.everything as select
  i::bigint as id, nullif(i % 3, 0) = 1 as flag, (i * 7919 - 4000000)::int as whole, i::smallint as small,
  (i * 1.5)::numeric(12,4) as amount, case when i % 5 = 0 then null else (i::numeric / 7)::numeric(30,12) end as ratio,
  -i * 0.001 as free,
  case i % 6 when 0 then 0.1 when 1 then -0.0 when 2 then 1e300 when 3 then 5e-324 when 4 then 1/3.0::float8
    else i * 1.1::float8 end as score, (i / 3.0)::float4 as rough,
  case i % 4 when 0 then '' when 1 then null when 2 then 'Ünï|~' || chr(128512) || i else 'a ' end as label,
  case when i % 2 = 0 then decode(lpad(to_hex(i), 8, '0'), 'hex') end as raw,
  date '0044-03-15' + i * 300 as day, time '23:59:59.999999' - i * interval '1 second' as clock,
  timestamptz '1969-12-31 23:59:59.999999+00' + i * interval '1 hour 1 microsecond' as at,
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


@pytest.mark.parametrize("loader", LOADERS)
def test_what_was_loaded_equals_its_source(shop, loader):
    shop.ok("run", "tap-postgres", loader)
    done = shop.ok("verify", "tap-postgres", loader, "--json")
    found = {verdict["stream"]: verdict for verdict in json.loads(done.out)["streams"]}
    assert {name: verdict["compared"]["source_rows"] for name, verdict in found.items()} == {
        "checked-everything": 700,
        "checked-lines": 500,
        "checked-orders": 1000,
        "checked-words": 3000,
    }
    assert [verdict["left_out"] for verdict in found.values()] == [[]] * 4
