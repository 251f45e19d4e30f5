"""A REST or GraphQL API, described in a YAML file of the project.

Records go from an answer's text to Arrow in bulk. A stream with `incremental` goes on where the last run ended, each
child from where it was for its parent's record; every other stream is read whole, and replaces what was loaded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
from msgspec import Raw, Struct, field

from headwater.base.ahead import Beat, interleaved
from headwater.base.clock import monotonic
from headwater.base.errors import InputError
from headwater.base.text import did_you_mean, listed
from headwater.connect.contract import Checkpoint, Message, ReadRequest, Rejected
from headwater.connect.sources import catalog_entry, packaged
from headwater.connect.sources.columns import Columns
from headwater.connect.sources.reading import Reading, StreamState
from headwater.connect.sources.rest import learn, pages, request, spec, spec_file
from headwater.connect.sources.rest.cache import Cache
from headwater.connect.sources.rest.calls import Calls, StoppedError
from headwater.connect.sources.rest.pages import Page, Server
from headwater.connect.sources.rest.rows import Bad, Records, with_constants
from headwater.connect.sources.source_state import decoded
from headwater.connect.sources.vouching import Vouching
from headwater.connect.stages.select import Taken, taken
from headwater.model.catalog import Catalog, CatalogStream
from headwater.model.plugin import PACKAGE
from headwater.sources.values import from_json, to_json

__all__ = ["Settings", "discover", "read", "signature"]

_SAMPLE_SECONDS = 30.0  # for all streams together; each is asked at least once
_SAMPLE_RECORDS = 1000
_BEAT_SECONDS = 0.2
# A state holds the bookmarks of all parents: where there are more than so many, it is noted after as many only.
_NOTED_PARENTS = 100


class Settings(Struct, frozen=True, kw_only=True):
    """`source` is the file, or `package:NAME` for one in the plugin's environment `venv`. `given` holds the
    settings that its expressions use, `secrets` are those of the plugin."""

    source: str
    root: str = "."
    venv: str | None = None
    given: dict[str, Any] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    cache_seconds: int = 0

    @property
    def file(self) -> Path:
        if self.source.startswith(PACKAGE):
            return packaged.found(self.source, self.venv).file
        return Path(self.root) / self.source


class State(Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """`paths` tells, by stream and column, where a column stands that is not a field of the record itself."""

    streams: dict[str, StreamState] = field(default_factory=dict)
    paths: dict[str, dict[str, tuple[str, ...]]] = field(default_factory=dict)


def discover(settings: Settings) -> Catalog:
    """The streams in the file's order. A stream without declared columns is asked for a page: a read may find more
    columns, and wider ones. Raises InputError for what is wrong in the file, and what `Calls.answer` raises."""
    source = spec_file.read(settings.file, settings.source)
    until = monotonic() + _SAMPLE_SECONDS
    with closing(_calls(source, settings)) as calls:
        server = _server(source, settings, calls)
        entries: list[CatalogStream] = []
        for name, stream in source.streams.items():
            # What takes long shows its columns when it is read.
            is_asked = not stream.columns and (not entries or monotonic() < until)
            records = pages.sample(server, name)[:_SAMPLE_RECORDS] if is_asked else []
            entries.append(_entry(name, stream, records))
        return Catalog(streams=entries)


def signature(settings: Settings) -> str:
    """The settings, and the content of the file."""
    file = settings.file
    content = file.read_bytes() if file.is_file() else b""
    given = (settings.source, settings.given, hashlib.sha256(content).hexdigest())
    return hashlib.sha256(msgspec.json.encode(given)).hexdigest()


def read(settings: Settings, request: ReadRequest) -> Iterator[Message]:
    """The selected streams, up to `request.jobs` at a time; those that are replaced come last, and only the last
    checkpoint covers them. Raises what `discover` does, RunFailedError (`endless-pages`, `records-missing`,
    `bad-answer`), InputError (`unreadable-state`, `unknown-stream`)."""
    source = spec_file.read(settings.file, settings.source)
    after = decoded(request.state, State, of="a REST source")
    chosen = [(entry, part) for entry in request.catalog.streams if (part := taken(entry)) is not None]
    for entry, _ in chosen:
        if entry.name not in source.streams:
            near = did_you_mean(entry.name, source.streams)
            hint = f"did you mean `{near}`?" if near else f"streams: {listed(list(source.streams))}"
            raise InputError("unknown-stream", f"`{settings.source}` has no stream `{entry.name}`", hint=hint)
    streams = [_Stream(source, entry, part, after) for entry, part in chosen]
    if not streams:
        return
    calls = _calls(source, settings, request)
    vouching = Vouching()
    is_whole = False
    try:
        server = _server(source, settings, calls)
        for group in ([one for one in streams if one.reading.is_full is is_full] for is_full in (False, True)):
            for one in group:
                vouching.begins(one.reading)
            for one, message in _messages(group, server, request):
                if not isinstance(message, Checkpoint):
                    vouching.took(one.reading, message)
                    yield message
                elif vouching.noted(one.reading):
                    yield Checkpoint(state=msgspec.json.encode(after))
        is_whole = True
    except StoppedError:
        pass
    finally:
        calls.stop()
    if is_whole or vouching.may_follow():
        yield Checkpoint(state=msgspec.json.encode(after))


class _Piece(NamedTuple):
    """What was read of a stream: a page, or without one that the stream begins or is at its end."""

    stream: _Stream
    page: Page | None = None
    is_end: bool = False


def _messages(streams: list[_Stream], server: Server, request: ReadRequest) -> Iterator[tuple[_Stream, Message]]:
    """The messages of the streams, whose pages are read ahead, up to `request.jobs` streams at a time. A Checkpoint
    says that the state was moved on: here, behind the rows that it covers. Raises StoppedError."""

    def look() -> None:
        if request.should_stop():
            raise StoppedError

    def leave() -> bool:
        server.calls.stop()
        return False  # who waits for a server may do so for a while

    found = interleaved(
        [partial(one.pieces, server) for one in streams],
        jobs=request.jobs,
        budget_bytes=request.ahead_bytes,
        size_of=lambda piece: piece.page.size if piece.page is not None else 0,
        beat=Beat(_BEAT_SECONDS, look),
        unblock=leave,
    )
    with closing(found):
        for one, page, is_end in found:
            for message in one.messages(page, request.batch_bytes, is_end=is_end):
                yield one, message
            look()


class _Stream:
    """One stream while it is read. `after` is the state that it writes to."""

    def __init__(self, source: spec.Spec, entry: CatalogStream, part: Taken, after: State) -> None:
        self._name = entry.name
        self._given = stream = source.streams[entry.name]
        self._after = after
        before = after.streams.get(entry.name, StreamState())
        is_full = stream.incremental is None or catalog_entry.is_full(entry)
        if is_full:
            before = StreamState(columns=before.columns)
        self._marks = not is_full and (
            stream.parent is not None or bool(stream.incremental and stream.incremental.window)
        )
        self._by_parent: dict[str, Any] = dict(before.bookmark or {}) if stream.parent is not None else {}
        self._parents_read = 0
        self.reading = Reading(
            entry.name,
            keys=stream.key_columns,
            cursor=None if is_full else stream.cursor_column,
            is_full=is_full,
            is_ordered=bool(stream.incremental and stream.incremental.ordered and stream.parent is None),
            # With windows and parents the bookmark is no value of the cursor.
            filters=not self._marks and not request.uses(source, entry.name, "start"),
            takes=part.takes,
            state=before,
            marks=self._marks,
            offered=catalog_entry.columns(entry),
        )
        columns = Columns(entry.name, before.columns).schema
        paths = after.paths.get(entry.name, {})
        # What is added to records is no part of them.
        added = {spec.column_of(field) for field in stream.parent.fields} if stream.parent else set()
        known = [learn.kept(tuple(paths.get(one.name, (one.name,))), one) for one in columns if one.name not in added]
        has = {leaf.path for leaf in known}
        declared = [learn.declared(path, kind) for path, kind in stream.columns.items()]
        self._records = Records(
            entry.name,
            [*known, *(leaf for leaf in declared if leaf.path not in has)],
            keys=tuple(key for key in stream.key_columns if key not in added),
        )

    def pieces(self, server: Server) -> Iterator[_Piece]:
        """What is read of it, in a thread of its own."""
        yield _Piece(self)
        for page in pages.pages(server, self._name, self._start_of):
            yield _Piece(self, page)
        yield _Piece(self, is_end=True)

    def messages(self, page: Page | None, batch_bytes: int, *, is_end: bool) -> Iterator[Message]:
        """What a piece makes; a Checkpoint says that the state that it writes to was moved on."""
        if page is not None:
            yield from self._of_page(page, batch_bytes)
            if page.is_last and self._marks:
                self._mark(page)
        elif is_end:
            if self._marks and self._given.parent is not None:
                self.reading.mark(self._by_parent)
            yield from self.reading.end()
        else:
            yield from self.reading.begin()
            return
        yield from self._noted()

    def _start_of(self, parent_key: str) -> Any:
        bookmark = self._by_parent.get(parent_key) if self._given.parent is not None else self.reading.state.bookmark
        return None if self.reading.is_full else from_json(bookmark)

    def _of_page(self, page: Page, batch_bytes: int) -> Iterator[Message]:
        records = page.records
        most = max(1, batch_bytes * len(records) // max(1, page.size))
        for start in range(0, len(records), most):
            yield from self._rows(records[start : start + most], page)

    def _rows(self, records: list[Raw], page: Page) -> Iterator[Message]:
        try:
            batch, changed = self._records.batch(records, marked=page.is_marked)
        except Bad as bad:
            for row, reason in bad.reasons.items():
                yield Rejected(stream=self._name, record=bytes(records[row]), reason=reason)
            rest = [record for row, record in enumerate(records) if row not in bad.reasons]
            if rest:
                yield from self._rows(rest, page)
            return
        yield from self.reading.rows(with_constants(batch, page.unit.constants), changed)

    def _mark(self, page: Page) -> None:
        """A unit was read to its end."""
        given, unit = self._given.incremental, page.unit
        assert given is not None
        reached: Any = self.reading.highest
        if unit.window is not None:
            reached = unit.window[1] if given.cursor is None or not unit.is_last else self._within(unit.window, given)
        if self._given.parent is None:
            self.reading.mark(to_json(reached))
            return
        if reached is not None:
            self._by_parent[unit.parent_key] = to_json(reached)
        if unit.is_last:
            self.reading.highest = None
            self._parents_read += 1
            if self._parents_read % _NOTED_PARENTS == 0 or len(self._by_parent) < _NOTED_PARENTS:
                self.reading.mark(dict(self._by_parent))

    def _within(self, window: tuple[Any, Any], given: spec.Incremental) -> Any:
        """How far the last window goes: to its last record, for what belongs after that may not be shown yet."""
        if self.reading.highest is None:
            return window[0]
        return min(window[1], max(window[0], pages.moment(self.reading.highest, given)))

    def _noted(self) -> Iterator[Message]:
        if (noted := self.reading.noted()) is not None:
            self._after.streams[self._name] = noted
            if paths := {name: path for name, path in self._records.paths.items() if name in noted.columns}:
                self._after.paths[self._name] = paths
            yield Checkpoint(state=b"")


def _entry(name: str, stream: spec.Stream, records: list[Raw]) -> CatalogStream:
    known = [learn.declared(path, kind) for path, kind in stream.columns.items()]
    columns = Columns(name, {})
    if records or known:
        batch, _ = Records(name, known, keys=()).batch(records, marked=False)
        columns.take(batch)
    schema = columns.schema
    for column in stream.parent.fields if stream.parent else ():
        if spec.column_of(column) not in schema.names:
            schema = schema.append(pa.field(spec.column_of(column), pa.string()))
    return catalog_entry.entry(
        name,
        schema if len(columns.schema) else pa.schema([]),
        keys=stream.key_columns,
        cursor=stream.cursor_column,
        is_incremental=stream.incremental is not None,
        marks={},
        selected=stream.selected,
    )


def _server(source: spec.Spec, settings: Settings, calls: Calls) -> Server:
    names, now = pages.names(settings.given)
    return Server(source=source, calls=calls, names=names, now=now)


def _calls(source: spec.Spec, settings: Settings, request: ReadRequest | None = None) -> Calls:
    names, _ = pages.names(settings.given)
    cache = None
    if settings.cache_seconds:
        whose = msgspec.json.encode(sorted(settings.secrets))
        cache = Cache(Path(settings.root), seconds=settings.cache_seconds, whose=whose)
    return Calls(
        source,
        names,
        jobs=1 if request is None else request.jobs,
        root=Path(settings.root),
        secrets=settings.secrets,
        cache=cache,
        on_line=request.on_line if request is not None else lambda _text: None,
    )
