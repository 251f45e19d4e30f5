"""Changes to the project files.

Each function changes the file that holds the entry, included files too, and touches nothing else in it; the loaded
`Project` is left as it is, so load again to see the change. The file is read anew under the project's lock: two
commands at once both take effect. Each raises InputError, with nothing written, when there is nothing to change or
remove.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from headwater.base import yaml_edit
from headwater.base.errors import InputError, Where
from headwater.base.files import private_folder, unversioned_folder
from headwater.base.text import did_you_mean
from headwater.model.plugin import PluginKind
from headwater.model.project import Environment, Job, Project, Schedule
from headwater.store.project_file import OWN_FILE, TOP_LEVEL_KEYS
from headwater.store.project_plugin import ENVIRONMENT_PLUGIN_KEYS, PLUGIN_KEYS

Keys = tuple[str, ...]
Change = Callable[[dict[str, Any]], None]


def add_plugin(project: Project, kind: PluginKind, entry: dict[str, Any]) -> None:
    """Add `entry`, whose `name` is new among the plugins of its kind, to the project file."""
    name = _new_name(entry["name"], kind.value, [item.name for item in project.plugins if item.kind is kind])
    _edit(project, None, lambda data: _add(data, ("plugins", kind.section), entry | {"name": name}, kind.value))


def update_plugin(project: Project, kind: PluginKind, name: str, changes: dict[str, Any]) -> None:
    """Set keys of a plugin's own entry; a value of None removes the key."""

    def change(data: dict[str, Any]) -> None:
        _update(_plugin(data, kind, name), changes)

    _edit(project, _plugin_file(project, kind, name), change)


def remove_plugin(project: Project, kind: PluginKind, name: str) -> None:
    """Remove a plugin's entry. What environments say of it stays: they may be in other files."""
    _edit(
        project,
        _plugin_file(project, kind, name),
        lambda data: _drop(data, ("plugins", kind.section), name, kind.value),
    )


def set_config(
    project: Project, kind: PluginKind, name: str, path: Keys, value: Any, environment: str | None = None
) -> None:
    """Set a setting, in the plugin's own entry or in that of an environment.

    `path` may be split or dotted: (`a`, `b`) and (`a.b`,) are one setting. It is changed where it stands, nested or
    flat; a new one is written as `path` says.
    """
    _change_plugin(project, kind, name, environment, lambda entry: _put(entry, "config", path, value))


def unset_config(project: Project, kind: PluginKind, name: str, path: Keys, environment: str | None = None) -> None:
    """Remove a setting, and the mappings that are empty without it."""
    _change_plugin(project, kind, name, environment, lambda entry: _take(entry, "config", path, name), make=False)


def reset_config(project: Project, kind: PluginKind, name: str, environment: str | None = None) -> None:
    """Remove all settings and all extras; what says which plugin it is stays. No error when there are none."""
    known = PLUGIN_KEYS if environment is None else (*ENVIRONMENT_PLUGIN_KEYS, "annotations")

    def change(entry: dict[str, Any]) -> None:
        for key in [key for key in entry if key == "config" or key not in known]:
            del entry[key]

    if environment is None or _stands_in_environment(project, kind, name, environment):
        _change_plugin(project, kind, name, environment, change)


def set_extra(
    project: Project, kind: PluginKind, name: str, path: Keys, value: Any, environment: str | None = None
) -> None:
    """Set an extra: `path` begins with its name without the underscore, (`metadata`, `orders`, …)."""
    _change_plugin(project, kind, name, environment, lambda entry: _put(entry, None, path, value))


def unset_extra(project: Project, kind: PluginKind, name: str, path: Keys, environment: str | None = None) -> None:
    """Remove an extra, and the mappings that are empty without it."""
    _change_plugin(project, kind, name, environment, lambda entry: _take(entry, None, path, name), make=False)


def add_select(project: Project, name: str, patterns: Iterable[str], environment: str | None = None) -> None:
    """Add patterns to an extractor's `select`; those that are there already are not added again."""

    def change(entry: dict[str, Any]) -> None:
        present = _list(entry, "select", name)
        entry["select"] = list(dict.fromkeys([*present, *patterns]))

    _change_plugin(project, PluginKind.EXTRACTOR, name, environment, change)


