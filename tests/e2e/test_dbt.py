"""From PostgreSQL to numbers that are checked: loaded, built by dbt that was added for the loader that is there, asked
by dbt's tests and by checks of ours, compared with the source; and what is said when rows are not as they have to be.
"""

from __future__ import annotations

import json

import pytest

PROJECT = """\
plugins:
  extractors:
  - name: tap-postgres
    variant: headwater
    config: {{{server}, database: dbt_source, filter_schemas: [shop]}}
  loaders:
  - {{name: {loader}, variant: headwater, config: {{{config}}}}}
  transformers:
  - {{name: models, variant: headwater}}
"""
SHOPS = (
    "select shop, sum(cast(amount as int)) as amount from {{ source('tap_postgres', 'shop-orders') }} group by shop\n"
)
BEST = "select * from {{ ref('shops') }} order by amount desc limit 1\n"
TESTS = """\
models:
- name: shops
  config: {materialized: table}
  columns:
  - name: shop
    data_tests:
    - accepted_values: {arguments: {values: [north, south]}}
- name: best
  config: {materialized: table}
"""
CHECKS = """\
sources:
- name: tap_postgres
  tables:
  - name: shop-orders
    columns:
    - name: id
      checks: [not_null, unique]
"""
ACCEPTED = "accepted_values_shops_shop__north__south"


def events(done):
    return [json.loads(line) for line in done.err.splitlines() if line.startswith("{")]


def told(done, kind, name):
    return {event[name]: event["outcome"] for event in events(done) if event["kind"] == kind}


@pytest.fixture
def shop(project, postgres):
    """A project that loads a shop's orders into a warehouse, before dbt is there."""

    def made(loader):
        for name in ("dbt_source", "dbt_house"):
            postgres.sql(f"drop database if exists {name} with (force)")
            postgres.sql(f"create database {name}")
        postgres.sql(
            "create schema shop; create table shop.orders (id int primary key, shop text, amount numeric(9,2));"
            "insert into shop.orders values (1, 'north', 2), (2, 'south', 3), (3, 'north', 4)",
            "dbt_source",
        )
        server = f"host: {postgres.host}, port: {postgres.port}, user: {postgres.user}"
        config = f"{server}, database: dbt_house" if loader == "target-postgres" else ""
        hw = project(PROJECT.format(server=server, loader=loader, config=config))
        hw.environ |= {"TAP_POSTGRES_PASSWORD": postgres.password, "TARGET_POSTGRES_PASSWORD": postgres.password}
        hw.write("models/models.yml", CHECKS)
        return hw

    return made


def sources(hw):
    return (hw.root / "transform/models/sources.yml").read_text()


def write_models(hw):
    for name, text in {"shops.sql": SHOPS, "best.sql": BEST, "models.yml": TESTS}.items():
        hw.write(f"transform/models/{name}", text)


def test_a_failing_test_stops_what_is_downstream_and_the_mended_source_passes(shop, postgres):
    hw = shop("target-duckdb")
    hw.ok("run", "tap-postgres", "target-duckdb")
    assert "wrote transform/models/sources.yml" in hw.ok("add", "dbt", timeout=300).out
    write_models(hw)

    steps = ("tap-postgres", "target-duckdb", "dbt:build", "dbt:test", "models:check")
    good = hw.ok("--log-format", "json", "--log-level", "debug", "run", *steps, timeout=300)
    assert told(good, "model-built", "model") == {"shops": "success", "best": "success"}
    checked = {
        ACCEPTED: "success",
        "tap_postgres.shop-orders.id.not_null": "success",
        "tap_postgres.shop-orders.id.unique": "success",
    }
    assert told(good, "checked", "check") == checked
    assert hw.query("select shop, amount from analytics.best") == [("north", 6)]
    (lineage,) = (event for event in events(good) if event["kind"] == "lineage")
    (best,) = (node for node in lineage["nodes"] if node["name"] == "best")
    assert best["needs"] == [next(node["key"] for node in lineage["nodes"] if node["name"] == "shops")]

    postgres.sql("insert into shop.orders values (4, 'west', 9)", "dbt_source")
    bad = hw("run", *steps, timeout=300)
    assert bad.code == 1
    assert bad.error == (
        f"error: transform/models/models.yml: test `{ACCEPTED}` failed [dbt-failed]\n"
        f"  `{ACCEPTED}` (transform/models/models.yml): Got 1 result, configured to fail if != 0\n"
        "  not built, because they need it: best\n"
        f"hint: headwater invoke dbt show --select {ACCEPTED} shows rows that fail\n"
    )
    assert "west" in hw.ok("invoke", "dbt", "show", "--select", ACCEPTED, timeout=300).out
    assert hw.query("select shop, amount from analytics.best") == [("north", 6)]

    postgres.sql("update shop.orders set shop = 'south' where id = 4", "dbt_source")
    hw.ok("run", *steps, timeout=300)
    assert hw.query("select shop, amount from analytics.best") == [("south", 12)]
    hw.ok("verify", "tap-postgres", "target-duckdb")

    hw.write("transform/models/lost.sql", "select * from {{ ref('nowhere') }}\n")
    lost = hw("run", "dbt:build", timeout=300)
    assert lost.code == 2
    assert lost.error.startswith("error: transform/models/lost.sql: the dbt project refers to something that it does")


def test_the_same_in_postgres_with_the_password_of_the_loader(shop, postgres):
    hw = shop("target-postgres")
    hw.ok("run", "tap-postgres", "target-postgres")
    hw.ok("add", "dbt", timeout=300)
    assert "sources:\n  - name: tap_postgres\n    tables:\n      - name: shop-orders\n" in sources(hw)
    write_models(hw)

    steps = ("tap-postgres", "target-postgres", "dbt:build", "models:check")
    good = hw.ok("--log-format", "json", "run", *steps, timeout=300)
    built = [(event["model"], event["rows"]) for event in events(good) if event["kind"] == "model-built"]
    assert built == [("shops", 2), ("best", 1)]
    assert told(good, "checked", "check")["tap_postgres.shop-orders.id.unique"] == "success"
    assert postgres.sql("select shop, amount from analytics.best", "dbt_house") == [("north", 6)]
    assert postgres.password not in (hw.root / "transform/profiles/postgres/profiles.yml").read_text()
    assert postgres.password not in good.err

    postgres.sql("insert into shop.orders values (4, 'west', 9)", "dbt_source")
    bad = hw("run", *steps, timeout=300)
    assert bad.code == 1
    assert f"test `{ACCEPTED}` failed [dbt-failed]\n" in bad.error
    assert "not built, because they need it: best" in bad.error
    postgres.sql("update shop.orders set shop = 'south' where id = 4", "dbt_source")
    hw.ok("run", *steps, timeout=300)
    assert postgres.sql("select shop, amount from analytics.best", "dbt_house") == [("south", 12)]
    hw.ok("verify", "tap-postgres", "target-postgres")
