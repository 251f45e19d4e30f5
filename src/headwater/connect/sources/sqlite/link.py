"""A connection that only reads, and what its errors mean."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote as in_url

from headwater.base.clock import monotonic
from headwater.base.errors import EnvironmentProblemError, HeadwaterError, InputError, RunFailedError

PLUGIN = "tap-sqlite"
_TRY_SECONDS = 1.0
_PAUSE_SECONDS = 0.1
_STEPS = 1_000_000  # of SQLite's own machine, some ten milliseconds


class StoppedError(Exception):
    """The read is to stop."""


@contextlib.contextmanager
def opened(
    path: Path,
    *,
    patience: float,
    should_stop: Callable[[], bool] = lambda: False,
    on_wait: Callable[[str], None] = lambda _who: None,
) -> Iterator[sqlite3.Connection]:
    """All that is read shows one moment. Who has locked the file is waited for, `patience` seconds long.

    Raises InputError (`file-not-found`, `source-changed`), EnvironmentProblemError (`database-busy`,
    `database-unreadable`), RunFailedError (`database-error`), StoppedError.
    """
    if not path.is_file():
        raise InputError(
            "file-not-found", f"there is no file `{path}`", hint=f"headwater config set {PLUGIN} database FILE"
        )
    try:
        connection = sqlite3.connect(
            f"file:{in_url(str(path.absolute()))}?mode=ro",
            uri=True,
            timeout=_TRY_SECONDS,
            isolation_level=None,
            check_same_thread=False,  # whoever reads ahead does it in a thread of its own
        )
        with contextlib.closing(connection):
            connection.execute("begin")
            _begin(connection, path, patience, should_stop, on_wait)
            connection.set_progress_handler(should_stop, _STEPS)
            yield connection
    except sqlite3.Error as error:
        if _name(error) == "SQLITE_INTERRUPT":
            raise StoppedError from None
        raise _trouble(path, error) from error


def _begin(
    connection: sqlite3.Connection,
    path: Path,
    patience: float,
    should_stop: Callable[[], bool],
    on_wait: Callable[[str], None],
) -> None:
    until, is_told = monotonic() + patience, False
    while True:
        try:
            connection.execute("select count(*) from main.sqlite_master").fetchall()
        except sqlite3.OperationalError as error:
            if _name(error) not in _BUSY or monotonic() >= until:
                raise
        else:
            return
        if should_stop():
            raise StoppedError
        if not is_told:
            on_wait(f"waiting for another program that has locked `{path}`")
            is_told = True
        time.sleep(_PAUSE_SECONDS)


_BUSY = frozenset(("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_BUSY_RECOVERY", "SQLITE_BUSY_SNAPSHOT"))
_NOT_READABLE = ("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_NOTADB", "SQLITE_CORRUPT", "SQLITE_IOERR", "SQLITE_PERM")


def _name(error: sqlite3.Error) -> str:
    """What SQLite calls it; an error of Python's own module has no name."""
    return getattr(error, "sqlite_errorname", type(error).__name__)


def _trouble(path: Path, error: sqlite3.Error) -> HeadwaterError:
    name, said = _name(error), str(error)
    if name in _BUSY:
        return EnvironmentProblemError(
            "database-busy",
            f"another program has locked `{path}`",
            why="it writes, and SQLite lets nobody read meanwhile",
            hint="run it again; or let that program use a write-ahead log: pragma journal_mode = wal",
        )
    if name.startswith(_NOT_READABLE):
        return EnvironmentProblemError(
            "database-unreadable",
            f"`{path}` can't be read as a SQLite database",
            why=said,
            hint=f"is it one, and are its folder and what stands beside it yours to use? ls -l {path}*",
        )
    if name == "SQLITE_ERROR" and said.startswith("no such"):
        return InputError(
            "source-changed",
            f"a table of `{path}` is not what it was when it was discovered",
            why=said,
            hint="run it again with --refresh-catalog; a view may name what is gone",
        )
    return RunFailedError("database-error", f"cannot read `{path}`", why=f"{said} ({name})")
