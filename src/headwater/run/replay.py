"""Loads what was set aside again: through the stages that it had not passed, into a session like that of a run.

What one commit set aside is loaded by one commit, the newest first, so that of two rejects of a key the newer one is
there when the older one comes. That commit takes its rejects out of quarantine; those that again can't be loaded are
set aside anew, in the same transaction.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import cast

import msgspec
import pyarrow as pa
from msgspec import Raw, Struct
from msgspec.structs import replace

from headwater.base.errors import HeadwaterError, InputError
from headwater.connect import types
from headwater.connect.contract import Message, Rejected, Rows, Schema, Stage, staged
from headwater.connect.rejects import Again, Chosen, Origin, Quarantine, Reject, ReplaySession
from headwater.connect.singer import parse
from headwater.model.event import Level, StreamFigures
from headwater.model.plan import ExtractLoad
from headwater.run import account, copy, legs, native, parsing
from headwater.run.extract_load import alone
from headwater.run.keeping import Keeping
from headwater.run.load import Load
from headwater.run.runner import Executor, Run

# A stream that a run replaces is not replaced by a few of its rows: they are put to the others.
_ADDS = {"duckdb": "upsert", "postgres": "upsert", "mysql": "upsert"}


def executor(keeping: Keeping, chosen: Chosen) -> Executor:
    """The executor for ExtractLoad steps whose rejects, as far as they are `chosen`, are to be loaded."""

    def execute(step: ExtractLoad, run: Run) -> tuple[StreamFigures, ...]:
        with alone(step, run, keeping), keeping.folders.opened(run.plan.run_id) as folder:
            return _replay(_adding(step), run, keeping, folder, replace(chosen, pipeline=step.state_id))

    return execute


def _adding(step: ExtractLoad) -> ExtractLoad:
    """The step for a replay: nothing is replaced as a whole, and what can't be loaded is set aside."""
    loader, extractor = step.loader, step.extractor
    if loader.config.get("load_method") == "overwrite":
        method = _ADDS.get(loader.native or "", "append-only")
        loader = replace(loader, config={**loader.config, "load_method": method})
    extractor = replace(extractor, extras={**extractor.extras, "on_bad_record": "quarantine"})
    return replace(step, loader=loader, extractor=extractor)


def _replay(step: ExtractLoad, run: Run, keeping: Keeping, folder: Path, chosen: Chosen) -> tuple[StreamFigures, ...]:
    with (
        contextlib.closing(quarantine(step, run, folder)) as kept,
        copy.opened(step, run, folder) as opened,
    ):
        lines = _Lines(step, run, kept)
        session = cast("ReplaySession", opened)
        load = Load(session, step, run, keeping.states, stands=None, stages=(lines.way,), names=lines.way.names)
        commits = kept.commits(chosen)
        if not commits:
            run.tell(step.name, Level.INFO, "nothing is set aside")
        for _, origin in commits:
            run.cancel.check()
            _load(load, session, lines, kept, chosen, origin)
            load.tell("loading again", now=True)
        account.tell(step, run, session, load, None)
        return load.figures()


def _load(load: Load, session: ReplaySession, lines: _Lines, kept: Quarantine, chosen: Chosen, origin: Origin) -> None:
    """What one commit set aside, in one commit."""
    rejects = kept.rejects(replace(chosen, commit=(origin.run_id, origin.sequence)))
    session.replay(Again(ids=tuple(one.id for one in rejects), origin=origin))
    for message in lines.messages(rejects):
        load.take(message)
    load.finish()


def quarantine(step: ExtractLoad, run: Run, folder: Path) -> Quarantine:
    """Where the step's loader keeps what it has set aside."""
    return native.quarantine(
        step.loader,
        root=Path(run.plan.root),
        source=copy.source_of(step),
        folder=folder,
        on_wait=lambda who: run.tell(step.name, Level.INFO, f"waiting for {who}"),
    )


