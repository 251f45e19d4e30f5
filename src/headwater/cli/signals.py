"""Ctrl-C and SIGTERM: the first asks the run to stop in order, the second stops it at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from headwater.run.cancel import Cancel


@contextmanager
def cancelling() -> Iterator[Cancel]:
    """A Cancel that SIGINT and SIGTERM set. Handlers do no work of their own: they set a flag."""
    cancel = Cancel()

    def handle(number: int, _frame: FrameType | None) -> None:
        if cancel.is_set():
            cancel.abort()
            raise KeyboardInterrupt
        cancel.set(number)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield cancel
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
