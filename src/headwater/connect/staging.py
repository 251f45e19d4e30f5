"""What a load has taken and not yet committed: rows, rejects and version messages, with the mark of the last
boundary. Every destination of ours holds its rows this way and differs only in how it makes them durable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import pyarrow as pa
from msgspec import Struct

from headwater.base.errors import InputError
from headwater.connect import types
from headwater.connect.contract import ActivateVersion, Rejected, Rows, Schema, StreamReceipt
from headwater.connect.spool import Spool

# Riders of a staged batch: what the source did not send for a row, and the row's table version. They come after the
# source's own columns and are known by their mark: a source may have columns of the same names.
MISSING = "__missing"
VERSION = "__version"
_MARK = {b"headwater.rider": b"yes"}


class StagedStream:
    """A stream of this session: its shape so far and its rows. `texts` are columns that hold a value which their type
    does not. `comes_again` is what the last rows said (see `contract.Rows`)."""

    def __init__(self, schema: Schema, spool: Spool, load_method: str) -> None:
        self.schema = schema
        self._load_method = load_method
        # Every column that any of the stream's schemas named, in the widest type it had.
        self.columns: dict[str, pa.Field] = {}
        self.spool = spool
        self.repaired: list[int] = []  # one entry a batch
        self.boundary = 0
        self.version: int | None = None
        self.is_reshaped = True
        self.texts: set[str] = set()
        self.has_long_keys = False
        self.comes_again = False

    @property
    def name(self) -> str:
        return self.schema.stream

    @property
    def keys(self) -> tuple[str, ...]:
        """What tells its rows apart; () when they are appended."""
        return () if self._load_method == "append-only" else self.schema.keys

    @property
    def is_replaced(self) -> bool:
        return self.schema.replace or self._load_method == "overwrite"

    def fields(self) -> dict[str, pa.Field]:
        """Its columns, as the destination has to hold them."""
        return {name: as_text(field) if name in self.texts else field for name, field in self.columns.items()}

    def reshape(self, schema: Schema) -> None:
        """Take a new schema beside the ones before. Raises InputError (`unsupported-change`)."""
        columns = dict(self.columns)
        for field in schema.columns:
            columns[field.name] = _wider(schema.stream, columns.get(field.name), field)
        absent = [key for key in schema.keys if key not in columns]
        if absent:
            raise InputError(
                "unknown-key",
                f"stream `{schema.stream}` has no column `{absent[0]}` to be a key",
                hint="correct the keys (`key_properties`) of the stream",
            )
        if len(self.spool) and schema.keys != self.schema.keys:
            raise InputError(
                "unsupported-change",
                f"stream `{schema.stream}` changes its keys in the middle of a load",
                why=f"from ({', '.join(self.schema.keys)}) to ({', '.join(schema.keys)})",
            )
        self.is_reshaped = self.is_reshaped or schema != self.schema
        self.schema, self.columns = schema, columns


class Part(Struct, frozen=True, kw_only=True):
    """What one commit takes: how many batches of each stream, how many rejects and version messages."""

    batches: dict[str, int]
    rejects: int
    activations: int

    def is_empty(self) -> bool:
        return not (any(self.batches.values()) or self.rejects or self.activations)


class Staging:
    def __init__(self, folder: Path, memory_bytes: int, load_method: str = "upsert") -> None:
        self._folder = folder
        self.load_method = load_method
        self._memory_bytes = memory_bytes
        self._touched: set[str] = set()
        self._boundary = (0, 0)
        self._bytes = 0
        self.streams: dict[str, StagedStream] = {}
        self.rejects: list[Rejected] = []
        self.activations: list[ActivateVersion] = []

    def prepare(self, schema: Schema) -> StagedStream:
        stream = self.streams.get(schema.stream)
        if stream is None:
            spool = Spool(self._folder, f"stream-{len(self.streams)}")
            stream = StagedStream(schema, spool, self.load_method)
            stream.reshape(schema)
            self.streams[schema.stream] = stream
        elif not _same(stream.schema, schema):
            stream.reshape(schema)
        return stream

    def stage(self, rows: Rows) -> pa.RecordBatch:
        """Answers the batch as it waits, with its riders."""
        stream = self.streams[rows.stream]
        batch = rows.batch
        if rows.missing is not None:
            batch = batch.append_column(pa.field(MISSING, rows.missing.type, metadata=_MARK), rows.missing)
        if rows.version is not None:
            versions = pa.repeat(pa.scalar(rows.version, types.INT64), batch.num_rows)
            batch = batch.append_column(pa.field(VERSION, types.INT64, metadata=_MARK), versions)
            stream.version = rows.version
        self._bytes += stream.spool.add(batch)
        stream.comes_again = rows.again
        stream.repaired.append(sum(rows.repaired.values()))
        self._touched.add(rows.stream)
        if sum(one.spool.memory for one in self.streams.values()) > self._memory_bytes:
            for one in self.streams.values():
                one.spool.spill()
        return batch

    def reject(self, rejected: Rejected) -> None:
        self.rejects.append(rejected)
        self._bytes += len(rejected.record)

    def staged_bytes(self) -> int:
        return self._bytes

    def boundary(self) -> None:
        for name in self._touched:
            stream = self.streams[name]
            stream.boundary = len(stream.spool)
        self._touched.clear()
        self._boundary = (len(self.rejects), len(self.activations))

    def part(self, *, to_boundary: bool) -> Part:
        """All that is staged, or all up to the last boundary."""
        if to_boundary:
            batches = {name: stream.boundary for name, stream in self.streams.items()}
            return Part(batches=batches, rejects=self._boundary[0], activations=self._boundary[1])
        batches = {name: len(stream.spool) for name, stream in self.streams.items()}
        return Part(batches=batches, rejects=len(self.rejects), activations=len(self.activations))

    def drop(self, part: Part) -> None:
        """Forget a part that was committed."""
        for name, count in part.batches.items():
            stream = self.streams[name]
            stream.spool.drop(count)
            del stream.repaired[:count]
            stream.boundary = max(0, stream.boundary - count)
        del self.rejects[: part.rejects]
        del self.activations[: part.activations]
        self._boundary = (max(0, self._boundary[0] - part.rejects), max(0, self._boundary[1] - part.activations))
        rejected = sum(len(one.record) for one in self.rejects)
        self._bytes = sum(stream.spool.bytes() for stream in self.streams.values()) + rejected

    def clear(self) -> None:
        self.drop(self.part(to_boundary=False))


_COMBINE_ROWS = 64_000
_COMBINE_BYTES = 32 << 20


def combined(batches: Iterable[pa.RecordBatch], rows: int = _COMBINE_ROWS) -> Iterator[pa.RecordBatch]:
    """Neighbours of one schema as one batch of about 64,000 `rows` or 32 MiB: some sources send rows one by one."""
    held: list[pa.RecordBatch] = []
    count = size = 0
    for batch in batches:
        more = batch.nbytes
        is_full = count + batch.num_rows > rows or size + more > _COMBINE_BYTES
        if held and (is_full or held[0].schema != batch.schema):
            yield _one(held)
            held, count, size = [], 0, 0
        held.append(batch)
        count += batch.num_rows
        size += more
    if held:
        yield _one(held)


def _one(held: list[pa.RecordBatch]) -> pa.RecordBatch:
    return held[0] if len(held) == 1 else pa.concat_batches(held)


def with_rejects(receipts: dict[str, StreamReceipt], rejects: list[Rejected]) -> dict[str, StreamReceipt]:
    """The receipts with the records that were set aside."""
    counted = dict(receipts)
    for name, count in Counter(one.stream for one in rejects).items():
        one = counted.get(name, StreamReceipt())
        counted[name] = msgspec.structs.replace(one, rows_in=one.rows_in + count, rejected=one.rejected + count)
    return counted


class InexactError(Exception):
    """A staged value does not survive the type of its column: the column has to become text."""

    def __init__(self, stream: str, column: str) -> None:
        super().__init__(f"{stream}.{column}")
        self.stream = stream
        self.column = column


class LongKeyError(Exception):
    """A value of a key is too long for an index: the table has to be keyed by a hash."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.stream = stream


