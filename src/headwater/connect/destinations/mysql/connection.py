"""A session with the server: how it is set up, whose turn it is, and what it is asked."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pymysql
from msgspec import Struct

from headwater.base.clock import monotonic
from headwater.base.errors import RunFailedError
from headwater.connect.destinations.mysql.settings import Settings
from headwater.connect.destinations.mysql.wire import connected, patience

# How long a pipeline waits for the session of a run that has died.
_PATIENCE_SECONDS = 5.0
_CONNECT_SECONDS = 15.0
_TABLE_SECONDS = 3600
# Strict, so that what does not fit is an error; and 0 in a key is 0, not the next number.
_SQL_MODE = (
    "STRICT_ALL_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,"
    "NO_AUTO_VALUE_ON_ZERO"
)
_SETTINGS = {
    "sql_mode": f"'{_SQL_MODE}'",
    "time_zone": "'+00:00'",
    "sql_notes": "1",  # a decimal that is cut is only a note to the server
    "sql_auto_is_null": "0",
    "sql_safe_updates": "0",
    "lock_wait_timeout": "15",  # then the load steps back, so that readers don't queue up behind it
    "innodb_lock_wait_timeout": "15",
    "wait_timeout": "2147483",  # a slow source is no reason to hang up
    "net_read_timeout": "600",
    "net_write_timeout": "600",
}


_ROOMY_PACKET = 16 << 20  # MariaDB's own default


class Server(Struct, frozen=True, kw_only=True):
    """What the server is. `collation` tells any two texts apart; `folds_case` says that it tells no `Foo` table from
    `foo`; `packet` bounds a row in bytes."""

    version: str
    is_mariadb: bool
    collation: str
    folds_case: bool
    packet: int
    takes_files: bool

    def notices(self) -> list[str]:
        """What the user can better."""
        found = []
        if not self.takes_files:
            found.append(
                "the server takes no LOAD DATA LOCAL, so rows go by INSERT, which takes half as long again; "
                "to allow it: set global local_infile = 1"
            )
        if self.packet < _ROOMY_PACKET:
            found.append(
                f"the server lets rows of at most {self.packet:,} bytes through, and a longer one ends the load; "
                f"to let more through: set global max_allowed_packet = {_ROOMY_PACKET}"
            )
        return found


class DuplicateKeyError(Exception):
    """Rows were passed over because their key was there already."""


class UnfitError(Exception):
    """The server took rows with a warning, so it may have changed a value."""


class Connection:
    """A session outside of any transaction, set up for loads into the database `schema`."""

    def __init__(self, settings: Settings, schema: str, *, application: str, idle_seconds: float) -> None:
        """No wait for the server lasts longer than `idle_seconds` without a sign of life: see `alive.Patience`. Raises
        pymysql.err.Error, OSError."""
        self.schema = schema
        self._wire = connected(settings, application, _CONNECT_SECONDS)
        try:
            self._wire.watch_with(patience(self._wire, settings, idle_seconds))
            self.server = _server(self)
            self._set_up()
            # Nobody else can know the name, so whoever holds it is this session.
            self.token = f"headwater:{secrets.token_hex(20)}"
            self.rows("select get_lock(%s, 0)", [self.token])
        except BaseException:
            self.close()
            raise

    @property
    def is_open(self) -> bool:
        return bool(self._wire.open)

    def close(self) -> None:
        if self._wire.open:
            with contextlib.suppress(pymysql.err.Error, OSError):  # a lost connection has ended by itself
                self._wire.close()

    def rows(self, query: str, values: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        """A query's rows. `%s` stands for a value; without `values` a `%` is a `%`."""
        with self._wire.cursor() as cursor:
            cursor.execute(query, values)
            return list(cursor.fetchall())

    def run(self, statement: str | bytes, values: Sequence[Any] | None = None) -> int:
        """The number of rows that the statement changed."""
        with self._wire.cursor() as cursor:
            return int(cursor.execute(statement, values))

    def run_exactly(self, statement: str | bytes, outgoing: Iterable[bytes | memoryview] | None = None) -> int:
        """As `run`, with the bytes that LOAD DATA LOCAL asks for. Raises DuplicateKeyError and UnfitError when the
        server had anything to remark: it passes rows over and changes values with a warning only."""
        self._wire.outgoing = outgoing
        try:
            with self._wire.cursor() as cursor:
                count = int(cursor.execute(statement))
                remarked = cursor.warning_count
        finally:
            self._wire.outgoing = None
        if remarked:
            found = [one for one in self.rows("show warnings") if one[1] not in _HARMLESS]
            if found and all(code == DUPLICATE for _, code, _ in found):
                raise DuplicateKeyError(found[0][2])
            if found or remarked > _LISTED:
                raise UnfitError(found[0][2] if found else f"{remarked} warnings")
        return count

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """What is done inside counts when the caller said `commit`."""
        self.run("start transaction")
        try:
            yield
        finally:
            if self.is_open:
                with contextlib.suppress(pymysql.err.Error):  # a lost connection has rolled back by itself
                    self.run("rollback")

    @contextlib.contextmanager
    def locked(self, tables: Iterable[str]) -> Iterator[None]:
        """Two pipelines may load the same tables, but not at once. All take their locks in the same order."""
        held = sorted({lock_name("table", self.schema, table) for table in tables})
        taken: list[str] = []
        try:
            for name in held:
                if self.rows("select get_lock(%s, %s)", [name, _TABLE_SECONDS]) != [(1,)]:
                    raise pymysql.err.OperationalError(_LOCK_WAIT, "another load holds the table")
                taken.append(name)
            yield
        finally:
            if self.is_open:
                with contextlib.suppress(pymysql.err.Error):  # a lost connection has released them by itself
                    for name in taken:
                        self.rows("select release_lock(%s)", [name])

    def _set_up(self) -> None:
        known = dict(self.rows(f"show session variables where variable_name in ({_listed([*_SETTINGS, *_OPTIONAL])})"))
        wanted = {**_SETTINGS, **{name: value for name, value in _OPTIONAL.items() if name in known}}
        self.run("set " + ", ".join(f"session {name} = {value}" for name, value in wanted.items()))
        self.run(f"set names utf8mb4 collate {self.server.collation}")


