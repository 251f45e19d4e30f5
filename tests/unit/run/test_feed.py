from __future__ import annotations

import json

import pytest

from headwater.connect import registry
from headwater.model.event import Outcome
from headwater.testing.sessions import contents

TENFOLD = """
import sys
for line in sys.stdin: print(line.replace('"id":', '"id":10') if 'RECORD' in line else line, end='')
"""


@pytest.fixture
def files(lab):
    """A native extractor of a folder with one CSV file."""
    (lab.root / "data").mkdir()
    (lab.root / "data/s.csv").write_text("id,name\n1,a\n2,b\n")
    config = {"path": str(lab.root / "data/*.csv")}
    return lab.block("extractor", native="files", argv=(), config=config, capabilities=("catalog", "discover", "state"))


@pytest.fixture
def memory(lab, monkeypatch):
    monkeypatch.setitem(registry.DESTINATIONS, "memory", "headwater.testing.sessions")
    return lab.block("loader", native="memory", argv=(), config={"path": str(lab.root / "there")})


def rows(lab):
    return [row for _, row in contents(lab.root / "there")["rows"]]


def records(lab):
    return [message["record"] for message in map(json.loads, lab.loaded) if message["type"] == "RECORD"]


def test_native_to_native(lab, files, memory):
    assert lab.run(files, memory) is Outcome.SUCCESS
    assert [row["id"] for row in rows(lab)] == [1, 2]
    assert (lab.figures["s"].read, lab.figures["s"].loaded) == (2, 2)
    lab.run(files, memory)
    assert len(rows(lab)) == 2


def test_native_to_a_singer_target(lab, files):
    assert lab.run(files) is Outcome.SUCCESS
    assert [record["id"] for record in records(lab)] == [1, 2]
    assert (lab.figures["s"].read, lab.figures["s"].loaded) == (2, None)
    assert lab.state is not None
    lab.run(files)
    assert len(records(lab)) == 2


def test_native_through_a_mapper_to_native(lab, files, memory):
    assert lab.run(files, memory, mapper=TENFOLD) is Outcome.SUCCESS
    assert [row["id"] for row in rows(lab)] == [101, 102]


def test_native_through_a_mapper_to_a_singer_target(lab, files):
    assert lab.run(files, mapper=TENFOLD) is Outcome.SUCCESS
    assert [record["id"] for record in records(lab)] == [101, 102]


def test_a_target_that_dies_is_blamed(lab, files):
    (lab.root / "data/s.csv").write_text("id\n" + "1\n" * 2_000_000)
    assert lab.run(files, "sys.stdin.readline(); sys.exit('disk full')") is Outcome.FAILED
    assert (lab.problem.reference, lab.problem.why) == ("loader-failed", "disk full")


def test_a_target_that_ends_early_has_failed(lab, files):
    (lab.root / "data/s.csv").write_text("id\n" + "1\n" * 2_000_000)
    assert lab.run(files, "sys.stdin.readline()") is Outcome.FAILED
    assert lab.problem.reference == "loader-quit-early"


def test_a_source_that_fails_is_blamed_and_not_the_target(lab, files):
    files.config["path"] = str(lab.root / "nowhere/*.csv")
    assert lab.run(files) is Outcome.FAILED
    assert lab.problem.exit_code == 2


def test_a_pattern_that_matches_no_stream_starts_nothing(lab, files, memory):
    assert lab.run(files, memory, select=("t.*",)) is Outcome.FAILED
    assert (lab.problem.reference, lab.problem.why) == ("nothing-selected", "the source has `s`")
