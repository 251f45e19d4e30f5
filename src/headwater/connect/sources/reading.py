"""One stream while it is read, of a source that learns columns on the way: them, its cursor, what is noted of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from msgspec import UNSET, Struct, UnsetType, field

from headwater.base.errors import InputError, RunFailedError
from headwater.connect.contract import Message, Rows, Schema
from headwater.connect.sources.columns import Columns
from headwater.sources.rows import MISSING
from headwater.sources.values import from_json, to_json

_BETWEEN = "\0"  # names of columns, which hold no such thing


class StreamState(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a stream goes on from, and the columns it was delivered with, which only ever get wider."""

    bookmark: Any = None
    columns: dict[str, str] = field(default_factory=dict)


class Reading:
    """`filters`: the code knows nothing of the bookmark, so rows from before it are left out here. `marks`: the
    bookmark is what `mark` says and nothing else; `highest` tells how far the rows went. `offered` are the columns of
    the catalog, for a stream that turns out to be empty."""

    def __init__(
        self,
        name: str,
        *,
        keys: tuple[str, ...],
        cursor: str | None,
        is_full: bool,
        is_ordered: bool,
        filters: bool,
        takes: Callable[[str], bool],
        state: StreamState,
        marks: bool = False,
        offered: pa.Schema | None = None,
    ) -> None:
        self.name = name
        self.is_full = is_full
        self.state = state
        self.keys = keys
        self._cursor = cursor
        self._is_ordered = is_ordered
        self._marks = marks
        self._filters = filters and cursor is not None and state.bookmark is not None
        self._takes = takes
        self._offered = offered
        self._columns = Columns(name, state.columns)
        self._shown: pa.Schema | None = None
        self.highest: Any = None if cursor is None or state.bookmark is None or marks else from_json(state.bookmark)
        self._last: Any = None
        self._noted: Any = UNSET
        self._is_due = False

    def begin(self) -> Iterator[Message]:
        """The shape that is known from before; a stream that is replaced may well turn out to be empty."""
        if len(self._selected()):
            yield from self._described()

    def rows(self, batch: pa.RecordBatch, changed: Mapping[str, int] | None = None) -> Iterator[Message]:
        """`changed` counts the values that were changed to fit before, by column."""
        size, missing = batch.nbytes, None
        if MISSING in batch.schema.names:
            missing = batch.column(MISSING)
            batch = batch.drop_columns([MISSING])
        whole, repaired = self._columns.take(batch)
        for name, count in (changed or {}).items():
            repaired[name] = repaired.get(name, 0) + count
        whole = whole.select(self._selected().names)
        if self._cursor is not None and whole.num_rows:
            values = self._values()(whole)
            if self._filters:
                keep = pc.fill_null(
                    pc.greater_equal(values, self._scalar(values, from_json(self.state.bookmark))), True
                )
                whole, values = whole.filter(keep), values.filter(keep)
                missing = None if missing is None else missing.filter(keep)
            self._climb(values)
        if not whole.num_rows:
            return
        if self._shown is None or not whole.schema.equals(self._shown, check_metadata=True):
            yield from self._described()
        yield Rows(
            stream=self.name,
            batch=whole,
            # Without keys no row stands already that this one could say nothing about.
            missing=self._lacking(batch, missing, whole) if self.keys else None,
            repaired={name: count for name, count in repaired.items() if self._takes(name)},
            size=size,
        )

    def mark(self, value: Any) -> None:
        """The code has yielded a bookmark."""
        if self.is_full:
            raise InputError(
                "bad-source",
                f"stream `{self.name}` yields a bookmark, but takes none",
                hint="give its function a parameter `bookmark`, so that it can go on from there",
            )
        self._noted, self._is_due = value, True

    def end(self) -> Iterator[Message]:
        """The code is done with the stream."""
        if self._shown is None and len(self._selected()):
            yield from self._described()
        elif self._shown is None and self.is_full and self._offered is not None:
            yield from self._emptied(self._offered)
        self._is_due = True
        if self._cursor is not None and not self._marks and self._noted is UNSET and self.highest is not None:
            self._noted = to_json(self.highest)

    def noted(self) -> StreamState | None:
        """What covers all rows so far; None when nothing new does."""
        if not self._is_due:
            return None
        self._is_due = False
        bookmark = self.state.bookmark if isinstance(self._noted, UnsetType) else self._noted
        return StreamState(bookmark=bookmark, columns=self._columns.named())

    def _selected(self) -> pa.Schema:
        return pa.schema([field for field in self._columns.schema if self._takes(field.name)])

    def _described(self) -> Iterator[Schema]:
        columns = self._selected()
        for name in self.keys:
            if name not in columns.names:
                raise RunFailedError(
                    "key-missing",
                    f"the rows of stream `{self.name}` have no `{name}`, which is to be their key",
                    hint="correct `keys`, or send that column",
                )
        self._shown = columns
        cursor = self._cursor if self._cursor in columns.names else None
        yield Schema(stream=self.name, columns=columns, keys=self.keys, cursor=cursor, replace=self.is_full)

    def _emptied(self, offered: pa.Schema) -> Iterator[Schema]:
        """No row came, and none was ever noted: what stands of it is replaced by nothing all the same."""
        columns = pa.schema([field for field in offered if self._takes(field.name)])
        if len(columns) and set(self.keys) <= set(columns.names):
            yield Schema(stream=self.name, columns=columns, keys=self.keys, replace=True)

    def _values(self) -> Callable[[pa.RecordBatch], pa.Array]:
        def values(batch: pa.RecordBatch) -> pa.Array:
            if self._cursor not in batch.schema.names:
                raise RunFailedError(
                    "cursor-missing",
                    f"the rows of stream `{self.name}` have no `{self._cursor}`, which is to be their cursor",
                    hint="correct `cursor`, or send that column",
                )
            return batch.column(self._cursor)

        return values

    def _climb(self, values: pa.Array) -> None:
        """Note the greatest cursor; of an ordered stream each batch, for which all rows must come by rising cursor."""
        highest = pc.max(values)
        if not highest.is_valid:
            return
        before = None if self.highest is None else self._scalar(values, self.highest)
        if self._is_ordered:
            present = values.drop_null()
            falls = pc.any(pc.less(present.slice(1), present.slice(0, len(present) - 1))).as_py()
            last = None if self._last is None else self._scalar(values, self._last)
            # Only among the rows of this run: a source may begin a little before its bookmark.
            if falls or (last is not None and pc.less(present[0], last).as_py()):
                raise RunFailedError(
                    "rows-out-of-order",
                    f"the rows of stream `{self.name}` do not come by rising `{self._cursor}`",
                    hint="sort them, or do not call them ordered: the bookmark is then noted at the end",
                )
            self._last = highest.as_py()
            self._is_due = self._is_due or not self._marks
        if before is None or pc.greater(highest, before).as_py():
            self.highest = highest.as_py()
        if self._is_ordered and not self._marks:
            self._noted = to_json(self.highest)

    def _scalar(self, values: pa.Array, value: Any) -> pa.Scalar:
        try:
            return pa.scalar(value, values.type)
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise RunFailedError(
                "cursor-changed-type",
                f"`{self._cursor}` of stream `{self.name}` is now {values.type}, the bookmark is `{value}`",
                hint="let the source send one type, then run once with --full-refresh",
            ) from error

    def _lacking(self, batch: pa.RecordBatch, missing: pa.Array | None, whole: pa.RecordBatch) -> pa.Array | None:
        """Row by row the columns that were not sent: those that the row lacks, and those that the whole batch lacks."""
        sent = set(batch.schema.names)
        absent = [name for name in whole.schema.names if name not in sent and not self._is_part(name, sent)]
        if missing is None:
            return _same(absent, whole.num_rows) if absent else None
        # Rows differ in few ways, so each way is worked out once.
        ways = pc.fill_null(pc.binary_join(missing, _BETWEEN), "").dictionary_encode()
        lists = [
            [name for name in whole.schema.names if self._is_lost(name, way.split(_BETWEEN))] + absent
            for way in ways.dictionary.to_pylist()
        ]
        return pa.array([one or None for one in lists], pa.list_(pa.string())).take(ways.indices)

    def _is_lost(self, name: str, lost: list[str]) -> bool:
        return any(one and (name == one or name.startswith(f"{one}__")) for one in lost)

    def _is_part(self, name: str, sent: set[str]) -> bool:
        """Whether a column is what a struct or an object that was sent was flattened into."""
        return any(name.startswith(f"{whole}__") for whole in sent)


def _same(names: list[str], count: int) -> pa.Array:
    return pa.array([names], pa.list_(pa.string())).take(pa.repeat(pa.scalar(0, pa.int64()), count))
