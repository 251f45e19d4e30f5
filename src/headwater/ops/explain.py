"""What a run did to each stream, put together from its events."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct, field

from headwater.model.event import (
    Adjusted,
    CheckpointSaved,
    ColumnStored,
    Event,
    Outcome,
    Problem,
    StepFinished,
    StepStarted,
    StreamFigures,
    StreamStored,
)

# Below that a rate says nothing.
_LEAST_SECONDS = 0.1


class StreamExplained(Struct, kw_only=True):
    """`figures` are None for a stream that the road could not count; `stored` for one that a program loaded, or of
    which nothing was committed. `changes` are what the destination adjusted."""

    stream: str
    figures: StreamFigures | None = None
    rows_per_second: float | None = None
    stored: StreamStored | None = None
    changes: list[Adjusted] = field(default_factory=list)

    def notes(self, column: ColumnStored) -> list[str]:
        """Why the column stands as it does, in words."""
        found = list(column.why)
        if column.repaired:
            found.append(f"{column.repaired:,} value{'s' * (column.repaired > 1)} changed to fit {column.declared}")
        found += [
            f"{change.change}: {change.detail}" + (f" ({change.count:,})" if change.count > 1 else "")
            for change in self.changes
            if change.column in (column.source, column.name) and change.change != "renamed"
        ]
        return found


class StepExplained(Struct, kw_only=True):
    """`state` is that of the last checkpoint, which stands with the data; None when none was saved."""

    step: str
    road: str | None = None
    state_id: str | None = None
    outcome: Outcome = Outcome.RUNNING
    problem: Problem | None = None
    seconds: float | None = None
    checkpoints: int = 0
    state: str | None = None
    streams: list[StreamExplained] = field(default_factory=list)


def explain(events: Iterable[Event]) -> list[StepExplained]:
    """The steps that moved rows, in order, each with its streams in order of name."""
    steps: dict[str, StepExplained] = {}
    for event in events:
        if isinstance(event, StepStarted) and event.road is not None:
            steps[event.step] = StepExplained(step=event.step, road=event.road, state_id=event.state_id)
        elif isinstance(event, Adjusted | StreamStored | CheckpointSaved | StepFinished):
            step = steps.get(event.step)
            if step is not None:
                _take(step, event)
    for step in steps.values():
        step.streams.sort(key=lambda one: one.stream)
    return list(steps.values())


def _take(step: StepExplained, event: Adjusted | StreamStored | CheckpointSaved | StepFinished) -> None:
    match event:
        case CheckpointSaved():
            step.checkpoints += 1
            step.state = event.state
        case Adjusted():
            _stream(step, event.stream).changes.append(event)
        case StreamStored():
            _stream(step, event.stream).stored = event
        case StepFinished():
            step.outcome, step.problem, step.seconds = event.outcome, event.problem, event.seconds
            for figures in event.streams:
                stream = _stream(step, figures.stream)
                stream.figures = figures
                if figures.read is not None and figures.seconds >= _LEAST_SECONDS:
                    stream.rows_per_second = round(figures.read / figures.seconds, 1)


def _stream(step: StepExplained, name: str) -> StreamExplained:
    found = next((one for one in step.streams if one.stream == name), None)
    if found is None:
        found = StreamExplained(stream=name)
        step.streams.append(found)
    return found
