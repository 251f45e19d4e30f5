"""From a project and words to a Plan. Everything that files, flags and variables say is settled here, once."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import PurePath
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from headwater.base.errors import InputError, Where
from headwater.base.text import did_you_mean
from headwater.model.plan import Block, Build, Checker, Dbt, ExtractLoad, Invoke, Step
from headwater.model.plugin import Command, Definition, Plugin, PluginKind, Resolved
from headwater.model.project import Environment, Project
from headwater.model.setting import Origin, SettingKind, Value
from headwater.plan import blocks, checkers, child_env, dbt, inherit, settings
from headwater.plan.expand import expand, undefined
from headwater.plan.inherit import DefinitionOf
from headwater.plan.project_settings import project_secret_names, project_settings, project_variables

# Native transformers and their commands; everything else with a command is a program.
MODELS = "models"
MODEL_VERBS = ("build", "check")
# Databases in which models are built.
BUILT_IN = ("duckdb", "postgres")
# Programs with config files of their own form, and the variable that says where they are at home.
_SET_UP = {
    (PluginKind.ORCHESTRATOR, "airflow"): "AIRFLOW_HOME",
    (PluginKind.UTILITY, "superset"): "SUPERSET_HOME",
}
_CATALOG_SECONDS = 3600  # how long a discovery holds when the extractor does not say (ADR 6)


class Facts(Struct, frozen=True, kw_only=True):
    """All that planning may look at. `environ` is the process environment, `dotenv` the content of `.env`.

    `venv_of` answers with the folder of a plugin's environment, `fingerprint_of` with what identifies its content.
    `today` settles dates in words; it is asked for by nobody else. `secrets_of` keeps what was found so far of the
    variables that hold a plugin's secrets.
    """

    project: Project
    environment: Environment | None
    environ: Mapping[str, str]
    dotenv: Mapping[str, str]
    home: str
    definition_of: DefinitionOf
    venv_of: Callable[[Resolved], str]
    fingerprint_of: Callable[[Resolved], str] = lambda _: ""
    database: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    share_extractor_secrets: bool = False
    strict: bool = False
    today: datetime | None = None
    secrets_of: dict[tuple[PluginKind, str], frozenset[str]] = field(default_factory=dict)


class Ready(Struct, frozen=True, kw_only=True):
    """A plugin with its settings resolved. `config` is what its config file would hold."""

    plugin: Plugin
    resolved: Resolved
    values: dict[str, Value]
    config: dict[str, Any]
    levels: child_env.EnvLevels

    @property
    def secrets(self) -> tuple[str, ...]:
        return child_env.secrets(self.values)

    def extra(self, name: str) -> Any:
        value = self.values.get(f"_{name}")
        return value.value if value else None


class Options(Struct, frozen=True, kw_only=True):
    """The flags of a run that change its plan."""

    full_refresh: bool = False
    refresh_catalog: bool = False
    no_state_update: bool = False
    force: bool = False
    state_id: str | None = None
    state_id_suffix: str | None = None
    state_strategy: str = "auto"
    catalog_file: str | None = None
    state_file: str | None = None
    select_filter: tuple[str, ...] = ()
    retries: int | None = None
    jobs: int | None = None

    @property
    def of_extractor(self) -> dict[str, Any]:
        """The extras of the extractor that these flags stand for."""
        given = {"_catalog": self.catalog_file, "_state": self.state_file, "_select_filter": list(self.select_filter)}
        return {name: value for name, value in given.items() if value}


def ready(
    facts: Facts,
    plugin: Plugin,
    upstream: Sequence[child_env.Upstream] = (),
    flags: Mapping[str, Any] | None = None,
) -> Ready:
    """Resolve one plugin and its settings. Does not check that required settings are there.

    `upstream` are the plugins before it in its pipeline: its settings may name their variables. `flags` are settings
    and extras that beat all others.
    """
    handed_on: dict[str, str] = {}
    for before in upstream:
        handed_on.update(child_env.handed_on(before, secret=facts.share_extractor_secrets))
    resolved = inherit.resolve(facts.project, plugin, facts.definition_of)
    levels = child_env.env_levels(
        environ=facts.environ,
        dotenv=facts.dotenv,
        project=facts.project,
        environment=facts.environment,
        resolved=resolved,
        project_env={**_own_variables(facts), **handed_on},
        strict=facts.strict,
    )
    values = settings.resolve(
        resolved,
        settings.Layers(
            flags=flags or {},
            env=levels.merged,
            dotenv=facts.dotenv,
            environment=facts.environment,
            database=facts.database,
            strict=facts.strict,
        ),
    )
    return Ready(
        plugin=plugin,
        resolved=resolved,
        values=values,
        config=settings.config(values, now=facts.today),
        levels=levels,
    )


def steps(facts: Facts, words: Sequence[str], options: Options) -> tuple[Step, ...]:
    """The steps for the words of a run, in order. Raises InputError for the first thing that is wrong."""
    return tuple(
        extract_load(facts, group, options) if isinstance(group, blocks.Pipeline) else alone(facts, group, options)
        for group in blocks.group(facts.project, words)
    )


def transform(facts: Facts, pipeline: blocks.Pipeline, words: Sequence[str], options: Options) -> tuple[Step, ...]:
    """The steps of words that stand alone, with the variables of a pipeline's plugins in their environment."""
    given: list[child_env.Upstream] = []
    for word in (pipeline.extractor, pipeline.loader):
        before = ready(facts, word.plugin, given, options.of_extractor if word is pipeline.extractor else None)
        given.append(child_env.Upstream(before.resolved, before.values))
    groups = blocks.group(facts.project, words)
    return tuple(alone(facts, group, options, given) for group in groups if isinstance(group, blocks.Alone))


