"""From a project and words to a Plan. Everything that files, flags and variables say is settled here, once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from msgspec.structs import replace

from headwater.base.errors import InputError, Where
from headwater.model.plan import Block, ExtractLoad, Step
from headwater.model.plugin import Plugin
from headwater.plan import blocks, child_env, settings
from headwater.plan.alone import alone
from headwater.plan.expand import expand
from headwater.plan.options import Options, retries
from headwater.plan.programs import block
from headwater.plan.settled import Facts, Ready, check, ready

_CATALOG_SECONDS = 3600  # how long a discovery holds when the extractor does not say (ADR 6)


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


def extract_load(facts: Facts, group: blocks.Pipeline, options: Options) -> ExtractLoad:
    source = ready(facts, group.extractor.plugin, flags=options.of_extractor)
    check(facts, source)
    given = [child_env.Upstream(source.resolved, source.values)]
    mappers: list[Block] = []
    for word in group.mappers:
        mapper, told = _mapper(facts, word, given)
        mappers.append(mapper)
        given.append(told)
    target = ready(facts, group.loader.plugin, given)
    check(facts, target)
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
        retries=retries(source, group.retries, options),
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


def extract(facts: Facts, extractor: Plugin, options: Options, *, complete: bool = True) -> ExtractLoad:
    """An extractor on its own, for discovery: the loader is the extractor itself and is never started.

    Unless it must be `complete`, an outside program may lack settings: many know their streams without them.
    """
    word = blocks.Word(plugin=extractor)
    source = ready(facts, extractor, flags=options.of_extractor)
    if complete or source.resolved.native is not None:
        check(facts, source)
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
