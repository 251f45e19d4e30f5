"""Every version of a row (`load_method: history`): a changed row closes its current version and opens a new one.

All in the caller's transaction, and set by set. What holds for the versions is said in `destinations.history`.
"""

from __future__ import annotations

import duckdb
from msgspec.structs import replace as changed

from headwater.connect import names
from headwater.connect.contract import Change
from headwater.connect.destinations import bookkeeping, deletes
from headwater.connect.destinations.deletes import DELETED_AT
from headwater.connect.destinations.duckdb import replace, rows
from headwater.connect.destinations.duckdb.tables import LOADED_AT, Target
from headwater.connect.destinations.history import CURRENT, VALID_FROM, VALID_TO, started
from headwater.connect.staging import VERSION
from headwater.connect.warehouse import first_row

_CHANGED = "headwater_changed"
_TICK = "interval 1 microsecond"


def start(connection: duckdb.DuckDBPyConnection, table: Target, moment: str) -> Change:
    """Make versions of the table's rows: each is valid since it was loaded, until it was marked as gone."""
    since = f"coalesce({LOADED_AT}, timestamptz '{moment}')"
    until = f"greatest({DELETED_AT}, {since} + {_TICK})"
    ended = f", {VALID_TO} = case when {DELETED_AT} is not null then {until} end" if table.is_marked else ""
    connection.execute(f"update {table.sql} set {VALID_FROM} = {since}{ended}")
    connection.execute(f"alter table {table.sql} alter column {VALID_FROM} drop default")
    return started(table.stream)


def load(connection: duckdb.DuckDBPyConnection, table: Target, incoming: rows.Incoming) -> int:
    """Take the rows as new versions of their keys; answers how many came. A row that equals its current version makes
    none. Raises as `rows.load`."""
    current = f"(from {table.sql} where {CURRENT})"
    with rows.latest(connection, _without_others(table), incoming.batches(), current) as (count, latest):
        _open(connection, table, latest, incoming.loaded_at)
    return count


def load_snapshot(
    connection: duckdb.DuckDBPyConnection,
    entry: bookkeeping.Entry,
    table: Target,
    incoming: rows.Incoming,
    *,
    place: str | None,
    version: int | None,
    rules: deletes.Rules,
    final: bool,
) -> int:
    """Take rows aside; with `final` they and those set aside before (in `place`) are all that there is: what is not
    among them is closed. Raises RunFailedError (`mass-delete`) before anything is changed."""
    place = place or replace.begin(connection, entry, table, version)
    absent = f"not exists (from {place} p where {rows.same_key(table, 'p', 't')})"
    prior = f"(from {place} union all by name from {table.sql} t where {CURRENT} and {absent})"
    taken = rows.load(connection, _without_others(table), place, incoming, prior=prior)
    if final:
        before, after = (
            first_row(connection, f"select count(*) from {at}") or (0,)
            for at in (f"{table.sql} where {CURRENT}", place)
        )
        deletes.guard(table.stream, rules, before=before[0], after=after[0])
        end = f"greatest(timestamptz '{incoming.loaded_at}', {VALID_FROM} + {_TICK})"
        connection.execute(f"update {table.sql} t set {VALID_TO} = {end} where {CURRENT} and {absent}")
        _open(connection, table, place, incoming.loaded_at)
        replace.forget(connection, entry, table, place)
    return taken


def _open(connection: duckdb.DuckDBPyConnection, table: Target, latest: str, moment: str) -> None:
    """Bring the current versions to the rows of `latest`, which has one a key."""
    own = [column.name for column in table.columns] + ([VERSION] if table.versioned else [])
    values = [names.quote(column.name) for column in table.columns if column.name not in table.keys]
    differs = " or ".join(f"c.{name} is distinct from i.{name}" for name in values) or "false"
    picked = [f"i.{names.quote(name)}" for name in own] + [f"c.{names.quote(name)}" for name in table.others]
    # What is current is the last version; where there is none the others have to be looked at.
    ended = f"select max(e.{VALID_TO}) from {table.sql} e where {rows.same_key(table, 'e', 'i')}"
    connection.execute(
        f"create temp table {_CHANGED} as select {', '.join(picked)}, timestamptz '{moment}' as {LOADED_AT}, "
        f"greatest(timestamptz '{moment}', c.{VALID_FROM} + {_TICK}, ({ended})) as {VALID_FROM} "
        f"from {latest} i left join (from {table.sql} where {CURRENT}) c on {rows.same_key(table, 'c', 'i')} "
        f"where c.{VALID_FROM} is null or {differs}"
    )
    connection.execute(
        f"update {table.sql} t set {VALID_TO} = i.{VALID_FROM} from {_CHANGED} i "
        f"where t.{CURRENT} and {rows.same_key(table, 't', 'i')}"
    )
    connection.execute(f"insert into {table.sql} by name from {_CHANGED}")
    connection.execute(f"drop table {_CHANGED}")
    if table.versioned:
        # A row that came again as it was is of the newer table version too.
        connection.execute(
            f"update {table.sql} t set {VERSION} = i.{VERSION} from {latest} i where t.{CURRENT} "
            f"and {rows.same_key(table, 't', 'i')} and t.{VERSION} is distinct from i.{VERSION}"
        )


def _without_others(table: Target) -> Target:
    """Columns that the source no longer has are taken over when a version is opened, not before."""
    return changed(table, others=())
