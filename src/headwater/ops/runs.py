"""Starting runs."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from headwater.base import clock, failpoint
from headwater.base.errors import EnvironmentProblemError, ExitCode, InputError, Where
from headwater.base.redact import MASK
from headwater.model.event import Emit, Event, Level, Notice, Outcome, Problem, StepFinished, StreamFigures
from headwater.model.plan import Block, Build, ExtractLoad, Invoke, Plan, Step
from headwater.model.plugin import Plugin, PluginKind
from headwater.model.run import RunRecord
from headwater.ops import meltano_import, planning, plugins, resuming, states
from headwater.ops.settings import masked
from headwater.ops.workspace import Workspace
from headwater.plan import blocks, build, settled
from headwater.plan.options import Options
from headwater.run import extract_load, invoke
from headwater.run.cancel import Cancel
from headwater.run.keeping import Keeping
from headwater.run.prepared import prepared
from headwater.run.runner import Executor, Run, execute
from headwater.store.catalogs import Catalogs
from headwater.store.run_folders import RunFolders
from headwater.store.runs import RunLog, Runs
from headwater.store.system_db import SystemDb

_DAY = 86_400


class Request(Struct, frozen=True, kw_only=True):
    """What `headwater run`, `el` or `elt` was asked for. `select` and `exclude` are patterns of streams, for this run
    only. `resume` leaves out the steps that the last run of the same blocks has done. `name` is what the run is called
    in the run store: its blocks, unless it is given."""

    blocks: tuple[str, ...]
    name: str | None = None
    full_refresh: bool = False
    refresh_catalog: bool = False
    no_state_update: bool = False
    force: bool = False
    state_id_suffix: str | None = None
    state_strategy: str = "auto"
    state_id: str | None = None
    select: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    catalog: str | None = None
    state: str | None = None
    transform: str = "skip"
    run_id: str | None = None
    timeout: float | None = None
    jobs: int | None = None
    parallel: int = 1
    retries: int | None = None
    retry_seconds: float = 2.0
    resume: bool = False

    @property
    def called(self) -> str:
        return self.name or " ".join(self.blocks)

    @property
    def options(self) -> Options:
        return Options(
            full_refresh=self.full_refresh,
            refresh_catalog=self.refresh_catalog,
            no_state_update=self.no_state_update,
            force=self.force,
            state_id=self.state_id,
            state_id_suffix=self.state_id_suffix,
            state_strategy=self.state_strategy,
            catalog_file=self.catalog,
            state_file=self.state,
            select_filter=(*self.select, *(f"!{pattern}" for pattern in self.exclude)),
            retries=self.retries,
            jobs=self.jobs,
        )


class Result(Struct, frozen=True, kw_only=True):
    """How a run ended; `problem` says why when it did not end well."""

    run_id: str
    outcome: Outcome
    problem: Problem | None = None

    @property
    def exit_code(self) -> ExitCode:
        if self.outcome is Outcome.SUCCESS:
            return ExitCode.DONE
        return ExitCode(self.problem.exit_code) if self.problem else ExitCode.FAILED


def describe(workspace: Workspace, request: Request) -> dict[str, Any]:
    """The plan as data, every secret masked. Starts and installs nothing. Raises InputError as `start` does."""
    _refuse_nothing(request)
    plan = _plan(workspace, request)
    body: dict[str, Any] = msgspec.to_builtins(plan)
    body["state_uri"] = re.sub(r"://[^/@]*@", f"://{MASK}@", plan.state_uri)
    body["steps"] = [_described(step) for step in plan.steps]
    return body


def _described(step: Step) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.to_builtins(step)
    for block in (*(body[key] for key in _BLOCKS if key in body), *body.get("mappers", ())):
        # The process's own variables say nothing about the plan and may hold anything.
        del block["env"]
        block["secrets"] = len(block["secrets"])
    shown: dict[str, Any] = masked(body, [text for block in _blocks(step) for text in block.secrets])
    return shown


_BLOCKS = ("extractor", "loader", "block", "warehouse")


def _blocks(step: Step) -> tuple[Block, ...]:
    match step:
        case ExtractLoad():
            return (step.extractor, *step.mappers, step.loader)
        case Invoke():
            return (step.block,)
        case Build():
            return (step.block, step.warehouse)


def start(workspace: Workspace, request: Request, *, emit: Emit, cancel: Cancel, install: bool | None = None) -> Result:
    """Plan, install what is missing, execute, and keep every event in the run store.

    `install` None follows the project setting `auto_install`. The answer comes when the run has ended.
    """
    _refuse_nothing(request)
    failpoint.arm(workspace.environ.get("HEADWATER_FAILPOINT"))
    meltano_import.first(workspace, lambda text: emit(Notice(step=None, level=Level.INFO, text=text)))
    wanted = plugins_of(workspace, request)
    if install is None:
        install = bool(planning.settings(workspace)["auto_install"].value)
    if install:
        plugins.install_missing(workspace, wanted, emit=emit)
    plan = _plan(workspace, request)
    return recorded(workspace, plan, request.called, _executors, emit=emit, cancel=cancel)


def install(workspace: Workspace, request: Request, *, emit: Emit) -> None:
    """Install what the request needs, and nothing more."""
    _refuse_nothing(request)
    plugins.install_missing(workspace, plugins_of(workspace, request), emit=emit)


def recorded(
    workspace: Workspace,
    plan: Plan,
    name: str,
    executors: Callable[[Keeping], Mapping[type[Step], Executor]],
    *,
    emit: Emit,
    cancel: Cancel,
) -> Result:
    """Execute a plan, and keep every event in the run store, where the run has that name."""
    problems: list[Problem] = []

    def warn(text: str) -> None:
        tell(Notice(step=None, level=Level.WARNING, text=text))

    with _kept(workspace, plan, name, warn=warn) as (keeping, log, dead):

        def tell(event: Event) -> None:
            log.append(event)
            emit(event)
            if isinstance(event, StepFinished) and event.problem is not None:
                problems.append(event.problem)

        for record in dead:
            warn(f"the run that began at {record.started_at} was killed: it is marked failed")
        outcome = Outcome.FAILED
        try:
            outcome = execute(plan, executors(keeping), emit=tell, cancel=cancel)
        finally:
            log.finish(outcome)
        return Result(run_id=plan.run_id, outcome=outcome, problem=problems[0] if problems else None)


def _refuse_nothing(request: Request) -> None:
    if not request.blocks:
        raise InputError(
            "nothing-to-run", "no blocks given: nothing to run", hint="headwater run TAP TARGET, or the name of a job"
        )


def _plan(workspace: Workspace, request: Request) -> Plan:
    plan = planning.plan(
        workspace, request.blocks, request.options, run_id=request.run_id, timeout_seconds=request.timeout
    )
    plan = replace(plan, parallel=request.parallel, retry_seconds=request.retry_seconds)
    if request.transform != "skip":
        plan = replace(plan, steps=_with_transform(workspace, request, plan.steps))
    if request.resume:
        plan = replace(plan, steps=resuming.rest(workspace, request.called, plan.steps))
    return plan


def _with_transform(workspace: Workspace, request: Request, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """The steps of a pipeline, and after them those of its transformer: both, or the latter alone."""
    (group,) = blocks.group(workspace.project, request.blocks)
    assert isinstance(group, blocks.Pipeline)
    words = _transform_words(workspace)
    after = build.transform(planning.facts(workspace), group, words, request.options)
    return after if request.transform == "only" else (*steps, *after)


def _transform_words(workspace: Workspace) -> tuple[str, ...]:
    """dbt in three commands, as `elt` has always called it; one command for our own models."""
    found = [item for item in workspace.project.plugins if item.kind is PluginKind.TRANSFORMER]
    found = [item for item in found if item.name == "dbt"] or found
    if len(found) != 1:
        names = ", ".join(f"`{item.name}`" for item in found)
        raise InputError(
            "no-transformer",
            f"`--transform` needs one transformer, the project has {names or 'none'}",
            where=Where(workspace.project.file_name),
            hint="headwater run TAP TARGET TRANSFORMER:COMMAND",
        )
    name = found[0].name
    if settled.ready(planning.facts(workspace), found[0]).resolved.native is not None:
        return (name,)
    return (f"{name}:clean", f"{name}:deps", f"{name}:run")


def plugins_of(workspace: Workspace, request: Request) -> list[Plugin]:
    """The plugins that a request names, each once. Raises InputError as `start`."""
    found: list[Plugin] = []
    words = request.blocks if request.transform == "skip" else (*request.blocks, *_transform_words(workspace)[:1])
    for group in blocks.group(workspace.project, words):
        own = (group.word,) if isinstance(group, blocks.Alone) else (group.extractor, *group.mappers, group.loader)
        found += [word.plugin for word in own if word.plugin not in found]
    return found


def _executors(keeping: Keeping) -> Mapping[type[Step], Executor]:
    return {
        ExtractLoad: extract_load.executor(keeping),
        Invoke: _invoking(keeping),
        Build: _build,
    }


def _invoking(keeping: Keeping) -> Executor:
    """For the steps of one run: commands of dbt have an executor of their own, which they share."""
    of_dbt: Executor | None = None

    def execute(step: Invoke, run: Run) -> tuple[StreamFigures, ...]:
        nonlocal of_dbt
        if step.checker is not None:
            from headwater.quality.checkers import step as checkers  # noqa: PLC0415 - loaded by runs with such a step

            return checkers.execute(step, run)
        if step.dbt is None:
            with prepared(step.block, keeping.folders, cwd=step.cwd, cancel=run.cancel) as block:
                return invoke.execute(replace(step, block=block), run)
        if of_dbt is None:
            from headwater.transform.dbt import step as dbt  # noqa: PLC0415 - loaded by runs that have such a step

            of_dbt = dbt.executor()
        return of_dbt(step, run)

    return execute


def _build(step: Build, run: Run) -> tuple[StreamFigures, ...]:
    if step.verb == "check":
        # DuckDB and the SQL parser are loaded by runs that build or check, by no other.
        from headwater.quality import step as checks  # noqa: PLC0415 - see above

        return checks.execute(step, run)
    from headwater.ops import models  # noqa: PLC0415 - see above

    return models.build(step, run)


@contextmanager
def _kept(
    workspace: Workspace, plan: Plan, name: str, *, warn: Callable[[str], None]
) -> Iterator[tuple[Keeping, RunLog, list[RunRecord]]]:
    """With the runs that are found dead."""
    with closing(SystemDb(workspace.home)) as db:
        runs = Runs(db, workspace.home)
        dead = runs.settle()
        log = runs.begin(plan.run_id, name, trigger=plan.trigger, environment=plan.environment)
        stores = keeping(workspace, plan.state_uri, db, warn=warn)
        with closing(stores.states):
            yield stores, log, dead
        _forget_lines(workspace, runs)


def _forget_lines(workspace: Workspace, runs: Runs) -> None:
    """Once a day at most: the lines of runs that are older than the project keeps them."""
    days = planning.settings(workspace)["keep_logs_days"].value
    done = workspace.home / "forgot-lines"
    now = clock.now()
    if not days or (done.exists() and now.timestamp() - done.stat().st_mtime < _DAY):
        return
    # The run is over and kept: that its database can't be tidied now does not make it fail.
    with suppress(EnvironmentProblemError):
        runs.forget_lines(now - timedelta(days=days))
        done.touch()


def keeping(
    workspace: Workspace, state_uri: str, db: SystemDb, *, warn: Callable[[str], None] = lambda _text: None
) -> Keeping:
    """The stores that steps read and write. `warn` hears of damaged states."""
    return Keeping(
        states=states.backend(workspace, db, uri=state_uri, warn=warn),
        catalogs=Catalogs(workspace.home),
        folders=RunFolders(workspace.home),
        locks=workspace.home / "locks",
    )


class Aside(Struct, frozen=True, kw_only=True):
    """What the parts of a step need when they are used outside of a recorded run."""

    run: Run
    stores: Keeping
    folder: Path


@contextmanager
def aside(workspace: Workspace, *, emit: Emit, cancel: Cancel) -> Iterator[Aside]:
    """A run without steps that is kept nowhere, with a private scratch folder. States are those of the project's own
    database, whatever its backend is."""
    plan = Plan(
        run_id=str(uuid.uuid4()),
        root=str(workspace.root),
        home=str(workspace.home),
        environment=workspace.environment_name,
        steps=(),
    )
    with closing(SystemDb(workspace.home)) as db:
        stores = keeping(workspace, "systemdb", db)
        with stores.folders.opened(plan.run_id) as folder:
            yield Aside(run=Run(plan=plan, emit=emit, cancel=cancel), stores=stores, folder=folder)
