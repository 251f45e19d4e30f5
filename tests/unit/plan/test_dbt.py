from __future__ import annotations

import pytest

from headwater.model.plugin import Definition, Plugin, PluginKind, Resolved
from headwater.plan import dbt


@pytest.mark.parametrize("program", ["dbt", "/p/.headwater/utilities/dbt/venv/bin/dbt", "/p/venv/bin/dbt_invoker"])
def test_dbt_is_known_by_its_program(program):
    assert dbt.is_dbt((program, "build"))


def test_other_programs_are_not_dbt():
    assert not dbt.is_dbt(("/p/bin/sqlfluff", "dbt"))
    assert not dbt.is_dbt(())


def test_a_duckdb_adapter_takes_the_file_of_its_loader():
    assert dbt.connection("duckdb", {"filepath": "/p/warehouse.duckdb", "hard_delete": False}) == {
        "path": "/p/warehouse.duckdb"
    }


def test_a_postgres_adapter_takes_the_server_of_its_loader():
    loader = {"host": "db", "port": 5433, "user": "me", "password": "pw", "database": "w", "ssl_mode": "verify-full"}
    found = {"host": "db", "port": 5433, "user": "me", "password": "pw", "dbname": "w"}
    assert dbt.connection("postgres", loader) == found
    assert dbt.connection("postgres", loader | {"ssl_enable": True}) == found | {"sslmode": "verify-full"}


def test_an_address_goes_before_what_it_repeats():
    url = "postgresql+psycopg://me:p%40w@db:5433/w?sslmode=require"
    assert dbt.connection("postgres", {"sqlalchemy_url": url, "host": "localhost", "port": 5432}) == {
        "host": "db",
        "port": 5433,
        "user": "me",
        "password": "p@w",
        "dbname": "w",
        "sslmode": "require",
    }


@pytest.mark.parametrize("path", [":memory:", "md:my_database", "motherduck:x", "s3://bucket/w.duckdb", None])
def test_only_files_of_this_machine_are_leased(path):
    assert not dbt.is_file(path)


def test_adapters_are_those_of_the_name_then_those_of_the_packages():
    definition = Definition(
        plugin_type=PluginKind.TRANSFORMER,
        name="dbt",
        namespace="dbt",
        pip_url="dbt-core~=1.9 dbt-postgres dbt-duckdb==1.9 git+https://host/dbt-ext.git",
    )
    entry = Plugin(kind=PluginKind.TRANSFORMER, name="dbt-redshift")
    resolved = Resolved(
        kind=PluginKind.TRANSFORMER, name=entry.name, definition=definition, chain=(entry,), venv_name=entry.name
    )
    assert dbt.adapters(resolved) == ("redshift", "postgres", "duckdb")
