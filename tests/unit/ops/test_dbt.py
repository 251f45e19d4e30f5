from __future__ import annotations

import duckdb
import pytest
import yaml

from headwater.ops import dbt, planning
from headwater.ops.plugins import AddRequest
from headwater.plan import build
from headwater.plan.options import Options

DUCKDB = "plugins:\n  loaders:\n    - name: target-duckdb\n      variant: headwater\n"
POSTGRES = """
plugins:
  loaders:
    - name: target-postgres
      variant: headwater
      config: {host: db, user: me, database: w}
"""


def add(lab):
    return dbt.add(lab.workspace(), "dbt", AddRequest())


def test_dbt_gets_the_adapter_of_the_loader(lab):
    lab = lab(DUCKDB)
    added, files = add(lab)
    assert (added.name, added.kind) == ("dbt", "utility")
    assert files == ("transform/dbt_project.yml", "transform/profiles/duckdb/profiles.yml", "transform/.gitignore")
    assert lab.text().endswith(
        """
  utilities:
    - name: dbt
      inherit_from: dbt-duckdb
      variant: jwills
      pip_url: dbt-core dbt-duckdb
      loader: target-duckdb
      config:
        schema: analytics
"""
    )
    assert (lab.root / "plugins/utilities/dbt-duckdb--jwills.lock").is_file()


def test_the_profile_holds_variables_and_they_are_those_of_the_loader(lab, monkeypatch):
    lab = lab(POSTGRES)
    monkeypatch.setenv("TARGET_POSTGRES_PASSWORD", "pg-secret")
    add(lab)
    profile = lab.text("transform/profiles/postgres/profiles.yml")
    assert "password: '{{ env_var(''DBT_POSTGRES_PASSWORD'', '''') }}'" in profile
    assert "port: '{{ env_var(''DBT_POSTGRES_PORT'') | as_number }}'" in profile
    (step,) = build.steps(planning.facts(lab.workspace()), ["dbt:build"], Options())
    names = ("HOST", "PORT", "USER", "PASSWORD", "DBNAME", "SCHEMA")
    found = [step.block.env[f"DBT_POSTGRES_{name}"] for name in names]
    assert found == ["db", "5432", "me", "pg-secret", "w", "analytics"]
    assert "pg-secret" in step.block.secrets
    assert "TARGET_POSTGRES_PASSWORD" not in step.block.env


SNOWFLAKE = """
plugins:
  loaders:
    - name: target-snowflake
      variant: meltanolabs
      config: {account: acme-x1, user: me, private_key_path: /keys/me.p8, warehouse: small, database: W, role: loader}
"""


def test_the_profile_of_an_adapter_that_is_named_takes_from_a_loader_of_its_kind(lab):
    lab = lab(SNOWFLAKE)
    added, files = dbt.add(lab.workspace(), "dbt-snowflake", AddRequest())
    assert (added.name, added.kind) == ("dbt-snowflake", "utility")
    assert "transform/profiles/snowflake/profiles.yml" in files
    (step,) = build.steps(planning.facts(lab.workspace()), ["dbt-snowflake:build"], Options())
    assert (
        step.block.env.items()
        >= {
            "DBT_SNOWFLAKE_ACCOUNT": "acme-x1",
            "DBT_SNOWFLAKE_DATABASE": "W",
            "DBT_SNOWFLAKE_PRIVATE_KEY_PATH": "/keys/me.p8",
            "DBT_SNOWFLAKE_ROLE": "loader",
            "DBT_SNOWFLAKE_SCHEMA": "analytics",
            "DBT_SNOWFLAKE_USER": "me",
            "DBT_SNOWFLAKE_WAREHOUSE": "small",
        }.items()
    )


@pytest.mark.parametrize(
    ("adapter", "said"),
    [
        (
            "bigquery",
            {
                "method": "{{ 'service-account' if env_var('DBT_BIGQUERY_KEYFILE', '') "
                "else env_var('DBT_BIGQUERY_AUTH_METHOD', 'oauth') }}",
                "project": "{{ env_var('DBT_BIGQUERY_PROJECT') }}",
                "keyfile": "{{ env_var('DBT_BIGQUERY_KEYFILE', '') or none }}",
                "location": "{{ env_var('DBT_BIGQUERY_LOCATION', '') or none }}",
                "dataset": "{{ env_var('DBT_BIGQUERY_DATASET') }}",
            },
        ),
        (
            "clickhouse",
            {
                "host": "{{ env_var('DBT_CLICKHOUSE_HOST') }}",
                "port": "{{ env_var('DBT_CLICKHOUSE_PORT') | as_number }}",
                "user": "{{ env_var('DBT_CLICKHOUSE_USER') }}",
                "password": "{{ env_var('DBT_CLICKHOUSE_PASSWORD', '') }}",
                "secure": "{{ env_var('DBT_CLICKHOUSE_SECURE', 'false') == 'true' }}",
                "schema": "{{ env_var('DBT_CLICKHOUSE_SCHEMA') }}",
            },
        ),
    ],
)
def test_an_adapter_that_is_named_needs_no_loader(lab, adapter, said):
    lab = lab("plugins: {}\n")
    _, files = dbt.add(lab.workspace(), f"dbt-{adapter}", AddRequest())
    (profile,) = (file for file in files if file.endswith("profiles.yml"))
    (found,) = yaml.safe_load(lab.text(profile)).values()
    assert found["outputs"]["warehouse"] == {"type": adapter, "threads": 4, **said}
    assert dbt.add(lab.workspace(), f"dbt-{adapter}", AddRequest())[1] == ()


