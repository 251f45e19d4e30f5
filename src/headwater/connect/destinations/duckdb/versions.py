"""Singer's table versions: rows of an older version are gone from the source once the newer one stands."""

from __future__ import annotations

import duckdb

from headwater.connect import names
from headwater.connect.contract import ActivateVersion, Change
from headwater.connect.destinations import deletes
from headwater.connect.destinations.duckdb.snapshot import Snapshot
from headwater.connect.warehouse import first_row


def activate(
    connection: duckdb.DuckDBPyConnection,
    held: Snapshot,
    schema: str,
    activation: ActivateVersion,
    rules: deletes.Rules,
    moment: str,
) -> Change:
    """As `deletes.activate`. `held` is what the database holds once the commit's rows are in."""
    table = held.streams.get((schema, activation.stream))
    loaded = None
    if table is not None:
        loaded = deletes.Loaded(
            at=f"{names.quote(schema)}.{names.quote(table)}",
            columns=held.live.get((schema.lower(), table.lower()), {}),
            has_keys=bool(held.keys[schema, table]),
            moment=f"timestamptz '{moment}'",
            tick="interval 1 microsecond",
            instant="timestamptz",
        )
    return deletes.activate(
        activation, loaded, rules, fetch=lambda query: first_row(connection, query), run=connection.execute
    )
