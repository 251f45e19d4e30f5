"""Files into PostgreSQL by the connector that comes with the program."""

from __future__ import annotations

import pytest

PROJECT = """\
default_environment: dev
environments: [{{name: dev}}]
plugins:
  extractors:
  - name: tap-files
    variant: headwater
    config:
      streams:
      - {{name: people, path: data/people.csv, keys: [id]}}
  loaders:
  - name: target-postgres
    variant: headwater
    config:
      host: {host}
      port: {port}
      user: {user}
      database: lake
      dialect+driver: postgresql+psycopg2
"""


@pytest.fixture
def lake(postgres):
    postgres.sql("drop database if exists lake with (force)")
    postgres.sql("create database lake")
    return lambda statement: postgres.sql(statement, "lake")


@pytest.fixture
def files(hw, postgres, lake):
    hw.write("headwater.yml", PROJECT.format(host=postgres.host, port=postgres.port, user=postgres.user))
    hw.write(".env", f"TARGET_POSTGRES_PASSWORD={postgres.password}\n")
    hw.write("data/people.csv", 'id,name,born\n1,Ada,1815-12-10\n2,Zoë,\n3,"O\'Neil",1990-01-01\n')
    return hw


def test_files_are_loaded_once_and_then_only_what_is_new(files, lake, postgres):
    files.ok("run", "tap-files", "target-postgres")
    people = "select id, name, born::text from tap_files.people order by id"
    assert lake(people) == [(1, "Ada", "1815-12-10"), (2, "Zoë", None), (3, "O'Neil", "1990-01-01")]

    done = files.ok("run", "tap-files", "target-postgres")
    assert lake("select sum(rows_in) from _headwater.ledger") == [(3,)]
    assert postgres.password not in done.out + done.err

    files.write("data/people.csv", "id,name,born\n1,Ada,1815-12-10\n2,Zoë,2000-02-29\n4,New,\n")
    files.ok("run", "tap-files", "target-postgres")
    assert lake(people) == [
        (1, "Ada", "1815-12-10"),
        (2, "Zoë", "2000-02-29"),
        (3, "O'Neil", "1990-01-01"),
        (4, "New", None),
    ]


def test_a_wrong_password_ends_the_run_with_the_next_command(files):
    done = files("run", "tap-files", "target-postgres", TARGET_POSTGRES_PASSWORD="wrong-canary")
    assert done.code == 3
    assert "[wrong-password]" in done.error
    assert "config set target-postgres password" in done.error
    assert "canary" not in done.out + done.err
