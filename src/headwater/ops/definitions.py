"""Where a plugin's definition comes from: the project's lock file, our native connectors, the bundled index."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from headwater.base.files import files_below
from headwater.connect.destinations.definitions import DEFINITIONS as DESTINATIONS
from headwater.connect.sources.definitions import DEFINITIONS as SOURCES
from headwater.connect.sources.git_definition import GIT
from headwater.connect.sources.mysql_definition import MYSQL as SOURCE_MYSQL
from headwater.connect.sources.postgres_definition import POSTGRES as SOURCE_POSTGRES
from headwater.connect.sources.sql_definitions import DEFINITIONS as SQL_SOURCES
from headwater.connect.stages.definitions import DEFINITIONS as STAGES
from headwater.model.plugin import FOREIGN, Definition, PluginKind
from headwater.plan.alone import MODELS
from headwater.plan.inherit import DefinitionOf
from headwater.quality.checkers.definitions import DEFINITIONS as CHECKERS
from headwater.store import hub, lock_files
from headwater.transform.definitions import DEFINITIONS as TRANSFORMS

NATIVE: tuple[Definition, ...] = (
    *SOURCES,
    SOURCE_POSTGRES,
    SOURCE_MYSQL,
    *SQL_SOURCES,
    GIT,
    *DESTINATIONS,
    *STAGES,
    *TRANSFORMS,
    *CHECKERS,
)

OWN_VARIANT = "headwater"

# Names by which people ask for what one of ours does. They are other programs, with settings of their own.
DONE_BY = {
    "tap-csv": "tap-files",
    "tap-excel": "tap-files",
    "tap-json": "tap-files",
    "tap-jsonl": "tap-files",
    "tap-parquet": "tap-files",
    "tap-spreadsheets-anywhere": "tap-files",
    "tap-xml": "tap-files",
    "tap-mariadb": "tap-mysql",
    "tap-mssql": "tap-sql",
    "tap-oracle": "tap-sql",
    "target-mariadb": "target-mysql",
}


class Listed(Struct, frozen=True, kw_only=True):
    """A plugin that `headwater add` knows. `runs` is `native` or `Singer`."""

    kind: PluginKind
    name: str
    variant: str
    runs: str
    pip_url: str | None
    description: str | None


def known(kind: PluginKind | None, name: str, variant: str | None = None) -> Definition | None:
    """The definition that `headwater add NAME` uses: native ones first, then the index's default variant."""
    for definition in NATIVE:
        if (definition.name, definition.variant) == (name, variant or definition.variant) and kind in (
            None,
            definition.plugin_type,
        ):
            return definition
    return hub.find(kind, name, variant)


def lookup(root: Path) -> DefinitionOf:
    """Definitions for a project: its lock files outrank what this program knows."""

    def definition_of(kind: PluginKind, name: str, variant: str | None) -> Definition | None:
        if kind is PluginKind.EXTRACTOR and name.startswith(FOREIGN):
            # Likewise for those with a source of another framework.
            from headwater.ops import foreign_sources  # noqa: PLC0415 - see above

            return foreign_sources.definition(root, name)
        if kind is PluginKind.EXTRACTOR and name.endswith(".py"):
            # Parsing Python is for projects that have a source of their own.
            from headwater.connect.sources import python_definition  # noqa: PLC0415 - see above

            return python_definition.definition(root, name)
        if kind is PluginKind.EXTRACTOR and name.endswith((".yml", ".yaml")):
            from headwater.connect.sources import rest_definition  # noqa: PLC0415 - likewise

            return rest_definition.definition(root, name)
        found = lock_files.read(root, kind, name, variant) or known(kind, name, variant)
        return _with_packages(found, root) if found is not None and found.native == MODELS else found

    return definition_of


def _with_packages(found: Definition, root: Path) -> Definition:
    """With the packages that Python models name at their top: they share one environment."""
    files = files_below(root / MODELS, ".py") if (root / MODELS).is_dir() else []
    if not files:
        return found
    from headwater.connect.sources import python_definition  # noqa: PLC0415 - for projects with such models

    named: dict[str, None] = {}
    for file in files:
        told = python_definition.script(file.read_text("utf-8", "replace"), file.relative_to(root).as_posix())
        named |= dict.fromkeys(told.get("dependencies") or ())
    return replace(found, pip_url=" ".join(named)) if named else found


def variants(kind: PluginKind | None, name: str) -> tuple[str, ...]:
    """All variants of a name, the default one first."""
    native = [item.variant for item in NATIVE if item.name == name and kind in (None, item.plugin_type)]
    return tuple(dict.fromkeys([*native, *hub.variants(kind, name)]))


def names(kind: PluginKind | None = None) -> tuple[str, ...]:
    """Every name that is known, sorted."""
    native = {item.name for item in NATIVE if kind in (None, item.plugin_type)}
    return tuple(sorted(native | set(hub.names(kind))))


def listing(pattern: str = "*", kind: PluginKind | None = None) -> list[Listed]:
    """Every variant whose plugin's name matches the glob, by kind and name."""
    wanted = pattern if "*" in pattern or "?" in pattern else f"*{pattern}*"
    rows = []
    for name in names(kind):
        if not fnmatchcase(name, wanted):
            continue
        for variant in variants(kind, name):
            definition = known(kind, name, variant)
            if definition is not None:
                rows.append(_listed(definition))
    return sorted(rows, key=lambda row: (row.kind, row.name))


def _listed(definition: Definition) -> Listed:
    return Listed(
        kind=definition.plugin_type,
        name=definition.name,
        variant=definition.variant,
        runs="native" if definition.native else "Singer",
        pip_url=definition.pip_url,
        description=definition.description,
    )
