"""Sources of packages, for Headwater, Airbyte and dlt: what is known of their settings, and their entries.

An installed package says what its settings are. That is asked once, after it was installed, and kept as a definition in
the project (`plugins/extractors/…--airbyte.lock`). A dlt source in the project's own folder is read from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct

from headwater.base.errors import HeadwaterError, InputError
from headwater.connect.sources import airbyte_definition, dlt_definition, packaged
from headwater.model.event import Emit, Level, Notice
from headwater.model.plan import Block
from headwater.model.plugin import AIRBYTE, DLT, FOREIGN, PACKAGE, Definition, Plugin, PluginKind
from headwater.ops import own_sources, planning, plugins
from headwater.ops.workspace import Workspace
from headwater.plan import programs, settled
from headwater.store import lock_files, project_edit

Framework = Literal["airbyte", "dlt", "package"]
_PREFIXES: dict[Framework, str] = {"airbyte": AIRBYTE, "dlt": DLT, "package": PACKAGE}


class Made(Struct, frozen=True, kw_only=True):
    """`required` are the settings without which it can't work."""

    plugin: str
    source: str
    required: tuple[str, ...]


def definition(root: Path, source: str) -> Definition:
    """What is known of a source as `source:` names it. Raises InputError (`bad-source`)."""
    if source.startswith((AIRBYTE, PACKAGE)):
        bare = airbyte_definition.definition(source) if source.startswith(AIRBYTE) else packaged.bare(source)
        return lock_files.read(root, PluginKind.EXTRACTOR, bare.name, bare.variant) or bare
    bare = dlt_definition.definition(root, source)
    if dlt_definition.is_of_project(root, source):
        return bare
    return lock_files.read(root, PluginKind.EXTRACTOR, bare.name, bare.variant) or bare


def learn(workspace: Workspace, among: Sequence[Plugin], *, emit: Emit, anew: bool = False) -> None:
    """Keep the definitions of those plugins that are sources of packages, where none is kept yet, or `anew`.
    What can't be learned is said, and no obstacle: such a source takes any setting."""
    if planning.settings(workspace)["project_readonly"].value:
        return
    for plugin in among:
        source = plugin.source or ""
        if not source.startswith(FOREIGN) or (source.startswith(DLT) and _is_own(workspace, source)):
            continue
        bare = definition(workspace.root, source)
        if lock_files.path(workspace.root, bare.plugin_type, bare.name, bare.variant).is_file() and not anew:
            continue
        try:
            lock_files.write(workspace.root, _asked(workspace, plugin, source))
        except HeadwaterError as error:
            text = f"{plugin.name}: its settings could not be found out: {error.what}"
            emit(Notice(step=None, level=Level.WARNING, text=text))


def forget(workspace: Workspace, plugin: Plugin) -> None:
    """Remove what is kept of a plugin's source, unless another plugin has it too."""
    source = plugin.source
    others = (item for item in workspace.project.plugins if item.name != plugin.name)
    if source is not None and all(item.source != source for item in others):
        bare = definition(workspace.root, source)
        lock_files.remove(workspace.root, bare.plugin_type, bare.name, bare.variant)


def _is_own(workspace: Workspace, source: str) -> bool:
    return dlt_definition.is_of_project(workspace.root, source)


def _asked(workspace: Workspace, plugin: Plugin, source: str) -> Definition:
    facts = planning.facts(workspace)
    block = programs.block(facts, settled.ready(facts, plugin))
    if source.startswith(DLT):
        return dlt_definition.definition(workspace.root, source, _packages(block))
    if source.startswith(PACKAGE):
        return packaged.definition(source, block.venv or "")
    # Arrow comes with the module that speaks to connectors.
    from headwater.connect.sources import airbyte  # noqa: PLC0415 - see above

    settings = airbyte.Settings(
        source=source, root=str(workspace.root), venv=block.venv, env=block.env, secrets=block.secrets
    )
    return airbyte_definition.definition(source, airbyte.specification(settings.program))


def _packages(block: Block) -> list[Path]:
    """The folders with the modules of a plugin's environment."""
    return sorted(Path(block.venv).glob("lib/python3*/site-packages")) if block.venv else []


def _refuse_absent(workspace: Workspace, plugin: Plugin, source: str) -> None:
    """Raises InputError (`bad-source`) where what was installed does not have the source; then nothing is kept."""
    facts = planning.facts(workspace)
    block = programs.block(facts, settled.ready(facts, plugin))
    try:
        if source.startswith(PACKAGE):
            packaged.found(source, block.venv)
        elif source.startswith(DLT) and dlt_definition.is_absent(workspace.root, source, _packages(block)):
            named = source.removeprefix(DLT)
            raise InputError(
                "bad-source",
                f"the project has no `{dlt_definition.FOLDER}/{named}.py`, and dlt brings no source `{named}`",
                hint="headwater tap new dlt NAME MODULE.FUNCTION; "
                "dlt brings `rest_api`, `sql_database` and `filesystem`",
            )
    except HeadwaterError:
        forget(workspace, plugin)
        lock_files.remove(workspace.root, plugin.kind, plugin.name)
        raise


def new(
    workspace: Workspace, name: str, framework: Framework, named: str | None, pip_url: str | None, *, emit: Emit
) -> Made:
    """Write the entry of an extractor `tap-NAME`, install its packages, and find out its settings.

    `named` is the package of a connector (by default `airbyte-source-NAME`), or the function of a dlt source (by
    default the only one of the module NAME in the project, else that of dlt's own source NAME), or a package for
    Headwater (by default NAME).
    Raises InputError (`bad-name`, `plugin-exists`, `bad-source`), and what installing raises: then the entry is gone
    again.
    """
    place = own_sources.place(workspace, name, "", framework)
    short = place.plugin.removeprefix("tap-")
    if named is None and framework == "package":
        named = short
    elif named is None:
        named = f"airbyte-source-{short}" if framework == "airbyte" else _only_function(workspace.root, short)
    source = f"{_PREFIXES[framework]}{named}"
    definition(workspace.root, source)
    entry = {"name": place.plugin, "source": source} | ({"pip_url": pip_url} if pip_url else {})
    project_edit.add_plugin(workspace.project, PluginKind.EXTRACTOR, entry)
    after = workspace.again()
    try:
        plugin = planning.plugin(after, place.plugin, PluginKind.EXTRACTOR)
        plugins.install_missing(after, [plugin], emit=emit)
        _refuse_absent(after, plugin, source)
    except HeadwaterError:
        project_edit.remove_plugin(after.project, PluginKind.EXTRACTOR, place.plugin)
        raise
    found = definition(after.root, source)
    return Made(plugin=place.plugin, source=source, required=tuple(one.name for one in found.settings if one.required))


def _only_function(root: Path, short: str) -> str:
    module = short.replace("-", "_")
    found = dlt_definition.sources(root, module)
    if found is None:
        return module
    if len(found) != 1:
        raise InputError(
            "bad-source",
            f"the module `{module}` has {len(found)} functions that are dlt sources",
            hint=f"headwater tap new dlt {short} {module}.{found[0] if found else 'FUNCTION'}",
        )
    return f"{module}.{found[0]}"
