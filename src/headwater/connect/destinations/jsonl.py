"""Loads into files with a JSON object a line: a folder for each stream, a file for each commit.

Numbers keep all their digits, times are ISO 8601 in UTC, bytes are base64, objects stand as objects. JSON has no NaN
and no infinity: they become null and are counted. A file that has its name is committed and never changes.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Literal, cast

import duckdb
import pyarrow as pa
from msgspec import Struct

from headwater.connect import names, types
from headwater.connect.contract import OpenRequest
from headwater.connect.destinations.folder import FolderSession, Format
from headwater.connect.warehouse import first_row

# What the contract's tests may expect of it.
CAPABILITIES = frozenset({"replace", "no-nan"})


class Settings(Struct, frozen=True, kw_only=True):
    destination_path: str = "output"
    load_method: Literal["append-only", "overwrite"] = "append-only"
    compression: Literal["none", "gzip"] = "none"


def open(settings: Settings, request: OpenRequest) -> FolderSession:  # noqa: A001 - the contract's word
    """Read where the pipeline stands and clear away what a session that died left behind."""
    compressed = settings.compression == "gzip"

    def write(path: Path, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> tuple[int, int]:
        with _opened(path, compressed=compressed) as file, duckdb.connect() as connection:
            connection.execute("set TimeZone = 'UTC'")
            rows = repaired = 0
            for batch in batches:
                repaired += _write_lines(connection, file, schema, batch)
                rows += batch.num_rows
        return rows, repaired

    return FolderSession(
        settings.destination_path,
        overwrite=settings.load_method == "overwrite",
        file_format=Format(suffix=".jsonl.gz" if compressed else ".jsonl", write=write),
        request=request,
    )


def _opened(path: Path, *, compressed: bool) -> IO[bytes]:
    # No time in the gzip header: the same rows give the same bytes.
    return cast("IO[bytes]", gzip.GzipFile(path, "wb", mtime=0)) if compressed else path.open("wb")


def _write_lines(
    connection: duckdb.DuckDBPyConnection, file: IO[bytes], schema: pa.Schema, batch: pa.RecordBatch
) -> int:
    """Write a batch; answers how many values had no form in JSON."""
    columns = [f"c{index}" for index in range(len(schema))]  # the names themselves may clash in SQL
    connection.register("batch", batch.rename_columns(columns))
    members = [
        f"'{_escaped(('{' if index == 0 else ',') + json.dumps(field.name, ensure_ascii=False) + ':')}', "
        f"coalesce({_text(columns[index], field)}, 'null')"
        for index, field in enumerate(schema)
    ]
    query = f"select concat({', '.join(members)}, '}}', chr(10)) from batch"
    for lines in connection.sql(query).to_arrow_reader():
        text = lines.column(0).cast(pa.large_string())
        # The values of an Arrow text column lie one after another: they are the file's content.
        offsets = memoryview(text.buffers()[1]).cast("q")[text.offset : text.offset + len(text) + 1]
        file.write(memoryview(text.buffers()[2])[offsets[0] : offsets[-1]])
    floats = [columns[index] for index, field in enumerate(schema) if field.type == types.FLOAT64]
    if not floats:
        return 0
    counts = " + ".join(f"count(*) filter (where not isfinite({names.quote(name)}))" for name in floats)
    row = first_row(connection, f"select {counts} from batch")
    return int(row[0]) if row else 0


def _text(column: str, field: pa.Field) -> str:
    """SQL for a column's JSON text; SQL null where the value is null or has no form in JSON."""
    if types.is_json(field):
        # A line break can only stand between tokens there: inside a string it is escaped.
        return f"translate({column}, chr(10) || chr(13), '  ')"
    match types.kind(field.type):
        case "bool" | "int64" | "decimal":
            return f"{column}::varchar"
        case "float64":
            return f"case when isfinite({column}) then to_json({column})::varchar end"
        case "timestamp":
            return f"strftime({column}, '\"%Y-%m-%dT%H:%M:%S.%fZ\"')"
        case "binary":
            return f"'\"' || base64({column}) || '\"'"
        case "date32" | "time64":
            return f"'\"' || {column}::varchar || '\"'"
    return f"to_json({column})::varchar"


def _escaped(text: str) -> str:
    return text.replace("'", "''")
