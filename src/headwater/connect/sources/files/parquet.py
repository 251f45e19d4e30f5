"""Parquet: batches as they are, only the columns that are taken, in the types that streams may have.

Nested values become JSON text. Nanoseconds are cut to microseconds, and each value that lost some is counted.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headwater.base.errors import RunFailedError, Where
from headwater.connect.sources.files.find import DataFile
from headwater.connect.sources.files.format import Piece
from headwater.connect.sources.files.open import seekable
from headwater.connect.sources.text_types import TIMESTAMP, Kind, Look

_MOST_ROWS = 131_072  # in a batch: where columns are all but empty, bytes alone would let it grow without end
_JSON = msgspec.json.Encoder(decimal_format="number")
_DIGITS = {8: 3, 16: 5, 32: 10, 64: 20}  # an integer's most digits, by its bits
_EXACT_INTEGER = 2**53


def looks(file: DataFile, takes: Callable[[str], bool], _most: int | None = None) -> dict[str, Look]:
    """As in `format.Format`; the footer says it all."""
    with _parquet(file) as parquet:
        schema = parquet.schema_arrow
        return {field.name: _look(field.type, parquet.metadata, field.name) for field in schema if takes(field.name)}


def batches(file: DataFile, columns: pa.Schema, batch_bytes: int) -> Iterator[Piece]:
    """As in `format.Format`."""
    with _parquet(file) as parquet:
        fields = [columns.field(name) for name in parquet.schema_arrow.names if name in columns.names]
        rows = _batch_rows(parquet.metadata, batch_bytes)
        for batch in parquet.iter_batches(batch_size=rows, columns=[field.name for field in fields]):
            arrays, repaired = [], {}
            for field in fields:
                values = _plain(batch.column(field.name))
                if lost := _nanoseconds(values):
                    repaired[field.name] = lost
                arrays.append(_converted(values, field))
            whole = pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))
            yield Piece(batch=whole, size=batch.nbytes, repaired=repaired)


@contextlib.contextmanager
def _parquet(file: DataFile) -> Iterator[pq.ParquetFile]:
    try:
        with seekable(file) as stream, pq.ParquetFile(stream) as parquet:
            yield parquet
    except (pa.ArrowInvalid, OSError) as error:
        raise RunFailedError(
            "corrupt-file",
            f"`{file.label}` is not a Parquet file that can be read",
            where=Where(file.shown),
            why=" ".join(str(error).split())[:200],
        ) from error


def _batch_rows(metadata: pq.FileMetaData, batch_bytes: int) -> int:
    size = sum(int(metadata.row_group(index).total_byte_size) for index in range(metadata.num_row_groups))
    return max(1, min(_MOST_ROWS, batch_bytes * int(metadata.num_rows) // max(size, 1)))


def _look(kind: pa.DataType, metadata: pq.FileMetaData, name: str) -> Look:
    is_ = pa.types
    if is_.is_dictionary(kind):
        return _look(kind.value_type, metadata, name)
    if is_.is_integer(kind):
        digits = _DIGITS[kind.bit_width]
        return Look(Kind.NUMBER, int64=kind != pa.uint64(), floats=_fits_floats(kind, metadata, name), digits=digits)
    if is_.is_floating(kind):
        return Look(Kind.NUMBER, whole=False, int64=False, plain=False)
    if is_.is_decimal(kind):
        return Look(
            Kind.NUMBER,
            whole=kind.scale == 0,
            int64=False,
            floats=False,
            digits=kind.precision - kind.scale,
            scale=max(kind.scale, 0),
        )
    tests = (
        (is_.is_null, Kind.NULL),
        (is_.is_boolean, Kind.BOOL),
        (is_.is_date, Kind.DATE),
        (is_.is_timestamp, Kind.TIMESTAMP),
        (is_.is_time, Kind.TIME),
        (_is_text, Kind.TEXT),
        (_is_binary, Kind.BINARY),
    )
    return Look(next((found for test, found in tests if test(kind)), Kind.JSON))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_binary(kind: pa.DataType) -> bool:
    is_ = pa.types
    return any(
        test(kind) for test in (is_.is_binary, is_.is_large_binary, is_.is_fixed_size_binary, is_.is_binary_view)
    )


def _fits_floats(kind: pa.DataType, metadata: pq.FileMetaData, name: str) -> bool:
    """Whether each integer has a float64 of its own, by the column's statistics where it takes them."""
    if kind.bit_width < 64:
        return True
    for group in (metadata.row_group(index) for index in range(metadata.num_row_groups)):
        column = next(
            (item for item in map(group.column, range(group.num_columns)) if item.path_in_schema == name), None
        )
        statistics = column.statistics if column else None
        if statistics is None or not statistics.has_min_max:
            return False
        if max(abs(int(statistics.min)), abs(int(statistics.max))) > _EXACT_INTEGER:
            return False
    return True


def _plain(values: pa.Array) -> pa.Array:
    return values.dictionary_decode() if pa.types.is_dictionary(values.type) else values


def _nanoseconds(values: pa.Array) -> int:
    """How many values have a part below a microsecond."""
    kind = values.type
    if not (pa.types.is_timestamp(kind) or pa.types.is_time64(kind)) or kind.unit != "ns":
        return 0
    raw = values.cast(pa.int64())
    return int(pc.sum(pc.not_equal(pc.multiply(pc.divide(raw, 1000), 1000), raw)).as_py() or 0)


def _converted(values: pa.Array, field: pa.Field) -> pa.Array:
    kind, to = values.type, field.type
    if pa.types.is_nested(kind):
        return _json_texts(values)
    if pa.types.is_timestamp(kind):
        instants = values if kind.tz else pc.assume_timezone(values, "UTC")
        instants = pc.cast(instants, TIMESTAMP, safe=False)  # only nanoseconds are lost, and they are counted
        return instants if to == TIMESTAMP else pc.strftime(instants, "%Y-%m-%dT%H:%M:%SZ")
    if pa.types.is_time(kind):
        return pc.cast(pc.cast(values, pa.time64("us"), safe=False), to)
    if pa.types.is_null(kind):
        return pa.nulls(len(values), to)
    return _json_texts(values) if field.metadata and not _is_text(kind) else pc.cast(values, to)


def _json_texts(values: pa.Array) -> pa.Array:
    """Each value as JSON text; null stays null."""
    lines = _JSON.encode_lines(values.to_pylist(maps_as_pydicts="strict"))
    texts = (
        pa.array(lines.decode().removesuffix("\n").split("\n"), pa.string())
        if len(values)
        else pa.array([], pa.string())
    )
    return pc.if_else(values.is_valid(), texts, pa.scalar(None, pa.string()))
