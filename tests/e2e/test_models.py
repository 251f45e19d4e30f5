"""Models without dbt: the same tables as with dbt, and a check that stops what is built on bad rows."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import duckdb

RENTALS = Path(__file__).parents[1] / "fixtures" / "rentals"
# Everything that the project makes, with the columns that both sides fill alike.
TABLES = {
    **dict.fromkeys(("stg_riders", "stg_stations", "stg_rides", "ride_log", "rides_priced", "tariffs"), "*"),
    **dict.fromkeys(("rider_totals", "station_flow", "daily_revenue", "plan_mix", "best_day"), "*"),
    "riders_history": "rider_id, plan, joined_on, changed_at, {0}_from::timestamp, {0}_to::timestamp",
}
RAW = """
create schema raw;
create table raw.riders as select * from (values
  (1, 'Ada', 'YEAR', date '2024-01-01', timestamp '2024-01-01 08:00'),
  (2, 'Ben', 'Month', date '2024-01-02', timestamp '2024-01-02 09:00'),
  (3, 'Cleo', 'day', date '2024-01-03', timestamp '2024-01-03 10:00')
) t(id, name, plan, joined_on, changed_at);
create table raw.stations as select n as id, 'Station ' || n as name, 10 + n as docks from range(1, 6) t(n);
create table raw.ride_events as select
  n as id, 1 + n % 3 as rider_id, 1 + n % 5 as from_station_id, 1 + n % 4 as to_station_id,
  timestamp '2024-02-01' + n * interval 47 minute as started_at,
  case when n % 50 <> 0
    then timestamp '2024-02-01' + n * interval 47 minute + (n % 40) * interval 1 minute end as ended_at
from range(1, 400) t(n);
"""
LATER = """
update raw.riders set plan = 'day', changed_at = timestamp '2024-02-20 00:00' where id = 1;
insert into raw.riders values (4, 'Dov', 'year', date '2024-02-20', timestamp '2024-02-20 01:00');
update raw.stations set name = 'Main station' where id = 1;
-- A ride of long ago, which a table that grows does not see, and new ones.
update raw.ride_events set to_station_id = 5 where id = 2;
insert into raw.ride_events select
  n, 1 + n % 4, 1 + n % 5, 1 + n % 3, timestamp '2024-02-21' + n * interval 7 minute,
  timestamp '2024-02-21' + n * interval 8 minute
from range(400, 500) t(n);
"""
PROJECT = """\
plugins:
  loaders:
  - {name: target-duckdb, variant: headwater}
  transformers:
  - {name: models, variant: headwater, config: {schema: ours}}
"""


def differing(hw) -> dict[str, int]:
    """How many rows stand on one side only, by table."""
    found = {}
    for name, columns in TABLES.items():
        theirs = f"select {columns.format('dbt_valid')} from analytics.{name}"
        ours = f"select {columns.format('__valid')} from ours.{name}"
        rows = f"(({theirs}) except all ({ours})) union all (({ours}) except all ({theirs}))"
        found[name] = hw.query(f"select count(*) from ({rows})")[0][0]
    return found


def change(hw, sql: str) -> None:
    with duckdb.connect(str(hw.root / "warehouse.duckdb")) as connection:
        connection.execute(sql)


def test_a_dbt_project_builds_equal_tables_when_it_is_imported(project):
    hw = project(PROJECT)
    shutil.copytree(RENTALS, hw.root / "transform")
    change(hw, RAW)
    hw.ok("add", "dbt", timeout=300)
    assert "wrote models/ride_log.sql" in hw.ok("models", "import", "transform").out

    hw.ok("run", "dbt:build", "models", timeout=300)
    assert differing(hw) == dict.fromkeys(TABLES, 0)
    assert hw.query("select count(*) > 300, sum(price_cents) > 0 from ours.rides_priced") == [(True, True)]

    change(hw, LATER)
    for folder in ("transform/seeds", "seeds"):
        hw.write(f"{folder}/tariffs.csv", "plan,unlock_cents,minute_cents\nday,150,25\nmonth,0,9\nyear,0,5\n")
    second = hw.ok("run", "dbt:build", "models", timeout=300)
    assert differing(hw) == dict.fromkeys(TABLES, 0)
    assert "check ours.rides_priced.plan.relationship: passed" in second.err
    assert hw.query("select plan, __valid_to is null from ours.riders_history where rider_id = 1 order by 2") == [
        ("year", False),
        ("day", True),
    ]
    third = hw.ok("run", "models", timeout=300)
    assert third.err.count(": unchanged") == len(TABLES)
    assert ": built" not in third.err

    # And back: dbt builds what is exported, snapshot and checks included.
    for folder in ("models", "seeds", "snapshots", "tests", "dbt_project.yml"):
        gone = hw.root / "transform" / folder
        shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    assert "wrote transform/snapshots/snapshots.yml" in hw.ok("models", "export", "transform").out
    hw.ok("config", "set", "dbt", "schema", "again")
    hw.ok("run", "dbt:build", timeout=300)
    for name in ("stg_rides", "tariffs", "plan_mix"):
        assert hw.query(f"select count(*) > 0 from again.{name}") == [(True,)]
    current = "select rider_id, plan from {}.riders_history where __valid_to is null order by 1"
    assert hw.query(current.format("again")) == hw.query(current.format("ours"))


PG_PROJECT = """\
plugins:
  extractors:
  - name: tap-postgres
    variant: headwater
    config: {{{server}, database: shop_source, filter_schemas: [shop]}}
  loaders:
  - {{name: target-postgres, variant: headwater, config: {{{server}, database: shop_house}}}}
  transformers:
  - {{name: models, variant: headwater}}
