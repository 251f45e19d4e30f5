"""Manifests: the project as one environment has it, all files merged and all settings resolved, for other programs.

The form is the one that Meltano's `compile` has; what a list says twice there stands here once.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import msgspec

from headwater.base import yaml
from headwater.base.errors import EnvironmentProblemError
from headwater.base.files import write_atomic
from headwater.base.redact import MASK
from headwater.model.plugin import SECTIONS, Plugin
from headwater.model.project import Environment
from headwater.ops import planning
from headwater.ops.settings import masked
from headwater.ops.workspace import Workspace
from headwater.plan import child_env, settled
from headwater.plan.expand import expand
from headwater.plan.project_settings import project_variables
from headwater.plan.variables import exports
from headwater.store import lock_files, project_file

FOLDER = Path(".meltano") / "manifests"
Json = dict[str, Any]


def environments(workspace: Workspace, *, chosen: bool) -> list[Environment | None]:
    """Of which environments manifests are made: the workspace's own if it was `chosen`, else none and every one."""
    return [workspace.environment] if chosen else [None, *workspace.project.environments]


def write(workspace: Workspace, environment: Environment | None, folder: Path, *, indent: int, unsafe: bool) -> Path:
    """Write the manifest of an environment (None: of none) and return its path."""
    path = folder / (f"meltano-manifest.{environment.name}.json" if environment else "meltano-manifest.json")
    data = manifest(_within(workspace, environment), unsafe=unsafe)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentProblemError("cannot-write", f"cannot make the folder `{folder}`", why=str(error)) from error
    text = json.dumps(data, indent=indent if indent > 0 else None, sort_keys=True, default=str)
    write_atomic(path, f"{text}\n".encode())
    return path


def manifest(workspace: Workspace, *, unsafe: bool = False) -> Json:
    """The content of a manifest. Values of secret settings are masked unless `unsafe`."""
    data = _files(workspace)
    environment = workspace.environment
    own = [item for item in data.pop("environments", None) or () if environment and item["name"] == environment.name]
    here: Json = own[0] if own else {}
    data.pop("include_paths", None)
    secrets = () if unsafe else _secrets(workspace)
    data["env"] = masked(_env(workspace, data.get("env") or {}), secrets)
    plugins = data.get("plugins") or {}
    special = ((here.get("config") or {}).get("plugins")) or {}
    data["plugins"] = {
        section: [
            _plugin(workspace, entry, section, special.get(section) or (), secrets, unsafe=unsafe)
            for entry in plugins.get(section) or ()
        ]
        for section in SECTIONS
    }
    data["jobs"] = data.get("jobs") or []
    data["schedules"] = [{"env": {}, **item} for item in data.get("schedules") or ()]
    if "annotations" in here:
        data["annotations"] = _merged(data.get("annotations") or {}, here["annotations"])
    return data


def _within(workspace: Workspace, environment: Environment | None) -> Workspace:
    """The same workspace in another environment."""
    return Workspace(
        workspace.project,
        environ=workspace.environ,
        dotenv_path=workspace.dotenv_path,
        environment=environment,
    )


def _files(workspace: Workspace) -> Json:
    """The project file with those it includes, as data."""
    data: Json = {}
    for path in project_file.files(workspace.root):
        found = yaml.read(path).data
        if isinstance(found, dict):
            data = _merged(data, found)
    return data


def _env(workspace: Workspace, root: Json) -> dict[str, str]:
    """The project's settings as variables, below what `env:` of the project and of the environment say."""
    project, environment = workspace.project, workspace.environment
    levels = child_env.env_levels(
        environ=workspace.environ, dotenv=workspace.dotenv, project=project, environment=environment
    )
    named = {*root, *(environment.env if environment else ())}
    env = project_variables(planning.settings(workspace))
    env |= {name: text for name, text in levels.merged.items() if name in named}
    return _portable(workspace, env)


def _secrets(workspace: Workspace) -> tuple[str, ...]:
    """What variables that the file composes (`dsn: $PASSWORD@db`) may hold."""
    facts = planning.facts(workspace)
    return tuple(text for plugin in workspace.project.plugins for text in settled.ready(facts, plugin).secrets)


def _plugin(
    workspace: Workspace, entry: Json, section: str, special: Any, secrets: Collection[str], *, unsafe: bool
) -> Json:
    plugin = workspace.project.plugin(entry["name"], SECTIONS[section])
    assert plugin is not None
    own = dict(next((item for item in special if item.get("name") == plugin.name), {}))
    variables = {**(entry.get("env") or {}), **(own.pop("env", None) or {})}
    made: Json = _merged(_merged(_definition(workspace, plugin), entry), own)
    ready = settled.ready(planning.facts(workspace), plugin)
    env = exports(ready.resolved, ready.values)
    if not unsafe:
        shown = exports(ready.resolved, ready.values, secret=False)
        env = {name: shown.get(name, MASK) for name in env}
    own_env = masked(expand(variables, {**ready.levels.merged, **env}), secrets)
    made["env"] = _portable(workspace, {**env, **own_env})
    return made


def _definition(workspace: Workspace, plugin: Plugin) -> Json:
    """What is known of a plugin apart from the project file."""
    if plugin.inherit_from and plugin.variant is None:
        return {}
    if plugin.is_custom:
        return {"label": plugin.name, "plugin_type": plugin.kind.section}
    found = lock_files.read(workspace.root, plugin.kind, plugin.inherit_from or plugin.name, plugin.variant)
    if found is None:
        return {}
    data: Json = msgspec.json.decode(lock_files.encode(found))
    return data


def _portable(workspace: Workspace, env: dict[str, str]) -> dict[str, str]:
    root = str(workspace.root.resolve())
    return {name: text.replace(root, "${MELTANO_PROJECT_ROOT}") for name, text in env.items()}


def _merged(base: Any, over: Any) -> Any:
    """Objects key by key, lists one after the other without what comes again; anything else is replaced."""
    if isinstance(base, dict) and isinstance(over, dict):
        return base | {key: _merged(base[key], value) if key in base else value for key, value in over.items()}
    if isinstance(base, list) and isinstance(over, list):
        return base + [item for item in over if item not in base]
    return over
