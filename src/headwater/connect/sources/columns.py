"""The columns of one stream: whatever a source's code sends, in the types that streams may have, only ever wider."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from headwater.base.errors import RunFailedError
from headwater.connect import types
from headwater.connect.contract import JSON_FIELD

_ENCODER = msgspec.json.Encoder(decimal_format="number")
_NAMES = {
    "bool": types.BOOL,
    "int64": types.INT64,
    "float64": types.FLOAT64,
    "string": types.STRING,
    "binary": types.BINARY,
    "date": types.DATE,
    "time": types.TIME,
    "timestamp": types.TIMESTAMP,
}
_JSON = "json"


class Columns:
    """The columns seen so far of a stream, in the order in which they came. A column without any value is none yet."""

    def __init__(self, stream: str, known: dict[str, str]) -> None:
        self._stream = stream
        self._fields: dict[str, pa.Field] = {name: _field(name, text) for name, text in known.items()}
        self._repaired: dict[str, int] = {}

    @property
    def schema(self) -> pa.Schema:
        return pa.schema(list(self._fields.values()))

    def named(self) -> dict[str, str]:
        """As `known`: kept in the state, so that a later run begins with them."""
        return {name: _name(field) for name, field in self._fields.items()}

    def declare(self, schema: pa.Schema) -> None:
        """Take the columns of a declared schema."""
        self.take(pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in schema], schema=schema))

    def take(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, dict[str, int]]:
        """The rows with all columns that are known now, and how many values lost a part of a second below the
        millionth, by column. Raises RunFailedError (`mixed-types`) for bytes among other values."""
        self._repaired = {}
        arrays: dict[str, pa.Array] = {}
        for field, values in zip(batch.schema, batch.columns, strict=True):
            for name, array, is_json in self._plain(field.name, values, is_json=types.is_json(field)):
                if not pa.types.is_null(array.type):
                    arrays[name] = self._joined(name, array, is_json=is_json)
        whole = [arrays.get(field.name) for field in self._fields.values()]
        filled = [
            pa.nulls(batch.num_rows, field.type) if array is None else array
            for field, array in zip(self._fields.values(), whole, strict=True)
        ]
        return pa.RecordBatch.from_arrays(filled, schema=self.schema), self._repaired

    def _joined(self, name: str, array: pa.Array, *, is_json: bool) -> pa.Array:
        known = self._fields.get(name)
        if known is None:
            self._fields[name] = pa.field(name, array.type, metadata=JSON_FIELD if is_json else None)
            return array
        if types.is_json(known):
            return array if is_json else _as_json(array)
        target = types.STRING if is_json else wider(known.type, array.type)
        try:
            found = types.cast(array, target)
        except pa.ArrowInvalid:
            # The type fits by its name, but one of the values does not survive it.
            target = types.STRING
            found = self._text(name, array)
        except (pa.ArrowNotImplementedError, UnicodeDecodeError):
            found = self._text(name, array)
        if types.BINARY in (known.type, array.type) and target != known.type:
            raise self._mixed(name)
        self._fields[name] = known.with_type(target)
        return found

    def _text(self, name: str, array: pa.Array) -> pa.Array:
        try:
            return types.cast(array, types.STRING)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise self._mixed(name) from error

    def _mixed(self, name: str) -> RunFailedError:
        return RunFailedError(
            "mixed-types",
            f"`{name}` of stream `{self._stream}` holds bytes and other values",
            hint="let the source yield one of the two, or text",
        )

    def _plain(self, name: str, values: pa.Array, *, is_json: bool) -> Iterator[tuple[str, pa.Array, bool]]:
        """A column of any Arrow type as those that streams have; structs flatten."""
        kind, is_ = values.type, pa.types
        if is_.is_dictionary(kind):
            yield from self._plain(name, values.dictionary_decode(), is_json=is_json)
        elif is_.is_struct(kind):
            for field, inner in zip(kind, values.flatten(), strict=True):
                yield from self._plain(f"{name}__{field.name}", inner, is_json=False)
        elif is_.is_nested(kind):
            yield name, _json_texts(values), True
        else:
            yield name, self._scalar(name, values), is_json

    def _scalar(self, name: str, values: pa.Array) -> pa.Array:
        kind, is_ = values.type, pa.types
        if is_.is_null(kind) or kind in _NAMES.values() or (is_.is_decimal128(kind) and kind.scale >= 0):
            return values
        if is_.is_integer(kind):
            return values.cast(pa.decimal128(20, 0) if kind == pa.uint64() else types.INT64)
        if is_.is_floating(kind):
            return values.cast(types.FLOAT64)
        if is_.is_timestamp(kind):
            self._count_lost(name, values)
            instants = values if kind.tz else pc.assume_timezone(values, "UTC")
            return pc.cast(instants, types.TIMESTAMP, safe=False)
        if is_.is_time(kind):
            self._count_lost(name, values)
            return pc.cast(values, types.TIME, safe=False)
        if is_.is_date(kind):
            return pc.cast(values, types.DATE, safe=False)
        if is_.is_large_string(kind) or is_.is_string_view(kind):
            return values.cast(types.STRING)
        if is_.is_large_binary(kind) or is_.is_fixed_size_binary(kind) or is_.is_binary_view(kind):
            return values.cast(types.BINARY)
        if is_.is_decimal(kind) and kind.precision <= 38 and kind.scale >= 0:
            return values.cast(pa.decimal128(kind.precision, kind.scale))
        # Durations, intervals, the largest decimals: what a person would read.
        return pa.array([None if value is None else str(value) for value in values.to_pylist()], types.STRING)

    def _count_lost(self, name: str, values: pa.Array) -> None:
        if values.type.unit != "ns":
            return
        raw = values.cast(pa.int64())
        lost = pc.sum(pc.not_equal(pc.multiply(pc.divide(raw, 1000), 1000), raw)).as_py()
        if lost:
            self._repaired[name] = self._repaired.get(name, 0) + int(lost)


def wider(known: pa.DataType, new: pa.DataType) -> pa.DataType:
    """The type for a column of type `known` that now holds values of type `new`: `known` itself, what the lattice
    makes of it, or text."""
    for found in (types.widen(known, new), types.widen(new, known)):
        if found is not None and types.widen(known, found) == found:
            return found
    return types.STRING


def _as_json(array: pa.Array) -> pa.Array:
    """Values of one type among JSON."""
    if array.type == types.STRING:
        return pa.array([None if v is None else _ENCODER.encode(v).decode() for v in array.to_pylist()], types.STRING)
    if pa.types.is_temporal(array.type):
        return _as_json(types.cast(array, types.STRING))
    return types.cast(array, types.STRING)


def _json_texts(values: pa.Array) -> pa.Array:
    texts = [
        None if value is None else _ENCODER.encode(value).decode()
        for value in values.to_pylist(maps_as_pydicts="strict")
    ]
    return pa.array(texts, types.STRING)


def _name(field: pa.Field) -> str:
    if types.is_json(field):
        return _JSON
    if pa.types.is_decimal(field.type):
        return f"decimal({field.type.precision},{field.type.scale})"
    return next(name for name, kind in _NAMES.items() if kind == field.type)


def _field(name: str, text: str) -> pa.Field:
    if text == _JSON:
        return pa.field(name, types.STRING, metadata=JSON_FIELD)
    if text.startswith("decimal("):
        precision, _, scale = text.removeprefix("decimal(").removesuffix(")").partition(",")
        return pa.field(name, pa.decimal128(int(precision), int(scale)))
    return pa.field(name, _NAMES.get(text, types.STRING))
