"""A session that reads: how it is set up, and how the rows of a query come out of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pymysql
from pymysql.constants import CR, FIELD_TYPE

from headwater.base.errors import InputError
from headwater.connect.alive import Patience
from headwater.connect.destinations.mysql.settings import Settings as Address
from headwater.connect.destinations.mysql.wire import Wire, connected, patience
from headwater.connect.sources.mysql.rows import Block, Layout, UnexpectedRowError, decoded

ERRORS = (pymysql.err.Error, OSError)
_CONNECT_SECONDS = 15.0
_READ_BYTES = 1 << 20
_LEAST_READ_BYTES = 16 << 10
# A read takes as long as it takes, and a loader that is busy is no reason to hang up.
_PATIENT = {
    "wait_timeout": "2147483",
    "net_read_timeout": "86400",
    "net_write_timeout": "10800",  # as long as a pipeline may stand still: until then a dead reader holds its snapshot
    "max_statement_time": "0",  # MariaDB
    "max_execution_time": "0",  # MySQL
    "idle_transaction_timeout": "0",
    "idle_readonly_transaction_timeout": "0",
}
# What values look like depends on these. No mode: dates with zeros in them are there to be read.
_EXACT = ("sql_mode = ''", "time_zone = '+00:00'", "sql_auto_is_null = 0")
_WORDS = (FIELD_TYPE.LONGLONG, FIELD_TYPE.DOUBLE)


class CancelledError(Exception):
    """The read is to stop."""


class Session:
    """A session outside of any transaction."""

    def __init__(
        self,
        address: Address,
        session_sqls: Sequence[str] = (),
        *,
        application: str,
        idle_seconds: float,
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        """`session_sqls` are run first. Every wait ends when `is_cancelled` says so. Raises what is in `ERRORS`, and
        RuntimeError when a password can't be sent in the way that the server wants."""
        self._wire: Wire = connected(address, application, _CONNECT_SECONDS)
        try:
            self._wire.watch_with(Watch(patience(self._wire, address, idle_seconds), is_cancelled))
            ((self.number, self.version),) = self.rows("select connection_id(), version()")
            self._set_up(session_sqls)
        except BaseException:
            self.close()
            raise

    @property
    def is_mariadb(self) -> bool:
        return "mariadb" in self.version.lower()

    @property
    def is_open(self) -> bool:
        return bool(self._wire.open)

    def close(self) -> None:
        if self._wire.open:
            with contextlib.suppress(*ERRORS, CancelledError):  # a lost connection has ended by itself
                self._wire.close()

    def rows(self, query: str, values: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        """A query's rows. `%s` stands for a value; without `values` a `%` is a `%`."""
        with self._wire.cursor() as cursor:
            cursor.execute(query, values)
            return list(cursor.fetchall())

    def run(self, statement: str) -> None:
        with self._wire.cursor() as cursor:
            cursor.execute(statement)

    def blocks(self, query: str, layout: Layout, batch_bytes: int) -> Iterator[Block]:
        """The rows of a query of that layout, about `batch_bytes` at a time. The session is of no use any more when
        they are not taken to the end. Raises what is in `ERRORS`, UnexpectedRowError, CancelledError."""
        types = self._wire.execute_prepared(query)
        if len(types) != layout.columns or any(found not in _WORDS for found in types[: layout.words]):
            raise UnexpectedRowError
        held = bytearray()
        tail = 0  # where a row has ended, if the mark that was found last is no value's
        enough = batch_bytes
        while True:
            seen = len(held)
            held += self._arrived(min(_READ_BYTES, max(enough - seen, _LEAST_READ_BYTES)))
            found = held.rfind(layout.mark, max(0, seen - len(layout.mark) + 1))
            if found >= 0:
                tail = found + len(layout.mark)
            is_end = _is_last(held, tail)
            if not is_end and len(held) < enough:
                continue
            block = decoded(bytes(held), layout)
            if block is not None:
                del held[: block.size]
                tail -= block.size
                yield block
            enough = batch_bytes if block is not None else 2 * len(held)
            if is_end and tail == 0:
                break
        if held[4] == 0xFF:
            pymysql.err.raise_mysql_exception(bytes(held[4:]))
        self._wire.close_prepared()

    def _arrived(self, most: int) -> bytes:
        found = self._wire.arrived(most)
        if not found:
            raise pymysql.err.OperationalError(CR.CR_SERVER_LOST, "the server ended the connection")
        return found

    def _set_up(self, session_sqls: Sequence[str]) -> None:
        listed = ", ".join(f"'{name}'" for name in _PATIENT)
        known = [name for name, _ in self.rows(f"show session variables where variable_name in ({listed})")]
        self.run("set " + ", ".join(f"session {name} = {_PATIENT[name]}" for name in known))
        for statement in session_sqls:
            try:
                self.run(statement)
            except pymysql.err.ProgrammingError as error:
                raise InputError(
                    "invalid-setting",
                    f"a statement of `session_sqls` is none that the server takes: `{statement}`",
                    why=str(error.args[-1]),
                    hint="headwater config set tap-mysql session_sqls '[…]'",
                ) from error
        self.run("set names utf8mb4")
        self.run("set " + ", ".join(f"session {one}" for one in _EXACT))
        self.run("set session transaction isolation level repeatable read")


class Watch:
    """Waits until the server shows no sign of life, or until the read is to stop."""

    def __init__(self, waiting: Patience, is_cancelled: Callable[[], bool]) -> None:
        self._patience = waiting
        self._is_cancelled = is_cancelled

    def begin(self) -> None:
        self._patience.begin()

    def tick(self) -> None:
        if self._is_cancelled():
            raise CancelledError
        self._patience.tick()


def _is_last(held: bytearray, at: int) -> bool:
    """Whether a packet that ends the rows, well or with an error, is all that stands there."""
    length = int.from_bytes(held[at : at + 3], "little")
    if len(held) - at < 5 or len(held) - at != 4 + length:
        return False
    return held[at + 4] == 0xFF or (held[at + 4] == 0xFE and length < 9)
