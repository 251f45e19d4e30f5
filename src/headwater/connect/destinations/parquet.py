"""Loads into Parquet files: a folder for each stream, a file for each commit, a manifest that says which count.

Read a stream as `output/users/*.parquet`; columns that came later or grew are matched by name
(`read_parquet(..., union_by_name = true)` in DuckDB). A file that has its name is committed and never changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pyarrow as pa
from msgspec import Struct
from pyarrow import parquet

from headwater.connect.contract import OpenRequest
from headwater.connect.destinations.folder import FolderSession, Format

# What the contract's tests may expect of it.
CAPABILITIES = frozenset({"replace"})


class Settings(Struct, frozen=True, kw_only=True):
    destination_path: str = "output"
    load_method: Literal["append-only", "overwrite"] = "append-only"
    compression: Literal["zstd", "snappy", "gzip", "none"] = "zstd"


def open(settings: Settings, request: OpenRequest) -> FolderSession:  # noqa: A001 - the contract's word
    """Read where the pipeline stands and clear away what a session that died left behind."""

    def write(path: Path, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> tuple[int, int]:
        rows = 0
        with parquet.ParquetWriter(path, schema, compression=settings.compression) as writer:
            for batch in batches:
                writer.write_batch(batch)
                rows += batch.num_rows
        return rows, 0

    return FolderSession(
        settings.destination_path,
        overwrite=settings.load_method == "overwrite",
        file_format=Format(suffix=".parquet", write=write),
        request=request,
    )
