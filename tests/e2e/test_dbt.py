"""dbt from nothing: added for the loader that is there, run behind a load, and what it says when a test fails."""

from __future__ import annotations

import json

PROJECT = """\
plugins:
  extractors:
  - name: tap-files
    variant: headwater
    config:
      streams: [{name: orders, path: data/orders.csv, keys: [id]}]
  loaders:
"""
ORDERS = "id,shop,amount\n1,north,2\n2,south,3\n3,north,4\n"
SHOPS = "select shop, sum(cast(amount as int)) as amount from {{ source('tap_files', 'orders') }} group by shop\n"
BEST = "select * from {{ ref('shops') }} order by amount desc limit 1\n"
TESTS = """\
models:
- name: shops
  config: {materialized: table}
  columns:
  - name: shop
    data_tests:
    - accepted_values: {arguments: {values: [north, south]}}
"""


def events(done):
    return [json.loads(line) for line in done.err.splitlines() if line.startswith("{")]


def told(done, kind, name):
    return {event[name]: event["outcome"] for event in events(done) if event["kind"] == kind}


def write_models(hw):
    for name, text in {"shops.sql": SHOPS, "best.sql": BEST, "models.yml": TESTS}.items():
        hw.write(f"transform/models/{name}", text)


def test_dbt_builds_behind_a_load_into_duckdb_and_says_what_fails(project):
    hw = project(f"{PROJECT}  - {{name: target-duckdb, variant: headwater}}\n")
    hw.write("data/orders.csv", ORDERS)
    hw.ok("run", "tap-files", "target-duckdb")
    assert "wrote transform/models/sources.yml" in hw.ok("add", "dbt", timeout=300).out
    write_models(hw)

    steps = ("tap-files", "target-duckdb", "dbt:build", "dbt:test")
    good = hw.ok("--log-format", "json", "--log-level", "debug", "run", *steps, timeout=300)
    assert told(good, "model-built", "model") == {"shops": "success", "best": "success"}
    assert told(good, "checked", "check") == {"accepted_values_shops_shop__north__south": "success"}
    assert hw.query("select shop, amount from analytics.best") == [("north", 6)]
    (lineage,) = (event for event in events(good) if event["kind"] == "lineage")
    (best,) = (node for node in lineage["nodes"] if node["name"] == "best")
    assert best["needs"] == [next(node["key"] for node in lineage["nodes"] if node["name"] == "shops")]

    hw.write("data/orders.csv", f"{ORDERS}4,west,9\n")
    bad = hw("run", "tap-files", "target-duckdb", "dbt:build", timeout=300)
    assert bad.code == 1
    assert bad.error == (
        "error: transform/models/models.yml: test `accepted_values_shops_shop__north__south` failed [dbt-failed]\n"
        "  `accepted_values_shops_shop__north__south` (transform/models/models.yml): "
        "Got 1 result, configured to fail if != 0\n"
        "  not built, because they need it: best\n"
        "hint: headwater invoke dbt show --select accepted_values_shops_shop__north__south shows rows that fail\n"
    )
    shown = hw.ok("invoke", "dbt", "show", "--select", "accepted_values_shops_shop__north__south", timeout=300)
    assert "west" in shown.out

    hw.write("transform/models/lost.sql", "select * from {{ ref('nowhere') }}\n")
    lost = hw("run", "dbt:build", timeout=300)
    assert lost.code == 2
    assert lost.error.startswith("error: transform/models/lost.sql: the dbt project refers to something that it does")


def test_dbt_builds_in_postgres_with_the_password_of_the_loader(project, postgres):
    postgres.sql("create database for_dbt")
    server = f"host: {postgres.host}, port: {postgres.port}, user: {postgres.user}, database: for_dbt"
    hw = project(f"{PROJECT}  - {{name: target-postgres, variant: headwater, config: {{{server}}}}}\n")
    hw.environ["TARGET_POSTGRES_PASSWORD"] = postgres.password
    hw.write("data/orders.csv", ORDERS)
    hw.ok("add", "dbt", timeout=300)
    write_models(hw)
    hw.write("transform/models/sources.yml", "sources: [{name: tap_files, tables: [{name: orders}]}]\n")

    done = hw.ok("--log-format", "json", "run", "tap-files", "target-postgres", "dbt:build", timeout=300)
    assert [(event["model"], event["rows"]) for event in events(done) if event["kind"] == "model-built"] == [
        ("shops", 2),
        ("best", None),
    ]
    assert postgres.sql("select shop, amount from analytics.best", "for_dbt") == [("north", 6)]
    assert postgres.password not in (hw.root / "transform/profiles/postgres/profiles.yml").read_text()
    assert postgres.password not in done.err