def _check(facts: Facts, plugin: Ready) -> None:
    settings.check_known(plugin.resolved, facts.environment)
    settings.check_required(plugin.resolved, plugin.values)


def extract_load(facts: Facts, group: blocks.Pipeline, options: Options) -> ExtractLoad:
    source = ready(facts, group.extractor.plugin, flags=options.of_extractor)
    _check(facts, source)
    given = [child_env.Upstream(source.resolved, source.values)]
    mappers: list[Block] = []
    for word in group.mappers:
        mapper, told = _mapper(facts, word, given)
        mappers.append(mapper)
        given.append(told)
    target = ready(facts, group.loader.plugin, given)
    _check(facts, target)
    extractor, loader = block(facts, source), block(facts, target, upstream=given)
    return _pipeline(facts, group, source, extractor, loader, tuple(mappers), options)


def _pipeline(
    facts: Facts,
    group: blocks.Pipeline,
    source: Ready,
    extractor: Block,
    loader: Block,
    mappers: tuple[Block, ...],
    options: Options,
) -> ExtractLoad:
    max_age = source.extra("catalog_max_age")
    return ExtractLoad(
        name=group.name,
        extractor=extractor,
        loader=loader,
        mappers=mappers,
        state_id=None if options.no_state_update else state_id(facts, group, options),
        select=tuple(source.extra("select") or ()),
        select_filter=tuple(source.extra("select_filter") or ()),
        metadata=source.extra("metadata") or {},
        schema=source.extra("schema") or {},
        catalog_file=_file(facts, source.extra("catalog")),
        state_file=_file(facts, source.extra("state")),
        use_cached_catalog=source.extra("use_cached_catalog") is not False,
        catalog_max_age_seconds=_CATALOG_SECONDS if max_age is None else int(max_age),
        full_refresh=options.full_refresh,
        refresh_catalog=options.refresh_catalog,
        state_strategy=options.state_strategy,
        force=options.force,
        retries=_retries(source, group.retries, options),
        **_limits(extractor, loader, options),
    )


def _limits(extractor: Block, loader: Block, options: Options) -> dict[str, Any]:
    """What flags and extras say of memory and time; what they leave open has its default in the step."""
    wanted = {
        "idle_timeout_seconds": extractor.extras.get("idle_timeout_seconds"),
        "discovery_timeout_seconds": extractor.extras.get("discovery_timeout_seconds"),
        "commit_bytes": loader.extras.get("commit_bytes"),
        "commit_seconds": loader.extras.get("commit_seconds"),
        "memory_bytes": loader.extras.get("memory_bytes"),
        "jobs": options.jobs or extractor.extras.get("jobs"),
    }
    return {
        name: float(value) if "seconds" in name else int(value) for name, value in wanted.items() if value is not None
    }


def _retries(plugin: Ready, of_job: int | None, options: Options) -> int:
    """The flag, what the job says, what the plugin says: the first that says something."""
    said = (options.retries, of_job, plugin.extra("retries"))
    return next((int(value) for value in said if value is not None), 0)


def extract(facts: Facts, extractor: Plugin, options: Options) -> ExtractLoad:
    """An extractor on its own, for discovery: the loader is the extractor itself and is never started."""
    word = blocks.Word(plugin=extractor)
    source = ready(facts, extractor, flags=options.of_extractor)
    _check(facts, source)
    made = block(facts, source)
    return _pipeline(facts, blocks.Pipeline(extractor=word, loader=word), source, made, made, (), options)


