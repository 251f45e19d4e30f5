"""The columns of a stream's files, as its manifest has them."""

from __future__ import annotations

import re

import msgspec
import pyarrow as pa

from headwater.base.errors import InputError
from headwater.connect import names, types
from headwater.connect.contract import JSON_FIELD, Change
from headwater.connect.destinations import partitions
from headwater.connect.destinations.manifest import ColumnEntry, StreamEntry, safe_name
from headwater.connect.staging import VERSION, StagedStream, grown

LONGEST_NAME = 255
LOADED_AT = "__loaded_at"
RESERVED = frozenset((LOADED_AT, VERSION))


def shaped(
    known: dict[str, StreamEntry], stream: StagedStream, levels: tuple[str, ...], *, is_replaced: bool
) -> tuple[StreamEntry, list[Change]]:
    """The stream's entry with its columns able to hold the stream, and what changed for that. `levels` are the
    partitions that are wanted, which only a stream that is replaced may change.

    Raises InputError (`unsupported-change`). Files that are there keep the types they were written with.
    """
    name = stream.schema.stream
    entry = known.get(name)
    changes: list[Change] = []
    if entry is None:
        entry = StreamEntry(folder=folder_of(name, {other: one.folder for other, one in known.items()}))
        changes.append(Change(stream=name, column=None, change="table-created", detail=entry.folder))
    called = names.identifiers(
        list(stream.columns),
        max_length=LONGEST_NAME,
        fold_case=False,
        reserved=RESERVED,
        known={source: column.name for source, column in entry.columns.items()},
    )
    columns = dict(entry.columns)
    for source, wanted in stream.fields().items():
        held = entry.columns.get(source)
        columns[source] = reached(name, called[source], held, wanted)
        changes += told(name, source, held, columns[source], is_first=not entry.columns)
    if entry.files and levels != entry.partitions and not is_replaced:
        raise InputError(
            "unsupported-change",
            f"stream `{name}` has files that are partitioned by {_listed(entry.partitions)}",
            why=f"`partition_by` now says {_listed(levels)}",
            hint="load into another folder, or replace the stream: `load_method: overwrite`",
        )
    partitions.parse(name, levels, stream.fields().values())
    return msgspec.structs.replace(entry, columns=columns, partitions=levels), changes


def _listed(wanted: tuple[str, ...]) -> str:
    return ", ".join(f"`{one}`" for one in wanted) or "nothing"


def folder_of(stream: str, known: dict[str, str]) -> str:
    """A new stream's folder. Some file systems don't tell `Foo` from `foo`, so no two folders differ in case only."""
    safe = safe_name(stream)
    return names.identifiers([safe], max_length=LONGEST_NAME, fold_case=True, reserved=frozenset(known.values()))[safe]


def reached(stream: str, name: str, held: ColumnEntry | None, wanted: pa.Field) -> ColumnEntry:
    found = wanted if held is None else grown(arrow_field(held), held.declared, wanted)
    if found is None:
        raise InputError(
            "unsupported-change",
            f"column `{wanted.name}` of stream `{stream}` can't be loaded beside the files that are there",
            why=f"the column is {arrow_field(held).type} and the source now sends {wanted.type}" if held else None,
            hint="types only ever grow: load into another folder",
        )
    return ColumnEntry(name=name, type=str(found.type), declared=types.declared(wanted), json=types.is_json(found))


def told(stream: str, source: str, before: ColumnEntry | None, after: ColumnEntry, *, is_first: bool) -> list[Change]:
    changes = []
    if before is None and not is_first:
        changes.append(Change(stream=stream, column=source, change="column-added", detail=after.type))
    if before is None and after.name != source:
        changes.append(Change(stream=stream, column=source, change="renamed", detail=f"{source} → {after.name}"))
    if before is not None and before.type != after.type:
        detail = f"{before.type} → {after.type}"
        changes.append(Change(stream=stream, column=source, change="column-widened", detail=detail))
    return changes


_TYPES = {
    str(one): one
    for one in (
        types.BOOL,
        types.INT64,
        types.FLOAT64,
        types.STRING,
        types.BINARY,
        types.DATE,
        types.TIME,
        types.TIMESTAMP,
    )
}


def arrow_field(column: ColumnEntry) -> pa.Field:
    if match := re.fullmatch(r"decimal128\((\d+), (\d+)\)", column.type):
        return pa.field(column.name, pa.decimal128(int(match[1]), int(match[2])))
    return pa.field(column.name, _TYPES[column.type], metadata=JSON_FIELD if column.json else None)
