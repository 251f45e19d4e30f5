"""A plugin's settings: shown with their origin, changed where they belong, tried."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
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
from headwater.plan import settled
from headwater.plan.cast import WrongTypeError, cast
from headwater.plan.nested import put, split
from headwater.plan.project_settings import STORED_AS, may_be_stored, project_variables
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


def names(workspace: Workspace, name: str, kind: PluginKind | None = None) -> tuple[str, ...]:
    """Every setting and extra that is known of a plugin."""
    if name in PROJECT_NAMES:
        return tuple(planning.settings(workspace))
    return tuple(_ready(workspace, name, kind).values)


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
    """What the plugin's config file would hold, or its extras, null for those that say nothing."""
    if name in PROJECT_NAMES:
        values = planning.settings(workspace)
        tree: dict[str, Any] = {}
        for key, value in values.items():
            if value.value is not None:
                put(tree, split(key), _shown(value, unsafe=unsafe))
        return tree
    ready = _ready(workspace, name, kind)
    if extras:
        return {
            value.name: _shown(value, unsafe=unsafe) for value in ready.values.values() if value.name.startswith("_")
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
    chosen = {key: value for key, value in ready.values.items() if key.startswith("_") == extras}
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
    environment when it has one; what differs from machine to machine (`env_specific`) into `.env` as well, and into
    the system database where the project may not be changed. Raises InputError (`wrong-setting-type`) before anything
    is written.
    """
    value = _parsed(given)
    if name in PROJECT_NAMES:
        return _set_of_project(workspace, ".".join(path), value, given, store)
    ready = _ready(workspace, name, kind)
    known = _known(ready, ".".join(path))
    keys = _keys(workspace, ready, known, path)
    value = _checked(name, known, value, given)
    is_new = not any(known.name == other or known.name.startswith(f"{other}.") for other in ready.values)
    if is_new and ready.resolved.native is not None:
        raise _unknown(name, known.name, ready)
    edit = project_edit.set_extra if known.name.startswith("_") else project_edit.set_config
    bare = (keys[0].removeprefix("_"), *keys[1:])
    own = _is_secret(known, ready.values.get(known.name), value) or known.env_specific
    if store == "auto" and workspace.project.readonly:
        store = "db"
    if store == "dotenv" or (store == "auto" and own):
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


def _set_of_project(workspace: Workspace, name: str, value: Any, given: str, store: str) -> Changed:
    known = planning.settings(workspace).get(name)
    setting = known.setting if known is not None and known.setting is not None else Setting(name=name)
    value = _checked(PROJECT_NAMES[0], setting, value, given)
    own = setting.is_secret or setting.env_specific
    if store == "auto" and workspace.project.readonly and may_be_stored(name):
        store = "db"
    if store == "db":
        if not may_be_stored(name):
            raise InputError(
                "bad-store",
                f"`{name}` is not kept in the system database: it counts before that is opened",
                hint=f"headwater config set headwater {name} VALUE --store dotenv",
            )
        plugin_settings.write(workspace.home, STORED_AS, name, value)
        return Changed(place="the system database", outdone_by=_stronger_for_project(workspace, name))
    if store == "dotenv" or (store == "auto" and own):
        variable_name = env_name("meltano", name)
        dotenv.set_value(workspace.dotenv_path, variable_name, text(value), lock=_dotenv_lock(workspace))
        return Changed(place=workspace.dotenv_path.name)
    project_edit.set_setting(workspace.project, (name,), value, workspace.environment_name)
    return Changed(place=_place(workspace, workspace.project.file_name))


def _defined(ready: settled.Ready) -> list[str]:
    return [setting.name for setting in ready.resolved.definition.settings]


def _unknown(plugin: str, setting: str, ready: settled.Ready) -> InputError:
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


def _stronger_for_project(workspace: Workspace, name: str) -> str | None:
    """What keeps a setting of the project in the system database from counting."""
    found = planning.settings(workspace.again())[name]
    return None if found.origin is Origin.DATABASE else found.source


def _keys(workspace: Workspace, ready: settled.Ready, setting: Setting, path: Sequence[str]) -> tuple[str, ...]:
    """Where in `config` to write a setting: under the alias that stands there, else as `path` says."""
    sections = [ready.plugin.config]
    if workspace.environment is not None:
        entries = workspace.environment.plugins
        sections = [item.config for item in entries if (item.kind, item.name) == (ready.plugin.kind, ready.plugin.name)]
    standing = next((alias for alias in setting.aliases for section in sections if alias in section), None)
    if standing is not None:
        return (standing,)
    return tuple(path) if setting.name == ".".join(path) else (setting.name,)


def _known(ready: settled.Ready, name: str) -> Setting:
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


def unset(
    workspace: Workspace, name: str, kind: PluginKind | None, path: Sequence[str], *, store: str = "auto"
) -> list[str]:
    """Remove a setting from wherever it is written, or from one `store`; answers with the places, none when it was
    nowhere."""
    if name in PROJECT_NAMES:
        return _unset_of_project(workspace, ".".join(path), store)
    ready = _ready(workspace, name, kind)
    known = _known(ready, ".".join(path))
    places = []
    if store in ("auto", "dotenv") and _forget_variables(workspace, ready, known):
        places.append(workspace.dotenv_path.name)
    if store in ("auto", "db") and plugin_settings.remove(workspace.home, name, known.name):
        places.append("the system database")
    edit = project_edit.unset_extra if known.name.startswith("_") else project_edit.unset_config
    keys = _keys(workspace, ready, known, path)
    bare = (keys[0].removeprefix("_"), *keys[1:])
    if store not in ("dotenv", "db") and not workspace.project.readonly:
        with _nothing_to_remove():
            edit(workspace.project, ready.resolved.kind, name, bare, workspace.environment_name)
            places.append(_place(workspace, ready.plugin.file))
    return places


def _unset_of_project(workspace: Workspace, name: str, store: str) -> list[str]:
    places = []
    if store in ("auto", "dotenv"):
        for variable_name in (env_name(prefix, name) for prefix in PROJECT_NAMES):
            if variable_name in workspace.dotenv:
                dotenv.unset_value(workspace.dotenv_path, variable_name, lock=_dotenv_lock(workspace))
                places = [workspace.dotenv_path.name]
    if store in ("auto", "db") and plugin_settings.remove(workspace.home, STORED_AS, name):
        places.append("the system database")
    if store not in ("dotenv", "db"):
        with _nothing_to_remove():
            project_edit.unset_setting(workspace.project, (name,), workspace.environment_name)
            places.append(_place(workspace, workspace.project.file_name))
    return places


@contextmanager
def _nothing_to_remove() -> Iterator[None]:
    """What is not there need not be removed."""
    try:
        yield
    except InputError as error:
        if error.reference != "nothing-to-remove":
            raise


def reset(workspace: Workspace, name: str, kind: PluginKind | None, *, store: str = "auto") -> None:
    """Remove every setting and extra of a plugin from the project file, `.env` and the system database, or from one
    `store`. Idempotent."""
    ready = _ready(workspace, name, kind)
    if store in ("auto", "db"):
        plugin_settings.remove(workspace.home, name)
    if store in ("auto", "dotenv"):
        for value in ready.values.values():
            _forget_variables(workspace, ready, value.setting or Setting(name=value.name))
    if store not in ("dotenv", "db"):
        project_edit.reset_config(workspace.project, ready.resolved.kind, name, workspace.environment_name)


def _forget_variables(workspace: Workspace, ready: settled.Ready, setting: Setting) -> bool:
    """Whether `.env` had the setting, under any of its names."""
    found = [name for name in read_names(ready.resolved, setting) if name in workspace.dotenv]
    for name in found:
        dotenv.unset_value(workspace.dotenv_path, name, lock=_dotenv_lock(workspace))
    return bool(found)


def _ready(workspace: Workspace, name: str, kind: PluginKind | None) -> settled.Ready:
    return settled.ready(planning.facts(workspace), planning.plugin(workspace, name, kind))


def _shown(value: Value, *, unsafe: bool) -> Any:
    return MASK if value.secret and not unsafe else value.value


def _dotenv_lock(workspace: Workspace) -> Path:
    return workspace.home / "dotenv.lock"
