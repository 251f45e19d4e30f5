"""Loads into files with a JSON object a line: a folder for each stream, files for each commit.

Numbers keep all their digits, times are ISO 8601 in UTC, bytes are base64, objects stand as objects. JSON has no NaN
and no infinity: they become null and are counted. A file that has its name is committed and never changes.
"""

from __future__ import annotations

from typing import Literal

import pyarrow as pa

from headwater.connect.contract import OpenRequest
from headwater.connect.destinations import json_text, lines
from headwater.connect.destinations.file_parts import Format
from headwater.connect.destinations.file_settings import FileSettings
from headwater.connect.destinations.folder import FolderSession

# What the contract's tests may expect of it.
CAPABILITIES = frozenset({"replace", "no-nan"})

# Rows become text in pieces of about this size: it must be less than 2 GiB, and stay in the processor's cache.
_PIECE_BYTES = 4 << 20


class Settings(FileSettings, frozen=True, kw_only=True):
    compression: Literal["none", "gzip"] = "none"
    do_timestamp_file: bool = True
    custom_name: str | None = None


def open(settings: Settings, request: OpenRequest) -> FolderSession:  # noqa: A001 - the contract's word
    """Read where the pipeline stands and clear away what a session that died left behind."""
    packed = settings.compression == "gzip"

    def start(sink: pa.NativeFile, schema: pa.Schema) -> _Writer:
        return _Writer(sink, schema, packed=packed)

    suffix = ".jsonl.gz" if packed else ".jsonl"
    return FolderSession(settings, Format(suffix=suffix, start=start, max_file_bytes=settings.max_file_bytes), request)


class _Writer:
    def __init__(self, sink: pa.NativeFile, schema: pa.Schema, *, packed: bool) -> None:
        # No time in the gzip header: the same rows give the same bytes.
        self._sink = pa.CompressedOutputStream(sink, "gzip") if packed else sink
        self._is_packed = packed
        self._schema = schema

    def write(self, batch: pa.RecordBatch) -> int:
        lost = 0
        rows = max(1, batch.num_rows * _PIECE_BYTES // max(batch.nbytes, _PIECE_BYTES))
        for start in range(0, batch.num_rows, rows):
            columns = list(zip(self._schema, batch.slice(start, rows).columns, strict=True))
            text = json_text.lines(columns, lines.base64)
            self._sink.write(lines.joined(text))
            lost += json_text.lost(columns)
        return lost

    def close(self) -> None:
        if self._is_packed:
            self._sink.close()
