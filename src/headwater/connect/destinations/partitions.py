"""Rows by partition, as Hive names them: `country=DE/ordered_at_month=2024-05`.

Values stand as their exact text, percent-encoded; null is `__HIVE_DEFAULT_PARTITION__`. A column that is a partition
is not in the files: its values are in their paths. A part of a date is beside its column.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct

from headwater.base.errors import InputError
from headwater.base.text import did_you_mean
from headwater.connect import types
from headwater.connect.spool import Spool

NULL = "__HIVE_DEFAULT_PARTITION__"
# Some partition's folder takes more to list and to open than its rows do to read, long before this many.
MOST = 10_000
_LONGEST = 200  # bytes of a folder's name; file systems take 255
_PARTS = {"year": 4, "month": 7, "day": 10, "hour": 13}  # how much of 2024-05-31T10:00:00Z
_KINDS = ("bool", "int64", "decimal", "string", "date32")


class Partition(Struct, frozen=True, kw_only=True):
    """One level of folders: by the column of that source name, or by a part of it."""

    column: str
    part: str | None = None


def parse(stream: str, wanted: Iterable[str], columns: Iterable[pa.Field]) -> tuple[Partition, ...]:
    """`country` or `ordered_at:month`, by the stream's columns.

    Raises InputError: `unknown-column`, `bad-partition` for a type that does not name folders well.
    """
    known = {field.name: field for field in columns}
    return tuple(_parsed(stream, text.strip(), known) for text in wanted)


def _parsed(stream: str, text: str, known: dict[str, pa.Field]) -> Partition:
    name, colon, part = (text, "", "") if text in known else text.rpartition(":")
    if name not in known:
        guess = did_you_mean(name or text, known)
        raise InputError(
            "unknown-column",
            f"stream `{stream}` has no column `{name or text}` to be partitioned by",
            hint=f"did you mean `{guess}`?" if guess else "correct `partition_by`",
        )
    kind = types.kind(known[name].type)
    if colon and (part not in _PARTS or kind not in ("timestamp", "date32")):
        why = f"the column is {kind}; parts of dates are {', '.join(_PARTS)}"
        raise InputError("bad-partition", f"stream `{stream}` can't be partitioned by `{text}`", why=why)
    if not colon and (kind not in _KINDS or types.is_json(known[name])):
        raise InputError(
            "bad-partition",
            f"stream `{stream}` can't be partitioned by column `{name}`",
            why=f"its values are {'json' if types.is_json(known[name]) else kind}",
            hint=f"partition by a part of it: `{name}:day`" if kind == "timestamp" else "choose another column",
        )
    return Partition(column=name, part=part or None)


def divided(
    batches: Iterable[pa.RecordBatch], levels: list[tuple[str, int, str | None]], folder: Path, memory_bytes: int
) -> Iterator[tuple[str, Spool]]:
    """The rows of each partition, in their order, by the partition's path. A level is a name, the number of its column
    and the part of it.

    Rows beyond `memory_bytes` wait in files of `folder`; those of a partition are gone when the next is asked for.
    Raises InputError (`too-many-partitions`, `bad-partition`).
    """
    spools: dict[str, Spool] = {}
    try:
        for batch in batches:
            for path, rows in _split(batch, levels):
                if path not in spools:
                    spools[path] = Spool(folder, f"partition-{len(spools)}")
                spools[path].add(rows)
            if len(spools) > MOST:
                raise InputError(
                    "too-many-partitions",
                    f"`partition_by` makes more than {MOST:,} partitions of one commit",
                    hint="partition by a column with fewer values, or by a part of a date such as `ordered_at:month`",
                )
            _make_room(spools.values(), memory_bytes)
        for path in sorted(spools):
            yield path, spools[path]
            spools[path].drop(len(spools[path]))
    finally:
        for spool in spools.values():
            spool.drop(len(spool))


def _make_room(spools: Iterable[Spool], memory_bytes: int) -> None:
    held = sum(spool.memory for spool in spools)
    if held <= memory_bytes:
        return
    for spool in sorted(spools, key=lambda one: one.memory, reverse=True):
        if held <= memory_bytes // 2:  # many small files cost more than the memory is worth
            return
        held -= spool.memory
        spool.spill()


def _split(batch: pa.RecordBatch, levels: list[tuple[str, int, str | None]]) -> Iterator[tuple[str, pa.RecordBatch]]:
    segments = [_segments(name, batch.column(index), part) for name, index, part in levels]
    whole = segments[0] if len(segments) == 1 else pc.binary_join_element_wise(*segments, "/")
    coded = whole.dictionary_encode()
    paths = coded.dictionary.to_pylist()
    gone = {index for _, index, part in levels if part is None}
    kept = batch.select([index for index in range(batch.num_columns) if index not in gone])
    if len(paths) == 1:
        yield paths[0], kept
        return
    counts = dict(zip(*(one.to_pylist() for one in pc.value_counts(coded.indices).flatten()), strict=True))
    ordered = kept.take(pc.sort_indices(coded.indices))  # a stable sort
    start = 0
    for number, path in enumerate(paths):
        yield path, ordered.slice(start, counts[number])
        start += counts[number]


def _segments(name: str, values: pa.Array, part: str | None) -> pa.Array:
    """`name=value` of each row."""
    texts = types.cast(values, types.STRING)
    if part is not None:
        texts = pc.utf8_slice_codeunits(texts, 0, _PARTS[part])
    coded = texts.dictionary_encode(null_encoding="encode")
    head = quote(name, safe="")
    return pa.array([_segment(head, value) for value in coded.dictionary.to_pylist()], types.STRING).take(coded.indices)


def _segment(head: str, value: str | None) -> str:
    text = NULL if value is None else quote(value, safe="")
    if value == NULL:  # that very text, not null
        text = f"%5F{value[1:]}"
    if len(head) + len(text) >= _LONGEST:
        raise InputError(
            "bad-partition",
            f"a value of partition `{head}` is too long to name a folder: `{text[:40]}…`",
            hint="partition by another column",
        )
    return f"{head}={text}"
