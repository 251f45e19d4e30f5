"""The contract's messages to Singer lines."""

from __future__ import annotations

from functools import partial
from itertools import repeat
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Raw, Struct

from headwater.connect import members, types
from headwater.connect.contract import ActivateVersion, Checkpoint, Message, Rows, Schema
from headwater.connect.singer.schema import json_schema

_MEMBERS = msgspec.json.Decoder(dict[str, Raw])


class _SchemaLine(Struct, tag_field="type", tag="SCHEMA", omit_defaults=True):
    stream: str
    schema: dict[str, Any]
    key_properties: tuple[str, ...]
    bookmark_properties: tuple[str, ...] | None = None


class _RecordLine(Struct, tag_field="type", tag="RECORD", omit_defaults=True):
    stream: str
    record: dict[str, Any]
    version: int | None = None


class _VersionLine(Struct, tag_field="type", tag="ACTIVATE_VERSION"):
    stream: str
    version: int


class Writer:
    """Encodes messages as lines; each answer ends with a line end, or is empty.

    Numbers are exact, JSON columns are embedded as they are, timestamps are RFC 3339 with `Z` and microseconds.
    A field that the source did not send is left out. Doubles that JSON has no word for (NaN, infinities) are null.
    Fields that the schema does not know (`_extra`) are written as what they were: members of the record beside those
    that the schema declares. Rejected records have no place in Singer and are not written.
    """

    def __init__(self) -> None:
        self._encoder = msgspec.json.Encoder()

    def encode(self, message: Message) -> bytes:
        match message:
            case Rows():
                return self._rows(message)
            case Schema():
                line: Struct = _SchemaLine(
                    stream=message.stream,
                    schema=json_schema(_declared(message.columns)),
                    key_properties=message.keys,
                    bookmark_properties=(message.cursor,) if message.cursor else None,
                )
            case Checkpoint():
                # Line ends can only be white space in JSON text, never part of a value.
                return b'{"type":"STATE","value":' + message.state.replace(b"\n", b" ").replace(b"\r", b" ") + b"}\n"
            case ActivateVersion():
                line = _VersionLine(stream=message.stream, version=message.version)
            case _:
                return b""
        return self._encoder.encode(line) + b"\n"

    def records(self, rows: Rows) -> bytes:
        """The rows alone, a line each."""
        return self._encoder.encode_lines(_records(rows))

    def _rows(self, rows: Rows) -> bytes:
        records = _records(rows)
        return self._encoder.encode_lines([*map(_RecordLine, repeat(rows.stream), records, repeat(rows.version))])


def _declared(columns: pa.Schema) -> pa.Schema:
    return pa.schema([field for field in columns if not members.is_merged(field)])


def _records(rows: Rows) -> list[dict[str, Any]]:
    unknown = [index for index, field in enumerate(rows.batch.schema) if members.is_merged(field)]
    batch = rows.batch.drop_columns([rows.batch.schema.names[index] for index in unknown]) if unknown else rows.batch
    columns = [_encodable(batch.column(index), batch.schema.field(index)) for index in range(batch.num_columns)]
    # dict, zip and map are loops in C: no bytecode runs per record.
    values = zip(*columns, strict=True) if columns else repeat((), batch.num_rows)
    records = list(map(dict, map(partial(zip, batch.schema.names), values)))
    if rows.missing is not None:
        names = pc.list_flatten(rows.missing).to_pylist()
        for row, name in zip(pc.list_parent_indices(rows.missing).to_pylist(), names, strict=True):
            records[row].pop(name, None)  # an unknown field is in no record yet
    for index in unknown:
        _add_members(records, rows.batch.column(index))
    return records


def _add_members(records: list[dict[str, Any]], objects: pa.Array) -> None:
    """Only the rows that have unknown fields are looked at one by one; a declared field keeps its value."""
    present = pc.indices_nonzero(objects.is_valid())
    for row, text in zip(present.to_pylist(), objects.take(present).to_pylist(), strict=True):
        records[row] = {**_MEMBERS.decode(text), **records[row]}


def _encodable(array: pa.Array, column: pa.Field) -> list[Any]:
    """The column as objects msgspec writes the right way."""
    if types.is_json(column) or types.kind(array.type) == "decimal":
        text = array.cast(types.STRING).cast(types.BINARY)
        return list(map(Raw, pc.fill_null(text, b"null").to_pylist()))
    if types.kind(array.type) in ("timestamp", "date32", "time64"):
        return types.cast(array, types.STRING).to_pylist()  # type: ignore[no-any-return]  # pyarrow is untyped
    return array.to_pylist()  # type: ignore[no-any-return]  # pyarrow is untyped
