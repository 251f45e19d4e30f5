from __future__ import annotations

import json

import duckdb
import pytest
import yaml

from headwater.ops import checkers, planning, plugin_tests
from headwater.ops.hub import Sources
from headwater.ops.plugins import AddRequest
from headwater.plan import build
from headwater.plan.options import Options

GX = "great_expectations"
DUCKDB = "plugins:\n  loaders:\n    - name: target-duckdb\n      variant: headwater\n"
POSTGRES = """
plugins:
  loaders:
    - name: target-postgres
      variant: headwater
      config: {host: db, user: me, database: w}
"""
OLD = f"""
plugins:
  utilities:
    - name: {GX}
      variant: great-expectations
      pip_url: great_expectations==0.15.50
      commands: {{nightly: {{args: checkpoint run nightly}}}}
"""


def add(lab, name, **request):
    workspace = lab.workspace()
    return checkers.add(workspace, name, AddRequest(**request), sources=Sources.of(workspace, note=print, offline=True))


def step(lab, word):
    (found,) = build.steps(planning.facts(lab.workspace()), [word], Options())
    return found


@pytest.fixture
def loaded(lab):
    """A project whose warehouse holds a table with a key, and one of models."""
    lab = lab(DUCKDB)
    with duckdb.connect(str(lab.root / "warehouse.duckdb")) as connection:
        for schema in ("shop", "analytics", "_headwater"):
            connection.execute(f"create schema {schema}")
        connection.execute("create table shop.orders (id int, note text, __loaded_at timestamp)")
        connection.execute("create table analytics.a (id int)")
        connection.execute("create table _headwater.tables (schema_name text, table_name text, keys text[])")
        connection.execute("insert into _headwater.tables values ('shop', 'orders', ['id'])")
    return lab


def test_soda_gets_a_source_and_a_contract_for_a_table_that_is_there(loaded):
    added, files = add(loaded, "soda")
    assert (added.name, added.variant) == ("soda", "headwater")
    assert files == ("soda/data_source.yml", "soda/contracts/orders.yml")
    assert loaded.text().endswith("      loader: target-duckdb\n")
    assert yaml.safe_load(loaded.text("soda/data_source.yml")) == {
        "type": "duckdb",
        "name": "warehouse",
        "connection": {"database": "${env.SODA_PATH}", "read_only": True},
    }
    assert yaml.safe_load(loaded.text("soda/contracts/orders.yml")) == {
        "dataset": "warehouse/shop/orders",
        "columns": [{"name": "id", "checks": [{"missing": None}, {"duplicate": None}]}, {"name": "note"}],
        "checks": [
            {"schema": {"allow_extra_columns": True}},
            {"row_count": {"threshold": {"must_be_greater_than": 0}}},
        ],
    }


def test_great_expectations_gets_a_project_with_a_checkpoint(loaded):
    _, files = add(loaded, GX)
    assert files == (
        "gx/great_expectations.yml",
        "gx/.gitignore",
        "gx/expectations/shop/orders.json",
        "gx/validation_definitions/shop.orders.json",
        "gx/checkpoints/checks.json",
    )
    project = yaml.safe_load(loaded.text("gx/great_expectations.yml"))
    source = project["fluent_datasources"]["warehouse"]
    validation = json.loads(loaded.text("gx/validation_definitions/shop.orders.json"))
    suite = json.loads(loaded.text("gx/expectations/shop/orders.json"))
    assert validation["data"]["asset"] == {"id": source["assets"]["shop.orders"]["id"], "name": "shop.orders"}
    assert validation["suite"] == {"id": suite["id"], "name": "shop.orders"}
    assert project["analytics_enabled"] is False


@pytest.mark.parametrize("tool", ["soda", GX])
def test_what_is_there_stays(loaded, tool):
    add(loaded, tool)
    before = {path: path.read_bytes() for path in loaded.root.rglob("*") if path.is_file()}
    assert add(loaded, tool)[1] == ()
    assert {path: path.read_bytes() for path in loaded.root.rglob("*") if path.is_file()} == before


def test_a_table_whose_name_is_no_name_of_a_file_is_no_example(lab):
    lab = lab(DUCKDB)
    with duckdb.connect(str(lab.root / "warehouse.duckdb")) as connection:
        connection.execute('create schema shop; create table shop."../../up" (id int); create table shop.z (id int)')
    assert add(lab, "soda")[1] == ("soda/data_source.yml", "soda/contracts/z.yml")