_OPTIONAL = {
    "max_statement_time": "0",  # MariaDB: a load takes as long as it takes
    "check_constraint_checks": "1",
    "idle_transaction_timeout": "0",
    "idle_write_transaction_timeout": "0",
    "idle_readonly_transaction_timeout": "0",
}
DUPLICATE = 1062
_LOCK_WAIT = 1205
_LISTED = 64  # warnings that the server keeps
# A remark on the binary log's form, and that VALUES() has a new name.
_HARMLESS = frozenset((1592, 1287))


def _server(connection: Connection) -> Server:
    ((version, folding, packet, files),) = connection.rows(
        "select version(), @@lower_case_table_names, @@max_allowed_packet, @@local_infile"
    )
    is_mariadb = "mariadb" in version.lower()
    collation = "utf8mb4_nopad_bin" if is_mariadb else "utf8mb4_0900_bin"
    if not connection.rows("show collation like %s", [collation]):
        raise RunFailedError(
            "server-too-old",
            f"the server, {version}, can't tell texts apart that differ in blanks at their end",
            why=f"it has no collation `{collation}`",
            hint="MariaDB 10.2 or later and MySQL 8.0.17 or later have it",
        )
    return Server(
        version=version,
        is_mariadb=is_mariadb,
        collation=collation,
        folds_case=bool(folding),
        packet=int(packet),
        takes_files=bool(files),
    )


def lock_name(*words: str) -> str:
    """A name for a lock; the server keeps them for all databases together."""
    name = "\0".join(words)
    return "headwater:" + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:48]


def end(connection: Connection, token: str) -> None:
    """End our former session, which may not know yet that we left it, and wait until it is gone. Its locks go after
    its transaction: then it is settled whether it committed."""
    until = monotonic() + _PATIENCE_SECONDS * 4
    while (found := connection.rows("select is_used_lock(%s)", [token])[0][0]) is not None:
        with contextlib.suppress(pymysql.err.Error):  # it may have gone meanwhile
            connection.run(f"kill {int(found)}")
        if monotonic() >= until:
            raise RunFailedError(
                "commit-unknown",
                "the connection was lost during a commit, and the server is still at it",
                why=f"connection {found} of the server does not end",
                hint="run it again when it is gone: the checkpoint then says what was kept",
            )
        time.sleep(0.1)


def hold_pipeline(connection: Connection, pipeline: str, on_wait: Callable[[str], None]) -> None:
    """Take the pipeline for this session; the server gives it free when the session ends, however it ends.

    Raises RunFailedError (`already-running`) that says who has it.
    """
    name = lock_name("pipeline", connection.schema, pipeline)
    until = monotonic() + _PATIENCE_SECONDS
    told = False
    while True:
        if connection.rows("select get_lock(%s, 0)", [name]) == [(1,)]:
            return
        holder = _holder(connection, name)
        if monotonic() >= until:
            raise RunFailedError(
                "already-running",
                f"`{pipeline}` is already running",
                why=f"the database says: {holder}",
                hint="wait until it has ended",
            )
        if not told:
            on_wait(holder)
            told = True
        time.sleep(0.1)


def _holder(connection: Connection, name: str) -> str:
    number = connection.rows("select is_used_lock(%s)", [name])[0][0]
    if number is None:
        return "someone who has just gone"
    found = connection.rows("select user, host from information_schema.processlist where id = %s", [number])
    return f"connection {number} of the server" + "".join(f", `{user}` from {host}" for user, host in found)


def _listed(words: Iterable[str]) -> str:
    return ", ".join(f"'{word}'" for word in words)
