"""Rows that a database refuses by rules of its own: which they are, and a commit without them.

A database says that something is wrong with a batch, seldom with which row. So halves of it are tried, in transactions
that are rolled back, down to the rows themselves.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
from msgspec import Struct
from msgspec.structs import replace

from headwater.base.errors import RunFailedError
from headwater.connect.contract import Rejected
from headwater.connect.destinations.commit import Commit, StreamPart
from headwater.connect.staging import MISSING, VERSION

# With more of them in one commit it is the table that does not fit, not a row.
MOST_ROWS = 100
# What a database may find wrong with a single row.
REFERENCES = frozenset(("value-rejected", "row-too-large", "null-key"))

# Tries a commit and rolls it back; the error of the rows it holds, None when they are fine.
Trial = Callable[[Commit], RunFailedError | None]


class Poison(Struct, frozen=True, kw_only=True):
    """A row that can't be loaded: its position among the stream's rows of the commit, and what the database says."""

    part: StreamPart
    row: int
    error: RunFailedError


def found(commit: Commit, trial: Trial, *, most: int) -> list[Poison] | None:
    """The rows of the commit that are refused each for itself, at most `most` of them; None when there are more. None
    at all means that only together they don't fit."""
    rows: list[Poison] = []
    for part in commit.streams:
        if part.rows:
            rows.extend(_search(commit, part, range(part.rows), trial, most - len(rows)))
        if len(rows) > most:
            return None
    return rows


def named(poison: Poison) -> RunFailedError:
    """The error, saying which row it is. Of its values only the key is told: others may be private."""
    error = poison.error
    values = _values(poison)
    keys = ", ".join(f"{key}={str(values.get(key))[:40]}" for key in poison.part.stream.keys)
    which = f"the row with {keys}" if keys else f"row {poison.row + 1} of this commit"
    return RunFailedError(
        error.reference,
        error.what,
        where=error.where,
        why=f"{which}: {error.why}" if error.why else which,
        hint=error.hint or "correct it, or set such rows aside: headwater config set TAP _on_bad_record quarantine",
    )


def without(commit: Commit, rows: list[Poison]) -> Commit:
    """The commit with those rows set aside."""
    streams = []
    for part in commit.streams:
        refused = sorted(one.row for one in rows if one.part.stream is part.stream)
        streams.append(replace(part, kept=tuple(_others(part.rows, refused))) if refused else part)
    rejects = [
        Rejected(stream=one.part.stream.name, record=_text(_values(one)), reason=one.error.why or one.error.what)
        for one in rows
    ]
    return replace(commit, streams=tuple(streams), rejects=[*commit.rejects, *rejects])


def _search(commit: Commit, part: StreamPart, rows: range, trial: Trial, most: int) -> Iterator[Poison]:
    """In their order. One more than `most` are enough."""
    waiting = [rows]
    count = 0
    while waiting and count <= most:
        rows = waiting.pop()
        alone = replace(part, kept=(rows,))
        error = trial(replace(commit, streams=(alone,), activations=(), rejects=[], is_trial=True))
        if error is None:
            continue
        if len(rows) == 1:
            count += 1
            yield Poison(part=part, row=rows.start, error=error)
            continue
        middle = rows.start + len(rows) // 2
        waiting += [range(middle, rows.stop), range(rows.start, middle)]


def _others(count: int, refused: list[int]) -> Iterator[range]:
    start = 0
    for row in (*refused, count):
        if start < row:
            yield range(start, row)
        start = row + 1


def _values(poison: Poison) -> dict[str, Any]:
    (batch,) = replace(poison.part, kept=(range(poison.row, poison.row + 1),)).batches()
    (row,) = batch.to_pylist()
    return {name: value for name, value in row.items() if name not in (MISSING, VERSION)}


def _text(values: dict[str, Any]) -> bytes:
    """The row as JSON, for a record that did not come as text or is no longer there as such."""
    return json.dumps(values, ensure_ascii=False, default=_plain).encode("utf-8", "surrogatepass")


def _plain(value: Any) -> str:
    if isinstance(value, bytes):
        return value.hex()
    return str(pa.scalar(value)) if hasattr(value, "isoformat") else str(value)
