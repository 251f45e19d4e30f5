"""What a plugin is started with: its program, words, variables and settings."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from headwater.base.errors import InputError, Where
from headwater.base.text import did_you_mean
from headwater.model.plan import Block
from headwater.model.plugin import Command, Definition, Plugin, PluginKind, Resolved
from headwater.model.setting import SettingKind
from headwater.plan import checkers, child_env, inherit
from headwater.plan.expand import expand, undefined
from headwater.plan.project_settings import project_secret_names
from headwater.plan.settled import Facts, Ready

# Programs with config files of their own form, and the variable that says where they are at home.
_SET_UP = {
    (PluginKind.ORCHESTRATOR, "airflow"): "AIRFLOW_HOME",
    (PluginKind.UTILITY, "superset"): "SUPERSET_HOME",
}


def block(facts: Facts, plugin: Ready, *, upstream: Sequence[child_env.Upstream] = ()) -> Block:
    """A plugin as something that can be started. `upstream` are the plugins before it in its pipeline."""
    definition = plugin.resolved.definition
    venv = facts.venv_of(plugin.resolved) if definition.pip_url else None
    return Block(
        kind=plugin.resolved.kind,
        name=plugin.resolved.name,
        variant=definition.variant,
        namespace=definition.namespace,
        native=definition.native,
        argv=() if definition.native else (program(facts, plugin.resolved),),
        env=child_env.child_env(
            plugin.levels,
            plugin.resolved,
            plugin.values,
            upstream=upstream,
            share_extractor_secrets=facts.share_extractor_secrets,
            foreign_secrets=_foreign_secrets(facts, plugin.resolved, upstream),
            venv=venv,
        ),
        config=absolute(facts, plugin) if definition.native else plugin.config,
        capabilities=definition.capabilities,
        extras={name[1:]: value.value for name, value in plugin.values.items() if name.startswith("_")},
        venv=venv,
        fingerprint=facts.fingerprint_of(plugin.resolved),
        where=Where(plugin.plugin.file, plugin.plugin.line),
        setup=_setup(definition),
        secrets=tuple(
            dict.fromkeys([*plugin.secrets, *(text for item in upstream for text in child_env.secrets(item.values))])
        ),
    )


def _setup(definition: Definition) -> str | None:
    """A definition that says where the program is at home sees to its files itself."""
    home = _SET_UP.get((definition.plugin_type, definition.name))
    return definition.name if home is not None and home not in definition.env else None


def absolute(facts: Facts, plugin: Ready) -> dict[str, Any]:
    """Native connectors run in our process, whose folder may be any: their files are meant from the project's."""
    names = [item.name for item in plugin.resolved.definition.settings if item.kind is SettingKind.FILE]
    absolute = {
        name: str(PurePath(facts.project.root) / plugin.config[name])
        for name in names
        if isinstance(plugin.config.get(name), str) and "://" not in plugin.config[name]
    }
    return {**plugin.config, **absolute}


def program(facts: Facts, resolved: Resolved, executable: str | None = None) -> str:
    """The path of a plugin's program: in its own environment; else below the project when it holds a `/`; else a
    name to be found on PATH."""
    name = executable or resolved.definition.executable or resolved.name
    if "/" in name:
        return str(PurePath(facts.project.root) / name)
    if resolved.definition.pip_url:
        return str(PurePath(facts.venv_of(resolved)) / "bin" / name)
    return name


def _foreign_secrets(facts: Facts, resolved: Resolved, upstream: Sequence[child_env.Upstream]) -> frozenset[str]:
    """Variables that hold secrets of the project or of plugins that have no part in this plugin's pipeline."""
    near = {(resolved.kind, resolved.name), *((item.resolved.kind, item.resolved.name) for item in upstream)}
    names = set(project_secret_names())
    for other in facts.project.plugins:
        if (other.kind, other.name) in near:
            continue
        key = (other.kind, other.name)
        if key not in facts.secrets_of:
            facts.secrets_of[key] = _secret_names(facts, other)
        names.update(facts.secrets_of[key])
    return frozenset(names)


def _secret_names(facts: Facts, plugin: Plugin) -> frozenset[str]:
    try:
        return child_env.secret_names(inherit.resolve(facts.project, plugin, facts.definition_of))
    except InputError:
        # Something is wrong with a plugin that has no part in this: its own commands will say what.
        return frozenset()


def invocation(
    facts: Facts, plugin: Ready, made: Block, command: str | None, arguments: Sequence[str]
) -> tuple[str, ...]:
    """The whole argv of a plugin's program or of one of its commands, `$VAR`s in the command's words expanded with
    the variables of the plugin's block. What follows a second colon is one more word for a driver (`verify:orders`).

    Raises InputError: `unknown-command`, `undefined-variable`.
    """
    definition = plugin.resolved.definition
    if command is None:
        return (program(facts, plugin.resolved), *arguments)
    more: tuple[str, ...] = ()
    if definition.driver is not None and command not in definition.commands:
        command, more = checkers.parts(command)
    spec = definition.commands.get(command)
    if spec is None:
        guess = did_you_mean(command, definition.commands)
        known = ", ".join(sorted(definition.commands))
        raise InputError(
            "unknown-command",
            f"`{plugin.plugin.name}` has no command `{command}`",
            where=Where(plugin.plugin.file, plugin.plugin.line),
            hint=f"did you mean `{guess}`?" if guess else f"it has: {known or 'none'}",
        )
    words = (*_words(plugin, command, spec, made.env), *more, *arguments)
    driven = definition.driver is not None and checkers.is_driven(definition.driver, words)
    return (program(facts, plugin.resolved, checkers.PROGRAM if driven else spec.executable), *words)


def _words(plugin: Ready, name: str, spec: Command, env: Mapping[str, str]) -> list[str]:
    words = []
    for word in shlex.split(spec.args):
        if missing := undefined(word, env):
            raise InputError(
                "undefined-variable",
                f"command `{name}` of `{plugin.plugin.name}` uses `${missing[0]}`, which is not set",
                where=Where(plugin.plugin.file, plugin.plugin.lines.get(f"commands.{name}", plugin.plugin.line)),
                hint=f"set {missing[0]} in .env, or under `env:` in the project file",
            )
        words.append(expand(word, env))
    return words
