"""From dbt and to dbt, without running either."""

from pathlib import Path

import pytest

from headwater.base import yaml
from headwater.base.errors import InputError
from headwater.ops import models
from headwater.ops.workspace import find
from headwater.transform.models import plan_models

RENTALS = Path(__file__).parents[2] / "fixtures" / "rentals"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "headwater.yml").write_text(
        "plugins:\n  loaders: [{name: target-duckdb, variant: headwater}]\n"
        "  transformers: [{name: models, variant: headwater}]\n"
    )
    return folder


def written(root: Path, **files: str) -> Path:
    """A dbt project with these models."""
    (root / "models").mkdir(parents=True)
    (root / "dbt_project.yml").write_text("name: x\nprofile: x\nmodels: {x: {+materialized: table}}\n")
    for name, text in files.items():
        suffix = ".yml" if name == "models" else ".sql"
        (root / "models" / f"{name}{suffix}").write_text(text)
    return root


def test_a_dbt_project_becomes_models_seeds_and_checks(root):
    brought = models.import_dbt(find(root), RENTALS)
    assert brought.notes == ()
    planned = {model.name: model for model in plan_models(root / "models", seeds=root / "seeds")}
    assert len(planned) == 12
    assert {name: one.materialized for name, one in planned.items() if one.materialized != "table"} == {
        "plan_mix": "view",
        "ride_log": "incremental",
        "riders_history": "snapshot",
        "stg_riders": "view",
        "stg_rides": "view",
        "stg_stations": "view",
        "tariffs": "seed",
    }
    assert (root / "models" / "ride_log.sql").read_text() == (
        "select ride_id, rider_id, from_station_id, to_station_id, started_at, ended_at, minutes\n"
        "from stg_rides\n"
        "where ended_at >= (select max(ended_at) from this) -- incremental\n"
    )
    assert "round(100.0 * sum(price_cents) / sum(sum(price_cents)) over (), 1) as share" in planned["plan_mix"].sql
    assert planned["riders_history"].parents == ("stg_riders",)
    assert [source.words for source in planned["stg_rides"].sources] == ["raw.ride_events"]
    told = yaml.read(root / "models" / "models.yml").data
    (priced,) = (entry for entry in told["models"] if entry["name"] == "rides_priced")
    assert priced["columns"] == [
        {"name": "ride_id", "checks": ["unique"]},
        {"name": "plan", "checks": [{"relationship": {"to": "tariffs", "field": "plan"}}]},
    ]
    assert [check["sql"]["name"] for check in priced["checks"]] == ["no_revenue_is_lost", "no_ride_is_free"]
    assert told["seeds"][0]["columns"] == [
        {"name": "plan", "checks": ["unique"]},
        {"name": "unlock_cents", "type": "integer"},
        {"name": "minute_cents", "type": "integer"},
    ]


def test_an_import_is_idempotent_and_overwrites_nothing(root):
    models.import_dbt(find(root), RENTALS)
    models.import_dbt(find(root), RENTALS)
    (root / "models" / "best_day.sql").write_text("select 1 as mine")
    with pytest.raises(InputError) as caught:
        models.import_dbt(find(root), RENTALS)
    assert (caught.value.reference, caught.value.why) == ("file-exists", "models/best_day.sql")
    assert (root / "models" / "best_day.sql").read_text() == "select 1 as mine"


def test_what_only_dbt_can_read_is_said_with_its_line(root, tmp_path):
    project = written(tmp_path / "dbt", a="select 1 as x", b="select *\nfrom {{ my_macro('a') }}", c="{% for x in y %}")
    with pytest.raises(InputError) as caught:
        models.import_dbt(find(root), project)
    assert caught.value.reference == "dbt-unreadable"
    assert caught.value.why == (
        f"{project}/models/b.sql:2: `{{{{ my_macro('a') }}}}`\n{project}/models/c.sql:1: `{{% for x in y %}}`"
    )
    assert (caught.value.hint or "").startswith("dbt compile")
    assert not (root / "models").exists()


