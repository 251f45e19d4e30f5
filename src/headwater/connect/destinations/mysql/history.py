"""Every version of a row (`load_method: history`): a changed row closes its current version and opens a new one.

Versions change in the caller's transaction, and set by set; what changes tables comes before it. What holds for the
versions is said in `destinations.history`.
"""

from __future__ import annotations

from datetime import datetime

from msgspec.structs import replace as changed

from headwater.connect import types
from headwater.connect.contract import Change
from headwater.connect.destinations import deletes
from headwater.connect.destinations.bookkeeping import Entry
from headwater.connect.destinations.deletes import DELETED_AT
from headwater.connect.destinations.history import CURRENT, VALID_FROM, VALID_TO, started
from headwater.connect.destinations.mysql import alter, replace, rows
from headwater.connect.destinations.mysql.called import PREFIX, quote
from headwater.connect.destinations.mysql.connection import Connection, DuplicateKeyError, UnfitError
from headwater.connect.destinations.mysql.live import Held, inspect
from headwater.connect.destinations.mysql.tables import KEY, KEY_HASH, LOADED_AT, Column, Target
from headwater.connect.staging import VERSION

_LATEST = f"{PREFIX}latest"
_CHANGED = f"{PREFIX}changed"
_TICK = "interval 1 microsecond"


def start(connection: Connection, table: Target, moment: datetime) -> Change:
    """Make versions of the table's rows: each is valid since it was loaded, until it was marked as gone. Commits what
    is open; an attempt that breaks off is taken up by the next one."""
    room = f"add column if not exists {VALID_FROM} datetime(6), add column if not exists {VALID_TO} datetime(6)"
    if not connection.server.is_mariadb:  # has no such words
        there = inspect(connection, table.table, stream=table.stream, keys=table.keys, noted=table.noted).live
        room = ", ".join(f"add column {name} datetime(6)" for name in (VALID_FROM, VALID_TO) if name not in there)
    if room:
        connection.run(f"alter table {table.sql} {room}")
    since = f"coalesce({LOADED_AT}, {_at(moment)})"
    until = f"greatest({DELETED_AT}, {since} + {_TICK})"
    ended = f", {VALID_TO} = case when {DELETED_AT} is not null then {until} end" if DELETED_AT in table.ours else ""
    connection.run(f"update {table.sql} set {VALID_FROM} = {since}{ended} where {VALID_FROM} is null")
    steps = [f"modify column {VALID_FROM} datetime(6) not null", *_rekey(table, changed(table, keeps_history=True))]
    connection.run(f"alter table {table.sql} {', '.join(steps)}")
    return started(table.stream)


def begin(connection: Connection, entry: Entry, table: Target) -> Held:
    """An empty table aside, like the stream's own, with one row a key. Commits what is open."""
    made = replace.begin(connection, entry, table, table.keys)
    at = f"{quote(made.schema)}.{quote(made.table)}"
    steps = [
        f"drop column {VALID_FROM}",
        f"drop column {VALID_TO}",
        *_rekey(table, changed(table, keeps_history=False)),
    ]
    connection.run(f"alter table {at} {', '.join(steps)}")
    return inspect(connection, made.table, stream=table.stream, keys=table.keys, noted=table.noted)


def load(connection: Connection, table: Target, incoming: rows.Incoming) -> int:
    """Take the rows as new versions of their keys; answers how many came. A row that equals its current version makes
    none. Raises as `rows.load`."""
    try:
        taken = rows.straight(connection, table, incoming)
        if taken is not None:
            return taken
        latest = _make_latest(connection, table)
        taken = rows.load(connection, latest, incoming, prior=table)
        _open(connection, table, latest, incoming.loaded_at)
        connection.run(f"drop temporary table {latest.sql}")
    except (DuplicateKeyError, UnfitError) as error:
        raise rows.value_rejected(table, str(error)) from error
    return taken


def take_snapshot(
    connection: Connection, table: Target, collected: Target, moment: datetime, rules: deletes.Rules
) -> None:
    """The rows collected aside are all that there is: take them as new versions, close what is not among them. Raises
    RunFailedError (`mass-delete`) before anything is changed."""
    ((before,),) = connection.rows(f"select count(*) from {table.sql} where {CURRENT}")
    ((after,),) = connection.rows(f"select count(*) from {collected.sql}")
    deletes.guard(table.stream, rules, before=before, after=after)
    connection.run(
        f"update {table.sql} t left join {collected.sql} p on {rows.same_key(table, 'p', 't')} "
        f"set t.{VALID_TO} = greatest({_at(moment)}, t.{VALID_FROM} + {_TICK}) "
        f"where t.{CURRENT} and p.{quote(table.keys[0])} is null"
    )
    try:
        _open(connection, table, collected, moment)
    except (DuplicateKeyError, UnfitError) as error:
        raise rows.value_rejected(table, str(error)) from error


