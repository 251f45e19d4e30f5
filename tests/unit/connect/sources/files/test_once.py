"""Large files are read once, by what their beginnings show, and give what they give when they are read twice."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import msgspec
import pytest

from headwater.base.errors import RunFailedError
from headwater.connect.contract import Checkpoint, ReadRequest, Rows, Schema, StartOverError
from headwater.connect.sources import files
from headwater.connect.sources.files.settings import Settings, StreamSettings

ROWS = 400


@pytest.fixture(autouse=True)
def little_is_large(monkeypatch):
    monkeypatch.setattr(files.delivery, "SAMPLE", 256)
    monkeypatch.setattr(files, "_LEAST_SAMPLE", 256)
    monkeypatch.setattr(files.delivery.csv, "_BLOCK", 1024)
    monkeypatch.setattr(files.delivery, "_GATHERED", 1024)


def messages(root, *, once, state=None, **fields):
    settings = Settings(streams=[StreamSettings(name="s", path="*.csv*")], root=str(root))
    request = ReadRequest(
        catalog=files.discover(settings), state=state, folder=Path("/nonexistent"), may_start_over=once, **fields
    )
    return files.read(settings, request)


def told(found):
    """Types, rows and the last state; and how many checkpoints there were before the last row."""
    found = list(found)
    schemas = [one for one in found if isinstance(one, Schema)]
    rows = [row for one in found if isinstance(one, Rows) for row in one.batch.to_pylist()]
    last = max((place for place, one in enumerate(found) if isinstance(one, Rows)), default=0)
    early = sum(isinstance(one, Checkpoint) for one in found[:last])
    state = msgspec.json.decode(found[-1].state)
    return ([(one.name, str(one.type)) for one in schemas[-1].columns], rows, state), early


def a_file(root, values, name="a.csv"):
    lines = [f"{number},{value}" for number, value in enumerate(values)]
    (root / name).write_text("\n".join(["id,v", *lines]) + "\n")


def test_a_file_as_it_began_is_read_once_without_a_checkpoint_before_its_end(tmp_path):
    a_file(tmp_path, [f"{number / 8}" for number in range(ROWS)])
    once, early = told(messages(tmp_path, once=True))
    twice, between = told(messages(tmp_path, once=False))
    assert once == twice
    assert early == 0 < between


@pytest.mark.parametrize(
    ("first", "late"),
    [
        ("1", "x"),
        ("1", "007"),
        ("1", "-0"),
        ("1", "1.5"),
        ("1", "9223372036854775808"),
        ("1.5", "x"),
        ("1.5", "12345678901234567.25"),
        ("1.5", "01.5"),
        ("true", "yes"),
        ("2024-01-31", "2024-01-31T10:00:00Z"),
        ("2024-01-31T10:00:00Z", "soon"),
        ("", "1"),
    ],
)
def test_a_value_that_its_column_did_not_expect_starts_over(tmp_path, first, late):
    a_file(tmp_path, [*[first] * ROWS, late])
    with pytest.raises(StartOverError, match=r"`v` of `a\.csv` holds other values than at the beginning"):
        list(messages(tmp_path, once=True))


@pytest.mark.parametrize("seed", range(60))
def test_whatever_comes_it_starts_over_or_gives_the_same(tmp_path, seed):
    dice = random.Random(seed)  # noqa: S311 - a seeded test
    kinds = ["", "1", "-7", "1.5", "1.50", "1e5", "9007199254740993", "0.1", "007", "true", "FALSE", "x", '"a,b"']
    kinds += ["2024-01-31", "2024-01-31 10:00:00", "2024-01-31T10:00:00+02:00", "99999999999999999999", '""', "NaN"]
    some = dice.sample(kinds, dice.randint(1, 3))
    values = [dice.choice(some) for _ in range(ROWS)]
    if dice.random() < 0.5:
        values[dice.randrange(ROWS)] = dice.choice(kinds)
    a_file(tmp_path, values)
    twice, _ = told(messages(tmp_path, once=False))
    try:
        once, early = told(messages(tmp_path, once=True))
    except StartOverError:
        return
    assert (once, early) == (twice, 0)


def test_all_files_of_a_stream_are_as_their_beginnings_together(tmp_path):
    a_file(tmp_path, ["1"] * ROWS)
    a_file(tmp_path, ["1.5"] * ROWS, "b.csv")
    once, early = told(messages(tmp_path, once=True))
    assert (once, early) == (told(messages(tmp_path, once=False))[0], 0)
    assert once[0] == [("id", "int64"), ("v", "double")]


def test_what_was_stopped_in_the_middle_is_not_to_be_kept(tmp_path):
    a_file(tmp_path, ["1"] * ROWS)
    with pytest.raises(StartOverError, match="told to stop"):
        list(messages(tmp_path, once=True, should_stop=iter([False, *[True] * 99]).__next__))


def test_an_open_quote_is_told_as_ever(tmp_path):
    a_file(tmp_path, [*["x"] * ROWS, '"y'])
    with pytest.raises(RunFailedError, match="cannot be read"):
        list(messages(tmp_path, once=True))


def packed(root):
    text = "id,v\n" + "".join(f"{number},1\n" for number in range(ROWS))
    (root / "a.csv.gz").write_bytes(gzip.compress(text.encode()))


def large(root):
    a_file(root, ["1"] * ROWS)
    files.delivery.MOST_AT_ONCE = 1000


def small(root):
    a_file(root, ["1"] * 20)


@pytest.mark.parametrize("make", [packed, large, small])
def test_other_files_are_looked_at_as_a_whole_first(tmp_path, monkeypatch, make):
    monkeypatch.setattr(files.delivery, "MOST_AT_ONCE", files.delivery.MOST_AT_ONCE)
    make(tmp_path)
    monkeypatch.setattr(files.delivery.csv, "checked", None)
    assert told(messages(tmp_path, once=True))[0] == told(messages(tmp_path, once=False))[0]


def test_so_is_what_comes_beside_other_streams(tmp_path, monkeypatch):
    a_file(tmp_path, ["1"] * ROWS)
    monkeypatch.setattr(files.delivery.csv, "checked", None)
    assert len(told(messages(tmp_path, once=True, jobs=2))[0][1]) == ROWS