def test_an_example_comes_with_the_first_table(lab):
    lab = lab(DUCKDB)
    assert add(lab, "soda")[1] == ("soda/data_source.yml",)
    with duckdb.connect(str(lab.root / "warehouse.duckdb")) as connection:
        connection.execute("create schema shop; create table shop.orders (id int)")
    assert add(lab, "soda")[1] == ("soda/contracts/orders.yml",)


@pytest.mark.parametrize(
    ("tool", "names"),
    [("soda", ["SODA_PASSWORD"]), (GX, ["GREAT_EXPECTATIONS_PASSWORD", "GREAT_EXPECTATIONS_URL"])],
)
def test_the_password_of_the_loader_is_in_the_environment_and_in_no_file(lab, monkeypatch, tool, names):
    monkeypatch.setenv("TARGET_POSTGRES_PASSWORD", "pg-secret")
    lab = lab(POSTGRES)
    add(lab, tool)
    found = step(lab, {"soda": "soda:verify", GX: f"{GX}:checkpoint"}[tool])
    assert all("pg-secret" in found.block.env[name] for name in names)
    assert "pg-secret" in found.block.secrets
    assert "TARGET_POSTGRES_PASSWORD" not in found.block.env
    assert not [path for path in lab.root.rglob("*") if path.is_file() and "pg-secret" in path.read_text()]


def test_soda_finds_every_variable_of_its_source(lab):
    lab = lab(POSTGRES)
    add(lab, "soda")
    connection = yaml.safe_load(lab.text("soda/data_source.yml"))["connection"]
    env = step(lab, "soda:verify").block.env
    found = {key: env.get(text.removeprefix("${env.").removesuffix("}")) for key, text in connection.items()}
    assert found == {
        "host": "db", "port": "5432", "user": "me", "password": "", "database": "w", "sslmode": "prefer",
    }  # fmt: skip


@pytest.mark.parametrize("tool", ["soda", GX])
def test_nothing_is_sent_to_the_makers_of_the_tools(loaded, tool):
    add(loaded, tool)
    env = step(loaded, "soda:verify" if tool == "soda" else f"{tool}:checkpoint").block.env
    assert env["DO_NOT_TRACK"] == "1"
    assert env["SODA_CORE_TELEMETRY_ENABLED" if tool == "soda" else "GX_ANALYTICS_ENABLED"] == "false"


def test_a_named_contract_is_one_more_word_for_the_driver(loaded):
    add(loaded, "soda")
    found = step(loaded, "soda:verify:orders")
    assert (found.name, found.argv[1:]) == ("soda:verify:orders", ("verify", "orders"))
    assert found.argv[0].endswith("/soda/venv/bin/python")
    assert found.checker.folder == str(loaded.root / "soda")
    assert found.checker.files == (str(loaded.root / "warehouse.duckdb"),)


def test_a_command_that_is_not_known_is_refused(loaded):
    add(loaded, "soda")
    assert "did you mean `verify`?" in loaded.refusal(step, loaded, "soda:verfy")


def test_other_commands_are_the_tools_own_program(loaded):
    add(loaded, "soda")
    text = loaded.text().replace("loader: target-duckdb", "loader: target-duckdb\n      commands: {cloud: cloud test}")
    loaded.write("headwater.yml", text)
    found = step(loaded, "soda:cloud")
    assert found.checker is None
    assert (found.argv[0].endswith("/bin/soda"), found.argv[1:]) == (True, ("cloud", "test"))


def test_the_checks_of_a_tool_are_its_tests(loaded):
    add(loaded, "soda")
    (test,) = plugin_tests.chosen(loaded.workspace(), ["soda"], everything=False)
    assert (test.name, test.is_step) == ("soda:verify", True)


def test_a_project_without_a_database_that_is_known_is_refused(lab):
    lab = lab("plugins: {}\n")
    assert lab.refusal(add, lab, "soda") == (
        "error: headwater.yml: `soda` is set up for DuckDB and PostgreSQL, and the project has no loader for them "
        "[no-checker-database]\n"
        "hint: headwater add target-duckdb, or write soda/ yourself first"
    )
    assert lab.text() == "plugins: {}\n"
    lab.write("soda/data_source.yml", "type: snowflake\n")
    assert add(lab, "soda")[1] == ()


def test_the_old_great_expectations_of_a_project_stays_a_program(lab):
    lab = lab(OLD)
    found = step(lab, f"{GX}:nightly")
    assert found.checker is None
    assert found.argv[0].endswith(f"/{GX}/venv/bin/{GX}")
    assert found.argv[1:] == ("checkpoint", "run", "nightly")
