"""Singer's table versions: rows of an older version are deleted once the newer one stands."""

from __future__ import annotations

import duckdb

from headwater.connect import names
from headwater.connect.contract import ActivateVersion, Change
from headwater.connect.destinations.duckdb.tables import Snapshot
from headwater.connect.staging import VERSION
from headwater.connect.warehouse import first_row


def activate(connection: duckdb.DuckDBPyConnection, held: Snapshot, schema: str, activation: ActivateVersion) -> Change:
    """Delete the stream's rows of older versions, in the caller's transaction and after its rows are in.

    Nothing is deleted, and the answer says why, when the table is unknown, when its rows carry no version, when
    it holds a newer version, or when no row of the activated version has come: a message alone must not empty a
    table. Rows without a version stay.
    """
    table = held.streams.get((schema, activation.stream))
    if table is None:
        return _ignored(activation, "nothing was ever loaded for the stream")
    if VERSION not in held.live.get((schema.lower(), table.lower()), {}):
        return _ignored(activation, "its rows carry no version")
    at = f"{names.quote(schema)}.{names.quote(table)}"
    row = first_row(
        connection,
        f"select max({VERSION}), count(*) filter (where {VERSION} = ?) from {at}",
        [activation.version],
    )
    newest, of_this = row or (None, 0)
    if newest is not None and newest > activation.version:
        return _ignored(activation, f"the table holds version {newest}")
    if not of_this:
        return _ignored(activation, "no row of that version has come")
    deleted = first_row(
        connection,
        f"delete from {at} where {VERSION} < ?",
        [activation.version],
    )
    return Change(
        stream=activation.stream,
        column=None,
        change="rows-deleted",
        detail=f"of versions before {activation.version}",
        count=deleted[0] if deleted else 0,
    )


def _ignored(activation: ActivateVersion, why: str) -> Change:
    return Change(
        stream=activation.stream,
        column=None,
        change="version-ignored",
        detail=f"version {activation.version} is not activated: {why}",
    )