def _file(facts: Facts, name: str | None) -> str | None:
    return str(PurePath(facts.project.root) / name) if name else None


def state_id(facts: Facts, group: blocks.Pipeline, options: Options) -> str:
    """`ENVIRONMENT:EXTRACTOR-to-LOADER[:SUFFIX]`; without an environment the first part is left out.

    In a project of Meltano's the environment's own variables are not known to its suffix: they are not there, and
    under another id a pipeline would begin anew."""
    if options.state_id:
        return options.state_id
    suffix = options.state_id_suffix
    if suffix is None and facts.environment and facts.environment.state_id_suffix:
        levels = child_env.env_levels(
            environ=facts.environ, dotenv=facts.dotenv, project=facts.project, environment=facts.environment
        )
        known = levels.outer if facts.project.is_meltanos else levels.merged
        suffix = expand(facts.environment.state_id_suffix, {**facts.dotenv, **known})
    parts = [
        facts.environment.name if facts.environment else None,
        f"{group.extractor.plugin.name}-to-{group.loader.plugin.name}",
        suffix,
    ]
    for part in filter(None, parts):
        if ":" in part:
            raise InputError("bad-state-id", f"`{part}` holds a `:`, which separates the parts of a state id")
    return ":".join(filter(None, parts))


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
        config=_absolute(facts, plugin) if definition.native else plugin.config,
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


def _absolute(facts: Facts, plugin: Ready) -> dict[str, Any]:
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


def _own_variables(facts: Facts) -> dict[str, str]:
    return {
        **project_variables(
            project_settings(
                facts.project,
                env=facts.environ,
                dotenv=facts.dotenv,
                environment=facts.environment,
                database=facts.database,
            )
        ),
        "MELTANO_SYS_DIR_ROOT": facts.home,
        "MELTANO_JOB_TRIGGER": "cli",
        "HEADWATER_PROJECT_ROOT": facts.project.root,
        "HEADWATER_ENVIRONMENT": facts.environment.name if facts.environment else "",
    }


def _mapper(
    facts: Facts, word: blocks.Word, upstream: Sequence[child_env.Upstream]
) -> tuple[Block, child_env.Upstream]:
    """A mapper with one of its mappings: the mapping's config over the mapper's own, in its variables too."""
    plugin = ready(facts, word.plugin, upstream)
    mappings = word.plugin.extras.get("mappings") or ()
    mapping = next(item for item in mappings if item.get("name") == word.mapping)
    own = expand(mapping.get("config") or {}, plugin.levels.merged)
    where = Where(word.plugin.file, word.plugin.lines.get("mappings", word.plugin.line))
    told = {"_mapping": True, "_mapping_name": word.mapping, **own}
    values = {**plugin.values, **settings.written(plugin.resolved, told, str(where))}
    made = block(facts, replace(plugin, values=values), upstream=upstream)
    made = replace(made, config={**made.config, **own}, where=where)
    if any(setting.is_secret for setting in plugin.resolved.definition.settings):
        values.pop("_mappings", None)  # a mapping may hold what must not be handed on
    return made, child_env.Upstream(plugin.resolved, values)


def alone(facts: Facts, group: blocks.Alone, options: Options, upstream: Sequence[child_env.Upstream] = ()) -> Step:
    """A plugin without a pipeline: a command of a program, or the verbs of our own models."""
    word = group.word
    plugin = connected(facts, word.plugin, upstream)
    _check(facts, plugin)
    retries = _retries(plugin, group.retries, options)
    if plugin.resolved.native == MODELS:
        return replace(_models(facts, plugin, word), retries=retries, full_refresh=options.full_refresh)
    made = block(facts, plugin, upstream=upstream)
    argv = invocation(facts, plugin, made, word.command, ())
    return Invoke(
        name=group.name,
        block=made,
        command=word.command,
        argv=argv,
        cwd=facts.project.root,
        dbt=of_dbt(facts, plugin, argv),
        checker=of_checker(facts, plugin, argv),
        retries=retries,
    )


