"""How a table comes to hold what a stream sends: names, types, keys.

A type only ever grows (`connect.types.widen`), a column is never dropped, and what can't be reached that way is
refused before a row is loaded. `target` works everything out from `Held`, so that `prepare` and `commit` judge alike;
`alter.reach` does it.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
from msgspec import Struct

from headwater.base.errors import InputError
from headwater.connect import types
from headwater.connect.destinations import history
from headwater.connect.destinations.bookkeeping import NamedColumn
from headwater.connect.destinations.deletes import DELETED_AT
from headwater.connect.destinations.history import VALID_FROM, VALID_TO
from headwater.connect.destinations.mysql import refusals
from headwater.connect.destinations.mysql.called import identifiers, quote
from headwater.connect.destinations.mysql.live import Held, LiveColumn
from headwater.connect.destinations.mysql.sql_types import (
    Conversion,
    conversion,
    field_of,
    reached_sql,
    sql_type,
)
from headwater.connect.members import merged_sources
from headwater.connect.staging import VERSION, grown

LOADED_AT = "__loaded_at"
# Stands for keys that are too long for an index.
KEY_HASH = "__key_hash"
# Finds the versions of a key; an index that is not unique.
KEY = "__key"
# Riders of incoming rows: their order of arrival, and which of their columns were sent.
ORDINAL = "__ordinal"
SENT = "__sent"
_OURS = (LOADED_AT, VERSION, DELETED_AT, KEY_HASH, VALID_FROM, VALID_TO)
RESERVED = frozenset((*_OURS, ORDINAL, SENT))
_MOST_COLUMNS = 1017
# An index of InnoDB holds 3,072 bytes, and a character has up to 4.
_MOST_KEY_CHARACTERS = 700


class Column(Struct, frozen=True, kw_only=True):
    """A column of a stream: its name at the source, its name here, the type of its values and that of the table."""

    source: str
    name: str
    type: pa.Field
    sql_type: str


class Widening(Struct, frozen=True, kw_only=True):
    column: LiveColumn
    after: str
    how: Conversion


class Target(Struct, frozen=True, kw_only=True):
    """A stream's table and what must be done before rows fit in. `keys` are names here, `merged` sources of columns
    that are merged member by member. `is_hashed` says that the unique index is (to be) on the keys' hash, `key_index`
    is its name. `old_key` is an index to drop, `new_key` says that
    one is to be made, `drops_hash` that the hash is one of other keys. `ours` are the columns of ours that the table
    has or gets, beside the moment of the load, `others` those that neither the stream nor we fill. `keeps_history` says
    that a row is a version; with `starts_history` the rows have to become versions first."""

    stream: str
    schema: str
    table: str
    collation: str
    columns: tuple[Column, ...]
    keys: tuple[str, ...]
    merged: frozenset[str]
    is_hashed: bool
    is_new: bool
    key_index: str | None
    old_key: str | None
    new_key: bool
    drops_hash: bool
    added: tuple[tuple[str, str], ...]
    widened: tuple[Widening, ...]
    noted: dict[str, NamedColumn]
    is_noted: bool
    renamed: tuple[str, ...]
    ours: tuple[str, ...]
    others: tuple[str, ...]
    keeps_history: bool
    starts_history: bool

    @property
    def sql(self) -> str:
        return f"{quote(self.schema)}.{quote(self.table)}"

    @property
    def is_versioned(self) -> bool:
        return VERSION in self.ours

    @property
    def unique(self) -> tuple[str, ...]:
        """The columns of the unique index. Rows lie in its order: versions in that of time, so that new ones come last
        and split no pages."""
        if self.is_hashed:
            return (KEY_HASH, VALID_FROM) if self.keeps_history else (KEY_HASH,)
        return (VALID_FROM, *self.keys) if self.keeps_history else self.keys

    @property
    def own(self) -> list[str]:
        """The columns that the rows bring."""
        return [column.name for column in self.columns] + ([VERSION] if self.is_versioned else [])


def target(
    held: Held,
    columns: Mapping[str, pa.Field],
    keys: tuple[str, ...],
    *,
    is_versioned: bool = False,
    has_long_keys: bool = False,
    replaced: bool = False,
    rekey: bool = False,
    keeps_history: bool = False,
) -> Target:
    """Work out the table for a stream whose columns, by source name, are of those types.

    `keys` are source names; () when rows are appended. `has_long_keys`: some value of them is too long for an index.
    A `replaced` table keeps the key it has; `rekey` gives this one another. Raises
    InputError (`unsupported-change`, `too-many-columns`) for what can't be reached without loss.
    """
    stream, live = held.stream, held.live
    refusals.kind(held)
    called = _called(columns, held)
    key_names = tuple(called[key] for key in keys)
    is_other_key = bool(live) and held.keys is not None and held.keys != key_names
    drops_hash = rekey and is_other_key and KEY_HASH in live
    if rekey and is_other_key:
        has_long_keys = has_long_keys or any(_is_unbounded(live.get(name)) for name in key_names)
    keeps_key = replaced and bool(live)
    is_hashed = bool(keys) and ((has_long_keys and not keeps_key) or (KEY_HASH in live and not drops_hash))
    length = _key_length([columns[key] for key in keys])
    reached, added, widened = [], [], []
    for source, wanted in columns.items():
        limit = length if source in keys and not is_hashed else None
        existing = live.get(called[source])
        if existing is None:
            column = Column(source=source, name=called[source], type=wanted, sql_type=sql_type(wanted, limit))
            added.append((column.name, column.sql_type))
        else:
            refusals.charset(held, source, existing)
            noted_as = held.noted.get(source)
            column, widening = _reach(
                stream, source, existing, wanted, noted_as, limit, is_long_key=is_hashed and source in keys
            )
            if widening:
                widened.append(widening)
        reached.append(column)
    mine = {column.name for column in reached}
    refusals.required(held, [one for name, one in live.items() if name not in mine and name not in _OURS])
    own_index = _key_index(held, key_names)
    if VALID_FROM in live and not keeps_history:
        raise history.other_method(f"{held.schema}.{held.table}", stream)
    starts_history = keeps_history and bool(live) and (VALID_FROM not in live or own_index is not None)
    if starts_history:
        refusals.history(held, key_names, own_index)
    elif keeps_history and live:
        own_index = _key_index(held, key_names, VALID_FROM)
    old_key, new_key = None, bool(keys) and not live
    if is_other_key and rekey:
        old_key, new_key = _key_index(held, held.keys or ()), bool(keys)
    elif live and not replaced:
        refusals.key(held, key_names, own_index, is_other_key=is_other_key, is_hashed=is_hashed)
        new_key = is_hashed and KEY_HASH not in live
        old_key = own_index if new_key else None
    if len(live) + len(added) + len(_OURS) > _MOST_COLUMNS:
        raise InputError(
            "too-many-columns",
            f"stream `{stream}` has too many columns for a table: {len(columns)}",
            why=f"InnoDB holds {_MOST_COLUMNS} in a table",
            hint="select fewer columns: headwater select <tap> --list",
        )
    noted = {
        source: NamedColumn(name=called[source], declared=types.declared(wanted)) for source, wanted in columns.items()
    }
    ours = [VERSION] if is_versioned or VERSION in live else []
    if DELETED_AT in live:
        ours.append(DELETED_AT)
    return Target(
        stream=stream,
        schema=held.schema,
        table=held.table,
        collation=held.collation,
        columns=tuple(reached),
        keys=key_names,
        merged=merged_sources(columns, keys, ((one.source, one.type) for one in reached)),
        is_hashed=is_hashed,
        is_new=not live,
        key_index=own_index,
        old_key=old_key,
        new_key=new_key,
        drops_hash=drops_hash,
        added=(*added, *_added_ours(live, ours)),
        widened=tuple(widened),
        noted=noted,
        is_noted=held.keys == key_names and all(held.noted.get(source) == one for source, one in noted.items()),
        renamed=tuple(source for source in columns if source not in held.noted and called[source] != source),
        ours=tuple(ours),
        others=tuple(
            name for name, one in live.items() if name not in mine and name not in _OURS and not one.is_generated
        ),
        keeps_history=keeps_history and not starts_history,
        starts_history=starts_history,
    )


def _called(columns: Mapping[str, pa.Field], held: Held) -> dict[str, str]:
    """Every column's name here; those in the books keep theirs, those of the table are spelled as there."""
    known = {source: column.name for source, column in held.noted.items()}
    called = identifiers(list(columns), fold_case=True, reserved=RESERVED, known=known)
    spelled = {name.casefold(): name for name in held.live}
    return {source: spelled.get(name.casefold(), name) for source, name in called.items()}


