"""Records that could not be loaded: list them, load them again, drop them."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import cast

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from headwater.base import clock, failpoint
from headwater.base.errors import InputError
from headwater.base.redact import Redactor
from headwater.connect.contract import OpenRequest
from headwater.connect.rejects import Again, Chosen, Quarantine, Reject, ReplaySession
from headwater.model.event import Emit
from headwater.model.plan import ExtractLoad, Step
from headwater.ops import planning, runs
from headwater.ops.reject_places import Place, pipeline_of, places
from headwater.ops.runs import Result
from headwater.ops.workspace import Workspace
from headwater.plan import settled
from headwater.plan.options import Options
from headwater.run import native, replay
from headwater.run.cancel import Cancel

OnWait = Callable[[str], None]
_SHOWN = 80
_KEY_SHOWN = 40


class Wanted(Struct, frozen=True, kw_only=True):
    """What a command is about. `blocks` are the words of a run, `state_id` is a pipeline's; without either it is every
    native loader of the project. `run` and `id` may be cut to their first characters."""

    blocks: tuple[str, ...] = ()
    state_id: str | None = None
    stream: str | None = None
    run: str | None = None
    id: str | None = None


class Left(Struct, frozen=True, kw_only=True):
    """How many rejects of a stream a run left."""

    loader: str
    state_id: str | None
    run_id: str
    stream: str
    count: int
    rejected_at: str


class Shown(Struct, frozen=True, kw_only=True):
    """A reject without secrets. `commit` is the number of the pipeline's commit that set it aside; `key` says which
    row it is, None when the stream has no keys."""

    id: str
    loader: str
    state_id: str | None
    run_id: str
    commit: int
    stream: str
    rejected_at: str
    reason: str
    key: str | None
    record: str


class Listing(Struct, frozen=True, kw_only=True):
    """`count` rejects in all, of which the newest are in `rejects`, their records cut."""

    count: int
    left: list[Left]
    rejects: list[Shown]


def listing(workspace: Workspace, wanted: Wanted, *, limit: int, on_wait: OnWait) -> Listing:
    """What is set aside, the newest first. Raises InputError for blocks that are no pipeline with a native loader."""
    redact = _redactor(workspace)
    left: list[Left] = []
    shown: list[Shown] = []
    with _opened(workspace, wanted, on_wait) as found:
        for place, quarantine, chosen in found:
            left += [
                Left(
                    loader=place.loader.name,
                    state_id=one.pipeline,
                    run_id=one.run_id,
                    stream=one.stream,
                    count=one.count,
                    rejected_at=clock.iso(one.rejected_at),
                )
                for one in quarantine.counts(chosen)
            ]
            rejects = quarantine.rejects(chosen, limit)
            shown += [_shown(place, one, redact, most=_SHOWN) for one in rejects]
    left.sort(key=lambda one: one.rejected_at, reverse=True)
    shown.sort(key=lambda one: one.rejected_at, reverse=True)
    return Listing(count=sum(one.count for one in left), left=left, rejects=shown[:limit])


def show(workspace: Workspace, wanted: Wanted, *, on_wait: OnWait) -> Shown:
    """One reject, its record as a whole. Raises InputError (`no-such-reject`) when none or several are meant."""
    with _opened(workspace, wanted, on_wait) as found:
        rejects = [(place, one) for place, quarantine, chosen in found for one in quarantine.rejects(chosen, 2)]
        exact = [(place, one) for place, one in rejects if one.id == wanted.id]
    chosen = exact or rejects
    if len(chosen) != 1:
        what = f"`{wanted.id}` is the beginning of several ids" if chosen else f"there is no reject `{wanted.id}`"
        raise InputError("no-such-reject", what, hint="headwater rejects list")
    (place, one), *_ = chosen
    return _shown(place, one, _redactor(workspace))


def run_again(workspace: Workspace, wanted: Wanted, *, emit: Emit, cancel: Cancel, on_wait: OnWait) -> Result | None:
    """Load rejects again, in a run that is recorded like others. None when there are none.

    Each commit takes what it loads out of quarantine. Rejects that again can't be loaded stay, with the new reason.
    Raises InputError for a pipeline that the project has not.
    """
    failpoint.arm(workspace.environ.get("HEADWATER_FAILPOINT"))
    steps = _steps(workspace, wanted, on_wait)
    if not steps:
        return None
    plan = replace(planning.plan(workspace, (), Options()), steps=steps)
    chosen = Chosen(stream=wanted.stream, run_id=wanted.run, id=wanted.id)
    name = " ".join(("rejects replay", *wanted.blocks))
    return runs.recorded(
        workspace,
        plan,
        name,
        lambda keeping: {ExtractLoad: replay.executor(keeping, chosen)},
        emit=emit,
        cancel=cancel,
    )


def count(workspace: Workspace, wanted: Wanted, *, on_wait: OnWait) -> int:
    with _opened(workspace, wanted, on_wait) as found:
        return sum(one.count for _, quarantine, chosen in found for one in quarantine.counts(chosen))


def drop(workspace: Workspace, wanted: Wanted, *, on_wait: OnWait) -> int:
    """Forget rejects for ever; answers how many. Of each pipeline all at once or none.

    Raises RunFailedError: `already-running` while a load of the pipeline runs, `rejects-changed` when others took some
    away meanwhile.
    """
    dropped = 0
    with _opened(workspace, wanted, on_wait) as found:
        ids = [(place, *group) for place, quarantine, chosen in found for group in _by_pipeline(quarantine, chosen)]
    for place, pipeline, source, some in ids:
        _drop(workspace, place, pipeline, source or place.source, some, on_wait)
        dropped += len(some)
    return dropped


def _by_pipeline(quarantine: Quarantine, chosen: Chosen) -> list[tuple[str | None, str | None, tuple[str, ...]]]:
    found: dict[tuple[str | None, str | None], list[str]] = {}
    for one in quarantine.rejects(chosen):
        found.setdefault((one.pipeline, one.source), []).append(one.id)
    return [(pipeline, source, tuple(ids)) for (pipeline, source), ids in found.items()]


def _drop(
    workspace: Workspace, place: Place, pipeline: str | None, source: str, ids: tuple[str, ...], on_wait: OnWait
) -> None:
    run_id = str(uuid.uuid4())
    with runs.aside(workspace, emit=lambda _event: None, cancel=Cancel()) as beside, ExitStack() as held:
        if pipeline is not None:
            owner = f"rejects drop, process {os.getpid()}, since {clock.iso(clock.now())}"
            held.callback(beside.stores.pipeline_lock(pipeline, owner).release)
        request = OpenRequest(pipeline=pipeline, run_id=run_id, source=source, folder=beside.folder, on_wait=on_wait)
        session = native.open_session(place.loader, root=Path(workspace.root), request=request)
        with closing(cast("ReplaySession", session)) as opened:
            opened.replay(Again(ids=ids, origin=None))
            opened.commit(None)


def _steps(workspace: Workspace, wanted: Wanted, on_wait: OnWait) -> tuple[Step, ...]:
    """The pipelines to replay: those that are named, or those that left rejects."""
    if wanted.blocks:
        options = Options(state_id=wanted.state_id)
        return tuple(place.step for place in places(workspace, wanted.blocks, options) if place.step is not None)
    with _opened(workspace, wanted, on_wait) as found:
        left = {
            pipeline
            for _, quarantine, chosen in found
            for pipeline, _ in quarantine.commits(chosen)
            if pipeline is not None
        }
    return tuple(step for state_id in sorted(left) for step in _steps_of(workspace, state_id))


def _steps_of(workspace: Workspace, state_id: str) -> tuple[Step, ...]:
    extractor, loader = pipeline_of(workspace, state_id)
    return planning.plan(workspace, (extractor.name, loader.name), Options(state_id=state_id)).steps


@contextmanager
def _opened(workspace: Workspace, wanted: Wanted, on_wait: OnWait) -> Iterator[list[tuple[Place, Quarantine, Chosen]]]:
    """The quarantines that are meant, each with what is meant of it."""
    chosen = Chosen(pipeline=wanted.state_id, stream=wanted.stream, run_id=wanted.run, id=wanted.id)
    options = Options(state_id=wanted.state_id)
    with runs.aside(workspace, emit=lambda _event: None, cancel=Cancel()) as beside, ExitStack() as held:
        found = []
        for number, place in enumerate(places(workspace, wanted.blocks, options)):
            quarantine = native.quarantine(
                place.loader,
                root=Path(workspace.root),
                source=place.source,
                folder=beside.folder / str(number),
                on_wait=on_wait,
            )
            held.callback(quarantine.close)
            of_step = replace(chosen, pipeline=place.step.state_id) if place.step is not None else chosen
            found.append((place, quarantine, of_step))
        yield found


def _redactor(workspace: Workspace) -> Redactor:
    """Takes out every secret of the project's plugins."""
    facts = planning.facts(workspace)
    secrets: list[str] = []
    for plugin in workspace.project.plugins:
        try:
            secrets += settled.ready(facts, plugin).secrets
        except InputError:
            continue  # its own commands will say what is wrong with it
    return Redactor(secrets)


