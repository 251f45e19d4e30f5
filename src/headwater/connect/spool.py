"""Rows that wait for their commit: in memory first, in a private file when memory is wanted elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from pyarrow import ipc

from headwater.base.failpoint import reach
from headwater.base.files import cannot_write
from headwater.connect.contract import StartOverError


class _Size(NamedTuple):
    rows: int
    bytes: int


class Spool:
    """Record batches in the order they were added, whatever their schemas. Each is given back as it was."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._held: list[pa.RecordBatch] = []
        self._files: list[tuple[Path, int]] = []  # with the number of batches in each
        self._skip = 0  # batches of the first file that were dropped
        self._forgotten = 0  # batches, the first ones, that still count and can't be given back
        self._sizes: list[_Size] = []
        self._written = 0
        self.memory = 0

    def __len__(self) -> int:
        """The number of batches."""
        return len(self._sizes)

    def add(self, batch: pa.RecordBatch) -> int:
        """Answers its size in bytes: Arrow counts them each time that it is asked."""
        size = _Size(batch.num_rows, batch.nbytes)
        self._held.append(batch)
        self._sizes.append(size)
        self.memory += size.bytes
        return size.bytes

    def rows(self, count: int) -> int:
        """How many rows the first `count` batches hold."""
        return sum(size.rows for size in islice(self._sizes, count))

    def bytes(self) -> int:
        return sum(size.bytes for size in self._sizes)

    def has_forgotten(self) -> bool:
        return self._forgotten > 0

    def first(self, count: int) -> Iterator[pa.RecordBatch]:
        """The first `count` batches; can be asked for again. Raises StartOverError, as `between` does."""
        return self.between(0, count)

    def between(self, start: int, end: int) -> Iterator[pa.RecordBatch]:
        """The batches from number `start` up to, not including, `end`. Raises StartOverError when one of them is
        forgotten."""
        if start >= end:
            return
        if start < self._forgotten:
            raise StartOverError("rows that were sent ahead of their commit have to be sent again")
        start, end = start + self._skip - self._forgotten, end + self._skip - self._forgotten
        for file, count in self._files:
            if start < min(count, end):
                with pa.memory_map(str(file)) as source:
                    reader = ipc.open_file(source)
                    for number in range(start, min(count, end)):
                        yield reader.get_batch(number)
            start, end = max(0, start - count), end - count
        yield from islice(self._held, start, max(0, end))

    def forget(self, count: int) -> None:
        """Have the first `count` batches count only: they will be dropped, and never again asked for."""
        self._let_go(count - self._forgotten, self._sizes[self._forgotten : count])
        self._forgotten = max(self._forgotten, count)

    def drop(self, count: int) -> None:
        """Let go of the first `count` batches. The next one is the first then."""
        self._let_go(count - self._forgotten, self._sizes[self._forgotten : count])
        self._forgotten = max(0, self._forgotten - count)
        del self._sizes[:count]

    def _let_go(self, count: int, sizes: list[_Size]) -> None:
        """Of those that can be given back the first `count`, which have these sizes."""
        count = max(0, count)
        while count and self._files:
            file, batches = self._files[0]
            taken = min(count, batches - self._skip)
            count -= taken
            self._skip += taken
            if self._skip == batches:
                file.unlink(missing_ok=True)
                self._files.pop(0)
                self._skip = 0
        self.memory -= sum(size.bytes for size in sizes[len(sizes) - count :])
        del self._held[:count]

    def spill(self) -> None:
        """Move what is held in memory to files. Raises EnvironmentProblemError (`cannot-write`) on a full disk."""
        start = 0
        for end in range(1, len(self._held) + 1):
            if end == len(self._held) or self._held[end].schema != self._held[start].schema:
                self._write(self._held[start:end])
                start = end
        self._held.clear()
        self.memory = 0

    def _write(self, batches: list[pa.RecordBatch]) -> None:
        path = self._folder / f"{self._name}-{self._written}.arrow"
        self._written += 1
        # Not compressed: that would take as long as a database takes for the rows.
        options = ipc.IpcWriteOptions()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with ipc.new_file(str(path), batches[0].schema, options=options) as writer:
                for batch in batches:
                    writer.write_batch(batch)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise cannot_write(path, error) from error
        self._files.append((path, len(batches)))
        reach("spool.written")
