"""A source of the user's own: a Python file whose functions are streams.

The code runs in a process of its own, so that it can be stopped, may have packages of its own and takes nothing down
with it. Rows come as Arrow. A stream with a cursor or a parameter `bookmark` goes on where the last run ended; every
other one is read whole, and replaces what was loaded.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from headwater.base.ahead import interleaved
from headwater.base.errors import InputError
from headwater.connect.contract import Checkpoint, Message, ReadRequest
from headwater.connect.sources import catalog_entry, packaged
from headwater.connect.sources.packaged import Found
from headwater.connect.sources.python import process
from headwater.connect.sources.python.described import Described, described
from headwater.connect.sources.reading import Reading, StreamState
from headwater.connect.sources.source_state import decoded
from headwater.connect.sources.vouching import Vouching
from headwater.connect.stages.select import Taken, table_keys, taken
from headwater.model.catalog import Catalog, CatalogStream
from headwater.model.plugin import PACKAGE

__all__ = ["Settings", "discover", "read", "signature"]


class Settings(Struct, frozen=True, kw_only=True):
    """`source` is the file, or `package:NAME` for a module in the plugin's environment `venv`. `given` holds the
    settings that the functions take; `env` and `secrets` are those of the plugin."""

    source: str
    root: str = "."
    venv: str | None = None
    given: dict[str, Any] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()

    @property
    def place(self) -> Found:
        """Where the code stands; a module has a name where it belongs to a package."""
        if self.source.startswith(PACKAGE):
            return packaged.found(self.source, self.venv)
        return Found(file=Path(self.root) / self.source, module=None)


class State(Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    streams: dict[str, StreamState] = field(default_factory=dict)


def discover(settings: Settings) -> Catalog:
    """The streams in the file's order. A stream without a declared schema is asked for its first 1,000 rows, for a few
    seconds: a read may find more columns, and wider ones."""
    streams = described(partial(_frames, settings), root=settings.root)
    return Catalog(streams=[_catalog_stream(name, found) for name, found in streams.items()])


def signature(settings: Settings) -> str:
    """The settings, and the content of the file and of those beside it."""
    files = sorted(settings.place.file.parent.glob("*.py"))
    digests = [(file.name, hashlib.sha256(file.read_bytes()).hexdigest()) for file in files]
    given = (settings.source, settings.venv, settings.given, digests)
    return hashlib.sha256(msgspec.json.encode(given)).hexdigest()


def read(settings: Settings, request: ReadRequest) -> Iterator[Message]:
    """The selected streams, one after the other in one process, or up to `request.jobs` at a time, each in a process of
    its own; those that are replaced come last, and only the last checkpoint covers them. Raises what `process.frames`
    does, and InputError (`unreadable-state`, `unknown-stream`, `unknown-column`)."""
    state = decoded(request.state, State, of="a Python source")
    entries = [(entry, part) for entry in request.catalog.streams if (part := taken(entry)) is not None]
    readings = [_reading(entry, part, state) for entry, part in entries]
    after = msgspec.json.decode(msgspec.json.encode(state), type=State)
    if not readings:
        return
    vouching = Vouching()
    readings.sort(key=lambda one: one.is_full)
    first = [one for one in readings if not one.is_full]
    groups = [readings] if request.jobs == 1 else [first, readings[len(first) :]]
    try:
        for group in filter(None, groups):
            yield from _all(settings, group, after, request, vouching)
    except process.StoppedError:
        return
    yield Checkpoint(state=msgspec.json.encode(after))


def _all(
    settings: Settings, readings: list[Reading], after: State, request: ReadRequest, vouching: Vouching
) -> Iterator[Message]:
    by_name = {one.name: one for one in readings}
    with closing(_read_frames(settings, readings, request)) as frames:
        for frame in frames:
            one = by_name[frame.about["stream"]]
            found: Iterable[Message] = ()
            if frame.what == "begin":
                vouching.begins(one)
                found = one.begin()
            elif frame.what == "rows":
                found = one.rows(frame.batch())
            elif frame.what == "end":
                found = one.end()
            else:
                one.mark(frame.about["value"])
            for message in found:
                vouching.took(one, message)
                yield message
            if frame.what != "begin" and (noted := one.noted()) is not None:
                after.streams[one.name] = noted
                if vouching.noted(one):
                    yield Checkpoint(state=msgspec.json.encode(after))
            if request.should_stop():
                raise process.StoppedError


def _read_frames(
    settings: Settings, readings: list[Reading], request: ReadRequest
) -> Generator[process.Frame, None, None]:
    if request.jobs == 1:
        return _asked(settings, readings, request)
    is_over = threading.Event()
    whole = msgspec.structs.replace(request, should_stop=lambda: is_over.is_set() or request.should_stop())

    def alone(one: Reading) -> Iterator[process.Frame]:
        try:
            yield from _asked(settings, [one], whole)
        except process.StoppedError:
            if request.should_stop():
                raise
        except BaseException:
            is_over.set()  # the others may be silent for long
            raise

    return interleaved(
        [partial(alone, one) for one in readings],
        jobs=request.jobs,
        budget_bytes=request.ahead_bytes,
        size_of=lambda frame: frame.payload.size,
        unblock=is_over.set,
    )


def _asked(settings: Settings, readings: list[Reading], request: ReadRequest) -> Generator[process.Frame, None, None]:
    streams = [{"name": one.name, "bookmark": one.state.bookmark} for one in readings]
    return _frames(settings, {"do": "read", "streams": streams, "batch_bytes": request.batch_bytes}, request)


def _frames(settings: Settings, asked: dict[str, Any], request: ReadRequest) -> Generator[process.Frame, None, None]:
    place = settings.place
    if not place.file.is_file():
        raise InputError(
            "file-not-found",
            f"there is no file `{settings.source}`",
            hint="correct `source` in the project file",
        )
    whole = {**asked, "file": str(place.file.absolute()), "module": place.module, "config": settings.given}
    return process.frames(
        whole,
        source=settings.source,
        root=settings.root,
        venv=settings.venv,
        env=settings.env,
        secrets=settings.secrets,
        idle_seconds=request.idle_seconds,
        should_stop=request.should_stop,
        on_line=request.on_line,
    )


def _catalog_stream(name: str, found: Described) -> CatalogStream:
    about = found.about
    return catalog_entry.entry(
        name,
        found.columns.schema,
        keys=about["keys"],
        cursor=about["cursor"],
        is_incremental=bool(about["cursor"] or about["takes_bookmark"]),
        marks={_ORDERED: about["ordered"], _TAKES_BOOKMARK: about["takes_bookmark"]},
    )


# Marks of a stream in the catalog that only this source knows.
_ORDERED = "is-ordered"
_TAKES_BOOKMARK = "takes-bookmark"


def _reading(entry: CatalogStream, part: Taken, state: State) -> Reading:
    top: dict[str, Any] = next((mark.metadata for mark in entry.metadata if not mark.breadcrumb), {})
    before = state.streams.get(entry.name, StreamState())
    is_full = catalog_entry.is_full(entry)
    if is_full:
        before = StreamState(columns=before.columns)
    return Reading(
        entry.name,
        keys=tuple(table_keys(entry) or ()),
        cursor=None if is_full else next(iter(top.get("valid-replication-keys", ())), None),
        is_full=is_full,
        is_ordered=bool(top.get(_ORDERED)),
        filters=not top.get(_TAKES_BOOKMARK, True),
        takes=part.takes,
        state=before,
        offered=catalog_entry.columns(entry),
    )
