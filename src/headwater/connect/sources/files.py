"""CSV, TSV, JSON lines and Parquet files, plain, gzipped or zipped, read file by file as they come and change.

A file that was read is not read again while it stays the same. A new file is added. A changed file is read again:
with keys its rows replace the old ones, without keys the whole stream is replaced, so that no row stands twice.
The rows of a file that vanished stay until the stream is replaced.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import Any, cast

import msgspec
import pyarrow as pa
from msgspec import Struct

from headwater.base.ahead import interleaved
from headwater.base.errors import InputError
from headwater.base.text import did_you_mean, listed
from headwater.connect.contract import Checkpoint, Message, ReadRequest, Rows, Schema, StartOverError
from headwater.connect.singer.schema import json_schema
from headwater.connect.sources import files_csv, files_jsonl, files_parquet, files_state
from headwater.connect.sources.files_find import DataFile, StreamFiles, streams
from headwater.connect.sources.files_format import Format, Piece, UnexpectedError
from headwater.connect.sources.files_open import Fingerprint, changed_while_read, digest, fingerprint
from headwater.connect.sources.files_settings import Settings
from headwater.connect.sources.files_state import Due, FileState, State
from headwater.connect.sources.source_state import decoded
from headwater.connect.sources.text_types import TEXT, Kind, Look, field_of, joined
from headwater.connect.stages.select import table_keys, taken
from headwater.model.catalog import Catalog, CatalogStream, Metadata

__all__ = ["Settings", "discover", "read", "signature"]

_FORMATS: dict[str, Format] = {
    "csv": cast("Format", files_csv),
    "jsonl": cast("Format", files_jsonl),
    "parquet": cast("Format", files_parquet),
}


# How many bytes a discovery looks at: of a file, of a stream, and of a file when those of the stream are used up.
_SAMPLE = 8 << 20
_SAMPLES = 64 << 20
_LEAST_SAMPLE = 64 << 10
# So much is read without a checkpoint, where it need not be read twice for that.
_MOST_AT_ONCE = 2 << 30
# Marks a column of the catalog that had no value in what was looked at: any type may come yet.
_UNSEEN = "no-value-seen"


class _Work(Struct, frozen=True, kw_only=True):
    """A selected stream and what is to be read of it."""

    stream: StreamFiles
    takes: Callable[[str], bool]
    forced: dict[str, Look]
    due: Due


class _Done(Struct, frozen=True, kw_only=True):
    """How far a file of a stream was delivered by the rows before; or, without a file, that the stream is complete."""

    stream: str
    key: str = ""
    entry: FileState | None = None


class _Types(Struct, frozen=True, kw_only=True):
    """What was seen in the columns of a stream, which is delivered from here on."""

    stream: str
    types: dict[str, Look]


_Item = Message | _Done | _Types


def discover(settings: Settings) -> Catalog:
    """Every stream with the columns and types that the beginnings of its files show. A read looks at what it
    delivers as a whole, so a column may turn out wider there, and a JSON lines file may have more of them.

    The same files give the same catalog. A stream without any column is left out.
    """
    found = []
    for stream in streams(settings):
        looks: dict[str, Look] = {}
        left = _SAMPLES
        for file in stream.files:
            most = max(_LEAST_SAMPLE, min(_SAMPLE, left))
            _join(looks, _FORMATS[file.format].looks(file, lambda _name: True, most))
            left -= min(most, fingerprint(file).size)
        if looks:
            _require_keys(stream, looks)
            found.append(_catalog_stream(stream, looks))
    return Catalog(streams=found)


def signature(settings: Settings) -> str:
    """The settings, and the name, size and time of change of each file."""
    found = [(stream.name, file.key, fingerprint(file)) for stream in streams(settings) for file in stream.files]
    return hashlib.sha256(msgspec.json.encode((settings, found))).hexdigest()


def read(settings: Settings, request: ReadRequest) -> Iterator[Message]:
    """The rows of new and changed files, a checkpoint after each batch; goes on in the middle of a file. Up to
    `request.jobs` streams come at a time.

    Streams that are replaced come last, and only the last checkpoint of all covers them: until the destination
    has swapped them the old rows stand. Raises InputError for settings and keys that do not fit, RunFailedError
    naming file and line for a file that is broken or changes while it is read.
    """
    state = decoded(request.state, State, of="the files source")
    works = list(_selected(settings, request.catalog, state))
    if not (yield from _all([work for work in works if not work.due.replace], state, state, request)):
        return
    after = msgspec.json.decode(msgspec.json.encode(state), type=State)
    replaced = [work for work in works if work.due.replace]
    after.files.update({work.stream.name: {} for work in replaced})
    if (yield from _all(replaced, after, state, request)):
        yield _checkpoint(after)


def _selected(settings: Settings, catalog: Catalog, state: State) -> Iterator[_Work]:
    entries = {entry.name: entry for entry in catalog.streams}
    for stream in streams(settings):
        entry = entries.get(stream.name)
        selection = taken(entry) if entry else None
        if entry is None or selection is None:
            continue
        keys = table_keys(entry)
        keyed = stream if keys is None else msgspec.structs.replace(stream, keys=tuple(keys))
        due, files = files_state.due(keyed, state.files.get(stream.name, {}))
        if not due.replace:
            state.files[stream.name] = files
        yield _Work(stream=keyed, takes=selection.takes, forced=_forced(entry), due=due)


def _all(works: Sequence[_Work], state: State, safe: State, request: ReadRequest) -> Generator[Message, None, bool]:
    """Delivers what is due of the streams and notes it in `state`; checkpoints are of `safe`. False: told to stop.

    The notes are taken here, behind the rows that they are about: what is read ahead is in no checkpoint.
    """
    seen = {work.stream.name: {**state.types.get(work.stream.name, {})} for work in works}
    readers = [partial(_delivered, work, seen[work.stream.name], request) for work in works]
    unfinished = set(seen)
    items: Generator[_Item, None, None]
    if request.jobs == 1:
        items = (item for reader in readers for item in reader())
    else:
        items = interleaved(readers, jobs=request.jobs, budget_bytes=request.ahead_bytes, size_of=_size)
    with closing(items):
        for item in items:
            if isinstance(item, _Types):
                state.types[item.stream] = item.types
                state.files.setdefault(item.stream, {})
            elif not isinstance(item, _Done):
                yield item
            elif item.entry is None:
                unfinished.discard(item.stream)
                yield _checkpoint(safe)
            else:
                state.files[item.stream][item.key] = item.entry
                if item.entry.rows is not None:
                    yield _checkpoint(safe)
    if unfinished:
        yield _checkpoint(safe)
    return not unfinished


def _size(item: _Item) -> int:
    return int(item.batch.nbytes) if isinstance(item, Rows) else 0


def _delivered(work: _Work, looks: dict[str, Look], request: ReadRequest) -> Iterator[_Item]:
    """What is due of a stream, and notes of how far it came. Without the last note it was told to stop. `looks`, which
    is what was seen in the columns before, is taken over."""
    if request.may_start_over and request.jobs == 1 and _may_be_expected(work):
        yield from _delivered_as_expected(work, looks, request)
        return
    name = work.stream.name
    _join(looks, {column: look for column, look in work.forced.items() if column in looks})
    before: dict[str, Fingerprint] = {}
    for file, _rows in work.due.files:
        if request.should_stop():
            return
        before[file.key] = fingerprint(file)
        _join(looks, _FORMATS[file.format].looks(file, work.takes))
        _join(looks, {column: look for column, look in work.forced.items() if column in looks})
    columns = {column: look for column, look in looks.items() if work.takes(column)}
    if not columns:
        yield _Done(stream=name)
        return
    yield from _described(work, looks, columns)
    schema = _arrow_schema(columns)
    for file, delivered in work.due.files:
        rows = delivered
        entry = FileState(size=before[file.key].size, mtime_ns=before[file.key].mtime_ns, hash=digest(file), rows=rows)
        for message in _file_rows(work.stream, file, delivered, schema, request.batch_bytes):
            rows += message.batch.num_rows
            yield message
            yield _Done(stream=name, key=file.key, entry=msgspec.structs.replace(entry, rows=rows))
            if request.should_stop():
                return
        if fingerprint(file) != before[file.key]:
            raise changed_while_read(file)
        yield _Done(stream=name, key=file.key, entry=msgspec.structs.replace(entry, rows=None))
    yield _Done(stream=name)


def _described(work: _Work, looks: dict[str, Look], columns: dict[str, Look]) -> Iterator[_Item]:
    """What comes before the first rows of a stream."""
    _require_keys(work.stream, columns)
    yield _types(work.stream.name, looks)
    schema = _arrow_schema(columns)
    yield Schema(stream=work.stream.name, columns=schema, keys=work.stream.keys, replace=work.due.replace)


def _types(stream: str, looks: dict[str, Look]) -> _Types:
    """A column without any value is delivered as text, so text it must stay."""
    return _Types(
        stream=stream, types={column: TEXT if look.kind is Kind.NULL else look for column, look in looks.items()}
    )


def _may_be_expected(work: _Work) -> bool:
    """Whether files are so large that to read them once gains something, and not so large that a run that dies in the
    middle of them should not start with the first again."""
    if any(file.format != "csv" or file.packing is not None or rows for file, rows in work.due.files):
        return False
    return 4 * _SAMPLE <= sum(fingerprint(file).size for file, _ in work.due.files) <= _MOST_AT_ONCE


def _delivered_as_expected(work: _Work, looks: dict[str, Look], request: ReadRequest) -> Iterator[_Item]:
    """As `_delivered`, but the files are read only once: the types are what the beginnings show. So no checkpoint can
    stand before the end: a value that a type does not expect gives all of the column's values another.

    Raises StartOverError when one comes, and when it is told to stop.
    """
    expected, name = {**looks}, work.stream.name
    _join(expected, {column: look for column, look in work.forced.items() if column in expected})
    before = {file.key: fingerprint(file) for file, _ in work.due.files}
    for file, _ in work.due.files:
        _join(expected, files_csv.looks(file, work.takes, _SAMPLE))
        _join(expected, {column: look for column, look in work.forced.items() if column in expected})
    columns = {column: look for column, look in expected.items() if work.takes(column)}
    if not columns:
        yield _Done(stream=name)
        return
    yield from _described(work, expected, columns)
    schema = _arrow_schema(columns)
    done = []
    for file, _ in work.due.files:
        try:
            for message in _rows(work.stream, files_csv.checked(file, columns, request.batch_bytes), 0, schema):
                yield message
                if request.should_stop():
                    raise StartOverError("it was told to stop")
        except UnexpectedError as error:
            why = f"`{error.column}` of `{file.label}` holds other values than at the beginning"
            raise StartOverError(why) from error
        if fingerprint(file) != before[file.key]:
            raise changed_while_read(file)
        seen = before[file.key]
        entry = FileState(size=seen.size, mtime_ns=seen.mtime_ns, hash=digest(file), rows=None)
        done.append(_Done(stream=name, key=file.key, entry=entry))
    yield _types(name, {**expected, **columns})
    yield from done
    yield _Done(stream=name)


def _file_rows(stream: StreamFiles, file: DataFile, skip: int, schema: pa.Schema, batch_bytes: int) -> Iterator[Rows]:
    """The file's rows behind the first `skip` ones, with all columns of the stream."""
    return _rows(stream, _FORMATS[file.format].batches(file, schema, batch_bytes), skip, schema)


