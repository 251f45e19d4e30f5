"""Files of BATCH messages: what is read comes out as records would, what is written any reader takes."""

from __future__ import annotations

import datetime as dt
import gzip
import json
from decimal import Decimal
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pytest
from pyarrow import parquet as pq

from headwater.base.errors import InputError
from headwater.connect.contract import Checkpoint, Rows, Schema
from headwater.connect.singer.batch import opener
from headwater.connect.singer.batch_write import BatchFiles, BatchWriter, configured
from headwater.connect.singer.parse import ParseOptions, messages

SCHEMA = {
    "id": {"type": "integer"},
    "price": {"type": "string", "format": "singer.decimal"},
    "at": {"type": "string", "format": "date-time"},
    "day": {"type": "string", "format": "date"},
    "of": {"type": "object", "properties": {"name": {"type": "string"}}},
    "tags": {"type": "array"},
}


def read(path, encoding, *, properties=None, roots=None):
    lines = [
        {"type": "SCHEMA", "stream": "s", "key_properties": [], "schema": {"properties": properties or SCHEMA}},
        {"type": "BATCH", "stream": "s", "encoding": encoding, "manifest": [path.as_uri()]},
        {"type": "STATE", "value": 1},
    ]
    data = "".join(json.dumps(line) + "\n" for line in lines).encode()
    options = ParseOptions(open_batch=opener(roots or [path.parent]))
    return list(messages([data], options, lambda _text: None))


def rows(found):
    return [row for message in found if isinstance(message, Rows) for row in message.batch.to_pylist()]


def test_parquet_files_come_in_the_types_of_the_schema(tmp_path):
    table = pa.table(
        {
            "id": pa.array([1, 2**62], pa.int64()),
            "price": pa.array([Decimal("12345678901234567890.123456789"), None], pa.decimal128(38, 9)),
            "at": pa.array([1_717_199_999_000_005, None], pa.timestamp("us")),
            "day": pa.array([dt.date(2024, 2, 29), None]),
            "of": pa.array([{"name": "x"}, None]),
            "tags": pa.array([[1, 2], None]),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    found = rows(read(tmp_path / "a.parquet", {"format": "parquet", "compression": "snappy"}))
    assert found[0] == {
        "id": 1,
        "price": Decimal("12345678901234567890.123456789"),
        "at": dt.datetime(2024, 5, 31, 23, 59, 59, 5, dt.UTC),
        "day": dt.date(2024, 2, 29),
        "of__name": "x",
        "tags": "[1,2]",
    }
    assert found[1]["id"] == 2**62
    assert set(found[1].values()) == {2**62, None}


@pytest.mark.parametrize(("compression", "codec"), [("zstd", "zstd"), ("none", None), (None, None)])
def test_lines_plain_and_in_zstd(tmp_path, compression, codec):
    with pa.output_stream(tmp_path / "a", compression=codec) as out:
        out.write(b'{"id":1}\n{"id":2}\n')
    found = rows(read(tmp_path / "a", {"format": "jsonl", "compression": compression}))
    assert [row["id"] for row in found] == [1, 2]


@pytest.mark.parametrize(("form", "compression"), [("parquet", None), ("jsonl", "zstd"), ("jsonl", "gzip")])
def test_33_a_cut_file_fails_before_its_state(tmp_path, form, compression):
    path = tmp_path / "cut"
    if form == "parquet":
        pq.write_table(pa.table({"id": list(range(10_000))}), path)
    else:
        with pa.output_stream(path, compression=compression) as out:
            out.write(b"".join(b'{"id":%d}\n' % n for n in range(10_000)))
    path.write_bytes(path.read_bytes()[:-20])
    found, error = [], None
    try:
        found = read(path, {"format": form, "compression": compression})
    except Exception as raised:  # noqa: BLE001 - its reference is what is asked for
        error = getattr(raised, "reference", raised)
    assert error == "batch-file"
    assert not any(isinstance(message, Checkpoint) for message in found)


COLUMNS = pa.schema([("id", pa.int64()), ("price", pa.decimal128(10, 2)), ("at", pa.timestamp("us", "UTC"))])


def many(count, **more):
    at = dt.datetime(2024, 5, 31, tzinfo=dt.UTC)
    batch = pa.RecordBatch.from_pylist([{"id": n, "price": Decimal(n), "at": at} for n in range(count)], COLUMNS)
    return Rows(stream="s", batch=batch, **more)


@pytest.mark.parametrize(("compression", "unpack"), [("gzip", gzip.decompress), ("none", bytes)])
def test_many_rows_are_written_to_a_file(tmp_path, compression, unpack):
    writer = BatchWriter(BatchFiles(root=tmp_path / "a folder", prefix="x-", compression=compression))
    line = json.loads(writer.encode(many(2000)))
    (address,) = line.pop("manifest")
    assert line == {"type": "BATCH", "stream": "s", "encoding": {"format": "jsonl", "compression": compression}}
    path = Path(unquote(urlsplit(address).path))
    assert path.name.startswith("x-")
    assert path.stat().st_mode & 0o777 == 0o600
    lines = unpack(path.read_bytes()).split(b"\n")
    assert lines[1] == b'{"id":1,"price":1.00,"at":"2024-05-31T00:00:00.000000Z"}'
    assert len(lines) == 2001
    properties = {"id": SCHEMA["id"], "price": {"type": "number"}, "at": SCHEMA["at"]}
    assert len(rows(read(path, line["encoding"], properties=properties))) == 2000
    writer.remove()
    assert not path.exists()


def test_few_rows_and_rows_with_a_version_stay_lines(tmp_path):
    writer = BatchWriter(BatchFiles(root=tmp_path))
    assert writer.encode(many(999)).count(b'"RECORD"') == 999
    assert writer.encode(many(1000, version=5)).count(b'"RECORD"') == 1000
    assert b'"SCHEMA"' in writer.encode(Schema(stream="s", columns=COLUMNS))
    assert list(tmp_path.iterdir()) == []


def test_what_batch_config_asks_for(tmp_path):
    assert configured({}, tmp_path) is None
    given = {"storage": {"root": "batches", "prefix": "x-"}, "encoding": {"format": "jsonl", "compression": "none"}}
    files = configured({"batch_config": given}, tmp_path)
    assert files == BatchFiles(root=tmp_path / "batches", prefix="x-", compression="none")
    absolute = configured({"batch_config": {"storage": {"root": "file:///a%20b"}}}, tmp_path)
    assert absolute == BatchFiles(root=Path("/a b"))


@pytest.mark.parametrize(
    "given",
    [
        {"storage": {"root": "s3://lake/x"}},
        {"storage": {}},
        {"storage": {"root": "x"}, "encoding": {"format": "parquet"}},
        {"storage": {"root": "x"}, "encoding": {"compression": "lz4"}},
    ],
)
def test_what_is_not_written_is_refused(tmp_path, given):
    with pytest.raises(InputError) as caught:
        configured({"batch_config": given}, tmp_path)
    assert caught.value.reference == "bad-batch-config"
