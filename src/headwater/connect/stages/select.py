"""Take what the catalog selects and leave the rest: for taps that deliver everything whatever is selected."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct

from headwater.connect.contract import Checkpoint, Message, Rejected, Rows, Schema
from headwater.model.catalog import Catalog, CatalogStream


class Taken(Struct, frozen=True, kw_only=True):
    """The part of a stream that is selected.

    A column that the catalog does not know (it came after the discovery) is taken when nothing of the stream is
    left out: who takes all of it wants that too, who picked columns does not.
    """

    columns: frozenset[str]
    left_out: frozenset[str]

    def takes(self, column: str) -> bool:
        return column in self.columns or not self.left_out


def taken(stream: CatalogStream) -> Taken | None:
    """What the catalog selects of a stream; None when the stream is not selected. Keys are always taken.

    A stream counts as selected by `selected`, failing that by `selected-by-default`. A column follows its
    `inclusion`, then its own `selected`, then what it is nested in.
    """
    marks = {tuple(entry.breadcrumb): entry.metadata for entry in stream.metadata}
    top = marks.get((), {})
    chosen = top.get("selected", stream.selected)
    if not (top.get("selected-by-default", False) if chosen is None else chosen):
        return None
    columns = dict(_columns(stream.schema, marks, (), "", selected=True))
    keys = set(table_keys(stream) or ())
    left_out = frozenset(name for name, selected in columns.items() if not selected and name not in keys)
    return Taken(columns=frozenset(columns) - left_out | keys, left_out=left_out)


def table_keys(stream: CatalogStream) -> list[str] | None:
    """The stream's key columns by the catalog; None when it says nothing about keys."""
    top: dict[str, Any] = next((entry.metadata for entry in stream.metadata if not entry.breadcrumb), {})
    for keys in (top.get("table-key-properties"), stream.key_properties, top.get("view-key-properties")):
        if keys is not None:
            return list(keys)
    return None


class Select:
    """The stage. Counts in `filtered` the rows of streams it dropped; rows that lose columns are not counted.

    Only what the catalog leaves out by name is dropped: streams and columns that it does not know come through, for
    a tap may rename what it sends.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._taken = {stream.name: taken(stream) for stream in catalog.streams}
        self._kept: dict[str, pa.Schema] = {}
        self.filtered: dict[str, int] = {}

    def __call__(self, message: Message) -> Sequence[Message]:
        if isinstance(message, Checkpoint):
            return (message,)
        if message.stream not in self._taken:
            return (message,)
        selected = self._taken[message.stream]
        if selected is None:
            if isinstance(message, Rows | Rejected):
                count = message.batch.num_rows if isinstance(message, Rows) else 1
                self.filtered[message.stream] = self.filtered.get(message.stream, 0) + count
            return ()
        if isinstance(message, Schema):
            return (self._schema(message, selected),)
        return (self._rows(message),) if isinstance(message, Rows) else (message,)

    def _schema(self, schema: Schema, selected: Taken) -> Schema:
        kept = pa.schema(
            [field for field in schema.columns if field.name not in selected.left_out or field.name in schema.keys]
        )
        self._kept[schema.stream] = kept
        cursor = schema.cursor if schema.cursor in kept.names else None
        return msgspec.structs.replace(schema, columns=kept, cursor=cursor)

    def _rows(self, rows: Rows) -> Rows:
        kept = self._kept[rows.stream]
        if rows.batch.num_columns == len(kept):
            return rows
        return msgspec.structs.replace(
            rows,
            batch=_only(rows.batch, kept),
            missing=None if rows.missing is None else _only_listed(rows.missing, kept.names),
            repaired={name: count for name, count in rows.repaired.items() if name in kept.names},
        )


def _only(batch: pa.RecordBatch, kept: pa.Schema) -> pa.RecordBatch:
    if len(kept):
        return pa.RecordBatch.from_arrays([batch.column(name) for name in kept.names], schema=kept)
    # No column is left, yet the rows still count.
    return pa.RecordBatch.from_struct_array(pa.array([{}], pa.struct([])).take(pa.repeat(0, batch.num_rows)))


def _only_listed(lists: pa.Array, names: list[str]) -> pa.Array:
    """Each list without the texts that are not in `names`; null stays null."""
    present = pc.fill_null(pc.list_value_length(lists), 0)
    texts = pc.list_flatten(lists)
    stays = pc.is_in(texts, pa.array(names, pa.string()))
    # Where each list ends, first among all texts, then among those that stay.
    ends = pc.cumulative_sum(present)
    before = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(stays.cast(pa.int32()))])
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), before.take(ends)])
    return pa.ListArray.from_arrays(offsets, texts.filter(stays), mask=lists.is_null())


def _columns(
    schema: dict[str, Any],
    marks: dict[tuple[str, ...], dict[str, Any]],
    path: tuple[str, ...],
    prefix: str,
    *,
    selected: bool,
) -> Iterator[tuple[str, bool]]:
    """Every column, nested objects flattened to `a__b`, and whether it is selected."""
    for name, inner in schema.get("properties", {}).items():
        here = (*path, "properties", name)
        chosen = _chosen(marks.get(here, {}), inherited=selected)
        yield f"{prefix}{name}", chosen
        if isinstance(inner, dict) and inner.get("properties"):
            yield from _columns(inner, marks, here, f"{prefix}{name}__", selected=chosen)


def _chosen(mark: dict[str, Any], *, inherited: bool) -> bool:
    inclusion = mark.get("inclusion")
    if inclusion in ("automatic", "unsupported"):
        return bool(inclusion == "automatic")
    own = mark.get("selected", mark.get("selected-by-default"))
    return inherited and (own is None or bool(own))
