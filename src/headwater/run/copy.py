"""The roads with a native end. Rows are Arrow within this process, lines between us and a program.

native ──────────────────────────────► stages ► session
tap ═ mapper ═► parse ───────────────► stages ► session       ═ is a kernel pipe
native ► stages ► write ═ mapper ═► parse ────► session
native ► stages ► write ═ mapper ═ target, whose states we read
tap ═► parse ─► stages ► write ═ mapper ═ target, likewise

Stages are native mappers, and the stream maps of a native end, in their order: between any two programs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import msgspec

from headwater.base.ahead import Beat, ahead
from headwater.base.errors import HeadwaterError, InputError
from headwater.connect.contract import (
    Message,
    OpenRequest,
    ReadRequest,
    Rejected,
    Rows,
    Session,
    Stage,
    StartOverError,
)
from headwater.connect.singer.batch_write import BatchWriter, configured
from headwater.connect.singer.write import Writer
from headwater.connect.stages.select import Select
from headwater.model.event import Level, SourceChanged, StreamFigures
from headwater.model.plan import ExtractLoad
from headwater.run import account, legs, native, parsing
from headwater.run.chain import TICK, Chain, Start
from headwater.run.discover import offered_catalog, selected_catalog
from headwater.run.feed import Feeder
from headwater.run.keeping import Keeping
from headwater.run.legs import Leg, Links, Passage
from headwater.run.lines import Lines
from headwater.run.load import Load, added
from headwater.run.looking import Patience
from headwater.run.pipe import supervise
from headwater.run.runner import Run
from headwater.run.singer_files import catalog_arguments, config_arguments, state_arguments
from headwater.run.state import start_state, state_saver
from headwater.store.states import is_empty, merged

Json = dict[str, Any]

# Of a load's memory, for what was read and not yet handed to the session: about as much as one ordinary commit, so that
# reading goes on while a database that takes rows at their commit only is writing.
_AHEAD_SHARE = 0.25


def copy(step: ExtractLoad, run: Run, keeping: Keeping, folder: Path) -> tuple[StreamFigures, ...]:
    """Do a step of which an end or a mapper is native. Raises HeadwaterError; what was committed before stays."""
    road = legs.legs(step)
    # Before anything is started: what is wrong with the stages, or with both ends together.
    native.refuse_one_file(step.extractor, step.loader, root=Path(run.plan.root))
    staged = [legs.stages(step, leg, run) for leg in road]
    catalog = _catalog(step, run, keeping, folder)
    if step.loader.native is None:
        return _to_target(step, run, keeping, folder, catalog, road, staged)
    try:
        return _to_session(step, run, keeping, folder, catalog, road, staged, before=None)
    except _StartOverError as again:
        run.tell(step.name, Level.INFO, f"reading again from the last checkpoint, and more slowly: {again}")
        return _to_session(step, run, keeping, folder, catalog, road, staged, before=again.figures)


class _StartOverError(Exception):
    """The source has to start over; `figures` are of what was committed until then."""

    def __init__(self, why: str, figures: tuple[StreamFigures, ...]) -> None:
        super().__init__(why)
        self.figures = figures


def _to_session(
    step: ExtractLoad,
    run: Run,
    keeping: Keeping,
    folder: Path,
    catalog: Json | None,
    road: Sequence[Leg],
    staged: Sequence[Sequence[Stage]],
    *,
    before: tuple[StreamFigures, ...] | None,
) -> tuple[StreamFigures, ...]:
    """`before` are the figures of an attempt that had to start over; None for the first, which alone may."""
    with opened(step, run, folder) as session:
        checkpoint = session.checkpoint()
        text = None if checkpoint is None or step.state_id is None else checkpoint.decode()
        state = start_state(step, run, keeping.states, checkpoint=text, has_checkpoints=True)
        stands = _stands(step, keeping, text)
        last: tuple[Stage, ...] = (*_stages(step, catalog), *staged[-1])
        # A person may have cleared the state of what stands there.
        anew = step.full_refresh or (state is None and text is not None and not is_empty(text))
        load = Load(session, step, run, keeping.states, stands=stands, stages=last, names=legs.names(last), anew=anew)
        may_start_over = before is None and session.sends_ahead()
        source = _Source(
            step,
            run,
            folder,
            catalog,
            state,
            load,
            road,
            staged,
            may_start_over=may_start_over,
            may_ask=may_start_over and not last,
            sends_ahead=session.sends_ahead(),
        )
        try:
            why = _take_all(source, load, run)
        except HeadwaterError as error:
            first = error if load.is_broken else source.first_failure(error)
            load.salvage()
            load.tell(now=True)
            account.tell(step, run, session, load, catalog)
            raise first from None
        finally:
            source.close()
        if why is not None:
            load.salvage()
            raise _StartOverError(why, load.committed_figures())
        try:
            load.finish()
        except StartOverError as error:
            raise _StartOverError(str(error), load.committed_figures()) from None
        load.tell(now=True)
        account.tell(step, run, session, load, catalog)
        load.keep_copy()
        return added(before or (), load.figures())


def _take_all(source: _Source, load: Load, run: Run) -> str | None:
    """Hand everything over. Why the source has to start over, when it has; what came since the last checkpoint is then
    not to be committed. Raises HeadwaterError when the source does not end well."""
    try:
        for message in source.messages:
            load.take(message)
            load.idle()
            if run.cancel.is_aborted():
                run.cancel.check()
    except StartOverError as error:
        run.cancel.check()
        return str(error)
    source.raise_failure()
    return None


def _stages(step: ExtractLoad, catalog: Json | None) -> tuple[Stage, ...]:
    """Drops what is not selected, for taps that send everything whatever the catalog says. Where names may change on
    the way, the catalog's names say nothing about what arrives."""
    programs = [mapper for mapper in step.mappers if mapper.native is None]
    if catalog is None or step.extractor.native is not None or programs or "stream_maps" in step.extractor.config:
        return ()
    try:
        return (Select(native.decoded_catalog(catalog)),)
    except InputError:
        # A catalog that only its own tap understands: it is the tap's to obey.
        return ()


