"""Adding, removing, installing and listing plugins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from headwater.base.errors import InputError
from headwater.base.redact import without_credentials
from headwater.base.text import env_name
from headwater.model.event import Emit, Level, Notice
from headwater.model.plugin import FOREIGN, Definition, Plugin, PluginKind
from headwater.ops import definitions, planning, schedules
from headwater.ops.hub import Sources
from headwater.ops.workspace import Workspace
from headwater.plan import checkers, settled
from headwater.plan import settings as plan_settings
from headwater.run import install as run_install
from headwater.store import definition_files, lock_files, project_edit, venvs
from headwater.store.hub_client import HOUR

hub = definitions.listing

_BY_PREFIX = {"tap-": PluginKind.EXTRACTOR, "target-": PluginKind.LOADER}


class AddRequest(Struct, frozen=True, kw_only=True):
    """What `headwater add` was asked for. `executable`, `namespace`, `capabilities` and `settings` are for custom
    plugins; `from_ref` is a path or an address. Without `update` a plugin that is there is left alone."""

    kind: PluginKind | None = None
    inherit_from: str | None = None
    variant: str | None = None
    as_name: str | None = None
    from_ref: str | None = None
    python: str | None = None
    pip_url: str | None = None
    update: bool = True
    custom: bool = False
    executable: str | None = None
    namespace: str | None = None
    capabilities: tuple[str, ...] = ()
    settings: tuple[dict[str, Any], ...] = ()


class Added(Struct, frozen=True, kw_only=True):
    """`existed`: the entry was there before."""

    kind: PluginKind
    name: str
    variant: str | None
    existed: bool


class ListedPlugin(Struct, frozen=True, kw_only=True):
    """`installed` is None for a plugin that needs no environment."""

    kind: PluginKind
    name: str
    variant: str | None
    inherit_from: str | None
    pip_url: str | None
    installed: bool | None
    custom: bool = False


def add(workspace: Workspace, name: str, request: AddRequest, *, sources: Sources | None = None) -> Added:
    """Write the plugin's entry and its lock file. An entry that is there stays; its lock file is renewed. Definitions
    are those of `sources`, or of those that need no network.

    Raises InputError: `unknown-plugin`, `variant-differs`, `unknown-variant`, and what the project file says.
    """
    project_edit.check_writable(workspace.project)
    sources = sources or Sources.of(workspace, note=_unheard, offline=True)
    if request.custom:
        return _add_custom(workspace, name, request)
    if request.from_ref is not None:
        return _add_from_file(workspace, name, request)
    if request.inherit_from is not None or request.as_name is not None:
        parent = request.inherit_from or name
        return _add_inheriting(workspace, request.as_name or name, parent, request, sources)
    definition = sources.definition(name, request.kind, request.variant)
    existing = workspace.project.plugin(name, definition.plugin_type)
    if existing is not None and request.variant and existing.variant not in (None, request.variant):
        raise InputError(
            "variant-differs",
            f"`{name}` is in the project with variant `{existing.variant}`",
            hint=f"headwater add {name} --variant {request.variant} --as {name}--{request.variant}",
        )
    if existing is not None and not request.update:
        return Added(kind=existing.kind, name=name, variant=existing.variant, existed=True)
    if existing is not None:
        locked = existing.variant or definition.variant
        _write_lock(workspace, sources.definition(name, definition.plugin_type, locked))
        given = {"pip_url": request.pip_url, "python": request.python, "executable": request.executable}
        changes = {key: value for key, value in given.items() if value is not None}
        if changes:
            project_edit.update_plugin(workspace.project, definition.plugin_type, name, changes)
        return Added(kind=definition.plugin_type, name=name, variant=locked, existed=True)
    _write_lock(workspace, definition)
    entry = {"name": name, "variant": definition.variant, "pip_url": request.pip_url or definition.pip_url}
    return _write(workspace, definition.plugin_type, entry, request)


def _unheard(_text: str) -> None:
    """Nobody listens."""


def _add_custom(workspace: Workspace, name: str, request: AddRequest) -> Added:
    kind = kind_of(name, request.kind)
    if not request.pip_url and not request.executable:
        raise InputError(
            "custom-needs-program",
            f"`{name}` is custom and needs a package or a program",
            hint=f"headwater add {name} --custom --pip-url PACKAGE (or --executable PROGRAM)",
        )
    entry = {
        "name": name,
        "namespace": request.namespace or name.replace("-", "_"),
        "pip_url": request.pip_url,
        "executable": request.executable,
        "capabilities": list(request.capabilities) or _usual_capabilities(kind),
        "settings": list(request.settings) or None,
    }
    return _write(workspace, kind, entry, request)


def _usual_capabilities(kind: PluginKind) -> list[str] | None:
    """What nearly every tap can do; for another name them with --capability."""
    return ["catalog", "discover", "state"] if kind is PluginKind.EXTRACTOR else None


def _add_from_file(workspace: Workspace, name: str, request: AddRequest) -> Added:
    """A definition from elsewhere becomes part of the project file: the plugin is a custom one from then on."""
    assert request.from_ref is not None
    definition = definition_files.read(request.from_ref, kind=kind_of(name, request.kind))
    entry = msgspec.json.decode(lock_files.encode(definition))
    for key in ("plugin_type", *definition.extras):
        entry.pop(key, None)
    return _write(workspace, definition.plugin_type, entry, request)


def _add_inheriting(workspace: Workspace, name: str, parent: str, request: AddRequest, sources: Sources) -> Added:
    standing = workspace.project.plugin(parent, request.kind)
    if standing is not None and request.variant is None:
        kind = standing.kind
    else:
        definition = sources.definition(parent, request.kind, request.variant)
        kind = definition.plugin_type
        _write_lock(workspace, definition)
        # What is inherited from the hub says which variant, as an entry of its own does.
        request = replace(request, variant=definition.variant, pip_url=request.pip_url or definition.pip_url)
    entry = {"name": name, "inherit_from": parent, "variant": request.variant, "pip_url": request.pip_url}
    return _write(workspace, kind, entry, request)


def _write(workspace: Workspace, kind: PluginKind, entry: dict[str, Any], request: AddRequest) -> Added:
    full = {**entry, "python": request.python, "executable": entry.get("executable") or request.executable}
    said = {key: value for key, value in full.items() if value is not None}
    name = said["name"]
    existed = workspace.project.plugin(name, kind) is not None
    if existed:
        project_edit.update_plugin(workspace.project, kind, name, {k: v for k, v in said.items() if k != "name"})
    else:
        project_edit.add_plugin(workspace.project, kind, said)
    return Added(kind=kind, name=name, variant=said.get("variant"), existed=existed)


def kind_of(name: str, given: PluginKind | None) -> PluginKind:
    """The kind that was said, else the one that the name tells, else a utility."""
    return given or _prefix_kind(name) or PluginKind.UTILITY


def _prefix_kind(name: str) -> PluginKind | None:
    return next((kind for prefix, kind in _BY_PREFIX.items() if name.startswith(prefix)), None)


def remove(workspace: Workspace, name: str, kind: PluginKind | None = None) -> list[str]:
    """Remove a plugin's entry, its lock file and its environment, unless another plugin still uses them.

    Answers with the variables of `.env` that were the plugin's: they stay, for a person may have use for them.
    """
    project_edit.check_writable(workspace.project)
    plugin = planning.plugin(workspace, name, kind)
    heirs = (item for item in workspace.project.plugins if (item.kind, item.inherit_from) == (plugin.kind, name))
    if (heir := next(heirs, None)) is not None:
        raise InputError(
            "plugin-in-use", f"`{heir.name}` inherits from `{name}`", hint=f"headwater remove {heir.name} {name}"
        )
    project_edit.remove_plugin(workspace.project, plugin.kind, name)
    if not plugin.inherit_from:
        lock_files.remove(workspace.root, plugin.kind, name, plugin.variant)
    if (plugin.source or "").startswith(FOREIGN):
        from headwater.ops import foreign_sources  # noqa: PLC0415 - for projects that have such a source

        foreign_sources.forget(workspace, plugin)
    venvs.remove(workspace.home, plugin.kind, name)
    return [variable for variable in workspace.dotenv if variable.startswith(f"{env_name(name)}_")]


def install(
    workspace: Workspace,
    names: Iterable[str],
    *,
    emit: Emit,
    kind: PluginKind | None = None,
    schedule: str | None = None,
    parallelism: int | None = None,
    clean: bool = False,
    force: bool = False,
) -> None:
    """Install the named plugins, all when none is named; of these, with a `schedule`, those that it runs. Locks a
    definition that is not locked yet. Idempotent."""
    wanted = [planning.plugin(workspace, name, kind) for name in names]
    plugins = wanted or [item for item in workspace.project.plugins if kind in (None, item.kind)]
    if schedule is not None:
        runs = schedules.plugin_names(workspace, schedule)
        plugins = [item for item in plugins if item.name in runs]
    _lock(workspace, plugins, emit)
    jobs = _jobs(workspace, plugins)
    if clean:
        for job in jobs:
            run_install.update_pins(job, emit=emit)
    run_install.install(jobs, emit=emit, parallelism=parallelism, force=force, clean=clean)
    _learn(workspace, plugins, emit, anew=clean)


def install_missing(workspace: Workspace, plugins: Sequence[Plugin], *, emit: Emit) -> None:
    """Install those of the plugins whose environment is not what the project asks for. Costs ~1 ms when all are."""
    _lock(workspace, plugins, emit)
    jobs = _jobs(workspace, plugins)
    stale = [job for job in jobs if not venvs.is_current(job.requirement)]
    if stale:
        run_install.install(stale, emit=emit)
    _learn(workspace, plugins, emit)


def _learn(workspace: Workspace, plugins: Sequence[Plugin], emit: Emit, *, anew: bool = False) -> None:
    """The settings of sources of other frameworks stand in their packages."""
    if any((plugin.source or "").startswith(FOREIGN) for plugin in plugins):
        from headwater.ops import foreign_sources  # noqa: PLC0415 - for projects that have such a source

        foreign_sources.learn(workspace, plugins, emit=emit, anew=anew)


def install_as_asked(workspace: Workspace, plugins: Sequence[Plugin], install: str | None, *, emit: Emit) -> None:
    """As `install_missing`, unless `install` is `no`, or None where the project says `auto_install: false`."""
    if install is None:
        install = "yes" if planning.settings(workspace)["auto_install"].value else "no"
    if install != "no":
        install_missing(workspace, plugins, emit=emit)


def _lock(workspace: Workspace, plugins: Sequence[Plugin], emit: Emit) -> None:
    """A definition comes from the lock file from the first use on: an upgrade of this program changes nothing."""
    if planning.settings(workspace)["project_readonly"].value:
        return
    sources: Sources | None = None
    for plugin in plugins:
        name = plugin.inherit_from or plugin.name
        parent = workspace.project.plugin(name, plugin.kind) if plugin.inherit_from else None
        if plugin.is_custom or (parent is not None and plugin.variant is None):
            continue  # its definition stands in the project file, or is its parent's
        if lock_files.read(workspace.root, plugin.kind, name, plugin.variant):
            continue
        if sources is None:
            sources = Sources.of(workspace, note=lambda text: emit(Notice(step=None, level=Level.WARNING, text=text)))
        found = sources.find(plugin.kind, name, plugin.variant, max_age=HOUR)
        if found is not None:
            _write_lock(workspace, found)


def _write_lock(workspace: Workspace, definition: Definition) -> None:
    """A native connector is as new as this program: what it understands stands in the code, not in a lock file."""
    if definition.native is None:
        lock_files.write(workspace.root, definition)


def _jobs(workspace: Workspace, plugins: Sequence[Plugin]) -> list[run_install.InstallJob]:
    """Of those plugins that need an environment."""
    facts = planning.facts(workspace)
    jobs = (_job(workspace, facts, settled.ready(facts, plugin)) for plugin in plugins)
    return [job for job in jobs if job is not None]


def _job(workspace: Workspace, facts: settled.Facts, ready: settled.Ready) -> run_install.InstallJob | None:
    env = {**facts.dotenv, **ready.levels.merged}
    job = run_install.job(
        ready.resolved,
        root=workspace.root,
        home=workspace.home,
        env=env,
        secrets=ready.secrets,
        write_pins=not planning.settings(workspace)["project_readonly"].value,
    )
    return job and replace(job, env=_for_installer(workspace.environ, env))


def _for_installer(environ: Mapping[str, str], env: Mapping[str, str]) -> dict[str, str]:
    """A package that is built sees the installer's variables: of the project's own (`.env`, `env:`) it gets those that
    say where packages come from, and no secret of a plugin."""
    given = {name: value for name, value in env.items() if name.upper().startswith(_INSTALLER_VARIABLES)}
    return {**environ, **given}


_INSTALLER_VARIABLES = ("UV_", "PIP_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_", "REQUESTS_CA")


def lock(
    workspace: Workspace,
    names: Sequence[str],
    kind: PluginKind | None,
    *,
    update: bool,
    sources: Sources | None = None,
) -> Iterator[tuple[Plugin, str]]:
    """Lock definitions of the named plugins, or of all; yields each plugin with what became of it: `locked`, `kept`
    (a lock file is there; `update` writes it anew), `custom`, `inherited`, `native`, `unknown`.

    Raises InputError (`no-plugins`) when none matches.
    """
    project_edit.check_writable(workspace.project)
    plugins = [
        item for item in workspace.project.plugins if kind in (None, item.kind) and (not names or item.name in names)
    ]
    if not plugins:
        raise InputError("no-plugins", "no plugin of the project matches", hint="headwater plugin list")
    sources = sources or Sources.of(workspace, note=_unheard, offline=True)
    for plugin in plugins:
        yield plugin, _locked(workspace, plugin, sources, update=update)


def _locked(workspace: Workspace, plugin: Plugin, sources: Sources, *, update: bool) -> str:
    if plugin.inherit_from:
        return "inherited"
    if plugin.is_custom:
        return "custom"
    if not update and lock_files.read(workspace.root, plugin.kind, plugin.name, plugin.variant):
        return "kept"
    found = sources.find(plugin.kind, plugin.name, plugin.variant)
    if found is None:
        return "unknown"
    if found.native is not None:
        return "native"
    lock_files.write(workspace.root, found)
    return "locked"


def listing(workspace: Workspace) -> list[ListedPlugin]:
    """The project's plugins, in file order."""
    facts = planning.facts(workspace)
    rows = []
    for plugin in workspace.project.plugins:
        ready = settled.ready(facts, plugin)
        definition = ready.resolved.definition
        job = _job(workspace, facts, ready)
        rows.append(
            ListedPlugin(
                kind=plugin.kind,
                name=plugin.name,
                variant=definition.variant,
                inherit_from=plugin.inherit_from,
                pip_url=without_credentials(definition.pip_url) if definition.pip_url else None,
                installed=None if job is None else venvs.is_current(job.requirement),
                custom=plugin.is_custom,
            )
        )
    return rows


