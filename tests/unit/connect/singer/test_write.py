"""Messages as the lines a Singer target gets."""

import datetime as dt
import json
from decimal import Decimal

import pyarrow as pa

from headwater.connect import members
from headwater.connect.contract import JSON_FIELD, ActivateVersion, Checkpoint, Rejected, Rows, Schema
from headwater.connect.singer.write import Writer

COLUMNS = pa.schema(
    [
        ("id", pa.int64()),
        ("price", pa.decimal128(38, 9)),
        ("at", pa.timestamp("us", "UTC")),
        ("day", pa.date32()),
        pa.field("tags", pa.string(), metadata=JSON_FIELD),
    ]
)


def rows(*records, **rest):
    return Rows(stream="s", batch=pa.RecordBatch.from_pylist(list(records), schema=COLUMNS), **rest)


def test_control_messages():
    writer = Writer()
    schema = Schema(stream="s", columns=pa.schema([("id", pa.int64())]), keys=("id",), cursor="id")
    assert writer.encode(schema) == (
        b'{"type":"SCHEMA","stream":"s","schema":{"type":"object","properties":{"id":{"type":["null","integer"]}}},'
        b'"key_properties":["id"],"bookmark_properties":["id"]}\n'
    )
    assert (
        writer.encode(ActivateVersion(stream="s", version=5))
        == b'{"type":"ACTIVATE_VERSION","stream":"s","version":5}\n'
    )
    assert writer.encode(Checkpoint(state=b'{"a": 1.0}')) == b'{"type":"STATE","value":{"a": 1.0}}\n'
    assert writer.encode(Rejected(stream="s", record=b"", reason="x")) == b""


def test_values_are_exact():
    moment = dt.datetime(2024, 1, 31, 10, 0, 0, 5, tzinfo=dt.UTC)
    record = {
        "id": 2**53 + 1,
        "price": Decimal("12345678901234567890.123456789"),
        "at": moment,
        "day": dt.date(2024, 1, 31),
        "tags": '["a", 1.0]',
    }
    assert Writer().encode(rows(record)) == (
        b'{"type":"RECORD","stream":"s","record":{"id":9007199254740993,"price":12345678901234567890.123456789,'
        b'"at":"2024-01-31T10:00:00.000005Z","day":"2024-01-31","tags":["a", 1.0]}}\n'
    )


def test_null_and_missing_differ():
    missing = pa.array([None, ["price", "tags"]], pa.list_(pa.string()))
    lines = Writer().encode(rows({"id": 1}, {"id": 2}, missing=missing, version=3)).splitlines()
    assert [json.loads(line)["record"] for line in lines] == [
        {"id": 1, "price": None, "at": None, "day": None, "tags": None},
        {"id": 2, "at": None, "day": None},
    ]
    assert json.loads(lines[0])["version"] == 3


def test_no_rows_are_no_lines():
    assert Writer().encode(rows()) == b""


def test_a_state_stays_on_its_line():
    assert Writer().encode(Checkpoint(state=b'{\n"a":1}')).count(b"\n") == 1


def test_what_is_written_reads_back(tap):
    records = [{"id": 1, "price": Decimal("0.000000001"), "tags": '{"a":1}'}, {"id": 2, "price": Decimal(5)}]
    schema = Schema(stream="s", columns=COLUMNS, keys=("id",))
    writer = Writer()
    found = tap.read(chunks=[writer.encode(schema) + writer.encode(rows(*records))])
    assert found[0].columns.equals(COLUMNS, check_metadata=True)
    assert found[1].batch.to_pylist() == rows(*records).batch.to_pylist()


def test_fields_that_the_schema_does_not_know_are_members_of_the_record_again():
    columns = pa.schema([pa.field("id", pa.int64()), pa.field("_extra", pa.string(), metadata=members.FIELD)])
    batch = pa.RecordBatch.from_pylist(
        [{"id": 1}, {"id": 2, "_extra": '{"x":{"y": 1.0},"id":9}'}, {"id": 3}], schema=columns
    )
    missing = pa.array([["_extra"], None, None], pa.list_(pa.string()))
    writer = Writer()
    assert writer.encode(Schema(stream="s", columns=columns, keys=("id",))) == (
        b'{"type":"SCHEMA","stream":"s","schema":{"type":"object","properties":{"id":{"type":["null","integer"]}}},'
        b'"key_properties":["id"]}\n'
    )
    lines = writer.encode(Rows(stream="s", batch=batch, missing=missing)).splitlines()
    assert [json.loads(line)["record"] for line in lines] == [{"id": 1}, {"x": {"y": 1.0}, "id": 2}, {"id": 3}]
    assert b'"y": 1.0' in lines[1]
