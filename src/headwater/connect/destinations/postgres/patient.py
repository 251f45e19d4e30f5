"""A connection that does not wait for ever for a server that hangs, nor gives up one that is at work."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Any, Protocol, TypeVar

import psycopg

from headwater.base.clock import monotonic
from headwater.base.errors import RunFailedError
from headwater.connect.alive import Patience, SessionLostError, Sign
from headwater.connect.destinations.postgres.address import Address

_Answer = TypeVar("_Answer")
_Waiting = Generator[Any, Any, _Answer]

_THIS_SERVER = "select pg_catalog.pg_postmaster_start_time()::text"
_LEAST_SECONDS = 2.0  # of libpq, to connect


class Watch(Protocol):
    """See `Patience`."""

    def begin(self) -> None: ...
    def tick(self) -> None: ...


class PatientConnection(psycopg.Connection[tuple[Any, ...]]):
    """`watch` is told of every wait for the server; what it raises ends the connection. None: any wait is right."""

    watch: Watch | None = None
    _verdict: RunFailedError | None = None

    def wait(self, gen: _Waiting[_Answer], *arguments: Any, **named: Any) -> _Answer:
        if self._verdict is not None:  # what cleans up behind it waits no longer
            raise self._verdict
        if self.watch is None:
            return super().wait(gen, *arguments, **named)
        try:
            return super().wait(_told(gen, self.watch), *arguments, **named)
        except SessionLostError as error:
            self.pgconn.finish()  # as if the server had done it
            raise psycopg.OperationalError(str(error)) from error
        except TimeoutError as error:
            self.pgconn.finish()
            raise psycopg.errors.ConnectionTimeout("the server did not answer in time") from error
        except RunFailedError as error:
            self._verdict = error
            self.pgconn.finish()
            raise


def _told(gen: _Waiting[_Answer], watch: Watch) -> _Waiting[_Answer]:
    """psycopg's generator says what it waits for, and is sent what is ready: nothing at all about ten times a
    second."""
    watch.begin()
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if ready:
                watch.begin()
            else:
                watch.tick()
            wanted = gen.send(ready)
    except StopIteration as done:
        answer: _Answer = done.value
        return answer


class Deadline:
    """Raises TimeoutError when a wait ends later than that."""

    def __init__(self, seconds: float) -> None:
        self._until = monotonic() + seconds

    def begin(self) -> None: ...

    def tick(self) -> None:
        if monotonic() > self._until:
            raise TimeoutError


def patience(
    connection: PatientConnection, address: Address, sessions: str, *, seconds: float, is_known: bool = True
) -> Patience:
    """For waits on `sessions`, a condition on pg_stat_activity. `is_known`: whether there is such a session for sure,
    which a pooler may hide. It is asked over `connection` now which server that is: another one behind the same
    address knows nothing of them."""
    ((server,),) = connection.execute(_THIS_SERVER).fetchall()
    look = _Looks(address, sessions, str(server), is_known=is_known)
    return Patience(seconds, server=f"PostgreSQL at {address.server}", look=look)


class _Looks:
    def __init__(self, address: Address, sessions: str, server: str, *, is_known: bool) -> None:
        self._address = address
        self._query = f"select state, wait_event from pg_catalog.pg_stat_activity where {sessions}".encode()
        self._server = server
        self._is_known = is_known

    def __call__(self, seconds: float) -> Sign:
        try:
            with contextlib.closing(_connection(self._address, seconds)) as connection:
                if connection.execute(_THIS_SERVER.encode()).fetchall() != [(self._server,)]:
                    return Sign.AT_WORK
                found = connection.execute(self._query).fetchall()
        except psycopg.errors.ConnectionTimeout:
            return Sign.NONE
        except psycopg.Error:  # too many connections, another password meanwhile: it answers
            return Sign.AT_WORK
        if found:
            self._is_known = True
        is_at_work = any(map(_is_at_work, found)) if found else not self._is_known
        return Sign.AT_WORK if is_at_work else Sign.AWAITS_US


def _connection(address: Address, seconds: float) -> PatientConnection:
    seconds = max(_LEAST_SECONDS, seconds)
    made = PatientConnection.connect(
        **address.parameters | {"connect_timeout": int(seconds)},
        application_name="headwater: is the server alive",
        autocommit=True,
        prepare_threshold=None,
    )
    made.watch = Deadline(seconds)
    return made


def _is_at_work(session: tuple[str | None, str | None]) -> bool:
    state, event = session
    if state is None or state == "disabled":  # which the server keeps to itself
        return True
    return state in ("active", "fastpath function call") and event not in ("ClientRead", "ClientWrite")
