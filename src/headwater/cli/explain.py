"""What `headwater logs show --explain` prints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import indent

from headwater.base.text import duration
from headwater.cli.chart import table
from headwater.ops.explain import StepExplained, StreamExplained

_STATE_SHOWN = 200


def text(steps: Sequence[StepExplained]) -> str:
    """A block for each step and, below it, for each of its streams."""
    if not steps:
        return "no step of this run moved rows"
    return "\n\n".join("\n".join(_step(step)) for step in steps)


def _step(step: StepExplained) -> Iterator[str]:
    yield f"{step.step}: {step.outcome}" + (f" after {duration(step.seconds)}" if step.seconds is not None else "")
    if step.problem is not None:
        yield f"  {step.problem.what} [{step.problem.reference}]"
    yield f"  road   {step.road}"
    yield f"  state  {_state(step)}"
    for stream in step.streams:
        yield ""
        yield from (indent(line, "  ") for line in _stream(stream))


def _state(step: StepExplained) -> str:
    if step.state_id is None:
        return "none is kept"
    if step.state is None:
        return f"`{step.state_id}`: none was saved by this run"
    shown = step.state if len(step.state) <= _STATE_SHOWN else f"{step.state[: _STATE_SHOWN - 1]}…"
    times = f"{step.checkpoints:,} times, " if step.checkpoints > 1 else ""
    return f"`{step.state_id}`: saved {times}last {shown}"


def _stream(stream: StreamExplained) -> Iterator[str]:
    stored = stream.stored
    yield stream.stream + (f" → {stored.place}" if stored is not None else "")
    if stored is not None:
        yield f"  method   {stored.method}"
        yield f"  keys     {', '.join(stored.keys) or 'none'}"
        if stored.cursor is not None:
            yield f"  cursor   {stored.cursor}"
    if stream.figures is not None:
        yield f"  rows     {_rows(stream)}"
    if stored is not None and stored.commits:
        yield f"  commits  {stored.commits:,}"
    own = {name for column in stored.columns for name in (column.source, column.name)} if stored is not None else set()
    for change in stream.changes:
        if change.column not in own:
            place = f"{change.column}: " if change.column is not None else ""
            yield f"  {place}{change.change}, {change.detail}"
    if stored is not None and stored.columns:
        rows = [
            (
                column.source,
                "" if column.name == column.source else column.name,
                column.declared,
                column.type,
                "; ".join(stream.notes(column)),
            )
            for column in stored.columns
        ]
        heading = ("column", "as", "declared", "stored", "why")
        kept = [place for place in range(5) if place in (0, 2, 3) or any(row[place] for row in rows)]
        yield ""
        yield indent(table([heading[place] for place in kept], [[row[place] for place in kept] for row in rows]), "  ")


def _rows(stream: StreamExplained) -> str:
    figures = stream.figures
    assert figures is not None
    counts = {
        "read": figures.read,
        "filtered": figures.filtered or None,
        "rejected": figures.rejected or None,
        "loaded": figures.loaded,
        "values repaired": figures.repaired or None,
    }
    parts = [f"{count:,} {name}" for name, count in counts.items() if count is not None]
    if figures.seconds:
        parts.append(f"in {duration(figures.seconds)}")
    if stream.rows_per_second is not None:
        parts.append(f"{stream.rows_per_second:,.0f} rows/s")
    return ", ".join(parts) or "not counted on this road"