def _rows(stream: StreamFiles, pieces: Iterable[Piece], skip: int, schema: pa.Schema) -> Iterator[Rows]:
    position = 0
    for piece in pieces:
        count = piece.batch.num_rows
        position += count
        if position <= skip or not count:
            continue
        batch = piece.batch.slice(max(0, count - (position - skip)))
        absent = [name for name in schema.names if name not in batch.schema.names]
        arrays = [pa.nulls(len(batch), field.type) if field.name in absent else batch[field.name] for field in schema]
        missing = piece.missing.slice(count - len(batch)) if piece.missing is not None else None
        if missing is None and absent:
            missing = _same(absent, len(batch))
        yield Rows(
            stream=stream.name,
            batch=pa.RecordBatch.from_arrays(arrays, schema=schema),
            # With keys a row may stand already: what this file does not say about it must not be wiped out.
            missing=missing if stream.keys else None,
            repaired=piece.repaired,
            size=piece.size,
        )


def _same(names: list[str], count: int) -> pa.Array:
    return pa.array([names], pa.list_(pa.string())).take(pa.repeat(pa.scalar(0, pa.int64()), count))


def _checkpoint(state: State) -> Checkpoint:
    return Checkpoint(state=msgspec.json.encode(state))


def _join(looks: dict[str, Look], more: dict[str, Look]) -> None:
    for name, look in more.items():
        looks[name] = joined(looks[name], look) if name in looks else look