def as_meltano_lists_it(row: ListedPlugin) -> dict[str, Any]:
    """A row of `plugin list --format json`: no update is ever known, since definitions come with the program."""
    return {
        "type": row.kind,
        "name": row.name,
        "variant": "default" if row.variant == lock_files.ORIGINAL else row.variant,
        "inherit_from": row.inherit_from,
        "custom": row.custom,
        "update": False,
        "pip_url": row.pip_url,
    }


def next_commands(workspace: Workspace, name: str) -> list[str]:
    """What to do after adding a plugin: the settings it needs, else how to run it."""
    ready = settled.ready(planning.facts(workspace), planning.plugin(workspace, name))
    missing = plan_settings.missing_required(ready.resolved, ready.values)
    if missing:
        return [f"next: headwater config set {name} {setting} VALUE" for setting in missing]
    loaders = [item.name for item in workspace.project.plugins if item.kind is PluginKind.LOADER]
    if ready.resolved.kind is PluginKind.EXTRACTOR:
        return [f"next: headwater run {name} {loaders[0]}" if loaders else "next: headwater add target-duckdb"]
    if (driver := ready.resolved.definition.driver) is not None:
        return [f"next: headwater run {name}:{checkers.commands(driver, ready.resolved.definition)[0]}"]
    return []
