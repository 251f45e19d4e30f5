"""Soda and Great Expectations with the packages from PyPI: what is loaded is checked, in DuckDB and in PostgreSQL, and
every result is one of the run."""

from __future__ import annotations

import json

import pytest

PROJECT = """\
plugins:
  extractors:
  - name: tap-files
    variant: headwater
    config: {path: data/*.csv, keys: {orders: [id]}}
  loaders:
  - {LOADER}
  utilities:
  - name: after
    namespace: after
    executable: touch
    commands: {it: {args: after.txt}}
"""
DUCKDB = "{name: target-duckdb, variant: headwater}"
STRICT = """\
columns:
  - name: note
    checks:
      - missing:
          threshold: {level: warn}
  - name: amount
    checks:
      - invalid:
          valid_min: 0
"""
GX = "great_expectations"


def events(done):
    return [json.loads(line) for line in done.err.splitlines() if line.startswith("{")]


def checked(done):
    """The outcomes of the checks that a run had."""
    return {event["check"]: event["outcome"] for event in events(done) if event.get("kind") == "checked"}


@pytest.fixture
def checking(project, installed):
    """A project that has loaded three orders, with a tool that was added then."""

    def made(tool, loader, **environ):
        hw = project(PROJECT.replace("{LOADER}", loader))
        hw.environ |= environ
        hw.write("data/orders.csv", "id,note,amount\n1,a,2\n2,,3\n3,c,-4\n")
        hw.ok("run", "tap-files", loader_name(loader))
        installed.copy(hw, "target-duckdb")  # the tools are set up for a loader
        installed(hw, tool)
        return hw

    return made


def loader_name(loader):
    return loader.split(",")[0].removeprefix("{name: ")


@pytest.fixture
def in_postgres(postgres):
    """A loader into a new database, without its password."""
    postgres.sql("drop database if exists checked with (force)")
    postgres.sql("create database checked")
    return (
        f"{{name: target-postgres, variant: headwater, config: {{host: {postgres.host}, port: {postgres.port}, "
        f"user: {postgres.user}, database: checked}}}}"
    )


def in_project(hw, text):
    return [file for file in hw.root.rglob("*") if file.is_file() and text.encode() in file.read_bytes()]


def test_contracts_of_soda_are_verified_in_duckdb_and_stop_what_comes_after(checking):
    hw = checking("soda", DUCKDB)
    good = hw.ok("--log-format", "json", "run", "tap-files", "target-duckdb", "soda:verify", timeout=300)
    assert checked(good) == {
        "tap_files.orders.id.missing": "success",
        "tap_files.orders.id.duplicate": "success",
        "tap_files.orders.schema": "success",
        "tap_files.orders.row_count": "success",
    }

    hw.write("soda/contracts/strict.yml", f"dataset: warehouse/tap_files/orders\n{STRICT}")
    bad = hw("run", "soda:verify:strict", "after:it", timeout=300)
    assert (bad.code, (hw.root / "after.txt").exists()) == (1, False)
    assert bad.error == (
        "error: soda/contracts/strict.yml:9: 1 of 2 checks failed [checks-failed]\n"
        "  `tap_files.orders.amount.invalid`: 1 of 3 values are invalid; must be 0 (soda/contracts/strict.yml:9)\n"
        "hint: headwater invoke soda:verify:strict shows all that the tool says; put the data right, or what is asked "
        "of it\n"
    )
    log = hw.ok("logs", "show", "last").out
    assert "check tap_files.orders.note.missing: 1 failing row, 1 of 3 values are missing; must be 0" in log
    assert "soda:verify................................................. failure" in hw("test", "soda", timeout=300).out

    hw.write("soda/contracts/strict.yml", f"dataset: warehouse/tap_files/orders\n{STRICT.replace('amount', 'sum')}")
    wrong = hw("run", "soda:verify:strict", timeout=300)
    assert wrong.code == 2
    assert wrong.error.startswith(
        "error: soda/contracts/strict.yml:9: the table that is checked has no column `sum` [unknown-column]\n"
    )


def test_contracts_of_soda_are_verified_in_postgres_with_the_password_of_the_loader(checking, in_postgres, postgres):
    hw = checking("soda", in_postgres, TARGET_POSTGRES_PASSWORD=postgres.password)
    hw.write("soda/contracts/strict.yml", f"dataset: warehouse/checked/tap_files/orders\n{STRICT}")
    bad = hw("--log-format", "json", "run", "soda:verify", timeout=300)
    assert bad.code == 1
    assert checked(bad) == {
        "tap_files.orders.id.missing": "success",
        "tap_files.orders.id.duplicate": "success",
        "tap_files.orders.schema": "success",
        "tap_files.orders.row_count": "success",
        "tap_files.orders.note.missing": "failed",
        "tap_files.orders.amount.invalid": "failed",
    }
    assert postgres.password not in bad.err
    assert not in_project(hw, postgres.password)


EXPECTED = {
    "tap_files.orders.expect_table_row_count_to_be_between": "success",
    "tap_files.orders.id.expect_column_values_to_not_be_null": "success",
    "tap_files.orders.id.expect_column_values_to_be_unique": "success",
}
MORE = [
    {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "note"}, "severity": "warning"},
    {"type": "expect_column_values_to_be_between", "kwargs": {"column": "amount", "min_value": 0}},
]


def test_checkpoints_of_great_expectations_are_run_in_duckdb_and_stop_what_comes_after(checking):
    hw = checking(GX, DUCKDB)
    suite = json.loads((hw.root / "gx/expectations/tap_files/orders.json").read_text())
    hw.write(
        "gx/expectations/tap_files/orders.json", json.dumps({**suite, "expectations": suite["expectations"] + MORE})
    )
    bad = hw("--log-format", "json", "run", f"{GX}:checkpoint:checks", "after:it", timeout=300)
    assert (bad.code, (hw.root / "after.txt").exists()) == (1, False)
    assert checked(bad) == {
        **EXPECTED,
        "tap_files.orders.note.expect_column_values_to_not_be_null": "failed",
        "tap_files.orders.amount.expect_column_values_to_be_between": "failed",
    }
    assert (
        "1 of 3 values are not as expect_column_values_to_be_between (min_value 0.0)"
        in hw.ok("logs", "show", "last").out
    )


def test_checkpoints_of_great_expectations_are_run_in_postgres(checking, in_postgres, postgres):
    hw = checking(GX, in_postgres, TARGET_POSTGRES_PASSWORD=postgres.password)
    good = hw.ok("--log-format", "json", "run", f"{GX}:checkpoint", timeout=300)
    assert checked(good) == EXPECTED
    assert postgres.password not in good.err
    assert not in_project(hw, postgres.password)
