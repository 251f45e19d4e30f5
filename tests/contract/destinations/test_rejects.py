"""What is set aside can be read, loaded again and dropped, each in the commit that does it."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from headwater.base.errors import RunFailedError
from headwater.connect import registry
from headwater.connect.contract import ActivateVersion, Rejected, Rows, Schema, StreamReceipt
from headwater.connect.rejects import OUTDATED, Again, Chosen

USERS = pa.schema([("id", pa.int64()), ("name", pa.string())])
LINE = b'{"type":"SCHEMA","stream":"users","schema":{"properties":{"id":{}}},"key_properties":["id"]}'


def rejected(number, *, stream="users", version=None, stages=0):
    record = json.dumps({"id": number, "name": "bad"}).encode()
    return Rejected(stream=stream, record=record, reason="too bad", schema=LINE, version=version, stages=stages)


@pytest.fixture
def quarantine(place):
    """Everything that is set aside, or what is chosen of it."""

    def quarantine(**chosen):
        module = registry.quarantine(place.kind)
        opened = module.open(place.settings(), source="shop", folder=place.folder / "tls", on_wait=print)
        try:
            return opened.rejects(Chosen(**chosen))
        finally:
            opened.close()

    return quarantine


def again(session, rejects):
    session.replay(Again(ids=tuple(one.id for one in rejects), origin=rejects[0].origin))


def ids(rejects):
    return sorted(json.loads(one.rejected.record)["id"] for one in rejects)


def names(place):
    return {row["id"]: row["name"] for row in place.rows("users") or []}


def test_there_is_none_where_nothing_was_loaded(quarantine):
    assert quarantine() == []


def test_a_reject_is_kept_with_all_that_is_known_of_it(place, send, quarantine):
    session = place.open()
    send(session, [{"id": 1, "name": "Ann"}], keys=("id",))
    for one in (rejected(7), rejected(8, version=3, stages=2), rejected(9, stream="o'rders")):
        session.reject(one)
    session.commit(b'{"n":1}', final=True)
    first, second, third = quarantine()
    assert first.rejected == rejected(7)
    assert second.rejected == rejected(8, version=3, stages=2)
    assert third.rejected == rejected(9, stream="o'rders")
    assert (first.pipeline, first.origin.run_id, first.origin.sequence) == ("dev:shop", "run-1", 1)
    assert first.origin.since < first.origin.rejected_at
    assert len({first.id, second.id, third.id}) == 3


def test_rejects_are_found_by_pipeline_stream_run_commit_and_id(place, send, quarantine):
    for number, (run_id, pipeline) in enumerate([("run-1", "dev:shop"), ("run-2", "dev:shop"), ("run-3", "dev:b")]):
        session = place.open(run_id, pipeline)
        session.reject(rejected(number))
        session.reject(rejected(number, stream="orders"))
        session.commit(b'{"n":%d}' % number, final=True)
        session.close()
    every = quarantine()
    assert ids(every) == [0, 0, 1, 1, 2, 2]
    assert [one.origin.run_id for one in every] == ["run-3"] * 2 + ["run-2"] * 2 + ["run-1"] * 2
    assert ids(quarantine(pipeline="dev:shop", stream="users")) == [0, 1]
    assert ids(quarantine(run_id="run-2")) == [1, 1]
    assert ids(quarantine(commit=("run-2", 2))) == [1, 1]
    assert quarantine(id=every[0].id) == every[:1]
    assert quarantine(run_id="run-4") == quarantine(pipeline="dev:c") == []
    opened = registry.quarantine(place.kind).open(
        place.settings(), source="shop", folder=place.folder / "tls", on_wait=print
    )
    counts = opened.counts(Chosen(pipeline="dev:shop"))
    commits = opened.commits(Chosen(stream="users"))
    assert len(opened.rejects(Chosen(), 3)) == 3
    opened.close()
    assert sorted((one.run_id, one.stream, one.count) for one in counts) == [
        ("run-1", "orders", 1),
        ("run-1", "users", 1),
        ("run-2", "orders", 1),
        ("run-2", "users", 1),
    ]
    assert [(pipeline, one.run_id) for pipeline, one in commits] == [
        ("dev:b", "run-3"),
        ("dev:shop", "run-2"),
        ("dev:shop", "run-1"),
    ]


def test_the_books_say_how_the_source_declared_the_columns(place, send):
    session = place.open()
    columns = pa.schema([("id", pa.int64()), ("it's", pa.decimal128(8, 2))])
    send(session, [{"id": 1}], columns=columns)
    session.commit(b'{"n":1}', final=True)
    opened = registry.quarantine(place.kind).open(
        place.settings(), source="shop", folder=place.folder / "tls", on_wait=print
    )
    assert opened.declared("dev:shop", "users") == {"id": "int64", "it's": "decimal128(8, 2)"}
    assert opened.declared("dev:shop", "orders") == {}
    opened.close()


def test_a_commit_takes_rows_out_of_quarantine_and_sets_aside_what_still_fails(place, send, quarantine):
    session = place.open()
    send(session, [{"id": 1, "name": "Ann"}], keys=("id",))
    for number in (7, 8):
        session.reject(rejected(number))
    session.commit(b'{"n":1}', final=True)
    session.close()
    before = quarantine()
    session = place.open("run-2")
    again(session, before)
    send(session, [{"id": 7, "name": "good"}], keys=("id",))
    session.reject(rejected(8))
    receipt = session.commit(None, final=True)
    assert receipt.streams["users"] == StreamReceipt(rows_in=2, rows_out=1, rejected=1)
    assert names(place) == {1: "Ann", 7: "good"}
    (left,) = quarantine()
    assert left.origin == before[1].origin
    assert left.id not in {one.id for one in before}
    session.close()
    assert place.open("run-3").checkpoint() == b'{"n":1}'


def test_what_was_taken_away_meanwhile_fails_the_commit_and_changes_nothing(place, send, quarantine):
    session = place.open()
    session.reject(rejected(7))
    session.commit(b'{"n":1}', final=True)
    session.close()
    before = quarantine()
    session = place.open("run-2")
    session.replay(Again(ids=(before[0].id, "another"), origin=before[0].origin))
    send(session, [{"id": 7, "name": "good"}], keys=("id",))
    with pytest.raises(RunFailedError) as caught:
        session.commit(None, final=True)
    assert caught.value.reference == "rejects-changed"
    session.close()
    assert names(place) == {}
    assert quarantine() == before


def test_rejects_are_dropped_by_a_commit_without_rows(place, quarantine):
    session = place.open()
    session.reject(rejected(7))
    session.reject(rejected(8))
    session.commit(b'{"n":1}', final=True)
    session.close()
    first, _ = quarantine()
    session = place.open("run-2")
    session.replay(Again(ids=(first.id,), origin=None))
    session.commit(None)
    session.close()
    assert ids(quarantine()) == [8]
    assert place.open("run-3").checkpoint() == b'{"n":1}'


@pytest.mark.parametrize("method", ["upsert", "history"])
def test_a_newer_row_is_never_overwritten(place, send, quarantine, method):
    place.need("upsert", "history")
    session = place.open(load_method=method)
    send(session, [{"id": 1, "name": "old"}], keys=("id",))
    session.commit(b'{"n":1}')
    send(session, [{"id": 2, "name": "beside it"}], keys=("id",))
    for number in (1, 2, 3, 4):
        session.reject(rejected(number))
    session.commit(b'{"n":2}')
    send(session, [{"id": 3, "name": "later"}], keys=("id",))
    session.commit(b'{"n":3}', final=True)
    session.close()
    session = place.open("run-2", load_method=method)
    again(session, quarantine())
    send(session, [{"id": number, "name": "again"} for number in (1, 2, 3, 4)], keys=("id",))
    receipt = session.commit(None, final=True)
    assert receipt.streams["users"] == StreamReceipt(rows_in=4, rows_out=2, rejected=2)
    current = [row for row in place.rows("users") if row.get("__valid_to") is None]
    found = {row["id"]: row["name"] for row in current}
    assert found == {1: "again", 2: "beside it", 3: "later", 4: "again"}
    left = quarantine()
    assert ids(left) == [2, 3]
    assert {one.rejected.reason for one in left} == {OUTDATED}
    assert all(one.origin.run_id == "run-1" and one.origin.sequence == 2 for one in left)


def test_a_row_that_was_gone_since_stays_gone(place, send, quarantine):
    place.need("versions")
    session = place.open(hard_delete=False)
    send(session, [{"id": 1, "name": "old"}], keys=("id",), version=1)
    session.commit(b'{"n":1}')
    session.reject(rejected(1))
    session.commit(b'{"n":2}')
    send(session, [{"id": 2, "name": "new"}], keys=("id",), version=2)
    session.activate(ActivateVersion(stream="users", version=2))
    session.commit(b'{"n":3}', final=True)
    session.close()
    session = place.open("run-2", hard_delete=False)
    again(session, quarantine())
    send(session, [{"id": 1, "name": "again"}], keys=("id",))
    assert session.commit(None, final=True).streams["users"].rejected == 1
    assert names(place)[1] == "old"


def test_rejects_of_an_older_table_version_are_forgotten_with_its_rows(place, send, quarantine):
    place.need("versions")
    session = place.open()
    send(session, [{"id": 1, "name": "old"}], keys=("id",), version=1)
    for version in (1, 2, None):
        session.reject(rejected(version or 0, version=version))
    session.commit(b'{"n":1}', final=True)
    session.close()
    session = place.open("run-2")
    send(session, [{"id": 2, "name": "new"}], keys=("id",), version=2)
    session.activate(ActivateVersion(stream="users", version=2))
    session.commit(b'{"n":2}', final=True)
    assert ids(quarantine()) == [0, 2]


def test_what_replaces_a_stream_replaces_its_rejects(place, send, quarantine):
    for number in (1, 2):
        session = place.open(f"run-{number}")
        send(session, [{"id": number, "name": "Ann"}], replace=True)
        session.reject(rejected(number))
        session.reject(rejected(number, stream="orders"))
        session.commit(b'{"n":%d}' % number, final=True)
        session.close()
    assert ids(quarantine(stream="users")) == [2]
    assert ids(quarantine(stream="orders")) == [1, 2]


def test_a_row_that_a_database_refuses_comes_back_as_it_was(place, quarantine):
    place.need("upsert")
    columns = pa.schema(
        [("id", pa.int64()), ("at", pa.timestamp("us", "UTC")), ("raw", pa.binary()), ("x", pa.int64())]
    )
    session = place.open(on_bad_row="quarantine")
    session.prepare(Schema(stream="users", columns=columns, keys=("id",)))
    batch = pa.RecordBatch.from_pylist([{"id": 1}, {"id": None, "at": 1_000_000, "raw": b"\0\1"}], schema=columns)
    missing = pa.array([None, ["x"]], pa.list_(pa.string()))
    session.stage(Rows(stream="users", batch=batch, missing=missing, version=5))
    session.commit(None, final=True)
    (one,) = quarantine()
    assert json.loads(one.rejected.record) == {"id": None, "at": "1970-01-01T00:00:01.000000Z", "raw": "AAE="}
    assert one.rejected.version == 5
    schema = json.loads(one.rejected.schema)
    assert (schema["stream"], schema["key_properties"]) == ("users", ["id"])
    assert set(schema["schema"]["properties"]) == {"id", "at", "raw", "x"}