def remove_select(project: Project, name: str, patterns: Iterable[str], environment: str | None = None) -> None:
    """Remove patterns from an extractor's `select`, and the key with the last one."""

    def change(entry: dict[str, Any]) -> None:
        left = _list(entry, "select", name)
        for pattern in patterns:
            if pattern not in left:
                guess = did_you_mean(pattern, map(str, left))
                raise InputError(
                    "nothing-to-remove",
                    f"`{pattern}` is not in `select` of `{name}`",
                    hint=f"did you mean `{guess}`?" if guess else f"headwater select {name} --list",
                )
            left.remove(pattern)
        if left:
            entry["select"] = left
        else:
            del entry["select"]

    _change_plugin(project, PluginKind.EXTRACTOR, name, environment, change, make=False)


def set_select(project: Project, name: str, patterns: Iterable[str], environment: str | None = None) -> None:
    """Let these be the patterns of an extractor's `select`; the key goes with the last one."""

    def change(entry: dict[str, Any]) -> None:
        wanted = list(patterns)
        if wanted:
            entry["select"] = wanted
        else:
            entry.pop("select", None)

    _change_plugin(project, PluginKind.EXTRACTOR, name, environment, change)


def clear_select(project: Project, name: str, environment: str | None = None) -> None:
    """Remove an extractor's `select`: everything is selected again."""
    unset_extra(project, PluginKind.EXTRACTOR, name, ("select",), environment)


def add_environment(project: Project, name: str) -> None:
    _new_name(name, "environment", [item.name for item in project.environments])
    _edit(project, None, lambda data: _add(data, ("environments",), {"name": name}, "environment"))


def remove_environment(project: Project, name: str) -> None:
    file = _file(project, "environment", name)
    _edit(project, file, lambda data: _drop(data, ("environments",), name, "environment"))


def add_job(project: Project, entry: dict[str, Any]) -> None:
    _new_name(entry["name"], "job", [item.name for item in project.jobs], colon=True)
    _edit(project, None, lambda data: _add(data, ("jobs",), entry, "job"))


def update_job(project: Project, name: str, changes: dict[str, Any]) -> None:
    """Set keys of a job; a value of None removes the key."""
    _edit(project, _file(project, "job", name), lambda data: _update(_named(data, ("jobs",), name, "job"), changes))


def remove_job(project: Project, name: str) -> None:
    _edit(project, _file(project, "job", name), lambda data: _drop(data, ("jobs",), name, "job"))


def add_schedule(project: Project, entry: dict[str, Any]) -> None:
    _new_name(entry["name"], "schedule", [item.name for item in project.schedules], colon=True)
    _edit(project, None, lambda data: _add(data, ("schedules",), entry, "schedule"))


def update_schedule(project: Project, name: str, changes: dict[str, Any]) -> None:
    """Set keys of a schedule; a value of None removes the key."""
    _edit(
        project,
        _file(project, "schedule", name),
        lambda data: _update(_named(data, ("schedules",), name, "schedule"), changes),
    )


def remove_schedule(project: Project, name: str) -> None:
    _edit(project, _file(project, "schedule", name), lambda data: _drop(data, ("schedules",), name, "schedule"))


def set_setting(project: Project, path: Keys, value: Any, environment: str | None = None) -> None:
    """Set a setting of the project itself (`state_backend.uri`), for all environments or for one."""
    key = _parts(path)[0]
    if key not in TOP_LEVEL_KEYS and Path(project.file).name == OWN_FILE:
        raise _unknown(project, "setting", key, list(TOP_LEVEL_KEYS))
    path = tuple(_parts(path))
    if environment is None:
        _edit(project, None, lambda data: _put(data, None, path, value))
        return
    _edit(
        project,
        _file(project, "environment", environment),
        lambda data: _put(_named(data, ("environments",), environment, "environment"), "config", path, value),
    )


