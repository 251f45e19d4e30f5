"""Files that are either old or new, never half: temp in the same folder, fsync, rename, fsync the folder."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from headwater.base.clock import now
from headwater.base.errors import EnvironmentProblemError
from headwater.base.failpoint import reach

_UNFINISHED = ".headwater-"
# A file has its name for a moment before it is locked.
_YOUNG_SECONDS = 60.0


def write_atomic(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replace `path` with `data`. After a crash the file holds the old bytes or the new ones, never a mixture.

    Raises EnvironmentProblemError (`cannot-write`) naming the path when disk or permissions are in the way;
    the old file is then untouched.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _wipe_left(path)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}{_UNFINISHED}", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                os.fchmod(file.fileno(), mode)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            reach("file.written")
            Path(temporary).replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
            raise
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise cannot_write(path, error) from error


def _wipe_left(path: Path) -> None:
    """Delete what killed processes left of `path`, never what a living one is writing."""
    for left in path.parent.glob(f".{glob.escape(path.name)}{_UNFINISHED}*"):
        with contextlib.suppress(OSError), left.open("rb") as file:
            if now().timestamp() - left.stat().st_mtime > _YOUNG_SECONDS:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                left.unlink()


def cannot_write(path: Path, error: OSError) -> EnvironmentProblemError:
    return EnvironmentProblemError(
        "cannot-write",
        f"cannot write `{path}`: {(error.strerror or str(error)).lower()}",
        hint=f"free space or fix permissions: df -h {path.parent}",
    )


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive kernel lock on `path` (made when absent). It is freed when the process dies."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def private_folder(path: Path) -> Path:
    """Make `path` with mode 0700 (also when it exists)."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o700)
    except OSError as error:
        raise cannot_write(path, error) from error
    return path


def unversioned_folder(path: Path) -> Path:
    """Make `path` as a folder that git leaves alone. One that is there stays as it is."""
    try:
        if not path.is_dir():
            path.mkdir(parents=True, exist_ok=True)
            (path / ".gitignore").write_text("*\n")
    except OSError as error:
        raise cannot_write(path, error) from error
    return path


def files_below(folder: Path, *suffixes: str) -> list[Path]:
    """The files with one of these suffixes, in all folders below, sorted; what is hidden (`.x`) is left out."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix in suffixes
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
