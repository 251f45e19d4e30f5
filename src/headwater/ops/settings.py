"""A plugin's settings: shown with their origin, changed where they belong, tried."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from headwater.base.errors import InputError
from headwater.base.redact import MASK, Redactor
from headwater.base.text import did_you_mean, env_name
from headwater.model.plugin import PluginKind
from headwater.model.setting import Origin, Setting, SettingKind, Value
from headwater.ops import planning
from headwater.ops.workspace import Workspace
from headwater.plan import build
from headwater.plan.cast import WrongTypeError, cast
from headwater.plan.project_settings import project_variables
from headwater.plan.sensitive import is_secret as is_secret_value
from headwater.plan.settings import missing_required
from headwater.plan.variables import exports, read_names, text
from headwater.store import dotenv, plugin_settings, project_edit

# `headwater config … meltano NAME` is how Meltano names the project itself.
PROJECT_NAMES = ("headwater", "meltano")
_TEXTS = (SettingKind.STRING, SettingKind.EMAIL, SettingKind.FILE, SettingKind.PASSWORD, SettingKind.OAUTH)


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


class Changed(Struct, frozen=True, kw_only=True):
    """Where a setting was written; `outdone_by` names the stronger place whose value counts all the same.
    `perhaps` is the setting that may have been meant, when the plugin's definition does not know this one."""

    place: str
    outdone_by: str | None = None
    perhaps: str | None = None


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


def shown(value: Value, *, unsafe: bool = False) -> str:
    """A value in a table: texts as they are, everything else as JSON, nothing when there is none."""
    if value.value is None:
        return ""
    return MASK if value.secret and not unsafe else text(value.value)


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
    return ready.config if unsafe else masked(ready.config, ready.secrets)


def masked(value: Any, secrets: Collection[str]) -> Any:
    """Plain data in which every text or number that is a secret is replaced, and every secret inside a text."""
    redact = Redactor(secrets)

    def hide(item: Any) -> Any:
        if isinstance(item, dict):
            return {key: hide(below) for key, below in item.items()}
        if isinstance(item, list | tuple):
            return [hide(below) for below in item]
        if isinstance(item, bool) or not isinstance(item, str | int | float):
            return item
        if str(item) in secrets:
            return MASK
        return redact(item) if isinstance(item, str) else item

    return hide(value)


def variables(
    workspace: Workspace, name: str, kind: PluginKind | None = None, *, extras: bool = False, unsafe: bool = False
) -> dict[str, str]:
    """The settings as the variables a plugin receives, under every name they have."""
    if name in PROJECT_NAMES:
        return project_variables(planning.settings(workspace))
    ready = _ready(workspace, name, kind)
    chosen = {key: value for key, value in ready.values.items() if extras or not key.startswith("_")}
    env = exports(ready.resolved, chosen)
    shown: dict[str, str] = env if unsafe else masked(env, ready.secrets)
    return shown


def set_value(
    workspace: Workspace,
    name: str,
    kind: PluginKind | None,
    path: Sequence[str],
    given: str,
    *,
    store: str = "auto",
) -> Changed:
    """Set a setting. `given` is JSON, or else text; `path` may be an alias of the setting.

    `store` is `auto`, `dotenv`, `project` or `db`, the system database. `auto` puts secrets into `.env` and everything
    else into the project file, into the section of the workspace's
    environment when it has one. Raises InputError (`wrong-setting-type`) before anything is written.
    """
    value = _parsed(given)
    if name in PROJECT_NAMES:
        project_edit.set_setting(workspace.project, tuple(path), value, workspace.environment_name)
        return Changed(place=_place(workspace, workspace.project.file_name))
    ready = _ready(workspace, name, kind)
    known = _known(ready, ".".join(path))
    keys = _keys(workspace, ready, known, path)
    value = _checked(name, known, value, given)
    is_new = not any(known.name == other or known.name.startswith(f"{other}.") for other in ready.values)
    if is_new and ready.resolved.native is not None:
        raise _unknown(name, known.name, ready)
    edit = project_edit.set_extra if known.name.startswith("_") else project_edit.set_config
    bare = (keys[0].removeprefix("_"), *keys[1:])
    if store == "dotenv" or (store == "auto" and _is_secret(known, ready.values.get(known.name), value)):
        variable_name = env_name(name, known.name)
        dotenv.set_value(workspace.dotenv_path, variable_name, text(value), lock=_dotenv_lock(workspace))
        if is_new:
            # No definition tells that such a variable is a setting: the project file names it.
            named = f"${{{variable_name}}}"
            edit(workspace.project, ready.resolved.kind, name, bare, named, workspace.environment_name)
        place, origin = workspace.dotenv_path.name, Origin.DOTENV
    elif store == "db":
        plugin_settings.write(workspace.home, name, known.name, value)
        place, origin = "the system database", Origin.DATABASE
    else:
        edit(workspace.project, ready.resolved.kind, name, bare, value, workspace.environment_name)
        place = _place(workspace, ready.plugin.file)
        origin = Origin.ENVIRONMENT if workspace.environment else Origin.PROJECT
    return Changed(
        place=place,
        outdone_by=_stronger(workspace, name, ready.resolved.kind, known.name, origin),
        perhaps=did_you_mean(known.name, _defined(ready)) if is_new else None,
    )


