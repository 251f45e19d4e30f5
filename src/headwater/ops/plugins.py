"""Adding, removing, installing and listing plugins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from headwater.base import yaml
from headwater.base.errors import InputError
from headwater.base.redact import without_credentials
from headwater.base.text import did_you_mean, env_name
from headwater.model.event import Emit
from headwater.model.plugin import Definition, Plugin, PluginKind
from headwater.ops import definitions, planning
from headwater.ops.workspace import Workspace
from headwater.plan import build
from headwater.plan import settings as plan_settings
from headwater.run import install as run_install
from headwater.store import lock_files, project_edit, venvs

hub = definitions.listing

_BY_PREFIX = {"tap-": PluginKind.EXTRACTOR, "target-": PluginKind.LOADER}


class AddRequest(Struct, frozen=True, kw_only=True):
    """What `headwater add` was asked for. `executable`, `namespace` and `capabilities` are for custom plugins."""

    kind: PluginKind | None = None
    inherit_from: str | None = None
    variant: str | None = None
    as_name: str | None = None
    from_ref: Path | None = None
    python: str | None = None
    pip_url: str | None = None
    custom: bool = False
    executable: str | None = None
    namespace: str | None = None
    capabilities: tuple[str, ...] = ()


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


def add(workspace: Workspace, name: str, request: AddRequest) -> Added:
    """Write the plugin's entry and its lock file. An entry that is there stays; its lock file is renewed.

    Raises InputError: `unknown-plugin`, `variant-differs`, `unknown-variant`, and what the project file says.
    """
    if request.custom:
        return _add_custom(workspace, name, request)
    if request.from_ref is not None:
        return _add_from_file(workspace, name, request)
    if request.inherit_from is not None or request.as_name is not None:
        parent = request.inherit_from or name
        return _add_inheriting(workspace, request.as_name or name, parent, request)
    definition = _definition(name, request.kind, request.variant)
    existing = workspace.project.plugin(name, definition.plugin_type)
    if existing is not None and request.variant and existing.variant not in (None, request.variant):
        raise InputError(
            "variant-differs",
            f"`{name}` is in the project with variant `{existing.variant}`",
            hint=f"headwater add {name} --variant {request.variant} --as {name}--{request.variant}",
        )
    if existing is not None:
        locked = existing.variant or definition.variant
        _write_lock(workspace, _definition(name, definition.plugin_type, locked))
        given = {"pip_url": request.pip_url, "python": request.python, "executable": request.executable}
        changes = {key: value for key, value in given.items() if value is not None}
        if changes:
            project_edit.update_plugin(workspace.project, definition.plugin_type, name, changes)
        return Added(kind=definition.plugin_type, name=name, variant=locked, existed=True)
    _write_lock(workspace, definition)
    entry = {"name": name, "variant": definition.variant, "pip_url": request.pip_url or definition.pip_url}
    return _write(workspace, definition.plugin_type, entry, request)


def _definition(name: str, kind: PluginKind | None, variant: str | None) -> Definition:
    found = definitions.known(kind, name, variant)
    if found is not None:
        return found
    variants = definitions.variants(kind, name)
    if variants:
        guess = did_you_mean(variant or "", variants)
        raise InputError(
            "unknown-variant",
            f"`{name}` has no variant `{variant}`",
            hint=f"did you mean `{guess}`?" if guess else f"it has: {', '.join(variants)}",
        )
    guess = did_you_mean(name, definitions.names(kind))
    raise InputError(
        "unknown-plugin",
        f"the hub has no plugin `{name}`",
        hint=f"did you mean `{guess}`?" if guess else f"headwater add {name} --custom --pip-url PACKAGE",
    )


def _add_custom(workspace: Workspace, name: str, request: AddRequest) -> Added:
    kind = _kind(name, request.kind)
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
    }
    return _write(workspace, kind, entry, request)


def _usual_capabilities(kind: PluginKind) -> list[str] | None:
    """What nearly every tap can do; for another name them with --capability."""
    return ["catalog", "discover", "state"] if kind is PluginKind.EXTRACTOR else None


def _add_from_file(workspace: Workspace, name: str, request: AddRequest) -> Added:
    assert request.from_ref is not None
    path = request.from_ref
    document = yaml.read(path)
    definition = lock_files.from_builtins(
        dict(document.data or {}), where=document.where(()), kind=request.kind or _prefix_kind(name), name=name
    )
    lock_files.write(workspace.root, definition)
    entry = {"name": definition.name, "variant": definition.variant, "pip_url": definition.pip_url}
    return _write(workspace, definition.plugin_type, entry, request)


def _add_inheriting(workspace: Workspace, name: str, parent: str, request: AddRequest) -> Added:
    standing = workspace.project.plugin(parent, request.kind)
    if standing is not None and request.variant is None:
        kind = standing.kind
    else:
        definition = _definition(parent, request.kind, request.variant)
        kind = definition.plugin_type
        _write_lock(workspace, definition)
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


def _kind(name: str, given: PluginKind | None) -> PluginKind:
    return given or _prefix_kind(name) or PluginKind.UTILITY


def _prefix_kind(name: str) -> PluginKind | None:
    return next((kind for prefix, kind in _BY_PREFIX.items() if name.startswith(prefix)), None)


def remove(workspace: Workspace, name: str, kind: PluginKind | None = None) -> list[str]:
    """Remove a plugin's entry, its lock file and its environment, unless another plugin still uses them.

    Answers with the variables of `.env` that were the plugin's: they stay, for a person may have use for them.
    """
    plugin = planning.plugin(workspace, name, kind)
    heirs = (item for item in workspace.project.plugins if (item.kind, item.inherit_from) == (plugin.kind, name))
    if (heir := next(heirs, None)) is not None:
        raise InputError(
            "plugin-in-use", f"`{heir.name}` inherits from `{name}`", hint=f"headwater remove {heir.name} {name}"
        )
    project_edit.remove_plugin(workspace.project, plugin.kind, name)
    if not plugin.inherit_from:
        lock_files.remove(workspace.root, plugin.kind, name, plugin.variant)
    venvs.remove(workspace.home, plugin.kind, name)
    return [variable for variable in workspace.dotenv if variable.startswith(f"{env_name(name)}_")]


def install(
    workspace: Workspace,
    names: Iterable[str],
    *,
    emit: Emit,
    kind: PluginKind | None = None,
    parallelism: int | None = None,
    clean: bool = False,
    force: bool = False,
) -> None:
    """Install the named plugins, all when none is named. Locks a definition that is not locked yet. Idempotent."""
    wanted = [planning.plugin(workspace, name, kind) for name in names]
    plugins = wanted or [item for item in workspace.project.plugins if kind in (None, item.kind)]
    _lock(workspace, plugins)
    jobs = _jobs(workspace, plugins)
    if clean:
        for job in jobs:
            run_install.update_pins(job, emit=emit)
    run_install.install(jobs, emit=emit, parallelism=parallelism, force=force, clean=clean)


def install_missing(workspace: Workspace, plugins: Sequence[Plugin], *, emit: Emit) -> None:
    """Install those of the plugins whose environment is not what the project asks for. Costs ~1 ms when all are."""
    _lock(workspace, plugins)
    jobs = _jobs(workspace, plugins)
    stale = [job for job in jobs if not venvs.is_current(job.requirement)]
    if stale:
        run_install.install(stale, emit=emit)


def _lock(workspace: Workspace, plugins: Sequence[Plugin]) -> None:
    """A definition comes from the lock file from the first use on: an upgrade of this program changes nothing."""
    if planning.settings(workspace)["project_readonly"].value:
        return
    for plugin in plugins:
        name = plugin.inherit_from or plugin.name
        parent = workspace.project.plugin(name, plugin.kind) if plugin.inherit_from else None
        if plugin.is_custom or (parent is not None and plugin.variant is None):
            continue  # its definition stands in the project file, or is its parent's
        if lock_files.read(workspace.root, plugin.kind, name, plugin.variant):
            continue
        found = definitions.known(plugin.kind, name, plugin.variant)
        if found is not None:
            _write_lock(workspace, found)


def _write_lock(workspace: Workspace, definition: Definition) -> None:
    """A native connector is as new as this program: what it understands stands in the code, not in a lock file."""
    if definition.native is None:
        lock_files.write(workspace.root, definition)


def _jobs(workspace: Workspace, plugins: Sequence[Plugin]) -> list[run_install.InstallJob]:
    """Of those plugins that need an environment."""
    facts = planning.facts(workspace)
    jobs = (_job(workspace, facts, build.ready(facts, plugin)) for plugin in plugins)
    return [job for job in jobs if job is not None]


def _job(workspace: Workspace, facts: build.Facts, ready: build.Ready) -> run_install.InstallJob | None:
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


def listing(workspace: Workspace) -> list[ListedPlugin]:
    """The project's plugins, in file order."""
    facts = planning.facts(workspace)
    rows = []
    for plugin in workspace.project.plugins:
        ready = build.ready(facts, plugin)
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
            )
        )
    return rows


def next_commands(workspace: Workspace, name: str) -> list[str]:
    """What to do after adding a plugin: the settings it needs, else how to run it."""
    ready = build.ready(planning.facts(workspace), planning.plugin(workspace, name))
    missing = plan_settings.missing_required(ready.resolved, ready.values)
    if missing:
        return [f"next: headwater config set {name} {setting} VALUE" for setting in missing]
    loaders = [item.name for item in workspace.project.plugins if item.kind is PluginKind.LOADER]
    if ready.resolved.kind is PluginKind.EXTRACTOR:
        return [f"next: headwater run {name} {loaders[0]}" if loaders else "next: headwater add target-duckdb"]
    return []
