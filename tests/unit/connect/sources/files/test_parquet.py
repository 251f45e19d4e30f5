from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headwater.base.errors import RunFailedError
from headwater.connect.contract import ReadRequest, Rows
from headwater.connect.sources import files


def read(path: Path, **columns: pa.Array) -> tuple[dict[str, str], list[dict[str, Any]], dict[str, int]]:
    """Types, rows and repairs."""
    pq.write_table(pa.table(columns), path / "t.parquet")
    settings = files.Settings(path="*.parquet", root=str(path))
    request = ReadRequest(catalog=files.discover(settings), state=None, folder=path)
    [batch] = [m for m in files.read(settings, request) if isinstance(m, Rows)]
    return {c.name: str(c.type) for c in batch.batch.schema}, batch.batch.to_pylist(), batch.repaired


@pytest.mark.parametrize(
    ("kind", "values", "becomes"),
    [
        (pa.int8(), [1], "int64"),
        (pa.uint32(), [4_000_000_000], "int64"),
        (pa.uint64(), [2**64 - 1], "decimal128(20, 0)"),
        (pa.float32(), [1.5], "double"),
        (pa.decimal128(5, 2), [Decimal("1.10")], "decimal128(5, 2)"),
        (pa.decimal256(50, 2), [Decimal("1.10")], "string"),
        (pa.large_string(), ["x"], "string"),
        (pa.dictionary(pa.int8(), pa.string()), ["x"], "string"),
        (pa.large_binary(), [b"x"], "binary"),
        (pa.date64(), [86_400_000], "date32[day]"),
        (pa.time32("s"), [1], "time64[us]"),
        (pa.timestamp("s"), [1], "timestamp[us, tz=UTC]"),
        (pa.timestamp("ms", "Europe/Berlin"), [1], "timestamp[us, tz=UTC]"),
        (pa.list_(pa.int64()), [[1]], "string"),
        (pa.null(), [None], "string"),
    ],
)
def test_every_type_has_its_place(tmp_path: Path, kind: pa.DataType, values: list[Any], becomes: str) -> None:
    types, rows, _ = read(tmp_path, c=pa.array([*values, None], kind))
    assert types == {"c": becomes}
    assert len(rows) == 2
    assert rows[1] == {"c": None}


def test_nested_values_are_json_with_exact_decimals(tmp_path: Path) -> None:
    nested = pa.array([{"x": Decimal("1.10"), "y": ["a\u2028b", None]}, None])
    assert read(tmp_path, c=nested)[1] == [{"c": '{"x":1.10,"y":["a\u2028b",null]}'}, {"c": None}]


def test_cut_nanoseconds_are_counted(tmp_path: Path) -> None:
    types, rows, repaired = read(tmp_path, c=pa.array([1_000, 1_001, None, 1_999], pa.timestamp("ns")))
    assert types == {"c": "timestamp[us, tz=UTC]"}
    assert [row["c"] and row["c"].microsecond for row in rows] == [1, 1, None, 1]
    assert repaired == {"c": 2}


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(b"PAR1 but not really")
    with pytest.raises(RunFailedError, match="not a Parquet file that can be read"):
        files.discover(files.Settings(path="*.parquet", root=str(tmp_path)))
