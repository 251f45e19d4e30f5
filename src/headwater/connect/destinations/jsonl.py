"""Loads into files with a JSON object a line: a folder for each stream, files for each commit.

Numbers keep all their digits, times are ISO 8601 in UTC, bytes are base64, objects stand as objects. JSON has no NaN
and no infinity: they become null and are counted. A file that has its name is committed and never changes.
"""

from __future__ import annotations

import json
from typing import Literal

import pyarrow as pa

from headwater.connect import names, types
from headwater.connect.contract import OpenRequest
from headwater.connect.destinations import lines
from headwater.connect.destinations.file_parts import Format
from headwater.connect.destinations.file_settings import FileSettings
from headwater.connect.destinations.folder import FolderSession

# What the contract's tests may expect of it.
CAPABILITIES = frozenset({"replace", "no-nan"})


class Settings(FileSettings, frozen=True, kw_only=True):
    compression: Literal["none", "gzip"] = "none"
    do_timestamp_file: bool = True
    custom_name: str | None = None


def open(settings: Settings, request: OpenRequest) -> FolderSession:  # noqa: A001 - the contract's word
    """Read where the pipeline stands and clear away what a session that died left behind."""
    packed = settings.compression == "gzip"
    engine = lines.Engine()

    def start(sink: pa.NativeFile, schema: pa.Schema) -> lines.Writer:
        return lines.Writer(engine, sink, schema, line(schema), packed=packed, lost=lost(schema))

    suffix = ".jsonl.gz" if packed else ".jsonl"
    return FolderSession(settings, Format(suffix=suffix, start=start, max_file_bytes=settings.max_file_bytes), request)


def line(schema: pa.Schema) -> str:
    """SQL for a row's line, of columns called as `lines.column` says."""
    members = [
        f"'{lines.escaped(('{' if index == 0 else ',') + json.dumps(field.name, ensure_ascii=False) + ':')}', "
        f"coalesce({_text(lines.column(index), field)}, 'null')"
        for index, field in enumerate(schema)
    ]
    return f"concat({', '.join(members)}, '}}', chr(10))"


def lost(schema: pa.Schema) -> str | None:
    """SQL for how many values have no form in JSON; None when none can be."""
    floats = [lines.column(index) for index, field in enumerate(schema) if field.type == types.FLOAT64]
    return " + ".join(f"count(*) filter (where not isfinite({names.quote(name)}))" for name in floats) or None


def _text(column: str, field: pa.Field) -> str:
    """SQL for a column's JSON text; SQL null where the value is null or has no form in JSON."""
    if types.is_json(field):
        # A line break can only stand between tokens there: inside a string it is escaped. Few texts have any.
        plain = f"not contains({column}, chr(10)) and not contains({column}, chr(13))"
        return f"case when {plain} then {column} else translate({column}, chr(10) || chr(13), '  ') end"
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