def _rekey(table: Target, after: Target) -> list[str]:
    """The steps from one's indexes to those of the other."""
    if table.key_index == "PRIMARY":
        steps = ["drop primary key", *(f"add {one}" for one in alter.ordered_keys(after, "primary key"))]
    elif table.is_hashed:
        on = ", ".join(map(quote, after.unique))
        return [f"drop index {quote(KEY_HASH)}", f"add unique key {quote(KEY_HASH)} ({on})"]
    else:
        index = quote(table.key_index or "")
        steps = [f"drop index {index}", *(f"add {one}" for one in alter.ordered_keys(after, f"unique key {index}"))]
    return [f"drop index {quote(KEY)}", *steps] if table.keeps_history else steps


def _make_latest(connection: Connection, table: Target) -> Target:
    """A temporary table for one row a key; making it ends no transaction."""
    latest = changed(table, table=_LATEST, keeps_history=False, is_new=True, new_key=True, ours=tuple(_version(table)))
    body = [f"{quote(one.name)} {alter.declared(table, one.name, one.sql_type)}" for one in table.columns]
    body += [f"{name} bigint" for name in _version(table)]
    body += [f"{LOADED_AT} datetime(6)", *alter.new_key(latest, adds=False)]
    connection.run(f"drop temporary table if exists {latest.sql}")
    connection.run(
        f"create temporary table {latest.sql} ({', '.join(body)}) "
        f"engine = InnoDB character set utf8mb4 collate {table.collation}"
    )
    return latest


def _open(connection: Connection, table: Target, latest: Target, moment: datetime) -> None:
    """Bring the current versions to the rows of `latest`, which has one a key."""
    others = list(map(quote, table.others))
    kept = [*(f"i.{quote(name)}" for name in table.own), *(f"c.{name}" for name in others)]
    if table.is_hashed:
        kept.append(f"i.{KEY_HASH}")
    # What is current is the last version; only where there is none have the others to be looked at.
    last = f"select max(e.{VALID_TO}) from {table.sql} e where {rows.same_key(table, 'e', 'i')}"
    ended = f"case when c.{VALID_FROM} is null then ({last}) else c.{VALID_FROM} + {_TICK} end"
    since = f"greatest({_at(moment)}, coalesce({ended}, {_at(moment)}))"
    opened = f"{quote(connection.schema)}.{quote(_CHANGED)}"
    connection.run(f"drop temporary table if exists {opened}")
    connection.run_exactly(
        f"create temporary table {opened} engine = InnoDB as select {', '.join(kept)}, {_at(moment)} as {LOADED_AT}, "
        f"{since} as {VALID_FROM} from {latest.sql} i left join {table.sql} c on c.{CURRENT} "
        f"and {rows.same_key(table, 'c', 'i')} where c.{VALID_FROM} is null or {_differs(table)}"
    )
    connection.run_exactly(
        f"update {table.sql} t join {opened} i on {rows.same_key(table, 't', 'i')} "
        f"set t.{VALID_TO} = i.{VALID_FROM} where t.{CURRENT}"
    )
    listed = ", ".join([*map(quote, table.own), *others, LOADED_AT, VALID_FROM])
    connection.run_exactly(f"insert into {table.sql} ({listed}) select {listed} from {opened}")
    connection.run(f"drop temporary table {opened}")
    if table.is_versioned:
        # A row that came again as it was is of the newer table version too.
        connection.run_exactly(
            f"update {table.sql} t join {latest.sql} i on {rows.same_key(table, 't', 'i')} "
            f"set t.{VERSION} = i.{VERSION} where t.{CURRENT} and not (t.{VERSION} <=> i.{VERSION})"
        )


def _differs(table: Target) -> str:
    """The condition that the rows `c` and `i` of a key are not the same."""
    return " or ".join(_differ(one) for one in table.columns if one.name not in table.keys) or "false"


def _differ(column: Column) -> str:
    old, new = f"c.{quote(column.name)}", f"i.{quote(column.name)}"
    if types.kind(column.type.type) == "string":
        # Byte by byte, whatever the collation of a column that others made.
        old, new = f"cast({old} as binary)", f"cast({new} as binary)"
    return f"not ({old} <=> {new})"


def _version(table: Target) -> list[str]:
    return [VERSION] if table.is_versioned else []


def _at(moment: datetime) -> str:
    return f"cast('{moment:%Y-%m-%d %H:%M:%S.%f}' as datetime(6))"
