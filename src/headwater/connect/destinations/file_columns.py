"""The columns of a stream's files, as its manifest has them."""

from __future__ import annotations

import re

import pyarrow as pa

from headwater.base.errors import InputError
from headwater.connect import names, types
from headwater.connect.contract import JSON_FIELD, Change
from headwater.connect.destinations.manifest import ColumnEntry, safe_name
from headwater.connect.staging import grown

LONGEST_NAME = 255


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
