"""A plugin's settings: shown with their origin, changed where they belong, tried."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from headwater.base.errors import InputError
from headwater.base.redact import MASK
from headwater.base.text import env_name
from headwater.model.plugin import PluginKind
from headwater.model.setting import Origin, Setting, Value
from headwater.ops import planning
from headwater.ops.workspace import Workspace
from headwater.plan import build
from headwater.plan.cast import WrongTypeError, cast
from headwater.plan.sensitive import is_named_secret as is_secret_setting
from headwater.plan.settings import missing_required
from headwater.plan.variables import exports, text
from headwater.store import dotenv, project_edit

# `headwater config … meltano NAME` is how Meltano names the project itself.
PROJECT_NAMES = ("headwater", "meltano")


class Listing(Struct, frozen=True, kw_only=True):
    plugin: str
    values: tuple[Value, ...]
    missing: tuple[str, ...]


def listing(workspace: Workspace, name: str, kind: PluginKind | None = None, *, extras: bool = False) -> Listing:
    """All settings of a plugin (or its extras), resolved, in the definition's order."""
    if name in PROJECT_NAMES:
        return Listing(plugin=PROJECT_NAMES[0], values=tuple(planning.settings(workspace).values()), missing=())
    ready = _ready(workspace, name, kind)
    values = tuple(value for value in ready.values.values() if value.name.startswith("_") == extras)
    return Listing(plugin=name, values=values, missing=() if extras else missing_required(ready.resolved, ready.values))


def is_noteworthy(value: Value, listed: Listing) -> bool:
    """Someone set it, or someone must."""
    required = value.setting is not None and value.setting.required
    return required or value.name in listed.missing or value.origin is not Origin.DEFAULT


def as_json(value: Value, *, unsafe: bool = False) -> dict[str, Any]:
    """A value as data. Secrets are masked unless `unsafe`, those in shadowed layers too."""
    masked = value.secret and not unsafe and value.value is not None
    return {
        "name": value.name,
        "value": MASK if masked else value.value,
        "origin": value.origin,
        "source": value.source,
        "secret": value.secret,
        "required": bool(value.setting and value.setting.required),
        "kind": value.setting.kind if value.setting else None,
        "description": value.setting.description if value.setting else None,
        "shadowed": [as_json(weaker, unsafe=unsafe) for weaker in value.shadowed],
    }


def variable(plugin: str, value: Value) -> str:
    """The variable that sets it."""
    return env_name(plugin, value.name)


def effective(
    workspace: Workspace,
    name: str,
    kind: PluginKind | None = None,
    *,
    extras: bool = False,
    unsafe: bool = False,
) -> dict[str, Any]:
    """What the plugin's config file would hold; of its extras those that are set."""
    if name in PROJECT_NAMES:
        values = planning.settings(workspace)
        return {key: _shown(value, unsafe=unsafe) for key, value in values.items() if value.value is not None}
    ready = _ready(workspace, name, kind)
    if extras:
        return {
            value.name: _shown(value, unsafe=unsafe)
            for value in ready.values.values()
            if value.name.startswith("_") and value.value is not None
        }
    return ready.config if unsafe else masked(ready.config, frozenset(ready.secrets))


