"""Rows that come out of quarantine and have to leave those alone that are there."""

from __future__ import annotations

from datetime import datetime

from headwater.connect.destinations import outdated
from headwater.connect.destinations.deletes import DELETED_AT
from headwater.connect.destinations.postgres import keys
from headwater.connect.destinations.postgres.connection import Connection, execute, literal
from headwater.connect.destinations.postgres.send import Incoming, sent_aside
from headwater.connect.destinations.postgres.tables import ORDINAL, Target


def positions(connection: Connection, table: Target, incoming: Incoming, since: datetime) -> list[int]:
    """Of the rows those whose key a row has that was loaded at `since` or later. Raises as `rows.load`."""
    sent = sent_aside(connection, table, incoming, "headwater_again")
    sent.send(connection, incoming.batches())
    moment = f"{literal(since.isoformat())}::timestamptz"
    newer = outdated.newer(moment, keeps_history=table.keeps_history, is_marked=DELETED_AT in table.ours)
    found = execute(
        connection,
        f"select i.{ORDINAL} from {sent.into} i where exists "
        f"(select from {table.sql} t where {keys.same_key(table, 't', 'i')} and {newer}) order by 1",
    ).fetchall()
    execute(connection, f"drop table {sent.into}")
    return [position for (position,) in found]
