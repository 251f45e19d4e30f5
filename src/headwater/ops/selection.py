"""What of an extractor is extracted: patterns in the project file, and what they choose in its catalog."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from headwater.base.errors import InputError, RunFailedError, Where
from headwater.model.catalog import SelectedProperty
from headwater.model.event import Emit
from headwater.model.plan import ExtractLoad
from headwater.model.plugin import Plugin, PluginKind
from headwater.ops import planning, plugins
from headwater.ops.runs import Aside, aside
from headwater.ops.workspace import Workspace
from headwater.plan import build, settled
from headwater.plan import select as rules
from headwater.plan.options import Options
from headwater.run import discover
from headwater.run.cancel import Cancel
from headwater.store import project_edit


class Listing(Struct, frozen=True, kw_only=True):
    patterns: tuple[str, ...]
    streams: tuple[SelectedProperty, ...]


def patterns(workspace: Workspace, name: str) -> tuple[str, ...]:
    """The patterns in force, in order."""
    ready = settled.ready(planning.facts(workspace), extractor_of(workspace, name))
    return tuple(ready.extra("select") or ())


def add(workspace: Workspace, name: str, pattern: str) -> None:
    """Add a pattern; one that is there is not added again."""
    extractor = extractor_of(workspace, name)
    project_edit.add_select(workspace.project, extractor.name, [pattern], workspace.environment_name)


def remove(workspace: Workspace, name: str, pattern: str) -> None:
    extractor = extractor_of(workspace, name)
    project_edit.remove_select(workspace.project, extractor.name, [pattern], workspace.environment_name)


def clear(workspace: Workspace, name: str) -> None:
    """Remove all patterns: everything is selected again."""
    extractor = extractor_of(workspace, name)
    project_edit.clear_select(workspace.project, extractor.name, workspace.environment_name)


def replace(workspace: Workspace, name: str, patterns: Sequence[str]) -> None:
    """Let these be the patterns; none of them selects everything."""
    extractor = extractor_of(workspace, name)
    project_edit.set_select(workspace.project, extractor.name, patterns, workspace.environment_name)


def install(workspace: Workspace, name: str, *, emit: Emit) -> None:
    """Install what listing needs, and nothing more."""
    plugins.install_missing(workspace, [extractor_of(workspace, name)], emit=emit)


def listing(workspace: Workspace, name: str, *, refresh: bool, emit: Emit, install: str | None = None) -> Listing:
    """Every stream and property the source offers, with whether it is chosen. Discovers when it has to."""
    extractor = extractor_of(workspace, name)
    plugins.install_as_asked(workspace, [extractor], install, emit=emit)
    catalog = applied_catalog(workspace, extractor, refresh=refresh, emit=emit, may_be_empty=True)
    return Listing(patterns=patterns(workspace, name), streams=tuple(rules.listing(catalog)))


def applied_catalog(
    workspace: Workspace, extractor: Plugin, *, refresh: bool, emit: Emit, may_be_empty: bool = False
) -> dict[str, Any]:
    """The extractor's catalog with the selection rules applied.

    Raises InputError (`missing-setting`) only where the source can't be asked without the setting.
    """
    facts = planning.facts(workspace)
    step = build.extract(facts, extractor, Options(refresh_catalog=refresh), complete=False)
    try:
        return catalog_of(workspace, step, emit=emit, may_be_empty=may_be_empty)
    except RunFailedError:
        settled.check(facts, settled.ready(facts, extractor))
        raise


def catalog_of(workspace: Workspace, step: ExtractLoad, *, emit: Emit, may_be_empty: bool = False) -> dict[str, Any]:
    """The catalog that a step extracts with. Raises InputError (`no-catalog`) for a plugin that knows none."""
    with aside(workspace, emit=emit, cancel=Cancel()) as lab:
        found = discover.selected_catalog(step, lab.run, lambda: offered_catalog(step, lab), may_be_empty=may_be_empty)
    if found is None:
        raise InputError(
            "no-catalog",
            f"`{step.extractor.name}` knows no catalogs: everything it has is extracted",
            where=step.extractor.where,
        )
    return found


def offered_catalog(step: ExtractLoad, lab: Aside) -> dict[str, Any] | None:
    """What the extractor's source offers; None for a plugin that knows no catalogs."""
    if step.extractor.native is None:
        return discover.offered_catalog(step, lab.run, lab.folder, lab.stores.catalogs)
    # Arrow and the drivers are loaded for native sources only.
    from headwater.run import looking, native  # noqa: PLC0415 - see above

    return native.offered_catalog(
        step.extractor,
        root=Path(lab.run.plan.root),
        catalogs=lab.stores.catalogs,
        patience=looking.Patience(step.discovery_timeout_seconds, lab.run.cancel),
        refresh=step.refresh_catalog,
    )


def extractor_of(workspace: Workspace, name: str) -> Plugin:
    """Raises InputError (`unknown-plugin`, `not-an-extractor`)."""
    plugin = planning.plugin(workspace, name)
    if plugin.kind is not PluginKind.EXTRACTOR:
        raise InputError(
            "not-an-extractor",
            f"`{name}` is a {plugin.kind}: only extractors have streams to select",
            where=Where(plugin.file, plugin.line),
        )
    return plugin
