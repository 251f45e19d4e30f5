"""Files that are begun before their commit hold what they would hold if they were not."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from headwater.base.errors import RunFailedError
from headwater.connect import registry
from headwater.connect.contract import OpenRequest, Rows, Schema
from headwater.connect.destinations import folder
from headwater.connect.destinations.write_ahead import WriteAhead

ID = pa.schema([("id", pa.int64())])
BOTH = pa.schema([("id", pa.int64()), ("name", pa.string())])


@pytest.fixture
def session(tmp_path, monkeypatch):
    """Whose files begin with the first rows; with a list of the commits that took them over."""
    monkeypatch.setattr(folder, "_BEGIN_BYTES", 1)
    taken = []

    def right(*given):
        found = original(*given)
        taken.append(found is not None)
        return found

    original = folder._right
    monkeypatch.setattr(folder, "_right", right)
    opened = []

    def session(**settings):
        module = registry.destination("jsonl")
        request = OpenRequest(
            pipeline="shop", run_id="run-1", source="shop", folder=tmp_path / "scratch", memory_bytes=64 << 20
        )
        opened.append(module.open(module.Settings(destination_path=str(tmp_path / "out"), **settings), request))
        return opened[-1], taken

    yield session
    for one in opened:
        one.close()


def stage(session, stream, schema, *ids):
    rows = [{name: str(number) if name == "name" else number for name in schema.names} for number in ids]
    session.stage(Rows(stream=stream, batch=pa.RecordBatch.from_pylist(rows, schema)))


def found(tmp_path, name="*"):
    lines = [line for path in sorted((tmp_path / "out").glob(f"{name}/*.jsonl")) for line in path.open()]
    return [{key: value for key, value in json.loads(line).items() if key != "__loaded_at"} for line in lines]


def staged(tmp_path):
    return [path for path in (tmp_path / "out" / "_staged").rglob("*") if path.is_file()]


def test_a_commit_takes_the_files_that_were_begun(session, tmp_path):
    one, taken = session()
    one.prepare(Schema(stream="orders", columns=ID))
    for number in range(3):
        stage(one, "orders", ID, number)
    one.boundary()
    one.commit(b"1")
    stage(one, "orders", ID, 3)
    receipt = one.commit(b"2", final=True)
    assert taken == [True, True]
    assert receipt.streams["orders"].rows_in == 1
    assert found(tmp_path) == [{"id": number} for number in range(4)]
    assert not staged(tmp_path)


def test_rows_after_the_boundary_wait_for_the_next_commit(session, tmp_path):
    one, taken = session()
    one.prepare(Schema(stream="orders", columns=ID))
    stage(one, "orders", ID, 1)
    one.boundary()
    stage(one, "orders", ID, 2)
    one.commit(b"1", to_boundary=True)
    assert found(tmp_path) == [{"id": 1}]
    one.commit(b"2", final=True)
    assert taken == [False, False]
    assert found(tmp_path) == [{"id": 1}, {"id": 2}]


def test_a_column_that_comes_later_is_in_all_rows_of_the_commit(session, tmp_path):
    one, taken = session()
    one.prepare(Schema(stream="orders", columns=ID))
    stage(one, "orders", ID, 1)
    one.prepare(Schema(stream="orders", columns=BOTH))
    stage(one, "orders", BOTH, 2)
    one.commit(b"1", final=True)
    assert taken == [False]
    assert found(tmp_path) == [{"id": 1, "name": None}, {"id": 2, "name": "2"}]


def test_a_value_that_its_column_does_not_hold_makes_it_text(session, tmp_path):
    one, taken = session()
    one.prepare(Schema(stream="orders", columns=pa.schema([("id", pa.decimal128(38, 0))])))
    rows = pa.RecordBatch.from_pydict({"id": pa.array([1], pa.int64())})
    one.stage(Rows(stream="orders", batch=rows))
    one.prepare(Schema(stream="orders", columns=pa.schema([("id", pa.decimal128(38, 37))])))
    rows = pa.RecordBatch.from_pydict({"id": pa.array(["35"]).cast(pa.decimal128(3, 1))})
    one.stage(Rows(stream="orders", batch=rows))
    one.commit(b"1", final=True)
    assert taken[-1] is False
    assert [row["id"] for row in found(tmp_path)] == ["1", "35.0"]


def test_streams_that_differ_in_case_only_keep_files_of_their_own(session, tmp_path):
    one, _ = session()
    for name in ("Orders", "orders"):
        one.prepare(Schema(stream=name, columns=ID))
    stage(one, "Orders", ID, 1)
    stage(one, "orders", ID, 2)
    one.commit(b"1", final=True)
    assert found(tmp_path, "Orders") == [{"id": 1}]
    assert found(tmp_path, "orders__*") == [{"id": 2}]


def test_nothing_is_left_of_a_load_that_is_given_up(session, tmp_path):
    one, _ = session()
    one.prepare(Schema(stream="orders", columns=ID))
    stage(one, "orders", ID, 1)
    one.close()
    assert not staged(tmp_path)
    assert not found(tmp_path)


def test_files_that_someone_took_for_left_over_are_written_again(session, tmp_path):
    one, taken = session()
    one.prepare(Schema(stream="orders", columns=ID))
    stage(one, "orders", ID, 1)
    one._begun["orders"].files.finish()
    for path in staged(tmp_path):
        path.unlink()
    one.commit(b"1", final=True)
    assert taken == [False]
    assert found(tmp_path) == [{"id": 1}]


def test_files_grow_no_larger_than_they_may(session, tmp_path):
    one, taken = session(max_file_bytes=1)
    one.prepare(Schema(stream="orders", columns=ID))
    for start in (0, 10_000):
        stage(one, "orders", ID, *range(start, start + 10_000))
    one.commit(b"1", final=True)
    assert taken == [True]
    assert len(list((tmp_path / "out" / "orders").glob("*.jsonl"))) == 2
    assert len(found(tmp_path)) == 20_000


def test_who_brings_rows_goes_on_when_the_writing_fails():
    def write(_batches):
        raise RunFailedError("disk-full", "the disk is full")

    ahead = WriteAhead(write)
    for _ in range(100):
        ahead.put(pa.RecordBatch.from_pydict({"text": ["x" * 1_000_000]}))
    assert ahead.finish() is None
    assert ahead.count == 100


def test_all_rows_of_a_commit_have_one_moment(session, tmp_path):
    one, _ = session()
    for number, stream in enumerate(["a", "b", "a"]):
        one.prepare(Schema(stream=stream, columns=ID))
        stage(one, stream, ID, number)
    one.commit(b"1")
    stage(one, "b", ID, 3)
    one.commit(b"2", final=True)
    lines = [json.loads(line) for path in (tmp_path / "out").glob("*/*.jsonl") for line in path.open()]
    moments = {line["id"]: line["__loaded_at"] for line in lines}
    assert moments[0] == moments[1] == moments[2] < moments[3]
