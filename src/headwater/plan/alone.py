"""Steps of one plugin: commands of programs and of dbt, checkers, and our own models with their warehouse."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from msgspec.structs import replace

from headwater.base.errors import InputError, Where
from headwater.base.text import did_you_mean
from headwater.model.plan import Build, Checker, Dbt, Invoke, Step
from headwater.model.plugin import Plugin, PluginKind
from headwater.model.setting import Origin
from headwater.plan import blocks, checkers, child_env, dbt
from headwater.plan.options import Options, retries
from headwater.plan.programs import absolute, block, invocation
from headwater.plan.settled import Facts, Ready, check, ready

# Native transformers and their commands; everything else with a command is a program.
MODELS = "models"
MODEL_VERBS = ("build", "check")
# Databases in which models are built.
BUILT_IN = ("duckdb", "postgres")


def alone(facts: Facts, group: blocks.Alone, options: Options, upstream: Sequence[child_env.Upstream] = ()) -> Step:
    """A plugin without a pipeline: a command of a program, or the verbs of our own models."""
    word = group.word
    plugin = connected(facts, word.plugin, upstream)
    check(facts, plugin)
    again = retries(plugin, group.retries, options)
    if plugin.resolved.native == MODELS:
        return replace(_models(facts, plugin, word), retries=again, full_refresh=options.full_refresh)
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
        retries=again,
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
    config = absolute(facts, of_loader)
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
        files += [str(absolute(facts, loader)["filepath"]) for loader in loaders]
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
