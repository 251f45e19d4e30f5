"""The embedded warehouse: one DuckDB file that processes open in turn, each under a lease.

DuckDB lets one process write and then nobody else even read. So whoever needs the file takes a lease, opens it,
works and closes it again, as short as can be.
"""

from __future__ import annotations

import contextlib
import glob
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb

from headwater.base.clock import monotonic
from headwater.base.errors import EnvironmentProblemError, HeadwaterError, RunFailedError
from headwater.base.files import cannot_write
from headwater.base.lease import busy, lease, lease_folder

# Files stay readable for tools that still embed DuckDB 1.4.
STORAGE = "v1.4.0"
_DEFAULT_MEMORY = 512 << 20
# Below this DuckDB can't even sort a few blocks.
_LEAST_MEMORY = 128 << 20

_CLOSED_DOWN = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    "allow_unsigned_extensions": False,
}
_OTHER_PROGRAM = "Conflicting lock is held"


@contextlib.contextmanager
def reading(
    path: Path,
    *,
    who: str,
    on_wait: Callable[[str], None] | None = None,
    timeout: float | None = None,
    outside_files: bool = False,
    memory_bytes: int | None = None,
    scratch: Path | None = None,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A read-only connection under a shared lease. SQL can't reach other files unless `outside_files`. Beyond
    `memory_bytes`, what is sorted goes into the folder `scratch`.

    Times are shown in UTC. Don't nest it in `reading` or `writing` of the same file. What DuckDB raises inside
    the block about the file itself leaves it as an EnvironmentProblemError; errors of the SQL pass through.

    Raises EnvironmentProblemError: `warehouse-missing`, `warehouse-busy` after `timeout` seconds (None waits for
    ever), `warehouse-unreadable`.
    """
    if not path.exists():
        raise EnvironmentProblemError(
            "warehouse-missing", f"there is no warehouse at `{path}` yet", hint="load something into it: headwater run"
        )
    settings: dict[str, object] = {"enable_external_access": outside_files}
    if memory_bytes is not None:
        settings["memory_limit"] = f"{max(memory_bytes, _LEAST_MEMORY) >> 20}MiB"
    if scratch is not None:
        settings["temp_directory"] = str(scratch)
    # Where no file can be made beside it, none of us can load into it either.
    is_shared = lease_folder(path).exists() or os.access(path.resolve().parent, os.W_OK)
    held = lease(path, exclusive=False, who=who, on_wait=on_wait, timeout=timeout) if is_shared else None
    with held or contextlib.nullcontext():
        yield from _opened(path, settings, on_wait, timeout, read_only=True)


@contextlib.contextmanager
def writing(
    path: Path,
    *,
    who: str,
    on_wait: Callable[[str], None] | None = None,
    timeout: float | None = None,
    memory_bytes: int = _DEFAULT_MEMORY,
    outside_files: bool = False,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection under an exclusive lease; the file is made when absent. As `reading` otherwise.

    What isn't committed when the block ends is rolled back. Raises also `disk-full` and `cannot-write`.
    """
    settings: dict[str, object] = {
        "enable_external_access": outside_files,
        "memory_limit": f"{max(memory_bytes, _LEAST_MEMORY) >> 20}MiB",
        "storage_compatibility_version": STORAGE,
    }
    with lease(path, exclusive=True, who=who, on_wait=on_wait, timeout=timeout):
        _make(path)
        yield from _opened(path, settings, on_wait, timeout, read_only=False)


def _opened(
    path: Path,
    settings: dict[str, object],
    on_wait: Callable[[str], None] | None,
    timeout: float | None,
    *,
    read_only: bool,
) -> Iterator[duckdb.DuckDBPyConnection]:
    connection = _connect(path, settings, on_wait, timeout, read_only=read_only)
    try:
        if not read_only:
            _wipe_spilled(path)
        connection.execute("set TimeZone = 'UTC'")
        yield connection
    except duckdb.Error as error:
        problem = trouble(path, error)
        if problem is None:
            raise
        raise problem from error
    finally:
        # After a fatal error DuckDB may refuse even this; the file is released all the same.
        with contextlib.suppress(duckdb.Error):
            connection.close()


def _connect(
    path: Path,
    settings: dict[str, object],
    on_wait: Callable[[str], None] | None,
    timeout: float | None,
    *,
    read_only: bool,
) -> duckdb.DuckDBPyConnection:
    """Open the file. Programs that know nothing of our leases (a DuckDB shell, a notebook) are waited for too."""
    deadline = None if timeout is None else monotonic() + timeout
    reported = False
    while True:
        try:
            return duckdb.connect(str(path), read_only=read_only, config={**_CLOSED_DOWN, **settings})
        except duckdb.Error as error:
            if _OTHER_PROGRAM not in str(error):
                raise trouble(path, error) or _unreadable(path, error) from error
            holder = str(error).split(_OTHER_PROGRAM, 1)[1].removeprefix(" in ").split(". See", 1)[0].strip()
            if deadline is not None and monotonic() >= deadline:
                raise busy(path, holder) from error
            if on_wait is not None and not reported:
                on_wait(holder)
                reported = True
        time.sleep(0.2)


def _wipe_spilled(path: Path) -> None:
    """What a process that was killed had moved out of memory: files that DuckDB leaves for ever. Who has opened the
    database to write it is alone with it."""
    for file in path.with_name(f"{path.name}.tmp").glob("duckdb_temp_*"):
        with contextlib.suppress(OSError):
            file.unlink()


def _make(path: Path) -> None:
    """Make an empty database when there is none: aside, then renamed, so that a crash leaves no half file."""
    try:
        if path.exists() and path.stat().st_size:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(f".{glob.escape(path.name)}.*-????????"):  # by a process that was killed
            left.unlink(missing_ok=True)
        fresh = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
        try:
            duckdb.connect(str(fresh), config={"storage_compatibility_version": STORAGE}).close()
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error
    except duckdb.Error as error:
        raise trouble(path, error) or _unreadable(path, error) from error


def first_row(connection: duckdb.DuckDBPyConnection, query: str, values: Sequence[Any] = ()) -> tuple[Any, ...] | None:
    """The first row of a result, None when it is empty. `fetchone` would leave the result open, and DuckDB then
    refuses to register or read anything else."""
    rows: list[tuple[Any, ...]] = connection.execute(query, list(values)).fetchall()
    return rows[0] if rows else None


_DISK_FULL = ("no space left on device", "disk quota exceeded", "file too large")
_NOT_ALLOWED = ("permission denied", "read-only file system")
_UNREADABLE = ("not a valid duckdb", "corrupt", "newer version of duckdb", "different version", "checksum")


def trouble(path: Path, error: duckdb.Error) -> HeadwaterError | None:
    """What a DuckDB error says about file, disk or memory, in our words; None when it is about the SQL."""
    text = str(error)
    lower = text.lower()
    if any(words in lower for words in _DISK_FULL):
        return EnvironmentProblemError(
            "disk-full",
            f"no space left for `{path}`",
            why="nothing of this commit was kept",
            hint=f"free space, then run it again: df -h {path.parent}",
        )
    if any(words in lower for words in _NOT_ALLOWED):
        return EnvironmentProblemError(
            "cannot-write", f"cannot open `{path}`", why=text, hint=f"fix its permissions: ls -l {path}"
        )
    if any(words in lower for words in _UNREADABLE):
        return _unreadable(path, error)
    if isinstance(error, duckdb.OutOfMemoryException):
        return RunFailedError(
            "out-of-memory",
            "the warehouse needs more memory than it may use",
            why=text.split("\n", 1)[0],
            hint="give it more: headwater config set target-duckdb _memory_bytes N; or load less between two states: "
            "headwater config set target-duckdb _commit_bytes 8000000",
        )
    return None


def _unreadable(path: Path, error: duckdb.Error) -> EnvironmentProblemError:
    return EnvironmentProblemError(
        "warehouse-unreadable",
        f"`{path}` can't be opened as a DuckDB database",
        why=str(error).split("\n", 1)[0],
        hint="give another path, or restore the file from a backup",
    )