class _Source:
    """The messages that reach the session, and how the programs and threads they come from ended."""

    def __init__(
        self,
        step: ExtractLoad,
        run: Run,
        folder: Path,
        catalog: Json | None,
        state: str | None,
        load: Load,
        road: Sequence[Leg],
        staged: Sequence[Sequence[Stage]],
        *,
        may_start_over: bool,
        may_ask: bool,
        sends_ahead: bool,
    ) -> None:
        self._load = load
        self._links, _ = _linked(step, run, folder, catalog, state, road, staged)
        last = self._links.last
        is_over = Event()
        if last is None:
            request = _request(step, run, folder, catalog, state, lambda: is_over.is_set() or run.cancel.is_set())
            request = msgspec.structs.replace(
                request,
                may_start_over=may_start_over,
                may_ask=may_ask,
                on_bad_record=step.extractor.extras.get("on_bad_record", "fail"),
            )
            messages = native.read(step.extractor, root=Path(run.plan.root), request=request)
        else:
            messages = parsing.messages(step, run, road[-1], last)
        # Reading goes on while the destination commits.
        self.messages = ahead(
            messages,
            # Where rows are sent all the time, nobody waits as long as a commit takes.
            budget_bytes=_ahead_bytes(step) // (2 if sends_ahead else 1),
            size_of=_size,
            beat=Beat(TICK, load.idle),
            # A thread that reads from a program comes to its end when the program has; a native source is asked to.
            unblock=self._links.end if last is not None else is_over.set,
        )

    def raise_failure(self) -> None:
        """Wait until all have ended; raise when one did not end well or the run was cancelled."""
        self._links.wait(self._load.idle)
        self._links.raise_failure()

    def first_failure(self, error: HeadwaterError) -> HeadwaterError:
        """What is behind an error in the messages: a program that dies in the middle of a line shows first as a
        line that can't be read."""
        if self._links.last is not None and self._links.last.at_end:
            try:
                self.raise_failure()
            except HeadwaterError as first:
                return first
        return error

    def close(self) -> None:
        # In this order: nobody may read from a pipe that is closed.
        self.messages.close()
        self._links.close()


def _ahead_bytes(step: ExtractLoad) -> int:
    """What may wait for the session. A source that reads several streams at a time has a half of it for itself."""
    return int(step.memory_bytes * _AHEAD_SHARE) // (1 if step.jobs == 1 else 2)


def _size(message: Message) -> int:
    match message:
        case Rows():
            return int(message.batch.nbytes) + (int(message.missing.nbytes) if message.missing is not None else 0)
        case Rejected():
            return len(message.record)
        case _:
            return 0


def _to_target(
    step: ExtractLoad,
    run: Run,
    keeping: Keeping,
    folder: Path,
    catalog: Json | None,
    road: Sequence[Leg],
    staged: Sequence[Sequence[Stage]],
) -> tuple[StreamFigures, ...]:
    state = start_state(step, run, keeping.states, checkpoint=None, has_checkpoints=False)
    links, passage = _linked(step, run, folder, catalog, state, road, staged)
    try:
        assert links.last is not None
        assert passage is not None
        save = state_saver(step, run, keeping.states)
        supervise(step, links.last, run, save=save, counts=lambda: dict(passage.given))
        links.wait(lambda: None)
        links.raise_failure()
        return passage.figures()
    finally:
        links.close()


