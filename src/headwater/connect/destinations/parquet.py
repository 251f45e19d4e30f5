"""Loads into Parquet files: a folder for each stream, files for each commit, a manifest that says which count.

Read a stream as `output/users/*.parquet`; columns that came later or grew are matched by name
(`read_parquet(..., union_by_name = true)` in DuckDB). A partitioned stream has folders below:
`read_parquet('output/users/**/*.parquet', hive_partitioning = true)`. A file that has its name is committed and never
changes.
"""

from __future__ import annotations

from typing import Literal

import pyarrow as pa
from pyarrow import parquet

from headwater.connect.contract import OpenRequest
from headwater.connect.destinations.file_parts import Format
from headwater.connect.destinations.file_settings import Partitioned
from headwater.connect.destinations.folder import FolderSession

# What the contract's tests may expect of it.
CAPABILITIES = frozenset({"replace"})

# A row group is held in memory until it is written.
_GROUP_BYTES = 64 << 20


class Settings(Partitioned, frozen=True, kw_only=True):
    compression: Literal["zstd", "snappy", "gzip", "none"] = "zstd"
    row_group_size: int = 122_880
    max_batch_size: int | None = None
    max_pyarrow_table_size: int | None = None


def open(settings: Settings, request: OpenRequest) -> FolderSession:  # noqa: A001 - the contract's word
    """Read where the pipeline stands and clear away what a session that died left behind."""

    def start(sink: pa.NativeFile, schema: pa.Schema) -> _Writer:
        return _Writer(parquet.ParquetWriter(sink, schema, compression=settings.compression), settings.row_group_size)

    file_format = Format(suffix=".parquet", start=start, max_file_bytes=settings.max_file_bytes)
    return FolderSession(settings, file_format, request)


class _Writer:
    """Gathers batches until they make a row group."""

    def __init__(self, writer: parquet.ParquetWriter, group: int) -> None:
        self._writer = writer
        self._group = group
        self._held: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0

    def write(self, batch: pa.RecordBatch) -> int:
        self._held.append(batch)
        self._rows += batch.num_rows
        self._bytes += batch.nbytes
        if self._rows >= self._group or self._bytes >= _GROUP_BYTES:
            self._write()
        return 0

    def close(self) -> None:
        self._write()
        self._writer.close()

    def _write(self) -> None:
        if self._held:
            table = pa.Table.from_batches(self._held)
            self._writer.write_table(table, row_group_size=self._group)
            self._held, self._rows, self._bytes = [], 0, 0