def _arrow_schema(looks: dict[str, Look]) -> pa.Schema:
    return pa.schema([field_of(name, look) for name, look in looks.items()])


def _forced(entry: CatalogStream) -> dict[str, Look]:
    """Columns that the catalog says are text, be it by a person's word; not those of which it knows no value."""
    properties: dict[str, Any] = entry.schema.get("properties", {})
    unseen = {mark.breadcrumb[-1] for mark in entry.metadata if mark.metadata.get(_UNSEEN)}
    return {
        name: TEXT
        for name, schema in properties.items()
        if _is_plain_text(schema) and not (name in unseen and schema["type"] == ["null", "string"])
    }


def _is_plain_text(schema: Any) -> bool:
    if not isinstance(schema, dict) or set(schema) - {"type", "description", "title"}:
        return False
    kinds = schema.get("type")
    return set([kinds] if isinstance(kinds, str) else kinds or ()) - {"null"} == {"string"}


def _require_keys(stream: StreamFiles, looks: dict[str, Look]) -> None:
    for key in stream.keys:
        if key not in looks:
            near = did_you_mean(key, looks)
            raise InputError(
                "unknown-column",
                f"the key `{key}` is not a column of `{stream.name}`",
                hint=f"did you mean `{near}`" if near else f"the columns are {listed(list(looks))}",
            )


def _catalog_stream(stream: StreamFiles, looks: dict[str, Look]) -> CatalogStream:
    top: dict[str, Any] = {"inclusion": "available", "selected-by-default": True}
    top["table-key-properties"] = list(stream.keys)
    entries = [Metadata(breadcrumb=[], metadata=top)]
    for name, look in looks.items():
        about: dict[str, Any] = {"inclusion": "automatic" if name in stream.keys else "available"}
        if look.kind is Kind.NULL:
            about[_UNSEEN] = True
        entries.append(Metadata(breadcrumb=["properties", name], metadata=about))
    return CatalogStream(
        tap_stream_id=stream.name,
        stream=stream.name,
        schema=json_schema(_arrow_schema(looks)),
        metadata=entries,
        key_properties=list(stream.keys),
    )
