"""A source of dlt, of an installed package or of the project's folder `sources`: its resources are streams.

It runs in a process of its own, as a Python source of one's own does, without any pipeline of dlt's. What dlt keeps for
a source is kept in our state and put back before the next run. By its write disposition a resource is replaced
(`replace`), updated by its primary key (`merge`), or added to (`append`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from headwater.base.errors import InputError, RunFailedError
from headwater.connect.contract import Checkpoint, Message, ReadRequest
from headwater.connect.sources import catalog_entry, dlt_definition
from headwater.connect.sources.python import process
from headwater.connect.sources.python.described import Described, described
from headwater.connect.sources.reading import Reading, StreamState
from headwater.connect.sources.source_state import decoded
from headwater.connect.stages.select import Taken, table_keys, taken
from headwater.model.catalog import Catalog, CatalogStream
from headwater.model.plugin import DLT

__all__ = ["Settings", "discover", "read", "signature"]

# Marks of a stream in the catalog that only this source knows.
_ORDERED = "is-ordered"
_MERGE_KEYS = "dlt-merge-keys"
_MISSING_KEYS = "dlt-missing-keys"
_DISPOSITION = "dlt-write-disposition"
_QUIET = {"RUNTIME__DLTHUB_TELEMETRY": "false"}


class Settings(Struct, frozen=True, kw_only=True):
    """`source` is `dlt:MODULE.FUNCTION`. `given` holds the function's arguments."""

    source: str
    root: str = "."
    venv: str | None = None
    given: dict[str, Any] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()

    @property
    def function(self) -> str:
        return dlt_definition.reference(self.source.removeprefix(DLT))


