"""Doing a step again when it failed."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from headwater.base.clock import monotonic
from headwater.base.errors import HeadwaterError, InputError
from headwater.base.text import duration
from headwater.run.cancel import Cancel

_T = TypeVar("_T")
_LONGEST_PAUSE = 300.0
_TICK = 0.1


def attempts(
    work: Callable[[], _T], *, retries: int, pause_seconds: float, cancel: Cancel, tell: Callable[[str], None]
) -> _T:
    """What `work` answers, called again up to `retries` times while it fails. What the user wrote is wrong stays wrong:
    an InputError is raised at once, and so is everything after a wish to stop.

    The pause doubles each time, up to five minutes, and is 0.5 to 1.5 times as long by chance: pipelines that failed
    together don't all come back together.
    """
    for attempt in range(1, retries + 1):
        try:
            return work()
        except InputError:
            raise
        except (HeadwaterError, OSError) as error:
            if cancel.is_set():
                raise
            pause = pause_after(attempt, pause_seconds, random.random())  # noqa: S311 - no secret
            what = error.what if isinstance(error, HeadwaterError) else str(error)
            tell(f"attempt {attempt} of {retries + 1} failed: {what}; the next one in {duration(pause)}")
            _rest(pause, cancel)
    return work()


def pause_after(attempt: int, seconds: float, chance: float) -> float:
    """How long to wait after the n-th attempt; `chance` is from 0 to 1."""
    return float(min(_LONGEST_PAUSE, seconds * 2 ** (attempt - 1)) * (0.5 + chance))


def _rest(seconds: float, cancel: Cancel) -> None:
    until = monotonic() + seconds
    while monotonic() < until:
        cancel.check()
        time.sleep(min(_TICK, seconds))
    cancel.check()
