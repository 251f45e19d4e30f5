"""Where rejects may be: the native loaders of a project, as its pipelines see them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from headwater.base.errors import InputError
from headwater.connect import registry
from headwater.model.plan import Block, ExtractLoad
from headwater.model.plugin import Plugin, PluginKind
from headwater.ops import planning
from headwater.ops.workspace import Workspace
from headwater.plan import child_env, programs, settled
from headwater.plan.options import Options
from headwater.run import copy


class Place(Struct, frozen=True, kw_only=True):
    """A loader, and the source that its default schema is called after. `step` is the pipeline that was named."""

    loader: Block
    source: str
    step: ExtractLoad | None = None


def places(workspace: Workspace, words: Sequence[str], options: Options) -> list[Place]:
    """Those of the pipelines that the words name; without words those of every native loader.

    Raises InputError: `no-quarantine` for a loader that keeps none, `no-pipeline` for words that name no pipeline, and
    what is wrong with the settings of a loader when no other is there.
    """
    return _named(workspace, words, options) if words else _all(workspace, options.state_id)


def pipeline_of(workspace: Workspace, state_id: str) -> tuple[Plugin, Plugin]:
    """The extractor and the loader of a state id. Raises InputError: `unknown-pipeline`, `other-environment`."""
    parts = state_id.split(":")
    for extractor in _of_kind(workspace, PluginKind.EXTRACTOR):
        for loader in _of_kind(workspace, PluginKind.LOADER):
            name = f"{extractor.name}-to-{loader.name}"
            if name not in parts[:2]:
                continue
            environment = parts[0] if parts[0] != name else None
            if environment not in (None, workspace.environment_name):
                raise InputError(
                    "other-environment",
                    f"`{state_id}` belongs to the environment `{environment}`",
                    hint=f"headwater --environment {environment} rejects list --state-id {state_id}",
                )
            return extractor, loader
    raise InputError(
        "unknown-pipeline",
        f"the project has no extractor and loader for `{state_id}`",
        hint="name the pipeline as it was run: headwater rejects replay TAP TARGET",
    )


def _named(workspace: Workspace, words: Sequence[str], options: Options) -> list[Place]:
    found = []
    for step in planning.plan(workspace, words, options).steps:
        if not isinstance(step, ExtractLoad):
            raise InputError("no-pipeline", f"`{step.name}` is no pipeline", hint="headwater rejects list TAP TARGET")
        if step.loader.native not in registry.QUARANTINES:
            raise InputError(
                "no-quarantine",
                f"`{step.loader.name}` sets no records aside",
                why="only native destinations do; another target decides itself what it does with a bad record",
            )
        found.append(Place(loader=step.loader, source=copy.source_of(step), step=step))
    return found


def _all(workspace: Workspace, state_id: str | None) -> list[Place]:
    found: dict[tuple[str, str], Place] = {}
    problem: InputError | None = None
    pairs = [pipeline_of(workspace, state_id)] if state_id else _pairs(workspace)
    for extractor, loader in pairs:
        try:
            place = _place(workspace, loader, extractor)
        except InputError as error:
            problem = problem or error
            continue
        if place is not None:
            found.setdefault((loader.name, _books(place)), place)
    if problem is not None and not found:
        raise problem
    return list(found.values())


def _pairs(workspace: Workspace) -> Iterator[tuple[Plugin | None, Plugin]]:
    """A loader's settings may depend on the extractor before it."""
    extractors = list(_of_kind(workspace, PluginKind.EXTRACTOR))
    for loader in _of_kind(workspace, PluginKind.LOADER):
        yield from ((extractor, loader) for extractor in (*extractors, *(() if extractors else (None,))))


def _place(workspace: Workspace, loader: Plugin, extractor: Plugin | None) -> Place | None:
    facts = planning.facts(workspace)
    upstream: tuple[child_env.Upstream, ...] = ()
    source = ""
    if extractor is not None:
        before = settled.ready(facts, extractor)
        upstream = (child_env.Upstream(before.resolved, before.values),)
        source = str(before.extra("load_schema") or before.resolved.definition.namespace)
    block = programs.block(facts, settled.ready(facts, loader, upstream), upstream=upstream)
    return Place(loader=block, source=source) if block.native in registry.QUARANTINES else None


def _books(place: Place) -> str:
    """What tells the books of one loader apart: to MySQL they are in the database that the tables are in."""
    config = place.loader.config
    if place.loader.native == "mysql":
        return str(config.get("default_target_schema") or config.get("database") or place.source)
    return ""


def _of_kind(workspace: Workspace, kind: PluginKind) -> Iterator[Plugin]:
    return (plugin for plugin in workspace.project.plugins if plugin.kind is kind)
