"""The one manifest of a pipeline that counts, and how the next takes its place.

    _manifests/shop.json                     in a folder: replaced by a rename, under a lease
    _manifests/shop/000000124.run-7.json     in an object store: never replaced, the highest number counts

An object store of today has neither a rename nor a lock that dies with its holder. So a writer there looks before
and after it puts a manifest. Of two that put the same number each sees the other's unless it was there first; who
sees another's takes its own back and fails. So at most one of them stands; see docs/guides/files.md for what holds
when one of them dies within that moment.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from headwater.base.failpoint import reach
from headwater.base.lease import lease
from headwater.connect.destinations.manifest import Manifest, decoded, encoded
from headwater.connect.storage import LocalFolder, Storage

FOLDER = "_manifests"
_KEPT = 3  # a reader that was told of a manifest should find it


class Head(Protocol):
    def alone(self) -> AbstractContextManager[None]:
        """Hold off other writers, where that can be done."""
        ...

    def read(self) -> Manifest:
        """The manifest that counts; an empty one when there is none."""
        ...

    def swap(self, before: Manifest, after: Manifest) -> bool:
        """Make `after` what counts. False when another writer came between: then nothing has changed."""
        ...

    def is_dead(self, sequence: int, current: Manifest) -> bool:
        """Whether what was staged for that commit, and is not listed, can't come to count any more."""
        ...


class LeasedHead:
    """In a folder of this machine. `swap` and `is_dead` hold under `alone` only."""

    def __init__(self, storage: LocalFolder, name: str, who: str, on_wait: Callable[[str], None]) -> None:
        self._storage = storage
        self._path = f"{FOLDER}/{name}.json"
        self._who = who
        self._on_wait = on_wait

    def alone(self) -> AbstractContextManager[None]:
        return lease(self._storage.root / self._path, exclusive=True, who=self._who, on_wait=self._on_wait)

    def read(self) -> Manifest:
        raw = self._storage.read(self._path)
        return Manifest() if raw is None else decoded(raw, f"{self._storage.address}/{self._path}")

    def swap(self, _before: Manifest, after: Manifest) -> bool:
        self._storage.write(self._path, encoded(after))
        return True

    def is_dead(self, _sequence: int, _current: Manifest) -> bool:
        return True


class NumberedHead:
    """In an object store."""

    def __init__(self, storage: Storage, name: str) -> None:
        self._storage = storage
        self._folder = f"{FOLDER}/{name}"

    def alone(self) -> AbstractContextManager[None]:
        return nullcontext()

    def read(self) -> Manifest:
        while found := self._storage.names(self._folder):
            raw = self._storage.read(found[-1])
            if raw is not None:  # else it was taken back just now
                return decoded(raw, f"{self._storage.address}/{found[-1]}")
        return Manifest()

    def swap(self, before: Manifest, after: Manifest) -> bool:
        mine = self._path(after)
        expected = [self._path(before)] if before.sequence else []
        if self._storage.names(self._folder)[-1:] != expected:
            return False
        reach("file.written")
        self._storage.write(mine, encoded(after))
        found = self._storage.names(self._folder)
        if any(path >= self._start(after.sequence) and path != mine for path in found):
            self._storage.delete([mine])
            return False
        self._storage.delete(found[:-_KEPT])
        return True

    def is_dead(self, sequence: int, current: Manifest) -> bool:
        """A commit that others may be about to make has a number that is still free."""
        return sequence <= current.sequence

    def _start(self, sequence: int) -> str:
        return f"{self._folder}/{sequence:09}."

    def _path(self, one: Manifest) -> str:
        return f"{self._start(one.sequence)}{one.writer}.json"
