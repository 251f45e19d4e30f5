"""Rows of a stream into files: as large as they may become, one folder for each partition."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Protocol

import pyarrow as pa
from msgspec import Struct

from headwater.connect.destinations import partitions
from headwater.connect.staging import combined
from headwater.connect.storage import Storage


class Writer(Protocol):
    """One file in the making."""

    def write(self, batch: pa.RecordBatch) -> int:
        """Answers how many values had to be changed."""
        ...

    def close(self) -> None:
        """Write what a file ends with. The stream itself stays open."""
        ...


class Format(Struct, frozen=True, kw_only=True):
    """How a file is written, and when the next one begins."""

    suffix: str
    start: Callable[[pa.NativeFile, pa.Schema], Writer]
    max_file_bytes: int


class Target(Struct, frozen=True, kw_only=True):
    """Where the files of one commit go: staged below `staged` first, each by the path it will have."""

    storage: Storage
    staged: str
    scratch: Path
    memory_bytes: int


class Written(Struct):
    """`files` are paths and rows."""

    files: list[tuple[str, int]]
    repaired: int = 0


def write(
    to: Target,
    stem: str,
    file_format: Format,
    batches: Iterable[pa.RecordBatch],
    schema: pa.Schema,
    levels: list[tuple[str, int, str | None]],
) -> Written:
    """Files called `FOLDER/STEM` with a number from the second on, or `FOLDER/PARTITION/STEM`. No rows: no file."""
    done = Written(files=[])
    folder, _, name = stem.rpartition("/")
    if not levels:
        _write_all(to, folder, name, file_format, batches, schema, done)
        return done
    gone = {index for _, index, part in levels if part is None}
    kept = pa.schema([field for index, field in enumerate(schema) if index not in gone])
    for path, spool in partitions.divided(batches, levels, to.scratch, to.memory_bytes):
        rows = combined(spool.first(len(spool)))
        _write_all(to, f"{folder}/{path}", name, file_format, rows, kept, done)
    return done


def _write_all(
    to: Target,
    folder: str,
    name: str,
    file_format: Format,
    batches: Iterable[pa.RecordBatch],
    schema: pa.Schema,
    done: Written,
) -> None:
    left = iter(batches)
    number = 1
    while (first := next(left, None)) is not None:
        path = f"{folder}/{name}{'' if number == 1 else f'-{number}'}{file_format.suffix}"
        number += 1
        with to.storage.sink(f"{to.staged}/{path}") as sink:
            writer = file_format.start(sink, schema)
            rows = 0
            for batch in _until_full(chain([first], left), sink, file_format.max_file_bytes):
                done.repaired += writer.write(batch)
                rows += batch.num_rows
            writer.close()
        done.files.append((path, rows))


def _until_full(batches: Iterator[pa.RecordBatch], sink: pa.NativeFile, most: int) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        yield batch
        if sink.tell() >= most:
            return
