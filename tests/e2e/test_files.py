"""Files into every kind of destination: the first run loads, the second has nothing to do, changes are seen."""

from __future__ import annotations

import gzip
import json

import pyarrow.parquet as pq
import pytest

PROJECT = """\
default_environment: dev
environments: [{name: dev}]
plugins:
  extractors:
  - name: tap-files
    variant: headwater
    config:
      streams:
      - {name: people, path: data/people*.csv*, keys: [id]}
      - {name: visits, path: data/visits.jsonl, optional: true}
  loaders:
  - name: target-duckdb
    variant: headwater
  - name: target-parquet
    variant: headwater
  - name: target-jsonl
    variant: headwater
"""

PEOPLE = 'id,name,born\n1,Ada,1815-12-10\n2,Zoë,\n3,"O\'Neil, ""Q""",1990-01-01\n'
VISITS = '{"person": 1, "at": "2026-01-01T10:00:00Z", "price": 0.1}\n{"person": 2, "at": null, "price": 12}\n'

FIRST = {(1, "Ada"), (2, "Zoë"), (3, 'O\'Neil, "Q"')}


@pytest.fixture
def files(project):
    hw = project(PROJECT)
    hw.write("data/people.csv", PEOPLE)
    hw.write("data/visits.jsonl", VISITS)
    return hw


def rows(done):
    """Rows loaded by stream, of the table that ends a step."""
    found = {}
    for line in done.err.splitlines():
        words = line.split()
        if line.startswith("  ") and len(words) >= 3 and words[1].isdigit():
            found[words[0]] = int(words[1])
    return found


def in_duckdb(hw):
    return set(hw.query("select id, name from tap_files.people"))


def in_parquet(hw):
    return {
        (row["id"], row["name"])
        for file in (hw.root / "output/people").rglob("*.parquet")
        for row in pq.read_table(file, partitioning=None).to_pylist()
    }


def in_jsonl(hw):
    return {
        (row["id"], row["name"])
        for file in (hw.root / "output/people").rglob("*.jsonl")
        for row in map(json.loads, file.read_text().splitlines())
    }


@pytest.mark.parametrize(
    ("loader", "content"), [("target-duckdb", in_duckdb), ("target-parquet", in_parquet), ("target-jsonl", in_jsonl)]
)
def test_files_are_loaded_once_and_then_only_what_is_new(files, loader, content):
    done = files.ok("run", "tap-files", loader)
    assert rows(done) == {"people": 3, "visits": 2}
    assert content(files) == FIRST

    assert rows(files.ok("run", "tap-files", loader)) == {}
    assert content(files) == FIRST

    files.write("data/people-2.csv", "id,name,born\n4,Linus,1969-12-28\n")
    files.write("data/people-3.csv.gz", gzip.compress(b"id,name,born\n5,Grace,1906-12-09\n"))
    assert rows(files.ok("run", "tap-files", loader)) == {"people": 2}
    assert content(files) == FIRST | {(4, "Linus"), (5, "Grace")}


def test_a_changed_file_is_read_again_and_its_rows_replace_the_old_ones(files):
    files.ok("run", "tap-files", "target-duckdb")
    files.write("data/people.csv", PEOPLE.replace("Ada", "Augusta Ada") + "6,New,\n")
    assert rows(files.ok("run", "tap-files", "target-duckdb")) == {"people": 4}
    assert in_duckdb(files) == {(1, "Augusta Ada"), *(FIRST - {(1, "Ada")}), (6, "New")}


def test_types_of_files_are_those_of_their_values(files):
    files.ok("run", "tap-files", "target-duckdb")
    assert dict(files.query("select column_name, column_type from (describe tap_files.people)")) == {
        "id": "BIGINT",
        "name": "VARCHAR",
        "born": "DATE",
        "__loaded_at": "TIMESTAMP WITH TIME ZONE",
    }
    assert files.query("select id, born is null, name is null from tap_files.people order by id") == [
        (1, False, False),
        (2, True, False),
        (3, False, False),
    ]
    assert files.query('select person, cast(price as varchar), "at" is null from tap_files.visits order by person') == [
        (1, "0.1", False),
        (2, "12.0", True),
    ]


def test_files_into_a_singer_target(files, installed):
    files.write("headwater.yml", PROJECT.replace("  - name: target-jsonl\n    variant: headwater\n", ""))
    installed(files, "target-jsonl", "--variant", "andyh1203")
    files.ok("config", "set", "target-jsonl", "do_timestamp_file", "false")
    files.ok("config", "set", "target-jsonl", "destination_path", "output")
    files.write("output/.keep", "")
    assert rows(files.ok("run", "tap-files", "target-jsonl")) == {"people": 3, "visits": 2}
    file = files.root / "output/people.jsonl"
    assert {(row["id"], row["name"]) for row in map(json.loads, file.read_text().splitlines())} == FIRST
    assert rows(files.ok("run", "tap-files", "target-jsonl")) == {}
    assert len(file.read_text().splitlines()) == 3


def test_a_full_refresh_reads_everything_again_and_doubles_nothing(files):
    files.ok("run", "tap-files", "target-duckdb")
    assert rows(files.ok("run", "--full-refresh", "tap-files", "target-duckdb"))["people"] == 3
    assert sorted(files.query("select id from tap_files.people")) == [(1,), (2,), (3,)]


def test_lines_that_cannot_be_read_are_set_aside_with_their_place(files):
    files.ok("config", "set", "tap-files", "_on_bad_record", "quarantine")
    files.write("data/people.csv", PEOPLE + "4,too,many,fields\n5,Eve,\n")
    files.ok("run", "tap-files", "target-duckdb")
    assert in_duckdb(files) == FIRST | {(5, "Eve")}
    (one,) = json.loads(files.ok("rejects", "list", "--json").out)["rejects"]
    shown = files.ok("rejects", "show", one["id"]).out
    assert "data/people.csv:5: 4 fields instead of 3" in shown
    assert "4,too,many,fields" in shown
    assert "nothing" not in files.ok("rejects", "replay").err
    assert in_duckdb(files) == FIRST | {(5, "Eve")}
    assert len(json.loads(files.ok("rejects", "list", "--json").out)["rejects"]) == 1
