"""Where a destination keeps whole files: a folder of this machine, or a prefix of an object store.

Both keep the same few promises, so what is built on them is written once. Paths are relative, with `/`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from headwater.base.files import cannot_write, write_atomic


class Storage(Protocol):
    """Raises EnvironmentProblemError when the place is in the way; no secret is in its message."""

    address: str  # as the user wrote it

    def read(self, path: str) -> bytes | None:
        """The whole file; None when there is none."""
        ...

    def write(self, path: str, data: bytes) -> None:
        """Put a small file, whole or not at all. It is durable when this returns, and so is every sink before it."""
        ...

    def sink(self, path: str) -> AbstractContextManager[pa.NativeFile]:
        """A new file to write into. When the block fails, the file is gone; what was there before may be too."""
        ...

    def names(self, folder: str) -> list[str]:
        """The files below a folder, by their paths from the root, sorted; [] when there is no such folder."""
        ...

    def move(self, moves: Iterable[tuple[str, str]]) -> None:
        """From → to, each. What was moved already counts as done."""
        ...

    def delete(self, paths: Iterable[str]) -> None:
        """What is gone already counts as done."""
        ...

    def prune(self, folder: str) -> None:
        """Remove the empty folders below a folder, and itself when it is empty then."""
        ...


class LocalFolder:
    """A folder of this machine; it is made when it is first written to."""

    def __init__(self, folder: str) -> None:
        self.address = folder
        self.root = Path(folder).expanduser()
        self._unsynced: set[Path] = set()

    def read(self, path: str) -> bytes | None:
        try:
            return (self.root / path).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, path: str, data: bytes) -> None:
        self._sync()
        write_atomic(self.root / path, data)

    @contextmanager
    def sink(self, path: str) -> Iterator[pa.NativeFile]:
        file = self.root / path
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            try:
                with pa.OSFile(str(file), "wb") as stream:
                    yield stream
                _fsync(file)
            except BaseException:
                file.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise cannot_write(file, error) from error
        self._unsynced |= {folder for folder in file.parents if folder.is_relative_to(self.root)}

    def names(self, folder: str) -> list[str]:
        found = (self.root / folder).rglob("*")
        return sorted(path.relative_to(self.root).as_posix() for path in found if path.is_file())

    def move(self, moves: Iterable[tuple[str, str]]) -> None:
        try:
            for source, target in moves:
                if (self.root / source).exists():
                    (self.root / target).parent.mkdir(parents=True, exist_ok=True)
                    (self.root / source).replace(self.root / target)
                    self._unsynced |= {(self.root / target).parent, (self.root / target).parent.parent}
        except OSError as error:
            raise cannot_write(self.root, error) from error
        self._sync()

    def delete(self, paths: Iterable[str]) -> None:
        try:
            for path in paths:
                (self.root / path).unlink(missing_ok=True)
                self._unsynced.add((self.root / path).parent)
        except OSError as error:
            raise cannot_write(self.root, error) from error
        self._sync()

    def prune(self, folder: str) -> None:
        for path, _, _ in os.walk(self.root / folder, topdown=False):
            try:
                Path(path).rmdir()
            except OSError:  # has files, or is gone
                continue
            self._unsynced.discard(Path(path))

    def _sync(self) -> None:
        """A new name is durable when its folder is."""
        try:
            for folder in sorted(self._unsynced):
                if folder.is_dir():
                    _fsync(folder)
        except OSError as error:
            raise cannot_write(self.root, error) from error
        self._unsynced.clear()


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