def connected(facts: Facts, plugin: Plugin, upstream: Sequence[child_env.Upstream] = ()) -> Ready:
    """As `ready`. A plugin that is dbt, or has a driver, and whose entry names a `loader`, takes from it what it
    connects to, where nothing else is said. Raises InputError (`unknown-loader`)."""
    found = ready(facts, plugin, upstream)
    name = found.extra("loader")
    adapter = dbt.adapter(found.resolved) if name else None
    if not name or (adapter is None and found.resolved.definition.driver is None):
        return found
    loader = facts.project.plugin(name, PluginKind.LOADER)
    if loader is None:
        guess = did_you_mean(name, [item.name for item in facts.project.plugins if item.kind is PluginKind.LOADER])
        raise InputError(
            "unknown-loader",
            f"`{plugin.name}` connects as the loader `{name}`, which the project does not have",
            where=Where(plugin.file, plugin.lines.get("loader", plugin.line)),
            hint=f"did you mean `{guess}`?" if guess else f"headwater add {name}",
        )
    of_loader = ready(facts, loader)
    config = _absolute(facts, of_loader)
    given = dbt.connection(adapter, config) if adapter else checkers.connection(of_loader.resolved, config)
    if dbt.is_file(given.get("path")):  # dbt looks from its own folder
        given["path"] = str(PurePath(facts.project.root) / given["path"])
    known = {key: found.values[key] for key in given if key in found.values}
    flags = {key: given[key] for key, value in known.items() if value.value is None or value.origin is Origin.DEFAULT}
    return ready(facts, plugin, upstream, flags=flags)


def of_dbt(facts: Facts, plugin: Ready, argv: tuple[str, ...]) -> Dbt | None:
    """What there is to know of a command of dbt; None for another program."""
    if not dbt.is_dbt(argv):
        return None
    files: list[str] = []
    if "duckdb" in dbt.adapters(plugin.resolved):
        path = plugin.config.get("path")
        loaders = [] if plugin.extra("loader") else warehouses(facts)
        files = [path] if isinstance(path, str) else []
        files += [str(_absolute(facts, loader)["filepath"]) for loader in loaders]
    return Dbt(
        adapter=dbt.adapter(plugin.resolved),
        files=tuple(dict.fromkeys(filter(dbt.is_file, files))),
        packages=not plugin.config.get("skip_pre_invoke"),
    )


def of_checker(facts: Facts, plugin: Ready, argv: tuple[str, ...]) -> Checker | None:
    """What there is to know of a command that a driver runs; None for another one."""
    driver = plugin.resolved.definition.driver
    if driver is None or not checkers.is_driven(driver, argv[1:]):
        return None
    root, path = PurePath(facts.project.root), plugin.config.get("path")
    return Checker(
        driver=driver,
        folder=str(root / str(plugin.config.get("folder") or checkers.FOLDERS[driver])),
        files=(str(root / path),) if isinstance(path, str) and dbt.is_file(path) else (),
    )


def _models(facts: Facts, plugin: Ready, word: blocks.Word) -> Build:
    verb = word.command or MODEL_VERBS[0]
    if verb not in MODEL_VERBS:
        guess = did_you_mean(verb, MODEL_VERBS)
        raise InputError(
            "unknown-command",
            f"`{word.plugin.name}` has no command `{verb}`",
            where=Where(word.plugin.file, word.plugin.line),
            hint=f"did you mean `{word.plugin.name}:{guess or MODEL_VERBS[0]}`?",
        )
    loader = _warehouse(facts, plugin)
    made = block(facts, plugin)
    return Build(
        name=word.text,
        block=made,
        verb=verb,
        folder=str(PurePath(facts.project.root) / (made.config.get("folder") or MODELS)),
        warehouse=block(facts, loader),
    )


def _warehouse(facts: Facts, plugin: Ready) -> Ready:
    found = warehouses(facts, plugin.config.get("loader"), of=BUILT_IN)
    if len(found) == 1:
        return found[0]
    names = ", ".join(f"`{item.plugin.name}`" for item in found)
    raise InputError(
        "no-warehouse",
        f"`{plugin.plugin.name}` needs one native loader of DuckDB or PostgreSQL to build in, found {names or 'none'}",
        where=Where(plugin.plugin.file, plugin.plugin.line),
        hint=f"headwater config set {plugin.plugin.name} loader NAME" if found else "headwater add target-duckdb",
    )


def warehouses(facts: Facts, name: str | None = None, *, of: tuple[str, ...] = ("duckdb",)) -> list[Ready]:
    """The native loaders of the project for these databases, or the one that is named: where models live."""
    loaders = [item for item in facts.project.plugins if item.kind is PluginKind.LOADER and name in (None, item.name)]
    return [found for loader in loaders if (found := ready(facts, loader)).resolved.native in of]


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