def unset_setting(project: Project, path: Keys, environment: str | None = None) -> None:
    """Remove a setting of the project itself."""
    if environment is None:
        _edit(project, None, lambda data: _take(data, None, path, "the project"))
        return
    _edit(
        project,
        _file(project, "environment", environment),
        lambda data: _take(
            _named(data, ("environments",), environment, "environment"), "config", path, f"environment `{environment}`"
        ),
    )


def check_writable(project: Project) -> None:
    """Raises InputError (`project-readonly`) where a setting forbids every change."""
    if project.readonly:
        raise InputError(
            "project-readonly",
            "the project may not be changed",
            where=Where(project.file_name),
            why="the setting `project_readonly` is on",
            hint="headwater config list meltano --filter readonly shows where that is said",
        )


def _edit(project: Project, file: str | None, change: Change) -> None:
    """Edit the file that is named relative to the project folder, by default the project file."""
    check_writable(project)
    root = Path(project.root)
    path = Path(project.file) if file is None else root / file
    lock = private_folder(unversioned_folder(root / ".headwater")) / "project.lock"
    yaml_edit.edit(path, change, lock=lock, shown=path.relative_to(root).as_posix())


def _change_plugin(
    project: Project, kind: PluginKind, name: str, environment: str | None, change: Change, *, make: bool = True
) -> None:
    """Change a plugin's entry, or the one of an environment, which is made when `make` and pruned when it ends up
    saying nothing."""
    if environment is None:
        _edit(project, _plugin_file(project, kind, name), lambda data: change(_plugin(data, kind, name)))
        return
    _plugin_file(project, kind, name)
    below = ("config", "plugins", kind.section)

    def change_environment(data: dict[str, Any]) -> None:
        holder = _named(data, ("environments",), environment, "environment")
        entry = _find(holder, below, name)
        if entry is None:
            if not make:
                raise InputError(
                    "nothing-to-remove",
                    f"environment `{environment}` says nothing of {kind} `{name}`",
                    hint=f"headwater --environment {environment} config list {name}",
                )
            _add(holder, below, entry := {"name": name}, kind.value)
        change(entry)
        if entry.keys() == {"name"}:
            _drop(holder, below, name, kind.value)

    _edit(project, _file(project, "environment", environment), change_environment)


def _stands_in_environment(project: Project, kind: PluginKind, name: str, environment: str) -> bool:
    found = project.environment(environment)
    if found is None:
        raise _unknown(project, "environment", environment, [item.name for item in project.environments])
    return any(item.kind is kind and item.name == name for item in found.plugins)


def _plugin_file(project: Project, kind: PluginKind, name: str) -> str:
    plugin = project.plugin(name, kind)
    if plugin is None:
        raise _unknown(project, kind.value, name, [item.name for item in project.plugins if item.kind is kind])
    return plugin.file


def _file(project: Project, title: str, name: str) -> str:
    named: dict[str, Sequence[Environment | Job | Schedule]] = {
        "environment": project.environments,
        "job": project.jobs,
        "schedule": project.schedules,
    }
    items = named[title]
    for item in items:
        if item.name == name:
            return item.file
    raise _unknown(project, title, name, [item.name for item in items])


def _unknown(project: Project, title: str, name: str, known: list[str]) -> InputError:
    guess = did_you_mean(name, known)
    return InputError(
        f"unknown-{title}",
        f"{title} `{name}` not found",
        where=Where(Path(project.file).name),
        hint=f"did you mean `{guess}`?" if guess else None,
    )


def _new_name(name: str, title: str, taken: Iterable[str], *, colon: bool = False) -> str:
    if ":" in name and not colon:
        raise InputError(
            "bad-name",
            f"the name `{name}` holds a `:`",
            why="the colon stands between a plugin and its command, and between the parts of a state id",
            hint=f"choose another, for example `{name.replace(':', '-')}`",
        )
    if name in taken:
        raise InputError("duplicate-name", f"there is already {_article(title)} {title} named `{name}`")
    return name


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def _plugin(data: dict[str, Any], kind: PluginKind, name: str) -> dict[str, Any]:
    return _named(data, ("plugins", kind.section), name, kind.value)