"""
MODELS_YML = """\
models:
- name: totals
  columns:
  - name: customer
    checks: [unique]
- {name: log, materialized: incremental, unique_key: id}
sources:
- name: tap_postgres
  tables:
  - name: shop-orders
    columns:
    - name: state
      checks:
      - accepted_values: [open, done]
"""


def test_a_failing_check_stops_what_is_built_on_it_in_postgres_and_the_mended_source_passes(project, postgres):
    for name in ("shop_source", "shop_house"):
        postgres.sql(f"create database {name}")
    postgres.sql(
        "create schema shop;"
        "create table shop.orders (id int primary key, customer text, amount numeric(9,2), state text);"
        "insert into shop.orders select n, 'c' || n % 7, n * 1.1, 'open' from generate_series(1, 100) n;"
        "update shop.orders set state = 'lost' where id in (7, 9)",
        "shop_source",
    )
    server = f"host: {postgres.host}, port: {postgres.port}, user: {postgres.user}"
    hw = project(PG_PROJECT.format(server=server))
    hw.environ |= {"TAP_POSTGRES_PASSWORD": postgres.password, "TARGET_POSTGRES_PASSWORD": postgres.password}
    hw.write("models/models.yml", MODELS_YML)
    hw.write("models/log.sql", 'select id, customer, amount\nfrom tap_postgres."shop-orders"\n')
    hw.write("models/totals.sql", "select customer, sum(amount) as amount\nfrom log\ngroup by customer\n")

    bad = hw("run", "tap-postgres", "target-postgres", "models")
    assert bad.code == 1
    assert bad.error == (
        "error: models/models.yml:14: "
        "the check `tap_postgres.shop-orders.state.accepted_values` failed [checks-failed]\n"
        "  2 rows of tap_postgres.shop-orders with a `state` that is not accepted (id=7; id=9)\n"
        "  not built, because they need it: log, totals\n"
        """hint: headwater query 'select * from "tap_postgres"."shop-orders" where "state" not in ('"'"'open'"'"', """
        """'"'"'done'"'"') limit 20'\n"""
    )
    assert postgres.sql("select to_regclass('analytics.totals')", "shop_house") == [(None,)]
    # The query of the hint names the rows.
    (words,) = re.findall(r"^hint: headwater query (.*)$", bad.error, re.MULTILINE)
    shown = json.loads(hw.ok("query", "--json", *shlex.split(words)).out)
    assert sorted(row["id"] for row in shown) == [7, 9]

    postgres.sql("update shop.orders set state = 'done' where state = 'lost'", "shop_source")
    good = hw.ok("run", "tap-postgres", "target-postgres", "models", "models:check")
    assert "model totals: built, 7 rows" in good.err
    assert postgres.sql("select sum(amount) from analytics.totals", "shop_house") == postgres.sql(
        "select sum(amount) from shop.orders", "shop_source"
    )
    hw.ok("verify", "tap-postgres", "target-postgres")
    assert "model totals: unchanged" in hw.ok("run", "models").err
