"""Singer's table versions: rows of an older version are gone from the source once the newer one stands.

With `hard_delete` they are deleted. Without it, which is the default as in other PostgreSQL targets, they stay and
`__deleted_at` says since when; a row that comes again is alive again.
"""

from __future__ import annotations

from headwater.connect.contract import ActivateVersion, Change
from headwater.connect.destinations.postgres.connection import Connection, execute
from headwater.connect.destinations.postgres.tables import DELETED_AT, Held
from headwater.connect.names import quote
from headwater.connect.staging import VERSION


def activate(connection: Connection, held: Held, activation: ActivateVersion, *, hard: bool) -> Change:
    """Delete (or mark) the stream's rows of older versions, in the caller's transaction and after its rows are in.

    Nothing is touched, and the answer says why, when the table is unknown, when its rows carry no version, when it
    holds a newer version, or when no row of the activated version has come: a message alone must not empty a table.
    Rows without a version stay.
    """
    if held.keys is None or held.kind is None:
        return _ignored(activation, "nothing was ever loaded for the stream")
    if VERSION not in held.live:
        return _ignored(activation, "its rows carry no version")
    at = f"{quote(held.schema)}.{quote(held.table)}"
    version = int(activation.version)
    row = execute(
        connection,
        f"select max({VERSION}), count(*) filter (where {VERSION} = {version}) from {at}",
    ).fetchone()
    newest, of_this = row or (None, 0)
    if newest is not None and newest > version:
        return _ignored(activation, f"the table holds version {newest}")
    if not of_this:
        return _ignored(activation, "no row of that version has come")
    if hard:
        gone = execute(connection, f"delete from {at} where {VERSION} < {version}")
    else:
        if DELETED_AT not in held.live:
            execute(connection, f"alter table {at} add column {DELETED_AT} timestamptz")
        gone = execute(
            connection,
            f"update {at} set {DELETED_AT} = now() where {VERSION} < {version} and {DELETED_AT} is null",
        )
    return Change(
        stream=activation.stream,
        column=None,
        change="rows-deleted" if hard else "rows-marked",
        detail=f"of versions before {version}",
        count=gone.rowcount,
    )


def _ignored(activation: ActivateVersion, why: str) -> Change:
    return Change(
        stream=activation.stream,
        column=None,
        change="version-ignored",
        detail=f"version {activation.version} is not activated: {why}",
    )
