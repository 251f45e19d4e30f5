"""Rows as record batches: dicts, objects, Arrow tables and data frames, in the order in which they come.

A column of a batch is of the narrowest type that holds each of its values unchanged. What no other type holds is text;
objects become columns `a__b`, lists become JSON.
"""

from __future__ import annotations

import base64
import datetime as dt
import enum
import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Context, Decimal
from itertools import chain, groupby, islice
from operator import attrgetter
from time import monotonic
from typing import Any

import pyarrow as pa

from headwater.sources import Bookmark

JSON_FIELD = {b"headwater.type": b"json"}
TIMESTAMP = pa.timestamp("us", "UTC")
DECIMAL = pa.decimal128(38, 9)
# The column in which a batch tells, row by row, which fields were not sent.
MISSING = "\0missing"

_WIDE = Context(prec=80)
_DEPTH = 5
_FIRST_ROWS = 64
_MOST_ROWS = 131_072
_SLICE = 4096
_SECONDS = 1.0  # after which rows are handed on, however few they are


class RowError(Exception):
    """A row can't be sent on, and why."""


class Pace:
    """How many rows make a batch: as many as were found to make the wanted number of bytes, or came in `seconds`."""

    def __init__(self, batch_bytes: int, seconds: float = _SECONDS) -> None:
        self.rows = _FIRST_ROWS
        self.seconds = seconds
        self._batch_bytes = batch_bytes

    def parts(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """A batch that came as one, in parts of about the wanted size."""
        rows = max(1, min(_MOST_ROWS, self._batch_bytes * batch.num_rows // max(batch.nbytes, 1)))
        yield from (batch.slice(start, rows) for start in range(0, batch.num_rows, rows))

    def note(self, batch: pa.RecordBatch) -> None:
        fitting = self._batch_bytes * batch.num_rows // max(batch.nbytes, 1)
        self.rows = max(1, min(fitting, self.rows * 8, _MOST_ROWS))


def gathered(batches: Iterable[pa.RecordBatch], batch_bytes: int) -> Iterator[pa.RecordBatch]:
    """Batches of one schema, together until they are of the wanted size."""
    held: list[pa.RecordBatch] = []
    size = 0
    for batch in batches:
        held.append(batch)
        size += batch.nbytes
        if size >= batch_bytes:
            yield pa.concat_batches(held)
            held, size = [], 0
    if held:
        yield pa.concat_batches(held)


def pieces(found: Iterable[Any], declared: pa.Schema | None, pace: Pace) -> Iterator[pa.RecordBatch | Bookmark]:
    """What a stream's function yields, as batches and bookmarks. Rows that came before an error come before it."""
    for block in _blocks(iter(found), pace):
        for kind, items in _alike(block):
            if kind is _Kind.BOOKMARK:
                yield from items
            elif kind is _Kind.ROWS:
                batch = batch_of(_dicts(items), declared)
                pace.note(batch)
                yield batch
            elif kind is _Kind.PAGE:
                for page in items:
                    for start in range(0, len(page), pace.rows):
                        yield batch_of(_dicts(page[start : start + pace.rows]), declared)
            else:
                for table in items:
                    for batch in _batches(table):
                        yield from pace.parts(batch)


class _Kind(enum.Enum):
    ROWS = enum.auto()
    PAGE = enum.auto()
    TABLE = enum.auto()
    BOOKMARK = enum.auto()


def _kind(given: type) -> _Kind:
    if issubclass(given, Bookmark):
        return _Kind.BOOKMARK
    if issubclass(given, list):
        return _Kind.PAGE
    # The Arrow PyCapsule interface: pyarrow, pandas, polars, DuckDB and others offer it.
    if hasattr(given, "__arrow_c_stream__") or hasattr(given, "__arrow_c_array__"):
        return _Kind.TABLE
    return _Kind.ROWS


def _blocks(items: Iterator[Any], pace: Pace) -> Iterator[list[Any]]:
    """Lists of items, each taken within about a second. `extend` keeps what came before an error."""
    block: list[Any] = []
    step, began = 1, monotonic()
    while True:
        had, since = len(block), monotonic()
        try:
            block.extend(islice(items, step))
        except Exception:
            if block:
                yield block
            raise
        now = monotonic()
        is_over = len(block) - had < step
        single = any(_kind(given) is not _Kind.ROWS for given in set(map(type, block[had:])))
        if block and (is_over or single or len(block) >= pace.rows or now - began >= pace.seconds):
            yield block
            block, began = [], monotonic()
        if is_over:
            return
        step = 1 if single or now - since > _SECONDS / 2 else min(step * 2, _SLICE)
        step = max(1, min(step, pace.rows - len(block)))


def _alike(block: list[Any]) -> Iterator[tuple[_Kind, list[Any]]]:
    kinds = {given: _kind(given) for given in set(map(type, block))}
    if len(set(kinds.values())) == 1:
        yield kinds[type(block[0])], block
        return
    for kind, items in groupby(block, key=lambda item: kinds[type(item)]):
        yield kind, list(items)


def _dicts(rows: Sequence[Any]) -> Sequence[Mapping[Any, Any]]:
    given = set(map(type, rows))
    if given == {dict}:
        return rows
    if len(given) > 1:
        return [row if isinstance(row, dict) else _dicts([row])[0] for row in rows]
    (kind,) = given or {dict}
    if issubclass(kind, Mapping) or hasattr(kind, "keys"):
        return [dict(row) for row in rows]
    fields = _fields(kind)
    if not fields:
        raise RowError(f"a row is a `{kind.__name__}`, and not a dict, an object with fields, or a table")
    if len(fields) == 1:
        return [{fields[0]: getattr(row, fields[0])} for row in rows]
    return [dict(zip(fields, values, strict=True)) for values in map(attrgetter(*fields), rows)]


def _fields(kind: type) -> tuple[str, ...]:
    """Of a dataclass, a msgspec Struct, a named tuple or a pydantic model."""
    for name in ("__dataclass_fields__", "__struct_fields__", "_fields", "model_fields"):
        if names := getattr(kind, name, ()):
            return tuple(names)
    return ()


def _batches(given: Any) -> Iterator[pa.RecordBatch]:
    if hasattr(given, "__arrow_c_stream__"):
        yield from pa.RecordBatchReader.from_stream(given)
    else:
        yield pa.record_batch(given)


def batch_of(rows: Sequence[Mapping[Any, Any]], declared: pa.Schema | None = None) -> pa.RecordBatch:
    """The rows with a column for each field that any of them has, and for each declared one."""
    names = list(dict.fromkeys(chain.from_iterable(rows)))
    if odd := next((name for name in names if not isinstance(name, str)), None):
        raise RowError(f"the name of a field is not text: {odd!r}")
    arrays: dict[str, tuple[pa.Array, bool]] = {}
    for name in names:
        arrays.update(_columns(name, [row.get(name) for row in rows], declared, 0))
    for field in declared or ():
        if field.name not in arrays:
            arrays[field.name] = (pa.nulls(len(rows), field.type), field.metadata is not None)
    columns = [array for array, _ in arrays.values()]
    fields = [pa.field(name, array.type, metadata=JSON_FIELD if js else None) for name, (array, js) in arrays.items()]
    if set(map(len, rows)) != {len(names)}:
        # A row that lacks a field says nothing about it, which is not the same as saying that it is null.
        lacking = [[name for name in names if name not in row] or None for row in rows]
        columns.append(pa.array(lacking, pa.list_(pa.string())))
        fields.append(pa.field(MISSING, pa.list_(pa.string())))
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields)) if fields else _nothing(len(rows))


def _nothing(count: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_struct_array(pa.array([{}] * count, pa.struct([])))


def _columns(name: str, values: list[Any], declared: pa.Schema | None, depth: int) -> dict[str, tuple[pa.Array, bool]]:
    """The column of a field, or those that it is flattened into; each with whether its text is JSON."""
    if declared is not None and name in declared.names:
        field = declared.field(name)
        return {name: (_declared(name, values, field), bool(field.metadata))}
    kinds = set(map(type, values)) - {type(None)}
    if kinds and depth < _DEPTH and all(issubclass(kind, dict) for kind in kinds):
        members = list(dict.fromkeys(chain.from_iterable(filter(None, values))))
        if members and all(isinstance(member, str) for member in members):
            found: dict[str, tuple[pa.Array, bool]] = {}
            for member in members:
                inner = [value.get(member) if value else None for value in values]
                found.update(_columns(f"{name}__{member}", inner, declared, depth + 1))
            return found
    try:
        return {name: inferred(values, kinds)}
    except (pa.ArrowException, ValueError, OverflowError, TypeError) as error:
        raise RowError(f"`{name}` holds a value that can't be sent on: {error}") from error


def inferred(values: list[Any], kinds: set[type]) -> tuple[pa.Array, bool]:
    """The values in the narrowest type that holds them all, and whether it is JSON text."""
    if not kinds:
        return pa.nulls(len(values)), False
    if any(issubclass(kind, list | tuple | dict | set | frozenset) for kind in kinds):
        return pa.array([None if value is None else _json(value) for value in values], pa.string()), True
    bases = {_base(kind) for kind in kinds}
    if None in bases:
        values = [_plain(value) for value in values]
        bases = {_base(kind) for kind in set(map(type, values)) - {type(None)}}
    for wanted, make in _MAKERS:
        if bases <= wanted:
            try:
                return make(values), False
            except (pa.ArrowException, OverflowError, ValueError):
                continue
    return pa.array([None if value is None else text(value) for value in values], pa.string()), False


_BASES = (bool, int, float, str, bytes, bytearray, dt.datetime, dt.date, dt.time, Decimal)


def _base(kind: type) -> type | None:
    if kind in _BASES:
        return kind
    if issubclass(kind, enum.Enum):
        return None
    return next((base for base in _BASES if issubclass(kind, base)), None)


def _plain(value: Any) -> Any:
    """Values of other packages and of enumerations as plain ones."""
    if isinstance(value, enum.Enum):
        return value.value
    if value is None or _base(type(value)) is not None:
        return value
    if hasattr(value, "item") and callable(value.item):  # a scalar of NumPy
        return value.item()
    return str(value)


def _decimals(values: list[Any]) -> pa.Array:
    array = pa.array([None if value is None else Decimal(str(value)) for value in values])
    if not pa.types.is_decimal128(array.type):
        raise OverflowError("a number has more than 38 digits")
    return array


def _instants(values: list[Any]) -> pa.Array:
    midnight = dt.time(tzinfo=dt.UTC)
    whole = [
        dt.datetime.combine(value, midnight) if value is not None and not isinstance(value, dt.datetime) else value
        for value in values
    ]
    return pa.array(whole, TIMESTAMP)


def _as(kind: pa.DataType) -> Callable[[list[Any]], pa.Array]:
    return lambda values: pa.array(values, kind)


def _floats(values: list[Any]) -> pa.Array:
    array = pa.array([None if value is None else float(value) for value in values], pa.float64())
    if not all(value is None or isinstance(value, float) or int(float(value)) == value for value in values):
        raise OverflowError("an integer is not exact as a double")
    return array


# Which Python types a column may hold, and how it is made; the first that works.
_MAKERS: tuple[tuple[frozenset[type], Callable[[list[Any]], pa.Array]], ...] = (
    (frozenset({bool}), _as(pa.bool_())),
    (frozenset({int}), _as(pa.int64())),
    (frozenset({int}), _as(pa.decimal128(38, 0))),
    (frozenset({float}), _as(pa.float64())),
    (frozenset({int, float}), _floats),
    (frozenset({int, Decimal}), _decimals),
    (frozenset({str}), _as(pa.string())),
    (frozenset({bytes, bytearray}), _as(pa.binary())),
    (frozenset({dt.date}), _as(pa.date32())),
    (frozenset({dt.datetime, dt.date}), _instants),
    (frozenset({dt.time}), _as(pa.time64("us"))),
)


def text(value: Any) -> str:
    """A value as text, as it would read in a column that became text later."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dt.datetime):
        instant = value.astimezone(dt.UTC) if value.tzinfo else value
        return instant.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, float):
        return str(pa.scalar(value).cast(pa.string()).as_py())
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode()
    return str(value)


def _json(value: Any) -> str:
    return json.dumps(value, default=_json_value, ensure_ascii=False, separators=(",", ":"))


def _json_value(value: Any) -> Any:
    if isinstance(value, set | frozenset):
        return list(value)
    if isinstance(value, Decimal | uuid.UUID):
        return str(value)
    if fields := _fields(type(value)):
        return {name: getattr(value, name) for name in fields}
    return text(_plain(value))


def _declared(name: str, values: list[Any], field: pa.Field) -> pa.Array:
    """Exactly the declared type: a value that does not fit is an error, an ISO text is the moment that it says."""
    kind = field.type
    try:
        if field.metadata:
            return pa.array([None if value is None else _json(value) for value in values], pa.string())
        kinds = set(map(type, values)) - {type(None)}
        if read := _read(kind):
            return pa.array([None if value is None else read(value) for value in values], kind)
        if kind == pa.string() and kinds - {str}:
            values = [_plain(value) for value in values]
            kinds = set(map(type, values)) - {type(None)}
        # Arrow itself would cut 1.5 to 1 and take b"x" for a text.
        _check_taken(kinds, kind)
        if kind == pa.float64() and int in kinds:
            return _floats(values)
        return pa.array(values, kind)
    except (pa.ArrowException, OverflowError, ValueError, TypeError, ArithmeticError) as error:
        raise RowError(f"`{name}` is declared as {kind}, which a value does not fit: {error}") from error


def _check_taken(kinds: set[type], kind: pa.DataType) -> None:
    if odd := next((given for given in kinds if _base(given) not in _TAKEN[kind]), None):
        raise TypeError(f"it is of type `{odd.__name__}`")


_TAKEN: Mapping[pa.DataType, tuple[type, ...]] = {
    pa.bool_(): (bool,),
    pa.int64(): (int,),
    pa.float64(): (int, float),
    pa.string(): (str,),
    pa.binary(): (bytes, bytearray),
}


def _read(kind: pa.DataType) -> Callable[[Any], Any] | None:
    """How a value becomes one of the declared type where Arrow alone would not do it."""
    if kind == TIMESTAMP:
        return lambda value: dt.datetime.fromisoformat(value) if isinstance(value, str) else value
    if kind == pa.date32():
        return _date
    if pa.types.is_time(kind):
        return lambda value: dt.time.fromisoformat(value) if isinstance(value, str) else value
    if pa.types.is_decimal(kind):
        return lambda value: _decimal(value, kind.scale)
    return None


def _decimal(value: Any, scale: int) -> Decimal:
    if isinstance(value, bool):
        raise TypeError("it is of type `bool`")
    found = value if isinstance(value, Decimal) else Decimal(str(value))
    # Arrow would cut what goes beyond the scale.
    if found.is_finite() and found != found.quantize(Decimal(1).scaleb(-scale), context=_WIDE):
        raise ValueError(f"{found} has more than {scale} decimal places")
    return found


def _date(value: Any) -> Any:
    if isinstance(value, str):
        return dt.date.fromisoformat(value)
    if isinstance(value, dt.datetime):
        raise TypeError(f"{value} has a time of day")
    return value