class _Way:
    """The stage of a replay: leads each group of rejects through the stages that it has not passed yet. Of what comes
    out under several names only that counts whose name the group has: the others were not rejected.

    The source may have declared a column otherwise since. What the books say of it stays: the replay declares nothing.
    """

    def __init__(self, declared: Callable[[str], dict[str, str]]) -> None:
        self._declared = declared
        self._stages: Sequence[Stage] = ()
        self._stream = ""

    def turn(self, stream: str, stages: Sequence[Stage]) -> None:
        self._stream, self._stages = stream, stages

    def names(self, _stream: str) -> tuple[str, ...]:
        return (self._stream,)

    def __call__(self, message: Message) -> Sequence[Message]:
        return [
            self._as_declared(one) if isinstance(one, Schema) else one
            for one in staged(message, self._stages)
            if isinstance(one, Schema | Rows | Rejected) and one.stream == self._stream
        ]

    def _as_declared(self, schema: Schema) -> Schema:
        declared = self._declared(schema.stream)
        columns = [
            field.with_metadata({**(field.metadata or {}), types.DECLARED: declared[field.name].encode()})
            if field.name in declared
            else field
            for field in schema.columns
        ]
        return replace(schema, columns=pa.schema(columns))


class _Lines:
    """Rejects as the messages of a source. `way` is the stage that has to follow."""

    def __init__(self, step: ExtractLoad, run: Run, kept: Quarantine) -> None:
        self.way = _Way(partial(kept.declared, step.state_id))
        self._step = step
        self._run = run
        self._leg = legs.legs(step)[-1]
        self._options = parsing.options(step, self._leg, Path(run.plan.root))

    def messages(self, rejects: Iterable[Reject]) -> Iterator[Message]:
        for (stream, stages, schema), group in _groups(rejects).items():
            self.way.turn(stream, self._stages(stages))
            readable, unreadable = self._read(schema, group)
            yield from readable
            self.way.turn(stream, ())
            yield from unreadable

    def _stages(self, count: int) -> Sequence[Stage]:
        """The last `count` stages, as they are before the first row."""
        found = legs.stages(self._step, self._leg, self._run)
        if count > len(found):
            raise InputError(
                "stages-missing",
                f"records were set aside before {count} stages of `{self._step.name}`, which has {len(found)} now",
                why="they would be loaded in another shape than the others",
                hint="name the pipeline as it was run: headwater rejects replay TAP MAPPER TARGET",
            )
        return found[len(found) - count :]

    def _read(self, schema: bytes, group: Sequence[Rejected]) -> tuple[list[Message], list[Rejected]]:
        """The records as messages, and those that stay in quarantine as they are."""
        if not schema:
            return [], list(group)
        try:
            return self._parsed(schema, group), []
        except HeadwaterError as error:
            if len(group) == 1:
                return [], [replace(group[0], reason=error.why or error.what)]
        # One of them is no JSON at all.
        found = [self._read(schema, [one]) for one in group]
        return [message for some, _ in found for message in some], [one for _, some in found for one in some]

    def _parsed(self, schema: bytes, group: Sequence[Rejected]) -> list[Message]:
        name = msgspec.json.decode(schema, type=_Named).stream
        text = b"\n".join([schema, *(_record(name, one) for one in group), b""])
        return list(parse.messages([text], self._options, self._tell))

    def _tell(self, text: str) -> None:
        self._run.tell(self._step.name, Level.WARNING, text)


class _Named(Struct):
    stream: str


def _groups(rejects: Iterable[Reject]) -> dict[tuple[str, int, bytes], list[Rejected]]:
    """Those that are read by one SCHEMA and lead to one stream."""
    found: dict[tuple[str, int, bytes], list[Rejected]] = {}
    for one in rejects:
        rejected = one.rejected
        found.setdefault((rejected.stream, rejected.stages, rejected.schema), []).append(rejected)
    return found


def _record(name: str, one: Rejected) -> bytes:
    version = {} if one.version is None else {"version": one.version}
    return msgspec.json.encode({"type": "RECORD", "stream": name, "record": Raw(one.record), **version})
