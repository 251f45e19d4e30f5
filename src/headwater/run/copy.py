"""The roads with a native end. Rows are Arrow within this process, lines between us and a program.

native ──────────────────────────────► session
tap ═ mapper ═► parse ───────────────► session       ═ is a kernel pipe
native ─► write ═ mapper ═► parse ───► session
native ─► write ═ mapper ═ target, whose states we read
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from headwater.base.ahead import Beat, ahead
from headwater.base.errors import HeadwaterError, InputError
from headwater.connect.contract import Message, OpenRequest, ReadRequest, Rejected, Rows, Session, Stage
from headwater.connect.singer import batch, parse
from headwater.connect.stages.select import Select
from headwater.model.event import Level, StreamFigures
from headwater.model.plan import ExtractLoad
from headwater.run import native
from headwater.run.chain import TICK, Chain, Start
from headwater.run.discover import offered_catalog, selected_catalog
from headwater.run.feed import Feeder
from headwater.run.keeping import Keeping
from headwater.run.load import Load
from headwater.run.pipe import supervise
from headwater.run.runner import Run
from headwater.run.singer_files import catalog_arguments, config_arguments, state_arguments
from headwater.run.state import start_state, state_saver
from headwater.store.states import merged

Json = dict[str, Any]

# Of a load's memory, for what was read and not yet handed to the session.
_AHEAD_SHARE = 0.125


def copy(step: ExtractLoad, run: Run, keeping: Keeping, folder: Path) -> tuple[StreamFigures, ...]:
    """Do a step of which at least one end is native. Raises HeadwaterError; what was committed before stays."""
    catalog = _catalog(step, run, keeping, folder)
    if step.loader.native is None:
        return _to_target(step, run, keeping, folder, catalog)
    with _session(step, run, folder) as session:
        checkpoint = session.checkpoint()
        text = None if checkpoint is None or step.state_id is None else checkpoint.decode()
        state = start_state(step, run, keeping.states, checkpoint=text, has_checkpoints=True)
        stands = _stands(step, keeping, text)
        load = Load(session, step, run, keeping.states, stands=stands, stages=_stages(step, catalog))
        source = _Source(step, run, folder, catalog, state, load)
        try:
            for message in source.messages:
                load.take(message)
                load.idle()
                if run.cancel.is_aborted():
                    run.cancel.check()
            source.raise_failure()
        except HeadwaterError as error:
            first = error if load.is_broken else source.first_failure(error)
            load.salvage()
            load.tell(now=True)
            raise first from None
        finally:
            source.close()
        load.finish()
        load.tell(now=True)
        return load.figures()


def _stages(step: ExtractLoad, catalog: Json | None) -> tuple[Stage, ...]:
    """Drops what is not selected, for taps that send everything whatever the catalog says. Where names may change on
    the way, the catalog's names say nothing about what arrives."""
    if catalog is None or step.extractor.native is not None or step.mappers or "stream_maps" in step.extractor.config:
        return ()
    try:
        return (Select(native.decoded_catalog(catalog)),)
    except InputError:
        # A catalog that only its own tap understands: it is the tap's to obey.
        return ()


class _Source:
    """The messages that reach the session, and how the programs and threads they come from ended."""

    def __init__(
        self, step: ExtractLoad, run: Run, folder: Path, catalog: Json | None, state: str | None, load: Load
    ) -> None:
        self._run = run
        self._load = load
        self._chain: Chain | None = None
        self._feeder: Feeder | None = None
        messages: Iterator[Message]
        mappers = [Start(block=block, args=config_arguments(block, folder)) for block in step.mappers]
        if step.extractor.native is not None and not mappers:
            messages = _read(step, run, folder, catalog, state, run.cancel.is_set)
        else:
            self._chain, self._feeder = _chain(step, run, folder, catalog, state, mappers)
            messages = parse.messages(
                self._chain.chunks(lambda: None),
                _parse_options(step, Path(run.plan.root)),
                lambda text: run.tell(step.name, Level.WARNING, text),
            )
        # Reading goes on while the destination commits.
        self.messages = ahead(
            messages,
            budget_bytes=_ahead_bytes(step),
            size_of=_size,
            beat=Beat(TICK, load.idle),
            # A thread that reads from a program comes to its end when the program has.
            unblock=self._chain.end if self._chain is not None else None,
        )

    def raise_failure(self) -> None:
        """Wait until all have ended; raise when one did not end well or the run was cancelled."""
        if self._chain is not None:
            self._chain.wait(self._load.idle)
        _raise_failure(self._run, self._chain, self._feeder)

    def first_failure(self, error: HeadwaterError) -> HeadwaterError:
        """What is behind an error in the messages: a program that dies in the middle of a line shows first as a
        line that can't be read."""
        if self._chain is not None and self._chain.at_end:
            try:
                self.raise_failure()
            except HeadwaterError as first:
                return first
        return error

    def close(self) -> None:
        # In this order: nobody may read from a pipe that is closed.
        self.messages.close()
        if self._chain is not None:
            self._chain.close()


def _ahead_bytes(step: ExtractLoad) -> int:
    """What may wait for the session; as much again within a source that reads several streams at a time."""
    return int(step.memory_bytes * _AHEAD_SHARE)


