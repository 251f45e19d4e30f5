"""Staged rows on their way to a server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from headwater.base.errors import RunFailedError
from headwater.connect.staging import MISSING, has_rider, rider

_Item = TypeVar("_Item")


def ahead(items: Iterator[_Item]) -> Iterator[_Item]:
    """The same items; each is made in a thread of its own while the one before is in use. Arrow and the drivers both
    work outside of Python's lock."""
    with ThreadPoolExecutor(1, "encode") as thread:
        coming = thread.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = thread.submit(next, items, None)
            yield item


def sent(batch: pa.RecordBatch, absent: list[str], sources: Sequence[str]) -> tuple[pa.Array, set[str]]:
    """A text for each row, with `0` at the position of a column that was not sent; null when all were. And the columns
    that some row came without. `absent` are those that the whole batch has not."""
    has_missing = has_rider(batch, MISSING)
    if not has_missing and not absent:
        return pa.nulls(batch.num_rows, pa.string()), set()
    missing: dict[str, pa.Array] = {}
    if has_missing:
        lists = rider(batch, MISSING, pa.list_(pa.string()))
        told, row_of = pc.list_flatten(lists), pc.list_parent_indices(lists)
        numbers = pa.arange(0, batch.num_rows)
        for source in pc.unique(told).to_pylist():
            missing[source] = pc.is_in(numbers, row_of.filter(pc.equal(told, source)))
    marks = [
        pa.scalar("0")
        if source in absent
        else pc.if_else(missing[source], "0", "1")
        if source in missing
        else pa.scalar("1")
        for source in sources
    ]
    return pc.binary_join_element_wise(pa.repeat("", batch.num_rows), *marks, ""), {*absent, *missing}


def null_key(stream: str, key: str) -> RunFailedError:
    return RunFailedError(
        "null-key",
        f"rows of stream `{stream}` have no value in the key column `{key}`",
        why="a row without its key can't be told from others",
        hint="choose other keys, or set `load_method` to `append-only`",
    )
