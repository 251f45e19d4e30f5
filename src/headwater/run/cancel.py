"""The wish to stop: a flag that any thread may ask, and what is to be done at once when it is set."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from headwater.base.errors import CancelledError, HeadwaterError


class Cancel:
    """First `set`: stop reading, keep what a checkpoint vouches for, end. Then `abort`: end now.

    Both may be called from a signal handler: they take no lock and only send signals to children. The first reason
    stands.
    """

    def __init__(self) -> None:
        self._reason: HeadwaterError | None = None
        self._aborted = False
        self._watchers: dict[object, tuple[Callable[[], None], Callable[[], None]]] = {}

    def set(self, signal_number: int) -> None:
        self.stop(CancelledError(signal_number))

    def stop(self, reason: HeadwaterError) -> None:
        """Set the flag with the error that the run is to end with; idempotent."""
        if self._reason is None:
            self._reason = reason
            for on_set, _ in list(self._watchers.values()):
                on_set()

    def abort(self) -> None:
        self._aborted = True
        for _, on_abort in list(self._watchers.values()):
            on_abort()

    def is_set(self) -> bool:
        return self._reason is not None

    @property
    def reason(self) -> HeadwaterError | None:
        """What the run is to end with; None while nobody stopped it."""
        return self._reason

    def is_aborted(self) -> bool:
        return self._aborted

    def check(self) -> None:
        """Raises the reason when the flag is set."""
        if self._reason is not None:
            raise self._reason

    @contextlib.contextmanager
    def watched(self, on_set: Callable[[], None], on_abort: Callable[[], None]) -> Iterator[None]:
        """Call `on_set` and `on_abort` when it comes to that; at once when it already has. Both must be quick."""
        key = object()
        self._watchers[key] = (on_set, on_abort)
        try:
            if self._reason is not None:
                on_set()
            if self._aborted:
                on_abort()
            yield
        finally:
            del self._watchers[key]