def test_macros_of_the_project_and_of_its_packages_are_read(root, tmp_path):
    project = written(tmp_path / "dbt", a="select {{ cents('x') }} as x\nfrom {{ shelf.best('t') }}")
    (project / "macros" / "more").mkdir(parents=True)
    (project / "macros" / "more" / "m.sql").write_text("{% macro cents(c) %}{{ c }} / 100{% endmacro %}")
    package = project / "dbt_packages" / "shelf_of_others"
    (package / "macros").mkdir(parents=True)
    (package / "dbt_project.yml").write_text("name: shelf\n")
    (package / "macros" / "m.sql").write_text("{% macro best(t) %}best_{{ t }}{% endmacro %}")
    assert models.import_dbt(find(root), project).notes == ()
    assert (root / "models" / "a.sql").read_text() == "select x / 100 as x\nfrom best_t\n"


def test_what_dbt_compiled_serves_for_what_can_not_be_read(root, tmp_path):
    unread = "{{ config(materialized='view') }}\nfrom {{ my_macro('a') }}"
    project = written(tmp_path / "dbt", a="select 1 as x", b=unread)
    (project / "target").mkdir()
    (project / "target" / "manifest.json").write_text(
        '{"nodes": {"a": {"name": "a", "resource_type": "model", "relation_name": "\\"w\\".\\"main\\".\\"a\\""},'
        '"b": {"name": "b", "resource_type": "model", "relation_name": null,'
        '"compiled_code": "\\n\\nselect * from \\"w\\".\\"main\\".\\"a\\""}}, "sources": {}}'
    )
    models.import_dbt(find(root), project)
    assert (root / "models" / "b.sql").read_text() == "select * from a\n"
    assert yaml.read(root / "models" / "models.yml").data["models"][1] == {"name": "b", "materialized": "view"}


def test_tests_that_have_no_like_are_named(root, tmp_path):
    project = written(
        tmp_path / "dbt",
        a="select 1 as x",
        models="models:\n- name: a\n  columns:\n  - name: x\n    data_tests:\n"
        "    - not_null: {config: {limit: 1}}\n    - my_package.odd\n    - unique: {config: {where: x > 1}}\n",
    )
    assert models.import_dbt(find(root), project).notes == (
        "a: the test `not_null` with `limit` is left out",
        "a: the test `my_package.odd` is left out",
    )
    told = yaml.read(root / "models" / "models.yml").data
    assert told["models"][0]["columns"] == [{"name": "x", "checks": [{"unique": {"where": "x > 1"}}]}]


def test_tests_that_the_project_or_a_package_defines_become_queries(root, tmp_path):
    project = written(
        tmp_path / "dbt",
        a="select 1 as x",
        models="models:\n- name: a\n  data_tests:\n  - shelf.few: {rows: 3}\n  columns:\n  - name: x\n    data_tests:\n"
        "    - even: {severity: warn, where: x > 1}\n    - in_other: {arguments: {to: ref('a')}}\n    - odd\n",
    )
    (project / "tests" / "generic").mkdir(parents=True)
    (project / "tests" / "generic" / "even.sql").write_text(
        "{% test even(model, column_name) %}\nselect * from {{ model }} where {{ column_name }} = 1\n{% endtest %}\n"
        "{% test in_other(model, column_name, to) %}select 1 from {{ model }}, {{ to }}{% endtest %}"
    )
    package = project / "dbt_packages" / "shelf"
    (package / "macros").mkdir(parents=True)
    (package / "dbt_project.yml").write_text("name: shelf\n")
    (package / "macros" / "few.sql").write_text(
        "{% test few(model, rows) %}{{ return(adapter.dispatch('few', 'shelf')(model, rows)) }}{% endtest %}"
        "{% macro default__few(model, rows) %}select 1 from {{ model }} having count(*) > {{ rows }}{% endmacro %}"
    )
    assert models.import_dbt(find(root), project).notes == ("a: the test `odd` is left out",)
    (told,) = yaml.read(root / "models" / "models.yml").data["models"]
    assert told["checks"] == [
        {
            "sql": {
                "name": "even_a_x",
                "query": "select * from (select * from analytics.a where x > 1) as dbt_subquery where x = 1\n",
                "severity": "warn",
            }
        },
        {"sql": {"name": "in_other_a_x", "query": "select 1 from analytics.a, analytics.a\n"}},
        {"sql": {"name": "shelf_few_a", "query": "select 1 from analytics.a having count(*) > 3\n"}},
    ]


