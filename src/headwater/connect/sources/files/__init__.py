"""CSV, TSV, JSON lines and Parquet files, plain, gzipped or zipped, read file by file as they come and change.

A file that was read is not read again while it stays the same. A new file is added. A changed file is read again:
with keys its rows replace the old ones, without keys the whole stream is replaced, so that no row stands twice.
The rows of a file that vanished stay until the stream is replaced.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import Any

import msgspec

from headwater.base.ahead import interleaved
from headwater.connect.contract import Checkpoint, Message, ReadRequest, Rows
from headwater.connect.singer.schema import json_schema
from headwater.connect.sources.files import delivery
from headwater.connect.sources.files import state as states
from headwater.connect.sources.files.delivery import (
    FORMATS,
    Delivered,
    Done,
    Item,
    Types,
    Work,
    arrow_schema,
    delivered,
    join,
    require_keys,
)
from headwater.connect.sources.files.find import StreamFiles, streams
from headwater.connect.sources.files.open import fingerprint
from headwater.connect.sources.files.places import Places
from headwater.connect.sources.files.settings import Settings
from headwater.connect.sources.files.state import State
from headwater.connect.sources.source_state import decoded
from headwater.connect.sources.text_types import TEXT, Kind, Look
from headwater.connect.stages.select import table_keys, taken
from headwater.model.catalog import Catalog, CatalogStream, Metadata

__all__ = ["Settings", "discover", "read", "signature"]

# How many bytes a discovery looks at: of a stream, and of a file when those are used up.
_SAMPLES = 64 << 20
_LEAST_SAMPLE = 64 << 10
_MOST_FILES = 200  # of a stream; with more of them it looks at every second one, every third…
# Marks a column of the catalog that had no value in what was looked at: any type may come yet.
_UNSEEN = "no-value-seen"


def discover(settings: Settings) -> Catalog:
    """Every stream with the columns and types that the beginnings of its files show. A read looks at what it
    delivers as a whole, so a column may turn out wider there, and a JSON lines file may have more of them.

    The same files give the same catalog. A stream without any column is left out. What can't be read among the lines
    is passed over: it is for a read to tell.
    """
    found = []
    with Places(settings) as places:
        for stream in streams(settings, places):
            looks: dict[str, Look] = {}
            left = _SAMPLES
            for file in stream.files[:: max(1, math.ceil(len(stream.files) / _MOST_FILES))]:
                most = max(_LEAST_SAMPLE, min(delivery.SAMPLE, left))
                sample = msgspec.structs.replace(file, sets_aside=True)
                join(looks, FORMATS[file.format].looks(sample, lambda _name: True, most))
                left -= min(most, fingerprint(file).size)
            if looks:
                require_keys(stream, looks)
                found.append(_catalog_stream(stream, looks))
    return Catalog(streams=found)


def signature(settings: Settings) -> str:
    """The settings, and the name, size and time of change of each file."""
    with Places(settings) as places:
        found = [
            (stream.name, file.key, fingerprint(file), file.remote and file.remote.found.tag)
            for stream in streams(settings, places)
            for file in stream.files
        ]
    return hashlib.sha256(msgspec.json.encode((settings, found))).hexdigest()


def read(settings: Settings, request: ReadRequest) -> Iterator[Message]:
    """The rows of new and changed files, a checkpoint after each batch; goes on in the middle of a file. Up to
    `request.jobs` streams come at a time.

    Streams that are replaced come last, and only the last checkpoint of all covers them: until the destination
    has swapped them the old rows stand. Raises InputError for settings and keys that do not fit, RunFailedError
    naming file and line for a file that is broken or changes while it is read.
    """
    state = decoded(request.state, State, of="the files source")
    sets_aside = request.on_bad_record == "quarantine"
    with Places(settings) as places:
        works = list(_selected(streams(settings, places, sets_aside=sets_aside), request, state))
        if not (yield from _all([work for work in works if not work.due.replace], state, state, request)):
            return
        after = msgspec.json.decode(msgspec.json.encode(state), type=State)
        replaced = [work for work in works if work.due.replace]
        after.files.update({work.stream.name: {} for work in replaced})
        if (yield from _all(replaced, after, state, request)):
            yield _checkpoint(after)


def _selected(found: list[StreamFiles], request: ReadRequest, state: State) -> Iterator[Work]:
    entries = {entry.name: entry for entry in request.catalog.streams}
    for stream in found:
        entry = entries.get(stream.name)
        if entry is None:
            at = f" at {where}" if stream.files and (where := stream.files[0].dialect.records) else ""
            request.on_line(f"stream {stream.name} is not in the catalog, as none is whose files show no column{at}")
            continue
        if (selection := taken(entry)) is None:
            continue
        keys = table_keys(entry)
        keyed = stream if keys is None else msgspec.structs.replace(stream, keys=tuple(keys))
        due, files = states.due(keyed, state.files.get(stream.name, {}))
        if not due.replace:
            state.files[stream.name] = files
        yield Work(stream=keyed, takes=selection.takes, forced=_forced(entry), due=due)


def _all(works: Sequence[Work], state: State, safe: State, request: ReadRequest) -> Generator[Message, None, bool]:
    """Delivers what is due of the streams and notes it in `state`; checkpoints are of `safe`. False: told to stop.

    The notes are taken here, behind the rows that they are about: what is read ahead is in no checkpoint.
    """
    seen = {work.stream.name: {**state.types.get(work.stream.name, {})} for work in works}
    readers = [partial(delivered, work, seen[work.stream.name], request) for work in works]
    unfinished = set(seen)
    cost = since = 0
    items: Generator[Item, None, None]
    if request.jobs == 1:
        items = (item for reader in readers for item in reader())
    else:
        items = interleaved(readers, jobs=request.jobs, budget_bytes=request.ahead_bytes, size_of=_size)
    with closing(items):
        for item in items:
            if isinstance(item, Types):
                state.types[item.stream] = item.types
                state.files.setdefault(item.stream, {})
            elif isinstance(item, Delivered):
                since += _size(item)
                yield item.rows
                for note in item.notes:
                    _note(state, note)
                # The state of very many files is larger than one of them: it comes when as much has come of rows.
                if since >= cost:
                    checkpoint = _checkpoint(safe)
                    cost, since = len(checkpoint.state), 0
                    yield checkpoint
            elif not isinstance(item, Done):
                yield item
            elif item.entry is None:
                unfinished.discard(item.stream)
                yield _checkpoint(safe)
            else:
                _note(state, item)
    if unfinished:
        yield _checkpoint(safe)
    return not unfinished


def _note(state: State, done: Done) -> None:
    assert done.entry is not None
    state.files[done.stream][done.key] = done.entry


def _size(item: Item) -> int:
    rows = item.rows if isinstance(item, Delivered) else item
    return int(rows.batch.nbytes) if isinstance(rows, Rows) else 0


def _checkpoint(state: State) -> Checkpoint:
    return Checkpoint(state=msgspec.json.encode(state))


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
        schema=json_schema(arrow_schema(looks)),
        metadata=entries,
        key_properties=list(stream.keys),
    )
