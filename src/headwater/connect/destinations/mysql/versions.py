"""Singer's table versions: rows of an older version are gone from the source once the newer one stands.

With `hard_delete` they are deleted. Without it they stay and `__deleted_at` says since when; a row that comes again is
alive again.
"""

from __future__ import annotations

from datetime import datetime

from headwater.connect.contract import ActivateVersion, Change
from headwater.connect.destinations import deletes
from headwater.connect.destinations.deletes import DELETED_AT
from headwater.connect.destinations.history import VALID_TO
from headwater.connect.destinations.mysql.called import quote
from headwater.connect.destinations.mysql.connection import Connection
from headwater.connect.destinations.mysql.live import Held
from headwater.connect.staging import VERSION


def make_room(connection: Connection, held: Held) -> None:
    """Add the column that marks rows, where they are to be marked. Commits what is open."""
    is_marked = held.keys is not None and VERSION in held.live and VALID_TO not in held.live
    if is_marked and DELETED_AT not in held.live:
        connection.run(f"alter table {_at(held)} add column {DELETED_AT} datetime(6)")


def activate(
    connection: Connection, held: Held, activation: ActivateVersion, rules: deletes.Rules, moment: datetime
) -> Change:
    """As `deletes.activate`. `held` is what the database holds once the commit's rows are in."""
    loaded = None
    if held.keys is not None and held.kind is not None:
        loaded = deletes.Loaded(
            at=_at(held),
            columns=held.live,
            has_keys=bool(held.keys),
            moment=f"cast('{moment:%Y-%m-%d %H:%M:%S.%f}' as datetime(6))",
            tick="interval 1 microsecond",
            instant="datetime(6)",
        )
    return deletes.activate(
        activation, loaded, rules, fetch=lambda query: connection.rows(query)[0], run=connection.run
    )


def _at(held: Held) -> str:
    return f"{quote(held.schema)}.{quote(held.table)}"