class State(Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """`dlt` is what dlt keeps for its sources, by their names."""

    streams: dict[str, StreamState] = field(default_factory=dict)
    dlt: dict[str, Any] = field(default_factory=dict)


def discover(settings: Settings) -> Catalog:
    """The resources in the source's order. Each is asked for its first 1,000 rows, for a few seconds altogether: a read
    may find more columns, and wider ones."""
    streams = described(partial(_frames, settings), root=settings.root)
    return Catalog(streams=[_catalog_stream(name, found) for name, found in streams.items()])


def signature(settings: Settings) -> str:
    """The settings, the installed packages, and the content of the project's own modules."""
    folder = Path(settings.root) / dlt_definition.FOLDER
    files = sorted(folder.rglob("*.py")) if folder.is_dir() else []
    digests = [(str(file.relative_to(folder)), hashlib.sha256(file.read_bytes()).hexdigest()) for file in files]
    installed = None if settings.venv is None else Path(settings.venv).resolve().name
    return hashlib.sha256(msgspec.json.encode((settings.source, installed, settings.given, digests))).hexdigest()


def read(settings: Settings, request: ReadRequest) -> Iterator[Message]:
    """The selected resources, those that draw on one parent together; those that are replaced come last. A checkpoint
    covers what was read whole; of a resource alone whose rows come in order, also what came so far.

    Raises what `process.frames` does, InputError (`unreadable-state`, `no-merge-key`) and RunFailedError
    (`key-missing`)."""
    state = decoded(request.state, State, of="a dlt source")
    entries = [(entry, part) for entry in request.catalog.streams if (part := taken(entry)) is not None]
    readings = {entry.name: _reading(entry, part, state) for entry, part in entries}
    if not readings:
        return
    after = msgspec.json.decode(msgspec.json.encode(state), type=State)
    asked = {
        "do": "read",
        "streams": [{"name": one.name, "full": one.is_full} for one in readings.values()],
        "state": state.dlt,
        "batch_bytes": request.batch_bytes,
    }
    try:
        yield from _all(settings, asked, readings, after, request)
    except process.StoppedError:
        return
    yield Checkpoint(state=msgspec.json.encode(after))


def _all(
    settings: Settings, asked: dict[str, Any], readings: dict[str, Reading], after: State, request: ReadRequest
) -> Iterator[Message]:
    begun: list[Reading] = []
    with closing(_frames(settings, asked, request)) as frames:
        for frame in frames:
            if frame.what == "state":
                after.dlt = frame.about["value"]
                after.streams |= _noted(begun)
                yield Checkpoint(state=msgspec.json.encode(after))
            else:
                one = readings[frame.about["stream"]]
                if frame.what == "begin":
                    begun.append(one)
                    yield from one.begin()
                elif frame.what == "rows":
                    yield from one.rows(frame.batch())
                else:
                    yield from one.end()
            if request.should_stop():
                raise process.StoppedError


def _noted(begun: Sequence[Reading]) -> dict[str, StreamState]:
    """The columns of these streams so far; where they go on from is dlt's own."""
    for one in begun:
        if not one.is_full:
            one.mark(None)
    return {one.name: noted for one in begun if (noted := one.noted()) is not None}


def _frames(settings: Settings, asked: dict[str, Any], request: ReadRequest) -> Generator[process.Frame, None, None]:
    root = Path(settings.root).absolute()
    whole = {
        **asked,
        "file": str(root / "source"),  # errors name the last line of the project's own below this folder
        "root": str(root),
        "function": settings.function,
        "config": settings.given,
    }
    return process.frames(
        whole,
        source=settings.source,
        root=settings.root,
        venv=settings.venv,
        env={**_QUIET, **settings.env},
        secrets=settings.secrets,
        idle_seconds=request.idle_seconds,
        should_stop=request.should_stop,
        on_line=request.on_line,
    )


def _catalog_stream(name: str, found: Described) -> CatalogStream:
    about, schema = found.about, found.columns.schema
    disposition = about["disposition"]
    cursor = about["cursor"] if about["cursor"] in schema.names else None
    hinted = [] if disposition == "append" else about["keys"]
    # A hint may spell a name as dlt will write it: `order_id` for `orderId`.
    spelled = {_plain(column): column for column in schema.names}
    named = {key: key if key in schema.names or not len(schema) else spelled.get(_plain(key)) for key in hinted}
    missing = [key for key, column in named.items() if column is None]
    keys = [] if missing else [column for column in named.values() if column is not None]
    return catalog_entry.entry(
        name,
        schema,
        keys=keys,
        cursor=cursor,
        is_incremental=disposition != "replace",
        marks={
            _ORDERED: about["ordered"],
            _MERGE_KEYS: about["merge_keys"],
            _MISSING_KEYS: missing,
            _DISPOSITION: disposition,
        },
    )


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def _reading(entry: CatalogStream, part: Taken, state: State) -> Reading:
    top: dict[str, Any] = next((mark.metadata for mark in entry.metadata if not mark.breadcrumb), {})
    keys = tuple(table_keys(entry) or ())
    is_full = catalog_entry.is_full(entry)
    if not keys and not is_full and (missing := top.get(_MISSING_KEYS)):
        raise RunFailedError(
            "key-missing",
            f"the rows of resource `{entry.name}` have no `{missing[0]}`, which is to be their key",
            hint=f"name another below `metadata` of the entry: {entry.name}: {{table-key-properties: [ID]}}",
        )
    if top.get(_DISPOSITION) == "merge" and not keys and not is_full and top.get(_MERGE_KEYS):
        raise InputError(
            "no-merge-key",
            f"resource `{entry.name}` merges by `merge_key` alone, which is the key of no row",
            why="rows are updated by the key of each",
            hint=f"name one below `metadata` of the entry: {entry.name}: {{table-key-properties: [ID]}}",
        )
    cursor = None if is_full else next(iter(top.get("valid-replication-keys", ())), None)
    return Reading(
        entry.name,
        keys=keys,
        cursor=cursor,
        is_full=is_full,
        is_ordered=bool(top.get(_ORDERED)) and cursor is not None,
        filters=False,
        takes=part.takes,
        state=StreamState(columns=state.streams.get(entry.name, StreamState()).columns),
        marks=True,
        offered=catalog_entry.columns(entry),
    )
