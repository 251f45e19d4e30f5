"""The lines of a log that programs look for in that of Meltano, beside our own.

They are said in projects whose file is `meltano.yml`, where somebody may `grep` for them, and are kept nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from headwater.base import clock
from headwater.model import event as e

_BLAMED = {
    "extractor-failed": "Extractor failed",
    "loader-failed": "Loader failed",
    "mapper-failed": "Mappers failed",
    "timed-out": "Run timed out",
}


def beside(emit: e.Emit) -> e.Emit:
    """A listener that hears each event, and with it the lines that belong to it."""
    run_id = ""

    def both(event: e.Event) -> None:
        nonlocal run_id
        if isinstance(event, e.RunStarted):
            run_id = event.run_id
        emit(event)
        for line in spoken(event, run_id, clock.now()):
            emit(line)

    return both


def spoken(event: e.Event, run_id: str, now: datetime) -> Iterator[e.Notice]:
    match event:
        case e.StepStarted(state_id=str()):
            yield _line(event.step, f"Running job with name '{event.state_id}' and run ID '{run_id}'")
        case e.CheckpointSaved():
            yield _line(event.step, f"Incremental state has been updated at {now.astimezone(UTC)}.")
        case e.StepFinished(outcome=e.Outcome.SUCCESS):
            yield _line(event.step, "Block run completed")
        case e.StepFinished():
            blamed = _BLAMED.get(event.problem.reference) if event.problem else None
            if blamed is not None:
                yield _line(event.step, blamed, e.Level.ERROR)
            yield _line(event.step, "Block run completed", e.Level.ERROR)
        case e.RunFinished():
            yield _line(None, "Run completed")


def _line(step: str | None, text: str, level: e.Level = e.Level.INFO) -> e.Notice:
    return e.Notice(step=step, level=level, text=text)