def _defined(ready: build.Ready) -> list[str]:
    return [setting.name for setting in ready.resolved.definition.settings]


def _unknown(plugin: str, setting: str, ready: build.Ready) -> InputError:
    """A native plugin's settings are all known; a part of an object (`keys.orders`) belongs to it."""
    guess = did_you_mean(setting, _defined(ready))
    return InputError(
        "unknown-setting",
        f"`{plugin}` has no setting `{setting}`",
        hint=f"did you mean `{guess}`?" if guess else f"headwater config list {plugin} --all",
    )


def _place(workspace: Workspace, file: str) -> str:
    environment = workspace.environment
    return f"{environment.file or file}, environment `{environment.name}`" if environment else file


def _stronger(workspace: Workspace, name: str, kind: PluginKind, setting: str, written: Origin) -> str | None:
    """What keeps a value that was just written from counting, in the default environment when none was chosen."""
    after = workspace.again()
    if after.environment is None:
        after.environment = after.project.environment(after.project.default_environment)
    found = _ready(after, name, kind).values.get(setting)
    order = list(Origin)  # strongest first
    is_stronger = found is not None and order.index(found.origin) < order.index(written)
    return found.source if found is not None and is_stronger else None


def _keys(workspace: Workspace, ready: build.Ready, setting: Setting, path: Sequence[str]) -> tuple[str, ...]:
    """Where in `config` to write a setting: under the alias that stands there, else as `path` says."""
    sections = [ready.plugin.config]
    if workspace.environment is not None:
        entries = workspace.environment.plugins
        sections = [item.config for item in entries if (item.kind, item.name) == (ready.plugin.kind, ready.plugin.name)]
    standing = next((alias for alias in setting.aliases for section in sections if alias in section), None)
    if standing is not None:
        return (standing,)
    return tuple(path) if setting.name == ".".join(path) else (setting.name,)


def _known(ready: build.Ready, name: str) -> Setting:
    """The setting of that name or alias; one that nobody has defined is taken as it is."""
    settings = [value.setting for value in ready.values.values() if value.setting is not None]
    named = next((setting for setting in settings if setting.name == name), None)
    aliased = next((setting for setting in settings if name in setting.aliases), None)
    return named or aliased or Setting(name=name)


def _is_secret(setting: Setting, known: Value | None, value: Any) -> bool:
    return setting.is_secret or bool(known and known.secret) or is_secret_value(setting, value)


def _checked(plugin: str, setting: Setting, value: Any, given: str) -> Any:
    if setting.kind in _TEXTS and not isinstance(value, str | None):
        return given  # `set account 0042` and `set key {"a": 1}`: what was typed is the text
    try:
        return cast(setting, value) if setting.kind else value
    except WrongTypeError as error:
        # What was typed may be meant as text.
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
    """Remove a setting from wherever it is written; answers with the places. Raises InputError when it is nowhere."""
    if name in PROJECT_NAMES:
        project_edit.unset_setting(workspace.project, tuple(path), workspace.environment_name)
        return [_place(workspace, workspace.project.file_name)]
    ready = _ready(workspace, name, kind)
    known = _known(ready, ".".join(path))
    places = [workspace.dotenv_path.name] if _forget_variables(workspace, ready, known) else []
    if plugin_settings.remove(workspace.home, name, known.name):
        places.append("the system database")
    edit = project_edit.unset_extra if known.name.startswith("_") else project_edit.unset_config
    keys = _keys(workspace, ready, known, path)
    bare = (keys[0].removeprefix("_"), *keys[1:])
    try:
        edit(workspace.project, ready.resolved.kind, name, bare, workspace.environment_name)
        places.append(_place(workspace, ready.plugin.file))
    except InputError as error:
        if not places or error.reference != "nothing-to-remove":
            raise
    return places


def reset(workspace: Workspace, name: str, kind: PluginKind | None) -> None:
    """Remove every setting and extra of a plugin from the project file, `.env` and the system database. Idempotent."""
    ready = _ready(workspace, name, kind)
    plugin_settings.remove(workspace.home, name)
    for value in ready.values.values():
        _forget_variables(workspace, ready, value.setting or Setting(name=value.name))
    project_edit.reset_config(workspace.project, ready.resolved.kind, name, workspace.environment_name)


def _forget_variables(workspace: Workspace, ready: build.Ready, setting: Setting) -> bool:
    """Whether `.env` had the setting, under any of its names."""
    found = [name for name in read_names(ready.resolved, setting) if name in workspace.dotenv]
    for name in found:
        dotenv.unset_value(workspace.dotenv_path, name, lock=_dotenv_lock(workspace))
    return bool(found)


def _ready(workspace: Workspace, name: str, kind: PluginKind | None) -> build.Ready:
    return build.ready(planning.facts(workspace), planning.plugin(workspace, name, kind))


def _shown(value: Value, *, unsafe: bool) -> Any:
    return MASK if value.secret and not unsafe else value.value


def _dotenv_lock(workspace: Workspace) -> Path:
    return workspace.home / "dotenv.lock"
