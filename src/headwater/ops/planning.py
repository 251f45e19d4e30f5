"""From a workspace to a plan: gathers what `plan` may look at, and nothing more."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from headwater.base import clock
from headwater.base.errors import InputError, Where
from headwater.base.text import did_you_mean
from headwater.model.plan import Plan
from headwater.model.plugin import Plugin, PluginKind, Resolved
from headwater.model.setting import Setting, Value
from headwater.ops.definitions import lookup
from headwater.ops.workspace import Workspace
from headwater.plan import build, settled
from headwater.plan.options import Options
from headwater.plan.project_settings import project_settings
from headwater.store import venvs


def facts(workspace: Workspace) -> settled.Facts:
    """What planning looks at."""
    values = settings(workspace)
    return settled.Facts(
        project=workspace.project,
        environment=workspace.environment,
        environ=workspace.environ,
        dotenv=workspace.dotenv,
        home=str(workspace.home),
        definition_of=lookup(workspace.root),
        venv_of=partial(_venv, workspace.home),
        fingerprint_of=partial(_fingerprint, workspace.home),
        database=workspace.stored_settings,
        share_extractor_secrets=bool(values["share_extractor_secrets"].value),
        strict=bool(values["ff.strict_env_var_mode"].value),
        today=clock.now(),
    )


def settings(workspace: Workspace, more: Sequence[Setting] = ()) -> dict[str, Value]:
    """The project's own settings, resolved; `more` are declared elsewhere."""
    return project_settings(
        workspace.project,
        env=workspace.environ,
        dotenv=workspace.dotenv,
        environment=workspace.environment,
        database=workspace.stored_settings,
        more=more,
    )


def state_uri(workspace: Workspace) -> str:
    """Where states are kept."""
    return str(settings(workspace)["state_backend.uri"].value or "systemdb")


def plan(
    workspace: Workspace,
    words: Sequence[str],
    options: Options,
    *,
    run_id: str | None = None,
    timeout_seconds: float | None = None,
) -> Plan:
    """The plan for these words. Raises InputError for the first thing that is wrong; starts nothing."""
    return Plan(
        run_id=run_id or str(uuid.uuid4()),
        root=str(workspace.root),
        home=str(workspace.home),
        environment=workspace.environment_name,
        steps=build.steps(facts(workspace), words, options),
        state_uri=state_uri(workspace),
        timeout_seconds=timeout_seconds,
    )


def plugin(workspace: Workspace, name: str, kind: PluginKind | None = None) -> Plugin:
    """The project's plugin of that name. Raises InputError (`unknown-plugin`, `ambiguous-plugin`)."""
    found = [item for item in workspace.project.plugins if item.name == name and kind in (None, item.kind)]
    if not found:
        guess = did_you_mean(name, [item.name for item in workspace.project.plugins])
        raise InputError(
            "unknown-plugin",
            f"the project has no plugin `{name}`",
            where=Where(workspace.project.file_name),
            hint=f"did you mean `{guess}`? or: headwater add {name}" if guess else f"headwater add {name}",
        )
    if len(found) > 1:
        raise InputError(
            "ambiguous-plugin",
            f"`{name}` is the name of {' and '.join(f'a {item.kind}' for item in found)}",
            where=Where(found[0].file, found[0].line),
            hint=f"add --plugin-type {found[0].kind}",
        )
    return found[0]


def _venv(home: Path, resolved: Resolved) -> str:
    return str(venvs.venv(home, resolved.kind, resolved.venv_name))


def _fingerprint(home: Path, resolved: Resolved) -> str:
    return venvs.installed_fingerprint(home, resolved.kind, resolved.venv_name) or ""
