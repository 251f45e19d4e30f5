"""The lines of a log that programs look for in that of Meltano, beside our own, with their fields.

They are said in projects whose file is `meltano.yml`, where somebody may `grep` for them, and are kept nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from headwater.base import clock
from headwater.cli import words
from headwater.model import event as e

_BLAMED = {
    "extractor-failed": "Extractor failed",
    "loader-failed": "Loader failed",
    "mapper-failed": "Mappers failed",
    "timed-out": "Run timed out",
}


def beside(hear: words.Hear) -> words.Hear:
    """A listener that hears each event, and with it the lines that belong to it."""
    speaker = _Speaker()

    def both(event: words.Heard) -> None:
        hear(event)
        for line in speaker.lines(event, clock.now()):
            hear(line)

    return both


class _Speaker:
    """Needs every event: a line names the run and the place of its step in it."""

    def __init__(self) -> None:
        self._run_id = ""
        self._steps: tuple[str, ...] = ()
        self._pipelines: set[str] = set()

    def lines(self, event: words.Heard, now: datetime) -> Iterator[words.Line]:
        match event:
            case e.RunStarted():
                self._run_id, self._steps = event.run_id, event.steps
            case e.StepStarted(road=str()):
                self._pipelines.add(event.step)
                if event.state_id is not None:
                    text = f"Running job with name '{event.state_id}' and run ID '{self._run_id}'"
                    yield _line(text, step=event.step)
            case e.CheckpointSaved():
                yield _line(f"Incremental state has been updated at {now.astimezone(UTC)}.", step=event.step)
            case e.StepFinished():
                yield from self._finished(event)
            case e.RunFinished():
                status = "success" if event.outcome is e.Outcome.SUCCESS else "failure"
                yield _line("Run completed", duration_seconds=round(event.seconds, 3), status=status)

    def _finished(self, event: e.StepFinished) -> Iterator[words.Line]:
        level, error = e.Level.INFO, None
        if event.outcome is not e.Outcome.SUCCESS:
            level = e.Level.ERROR
            blamed = _BLAMED.get(event.problem.reference) if event.problem else None
            if blamed is not None:
                yield _line(blamed, level, step=event.step)
            error = blamed or (event.problem.what if event.problem else str(event.outcome))
        yield _line(
            "Block run completed",
            level,
            step=event.step,
            set_number=self._steps.index(event.step) if event.step in self._steps else None,
            block_type="ExtractLoadBlocks" if event.step in self._pipelines else "InvokerCommand",
            success=error is None,
            err=error,
            duration_seconds=round(event.seconds, 3),
        )


def _line(text: str, level: e.Level = e.Level.INFO, **fields: Any) -> words.Line:
    return words.Line(level=level, who="headwater", text=text, fields=fields)
