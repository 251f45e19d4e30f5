"""A shop in PostgreSQL, read natively: three runs into DuckDB and into another schema of the server."""

from __future__ import annotations

import re

import pytest

PROJECT = """\
default_environment: dev
environments: [{name: dev}]
plugins:
  extractors:
  - name: tap-postgres
    variant: headwater
    config:
      filter_schemas: [shop]
      replication_keys: {shop-orders: updated_at}
    select: [shop-orders.*, shop-customers.*, '!shop-customers.email']
  loaders:
  - name: target-duckdb
    variant: headwater
    config: {default_target_schema: lake}
  - name: target-postgres
    variant: headwater
    config: {default_target_schema: lake}
"""


@pytest.fixture
def shop(postgres, project):
    postgres.sql("drop database if exists shop with (force)")
    postgres.sql("create database shop")
    for statement in (
        "create schema shop",
        "create table shop.customers (id int primary key, name text, email text)",
        (
            "create table shop.orders (id bigint primary key, customer int, total numeric(10,2), tags text[], "
            "updated_at timestamptz not null)"
        ),
        "create table shop.secrets (id int)",
        "insert into shop.customers values (1, 'Ada', 'a@example.com'), (2, null, 'b@example.com')",
        (
            "insert into shop.orders select i, 1 + i % 2, i / 4.0, array['t' || i], "
            "'2024-01-01'::timestamptz + i * interval '1 second' from generate_series(1, 1000) i"
        ),
    ):
        postgres.sql(statement, "shop")
    hw = project(PROJECT)
    for plugin in ("TAP_POSTGRES", "TARGET_POSTGRES"):
        at = {"HOST": postgres.host, "PORT": postgres.port, "USER": postgres.user, "PASSWORD": postgres.password}
        hw.environ |= {f"{plugin}_{name}": str(value) for name, value in (at | {"DATABASE": "shop"}).items()}
    return hw


@pytest.mark.parametrize("loader", ["target-duckdb", "target-postgres"])
def test_three_runs_give_what_the_source_has(shop, postgres, loader):
    def loaded(sql):
        return shop.query(sql) if loader == "target-duckdb" else postgres.sql(sql, "shop")

    def same():
        figures = "select count(*), sum(total), sum(customer), max(extract(epoch from updated_at))::bigint"
        wanted = postgres.sql(f"{figures} from shop.orders", "shop")
        assert loaded(f'{figures} from lake."shop-orders"') == wanted

    shop.ok("run", "--jobs", "2", "tap-postgres", loader)
    same()
    assert loaded('select id, name from lake."shop-customers" order by id') == [(1, "Ada"), (2, None)]
    postgres.sql("update shop.orders set total = 99.99, updated_at = '2024-02-01' where id = 7", "shop")
    postgres.sql("insert into shop.orders values (1001, 1, 0.01, null, '2024-02-02')", "shop")
    done = shop.ok("run", "tap-postgres", loader)
    same()
    (line,) = [line for line in done.err.splitlines() if line.strip().startswith("shop-orders ")]
    assert line.split()[1] == "3"  # the two that changed, and the last one that was seen
    shop.ok("run", "--full-refresh", "tap-postgres", loader)
    same()
    bookmarks = shop.state(f"dev:tap-postgres-to-{loader}")["bookmarks"]
    assert bookmarks == {
        "shop-orders": {"replication_key": "updated_at", "replication_key_value": "2024-02-02T00:00:00.000000Z"}
    }


def test_what_is_selected_is_listed_and_nothing_else_is_read(shop):
    listed = shop.ok("select", "tap-postgres", "--list").out
    assert re.search(r"shop-orders +tags +selected", listed)
    assert not re.search(r"shop-customers +email", listed)
    shop.ok("run", "tap-postgres", "target-duckdb")
    tables = shop.query("select table_name, column_name from information_schema.columns where table_schema = 'lake'")
    assert {table for table, _ in tables} == {"shop-orders", "shop-customers"}
    assert ("shop-customers", "email") not in tables
