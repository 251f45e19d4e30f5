"""A look at something that may not answer: not longer than allowed, and not beyond the end of the run."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from headwater.base.clock import monotonic
from headwater.base.errors import RunFailedError
from headwater.base.text import duration
from headwater.run.cancel import Cancel

T = TypeVar("T")
_TICK = 0.2


class Patience(NamedTuple):
    """For how many seconds is waited, and what ends the wait at once."""

    seconds: float
    cancel: Cancel

    def look(self, at: Callable[[], T], *, name: str) -> T:
        """What `at` answers, or raises. Raises RunFailedError (`discovery-timeout`), and what the run was stopped with.

        It is asked in a thread of its own, which is left to itself when the wait ends before: a driver that waits for a
        server can't be called off. Programs that it has started end with this process.
        """
        slot: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

        def ask() -> None:
            try:
                slot.put((at(), None))
            except BaseException as error:  # noqa: BLE001 - it is raised where the answer is waited for
                slot.put((None, error))

        threading.Thread(target=ask, name=f"discovery of {name}", daemon=True).start()
        until = monotonic() + self.seconds
        while True:
            try:
                found, error = slot.get(timeout=_TICK)
            except queue.Empty:
                self.cancel.check()
                if monotonic() > until:
                    raise timed_out(name, self.seconds) from None
                continue
            if error is not None:
                raise error
            return found  # type: ignore[return-value]  # there is no error, so it is an answer


def timed_out(name: str, seconds: float) -> RunFailedError:
    return RunFailedError(
        "discovery-timeout",
        f"`{name}` did not say within {duration(seconds)} what its source offers",
        hint=f"to allow more time: headwater config set {name} _discovery_timeout_seconds N",
    )
