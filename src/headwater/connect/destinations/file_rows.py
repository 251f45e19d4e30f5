"""Staged rows as the rows of a stream's files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

import pyarrow as pa
from msgspec import Struct

from headwater.connect import types
from headwater.connect.destinations import file_columns, partitions
from headwater.connect.destinations.manifest import StreamEntry
from headwater.connect.staging import VERSION, StagedStream, combined, conformed, rider

# Batches of so many rows are written as fast as larger ones, and are not copied for it.
_GATHERED_ROWS = 8_000


class FileRows(Struct, frozen=True):
    """The columns that a stream's files have: `wanted` are those of the source by their names there."""

    stream: str
    schema: pa.Schema
    wanted: tuple[tuple[str, pa.DataType], ...]
    is_versioned: bool

    def is_same(self, other: FileRows) -> bool:
        """Whether files with these columns are files with those."""
        return self.wanted == other.wanted and bool(self.schema.equals(other.schema, check_metadata=True))

    def conformed(self, batches: Iterable[pa.RecordBatch], moment: datetime) -> Iterator[pa.RecordBatch]:
        """The rows, stamped with the moment. Raises InexactError for a value that its column can't hold."""
        loaded_at = pa.scalar(moment, types.TIMESTAMP)
        for batch in combined(batches, _GATHERED_ROWS):
            arrays, _ = conformed(batch, self.stream, self.wanted)
            arrays.append(pa.repeat(loaded_at, batch.num_rows))
            if self.is_versioned:
                arrays.append(rider(batch, VERSION, types.INT64))
            if batch.num_rows:
                yield pa.RecordBatch.from_arrays(arrays, schema=self.schema)


def rows_of(stream: StagedStream, entry: StreamEntry) -> FileRows:
    fields = [file_columns.arrow_field(entry.columns[source]) for source in stream.columns]
    wanted = tuple((source, field.type) for source, field in zip(stream.columns, fields, strict=True))
    fields.append(pa.field(file_columns.LOADED_AT, types.TIMESTAMP))
    if stream.version is not None:
        fields.append(pa.field(VERSION, types.INT64))
    return FileRows(stream.name, pa.schema(fields), wanted, stream.version is not None)


def levels_of(stream: StagedStream, entry: StreamEntry) -> list[tuple[str, int, str | None]]:
    """For each partition its name in paths, its column by number, and what part of the value it is."""
    levels = []
    for level in partitions.parse(stream.name, entry.partitions, stream.fields().values()):
        name = entry.columns[level.column].name
        index = list(stream.columns).index(level.column)
        levels.append((f"{name}_{level.part}" if level.part else name, index, level.part))
    return levels
