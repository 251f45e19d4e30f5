"""Executes a plan: its steps in order or side by side, each by the executor for its type. All that happens is an
event."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any

from msgspec import Struct

from headwater import __version__
from headwater.base import clock
from headwater.base.errors import CancelledError, EnvironmentProblemError, HeadwaterError, RunFailedError
from headwater.base.text import duration
from headwater.model.event import (
    Emit,
    Event,
    Level,
    Notice,
    Outcome,
    Problem,
    Progress,
    RunFinished,
    RunStarted,
    StepFinished,
    StepStarted,
    StreamFigures,
)
from headwater.model.plan import ExtractLoad, Plan, Step
from headwater.run.abreast import side_by_side, waves
from headwater.run.attempts import attempts
from headwater.run.cancel import Cancel

__all__ = ["Cancel", "Executor", "Run", "execute", "problem"]


class Run(Struct, frozen=True, kw_only=True):
    """What an executor is given beside its step. `emit` may be called from any thread."""

    plan: Plan
    emit: Emit
    cancel: Cancel

    def tell(self, step: str, level: Level, text: str) -> None:
        self.emit(Notice(step=step, level=level, text=text))


# So long, and no longer than its time limit, a run that was stopped for that may take to end in order.
_MOST_GRACE_SECONDS = 30.0

# Does a step, raising a HeadwaterError when it fails, and returns what was moved.
Executor = Callable[[Any, Run], tuple[StreamFigures, ...]]


def execute(plan: Plan, executors: Mapping[type[Step], Executor], *, emit: Emit, cancel: Cancel) -> Outcome:
    """Do the steps of a plan; the first that doesn't succeed ends the run.

    Never raises for a step that failed: its StepFinished holds the problem. An error that is no HeadwaterError is
    a bug of ours: the run is closed with events as always, then it is raised.
    """
    emit = _one_at_a_time(emit)
    started = clock.monotonic()
    names = tuple(step.name for step in plan.steps)
    emit(RunStarted(run_id=plan.run_id, environment=plan.environment, steps=names, version=__version__))
    outcome = Outcome.SUCCESS
    try:
        with _deadline(plan.timeout_seconds, cancel):
            run = Run(plan=plan, emit=emit, cancel=cancel)
            for wave in waves(plan.steps, plan.parallel):
                outcome = Outcome.FAILED  # until the step says otherwise, also when it raises
                if len(wave) == 1:
                    outcome = _do(wave[0], executors[type(wave[0])], run)
                else:
                    outcome = side_by_side(
                        wave, lambda step: _do(step, executors[type(step)], run), most=plan.parallel, cancel=cancel
                    )
                if outcome is not Outcome.SUCCESS:
                    break
    finally:
        emit(RunFinished(run_id=plan.run_id, outcome=outcome, seconds=clock.monotonic() - started))
    return outcome


def problem(error: HeadwaterError) -> Problem:
    return Problem(
        reference=error.reference,
        what=error.what,
        where=str(error.where) if error.where else None,
        why=error.why,
        hint=error.hint,
        exit_code=int(error.exit_code),
        program_code=error.program_code,
    )


def _do(step: Step, executor: Executor, run: Run) -> Outcome:
    started = clock.monotonic()
    figures: tuple[StreamFigures, ...] = ()

    def emit(event: Event) -> None:
        nonlocal figures
        if isinstance(event, Progress):
            figures = event.streams  # what a failed step is known to have moved
        run.emit(event)

    def finish(outcome: Outcome, found: Problem | None = None) -> Outcome:
        seconds = clock.monotonic() - started
        run.emit(StepFinished(step=step.name, outcome=outcome, seconds=seconds, streams=figures, problem=found))
        return outcome

    run.emit(_started(step))
    try:
        run.cancel.check()
        inner = Run(plan=run.plan, emit=emit, cancel=run.cancel)
        figures = attempts(
            lambda: executor(step, inner),
            retries=step.retries,
            pause_seconds=run.plan.retry_seconds,
            cancel=run.cancel,
            tell=lambda text: run.tell(step.name, Level.WARNING, text),
        )
    except CancelledError as error:
        return finish(Outcome.CANCELLED, problem(error))
    except HeadwaterError as error:
        return finish(Outcome.FAILED, problem(error))
    except OSError as error:
        return finish(Outcome.FAILED, problem(_machine(error)))
    except BaseException as error:
        # The second signal, or the end of what a run had left after its time limit. A library may have made an error of
        # its own of it.
        if isinstance(error, KeyboardInterrupt) or run.cancel.is_aborted():
            reason = run.cancel.reason
            if reason is not None and not isinstance(reason, CancelledError):
                return finish(Outcome.FAILED, problem(reason))
            finish(Outcome.CANCELLED, problem(CancelledError(signal.SIGINT)))
            raise KeyboardInterrupt from error
        finish(Outcome.FAILED, Problem(reference="bug", what=f"unexpected {type(error).__name__}: {error}"))
        raise
    return finish(Outcome.SUCCESS)


def _started(step: Step) -> StepStarted:
    if not isinstance(step, ExtractLoad):
        return StepStarted(step=step.name)
    road = step.extractor.name
    blocks = (step.extractor, *step.mappers, step.loader)
    for one, other in pairwise(blocks):
        road += f" {'─►' if one.native is not None and other.native is not None else '═►'} {other.name}"
    return StepStarted(step=step.name, state_id=step.state_id, road=road, streams=step.select_filter)


def _machine(error: OSError) -> EnvironmentProblemError:
    place = f"`{error.filename}`: " if error.filename else ""
    return EnvironmentProblemError(
        "machine", f"{place}{(error.strerror or str(error)).lower()}", hint="df -h; free disk space or fix permissions"
    )


def _one_at_a_time(emit: Emit) -> Emit:
    lock = threading.RLock()

    def one(event: Event) -> None:
        with lock:
            emit(event)

    return one


@contextlib.contextmanager
def _deadline(seconds: float | None, cancel: Cancel) -> Iterator[None]:
    if seconds is None:
        yield
        return
    reason = RunFailedError(
        "timed-out",
        f"stopped after {duration(seconds)}, the time limit of the run",
        hint="headwater run --timeout 7200",
    )
    is_over = threading.Event()

    def watch() -> None:
        if is_over.wait(seconds):
            return
        cancel.stop(reason)
        # What waits for a server that hangs hears of nothing but a signal, and so may what cleans up behind it.
        while not is_over.wait(min(seconds, _MOST_GRACE_SECONDS)):
            cancel.abort()
            if me is threading.main_thread():
                signal.pthread_kill(me.ident or 0, signal.SIGINT)

    me = threading.current_thread()
    threading.Thread(target=watch, name="deadline", daemon=True).start()
    try:
        yield
    finally:
        is_over.set()
