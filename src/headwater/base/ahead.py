"""Iterators that are read ahead in threads of their own, bounded by bytes.

`interleaved` merges several, of which a few are read at once; `ahead` reads one. What a reader yields comes out in its
own order. Nothing polls: who has nothing to do waits for a condition.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Beat(NamedTuple):
    """What the caller does while it waits: `act` is called, in the caller's thread, after `seconds` without an item."""

    seconds: float
    act: Callable[[], None]


def ahead(
    items: Iterator[T],
    *,
    budget_bytes: int,
    size_of: Callable[[T], int],
    beat: Beat | None = None,
    unblock: Callable[[], bool | None] | None = None,
) -> Generator[T, None, None]:
    """The same items, made in a thread of their own while those before are in use. See `interleaved`."""
    return interleaved([lambda: items], jobs=1, budget_bytes=budget_bytes, size_of=size_of, beat=beat, unblock=unblock)


def interleaved(
    readers: Sequence[Callable[[], Iterator[T]]],
    *,
    jobs: int,
    budget_bytes: int,
    size_of: Callable[[T], int],
    beat: Beat | None = None,
    unblock: Callable[[], bool | None] | None = None,
) -> Generator[T, None, None]:
    """What the readers yield, up to `jobs` of them at a time and begun in their order, each in a thread of its own.

    A reader waits while items of `budget_bytes` are waiting to be taken, and no other overtakes it then; an item that
    is larger passes alone. An error in a reader comes out after what that reader had yielded before, and ends all of
    them. When the caller closes this iterator or lets an error through it, every reader's iterator is closed in its
    thread, and the threads are waited for. `unblock` is called before that wait when it is the caller who ends it: to
    end what a reader may be waiting for. When it answers false it could not, and the threads are left to themselves.
    """
    crew = _Crew(readers, budget_bytes, size_of)
    threads = [
        threading.Thread(target=crew.work, name="ahead", daemon=True) for _ in range(min(max(1, jobs), len(readers)))
    ]
    is_stuck = False
    try:
        for thread in threads:
            thread.start()
        yield from crew.items(beat)
    except BaseException as error:
        if unblock is not None and error is not crew.error:
            crew.stop()
            is_stuck = unblock() is False
        raise
    finally:
        crew.stop()
        for thread in threads:
            if thread.ident is not None and not is_stuck:
                thread.join()


class _Crew(Generic[T]):
    def __init__(
        self, readers: Sequence[Callable[[], Iterator[T]]], budget_bytes: int, size_of: Callable[[T], int]
    ) -> None:
        self._due = deque(readers)
        self._unfinished = len(readers)
        self._budget = budget_bytes
        self._size_of = size_of
        self._waiting: deque[tuple[T, int]] = deque()
        self._line: deque[object] = deque()  # of those who have an item to put
        self._bytes = 0
        self.error: BaseException | None = None
        self._is_stopped = False
        lock = threading.Lock()
        self._came = threading.Condition(lock)
        self._went = threading.Condition(lock)

    def work(self) -> None:
        """Read one reader after another until none is left."""
        while (reader := self._next()) is not None:
            error: BaseException | None = None
            try:
                self._drain(reader())
            except BaseException as caught:  # noqa: BLE001 - it is raised again where the items are taken
                error = caught
            with self._came:
                self._unfinished -= 1
                if error is not None and self.error is None:
                    self.error = error
                    self._went.notify_all()
                self._came.notify()

    def items(self, beat: Beat | None) -> Iterator[T]:
        while True:
            with self._came:
                is_idle = False
                while not self._waiting and self.error is None and self._unfinished and not is_idle:
                    is_idle = not self._came.wait(beat.seconds if beat else None)
                if self._waiting:
                    is_idle = False
                    item, size = self._waiting.popleft()
                    self._bytes -= size
                    self._went.notify_all()
                elif self.error is not None:
                    raise self.error
                elif not self._unfinished:
                    return
            if not is_idle:
                yield item
            elif beat is not None:
                beat.act()

    def stop(self) -> None:
        with self._went:
            self._is_stopped = True
            self._went.notify_all()

    def _is_over(self) -> bool:
        return self._is_stopped or self.error is not None

    def _next(self) -> Callable[[], Iterator[T]] | None:
        with self._went:
            if self._is_over():
                return None
            return self._due.popleft() if self._due else None

    def _drain(self, items: Iterator[T]) -> None:
        try:
            for item in items:
                if not self._put(item):
                    return
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()

    def _put(self, item: T) -> bool:
        """False when nobody wants it any more."""
        size, ticket = self._size_of(item), object()
        with self._went:
            self._line.append(ticket)
            while not self._is_over() and (
                self._line[0] is not ticket or (self._waiting and self._bytes + size > self._budget)
            ):
                self._went.wait()
            if self._is_over():
                return False
            self._line.popleft()
            if self._line:
                self._went.notify_all()
            self._waiting.append((item, size))
            self._bytes += size
            self._came.notify()
            return True