def masked(value: Any, secrets: frozenset[str]) -> Any:
    """Plain data with every text that is a secret replaced."""
    if isinstance(value, dict):
        return {key: masked(item, secrets) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [masked(item, secrets) for item in value]
    return MASK if isinstance(value, str) and value in secrets else value


def variables(
    workspace: Workspace, name: str, kind: PluginKind | None = None, *, extras: bool = False, unsafe: bool = False
) -> dict[str, str]:
    """The settings as the variables a plugin receives, under every name they have."""
    ready = _ready(workspace, name, kind)
    chosen = {key: value for key, value in ready.values.items() if extras or not key.startswith("_")}
    env = exports(ready.resolved, chosen)
    return env if unsafe else {key: MASK if value in ready.secrets else value for key, value in env.items()}


def set_value(
    workspace: Workspace,
    name: str,
    kind: PluginKind | None,
    path: Sequence[str],
    given: str,
    *,
    store: str = "auto",
) -> str:
    """Set a setting and answer with the file it went to. `given` is JSON, or else text.

    `auto` puts secrets into `.env` and everything else into the project file, into the section of the workspace's
    environment when one was chosen. Raises InputError (`wrong-setting-type`) before anything is written.
    """
    value = _parsed(given)
    if name in PROJECT_NAMES:
        project_edit.set_setting(workspace.project, tuple(path), value, workspace.environment_name)
        return workspace.project.file
    ready = _ready(workspace, name, kind)
    dotted = ".".join(path)
    known = ready.values.get(dotted)
    setting = known.setting if known and known.setting else Setting(name=dotted)
    value = _checked(name, setting, value, given)
    is_secret = _is_secret(setting, known)
    if store == "dotenv" or (store == "auto" and is_secret):
        dotenv.set_value(workspace.dotenv_path, env_name(name, dotted), text(value), lock=_dotenv_lock(workspace))
        return str(workspace.dotenv_path)
    edit = project_edit.set_extra if path[0].startswith("_") else project_edit.set_config
    keys = (path[0].removeprefix("_"), *path[1:]) if path[0].startswith("_") else tuple(path)
    edit(workspace.project, ready.resolved.kind, name, keys, value, workspace.environment_name)
    return workspace.project.file


def _is_secret(setting: Setting, known: Value | None) -> bool:
    return setting.is_secret or bool(known and known.secret) or is_secret_setting(setting)


def _checked(plugin: str, setting: Setting, value: Any, given: str) -> Any:
    try:
        return cast(setting, value) if setting.kind else value
    except WrongTypeError as error:
        # `set port "5432"` and `set name 42`: what was typed may be meant as text.
        try:
            return cast(setting, given)
        except WrongTypeError:
            raise InputError(
                "wrong-setting-type",
                f"setting `{setting.name}` of `{plugin}` must be {error}",
                why=None if setting.is_secret else f"got `{given}`",
                hint=f"headwater config list {plugin} --all",
            ) from None


def _parsed(given: str) -> Any:
    try:
        return msgspec.json.decode(given.encode())
    except msgspec.DecodeError:
        return given


def unset(workspace: Workspace, name: str, kind: PluginKind | None, path: Sequence[str]) -> list[str]:
    """Remove a setting from wherever it is written; answers with the files. Raises InputError when it is nowhere."""
    if name in PROJECT_NAMES:
        project_edit.unset_setting(workspace.project, tuple(path), workspace.environment_name)
        return [workspace.project.file]
    plugin = planning.plugin(workspace, name, kind)
    places: list[str] = []
    variable_name = env_name(name, ".".join(path))
    if variable_name in workspace.dotenv:
        dotenv.unset_value(workspace.dotenv_path, variable_name, lock=_dotenv_lock(workspace))
        places.append(str(workspace.dotenv_path))
    try:
        if path[0].startswith("_"):
            keys = (path[0].removeprefix("_"), *path[1:])
            project_edit.unset_extra(workspace.project, plugin.kind, name, keys, workspace.environment_name)
        else:
            project_edit.unset_config(workspace.project, plugin.kind, name, tuple(path), workspace.environment_name)
        places.append(workspace.project.file)
    except InputError:
        if not places:
            raise
    return places


def reset(workspace: Workspace, name: str, kind: PluginKind | None) -> None:
    """Remove every setting and extra of a plugin from the project file and from `.env`. Idempotent."""
    ready = _ready(workspace, name, kind)
    for value in ready.values.values():
        if (variable_name := variable(name, value)) in workspace.dotenv:
            dotenv.unset_value(workspace.dotenv_path, variable_name, lock=_dotenv_lock(workspace))
    project_edit.reset_config(workspace.project, ready.resolved.kind, name, workspace.environment_name)


def _ready(workspace: Workspace, name: str, kind: PluginKind | None) -> build.Ready:
    return build.ready(planning.facts(workspace), planning.plugin(workspace, name, kind))


def _shown(value: Value, *, unsafe: bool) -> Any:
    return MASK if value.secret and not unsafe else value.value


def _dotenv_lock(workspace: Workspace) -> Path:
    return workspace.home / "dotenv.lock"
