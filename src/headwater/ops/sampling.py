"""A look at what an extractor's streams hold: the first rows of each, and what they say of its columns.

Nothing is loaded, and no state read or written.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import closing
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct

from headwater.base.clock import monotonic
from headwater.base.redact import MASK, Redactor
from headwater.connect import types
from headwater.connect.contract import Rows, Schema
from headwater.model.event import Emit
from headwater.ops import planning, plugins
from headwater.ops.runs import aside
from headwater.ops.selection import extractor_of, offered_catalog
from headwater.ops.tap_subject import Subject
from headwater.ops.workspace import Workspace
from headwater.plan import build
from headwater.plan.options import Options
from headwater.quality.samples import is_personal
from headwater.run import discover
from headwater.run.cancel import Cancel

ROWS = 1000
SECONDS = 10.0  # of a stream
_EXAMPLES = 3
_LOOKED_AT = 1000  # characters
_LONGEST = 30
# So many values tell the type of a column well enough.
_SURE = 100
_NAMES = {"int64": "integer", "float64": "number", "string": "text", "date32": "date", "time64": "time"}

Sure = Literal["sure", "likely", "unknown"]


class ColumnSample(Struct, frozen=True, kw_only=True):
    """`filled` rows have a value, in `nulls` it is null, in `absent` the row has no such field. `sure` says how well
    the values tell the type: at least 100, or all that there are; some; none at all."""

    name: str
    type: str
    filled: int
    nulls: int
    absent: int
    sure: Sure
    examples: tuple[str, ...]


class StreamSample(Struct, frozen=True, kw_only=True):
    """`is_whole`: the stream has no more rows than these."""

    stream: str
    rows: int
    is_whole: bool
    columns: tuple[ColumnSample, ...]


def samples(
    workspace: Workspace,
    name: str,
    *,
    emit: Emit,
    cancel: Cancel,
    only: tuple[str, ...] = (),
    install: str | None = None,
) -> Iterator[StreamSample]:
    """What the first 1,000 rows of each selected stream show, stream by stream, or of those in `only`, selected or not;
    ten seconds are spent on one. Values that look personal, and secrets, are masked. Raises what a run does."""
    plugin = extractor_of(workspace, name)
    plugins.install_as_asked(workspace, [plugin], install, emit=emit)
    step = build.extract(planning.facts(workspace), plugin, Options())
    with aside(workspace, emit=emit, cancel=cancel) as lab:
        subject = Subject(step, lab)
        whole = discover.selected_catalog(step, lab.run, lambda: offered_catalog(step, lab), may_be_empty=bool(only))
        redact = Redactor(step.extractor.secrets)
        for stream in _names(whole, only) if whole is not None else ():
            subject.raw = _alone(whole or {}, stream)
            yield _sample(subject, stream, redact)
            cancel.check()


def _names(catalog: dict[str, Any], only: tuple[str, ...]) -> list[str]:
    names = [stream.get("stream") or stream["tap_stream_id"] for stream in catalog["streams"]]
    chosen = [bool(_top(stream).get("selected", stream.get("selected"))) for stream in catalog["streams"]]
    return [name for name, is_chosen in zip(names, chosen, strict=True) if (name in only if only else is_chosen)]


def _alone(catalog: dict[str, Any], name: str) -> dict[str, Any]:
    """The catalog with nothing but that stream selected, and all of it."""
    result = copy.deepcopy(catalog)
    for stream in result["streams"]:
        is_it = (stream.get("stream") or stream["tap_stream_id"]) == name
        stream["selected"] = _top(stream)["selected"] = is_it
        for entry in stream["metadata"] if is_it else ():
            if entry["breadcrumb"]:
                entry["metadata"].pop("selected", None)
    return result


def _top(stream: dict[str, Any]) -> dict[str, Any]:
    entries = stream.setdefault("metadata", [])
    found = next((entry for entry in entries if not entry["breadcrumb"]), None)
    if found is None:
        found = {"breadcrumb": [], "metadata": {}}
        entries.append(found)
    metadata: dict[str, Any] = found.setdefault("metadata", {})
    return metadata


def _sample(subject: Subject, stream: str, redact: Redactor) -> StreamSample:
    taken, columns, until = _Taken(), pa.schema([]), monotonic() + SECONDS

    def is_enough() -> bool:
        return taken.rows >= ROWS or monotonic() > until

    is_whole = True
    with closing(subject.messages(None, is_enough)) as found:
        for message in found:
            if isinstance(message, Schema) and message.stream == stream:
                columns = message.columns
            elif isinstance(message, Rows) and message.stream == stream:
                taken.take(message)
            if is_enough():
                is_whole = False
                break
    return StreamSample(
        stream=stream,
        rows=taken.rows,
        is_whole=is_whole,
        columns=tuple(taken.column(field, redact, is_whole=is_whole) for field in columns),
    )


class _Taken:
    """What the rows so far show, by column."""

    def __init__(self) -> None:
        self.rows = 0
        self._filled: dict[str, int] = {}
        self._nulls: dict[str, int] = {}
        self._examples: dict[str, list[str]] = {}

    def take(self, rows: Rows) -> None:
        batch = rows.batch.slice(0, ROWS - self.rows)
        self.rows += batch.num_rows
        lost: dict[str, int] = {}
        if rows.missing is not None:
            counted = pc.value_counts(rows.missing.slice(0, batch.num_rows).flatten())
            lost = {one["values"]: one["counts"] for one in counted.to_pylist()}
        for field, values in zip(batch.schema, batch.columns, strict=True):
            name = field.name
            filled = len(values) - values.null_count
            self._filled[name] = self._filled.get(name, 0) + filled
            self._nulls[name] = self._nulls.get(name, 0) + values.null_count - lost.get(name, 0)
            examples = self._examples.setdefault(name, [])
            if filled and len(examples) < _EXAMPLES:
                texts = map(_text, values.slice(0, 100).drop_null().unique().to_pylist())
                examples += [text for text in dict.fromkeys(texts) if text not in examples]

    def column(self, field: pa.Field, redact: Redactor, *, is_whole: bool) -> ColumnSample:
        name = field.name
        filled, nulls = self._filled.get(name, 0), self._nulls.get(name, 0)
        examples = self._examples.get(name, [])[:_EXAMPLES]
        if examples and is_personal(name):
            examples = [MASK]
        sure: Sure = "unknown" if not filled else "sure" if is_whole or filled >= _SURE else "likely"
        return ColumnSample(
            name=name,
            type=_type(field),
            filled=filled,
            nulls=nulls,
            absent=self.rows - filled - nulls,
            sure=sure,
            examples=tuple(MASK if "@" in text else _cut(redact(text)) for text in examples),
        )


def _type(field: pa.Field) -> str:
    if types.is_json(field):
        return "json"
    kind = types.kind(field.type)
    if kind == "decimal":
        return f"decimal({field.type.precision},{field.type.scale})"
    return _NAMES.get(kind, kind)


def _text(value: Any) -> str:
    return f"{len(value):,} bytes" if isinstance(value, bytes) else " ".join(str(value)[:_LOOKED_AT].split())


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
