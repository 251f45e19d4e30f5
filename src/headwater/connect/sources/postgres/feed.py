"""Changes as the server sends them: logical replication over a connection of its own, by libpq's own calls.

The driver has no words for replication, but libpq does all there is to do. The server is told that what came before the
feed's start is safe, and nothing beyond: the rest is safe once it is committed in the destination, which the next run
knows.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from struct import Struct as Layout
from typing import NamedTuple

import psycopg
from psycopg.pq import ExecStatus

from headwater.base.clock import monotonic
from headwater.base.process import is_readable
from headwater.connect.destinations.postgres.address import Address
from headwater.connect.destinations.postgres.connection import literal
from headwater.connect.destinations.postgres.patient import Deadline, PatientConnection, Watch
from headwater.connect.names import quote

_SETTING_UP_SECONDS = 15.0
# How long nothing has to come before the server is asked how far it is.
_SILENCE_SECONDS = 1.0
_WAIT_SECONDS = 0.5
_STATUS = Layout(">cQQQqB")
_DATA = Layout(">cQQq")
_ALIVE = Layout(">cQqB")
_SETTINGS = {
    "TimeZone": "UTC",
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "statement_timeout": "0",
    # We take no more while the destination is at work, however long that takes. A machine that is gone is noticed by
    # what the network says of it.
    "wal_sender_timeout": "0",
    "tcp_keepalives_idle": "60",
    "tcp_keepalives_interval": "15",
    "tcp_keepalives_count": "4",
}


class Piece(NamedTuple):
    """A message of the output plugin; without one it only says that all before `lsn` has been sent."""

    lsn: int
    data: bytes | None


class Feed:
    """An open feed. `name` is how the server knows its session."""

    def __init__(self, address: Address, name: str) -> None:
        self._connection = PatientConnection.connect(
            **address.parameters | {"client_encoding": "UTF8"},
            application_name=name,
            replication="database",
            autocommit=True,
            prepare_threshold=None,
        )
        self._connection.watch = Deadline(_SETTING_UP_SECONDS)
        self._safe = 0
        try:
            for setting, value in _SETTINGS.items():
                self._connection.execute(f"set {quote(setting)} = {literal(value)}".encode())
        except BaseException:
            self.close()
            raise

    def pieces(self, slot: str, publication: str, start: int, watch: Watch) -> Iterator[Piece]:
        """What was committed at `start` or later, for ever. `watch` is told when something comes, and twice a second
        while nothing does; what it raises ends the feed. Raises psycopg.Error."""
        self._safe = start
        # The only keywords of the server that must be in capitals.
        options = f"proto_version '1', publication_names {literal(quote(publication))}"
        self._begin(f"START_REPLICATION SLOT {quote(slot)} LOGICAL {_text(start)} ({options})", watch)
        self._tell()
        last = monotonic()
        while True:
            size, data = self._connection.pgconn.get_copy_data(1)
            if size < 0:
                self._raise_end()
            if not size:
                if monotonic() - last > _SILENCE_SECONDS:
                    self._tell()
                    last = monotonic()
                self._wait(watch)
                continue
            last = monotonic()
            message = bytes(data)
            if message[:1] == b"w":
                yield Piece(_DATA.unpack_from(message)[1], message[_DATA.size :])
            elif message[:1] == b"k":
                _, lsn, _, wants_answer = _ALIVE.unpack_from(message)
                if wants_answer:
                    self._tell(ask=False)
                yield Piece(lsn, None)

    def close(self) -> None:
        with contextlib.suppress(psycopg.Error):
            self._connection.pgconn.finish()

    def _begin(self, command: str, watch: Watch) -> None:
        pgconn = self._connection.pgconn
        pgconn.send_query(command.encode())
        while pgconn.is_busy():
            self._wait(watch)
        found = pgconn.get_result()
        if found is not None and found.status != ExecStatus.COPY_BOTH:
            raise psycopg.errors.error_from_result(found)

    def _tell(self, *, ask: bool = True) -> None:
        """What is safe; with `ask` the server says how far it is."""
        pgconn = self._connection.pgconn
        pgconn.put_copy_data(_STATUS.pack(b"r", self._safe, self._safe, self._safe, 0, ask))
        pgconn.flush()

    def _wait(self, watch: Watch) -> None:
        pgconn = self._connection.pgconn
        if is_readable(pgconn.socket, _WAIT_SECONDS):
            pgconn.consume_input()
            watch.begin()
        else:
            watch.tick()

    def _raise_end(self) -> None:
        found = self._connection.pgconn.get_result()
        if found is not None and found.status == ExecStatus.FATAL_ERROR:
            raise psycopg.errors.error_from_result(found)
        raise psycopg.OperationalError("the server ended the feed of changes")


def _text(lsn: int) -> str:
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"
