"""Files of other machines, copied to this one while they are read: once to look at them and once for their rows."""

from __future__ import annotations

import shutil
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from tempfile import mkdtemp
from typing import Self

import msgspec

from headwater.base.errors import EnvironmentProblemError
from headwater.connect.sources.files.find import DataFile
from headwater.connect.sources.files.places import BrokenOffError, Remote

_AT_ONCE = 8
# Copies that were read stay until they are read again, as long as there are no more than so many bytes of them.
_MOST_KEPT = 8 << 30
_TRIES = 3
_PAUSE = 0.5  # seconds before the second try, twice as long before the third


class Copies:
    """All copies are removed when this is closed. For one thread."""

    def __init__(self, folder: Path) -> None:
        self._parent = folder
        self._folder: Path | None = None
        self._count = 0
        self._coming: dict[str, Future[Path]] = {}
        self._sizes: dict[str, int] = {}  # of those that were read, the oldest first
        self._kept = 0

    def near(self, files: Iterable[DataFile]) -> Iterator[tuple[DataFile, DataFile]]:
        """Each file with itself as it can be read here; the next ones are on their way meanwhile.

        Raises as `places.Place` does, and EnvironmentProblemError (`no-scratch-space`).
        """
        waiting: deque[DataFile] = deque()
        pool: ThreadPoolExecutor | None = None
        try:
            for file in files:
                if file.remote is not None:
                    pool = pool or ThreadPoolExecutor(_AT_ONCE)
                    self._ask_for(file.remote, pool)
                waiting.append(file)
                if pool is None or len(waiting) > _AT_ONCE:
                    yield self._at_hand(waiting.popleft(), waiting)
            while waiting:
                yield self._at_hand(waiting.popleft(), waiting)
        finally:
            if pool is not None:
                pool.shutdown(cancel_futures=True)
                self._coming = {address: one for address, one in self._coming.items() if not one.cancelled()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _ask_for(self, remote: Remote, pool: ThreadPoolExecutor) -> None:
        address = remote.found.address
        if address in self._coming:  # another member of the same archive
            return
        if self._folder is None:
            self._parent.mkdir(parents=True, exist_ok=True)
            self._folder = Path(mkdtemp(prefix="files-", dir=self._parent))
        self._count += 1
        self._coming[address] = pool.submit(_copied, remote, self._folder / str(self._count))

    def _at_hand(self, file: DataFile, waiting: Iterable[DataFile]) -> tuple[DataFile, DataFile]:
        if file.remote is None:
            return file, file
        address = file.remote.found.address
        path = self._coming[address].result()
        if address not in self._sizes:
            self._sizes[address] = path.stat().st_size
            self._kept += self._sizes[address]
        if self._kept > _MOST_KEPT:
            needed = {one.remote.found.address for one in waiting if one.remote is not None}
            self._forget(needed | {address})
        return file, msgspec.structs.replace(file, path=path, is_copy=True)

    def _forget(self, needed: set[str]) -> None:
        for address in [one for one in self._sizes if one not in needed]:
            if self._kept <= _MOST_KEPT:
                return
            self._coming.pop(address).result().unlink()
            self._kept -= self._sizes.pop(address)


def _copied(remote: Remote, target: Path) -> Path:
    for attempt in range(1, _TRIES + 1):
        try:
            with remote.place.open(remote.found) as source, target.open("wb") as copy:
                shutil.copyfileobj(source, copy, 1 << 20)
        except BrokenOffError:
            if attempt == _TRIES:
                raise
            time.sleep(_PAUSE * attempt)
        except OSError as error:
            raise EnvironmentProblemError(
                "no-scratch-space",
                f"`{remote.found.key}` can't be copied to this machine",
                why=error.strerror or str(error),
                hint=f"free space there: df -h {target.parent}",
            ) from error
        else:
            break
    return target
