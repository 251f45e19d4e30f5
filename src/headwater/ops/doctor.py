"""What is wrong with this machine and this project, and what to do about it. Changes nothing, sends nothing."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from headwater import __version__
from headwater.base.errors import HeadwaterError
from headwater.base.redact import without_credentials
from headwater.base.text import byte_size
from headwater.model.plugin import Plugin
from headwater.ops import connections, planning, states
from headwater.ops.finding import Finding, failed
from headwater.ops.plugins import listing
from headwater.ops.workspace import Workspace
from headwater.plan import settings as plan_settings
from headwater.plan import settled
from headwater.plan.expand import undefined
from headwater.plan.variables import info
from headwater.run.prepared import PROGRAM, own_program
from headwater.store import lock_files

_LOW_DISK = 1 << 30


def examine(workspace_of: Callable[[], Workspace], *, singer: bool = False) -> list[Finding]:
    """Every finding, the machine's first. An error in one place does not hide another. With `singer`, plugins of
    others are tried as `config test` does."""
    findings = [
        Finding(
            subject="headwater",
            status="ok",
            text=f"{__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}",
        ),
        *_bytecode(),
    ]
    try:
        workspace = workspace_of()
    except HeadwaterError as error:
        return [*findings, failed("project", error)]
    environment = f", environment `{workspace.environment.name}`" if workspace.environment else ", no environment"
    findings.append(Finding(subject="project", status="ok", text=f"{workspace.project.file}{environment}"))
    findings += _disk(workspace)
    findings += _installed(workspace)
    try:
        facts = planning.facts(workspace)
    except HeadwaterError as error:
        return [*findings, failed("project", error)]
    findings += _program(workspace)
    findings += _locked(workspace)
    findings += _states(workspace)
    complete = []
    for plugin in workspace.project.plugins:
        found = list(_settings(facts, plugin))
        findings += found
        if all(one.status != "failed" for one in found):
            complete.append(plugin)
    try:
        findings += connections.examine(workspace, complete, singer=singer)
    except HeadwaterError as error:
        findings.append(failed("connections", error))
    return findings


def _bytecode() -> Iterator[Finding]:
    if sys.dont_write_bytecode:
        yield Finding(
            subject="machine",
            status="warning",
            text="PYTHONDONTWRITEBYTECODE is set: every start parses all code again",
            hint="unset PYTHONDONTWRITEBYTECODE",
        )


def _disk(workspace: Workspace) -> Iterator[Finding]:
    free = shutil.disk_usage(workspace.root).free
    text = f"{byte_size(free)} free at {workspace.root}"
    if free < _LOW_DISK:
        yield Finding(
            subject="disk",
            status="warning",
            text=text,
            hint=f"free space, loads keep rows there for a moment: df -h {workspace.root}",
        )
    else:
        yield Finding(subject="disk", status="ok", text=text)
    if not os.access(workspace.root, os.W_OK):
        yield Finding(
            subject="disk", status="failed", text=f"{workspace.root} is not writable", hint=f"ls -ld {workspace.root}"
        )


def _installed(workspace: Workspace) -> Iterator[Finding]:
    try:
        rows = listing(workspace)
    except HeadwaterError as error:
        yield failed("plugins", error)
        return
    for row in rows:
        if row.installed is False:
            yield Finding(
                subject=row.name, status="warning", text="not installed", hint=f"headwater install {row.name}"
            )


def _program(workspace: Workspace) -> Iterator[Finding]:
    """DAGs of Airflow that came with Meltano would go on to run Meltano, which keeps its own states."""
    link, own = workspace.root / PROGRAM, own_program()
    if link.exists() and own.is_file() and not link.samefile(own):
        yield Finding(
            subject="orchestration",
            status="warning",
            text=f"DAGs that call `{PROGRAM}` run {link.resolve()}",
            hint=f"ln -sfn {own} {link}",
        )


def _locked(workspace: Workspace) -> Iterator[Finding]:
    """Lock files that cannot be read. One that is missing is made by the next install."""
    for plugin in workspace.project.plugins:
        try:
            lock_files.read(workspace.root, plugin.kind, plugin.inherit_from or plugin.name, plugin.variant)
        except HeadwaterError as error:
            yield failed(plugin.name, error)


def _states(workspace: Workspace) -> Iterator[Finding]:
    uri = without_credentials(planning.state_uri(workspace))
    try:
        with states.opened(workspace) as backend:
            count = len(backend.ids())
    except HeadwaterError as error:
        yield failed("states", error)
        return
    yield Finding(subject="states", status="ok", text=f"`{uri}` answers, and has {count} state{'s' * (count != 1)}")


def _settings(facts: settled.Facts, plugin: Plugin) -> Iterator[Finding]:
    try:
        ready = settled.ready(facts, plugin)
    except HeadwaterError as error:
        yield failed(plugin.name, error)
        return
    for unknown in plan_settings.unknown_keys(ready.resolved, facts.environment):
        yield Finding(
            subject=plugin.name,
            status="warning",
            text=f"{unknown.where}: `{unknown.key}` is no setting of it",
            hint=f"did you mean `{unknown.suggestion}`?",
        )
    unset = undefined(plugin.config, {**facts.dotenv, **ready.levels.merged, **info(ready.resolved)})
    if unset:
        yield Finding(
            subject=plugin.name,
            status="warning",
            text=f"its settings name {', '.join(f'`${name}`' for name in unset)}, which is not set",
            hint=f"set it in .env or in the shell: {unset[0]}=…",
        )
    missing = _missing(plugin, ready)
    if missing:
        yield Finding(
            subject=plugin.name,
            status="failed",
            text=f"needs {', '.join(f'`{name}`' for name in missing)}",
            hint=f"headwater config set {plugin.name} {missing[0]} VALUE",
        )
    else:
        yield Finding(subject=plugin.name, status="ok", text="its settings are complete")


def _missing(plugin: Plugin, ready: settled.Ready) -> tuple[str, ...]:
    """Each mapping of a mapper is a mapper of its own, so what it needs may stand there."""
    mappings: Sequence[Mapping[str, Any]] = plugin.extras.get("mappings") or ({},)
    given = (plan_settings.written(ready.resolved, mapping.get("config") or {}, "") for mapping in mappings)
    found = (plan_settings.missing_required(ready.resolved, {**ready.values, **values}) for values in given)
    return tuple(dict.fromkeys(name for missing in found for name in missing))
