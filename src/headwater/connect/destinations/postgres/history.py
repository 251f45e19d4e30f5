"""Every version of a row (`load_method: history`): a changed row closes its current version and opens a new one.

All in the caller's transaction, and set by set. What holds for the versions is said in `destinations.history`. The
primary key is on the keys and `__valid_from`; a second unique index, on the keys of current versions only, sees to it
that there is never more than one, and finds it.
"""

from __future__ import annotations

from datetime import datetime

import psycopg
from msgspec.structs import replace as changed

from headwater.connect.contract import Change
from headwater.connect.destinations import bookkeeping, deletes
from headwater.connect.destinations.deletes import DELETED_AT
from headwater.connect.destinations.history import CURRENT, VALID_FROM, VALID_TO, not_convertible, started
from headwater.connect.destinations.postgres import keys, replace, rows
from headwater.connect.destinations.postgres.connection import Connection, execute, literal
from headwater.connect.destinations.postgres.send import Incoming, Taken
from headwater.connect.destinations.postgres.tables import KEY_HASH, LOADED_AT, Target
from headwater.connect.names import quote
from headwater.connect.staging import VERSION

_CHANGED = "pg_temp.headwater_changed"
_TICK = "interval '1 microsecond'"


def start(connection: Connection, table: Target, moment: datetime) -> Change:
    """Make versions of the table's rows: each is valid since it was loaded, until it was marked as gone."""
    execute(connection, f"alter table {table.sql} add {VALID_FROM} timestamptz, add {VALID_TO} timestamptz")
    since = f"coalesce({LOADED_AT}, {_at(moment)})"
    until = f"greatest({DELETED_AT}, {since} + {_TICK})"
    ended = f", {VALID_TO} = case when {DELETED_AT} is not null then {until} end" if DELETED_AT in table.ours else ""
    execute(connection, f"update {table.sql} set {VALID_FROM} = {since}{ended}")
    execute(connection, f"alter table {table.sql} alter {VALID_FROM} set not null")
    try:
        keys.drop_stale(connection, table)
    except psycopg.errors.DependentObjectsStillExist as error:
        place = f"{table.schema}.{table.table}"
        why = f"other tables refer to the rows of `{place}` by its key, which will be that of several versions"
        hint = "drop their foreign keys, or move the table out of the way and load it anew"
        raise not_convertible(place, table.stream, why, hint) from error
    keys.add(connection, table, table.sql)
    return started(table.stream)


def load(connection: Connection, table: Target, incoming: Incoming) -> Taken:
    """Take the rows as new versions of their keys. A row that equals its current version makes none. Raises as
    `rows.load`."""
    taken = rows.straight(connection, table, table.sql, incoming, is_keyed=table.is_keyed)
    if taken is not None:
        # Without figures the planner takes most versions for closed ones.
        execute(connection, f"analyze {table.sql} ({', '.join(map(quote, (*table.matched, VALID_TO)))})")
        return taken
    current = f"(select * from {table.sql} where {CURRENT})"
    with rows.latest(connection, table, incoming, current) as (taken, latest):
        _open(connection, table, f"({latest})", incoming.loaded_at)
    return taken


def load_snapshot(
    connection: Connection,
    entry: bookkeeping.Entry,
    table: Target,
    incoming: Incoming,
    *,
    place: str | None,
    version: int | None,
    rules: deletes.Rules,
    final: bool,
) -> Taken:
    """Take rows aside; with `final` they and those set aside before (in `place`) are all that there is: what is not
    among them is closed. Raises RunFailedError (`mass-delete`) before anything is changed."""
    if not table.is_keyed:
        keys.add(connection, table, table.sql)
    is_keyed = place is not None
    if place is None:
        place = replace.begin(connection, entry, table, version)
        execute(connection, f"alter table {place} alter {VALID_FROM} drop not null")
    absent = f"not exists (select from {place} p where {keys.same_key(table, 'p', 't')})"
    hashed = [KEY_HASH] if table.is_hashed else []
    listed = ", ".join(quote(name) for name in (*(column.name for column in table.columns), *hashed))
    prior = f"(select {listed} from {place} union all select {listed} from {table.sql} t where {CURRENT} and {absent})"
    plain = changed(table, keeps_history=False)
    taken = rows.load(connection, plain, place, incoming, is_keyed=is_keyed, prior=prior)
    if final:
        before, after = (
            (execute(connection, f"select count(*) from {at}").fetchone() or (0,))[0]
            for at in (f"{table.sql} where {CURRENT}", place)
        )
        deletes.guard(table.stream, rules, before=before, after=after)
        end = f"greatest({_at(incoming.loaded_at)}, {VALID_FROM} + {_TICK})"
        execute(connection, f"update {table.sql} t set {VALID_TO} = {end} where {CURRENT} and {absent}")
        _open(connection, table, place, incoming.loaded_at)
        replace.forget(connection, entry, table, place)
    return taken


def _open(connection: Connection, table: Target, latest: str, moment: datetime) -> None:
    """Bring the current versions to the rows of `latest`, which has one a key."""
    own, others = map(quote, table.own), list(map(quote, table.others))
    kept = [*(f"i.{name}" for name in own), *(f"c.{name}" for name in others)]
    kept += [f"i.{KEY_HASH}"] if table.is_hashed else []
    # What is current is the last version; only where there is none have the others to be looked at.
    last = f"select max(e.{VALID_TO}) from {table.sql} e where {keys.same_key(table, 'e', 'i')}"
    ended = f"case when c.{VALID_FROM} is null then ({last}) end"
    execute(
        connection,
        f"create temp table {_CHANGED.removeprefix('pg_temp.')} on commit drop as select {', '.join(kept)}, "
        f"{_at(moment)} as {LOADED_AT}, "
        f"greatest({_at(moment)}, c.{VALID_FROM} + {_TICK}, {ended}) as {VALID_FROM} "
        f"from {latest} i left join {table.sql} c on c.{CURRENT} and {keys.same_key(table, 'c', 'i')} "
        f"where c.{VALID_FROM} is null or {_differs(table)}",
    )
    # By the index of current versions: the planner would rather read the whole table.
    execute(connection, "set local enable_hashjoin = off; set local enable_mergejoin = off")
    execute(
        connection,
        f"update {table.sql} t set {VALID_TO} = i.{VALID_FROM} from {_CHANGED} i "
        f"where t.{CURRENT} and {keys.same_key(table, 't', 'i')}",
    )
    execute(connection, "set local enable_hashjoin = default; set local enable_mergejoin = default")
    listed = ", ".join([*map(quote, table.own), *others, LOADED_AT, VALID_FROM])
    execute(connection, f"insert into {table.sql} ({listed}) select {listed} from {_CHANGED}")
    execute(connection, f"drop table {_CHANGED}")
    if table.is_versioned:
        # A row that came again as it was is of the newer table version too.
        execute(
            connection,
            f"update {table.sql} t set {VERSION} = i.{VERSION} from {latest} i where t.{CURRENT} "
            f"and {keys.same_key(table, 't', 'i')} and t.{VERSION} is distinct from i.{VERSION}",
        )


def _differs(table: Target) -> str:
    """The condition that the rows `c` and `i` of a key are not the same; NaN is the same as NaN."""
    terms = []
    for column in table.columns:
        # json is the one type that can't be compared.
        cast = "::text" if column.sql_type == "json" else ""
        if column.name not in table.keys:
            name = quote(column.name)
            terms.append(f"c.{name}{cast} is distinct from i.{name}{cast}")
    return " or ".join(terms) or "false"


def _at(moment: datetime) -> str:
    return f"{literal(moment.isoformat())}::timestamptz"
