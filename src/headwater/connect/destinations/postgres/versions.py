"""Singer's table versions: rows of an older version are gone from the source once the newer one stands.

With `hard_delete` they are deleted. Without it, which is the default as in other PostgreSQL targets, they stay and
`__deleted_at` says since when; a row that comes again is alive again.
"""

from __future__ import annotations

from datetime import datetime

from headwater.connect.contract import ActivateVersion, Change
from headwater.connect.destinations import deletes
from headwater.connect.destinations.postgres.connection import Connection, execute, literal
from headwater.connect.destinations.postgres.tables import Held
from headwater.connect.names import quote


def activate(
    connection: Connection, held: Held, activation: ActivateVersion, rules: deletes.Rules, moment: datetime
) -> Change:
    """As `deletes.activate`. `held` is what the database holds once the commit's rows are in."""
    loaded = None
    if held.keys is not None and held.kind is not None:
        loaded = deletes.Loaded(
            at=f"{quote(held.schema)}.{quote(held.table)}",
            columns=held.live,
            has_keys=bool(held.keys),
            moment=f"{literal(moment.isoformat())}::timestamptz",
            tick="interval '1 microsecond'",
            instant="timestamptz",
        )
    return deletes.activate(
        activation,
        loaded,
        rules,
        fetch=lambda query: execute(connection, query).fetchone(),
        run=lambda statement: execute(connection, statement),
    )
