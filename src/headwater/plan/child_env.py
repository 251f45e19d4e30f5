"""The environment a plugin's process gets.

Strongest first: the environment's `env` for the plugin, the environment's `env`, the plugin's own `env`, its
settings, what a pipeline's earlier plugins export, the project's `env`, the process environment, `.env`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from msgspec import Struct

from headwater.model.plugin import PluginKind, Resolved
from headwater.model.project import Environment, Project
from headwater.model.setting import Setting, Value
from headwater.plan.expand import expand, undefined
from headwater.plan.extras import extras
from headwater.plan.nested import join, leaves
from headwater.plan.sensitive import is_named_secret, secret_texts
from headwater.plan.variables import exports, given_names, info, parts, read_names

# Of the Python this program runs in; a plugin runs in another.
_OUR_PYTHON = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE")


class EnvLevels(Struct, frozen=True, kw_only=True):
    """The `env:` keys of the files on top of the process environment, expanded.

    `outer` is what holds for the whole project (process, `project_env`, root `env`), `inner` what is meant for the
    plugin (its `env`, the environment's, the environment's for the plugin) and so beats the plugin's settings.
    `dotenv` is weaker than both, and a layer of its own where settings are concerned.
    """

    dotenv: dict[str, str]
    outer: dict[str, str]
    inner: dict[str, str]

    @property
    def merged(self) -> dict[str, str]:
        """What `Layers.env` wants."""
        return {**self.outer, **self.inner}


class Upstream(NamedTuple):
    """A plugin that stands before another in a pipeline, with its settings."""

    resolved: Resolved
    values: Mapping[str, Value]


def env_levels(
    *,
    environ: Mapping[str, str],
    dotenv: Mapping[str, str],
    project: Project,
    environment: Environment | None,
    resolved: Resolved | None = None,
    project_env: Mapping[str, str] | None = None,
    strict: bool = False,
) -> EnvLevels:
    """Expand each level with those before it: process and `.env`, root, environment, plugin, environment's plugin.
    A name that none of those before has may be one of the level itself, wherever it stands in it.

    Which of two levels wins is another matter: the environment's `env` beats the plugin's. `project_env` are
    variables that the program itself sets (`MELTANO_SYS_DIR_ROOT`, `project_variables(…)`); MELTANO_PROJECT_ROOT and
    MELTANO_ENVIRONMENT are always set. Without `resolved`, `inner` is the environment's alone.
    With `strict`, a variable that is not set raises InputError (`undefined-variable`).
    """
    known = {
        **(project_env or {}),
        "MELTANO_PROJECT_ROOT": project.root,
        "MELTANO_ENVIRONMENT": environment.name if environment else "",
        **(info(resolved) if resolved else {}),
    }
    scope = {**dotenv, **environ, **known}
    root = _level(project.env, scope, strict=strict)
    scope.update(root)
    surroundings = _level(environment.env, scope, strict=strict) if environment else {}
    scope.update(surroundings)
    plugin = _level(resolved.definition.env, scope, strict=strict) if resolved else {}
    scope.update(plugin)
    here = _level(_environment_plugin_env(environment, resolved), scope, strict=strict)
    return EnvLevels(
        dotenv=dict(dotenv),
        outer={**environ, **known, **root},
        inner={**plugin, **surroundings, **here},
    )


def _level(env: Mapping[str, str], before: Mapping[str, str], *, strict: bool) -> dict[str, str]:
    """What names itself or goes in a circle finds those of the circle not set."""
    waiting, found = dict(env), dict[str, str]()
    while waiting:
        known = {**found, **before}
        free = [name for name, text in waiting.items() if waiting.keys().isdisjoint(undefined(text, known))]
        for name in free or list(waiting):
            found[name] = expand(waiting.pop(name), known, strict=strict)
    return {name: found[name] for name in env}


def child_env(
    levels: EnvLevels,
    resolved: Resolved,
    values: Mapping[str, Value],
    *,
    upstream: Sequence[Upstream] = (),
    share_extractor_secrets: bool = False,
    foreign_secrets: frozenset[str] = frozenset(),
    venv: str | None = None,
) -> dict[str, str]:
    """The whole environment of the plugin's process.

    `upstream` are the plugins before it in its pipeline, in order: it gets their settings, and of their secret
    ones those that it `is_trusted` with. `foreign_secrets` are variables of others that it must not see
    (`secret_names` of every other plugin, `project_secret_names()`); its own settings and the `env:` keys of the
    plugin and the environment are never taken away. Variables of the Python that runs this program are dropped;
    with `venv`, the folder of the plugin's environment, its programs come first on PATH.
    """
    hidden = foreign_secrets
    given: dict[str, str] = {}
    for before in upstream:
        is_told = is_trusted(resolved.kind, before, share_extractor_secrets=share_extractor_secrets)
        given.update(handed_on(before, secret=is_told))
        theirs = secret_names(before.resolved, before.values)
        hidden = hidden - theirs if is_told else hidden | theirs
    hidden = hidden.union(_OUR_PYTHON)
    env = {name: value for name, value in {**levels.dotenv, **levels.outer, **given}.items() if name not in hidden}
    env |= {**info(resolved), **exports(resolved, values), **levels.inner}
    if venv is not None:
        path = env.get("PATH")
        env["PATH"] = f"{venv}/bin:{path}" if path else f"{venv}/bin"
        env["VIRTUAL_ENV"] = venv
    return env


def is_trusted(kind: PluginKind, before: Upstream, *, share_extractor_secrets: bool) -> bool:
    """Whether a plugin gets the secrets of one before it: a transformer works in what the loader filled, and so logs in
    where that did; any other only when the project says so."""
    is_in_its_place = kind is PluginKind.TRANSFORMER and before.resolved.kind is PluginKind.LOADER
    return share_extractor_secrets or is_in_its_place


def handed_on(upstream: Upstream, *, secret: bool) -> dict[str, str]:
    """What a plugin tells those after it in a pipeline: who it is and its settings. A loader's settings may name
    these variables too (`$MELTANO_EXTRACT__LOAD_SCHEMA`): put them into the `project_env` of its levels."""
    return {**info(upstream.resolved), **exports(upstream.resolved, upstream.values, secret=secret)}


def secret_names(resolved: Resolved, values: Mapping[str, Value] | None = None) -> frozenset[str]:
    """Every variable under the plugin's own names that may hold a secret setting of it, set or not.

    A setting's `env` name is not among them: `AWS_SECRET_ACCESS_KEY` belongs to no plugin. Without `values`,
    settings that no definition has are found by the names of the keys in `config`.
    """
    settings = [*resolved.definition.settings, *extras(resolved)]
    if values is None:
        keys = (leaves(entry.config) for entry in resolved.chain)
        settings += [Setting(name=join(path)) for flat in keys for path in flat]
    secret = [setting for setting in settings if is_named_secret(setting)]
    for value in (values or {}).values():
        if value.secret and value.setting:
            secret += [setting for setting, _ in parts(value.setting, value.value)]
    names: set[str] = set()
    for setting in secret:
        names.update(given_names(resolved, setting))
        for ancestor in range(len(resolved.chain)):
            names.update(read_names(resolved, setting, ancestor=ancestor))
    return frozenset(names)


def secrets(values: Mapping[str, Value]) -> tuple[str, ...]:
    """The texts to keep out of every log: those of secret settings at any depth, of the weaker layers too."""
    found: dict[str, None] = {}
    for value in values.values():
        for item in (value, *value.shadowed):
            if item.setting is not None:
                found.update(dict.fromkeys(secret_texts(item.setting, item.value)))
    return tuple(found)


def _environment_plugin_env(environment: Environment | None, resolved: Resolved | None) -> dict[str, str]:
    """The environment's `env` for the plugin; for its parents too, the nearest wins."""
    if environment is None or resolved is None:
        return {}
    env: dict[str, str] = {}
    for entry in reversed(resolved.chain):
        for item in environment.plugins:
            if item.kind is entry.kind and item.name == entry.name:
                env.update(item.env)
    return env