def _shown(place: Place, one: Reject, redact: Redactor, *, most: int | None = None) -> Shown:
    record = redact(one.rejected.record.decode("utf-8", "backslashreplace"))
    key = _key(one)
    return Shown(
        id=one.id,
        loader=place.loader.name,
        state_id=one.pipeline,
        run_id=one.origin.run_id,
        commit=one.origin.sequence,
        stream=one.rejected.stream,
        rejected_at=clock.iso(one.origin.rejected_at),
        reason=redact(one.rejected.reason),
        key=None if key is None else redact(key)[:_KEY_SHOWN],
        record=record if most is None or len(record) <= most else f"{record[:most]}…",
    )


class _Stated(Struct):
    key_properties: Raw = Raw(b"[]")


def _key(one: Reject) -> str | None:
    """`id=7`, by the keys that the record's schema names; None when it has none or can't be read."""
    try:
        keys = msgspec.json.decode(msgspec.json.decode(one.rejected.schema or b"{}", type=_Stated).key_properties)
        record = msgspec.json.decode(one.rejected.record, type=dict[str, Raw])
    except (msgspec.MsgspecError, RecursionError):
        return None
    names: Sequence[str] = [keys] if isinstance(keys, str) else keys if isinstance(keys, list) else ()
    said = [f"{name}={_plain(record[name])}" for name in names if name in record]
    return ", ".join(said) or None


def _plain(token: Raw) -> str:
    value = msgspec.json.decode(token)
    return value if isinstance(value, str) else bytes(token).decode("utf-8", "backslashreplace")
