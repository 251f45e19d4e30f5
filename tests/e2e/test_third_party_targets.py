"""A native tap into targets of others: every row and its values at the other end, only what is new on the next run."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import json
import time

import duckdb
import pytest

PEOPLE = [
    {"id": 1, "name": "Ada", "amount": 12.5, "at": "2024-01-01T10:00:00Z"},
    {"id": 2, "name": "Zoë, \"the\" 'second'\n", "amount": -0.01, "at": "2024-01-02T10:00:00.123456Z"},
    {"id": 3, "name": "", "amount": None, "at": "2024-01-03T10:00:00Z"},
]
NEW = {"id": 4, "name": "日本 😈", "amount": 99999999.99, "at": "2024-01-04T10:00:00Z"}
COLUMNS = 'id, name, amount, "at"'


class Target:
    """`config` is the target's, `rows` what a reader finds there, `expected` what of the source's rows: with what the
    target itself gets wrong. `forgets`: its second run writes over the first."""

    forgets = False

    def __init__(self, request, folder):
        self.folder = folder / "out"
        self.folder.mkdir()
        self.request = request

    def expected(self, rows):
        return [plain(row) for row in rows]


class Jsonl(Target):
    @property
    def config(self):
        return {"destination_path": str(self.folder), "do_timestamp_file": False}

    def rows(self):
        return [json.loads(line) for line in (self.folder / "people.jsonl").read_text().split("\n")[:-1]]


class CsvOfMeltanoLabs(Target):
    """Release 0.5.0 has a setting to append, and does not look at it."""

    forgets = True

    @property
    def config(self):
        return {"output_path": str(self.folder), "file_naming_scheme": "{stream_name}.csv"} | {
            "overwrite_behavior": "append_records"
        }

    def rows(self):
        with (self.folder / "people.csv").open(newline="") as file:
            return list(csv.DictReader(file))


class Postgres(Target):
    """PipelineWise's target stores a line end as the two characters backslash and n, and empty text as null."""

    database = "dbname"

    def expected(self, rows):
        return [plain({**row, "name": row["name"].replace("\n", "\\n") or None}) for row in rows]

    @property
    def config(self):
        at = self.request.getfixturevalue("postgres")
        at.sql("drop database if exists people with (force)")
        at.sql("create database people")
        return {"host": at.host, "port": at.port, "user": at.user, "password": at.password} | {
            self.database: "people",
            "default_target_schema": "landing",
        }

    def rows(self):
        at = self.request.getfixturevalue("postgres")
        found = at.sql(f"select {COLUMNS} from landing.people", "people")
        return [dict(zip(("id", "name", "amount", "at"), row, strict=True)) for row in found]


class PostgresOfMeltanoLabs(Postgres):
    database = "database"
    expected = Target.expected


class DuckDB(Target):
    """It takes the first row of each batch for a header, and empty text for null."""

    def expected(self, rows):
        return [plain({**row, "name": row["name"] or None}) for row in rows if row["id"] not in (1, 4)]

    @property
    def config(self):
        return {"path": str(self.folder / "w.duckdb"), "filepath": str(self.folder / "w.duckdb")} | {
            "default_target_schema": "landing"
        }

    def rows(self):
        with duckdb.connect(str(self.folder / "w.duckdb"), read_only=True) as connection:
            return connection.sql(f"select {COLUMNS} from landing.people").to_arrow_table().to_pylist()


class SingerJsonl(Target):
    @property
    def config(self):
        return {"destination": "local", "local": {"folder": str(self.folder)}, "add_record_metadata": False}

    def rows(self):
        texts = [gzip.decompress(path.read_bytes()).decode() for path in self.folder.rglob("*.gz")]
        messages = [json.loads(line) for text in texts for line in text.split("\n")[:-1]]
        return [message["record"] for message in messages if message["type"] == "RECORD"]


TARGETS = {
    "target-jsonl-th": Jsonl,
    "target-csv-ml": CsvOfMeltanoLabs,
    "target-postgres-ml": PostgresOfMeltanoLabs,
    "target-postgres-pw": Postgres,
    "target-duckdb-jw": DuckDB,
    "target-singer-jsonl": SingerJsonl,
}


def plain(row):
    """A row as texts and numbers, whatever the target keeps them as."""
    amount = row["amount"]
    at = row["at"] if isinstance(row["at"], dt.datetime) else dt.datetime.fromisoformat(row["at"])
    at = at.replace(tzinfo=dt.UTC) if at.tzinfo is None else at.astimezone(dt.UTC)
    return (int(row["id"]), row["name"], None if amount in (None, "") else float(amount), at.isoformat())


def people(hw, folder, rows):
    """The folder that the tap reads, with one file."""
    source = folder / "in"
    source.mkdir()
    (source / "people.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    streams = [{"name": "people", "path": str(source / "people*.jsonl"), "keys": ["id"]}]
    hw.ok("config", "set", "tap-files", "streams", json.dumps(streams))
    return source


@pytest.mark.parametrize("name", TARGETS)
def test_a_native_tap_into_a_target_of_others(third_parties, request, tmp_path, name):
    hw = third_parties
    target = TARGETS[name](request, tmp_path)
    source = people(hw, tmp_path, PEOPLE)
    for setting, value in target.config.items():
        text = value if isinstance(value, str) else json.dumps(value)
        hw.ok("config", "set", name, setting, text, *(["--store", "dotenv"] if setting == "password" else []))

    hw.ok("run", "tap-files", name)
    assert sorted(map(plain, target.rows())) == target.expected(PEOPLE)
    first = hw.ok("state", "get", f"dev:tap-files-to-{name}").out
    (source / "people-2.jsonl").write_text(json.dumps(NEW) + "\n")
    time.sleep(1.1)  # some targets name their files by the second, and write over one of that name
    hw.ok("run", "tap-files", name)
    assert sorted(map(plain, target.rows())) == target.expected([NEW] if target.forgets else [*PEOPLE, NEW])
    second = hw.ok("state", "get", f"dev:tap-files-to-{name}").out
    assert "people-2.jsonl" in second
    assert "people-2.jsonl" not in first


@pytest.mark.parametrize(
    ("name", "config"), [("target-csv-si", {"destination_path": "."}), ("target-sqlite", {"database": "w"})]
)
def test_a_target_that_no_python_of_today_runs_is_blamed_by_its_own_words(third_parties, tmp_path, name, config):
    """Both ask `collections` for what Python 3.10 took away."""
    hw = third_parties
    people(hw, tmp_path, PEOPLE)
    for setting, value in config.items():
        hw.ok("config", "set", name, setting, value)
    done = hw("run", "tap-files", name)
    assert done.code == 1
    assert done.error == (
        f"error: loader `{name}` failed with exit code 1 [loader-failed]\n"
        "  AttributeError: module 'collections' has no attribute 'MutableMapping'\n"
        f"hint: headwater config test {name}\n"
    )
    assert f"tap-files-to-{name}" not in hw.ok("state", "list").out
