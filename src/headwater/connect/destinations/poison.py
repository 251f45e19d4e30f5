"""Rows that a database refuses by rules of its own: which they are, and a commit without them.

A database says that something is wrong with a batch, seldom with which row. So halves of it are tried, in transactions
that are rolled back, down to the rows themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
from msgspec import Struct
from msgspec.structs import replace

from headwater.base.errors import RunFailedError
from headwater.connect import types
from headwater.connect.contract import Rejected, Rows, Schema
from headwater.connect.destinations.commit import Commit, StreamPart
from headwater.connect.rejects import OUTDATED
from headwater.connect.singer.write import Writer
from headwater.connect.staging import MISSING, VERSION, has_rider, rider, without_riders

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

    @property
    def reason(self) -> str:
        return self.error.why or self.error.what


class Outdated(Struct, frozen=True, kw_only=True):
    """A row that comes out of quarantine and must not take the place of another, which may be newer."""

    part: StreamPart
    row: int
    reason: str = OUTDATED


class OutdatedError(Exception):
    """Such rows of a stream, by their positions among its rows of the commit."""

    def __init__(self, stream: str, rows: list[int]) -> None:
        super().__init__(stream)
        self.stream = stream
        self.rows = rows


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


def without(commit: Commit, rows: Sequence[Poison | Outdated]) -> Commit:
    """The commit with those rows set aside."""
    streams, rejects = [], list(commit.rejects)
    for part in commit.streams:
        refused = {one.row: one.reason for one in rows if one.part.stream is part.stream}
        streams.append(part.without(refused) if refused else part)
        rejects += _rejected(part, refused)
    return replace(commit, streams=tuple(streams), rejects=rejects)


def refuse_outdated(part: StreamPart, rows: list[int]) -> None:
    """Raises OutdatedError when there are such rows."""
    if rows:
        raise OutdatedError(part.stream.name, rows)


def without_outdated(commit: Commit, error: OutdatedError) -> Commit:
    (part,) = (one for one in commit.streams if one.stream.name == error.stream)
    return without(commit, [Outdated(part=part, row=row) for row in error.rows])


def _search(commit: Commit, part: StreamPart, rows: range, trial: Trial, most: int) -> Iterator[Poison]:
    """In their order. One more than `most` are enough."""
    waiting = [rows]
    count = 0
    while waiting and count <= most:
        rows = waiting.pop()
        alone = part.only((rows,))
        error = trial(replace(commit, streams=(alone,), activations=(), rejects=[], is_trial=True))
        if error is None:
            continue
        if len(rows) == 1:
            count += 1
            yield Poison(part=part, row=rows.start, error=error)
            continue
        middle = rows.start + len(rows) // 2
        waiting += [range(middle, rows.stop), range(rows.start, middle)]


def _values(poison: Poison) -> dict[str, Any]:
    (batch,) = poison.part.only((range(poison.row, poison.row + 1),)).batches()
    (row,) = without_riders(batch).to_pylist()
    return dict(row)


def _rejected(part: StreamPart, refused: dict[int, str]) -> Iterator[Rejected]:
    """The rows as a source would send them, for they did not come as text or are no longer there as such. `refused` has
    the reason by position."""
    if not refused:
        return
    stated, writer = part.stream.schema, Writer()
    columns = pa.schema(list(part.stream.columns.values()))
    schema = Schema(stream=stated.stream, columns=columns, keys=stated.keys, cursor=stated.cursor)
    line = writer.encode(schema).rstrip(b"\n")
    rows = sorted(refused)
    batches = part.only(tuple(range(row, row + 1) for row in rows)).batches()
    for row, batch in zip(rows, batches, strict=True):
        missing = rider(batch, MISSING, pa.list_(pa.string())) if has_rider(batch, MISSING) else None
        one = Rows(stream=stated.stream, batch=without_riders(batch), missing=missing)
        yield Rejected(
            stream=stated.stream,
            record=writer.records(one).rstrip(b"\n"),
            reason=refused[row],
            schema=line,
            version=rider(batch, VERSION, types.INT64)[0].as_py(),
        )