def conformed(
    batch: pa.RecordBatch, stream: str, columns: Iterable[tuple[str, pa.DataType]]
) -> tuple[list[pa.Array], list[str]]:
    """The batch's columns in those types, and the names of those it has not (they are null).

    Raises InexactError for a value that its type can't hold exactly.
    """
    arrays, absent = [], []
    for name, data_type in columns:
        index = next(iter(batch.schema.get_all_field_indices(name)), -1)
        if index < 0 or _is_rider(batch.schema.field(index)):
            arrays.append(pa.nulls(batch.num_rows, data_type))
            absent.append(name)
            continue
        try:
            arrays.append(types.cast(batch.column(index), data_type))
        except pa.ArrowInvalid as error:
            raise InexactError(stream, name) from error
    return arrays, absent


def rider(batch: pa.RecordBatch, name: str, data_type: pa.DataType) -> pa.Array:
    """The values of a rider; nulls when the batch came without it."""
    index = _rider_at(batch, name)
    return pa.nulls(batch.num_rows, data_type) if index < 0 else batch.column(index).cast(data_type)


def has_rider(batch: pa.RecordBatch, name: str) -> bool:
    return _rider_at(batch, name) >= 0


def without_riders(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The source's own columns."""
    return batch.select([index for index, field in enumerate(batch.schema) if not _is_rider(field)])


def _rider_at(batch: pa.RecordBatch, name: str) -> int:
    places = batch.schema.get_all_field_indices(name)
    return next((place for place in places if _is_rider(batch.schema.field(place))), -1)


def _is_rider(field: pa.Field) -> bool:
    return bool(field.metadata == _MARK)


def as_text(field: pa.Field) -> pa.Field:
    """The column as text, still knowing what it was declared to be."""
    return pa.field(field.name, types.STRING, metadata={types.DECLARED: types.declared(field).encode()})


def grown(held: pa.Field, held_declared: str | None, wanted: pa.Field, *, replaced: bool = False) -> pa.Field | None:
    """The type of a column that holds `held` and is to take `wanted` too; None when that is not supported.

    `held_declared` is what the source last declared the column to be: when it declares the same again, then it was
    a value that once made the column wider, and the column stays as it is. So it does when all of its content is
    `replaced`: no value that stands there could be taken for one of another type.
    """
    if types.is_json(held) and types.is_json(wanted):
        return held
    to = types.widen(held.type, wanted.type)
    is_declared = replaced or held_declared == types.declared(wanted)
    if to is None and is_declared and types.widen(wanted.type, held.type) == held.type:
        to = held.type
    return None if to is None else pa.field(wanted.name, to)


def _same(one: Schema, other: Schema) -> bool:
    """Whether two schemas say the same, in whatever order they name the columns."""
    return (
        (one.keys, one.replace) == (other.keys, other.replace)
        and set(one.columns.names) == set(other.columns.names)
        and all(other.columns.field(field.name).equals(field, check_metadata=True) for field in one.columns)
    )


def _wider(stream: str, held: pa.Field | None, field: pa.Field) -> pa.Field:
    """The type of a column after one more schema of the same load."""
    if held is None or held.equals(field, check_metadata=True):
        return field
    reached = grown(held, types.declared(held), field)
    if reached is None:
        raise InputError(
            "unsupported-change",
            f"column `{field.name}` of stream `{stream}` turned from {held.type} into {field.type} during the load",
            why="types only ever grow",
        )
    metadata = {**(reached.metadata or {}), types.DECLARED: types.declared(field).encode()}
    return reached.with_metadata(metadata)
