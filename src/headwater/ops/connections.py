"""Whether sources and destinations answer, whether they are still as they were, and what a selection chooses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

from headwater.base.errors import HeadwaterError
from headwater.base.text import listed
from headwater.model.catalog import CatalogChange
from headwater.model.event import Outcome, StreamStored
from headwater.model.plan import Block, ExtractLoad
from headwater.model.plugin import Plugin, PluginKind
from headwater.ops import logs, planning, trying
from headwater.ops.finding import Finding, failed
from headwater.ops.runs import Aside, aside
from headwater.ops.workspace import Workspace
from headwater.plan import build, drift, programs, select, settled
from headwater.plan.options import Options
from headwater.run import copy, discover
from headwater.run.cancel import Cancel
from headwater.run.looking import Patience

if TYPE_CHECKING:  # it brings Arrow
    from headwater.connect.digest import Relation

Json = dict[str, Any]
# Of the last runs, as many are looked through for how tables were left.
_RUNS = 50


def examine(workspace: Workspace, plugins: list[Plugin], *, singer: bool) -> Iterator[Finding]:
    """Native sources and destinations are opened and closed again, and what they say is not kept; with `singer` also
    the programs of others, as `config test` does. Nothing is installed."""
    facts = planning.facts(workspace)
    with aside(workspace, emit=_unheard, cancel=Cancel()) as lab:
        for plugin in plugins:
            if plugin.kind is PluginKind.EXTRACTOR:
                yield from _guarded(plugin, _source(workspace, facts, plugin, lab, singer=singer))
            elif plugin.kind is PluginKind.LOADER:
                yield from _guarded(plugin, _loader(workspace, facts, plugin, lab, singer=singer))
    yield from _tables(workspace, facts, plugins)


def _guarded(plugin: Plugin, found: Iterator[Finding]) -> Iterator[Finding]:
    """What was found, and the error that ended it."""
    try:
        yield from found
    except HeadwaterError as error:
        yield failed(plugin.name, error)


def _unheard(_event: object) -> None:
    """What plugins say while they are tried; what is wrong comes as an error."""


def _source(
    workspace: Workspace, facts: settled.Facts, plugin: Plugin, lab: Aside, *, singer: bool
) -> Iterator[Finding]:
    step = build.extract(facts, plugin, Options())
    kept = lab.stores.catalogs.read(plugin.name)
    catalog = kept.catalog if kept is not None else None
    changes: list[CatalogChange] = []
    if step.extractor.native is not None:
        from headwater.run import native  # noqa: PLC0415 - Arrow and drivers, for native plugins only

        patience = Patience(step.discovery_timeout_seconds, lab.run.cancel)
        catalog, changes = native.changes(
            step.extractor, root=workspace.root, catalogs=lab.stores.catalogs, patience=patience
        )
        count = len(catalog["streams"])
        yield Finding(subject=plugin.name, status="ok", text=f"answers, and offers {count} stream{'s' * (count != 1)}")
    elif singer:
        if "discover" in step.extractor.capabilities:
            catalog = discover.discover(step, lab.run, lab.folder)
            changes = drift.changes(kept.catalog, catalog) if kept is not None else []
        seen = trying.attempt(workspace, plugin.name, plugin.kind, emit=_unheard, cancel=Cancel(), install="no").seen
        yield Finding(subject=plugin.name, status="ok", text=seen)
    for change in changes:
        yield Finding(
            subject=plugin.name,
            status="warning",
            text=f"{drift.sentence(change)} since the source was last looked at",
            hint=f"headwater select {plugin.name} --list --all",
        )
    if catalog is not None and step.catalog_file is None:
        yield from _selection(plugin, step, catalog)


def _selection(plugin: Plugin, step: ExtractLoad, catalog: Json) -> Iterator[Finding]:
    """Patterns that match nothing, unless the extractor says that they may."""
    if step.extractor.extras.get("select_may_miss"):
        return
    for text in select.unmatched(catalog, (*step.select, *step.select_filter)):
        yield Finding(
            subject=plugin.name,
            status="failed",
            text=f"`{text}` selects nothing: no stream or property is called so",
            hint=f"headwater select {plugin.name} --remove {text}, or set select_may_miss: true",
        )


def _loader(
    workspace: Workspace, facts: settled.Facts, plugin: Plugin, lab: Aside, *, singer: bool
) -> Iterator[Finding]:
    ready = settled.ready(facts, plugin)
    if ready.resolved.native is not None:
        yield Finding(subject=plugin.name, status="ok", text=trying.opened(programs.block(facts, ready), lab))
    elif singer:
        seen = trying.attempt(workspace, plugin.name, plugin.kind, emit=_unheard, cancel=Cancel(), install="no").seen
        yield Finding(subject=plugin.name, status="ok", text=seen)


def _tables(workspace: Workspace, facts: settled.Facts, plugins: list[Plugin]) -> Iterator[Finding]:
    """Whether the tables that runs left in databases are still there, with their columns."""
    left = _left(workspace)
    extractors = {item.name: item for item in plugins if item.kind is PluginKind.EXTRACTOR}
    loaders = {item.name: item for item in plugins if item.kind is PluginKind.LOADER}
    for (extractor, loader), streams in left.items():
        if extractor in extractors and loader in loaders:
            found = _standing(workspace, facts, (extractor, loader), streams)
            yield from _guarded(loaders[loader], found)


def _left(workspace: Workspace) -> dict[tuple[str, str], dict[str, StreamStored]]:
    """How the last runs of this environment left each stream, by extractor and loader."""
    found: dict[tuple[str, str], dict[str, StreamStored]] = {}
    with logs.opened(workspace) as runs:
        for record in runs.records(most=_RUNS):
            if record.environment != workspace.environment_name or record.outcome is not Outcome.SUCCESS:
                continue
            for stored in runs.loaded(record.run_id):
                if isinstance(stored.event, StreamStored):
                    names = stored.event.step.split(" → ")
                    pair = (names[0], names[-1])
                    found.setdefault(pair, {}).setdefault(stored.event.stream, stored.event)
    return found


def _standing(
    workspace: Workspace, facts: settled.Facts, pair: tuple[str, str], streams: dict[str, StreamStored]
) -> Iterator[Finding]:
    (step,) = build.steps(facts, pair, Options())
    assert isinstance(step, ExtractLoad)
    from headwater.connect import registry  # noqa: PLC0415 - brings Arrow
    from headwater.run import native  # noqa: PLC0415 - likewise

    if step.loader.native not in registry.DESTINATION_DIGESTS:
        return
    with (
        aside(workspace, emit=_unheard, cancel=Cancel()) as lab,
        closing(
            native.loaded_tables(
                step.loader,
                root=workspace.root,
                source=copy.source_of(step),
                pipeline=step.state_id,
                folder=lab.folder,
                on_wait=_unheard,
            )
        ) as tables,
    ):
        for stream, stored in streams.items():
            yield from _table(step.loader, stored, tables.relation(stream))


def _table(loader: Block, stored: StreamStored, found: Relation | None) -> Iterator[Finding]:
    if found is None or not found.columns:
        yield Finding(
            subject=loader.name,
            status="failed",
            text=f"{stored.place}, which the last run left, is gone",
            hint=f"headwater run --full-refresh --stream {stored.stream} …",
        )
        return
    gone = [column.name for column in stored.columns if column.source not in found.columns]
    if gone:
        yield Finding(
            subject=loader.name,
            status="warning",
            text=f"{stored.place} no longer has {listed(gone)}, which the last run left",
            hint=f"headwater run --full-refresh --stream {stored.stream} …, which makes them again",
        )
