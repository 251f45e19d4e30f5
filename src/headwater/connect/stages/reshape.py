"""A stage that leads each stream through steps of its own, and may give it other names.

Every row that comes in goes on, is filtered, or is rejected, once for each name its stream goes on under.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import msgspec
import pyarrow as pa
from msgspec import Raw, Struct
from msgspec.structs import replace

from headwater.base.errors import InputError, RunFailedError
from headwater.connect.contract import ActivateVersion, Checkpoint, Message, Rejected, Rows, Schema
from headwater.connect.singer import shape
from headwater.connect.singer.write import Writer
from headwater.connect.stages.part import Part, Step, Work, lists, masks, numbers, view_of

OnBadRecord = Literal["fail", "quarantine"]


class Route(Struct, frozen=True):
    """A name under which a stream goes on, and the steps that lead there."""

    stream: str
    steps: tuple[Step, ...] = ()


# The routes of a stream by its name; () for a stream that ends here.
Routes = Callable[[str], Sequence[Route]]


class _Line(Struct):
    record: Raw


class _Way(Struct):
    """A route for the stream's present schema."""

    schema: Schema
    works: tuple[Work, ...]
    sent: Schema


class Reshape:
    """The stage. `owner` is named in errors: a row that a step fails on ends the run (`bad-record`) or goes on as
    Rejected, as `on_bad_record` says."""

    def __init__(self, routes: Routes, *, owner: str, on_bad_record: OnBadRecord = "fail") -> None:
        self._routes_of = routes
        self._owner = owner
        self._on_bad_record = on_bad_record
        self._routes: dict[str, tuple[Route, ...]] = {}
        self._ways: dict[str, list[_Way]] = {}
        self._rows: dict[str, int] = {}
        self._takers: dict[str, str] = {}

    def names(self, stream: str) -> tuple[str, ...]:
        """Under which names the stream goes on."""
        return tuple(route.stream for route in self._known(stream))

    def __call__(self, message: Message) -> Sequence[Message]:
        if isinstance(message, Checkpoint):
            return (message,)
        routes = self._known(message.stream)
        match message:
            case Schema():
                self._ways[message.stream] = [_way(message, route) for route in routes]
                return tuple(way.sent for way in self._ways[message.stream])
            case Rows():
                before = self._rows.get(message.stream, 0)
                self._rows[message.stream] = before + message.batch.num_rows
                return [out for way in self._ways[message.stream] for out in self._reshaped(message, way, before)]
            case Rejected():
                return tuple(replace(message, stream=route.stream, stages=message.stages + 1) for route in routes)
            case ActivateVersion():
                return tuple(replace(message, stream=route.stream) for route in routes)

    def _known(self, stream: str) -> tuple[Route, ...]:
        if stream not in self._routes:
            routes = tuple(self._routes_of(stream))
            for route in routes:
                taker = self._takers.setdefault(route.stream, stream)
                if taker != stream or sum(other.stream == route.stream for other in routes) > 1:
                    raise InputError(
                        "stream-name-taken",
                        f"{self._owner}: two streams would be called `{route.stream}`",
                        why=f"`{taker}` and `{stream}`" if taker != stream else f"both come from `{stream}`",
                        hint="give one of them another name",
                    )
            self._routes[stream] = routes
        return self._routes[stream]

    def _reshaped(self, rows: Rows, way: _Way, before: int) -> list[Message]:
        count = rows.batch.num_rows
        part = Part(
            batch=rows.batch,
            origin=numbers(count),
            missing=masks(rows.missing, count),
            repaired=rows.repaired,
            bad={},
        )
        for work in way.works:
            part = work(part)
        if part.bad and self._on_bad_record == "fail":
            row = min(part.bad)
            raise RunFailedError(
                "bad-record",
                f"{self._owner}: row {before + row + 1} of stream `{rows.stream}` cannot go on",
                why=part.bad[row],
                hint="correct the expression, or load the others: headwater config set TAP _on_bad_record quarantine",
            )
        out: list[Message] = []
        if not shape.same(part.batch.schema, way.sent.columns):
            way.sent = replace(way.sent, columns=part.batch.schema)
            out.append(way.sent)
        out.append(_rows(rows, part, way))
        line = Writer().encode(way.schema).rstrip(b"\n") if part.bad else b""
        out += [
            Rejected(
                stream=way.sent.stream,
                record=_text(rows, row),
                reason=reason,
                schema=line,
                version=rows.version,
                stages=1,
            )
            for row, reason in sorted(part.bad.items())
        ]
        return out


def _way(schema: Schema, route: Route) -> _Way:
    view, works = view_of(schema), []
    for step in route.steps:
        view, work = step.ready(view)
        works.append(work)
    columns = view.columns.remove_metadata() if view.columns.metadata else view.columns
    sent = replace(schema, stream=route.stream, columns=columns, keys=view.keys, cursor=view.cursor)
    return _Way(schema, tuple(works), sent)


def _rows(rows: Rows, part: Part, way: _Way) -> Rows:
    names = set(part.batch.schema.names)
    missing = {name: mask for name, mask in part.missing.items() if name in names}
    return replace(
        rows,
        stream=way.sent.stream,
        batch=part.batch,
        missing=lists(missing, part.batch.num_rows),
        repaired={name: count for name, count in part.repaired.items() if name in names},
    )


def _text(rows: Rows, row: int) -> bytes:
    """A row as the JSON text of a record, as it was before this stage."""
    missing = None if rows.missing is None else rows.missing.slice(row, 1)
    one = Rows(stream=rows.stream, batch=_slice(rows.batch, row), missing=missing)
    return bytes(msgspec.json.decode(Writer().encode(one), type=_Line).record)


def _slice(batch: pa.RecordBatch, row: int) -> pa.RecordBatch:
    return batch.slice(row, 1)
