"""Rows that come out of quarantine and have to leave those alone that are there."""

from __future__ import annotations

from datetime import datetime

from headwater.connect.destinations import outdated
from headwater.connect.destinations.deletes import DELETED_AT
from headwater.connect.destinations.mysql import rows
from headwater.connect.destinations.mysql.called import quote
from headwater.connect.destinations.mysql.connection import Connection
from headwater.connect.destinations.mysql.tables import ORDINAL, Target


def positions(connection: Connection, table: Target, incoming: rows.Incoming, since: datetime) -> list[int]:
    """Of the rows those whose key a row has that was loaded at `since` or later. Raises as `rows.load`."""
    at, _, _ = rows.send_aside(connection, table, incoming)
    moment = f"cast('{since:%Y-%m-%d %H:%M:%S.%f}' as datetime(6))"
    newer = outdated.newer(moment, keeps_history=table.keeps_history, is_marked=DELETED_AT in table.ours)
    found = connection.rows(
        f"select i.{quote(ORDINAL)} from (select {quote(ORDINAL)}, {rows.matched(table)} from {at}) i "
        f"where exists (select 1 from {table.sql} t where {rows.same_key(table, 't', 'i')} and {newer}) order by 1"
    )
    connection.run(f"drop temporary table {at}")
    return [int(ordinal) - 1 for (ordinal,) in found]
