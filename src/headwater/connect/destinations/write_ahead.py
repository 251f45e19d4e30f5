"""Files that are written while their rows still come, in a thread beside the one that brings them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator

import pyarrow as pa

from headwater.connect.destinations.file_parts import Written

# How much may wait for the thread. Whoever brings more waits himself.
_MOST_BYTES = 32 << 20


class WriteAhead:
    """Has `write` make files of the batches it is given. `write` runs in a thread of its own, once, with an iterator
    that ends when `finish` is called and raises when the files are not wanted. `count` batches were given."""

    def __init__(self, write: Callable[[Iterator[pa.RecordBatch]], Written]) -> None:
        self.count = 0
        self._write = write
        self._waiting: deque[pa.RecordBatch] = deque()
        self._bytes = 0
        self._is_whole = self._is_unwanted = self._is_over = False
        self._written: Written | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="write ahead", daemon=True)
        self._thread.start()

    def put(self, batch: pa.RecordBatch) -> None:
        """The next batch. Waits while too much is waiting."""
        with self._changed:
            self._changed.wait_for(lambda: self._bytes <= _MOST_BYTES or self._is_over)
            self.count += 1
            if not self._is_over:
                self._waiting.append(batch)
                self._bytes += batch.nbytes
                self._changed.notify_all()

    def finish(self) -> Written | None:
        """The files, with all rows that were given. None when something went wrong: then there are no files."""
        with self._changed:
            self._is_whole = True
            self._changed.notify_all()
        self._thread.join()
        return self._written

    def give_up(self) -> None:
        """There are no files any more when this returns."""
        with self._changed:
            self._is_unwanted = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._written = self._write(self._batches())
        except Exception:  # noqa: BLE001 - whoever writes the files again meets it where it can be told
            self._written = None
        finally:
            with self._changed:
                self._is_over = True
                self._waiting.clear()
                self._changed.notify_all()

    def _batches(self) -> Iterator[pa.RecordBatch]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_whole or self._is_unwanted)
                if self._is_unwanted:
                    raise _UnwantedError
                if not self._waiting:
                    return
                batch = self._waiting.popleft()
                self._bytes -= batch.nbytes
                self._changed.notify_all()
            yield batch


class _UnwantedError(Exception):
    pass
