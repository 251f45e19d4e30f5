"""Tables that are read from the log of PostgreSQL, by runs that are killed at every point of a commit."""

from __future__ import annotations

import random

import pytest

from headwater.base.failpoint import POINTS

PROJECT = """\
default_environment: dev
environments: [{name: dev}]
plugins:
  extractors:
  - name: tap-postgres
    variant: headwater
    config: {filter_schemas: [public], default_replication_method: LOG_BASED}
    select: ['*.*']
  loaders:
  - name: target-duckdb
    variant: headwater
    config: {default_target_schema: lake}
  - name: target-postgres
    variant: headwater
    config: {default_target_schema: lake}
"""
ROWS = 200
# Killed there a run has changed something, at least for those who look.
DEATHS = [point for point in POINTS if point.startswith(("commit", "state", "stage"))]


@pytest.fixture
def shop(postgres, project):
    postgres.sql("drop database if exists log with (force)")
    postgres.sql("create database log")
    postgres.sql("create table t (id int primary key, n int, big text, tags text[])", "log")
    postgres.sql("alter table t alter big set storage external", "log")
    postgres.sql(
        f"insert into t select i, 0, repeat('x', 3000), array['a', i::text] from generate_series(1, {ROWS}) i", "log"
    )
    hw = project(PROJECT)
    for plugin in ("TAP_POSTGRES", "TARGET_POSTGRES"):
        at = {"HOST": postgres.host, "PORT": postgres.port, "USER": postgres.user, "PASSWORD": postgres.password}
        hw.environ |= {f"{plugin}_{name}": str(value) for name, value in (at | {"DATABASE": "log"}).items()}
    yield hw
    postgres.drop_slots("log")


@pytest.mark.parametrize("loader", ["target-duckdb", "target-postgres"])
def test_what_is_loaded_is_what_is_there_however_runs_end(shop, postgres, loader):
    chance = random.Random(loader)  # noqa: S311 - which changes are made is no secret
    loaded = 'select id, n, length(big) from lake."public-t" where _sdc_deleted_at is null order by id'
    for death in [None, *DEATHS, None]:
        change(postgres, chance)
        armed = {} if death is None else {"HEADWATER_FAILPOINT": f"{death}:1"}
        done = shop("run", "tap-postgres", loader, **armed)
        assert done.code == (0 if death is None else -9), done.err
        if death is None:
            found = shop.query(loaded) if loader == "target-duckdb" else postgres.sql(loaded, "log")
            assert found == postgres.sql("select id, n, length(big) from t order by id", "log")
    assert "of log behind" in done.err
    shop.ok("verify", "tap-postgres", loader)


def test_to_try_a_stream_of_the_log_leaves_no_place_in_it(shop, postgres):
    shop.ok("config", "test", "tap-postgres")
    assert postgres.sql("select slot_name from pg_replication_slots where database = 'log'") == []
    assert postgres.sql("select pubname from pg_publication", "log") == []


def change(postgres, chance):
    for _ in range(10):
        number = chance.randrange(ROWS)
        postgres.sql(
            chance.choice(
                [
                    f"update t set n = n + 1 where id % 10 = {number % 10}",
                    f"update t set id = (select max(id) + 1 from t) where id = {number}",
                    f"delete from t where id between {number} and {number + 3}",
                    f"insert into t values ({number}, 7, 'y', null) on conflict (id) do update set big = 'z'",
                    f"begin; delete from t where id = {number}; insert into t values ({number}, 5, 'again'); commit",
                ]
            ),
            "log",
        )
