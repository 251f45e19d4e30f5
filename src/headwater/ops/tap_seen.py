"""What came out of an extractor in one read, as far as the checks of `tap_tests` look at it."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct, field

from headwater.connect import types
from headwater.connect.contract import Checkpoint, Message, Rejected, Rows, Schema


class StreamSeen(Struct):
    """`found` holds the keys of all rows, in their order, `lowest` and `highest` are of the cursor."""

    columns: pa.Schema | None = None
    keys: tuple[str, ...] = ()
    cursor: str | None = None
    is_replaced: bool = False
    rows: int = 0
    null_keys: int = 0
    found: dict[tuple[Any, ...], None] = field(default_factory=dict)
    lowest: Any = None
    highest: Any = None


class Place(Struct, frozen=True):
    """A state, and how many keys and rows of each stream came before it."""

    state: bytes
    keys: dict[str, int]
    rows: dict[str, int]


# So many states of a read are kept; where there are more, every second one, and so on.
_MOST_PLACES = 1000


class Seen(Struct):
    """`state` is the last one, `covered` how many keys it vouches for, `largest` the bytes of the largest batch.
    `places` are the states that differ from the one before."""

    streams: dict[str, StreamSeen] = field(default_factory=dict)
    state: bytes | None = None
    covered: dict[str, int] = field(default_factory=dict)
    rows: int = 0
    batches: int = 0
    checkpoints: int = 0
    largest: int = 0
    faults: list[str] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)

    def covered_keys(self, stream: str) -> set[tuple[Any, ...]]:
        return self.first_keys(stream, self.covered.get(stream, 0))

    def first_keys(self, stream: str, count: int) -> set[tuple[Any, ...]]:
        one = self.streams.get(stream)
        return set() if one is None else set(islice(one.found, count))

    def take(self, message: Message) -> None:
        match message:
            case Schema():
                self._describe(message)
            case Rows():
                self._count(message)
            case Checkpoint():
                self.checkpoints += 1
                self.covered = {name: len(one.found) for name, one in self.streams.items()}
                self._keep(message.state)
            case Rejected():
                self.faults.append(f"a record of stream `{message.stream}` can't be loaded: {message.reason}")

    def _keep(self, state: bytes) -> None:
        if state != self.state:
            rows = {name: one.rows for name, one in self.streams.items()}
            self.places.append(Place(state, self.covered, rows))
            if len(self.places) > _MOST_PLACES:
                del self.places[::2]
        self.state = state

    def _describe(self, schema: Schema) -> None:
        one = self.streams.setdefault(schema.stream, StreamSeen())
        one.columns, one.keys, one.cursor = schema.columns, schema.keys, schema.cursor
        one.is_replaced = schema.replace
        for column in schema.columns:
            if column.metadata and types.DECLARED in column.metadata and types.declared(column) != "null":
                self.faults.append(
                    f"`{column.name}` of stream `{schema.stream}` holds values that its type "
                    f"({types.declared(column)}) does not"
                )

    def _count(self, rows: Rows) -> None:
        batch = rows.batch
        self.rows += batch.num_rows
        self.batches += 1
        self.largest = max(self.largest, batch.nbytes)
        one = self.streams.get(rows.stream)
        if one is None:
            self.faults.append(f"rows of stream `{rows.stream}` come before its schema")
            return
        one.rows += batch.num_rows
        if one.columns is not None and not batch.schema.equals(one.columns):
            self.faults.append(f"rows of stream `{rows.stream}` have other columns than its schema")
            return
        if one.keys:
            keys = [batch.column(name) for name in one.keys]
            one.null_keys += sum(values.null_count for values in keys)
            one.found.update(dict.fromkeys(zip(*[values.to_pylist() for values in keys], strict=True)))
        if one.cursor is not None and one.cursor in batch.schema.names and batch.num_rows:
            self._note(one, batch.column(one.cursor))

    def _note(self, one: StreamSeen, values: pa.Array) -> None:
        least = pc.min_max(values)
        if not least["min"].is_valid:
            return
        if one.lowest is None or pc.less(least["min"], one.lowest.cast(values.type)).as_py():
            one.lowest = least["min"]
        if one.highest is None or pc.greater(least["max"], one.highest.cast(values.type)).as_py():
            one.highest = least["max"]
