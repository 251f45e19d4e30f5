"""A session that reads by binary COPY and gives the rows as they are."""

from __future__ import annotations

import array
import contextlib
import select
from collections.abc import Generator, Iterator
from itertools import accumulate, islice, repeat, takewhile
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

    def batches(self, query: str, batch_bytes: int, *, in_blocks: bool = False) -> Generator[pa.Array, None, None]:
        """The rows of a query, a binary value for each, in arrays of about `batch_bytes`. With `in_blocks` the first
        value has the bytes of all, and the others are empty."""
        self._send(f"copy ({query}) to stdout (format binary)")
        gathered = _Block() if in_blocks else _Each()
        count = 0
        for burst in _without_header(self._bursts()):
            if gathered.size >= batch_bytes:
                count += gathered.count
                yield gathered.taken()
            gathered.add(burst)
        told = self._result().command_tuples
        gathered.end()
        count += gathered.count
        if gathered.count:
            yield gathered.taken()
        if told != count:
            raise psycopg.DataError(f"the server sent {told} rows, of which {count} arrived")

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
        if burst:
            yield burst


class _Block:
    """Rows of which only their number is known."""

    def __init__(self) -> None:
        self._data: list[bytes] = []
        self._last: bytes | memoryview = b""
        self.count = self.size = 0

    def add(self, burst: list[memoryview]) -> None:
        self._data.append(b"".join(burst))
        self._last = burst[-1]
        self.count += len(burst)
        self.size += len(self._data[-1])

    def end(self) -> None:
        """No row comes any more. What came as the last one may be the end of the COPY, and leaves its bytes behind."""
        if self.count and len(self._last) == len(_TRAILER):
            self.count -= 1
            self.size -= len(_TRAILER)

    def taken(self) -> pa.Array:
        """What came since the last call."""
        buffers = [None, pa.py_buffer(self._offsets()), pa.py_buffer(b"".join(self._data))]
        rows = pa.Array.from_buffers(pa.binary(), self.count, buffers)
        self._data, self.count, self.size = [], 0, 0
        return rows

    def _offsets(self) -> array.array[int]:
        return array.array("i", (0,)) + array.array("i", (self.size,)) * self.count


class _Each(_Block):
    """Rows each of which can be asked for."""

    def __init__(self) -> None:
        super().__init__()
        self._lengths = array.array("i")

    def add(self, burst: list[memoryview]) -> None:
        super().add(burst)
        self._lengths.extend(map(len, burst))

    def _offsets(self) -> array.array[int]:
        lengths, self._lengths = self._lengths, array.array("i")
        return array.array("i", accumulate(islice(lengths, self.count), initial=0))
