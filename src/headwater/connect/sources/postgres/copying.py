"""A session that reads by binary COPY and gives the rows as they are."""

from __future__ import annotations

import array
import contextlib
import select
from collections.abc import Generator, Iterator
from itertools import accumulate, repeat, takewhile
from operator import itemgetter

import psycopg
import pyarrow as pa
from psycopg.pq import ExecStatus

from headwater.connect.destinations.postgres.address import Address

_TRAILER = b"\xff\xff"
_FIXED_HEADER = 19
_CANCEL_SECONDS = 5.0
_DATA = itemgetter(1)


class CopySession:
    """Its errors are psycopg's."""

    def __init__(self, address: Address, name: str, setup: tuple[str, ...]) -> None:
        self._connection = psycopg.connect(
            **address.parameters,
            application_name=name,
            client_encoding="UTF8",
            autocommit=True,
            prepare_threshold=None,
        )
        try:
            self._connection.execute("; ".join(setup).encode())
        except BaseException:
            self.close()
            raise

    def batches(self, query: str, batch_bytes: int) -> Generator[pa.Array, None, None]:
        """The rows of a query, a binary value for each, in arrays of about `batch_bytes`."""
        self._send(f"copy ({query}) to stdout (format binary)")
        data: list[bytes] = []
        lengths = array.array("i")
        count = size = 0
        for burst in _without_header(self._bursts()):
            if size >= batch_bytes:
                yield _rows(data, lengths)
                count += len(lengths)
                data, lengths, size = [], array.array("i"), 0
            data.append(b"".join(burst))
            lengths.extend(map(len, burst))
            size += len(data[-1])
        told = self._result().command_tuples
        if lengths and lengths[-1] == len(_TRAILER):
            lengths.pop()
        if lengths:
            yield _rows(data, lengths)
        if told != count + len(lengths):
            raise psycopg.DataError(f"the server sent {told} rows, of which {count + len(lengths)} arrived")

    def cancel(self) -> bool:
        """False when the server does not take it."""
        try:
            self._connection.cancel_safe(timeout=_CANCEL_SECONDS)  # `cancel` would keep Python's lock meanwhile
        except psycopg.errors.CancellationTimeout:
            return False
        except psycopg.Error:
            pass  # it is gone, or has answered already
        return True

    def is_alive(self) -> bool:
        """After an error."""
        try:
            self._connection.execute("rollback")
        except psycopg.Error:
            return False
        return True

    def close(self) -> None:
        self._connection.close()

    def _send(self, query: str) -> None:
        server = self._connection.pgconn
        server.send_query(query.encode())
        while server.flush():
            select.select([], [server.socket], [])
        self._result(ExecStatus.COPY_OUT)

    def _bursts(self) -> Iterator[list[memoryview]]:
        """Rows as they come, all that are here at a time, without a step of Python for any of them."""
        server = self._connection.pgconn
        rows = map(_DATA, map(server.get_copy_data, repeat(1)))
        readable = select.poll()
        readable.register(server.socket, select.POLLIN)
        with contextlib.suppress(psycopg.OperationalError):  # nothing is copied any more; the result says why
            while True:
                if burst := list(takewhile(len, rows)):
                    yield burst
                    continue
                size, one = server.get_copy_data(1)
                if size > 0:
                    yield [one]
                elif size < 0:
                    return
                else:
                    readable.poll()
                    server.consume_input()

    def _result(self, wanted: ExecStatus = ExecStatus.COMMAND_OK) -> psycopg.pq.abc.PGresult:
        """What the server answers. Raises psycopg.Error."""
        server = self._connection.pgconn
        found = self._next_result()
        if found is None:
            raise psycopg.OperationalError(server.get_error_message())
        if found.status != ExecStatus.COPY_OUT:
            while self._next_result() is not None:
                pass
        if found.status != wanted:
            raise psycopg.errors.error_from_result(found, encoding="utf-8")
        return found

    def _next_result(self) -> psycopg.pq.abc.PGresult | None:
        server = self._connection.pgconn
        while server.is_busy():
            select.select([server.socket], [], [])
            server.consume_input()
        return server.get_result()


def _without_header(bursts: Iterator[list[memoryview]]) -> Iterator[list[memoryview]]:
    """The header is at the beginning of the first row."""
    is_first = True
    for burst in bursts:
        if is_first:
            is_first = False
            first = burst[0]
            begin = _FIXED_HEADER + int.from_bytes(first[_FIXED_HEADER - 4 : _FIXED_HEADER], "big")
            burst[:1] = [first[begin:]] if len(first) > begin else []
        yield burst


def _rows(data: list[bytes], lengths: array.array[int]) -> pa.Array:
    offsets = array.array("i", accumulate(lengths, initial=0))
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(data))]
    return pa.Array.from_buffers(pa.binary(), len(lengths), buffers)
