"""From a project's entry to a whole plugin: its parents and its definition put under it.

An entry is one of four. *Shadowing*: only a name; the definition of that name stands under it. *Custom*: it has a
`namespace` and no `inherit_from`; it is its own definition. *Own source*: its `source` names a file of the
project. *Inheriting*: `inherit_from` names the plugin of the project under it or, when `variant` is set or the project
has no such plugin, a definition.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET

from headwater.base.errors import InputError, Where
from headwater.base.text import did_you_mean
from headwater.model.plugin import Definition, Plugin, PluginKind, Resolved
from headwater.model.project import Project
from headwater.model.setting import Setting

DefinitionOf = Callable[[PluginKind, str, str | None], Definition | None]

# Keys of an entry that replace the parent's. The rest is merged, or is never inherited.
_REPLACING = (
    "docs", "repo", "ext_repo", "logo_url", "description", "hidden", "pip_url", "python", "executable",
    "capabilities", "settings_group_validation", "supported_python_versions", "constraints", "overrides",
)  # fmt: skip

# Kinds that are never run, so that no name of an executable follows from theirs.
_NOT_RUN = (PluginKind.FILE, PluginKind.TRANSFORM)


def resolve(project: Project, plugin: Plugin, definition_of: DefinitionOf) -> Resolved:
    """`plugin` with everything it leaves open settled by its parents and its definition.

    `definition_of(kind, name, variant)` looks a definition up; variant None means the default one. Texts replace,
    `settings` are added (the same name replaces), `commands`, `env` and `requires` are merged, lists replace.
    `definition.extras` stays what the definition says: an entry's own extras are values, not defaults.
    `definition.name` stays the name it was looked up by.

    Raises InputError: `inheritance-cycle`, `unknown-parent`, `unknown-plugin`. An entry without a definition is
    taken as its own when it has a `pip_url` or an `executable`; its namespace is then its name with underscores.
    """
    chain = _chain(project, plugin)
    definition = base = _base(project, chain[-1], definition_of)
    namespaces = [base.namespace]
    venv_name = ""
    for entry in reversed(chain):
        parent = definition
        definition = _under(entry, parent)
        namespaces.insert(0, definition.namespace)
        if not venv_name or _installs_differ(definition, parent):
            venv_name = entry.name
    return Resolved(
        kind=plugin.kind,
        name=plugin.name,
        definition=definition,
        chain=chain,
        namespaces=tuple(namespaces),
        venv_name=venv_name,
    )


def _chain(project: Project, plugin: Plugin) -> tuple[Plugin, ...]:
    chain = [plugin]
    while (parent := _parent(project, chain[-1])) is not None:
        if any(parent.name == entry.name for entry in chain):
            names = " → ".join(entry.name for entry in (*chain, parent))
            raise InputError(
                "inheritance-cycle",
                f"{plugin.kind} `{plugin.name}` inherits from itself: {names}",
                where=_where(chain[-1]),
                hint=f"remove `inherit_from: {parent.name}` from `{chain[-1].name}`",
            )
        chain.append(parent)
    return tuple(chain)


def _parent(project: Project, plugin: Plugin) -> Plugin | None:
    if _inherits(plugin) and plugin.inherit_from and plugin.variant is None:
        return project.plugin(plugin.inherit_from, plugin.kind)
    return None


def _inherits(plugin: Plugin) -> bool:
    """`inherit_from` its own name is how some projects write a plain entry."""
    return plugin.inherit_from not in (None, plugin.name)


def _base(project: Project, plugin: Plugin, definition_of: DefinitionOf) -> Definition:
    """The definition under the last entry of a chain."""
    if plugin.source is not None and not _inherits(plugin):
        return _of_file(plugin, plugin.source, definition_of)
    wanted = (plugin.inherit_from if _inherits(plugin) else None) or plugin.name
    if plugin.is_custom and wanted == plugin.name:
        return _own(plugin)
    definition = definition_of(plugin.kind, wanted, plugin.variant)
    if definition is not None:
        runs = definition.native is None and plugin.kind not in _NOT_RUN
        if runs and definition.executable is None:
            return msgspec.structs.replace(definition, executable=definition.name)
        return definition
    if wanted != plugin.name:
        raise _unknown_parent(project, plugin, wanted)
    if plugin.pip_url or plugin.executable:
        return _own(plugin)
    variant = f" in variant `{plugin.variant}`" if plugin.variant else ""
    raise InputError(
        "unknown-plugin",
        f"nothing is known of the {plugin.kind} `{plugin.name}`{variant}",
        where=_where(plugin),
        why="it has no lock file, is not in the plugin index, and sets no `namespace`, `pip_url` or `executable`",
        hint=f"headwater add {plugin.name}",
    )


def _of_file(plugin: Plugin, source: str, definition_of: DefinitionOf) -> Definition:
    """The definition of an extractor whose code stands in a file of the project."""
    try:
        found = definition_of(plugin.kind, source, None)
    except InputError as error:
        error.where = error.where or _where(plugin, "source")
        raise
    if found is None:
        word = "python" if source.endswith(".py") else "rest"
        raise InputError(
            "file-not-found",
            f"there is no file `{source}`, in which the code of `{plugin.name}` is to stand",
            where=_where(plugin, "source"),
            hint=f"headwater tap new {word} {plugin.name}, or correct `source`",
        )
    return msgspec.structs.replace(found, name=plugin.name, namespace=plugin.name.replace("-", "_"))


def _unknown_parent(project: Project, plugin: Plugin, wanted: str) -> InputError:
    siblings = [item.name for item in project.plugins if item.kind is plugin.kind and item.name != plugin.name]
    close = did_you_mean(wanted, siblings)
    variant = f" in variant `{plugin.variant}`" if plugin.variant else ""
    return InputError(
        "unknown-parent",
        f"{plugin.kind} `{plugin.name}` inherits from `{wanted}`{variant}, which is not known",
        where=_where(plugin, "inherit_from"),
        hint=f"did you mean `{close}`?" if close else f"headwater add {wanted}",
    )


def _own(plugin: Plugin) -> Definition:
    """The definition an entry is for itself; `_under` puts the rest of the entry on it."""
    runs = plugin.kind not in _NOT_RUN
    return Definition(
        plugin_type=plugin.kind,
        name=plugin.name,
        namespace=plugin.namespace or plugin.name.replace("-", "_"),
        executable=plugin.name if runs else None,
    )


def _under(entry: Plugin, parent: Definition) -> Definition:
    """What `entry` makes of the definition under it."""
    changes: dict[str, Any] = {key: getattr(entry, key) for key in _REPLACING if getattr(entry, key) is not UNSET}
    if _inherits(entry):
        changes["namespace"] = entry.name.replace("-", "_")
        changes["label"] = f"{parent.label or parent.name}: {entry.name}"
    for key in ("namespace", "label"):
        if getattr(entry, key) is not UNSET:
            changes[key] = getattr(entry, key)
    if entry.variant is not None:
        changes["variant"] = entry.variant
    if entry.requires_meltano is not None:
        changes["requires_meltano"] = entry.requires_meltano
    if changes.get("executable"):
        changes["native"] = None  # who names a program wants that program, not our module
    return msgspec.structs.replace(
        parent,
        settings=_extended(parent.settings, entry.settings),
        commands={**parent.commands, **entry.commands},
        env={**parent.env, **entry.env},
        requires=_joined(parent.requires, entry.requires),
        **changes,
    )


def _extended(settings: tuple[Setting, ...], more: tuple[Setting, ...]) -> tuple[Setting, ...]:
    """A setting of the same name takes the place of the old one; others come after."""
    by_name = {setting.name: setting for setting in settings}
    by_name.update({setting.name: setting for setting in more})
    return tuple(by_name.values())


def _joined(requires: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    joined = {section: list(plugins) for section, plugins in requires.items()}
    for section, plugins in more.items():
        known = joined.setdefault(section, [])
        known += [plugin for plugin in plugins if plugin not in known]
    return joined


def _installs_differ(child: Definition, parent: Definition) -> bool:
    """Whether the two need environments of their own."""
    keys = ("pip_url", "python", "constraints", "overrides")
    return any(getattr(child, key) != getattr(parent, key) for key in keys)


def _where(plugin: Plugin, key: str = "") -> Where | None:
    return Where(plugin.file, plugin.lines.get(key, plugin.line)) if plugin.file else None
