"""Ctrl-C and SIGTERM. The first asks a run to stop in order, the second stops it at once; other commands end at the
first."""

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


@contextmanager
def interruptible() -> Iterator[None]:
    """A Ctrl-C is a KeyboardInterrupt here, also when a library in which it came makes an error of its own of it."""
    is_interrupted = False

    def handle(_number: int, _frame: FrameType | None) -> None:
        nonlocal is_interrupted
        is_interrupted = True
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    except Exception as error:
        if is_interrupted:
            raise KeyboardInterrupt from error
        raise
    finally:
        signal.signal(signal.SIGINT, before)
