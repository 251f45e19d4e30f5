"""What is asked and ordered of the server that has to do with its log. Its errors come out in our words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from headwater.base.errors import EnvironmentProblemError, HeadwaterError
from headwater.connect.destinations.postgres.address import Address
from headwater.connect.destinations.postgres.connection import execute, trouble
from headwater.connect.destinations.postgres.patient import PatientConnection


class Orders:
    """By a session outside of any transaction, in which values are written as text as they are in the log."""

    def __init__(self, connection: PatientConnection, address: Address) -> None:
        self.connection = connection
        self.address = address
        self.ask(
            "set up a session",
            "select set_config('IntervalStyle', 'postgres', false), set_config('extra_float_digits', '1', false), "
            "set_config('bytea_output', 'hex', false)",
        )

    def ask(self, doing: str, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        try:
            return self.connection.execute(query.encode(), values or None).fetchall()
        except psycopg.Error as error:
            raise trouble(self.address, error, doing=doing) from error

    def order(self, doing: str, command: str) -> None:
        try:
            execute(self.connection, command)
        except psycopg.Error as error:
            raise self._refused(doing, command, error) from error

    def _refused(self, doing: str, command: str, error: psycopg.Error) -> HeadwaterError:
        if error.sqlstate == "42501":
            return EnvironmentProblemError(
                "no-permission",
                f"`{self.address.user}` may not {doing}",
                why=self.address.without_secrets(str(error.diag.message_primary)),
                hint=f"as the owner of the tables: {command}"
                if "publication" in doing
                else f"alter role {self.address.user} replication",
            )
        if error.sqlstate == "53400":
            return EnvironmentProblemError(
                "too-many-slots",
                f"PostgreSQL at {self.address.server} has no more replication slots",
                why=str(error.diag.message_primary),
                hint="drop one that nobody reads: select slot_name from pg_replication_slots where not active; or "
                "raise max_replication_slots",
            )
        return trouble(self.address, error, doing=doing)