def _linked(
    step: ExtractLoad,
    run: Run,
    folder: Path,
    catalog: Json | None,
    state: str | None,
    road: Sequence[Leg],
    staged: Sequence[Sequence[Stage]],
) -> tuple[Links, Passage | None]:
    """The programs of a road, started, with what comes between the legs; and the last such passage."""
    links, passage, block = Links(run), None, step.extractor
    try:
        for index, leg in enumerate(road):
            starts = [Start(block=program, args=config_arguments(program, folder)) for program in leg.programs]
            if not index:
                if not starts:
                    continue
                args = (*catalog_arguments(block, catalog, folder), *state_arguments(block, state, folder))
                starts[0] = msgspec.structs.replace(starts[0], args=(*starts[0].args, *args))
                links.add(_chain(step, run, starts), None)
                continue
            before, upstream = road[index - 1], links.last
            chain = _chain(step, run, starts, fed=True)
            passage = Passage(staged[index - 1])

            def messages(
                before: Leg = before, upstream: Chain | None = upstream, chain: Chain = chain, by: Passage = passage
            ) -> Iterator[Message]:
                if upstream is None:
                    request = _request(
                        step, run, folder, catalog, state, lambda: run.cancel.is_set() or chain.is_first_dead()
                    )
                    found = native.read(step.extractor, root=Path(run.plan.root), request=request)
                else:
                    found = parsing.messages(step, run, before, upstream)
                return legs.through(found, by, upstream)

            links.add(chain, Feeder(messages, chain, _writer(step, leg, Path(run.plan.root))))
    except BaseException:
        links.close()
        raise
    return links, passage


def _writer(step: ExtractLoad, leg: Leg, root: Path) -> Writer | BatchWriter:
    """What the next leg reads: files, when it is the target alone and says that it can and where."""
    if leg.programs != (step.loader,) or "batch" not in step.loader.capabilities:
        return Writer()
    files = configured(step.loader.config, root) or configured(step.extractor.config, root)
    return Writer() if files is None else BatchWriter(files)


def _chain(step: ExtractLoad, run: Run, starts: Sequence[Start], *, fed: bool = False) -> Chain:
    return Chain(starts, step=step.name, run=run, idle_seconds=step.idle_timeout_seconds, fed=fed)


def _request(
    step: ExtractLoad, run: Run, folder: Path, catalog: Json | None, state: str | None, should_stop: Callable[[], bool]
) -> ReadRequest:
    return ReadRequest(
        catalog=native.decoded_catalog(catalog or {"streams": []}),
        state=None if state is None else state.encode(),
        folder=folder,
        jobs=step.jobs,
        ahead_bytes=_ahead_bytes(step),
        should_stop=should_stop,
        idle_seconds=step.idle_timeout_seconds,
        on_line=Lines(step.name, step.extractor, run.emit),
    )


def _catalog(step: ExtractLoad, run: Run, keeping: Keeping, folder: Path) -> Json | None:
    def offered() -> Json | None:
        if step.extractor.native is None:
            return offered_catalog(step, run, folder, keeping.catalogs)
        return native.offered_catalog(
            step.extractor,
            root=Path(run.plan.root),
            catalogs=keeping.catalogs,
            patience=Patience(step.discovery_timeout_seconds, run.cancel),
            refresh=step.refresh_catalog,
            on_change=lambda change: run.emit(SourceChanged(step=step.name, change=change)),
        )

    return selected_catalog(step, run, offered)


@contextmanager
def opened(step: ExtractLoad, run: Run, folder: Path) -> Iterator[Session]:
    """The session of the step's loader."""
    request = OpenRequest(
        pipeline=step.state_id,
        run_id=run.plan.run_id,
        source=source_of(step),
        folder=folder,
        memory_bytes=step.memory_bytes - int(step.memory_bytes * _AHEAD_SHARE),
        on_bad_row="quarantine" if step.extractor.extras.get("on_bad_record") == "quarantine" else "fail",
        idle_seconds=step.idle_timeout_seconds,
        on_wait=lambda who: run.tell(step.name, Level.INFO, f"waiting for {who}"),
        on_notice=lambda text: run.tell(step.name, Level.WARNING, text),
    )
    session = native.open_session(step.loader, root=Path(run.plan.root), request=request)
    try:
        yield session
    finally:
        session.close()


def source_of(step: ExtractLoad) -> str:
    """What the loader is told of where the rows come from: its default schema."""
    return str(step.extractor.extras.get("load_schema") or step.extractor.namespace)


def _stands(step: ExtractLoad, keeping: Keeping, checkpoint: str | None) -> str | None:
    """The state that this run goes on from or replaces."""
    if checkpoint is not None or step.state_id is None:
        return checkpoint
    return merged(keeping.states.read(step.state_id))
