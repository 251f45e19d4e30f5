"""Changes out of the log as the contract's rows. A row that is gone comes as its key and the moment when it went."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import pyarrow as pa
from msgspec import Struct
from msgspec.structs import replace

from headwater.base.errors import RunFailedError
from headwater.connect import types
from headwater.connect.contract import Rows, Schema
from headwater.connect.sources.bookmarks import Json
from headwater.connect.sources.postgres import columns, link, lookups, text_values
from headwater.connect.sources.postgres.catalog import source
from headwater.connect.sources.postgres.orders import Orders
from headwater.connect.sources.postgres.pgoutput import (
    UNCHANGED,
    Begin,
    Relation,
    RowChange,
    Unchanged,
    Value,
    identified,
)
from headwater.connect.sources.postgres.query import Query

# The columns that streams have which are read from the log, named as other taps name them.
LSN = "_sdc_lsn"
DELETED_AT = "_sdc_deleted_at"

# From 1970 to 2000, in microseconds.
_EPOCH = 946_684_800_000_000
# What a change weighs in memory beside its values.
_OVERHEAD_BYTES = 200
_HALF = 1 << 31


class Position(Struct, frozen=True, kw_only=True):
    """What of the log is in the destination: transactions committed before `lsn`, and of those committed before
    `copied_at` what was visible to `snapshot`, by which the table was copied."""

    lsn: int
    copied_at: int = 0
    snapshot: str = ""
    is_truncated: bool = False

    def covers(self, begin: Begin) -> bool:
        if begin.lsn < self.lsn:
            return True
        return begin.lsn < self.copied_at and is_visible(begin.xid, self.snapshot)

    def bookmark(self) -> Json:
        found: Json = {"replication_key": LSN, "replication_key_value": self.lsn}
        if self.is_truncated:
            found["truncated"] = True
        if self.lsn < self.copied_at:
            found |= {"copied_at": self.copied_at, "copied_with": self.snapshot}
        return found


def position(bookmark: Json) -> Position | None:
    """None when nothing of the log has been read."""
    value = bookmark.get("replication_key_value")
    if bookmark.get("replication_key") != LSN or not isinstance(value, int):
        return None
    return Position(
        lsn=value,
        copied_at=int(bookmark.get("copied_at", 0)),
        snapshot=str(bookmark.get("copied_with", "")),
        is_truncated=bool(bookmark.get("truncated")),
    )


def is_visible(xid: int, snapshot: str) -> bool:
    """Whether what a transaction did is visible to a snapshot, as `pg_current_snapshot` writes it. `xid` has the lower
    32 bits only; the two are less than 2^31 transactions apart."""
    lowest, highest, running = snapshot.split(":")
    number = int(highest) + (xid - int(highest) + _HALF) % (2 * _HALF) - _HALF
    return number < int(lowest) or (number < int(highest) and str(number) not in running.split(","))


class _Pick(Struct, frozen=True):
    """A column of a relation that is wanted: the `place` of its values. `type_name` is set for values that the server
    is to turn into JSON."""

    place: int
    source: columns.Source
    column: columns.Column
    type_name: str | None


class Stream:
    """The changes of one table on their way. `position` says what has been delivered before."""

    def __init__(self, query: Query, at: Position, takes: Callable[[str], bool]) -> None:
        self.query = query
        self.position = at
        self._takes = takes
        self._relation: Relation | None = None
        self._picks: list[_Pick] = []
        self._keys: list[int] = []
        self._shown: pa.Schema | None = None
        self._clear()

    def _clear(self) -> None:
        self._rows: list[Sequence[Value]] = []
        self._lsns: list[int] = []
        self._gone: list[int | None] = []

    def look(self, relation: Relation, orders: Orders) -> Iterator[Schema | Rows]:
        """The table looks like that from here on."""
        if relation == self._relation:
            return
        yield from self.flushed(orders)
        kinds = {kind[0]: kind[1:] for kind in lookups.types(orders, [member.type_oid for member in relation.members])}
        self._relation = relation
        self._picks = []
        for place, member in enumerate(relation.members):
            if not self._takes(member.name):
                continue
            # A type that is no more is read as text.
            base, kind, is_array, modifier, type_name = kinds.get(member.type_oid, ("text", "b", False, -1, ""))
            found = source(member.name, base, kind, is_array, max(member.modifier, modifier), False)
            is_for_server = found.is_array or found.kind == "c"
            self._picks.append(_Pick(place, found, columns.column(found), type_name if is_for_server else None))
        places = {member.name: place for place, member in enumerate(relation.members)}
        missing = [key for key in self.query.keys if key not in places]
        if missing:
            raise RunFailedError(
                "no-key",
                f"the log of stream `{self.query.stream}` holds no column `{missing[0]}`, which is its key",
                why="it had another name, or came later",
                hint=f"headwater run --full-refresh --stream {self.query.stream} …",
            )
        self._keys = [places[key] for key in self.query.keys]

    def add(self, change: RowChange, begin: Begin, orders: Orders) -> None:
        relation = self._relation
        assert relation is not None
        old = None if change.old is None else identified(relation, change.old)
        new = change.new
        if new is not None and old is not None:
            new = [before if value is UNCHANGED else value for value, before in zip(new, old, strict=True)]
        if old is not None and (new is None or any(old[place] != new[place] for place in self._keys)):
            self._append(old, begin, gone=begin.at + _EPOCH)
            if new is not None:
                new = self._whole(new, orders)
        if new is not None:
            self._append(new, begin, gone=None)

    def _append(self, row: Sequence[Value], begin: Begin, *, gone: int | None) -> None:
        self._rows.append(row)
        self._lsns.append(begin.lsn)
        self._gone.append(gone)

    def _whole(self, row: list[Value], orders: Orders) -> list[Value]:
        """A row under a new key, of which no old values stand under that key: those that the log does not hold are
        asked for. What they have become since is in the log too."""
        relation = self._relation
        assert relation is not None
        lacking = [pick.place for pick in self._picks if row[pick.place] is UNCHANGED]
        if not lacking:
            return row
        names = [relation.members[place].name for place in lacking]
        keys = {relation.members[place].name: row[place] for place in self._keys}
        found = lookups.values(orders, self.query.table.schema, self.query.table.name, names, keys)
        whole = list(row)
        for place, value in zip(lacking, found or [None] * len(lacking), strict=True):
            whole[place] = value
        return whole

    def flushed(self, orders: Orders) -> Iterator[Schema | Rows]:
        """The changes so far, in their order."""
        if not self._rows:
            return
        members = list(zip(*self._rows, strict=True))
        arrays: list[pa.Array] = []
        absent: dict[str, list[bool]] = {}
        repaired: dict[str, int] = {}
        for number, pick in enumerate(self._picks):
            values = members[pick.place]
            name = pick.column.name
            if UNCHANGED in values:
                absent[name] = [value is UNCHANGED for value in values]
            texts = [None if isinstance(value, Unchanged) else value for value in values]
            if pick.type_name is not None:
                texts = lookups.json_of(orders, pick.type_name, texts)
            given = pa.array(texts, types.STRING)
            column = columns.widened(pick.column, given)
            self._picks[number] = replace(pick, column=column)
            array, lost = text_values.converted(pick.source, column, given)
            if lost and name in self.query.keys:
                raise link.value_refused(self.query.stream, name)
            if lost:
                repaired[name] = lost
            arrays.append(array)
        fields = [pick.column.field for pick in self._picks]
        arrays += [pa.array(self._lsns, types.INT64), pa.array(self._gone, pa.int64()).cast(types.TIMESTAMP)]
        fields += [pa.field(LSN, types.INT64), pa.field(DELETED_AT, types.TIMESTAMP)]
        batch = pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))
        self._clear()
        if batch.schema != self._shown:
            self._shown = batch.schema
            yield Schema(
                stream=self.query.stream, columns=batch.schema, keys=self.query.keys, replace=self.query.replaces
            )
        missing = _missing(absent)
        yield Rows(stream=self.query.stream, batch=batch, missing=missing, repaired=repaired, size=batch.nbytes)


def _missing(absent: Mapping[str, Sequence[bool]]) -> pa.Array | None:
    """As `Rows.missing`: there are few patterns, so each is built once and taken."""
    if not absent:
        return None
    patterns = list(zip(*absent.values(), strict=True))
    numbers = {pattern: number for number, pattern in enumerate(dict.fromkeys(patterns))}
    lists = [[name for name, flag in zip(absent, pattern, strict=True) if flag] or None for pattern in numbers]
    places = pa.array([numbers[pattern] for pattern in patterns], pa.int32())
    return pa.array(lists, pa.list_(types.STRING)).take(places)


def weight(data: bytes) -> int:
    """What a change adds to the memory that is held."""
    return len(data) + _OVERHEAD_BYTES


def with_marks(query: Query, at: int) -> Query:
    """The query of a copy, with the columns that changes have."""
    extra = (
        columns.Column(name=LSN, sql=f"{at}::pg_catalog.int8", field=pa.field(LSN, types.INT64)),
        columns.Column(
            name=DELETED_AT, sql="null::pg_catalog.timestamptz", field=pa.field(DELETED_AT, types.TIMESTAMP)
        ),
    )
    return replace(query, columns=(*query.columns, *extra))