def _named(data: dict[str, Any], path: Keys, name: str, title: str) -> dict[str, Any]:
    entry = _find(data, path, name)
    if entry is None:  # another command removed it since the project was loaded
        raise InputError("nothing-to-change", f"{title} `{name}` is no longer in the project")
    return entry


def _find(data: dict[str, Any], path: Keys, name: str) -> dict[str, Any] | None:
    value: Any = data
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    entries = value if isinstance(value, list) else []
    return next((item for item in entries if isinstance(item, dict) and str(item.get("name")) == name), None)


def _add(data: dict[str, Any], path: Keys, entry: dict[str, Any], title: str) -> None:
    if _find(data, path, entry["name"]) is not None:
        raise InputError("duplicate-name", f"there is already {_article(title)} {title} named `{entry['name']}`")
    holder = data
    for key in path[:-1]:
        if holder.get(key) is None:
            holder[key] = {}
        holder = holder[key]
    if holder.get(path[-1]) is None:
        holder[path[-1]] = []
    holder[path[-1]].append(entry)


def _drop(data: dict[str, Any], path: Keys, name: str, title: str) -> None:
    """Remove a named entry, and the list and mappings that are empty without it."""
    entry = _named(data, path, name, title)
    holders = [data]
    for key in path[:-1]:
        holders.append(holders[-1][key])
    holders[-1][path[-1]].remove(entry)
    for holder, key in zip(reversed(holders), reversed(path), strict=True):
        if not holder[key]:
            del holder[key]


def _update(entry: dict[str, Any], changes: dict[str, Any]) -> None:
    for key, value in changes.items():
        if value is None:
            entry.pop(key, None)
        else:
            entry[key] = value


def _parts(path: Keys) -> list[str]:
    """`("a.b", "c")` → a, b, c; a dot behind a backslash does not split."""
    return re.split(r"(?<!\\)\.", ".".join(path))


def _spot(holder: Any, parts: list[str]) -> Keys | None:
    """The keys that lead to a setting as it is written here, nested, flat, or both."""
    if not isinstance(holder, dict):
        return None
    for length in range(len(parts), 0, -1):
        key = ".".join(parts[:length])
        if key in holder:
            if length == len(parts):
                return (key,)
            below = _spot(holder[key], parts[length:])
            if below is not None:
                return (key, *below)
    return None


def _put(entry: dict[str, Any], section: str | None, path: Keys, value: Any) -> None:
    if section is not None:
        if entry.get(section) is None:
            entry[section] = {}
        entry = entry[section]
    parts = _parts(path)
    # Beside settings that are nested already, a dotted name is nested, too.
    nested = tuple(parts) if isinstance(entry.get(parts[0]), dict) else path
    path = _spot(entry, parts) or nested
    for key in path[:-1]:
        if not isinstance(entry.get(key), dict):
            entry[key] = {}
        entry = entry[key]
    entry[path[-1]] = value


def _take(entry: dict[str, Any], section: str | None, path: Keys, title: str) -> None:
    spot = _spot(entry if section is None else entry.get(section), _parts(path))
    if spot is None:
        dotted = ".".join(path)
        raise InputError(
            "nothing-to-remove",
            f"`{dotted}` is not set for {title if ' ' in title else f'`{title}`'} in the project files",
            hint="headwater config list shows where each value comes from",
        )
    keys = spot if section is None else (section, *spot)
    holders = [entry]
    for key in keys[:-1]:
        holders.append(holders[-1][key])
    del holders[-1][keys[-1]]
    for holder, key in zip(reversed(holders[:-1]), reversed(keys[:-1]), strict=True):
        if not holder[key]:
            del holder[key]


def _list(entry: dict[str, Any], key: str, name: str) -> list[Any]:
    value = entry.get(key)
    if value is not None and not isinstance(value, list):
        raise InputError("wrong-type", f"`{key}` of `{name}` must be a list", hint=f"write its entries below `{key}:`")
    return list(value or [])
