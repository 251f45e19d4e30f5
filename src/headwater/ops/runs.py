"""Starting runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec
from msgspec import Struct

from headwater.base.errors import ExitCode, InputError
from headwater.model.event import Emit, Event, Outcome, Problem, StepFinished
from headwater.model.plan import Build, ExtractLoad, Invoke, Plan, Step
from headwater.model.plugin import Plugin
from headwater.ops import planning, plugins
from headwater.ops.settings import masked
from headwater.ops.workspace import Workspace
from headwater.plan import blocks, build
from headwater.run import extract_load, invoke
from headwater.run.cancel import Cancel
from headwater.run.keeping import Keeping
from headwater.run.runner import Executor, Run, execute
from headwater.store import states
from headwater.store.catalogs import Catalogs
from headwater.store.run_folders import RunFolders
from headwater.store.runs import RunLog, Runs
from headwater.store.system_db import SystemDb


class Request(Struct, frozen=True, kw_only=True):
    """What `headwater run` was asked for."""

    blocks: tuple[str, ...]
    full_refresh: bool = False
    refresh_catalog: bool = False
    no_state_update: bool = False
    force: bool = False
    state_id_suffix: str | None = None
    state_strategy: str = "auto"
    run_id: str | None = None
    timeout: float | None = None


class Result(Struct, frozen=True, kw_only=True):
    """How a run ended; `problem` says why when it did not end well."""

    run_id: str
    outcome: Outcome
    problem: Problem | None = None

    @property
    def exit_code(self) -> int:
        if self.outcome is Outcome.SUCCESS:
            return int(ExitCode.DONE)
        return self.problem.exit_code if self.problem else int(ExitCode.FAILED)


def describe(workspace: Workspace, request: Request) -> dict[str, Any]:
    """The plan as data, every secret masked. Starts and installs nothing."""
    plan = _plan(workspace, request)
    body: dict[str, Any] = msgspec.to_builtins(plan)
    body["steps"] = [_described(step, described) for step, described in zip(plan.steps, body["steps"], strict=True)]
    return body


def _described(step: Step, body: dict[str, Any]) -> dict[str, Any]:
    secrets = frozenset(text for block in _blocks(step) for text in block.secrets)
    for value in body.values():
        for block in value if isinstance(value, list) else [value]:
            if isinstance(block, dict) and "argv" in block:
                # The process's own variables say nothing about the plan and may hold anything.
                block.pop("env", None)
                block["secrets"] = len(block.get("secrets", ()))
    shown: dict[str, Any] = masked(body, secrets)
    return shown


def _blocks(step: Step) -> tuple[Any, ...]:
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
    if not request.blocks:
        raise InputError(
            "nothing-to-run", "no blocks given: nothing to run", hint="headwater run TAP TARGET, or the name of a job"
        )
    wanted = _plugins(workspace, request)
    if install is None:
        install = bool(planning.settings(workspace)["auto_install"].value)
    if install:
        plugins.install_missing(workspace, wanted, emit=emit)
    plan = _plan(workspace, request)
    with _kept(workspace, plan, " ".join(request.blocks)) as (keeping, log):
        problems: list[Problem] = []

        def tell(event: Event) -> None:
            log.append(event)
            emit(event)
            if isinstance(event, StepFinished) and event.problem is not None:
                problems.append(event.problem)

        outcome = Outcome.FAILED
        try:
            outcome = execute(plan, _executors(keeping), emit=tell, cancel=cancel)
        finally:
            log.finish(outcome)
        return Result(run_id=plan.run_id, outcome=outcome, problem=problems[0] if problems else None)


def _plan(workspace: Workspace, request: Request) -> Plan:
    options = build.Options(
        full_refresh=request.full_refresh,
        refresh_catalog=request.refresh_catalog,
        no_state_update=request.no_state_update,
        force=request.force,
        state_id_suffix=request.state_id_suffix,
        state_strategy=request.state_strategy,
    )
    return planning.plan(workspace, request.blocks, options, run_id=request.run_id, timeout_seconds=request.timeout)


def _plugins(workspace: Workspace, request: Request) -> list[Plugin]:
    found: list[Plugin] = []
    for group in blocks.group(workspace.project, request.blocks):
        words = (group.word,) if isinstance(group, blocks.Alone) else (group.extractor, *group.mappers, group.loader)
        found += [word.plugin for word in words if word.plugin not in found]
    return found


def _executors(keeping: Keeping) -> Mapping[type[Step], Executor]:
    return {
        ExtractLoad: extract_load.executor(keeping),
        Invoke: invoke.execute,
        Build: _build,
    }


def _build(step: Build, run: Run) -> Any:
    if step.verb == "check":
        # DuckDB and the SQL parser are loaded by runs that build or check, by no other.
        from headwater.quality import step as checks  # noqa: PLC0415 - see above

        return checks.execute(step, run)
    from headwater.transform import step as models  # noqa: PLC0415 - see above

    return models.execute(step, run)


@contextmanager
def _kept(workspace: Workspace, plan: Plan, name: str) -> Iterator[tuple[Keeping, RunLog]]:
    db = SystemDb(workspace.home)
    try:
        log = Runs(db, workspace.home).begin(plan.run_id, name, trigger=plan.trigger, environment=plan.environment)
        yield keeping(workspace, plan.state_uri, db), log
    finally:
        db.close()


def keeping(workspace: Workspace, state_uri: str, db: SystemDb) -> Keeping:
    """The stores that steps read and write."""
    return Keeping(
        states=states.open_backend(state_uri, db),
        catalogs=Catalogs(workspace.home),
        folders=RunFolders(workspace.home),
        locks=workspace.home / "locks",
    )
