"""Singer's table versions: rows of an older version are gone from the source once the newer one stands.

With `hard_delete` they are deleted. Without it they stay and `__deleted_at` says since when; a row that comes again is
alive again.
"""

from __future__ import annotations

from headwater.connect.contract import ActivateVersion, Change
from headwater.connect.destinations.mysql.called import quote
from headwater.connect.destinations.mysql.connection import Connection
from headwater.connect.destinations.mysql.tables import DELETED_AT, Held
from headwater.connect.staging import VERSION


def make_room(connection: Connection, held: Held) -> None:
    """Add the column that marks rows, where they are to be marked. Commits what is open."""
    if held.keys is not None and VERSION in held.live and DELETED_AT not in held.live:
        connection.run(f"alter table {_at(held)} add column {DELETED_AT} datetime(6)")


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
    version = int(activation.version)
    ((newest, of_this),) = connection.rows(f"select max({VERSION}), sum({VERSION} = {version}) from {_at(held)}")
    if newest is not None and newest > version:
        return _ignored(activation, f"the table holds version {newest}")
    if not of_this:
        return _ignored(activation, "no row of that version has come")
    if hard:
        count = connection.run(f"delete from {_at(held)} where {VERSION} < {version}")
    else:
        count = connection.run(
            f"update {_at(held)} set {DELETED_AT} = utc_timestamp(6) where {VERSION} < {version} "
            f"and {DELETED_AT} is null"
        )
    return Change(
        stream=activation.stream,
        column=None,
        change="rows-deleted" if hard else "rows-marked",
        detail=f"of versions before {version}",
        count=count,
    )


def _at(held: Held) -> str:
    return f"{quote(held.schema)}.{quote(held.table)}"


def _ignored(activation: ActivateVersion, why: str) -> Change:
    return Change(
        stream=activation.stream,
        column=None,
        change="version-ignored",
        detail=f"version {activation.version} is not activated: {why}",
    )
