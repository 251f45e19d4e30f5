"""Events in words: the one place that says what an event is called on a screen or in a log line."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from headwater.base.text import byte_size, counted, duration
from headwater.model import event as e
from headwater.plan import drift

ORDER = {"debug": 0, "info": 1, "warning": 2, "error": 3, "critical": 4, "disabled": 9}


class Line(Struct, frozen=True, kw_only=True):
    """`who` is the plugin that speaks, or `headwater`. `fields` are what a log of JSON lines has beside the text."""

    level: e.Level
    who: str
    text: str
    fields: dict[str, Any] = {}


# What a listener is told: what happened, or a line that stands for no event.
Heard = e.Event | Line
Hear = Callable[[Heard], None]


def line(event: Heard) -> Line | None:
    """An event as one line; None for events that a line log leaves out."""
    match event:
        case Line():
            return event
        case e.PluginLine():
            return Line(level=event.level, who=event.plugin, text=event.text)
        case e.Notice():
            return Line(level=event.level, who="headwater", text=event.text)
        case e.CheckpointSaved():
            return _own(f"checkpoint of `{event.state_id}` saved", level=e.Level.DEBUG)
        case e.RunStarted():
            inside = f" in environment `{event.environment}`" if event.environment else ""
            return _own(f"run {event.run_id} started{inside}")
        case e.StepStarted():
            return _own(f"{event.step}: started")
        case e.Progress():
            return _own(f"{event.step}: {progress(event)}")
        case e.Adjusted():
            return _own(f"{event.stream}{f'.{event.column}' if event.column else ''}: {event.change}, {event.detail}")
        case e.SourceChanged():
            return _own(f"source schema drifted: {drift.sentence(event.change)}", level=e.Level.WARNING)
        case e.StreamStored():
            return _own(f"{event.stream}: in {event.place}, {event.method}", level=e.Level.DEBUG)
        case e.ModelBuilt():
            return _model(event)
        case e.Checked():
            return _check(event)
        case e.Lineage():
            return _own(f"{event.step}: lineage of {len(event.nodes)} nodes", level=e.Level.DEBUG)
        case e.Install():
            return _install(event)
        case e.StepFinished():
            return _step_finished(event)
        case e.RunFinished():
            level = e.Level.INFO if event.outcome is e.Outcome.SUCCESS else e.Level.ERROR
            return _own(f"run {event.outcome} after {duration(event.seconds)}", level=level)


def dated(at: str, line: Line) -> str:
    """A line of a log, as it is written and as `headwater logs show` prints it."""
    return f"{at} [{line.level:<9}] {line.who:<12} {line.text}"


def _own(text: str, *, level: e.Level = e.Level.INFO) -> Line:
    return Line(level=level, who="headwater", text=text)


def _model(event: e.ModelBuilt) -> Line:
    if event.outcome is not e.Outcome.SUCCESS:
        return _own(f"model {event.model}: {event.outcome}, {event.message or ''}", level=e.Level.ERROR)
    if event.skipped:
        return _own(f"model {event.model}: unchanged")
    rows = "" if event.rows is None else f"{counted(event.rows, 'row')}, "
    return _own(f"model {event.model}: built, {rows}{duration(event.seconds)}")


def _check(event: e.Checked) -> Line:
    message = f", {event.message}" if event.message else ""
    if event.outcome is e.Outcome.SUCCESS:
        return _own(f"check {event.check}: passed{message}")
    level = e.Level.WARNING if event.severity == "warn" else e.Level.ERROR
    if not event.failing:  # it could not be asked
        return _own(f"check {event.check}: {event.outcome}{message}", level=level)
    rows = "row" if event.failing == 1 else "rows"
    return _own(f"check {event.check}: {event.failing:,} failing {rows}{message}", level=level)


def _install(event: e.Install) -> Line:
    detail = f", {event.detail}" if event.detail else ""
    took = f" in {duration(event.seconds)}" if event.seconds else ""
    level = e.Level.ERROR if event.status == "failed" else e.Level.INFO
    word = {"started": "installing", "skipped": "is up to date"}.get(event.status, event.status)
    return _own(f"{event.plugin}: {word}{took}{detail}", level=level)


def _step_finished(event: e.StepFinished) -> Line:
    if event.outcome is e.Outcome.SUCCESS:
        return _own(f"{event.step}: done in {duration(event.seconds)}")
    what = f", {event.problem.what}" if event.problem else ""
    return _own(f"{event.step}: {event.outcome} after {duration(event.seconds)}{what}", level=e.Level.ERROR)


def progress(event: e.Progress) -> str:
    """`loading: 3 streams, 120,000 rows, 40,000 rows/s, 3.1 MB/s, 3.0 s`; figures that are unknown are left out."""
    parts = []
    if event.streams:
        parts.append(f"{len(event.streams)} stream{'s' if len(event.streams) > 1 else ''}")
    rows = [figures.read for figures in event.streams if figures.read is not None]
    if rows:
        parts.append(f"{sum(rows):,} rows")
        if event.seconds:
            parts.append(f"{sum(rows) / event.seconds:,.0f} rows/s")
    if event.size and event.seconds:
        parts.append(f"{byte_size(event.size / event.seconds)}/s")
    if event.seconds:
        parts.append(duration(event.seconds))
    return f"{event.phase}: {', '.join(parts)}" if parts else event.phase


SUMMARY_COLUMNS = ("stream", "read", "loaded", "filtered", "rejected", "repaired", "seconds", "checkpoint")


def summary(streams: Sequence[e.StreamFigures], *, saved: bool) -> list[tuple[object, ...]]:
    """Rows under `SUMMARY_COLUMNS`; a figure that a road cannot know stays empty, never 0.

    `saved`: a checkpoint of the step was kept; it is the step's, so it shows in every stream that has none of its own.
    """
    return [
        (
            figures.stream,
            figures.read,
            figures.loaded,
            figures.filtered,
            figures.rejected,
            figures.repaired,
            round(figures.seconds, 1),
            _short(figures.checkpoint) or ("saved" if saved else None),
        )
        for figures in streams
    ]


def rejects_command(state_id: str | None) -> str:
    """The command that shows what a pipeline has set aside."""
    return f"headwater rejects list{f' --state-id {shlex.quote(state_id)}' if state_id else ''}"


def _short(text: str | None, most: int = 40) -> str | None:
    return text if text is None or len(text) <= most else f"{text[: most - 1]}…"