def _key_length(keys: list[pa.Field]) -> int:
    """How many characters (or bytes) each text of a key may have, so that all fit in an index."""
    texts = sum(pa.types.is_string(key.type) or pa.types.is_binary(key.type) for key in keys)
    return int(min(255, _MOST_KEY_CHARACTERS // max(texts, 1)))


def _is_unbounded(column: LiveColumn | None) -> bool:
    return column is not None and column.sql_type.endswith(("text", "blob"))


def _key_index(held: Held, keys: tuple[str, ...], *more: str) -> str | None:
    if not keys:
        return None
    wanted = {*([KEY_HASH] if KEY_HASH in held.live else keys), *more}
    return next((name for name, on in held.unique.items() if set(on) == wanted), None)


def _added_ours(live: Mapping[str, LiveColumn], ours: list[str]) -> list[tuple[str, str]]:
    """Columns of ours that the rows need; a table made by others has not even the moment of the load."""
    added = [(name, "bigint") for name in ours if name not in live]
    if live and LOADED_AT not in live:
        added.append((LOADED_AT, "datetime(6)"))
    return added


def _reach(
    stream: str,
    source: str,
    existing: LiveColumn,
    wanted: pa.Field,
    noted: NamedColumn | None,
    length: int | None,
    *,
    is_long_key: bool,
) -> tuple[Column, Widening | None]:
    """The column as it will be, and what leads there (None when it is so)."""
    held = field_of(existing.sql_type)
    if held is not None and pa.types.is_string(held.type) and types.is_json(wanted):
        held = wanted  # text is what JSON is here
    reached = None if held is None else grown(held, noted.declared if noted else None, wanted)
    if held is None or reached is None:
        raise refusals.unsupported(
            stream,
            source,
            f"the column is {existing.sql_type} and the source now sends {sql_type(wanted)}",
            "types only ever grow: rename the old column, or move the table out of the way and load it anew",
        )
    after = sql_type(reached) if is_long_key else reached_sql(existing.sql_type, reached, length)
    column = Column(source=source, name=existing.name, type=reached, sql_type=after)
    if after == existing.sql_type:
        return column, None
    how = conversion(quote(existing.name), existing.sql_type, reached)
    return column, Widening(column=existing, after=after, how=how)
