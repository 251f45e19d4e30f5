"""What a source offers: asked from the plugin, kept for a while, and compared with what it offered before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from headwater.base.clock import monotonic
from headwater.base.errors import RunFailedError
from headwater.model.event import Level, Progress, SourceChanged
from headwater.model.plan import Block, ExtractLoad
from headwater.plan import drift, select
from headwater.run.chain import Chain, Start
from headwater.run.looking import timed_out
from headwater.run.runner import Run
from headwater.run.singer_files import config_arguments, read_json
from headwater.store.catalogs import CachedCatalog, Catalogs

Json = dict[str, Any]


def selected_catalog(
    step: ExtractLoad, run: Run, offered: Callable[[], Json | None], *, may_be_empty: bool = False
) -> Json | None:
    """The catalog to extract with: the plan's own file, else what the source offers, with the plan's rules applied.

    None when the plugin knows no catalogs. Raises InputError (`nothing-selected`) unless it `may_be_empty`.
    """
    if step.catalog_file is not None:
        run.tell(step.name, Level.INFO, f"using the catalog in `{step.catalog_file}`")
        _, catalog = read_json(Path(run.plan.root) / step.catalog_file, "catalog")
        rules = select.Rules(select=(), select_filter=step.select_filter)
    else:
        if step.extractor.native is not None:
            run.emit(Progress(step=step.name, phase="discovering"))
        found = offered()
        if found is None:
            return None
        catalog = found
        rules = select.Rules(
            select=step.select, select_filter=step.select_filter, metadata=step.metadata, schema=step.schema
        )
    catalog, warnings = select.apply(catalog, rules, plugin=step.extractor.name, may_be_empty=may_be_empty)
    for text in warnings:
        run.tell(step.name, Level.WARNING, text)
    return catalog


def offered_catalog(step: ExtractLoad, run: Run, folder: Path, catalogs: Catalogs) -> Json | None:
    """The catalog of a Singer plugin, from the cache while that is fresh; None for a plugin that can't discover.

    A catalog is used again only for the same config and the same installed plugin: one that may change unseen
    (editable, or not installed by us) is asked each time. What changed since the last discovery is told.
    """
    block = step.extractor
    if "discover" not in block.capabilities:
        return None
    cached = catalogs.read(block.name)
    key = _key(block)
    if cached is not None and _is_fresh(step, cached, key):
        run.tell(step.name, Level.DEBUG, "using the catalog of the last discovery")
        return cached.catalog
    run.emit(Progress(step=step.name, phase="discovering"))
    catalog = discover(step, run, folder)
    if cached is not None and cached.key == key:
        _tell_changes(step, run, cached.catalog, catalog)
    catalogs.write(block.name, key, catalog)
    return catalog


def discover(step: ExtractLoad, run: Run, folder: Path) -> Json:
    """Run the plugin's discovery. Raises RunFailedError: `discovery-failed`, `discovery-timeout`, or
    `tap-logs-to-stdout` when what it wrote is no JSON."""
    block = step.extractor
    until = monotonic() + step.discovery_timeout_seconds

    def look() -> None:
        if monotonic() > until:
            raise timed_out(block.name, step.discovery_timeout_seconds)

    start = Start(block=block, args=(*config_arguments(block, folder), "--discover"))
    with Chain([start], step=step.name, run=run, idle_seconds=step.idle_timeout_seconds) as chain:
        text = b"".join(chain.chunks(look))
        chain.wait()
        run.cancel.check()
        failure = chain.failure()
    if failure is not None:
        raise RunFailedError(
            "discovery-failed",
            f"`{block.name}` could not say what its source offers",
            why=failure.why or failure.what,
            hint=f"headwater config test {block.name}",
        )
    try:
        catalog = json.loads(text)
    except ValueError as error:
        first = text.lstrip()[:80].decode("utf-8", "replace").splitlines() or ["(nothing)"]
        raise RunFailedError(
            "tap-logs-to-stdout",
            f"`{block.name} --discover` wrote something else than a catalog to stdout",
            why=f"it begins with: {first[0]}",
            hint="a Singer program logs to stderr only: set its log output, or report it to its authors",
        ) from error
    if not isinstance(catalog, dict):
        raise RunFailedError("discovery-failed", f"`{block.name} --discover` wrote JSON that is no catalog")
    return catalog


def _key(block: Block) -> str:
    """What a discovery depends on."""
    config = json.dumps(block.config, sort_keys=True, default=str)
    return hashlib.sha256(f"{block.fingerprint}\n{config}".encode()).hexdigest()


def _is_fresh(step: ExtractLoad, cached: CachedCatalog, key: str) -> bool:
    return bool(
        step.extractor.fingerprint
        and step.use_cached_catalog
        and not step.refresh_catalog
        and not step.full_refresh
        and cached.key == key
        and 0 <= cached.age() < step.catalog_max_age_seconds
    )


def _tell_changes(step: ExtractLoad, run: Run, before: Json, after: Json) -> None:
    for change in drift.changes(before, after):
        run.emit(SourceChanged(step=step.name, change=change))