def test_checks_become_tests_of_dbt_unless_they_compare_with_former_runs(root, tmp_path):
    (root / "models").mkdir()
    (root / "models" / "daily.sql").write_text("select day, amount from shop.orders")
    (root / "models" / "models.yml").write_text(
        "models:\n- name: daily\n  columns:\n  - name: day\n"
        "    checks: [freshness: 2 days, unique: {where: day > 3, severity: warn}]\n"
        "  checks: [row_count_change: 20%, row_count: {min: 1, where: amount > 0}]\n"
    )
    out = tmp_path / "out"
    assert models.export_dbt(find(root), out).notes == (
        "analytics.daily: the check `row_count_change` is left out, it compares with former runs",
    )
    assert yaml.read(out / "models" / "models.yml").data["models"][0]["columns"][0]["data_tests"] == [
        {"unique": {"config": {"severity": "warn", "where": "day > 3"}}}
    ]
    tests = {path.name: path.read_text() for path in (out / "tests").iterdir()}
    assert tests.keys() == {"analytics_daily_freshness.sql", "analytics_daily_row_count.sql"}
    assert "from {{ ref('daily') }} where (\namount > 0\n)" in tests["analytics_daily_row_count.sql"]
    assert "interval '172800 seconds'" in tests["analytics_daily_freshness.sql"]


def test_a_folder_without_a_dbt_project_is_said(root, tmp_path):
    with pytest.raises(InputError) as caught:
        models.import_dbt(find(root), tmp_path)
    assert caught.value.reference == "no-dbt-project"


def test_models_become_a_dbt_project(root, tmp_path):
    (root / "models").mkdir()
    (root / "models" / "daily.sql").write_text("select day, sum(amount) as amount\nfrom shop.orders group by day")
    (root / "models" / "log.sql").write_text(
        "select o.*\nfrom shop.orders as o join daily using (day)\n"
        "where o.id > (select max(id) from this)  -- incremental\n"
    )
    (root / "models" / "kept.sql").write_text("select * from daily")
    (root / "models" / "models.yml").write_text(
        "models:\n"
        "- name: daily\n  columns:\n  - name: day\n    checks: [unique, range: {min: 1}]\n"
        "- {name: log, materialized: incremental, unique_key: id, checks: [{sql: {name: few, query: from log}}]}\n"
        "- {name: kept, materialized: snapshot, unique_key: day}\n"
        "sources: [{name: shop, tables: [{name: orders, columns: [{name: id, checks: [not_null]}]}]}]\n"
    )
    out = tmp_path / "out"
    brought = models.export_dbt(find(root), out)
    assert brought.notes == ()
    assert (out / "models" / "log.sql").read_text() == (
        "{{ config(materialized='incremental', unique_key=['id']) }}\n"
        "select o.*\nfrom {{ source('shop', 'orders') }} as o join {{ ref('daily') }} using (day)\n"
        "{% if is_incremental() %}\nwhere o.id > (select max(id) from {{ this }})  -- incremental\n{% endif %}\n"
    )
    assert (out / "models" / "kept_rows.sql").read_text().endswith("select * from {{ ref('daily') }}\n")
    assert yaml.read(out / "models" / "models.yml").data == {
        "models": [{"name": "daily", "columns": [{"name": "day", "data_tests": ["unique"]}]}],
        "sources": [
            {
                "name": "shop",
                "tables": [{"name": "orders", "columns": [{"name": "id", "data_tests": ["not_null"]}]}],
            }
        ],
    }
    assert sorted(path.name for path in (out / "tests").iterdir()) == ["analytics_daily_range.sql", "few.sql"]
    assert "from {{ ref('daily') }} where" in (out / "tests" / "analytics_daily_range.sql").read_text()
    assert yaml.read(out / "snapshots" / "snapshots.yml").data["snapshots"][0]["relation"] == "ref('kept_rows')"