def _size(message: Message) -> int:
    match message:
        case Rows():
            return message.batch.nbytes + (message.missing.nbytes if message.missing is not None else 0)
        case Rejected():
            return len(message.record)
        case _:
            return 0


def _to_target(
    step: ExtractLoad, run: Run, keeping: Keeping, folder: Path, catalog: Json | None
) -> tuple[StreamFigures, ...]:
    state = start_state(step, run, keeping.states, checkpoint=None, has_checkpoints=False)
    others = [Start(block=block, args=config_arguments(block, folder)) for block in (*step.mappers, step.loader)]
    chain, feeder = _chain(step, run, folder, catalog, state, others)
    with chain:
        assert feeder is not None
        supervise(step, chain, run, save=state_saver(step, run, keeping.states), counts=lambda: dict(feeder.counts))
        _raise_failure(run, chain, feeder)
        return tuple(StreamFigures(stream=stream, read=count) for stream, count in feeder.counts.items())


def _chain(
    step: ExtractLoad,
    run: Run,
    folder: Path,
    catalog: Json | None,
    state: str | None,
    others: list[Start],
) -> tuple[Chain, Feeder | None]:
    """The programs of a road up to ours or to the loader, with the source in front of them."""
    block = step.extractor
    idle = step.idle_timeout_seconds
    if block.native is not None:
        chain = Chain(others, step=step.name, run=run, idle_seconds=idle, fed=True)

        def should_stop() -> bool:
            return run.cancel.is_set() or chain.is_first_dead()

        return chain, Feeder(lambda: _read(step, run, folder, catalog, state, should_stop), chain)
    args = (
        *config_arguments(block, folder),
        *catalog_arguments(block, catalog, folder),
        *state_arguments(block, state, folder),
    )
    return Chain([Start(block=block, args=args), *others], step=step.name, run=run, idle_seconds=idle), None


def _raise_failure(run: Run, chain: Chain | None, feeder: Feeder | None) -> None:
    run.cancel.check()
    if feeder is not None:
        feeder.raise_failure()
    failure = chain.failure() if chain is not None else None
    if failure is not None:
        raise failure


def _parse_options(step: ExtractLoad, root: Path) -> parse.ParseOptions:
    """What the extractor's extras say of how its output is read."""
    known = {item.name for item in msgspec.structs.fields(parse.ParseOptions)} - {"open_batch", "batch_bytes"}
    given = {name: value for name, value in step.extractor.extras.items() if name in known and value is not None}
    try:
        options = msgspec.convert(given, parse.ParseOptions, strict=False)
        return msgspec.structs.replace(options, open_batch=batch.opener(_batch_roots(step, root)))
    except msgspec.ValidationError as error:
        raise InputError(
            "wrong-setting-type",
            f"an extra of `{step.extractor.name}` has the wrong type: {str(error)[:1].lower()}{str(error)[1:]}",
            hint=f"headwater config list {step.extractor.name} --extras",
        ) from error


def _batch_roots(step: ExtractLoad, root: Path) -> list[Path]:
    """Where the tap may leave BATCH files: the folder its own settings name, and those the user trusts it with."""
    storage = (step.extractor.config.get("batch_config") or {}).get("storage") or {}
    named = [str(storage["root"]).removeprefix("file://")] if "root" in storage else []
    return [root / path for path in (*named, *(step.extractor.extras.get("batch_roots") or ()))]


def _read(
    step: ExtractLoad,
    run: Run,
    folder: Path,
    catalog: Json | None,
    state: str | None,
    should_stop: Callable[[], bool],
) -> Iterator[Message]:
    request = ReadRequest(
        catalog=native.decoded_catalog(catalog or {"streams": []}),
        state=None if state is None else state.encode(),
        folder=folder,
        jobs=step.jobs,
        ahead_bytes=_ahead_bytes(step),
        should_stop=should_stop,
    )
    return native.read(step.extractor, root=Path(run.plan.root), request=request)


def _catalog(step: ExtractLoad, run: Run, keeping: Keeping, folder: Path) -> Json | None:
    def offered() -> Json | None:
        if step.extractor.native is None:
            return offered_catalog(step, run, folder, keeping.catalogs)
        return native.offered_catalog(
            step.extractor, root=Path(run.plan.root), catalogs=keeping.catalogs, refresh=step.refresh_catalog
        )

    return selected_catalog(step, run, offered)


@contextmanager
def _session(step: ExtractLoad, run: Run, folder: Path) -> Iterator[Session]:
    request = OpenRequest(
        pipeline=step.state_id,
        run_id=run.plan.run_id,
        source=str(step.extractor.extras.get("load_schema") or step.extractor.namespace),
        folder=folder,
        memory_bytes=step.memory_bytes - _ahead_bytes(step) * (1 if step.jobs == 1 else 2),
        on_wait=lambda who: run.tell(step.name, Level.INFO, f"waiting for {who}"),
    )
    session = native.open_session(step.loader, root=Path(run.plan.root), request=request)
    try:
        yield session
    finally:
        session.close()


def _stands(step: ExtractLoad, keeping: Keeping, checkpoint: str | None) -> str | None:
    """The state that this run goes on from or replaces."""
    if checkpoint is not None or step.state_id is None:
        return checkpoint
    return merged(keeping.states.read(step.state_id))
