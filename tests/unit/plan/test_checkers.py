from __future__ import annotations

import pytest

from headwater.model.plugin import Command, Definition, Plugin, PluginKind, Resolved
from headwater.plan import checkers


def loader(name, native=None):
    definition = Definition(plugin_type=PluginKind.LOADER, name=name, namespace=name, native=native)
    entry = Plugin(kind=PluginKind.LOADER, name="mine")
    return Resolved(kind=entry.kind, name=entry.name, definition=definition, chain=(entry,), venv_name=entry.name)


@pytest.mark.parametrize(
    ("name", "native", "database"),
    [
        ("target-duckdb", "duckdb", "duckdb"),
        ("target-postgres", None, "postgres"),
        ("target-csv", "csv", None),
        ("target-snowflake", None, None),
    ],
)
def test_a_loader_is_of_a_database_that_the_tools_know(name, native, database):
    assert checkers.database(loader(name, native)) == database


def test_a_file_is_that_of_the_loader():
    assert checkers.connection(loader("target-duckdb", "duckdb"), {"filepath": "/p/w.duckdb"}) == {
        "path": "/p/w.duckdb"
    }


def test_a_server_is_that_of_the_loader_and_its_url_is_quoted():
    config = {"host": "db", "port": 5433, "user": "me@here", "password": "p/w:1", "database": "w"}
    assert checkers.connection(loader("target-postgres", "postgres"), config) == {
        **config,
        "url": "postgresql+psycopg2://me%40here:p%2Fw%3A1@db:5433/w",
    }


def test_encryption_goes_into_the_url():
    config = {"host": "db", "user": "me", "database": "w", "ssl_enable": True, "ssl_mode": "require"}
    found = checkers.connection(loader("target-postgres", "postgres"), config)
    assert found["url"] == "postgresql+psycopg2://me@db:5432/w?sslmode=require"


def test_what_follows_a_second_colon_is_one_word():
    assert checkers.parts("verify:shop/orders") == ("verify", ("shop/orders",))
    assert checkers.parts("verify") == ("verify", ())


def test_commands_of_a_driver_are_those_with_its_verb():
    commands = {"verify": "verify", "nightly": "verify orders", "cloud": "cloud test"}
    definition = Definition(
        plugin_type=PluginKind.UTILITY,
        name="soda",
        namespace="soda",
        commands={name: Command(args=args) for name, args in commands.items()},
    )
    assert checkers.commands("soda", definition) == ["verify", "nightly"]
