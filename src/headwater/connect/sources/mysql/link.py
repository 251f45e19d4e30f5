"""The sessions of a read, all of which see the data of one moment where the server lets them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Generator, Sequence

import pymysql
from msgspec import Struct

from headwater.base.errors import EnvironmentProblemError
from headwater.connect.destinations.mysql.settings import Settings as Address
from headwater.connect.destinations.mysql.trouble import cannot_connect
from headwater.connect.destinations.mysql.wire import Wire, connected, patience
from headwater.connect.sources.mysql import rows
from headwater.connect.sources.mysql.query import Key, Query
from headwater.connect.sources.mysql.rows import Block
from headwater.connect.sources.mysql.session import ERRORS, Session, Watch
from headwater.connect.sources.mysql.settings import Settings
from headwater.connect.sources.mysql.trouble import PLUGIN, cannot_look

BEGIN = "start transaction with consistent snapshot, read only"
_ATTEMPTS = 3
_LOCK_SECONDS = 3
_CANCEL_SECONDS = 5.0
_CONNECT_SECONDS = 15.0
_APPLICATION = "headwater: reading"


class Position(Struct, frozen=True, kw_only=True):
    """A place in the server's binary log."""

    file: str
    offset: int

    def is_before(self, other: Position) -> bool:
        return (_number(self.file), self.offset) < (_number(other.file), other.offset)


def _number(file: str) -> int:
    ending = file.rpartition(".")[2]
    return int(ending) if ending.isdigit() else 0


def opened(
    address: Address,
    settings: Settings,
    *,
    application: str,
    idle_seconds: float,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> Session:
    """Raises EnvironmentProblemError for a connection that does not come about, and what went wrong afterwards."""
    try:
        return Session(
            address,
            settings.session_sqls,
            application=application,
            idle_seconds=idle_seconds,
            is_cancelled=is_cancelled,
        )
    except pymysql.err.OperationalError as error:
        if error.args[0] in (1040, 1203, 1226):
            raise cannot_look(address, error) from error
        raise cannot_connect(address, error, PLUGIN) from error
    except (*ERRORS, RuntimeError) as error:
        raise cannot_connect(address, error, PLUGIN) from error


class Sessions:
    """One query at a time each. `first` is open, and is one of those that read."""

    def __init__(self, address: Address, settings: Settings, *, idle_seconds: float) -> None:
        self._address = address
        self._settings = settings
        self._idle_seconds = idle_seconds
        self._lock = threading.Lock()
        self._busy: list[Session] = []
        self.is_cancelled = False
        self.first = self._opened()
        self._idle = [self.first]

    def begin(self, count: int, *, tell: Callable[[str], None]) -> Position | None:
        """Have so many sessions, of which all see one moment: what was committed before it and nothing else. Where it
        lies in the binary log, if the server says so. When the server does not allow it, each session has its own
        moment, which `tell` hears. Raises EnvironmentProblemError, and what is in `ERRORS`."""
        self._idle += [self._opened() for _ in range(count - 1)]
        for session in self._idle:
            session.run(BEGIN)
        if count > 1 and not self._agree() and not self._begin_behind_a_lock():
            tell("each stream shows a moment of its own: for one moment of all, grant reload on *.*, or use --jobs 1")
        return _position(self.first)

    def place(self) -> Position:
        """Where the server is in its log. Raises EnvironmentProblemError, and what is in `ERRORS`."""
        if (found := _position(self.first)) is not None:
            return found
        statement = "show master status"
        for words in ("show binary log status", statement):  # the newer one first
            with contextlib.suppress(pymysql.err.ProgrammingError):
                statement = words
                for file, offset, *_ in self.first.rows(words):
                    return Position(file=file, offset=int(offset))
        raise EnvironmentProblemError("log-unfit", f"the server does not say where it is in its log: `{statement}`")

    def listening(self) -> Wire:
        """A connection for what comes from the log."""
        wire = connected(self._address, "headwater: reading the log", _CONNECT_SECONDS)
        try:
            wire.watch_with(Watch(patience(wire, self._address, self._idle_seconds), lambda: self.is_cancelled))
        except BaseException:
            wire.close()
            raise
        return wire

    def blocks(
        self, query: Query, batch_bytes: int, *, keys: Sequence[Key] | None = None
    ) -> Generator[Block, None, None]:
        """The rows of a stream, all or those with the keys. Raises what is in `ERRORS`, UnexpectedRowError and
        CancelledError."""
        with self._lock:
            session = self._idle.pop()
            self._busy.append(session)
        mark = rows.mark()
        layout = query.layout(mark)
        is_whole = False
        try:
            for statement in query.statements(mark) if keys is None else [query.of_keys(mark, keys)]:
                yield from session.blocks(statement, layout, batch_bytes)
            is_whole = True
        finally:
            with self._lock:
                self._busy.remove(session)
                if is_whole:
                    self._idle.append(session)
            if not is_whole:
                session.close()

    def cancel(self) -> bool:
        """End the queries that run. Who waits for the server stops waiting in any case. From any thread."""
        if self.is_cancelled:
            return True
        self.is_cancelled = True
        with self._lock:
            numbers = [session.number for session in self._busy]
        if numbers:
            with contextlib.suppress(*ERRORS):  # it notices by itself that nobody reads
                wire = connected(self._address, "headwater: cancel", _CANCEL_SECONDS)
                with contextlib.closing(wire), wire.cursor() as cursor:
                    for number in numbers:
                        cursor.execute(f"kill query {int(number)}")
        return True

    def close(self) -> None:
        """When no query runs any more."""
        for session in self._idle:
            session.close()

    def _opened(self) -> Session:
        return opened(
            self._address,
            self._settings,
            application=_APPLICATION,
            idle_seconds=self._idle_seconds,
            is_cancelled=lambda: self.is_cancelled,
        )

    def _agree(self) -> bool:
        """Whether all see one moment, by its place in the log, which nobody may have written to meanwhile."""
        for attempt in range(_ATTEMPTS):
            if attempt:
                for session in self._idle:
                    session.run(BEGIN)
            places = {_position(session) for session in self._idle}
            if None in places:
                return False
            if len(places) == 1:
                return True
        return False

    def _begin_behind_a_lock(self) -> bool:
        """Hold up all that is written for the moment in which the sessions begin, if they may and it takes no long."""
        self.first.run("rollback")
        self.first.run(f"set session lock_wait_timeout = {_LOCK_SECONDS}")
        try:
            self.first.run("flush tables with read lock")
        except pymysql.err.Error:
            if not self.first.is_open:
                raise
            self.first.run(BEGIN)
            return False
        for session in self._idle:
            session.run(BEGIN)
        self.first.run("unlock tables")
        return True


def _position(session: Session) -> Position | None:
    """Of the session's snapshot: MariaDB knows it."""
    found = {name.lower(): value for name, value in session.rows("show status like 'binlog\\_snapshot\\_%'")}
    file = found.get("binlog_snapshot_file")
    return Position(file=file, offset=int(found["binlog_snapshot_position"])) if file else None