def test_an_adapter_that_is_named_leaves_a_project_alone_that_has_its_profile(lab):
    lab = lab(POSTGRES)
    lab.write("transform/dbt_project.yml", "name: mine\nprofile: ours\n")
    lab.write("transform/profiles/postgres/profiles.yml", "ours: {}\n")
    assert dbt.add(lab.workspace(), "dbt-postgres", AddRequest())[1] == ()
    assert "loader:" not in lab.text().partition("utilities:")[2]
    assert "schema" not in lab.text()


def test_what_dbt_itself_is_told_goes_before_the_loader(lab):
    lab = lab(DUCKDB)
    add(lab)
    lab.write("headwater.yml", lab.text().replace("schema: analytics", "schema: analytics\n        path: other.duckdb"))
    (step,) = build.steps(planning.facts(lab.workspace()), ["dbt:build"], Options())
    assert step.block.env["DBT_DUCKDB_PATH"] == "other.duckdb"


def test_a_command_on_duckdb_holds_the_file_of_its_loader(lab):
    lab = lab(DUCKDB)
    add(lab)
    (step,) = build.steps(planning.facts(lab.workspace()), ["dbt:build"], Options())
    assert step.dbt.files == (str(lab.root / "warehouse.duckdb"),)


def test_tables_that_were_loaded_become_sources(lab):
    lab = lab(DUCKDB)
    with duckdb.connect(str(lab.root / "warehouse.duckdb")) as connection:
        connection.execute("create schema tap_files; create table tap_files.orders (id int)")
        connection.execute("create schema _headwater; create table _headwater.ledger (id int)")
    add(lab)
    assert lab.text("transform/models/sources.yml") == (
        "version: 2\nsources:\n  - name: tap_files\n    tables:\n      - name: orders\n"
    )


def test_a_dbt_project_that_is_there_is_used_as_it_is(lab):
    lab = lab(DUCKDB)
    lab.write("analysis/dbt_project.yml", "name: mine\nprofile: ours\n")
    _, files = add(lab)
    assert files == ("transform/profiles/duckdb/profiles.yml",)
    assert lab.text(files[0]).startswith("ours:\n")
    assert "project_dir: $MELTANO_PROJECT_ROOT/analysis" in lab.text()


def test_profiles_of_ones_own_are_used_as_they_are(lab):
    lab = lab(DUCKDB)
    lab.write("transform/dbt_project.yml", "name: mine\nprofile: ours\n")
    lab.write("transform/profiles.yml", "ours: {}\n")
    assert add(lab)[1] == ()
    assert "profiles_dir: $MELTANO_PROJECT_ROOT/transform" in lab.text()


def test_adding_it_again_changes_nothing(lab):
    lab = lab(DUCKDB)
    add(lab)
    lab.write("transform/dbt_project.yml", "name: changed\n")
    before = lab.text()
    assert add(lab)[1] == ()
    assert (lab.text(), lab.text("transform/dbt_project.yml")) == (before, "name: changed\n")


@pytest.mark.parametrize(
    ("project", "said"),
    [
        ("plugins: {}\n", "dbt needs a destination, and the project has no loader"),
        (
            "plugins:\n  loaders:\n    - name: target-jsonl\n      variant: headwater\n",
            "dbt has no adapter for `target-jsonl`",
        ),
    ],
)
def test_without_a_loader_it_knows_dbt_is_not_added(lab, project, said):
    lab = lab(project)
    assert lab.refusal(dbt.add, lab.workspace(), "dbt", AddRequest()) == (
        f"error: headwater.yml: {said} [no-dbt-adapter]\n"
        "hint: headwater add target-duckdb, or name an adapter: headwater add dbt-postgres"
    )


def test_a_loader_that_is_gone_is_named(lab):
    lab = lab(DUCKDB)
    add(lab)
    lab.write("headwater.yml", lab.text().replace("loader: target-duckdb", "loader: target-duckbd"))
    refusal = lab.refusal(build.steps, planning.facts(lab.workspace()), ["dbt:build"], Options())
    assert "`dbt` connects as the loader `target-duckbd`, which the project does not have" in refusal
    assert refusal.endswith("hint: did you mean `target-duckdb`?")


def test_the_transformer_of_old_projects_is_left_alone(lab):
    lab = lab(f"{DUCKDB}  transformers:\n    - name: dbt\n      pip_url: dbt-core~=1.1.0 dbt-postgres~=1.1.0\n")
    added, files = add(lab)
    assert (added.kind, added.existed, files) == ("transformer", True, ())
