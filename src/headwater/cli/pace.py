"""How often a log that is read line by line hears of progress."""

from __future__ import annotations

from collections.abc import Callable

from headwater.base import clock

_SECONDS = 5.0


class Pace:
    """At most every five seconds of `now` for each step."""

    def __init__(self, now: Callable[[], float] = clock.monotonic) -> None:
        self._now = now
        self._last: dict[str, float] = {}

    def is_due(self, step: str) -> bool:
        """The first time is the start of the clock: a step of a second has no progress to tell."""
        now = self._now()
        if now - self._last.setdefault(step, now) < _SECONDS:
            return False
        self._last[step] = now
        return True
