"""The program's own small database: runs, events, states. SQLite at `<home>/headwater.db`."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from headwater.base.errors import EnvironmentProblemError
from headwater.base.files import cannot_write, unversioned_folder

# Entry n brings a database of version n to version n + 1. Only append.
MIGRATIONS = (
    """
    create table runs (
      run_id text primary key,
      name text not null,
      outcome text not null,
      started_at text not null,
      ended_at text,
      seconds real,
      trigger_by text not null,
      environment text
    ) strict;
    create index runs_by_start on runs (started_at);
    create table events (
      run_id text not null references runs (run_id) on delete cascade,
      position integer not null,
      at text not null,
      event text not null,
      primary key (run_id, position)
    ) strict, without rowid;
    create table states (
      state_id text not null,
      generation integer not null,
      value text,
      partial text,
      by_user integer not null,
      with_data integer not null,
      run_id text,
      updated_at text not null,
      primary key (state_id, generation)
    ) strict, without rowid;
    """,
    """
    create table plugin_settings (
      plugin text not null,
      name text not null,
      value text not null,
      primary key (plugin, name)
    ) strict, without rowid;
    """,
    """
    alter table states add column digest text;
    """,
    """
    alter table states add column raw text;
    create table taken_over (
      source text primary key,
      at text not null
    ) strict, without rowid;
    """,
)


def file(home: Path) -> Path:
    return home / "headwater.db"


class SystemDb:
    """One connection, safe to use from any thread. Transactions are short; several processes may have it open."""

    def __init__(self, home: Path, path: Path | None = None) -> None:
        """`path` is for states only, where the project says that they are kept elsewhere than in `home`."""
        self.path = path or file(home)
        self._lock = threading.RLock()
        try:
            if path is None:
                unversioned_folder(home)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.touch(mode=0o600)  # states may hold values of the source
            self._connection = sqlite3.connect(
                self.path, timeout=30, isolation_level=None, check_same_thread=False, cached_statements=32
            )
            self._connection.execute("pragma journal_mode = wal")
            # FULL: what was committed survives a power cut. A state that is lost would load its rows again.
            self._connection.execute("pragma synchronous = full")
            self._connection.execute("pragma foreign_keys = on")
            self._migrate()
        except OSError as error:
            raise cannot_write(self.path, error) from error
        except sqlite3.Error as error:
            raise self._problem(error) from error

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of the block or nothing of it. Raises EnvironmentProblemError when the database can't be used."""
        with self._lock:
            try:
                self._connection.execute("begin immediate")
                try:
                    yield self._connection
                    self._connection.execute("commit")
                except BaseException:
                    # Not after some errors (a full disk), which have rolled back already.
                    if self._connection.in_transaction:
                        self._connection.execute("rollback")
                    raise
            except sqlite3.Error as error:
                raise self._problem(error) from error

    def rows(self, query: str, *values: object) -> list[tuple[object, ...]]:
        with self._lock:
            try:
                return self._connection.execute(query, values).fetchall()
            except sqlite3.Error as error:
                raise self._problem(error) from error

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _migrate(self) -> None:
        if self._version() == len(MIGRATIONS):
            return
        with self.transaction() as connection:
            version = self._version()  # again, now that no other process can migrate
            if version > len(MIGRATIONS):
                raise EnvironmentProblemError(
                    "database-too-new",
                    f"`{self.path}` was written by a newer version (its format is {version}, ours {len(MIGRATIONS)})",
                    hint="headwater --version, then install the newer one",
                )
            for script in MIGRATIONS[version:]:
                for statement in filter(str.strip, script.split(";")):
                    connection.execute(statement)
            connection.execute(f"pragma user_version = {len(MIGRATIONS)}")

    def _version(self) -> int:
        return int(self._connection.execute("pragma user_version").fetchone()[0])

    def _problem(self, error: sqlite3.Error) -> EnvironmentProblemError:
        return EnvironmentProblemError(
            "system-database",
            f"cannot use `{self.path}`: {error}",
            hint=f"free space, fix permissions, or move the file away: ls -l {self.path}",
        )
