"""Steps side by side, each in a thread of its own."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

from headwater.base.clock import monotonic
from headwater.model.event import Outcome
from headwater.model.plan import ExtractLoad, Step
from headwater.run.cancel import Cancel

_TICK = 0.2
# What a thread is given to end in order after everything was to end at once; a call that hangs may never do.
_GRACE = 15.0


def waves(steps: Sequence[Step], most: int) -> list[tuple[Step, ...]]:
    """Neighbours that may run at the same time: pipelines of different state ids. Whatever is no pipeline stands
    alone: it may need what those before it loaded."""
    if most == 1:
        return [(step,) for step in steps]
    made: list[list[Step]] = []
    for step in steps:
        if made and isinstance(step, ExtractLoad) and _fits(step, made[-1]):
            made[-1].append(step)
        else:
            made.append([step])
    return [tuple(wave) for wave in made]


def side_by_side(steps: Sequence[Step], do: Callable[[Step], Outcome], *, most: int, cancel: Cancel) -> Outcome:
    """Do the steps, up to `most` at a time. After one that failed no other is begun, those that run go on to their
    end. Raises what `do` raised."""
    waiting = deque(steps)
    outcomes: list[Outcome] = []
    raised: list[BaseException] = []

    def work() -> None:
        while waiting and not raised and all(outcome is Outcome.SUCCESS for outcome in outcomes):
            try:
                step = waiting.popleft()
            except IndexError:
                return  # another thread was faster
            try:
                outcomes.append(do(step))
            except BaseException as error:  # noqa: BLE001 - it is raised again, in the thread that waits
                raised.append(error)

    # Daemons: a thread whose call to a server hangs keeps nobody from ending.
    threads = [threading.Thread(target=work, name=f"steps {n}", daemon=True) for n in range(min(most, len(steps)))]
    for thread in threads:
        thread.start()
    try:
        _wait(threads)
    except KeyboardInterrupt:
        cancel.abort()
        _wait(threads, seconds=_GRACE)
        raise
    if raised:
        raise raised[0]
    return next((outcome for outcome in outcomes if outcome is not Outcome.SUCCESS), Outcome.SUCCESS)


def _wait(threads: Sequence[threading.Thread], seconds: float = float("inf")) -> None:
    until = monotonic() + seconds
    for thread in threads:
        while thread.is_alive() and monotonic() < until:
            thread.join(_TICK)


def _fits(step: ExtractLoad, wave: Sequence[Step]) -> bool:
    others = [other for other in wave if isinstance(other, ExtractLoad)]
    return len(others) == len(wave) and all(step.state_id is None or step.state_id != one.state_id for one in others)
