"""Blocks of rows as the contract's messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import pyarrow as pa

from headwater.base.errors import RunFailedError
from headwater.connect import types
from headwater.connect.contract import Rows, Schema
from headwater.connect.sources.mysql import columns
from headwater.connect.sources.mysql.query import Query
from headwater.connect.sources.mysql.rows import Block


class Batches:
    """Of one stream: its schema comes first, and again whenever a value asks for a wider column."""

    def __init__(self, query: Query) -> None:
        self._query = query
        self._shown = query.columns
        self._is_told = False

    def schema(self) -> Iterator[Schema]:
        """Unless it has come."""
        if not self._is_told:
            self._is_told = True
            yield Schema(
                stream=self._query.stream,
                columns=pa.schema([one.field for one in self._shown]),
                keys=self._query.keys,
                cursor=None if self._query.is_full else self._query.cursor,
                replace=self._query.replaces,
            )

    def of(self, block: Block) -> Iterator[Schema | Rows]:
        """The rows come last. Raises RunFailedError (`value-rejected`)."""
        values = columns.arrays(self._query.columns, block.words, block.texts)
        fitted = tuple(columns.widened(*pair) for pair in zip(self._shown, values, strict=True))
        if fitted != self._shown:
            self._shown, self._is_told = fitted, False
        yield from self.schema()
        arrays, repaired = [], {}
        for one, came in zip(self._shown, values, strict=True):
            array, lost = columns.converted(one, came)
            arrays.append(array)
            if lost and one.name in (*self._query.keys, self._query.cursor):
                raise _rejected(self._query, one.name)
            if lost:
                repaired[one.name] = lost
        yield Rows(stream=self._query.stream, batch=self._batch(arrays), repaired=repaired, size=block.size)

    def gone(self, deleted: Mapping[tuple[Any, ...], datetime], column: str) -> Iterator[Schema | Rows]:
        """Rows of which nothing is known but their keys, and when they were deleted, which is told in that column."""
        yield from self.schema()
        known = dict(zip(self._query.keys, zip(*deleted, strict=True), strict=True)) | {column: deleted.values()}
        arrays = [
            pa.array(list(known[one.name]), one.field.type)
            if one.name in known
            else pa.nulls(len(deleted), one.field.type)
            for one in self._shown
        ]
        absent = [one.name for one in self._shown if one.name not in known]
        missing = pa.repeat(pa.scalar(absent, pa.list_(types.STRING)), len(deleted)) if absent else None
        batch = self._batch(arrays)
        yield Rows(stream=self._query.stream, batch=batch, missing=missing, size=batch.nbytes)

    def _batch(self, arrays: list[pa.Array]) -> pa.RecordBatch:
        return pa.RecordBatch.from_arrays(arrays, schema=pa.schema([one.field for one in self._shown]))


def _rejected(query: Query, column: str) -> RunFailedError:
    return RunFailedError(
        "value-rejected",
        f"`{column}` of stream `{query.stream}` holds a date with zeros in it, or a text that is none",
        why="it is a key or the replication key, and those are never repaired",
        hint="correct it at the source, or choose another key",
    )
