"""Native sources and destinations as Singer programs on standard input and output."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from headwater.base.errors import InputError, Where
from headwater.base.redact import Redactor
from headwater.base.scratch import scratch
from headwater.base.text import did_you_mean
from headwater.connect import registry
from headwater.connect.contract import OpenRequest, SourceModule
from headwater.connect.settings import decode
from headwater.connect.singer import batch, faces
from headwater.connect.singer.batch_write import configured
from headwater.connect.singer.parse import ParseOptions
from headwater.connect.singer.schema import FLATTEN_DEPTH
from headwater.connect.stages import flattening, mapper
from headwater.model.event import Emit
from headwater.model.plugin import Definition, PluginKind
from headwater.ops import planning, plugins
from headwater.ops.definitions import NATIVE
from headwater.ops.workspace import Workspace, environment_variables
from headwater.plan import programs, settled
from headwater.plan import settings as plan_settings


def sources() -> list[str]:
    """Those that need no code of the user's."""
    found = (item.native for item in NATIVE if item.plugin_type is PluginKind.EXTRACTOR)
    return sorted(name for name in found if name in registry.SOURCES)


def destinations() -> list[str]:
    return sorted(registry.DESTINATIONS)


def about(name: str, kind: str) -> Definition:
    """The connector's definition. Raises InputError (`unknown-connector`)."""
    wanted = PluginKind(kind)
    found = next((item for item in NATIVE if item.native == name and item.plugin_type is wanted), None)
    if found is None:
        raise _unknown(name, sources() if wanted is PluginKind.EXTRACTOR else destinations())
    return found


def tap(
    name: str,
    *,
    config: Path | None,
    discover: bool,
    catalog: Path | None,
    state: Path | None,
    folder: Path,
    out: BinaryIO,
) -> None:
    """Write the source's messages (or its catalog) to `out`. Relative paths in settings start at `folder`."""
    if name not in registry.SOURCES:
        raise _unknown(name, sources())
    module = registry.source(name)
    given = _read(config)
    settings = decode(module, given, name=name, root=folder, env=environment_variables())
    _serve(module, settings, given, name=name, root=folder, discover=discover, catalog=catalog, state=state, out=out)


def plugin_tap(
    workspace: Workspace,
    name: str,
    *,
    config: Path | None,
    discover: bool,
    catalog: Path | None,
    state: Path | None,
    out: BinaryIO,
    emit: Emit,
    on_line: Callable[[str], None],
) -> None:
    """As `tap`, for an extractor of the project that runs natively: with its settings, those of `config` before them.
    Its packages are installed first. `on_line` hears what its own code writes. Raises InputError (`not-native`)."""
    plugin = planning.plugin(workspace, name, PluginKind.EXTRACTOR)
    plugins.install_as_asked(workspace, [plugin], None, emit=emit)
    facts = planning.facts(workspace)
    ready = settled.ready(facts, plugin, flags=_read(config))
    plan_settings.check_required(ready.resolved, ready.values)
    block = programs.block(facts, ready)
    if block.native is None:
        raise InputError(
            "not-native",
            f"`{name}` is a program of its own, and a Singer tap already",
            where=block.where,
            hint=f"headwater invoke {name}",
        )
    module = registry.source(block.native)
    root = workspace.root
    settings = decode(module, block.config, name=name, root=root, venv=block.venv, env=block.env, secrets=block.secrets)
    redact = Redactor(block.secrets)
    _serve(
        module,
        settings,
        block.config,
        name=name,
        root=root,
        discover=discover,
        catalog=catalog,
        state=state,
        out=out,
        on_line=lambda text: on_line(redact(text)),
    )


def _serve(
    module: SourceModule,
    settings: Any,
    given: dict[str, Any],
    *,
    name: str,
    root: Path,
    discover: bool,
    catalog: Path | None,
    state: Path | None,
    out: BinaryIO,
    on_line: Callable[[str], None] = lambda _text: None,
) -> None:
    with scratch() as private:
        faces.serve_tap(
            module,
            settings,
            discover=discover,
            catalog=_read(catalog) if catalog else None,
            state=state.read_bytes() if state else None,
            out=out,
            folder=private,
            batch_files=configured(given, root),
            stages=mapper.stages(given, owner=f"tap `{name}`"),
            on_line=on_line,
        )


def target(
    name: str, *, config: Path | None, pipeline: str | None, folder: Path, messages: BinaryIO, out: BinaryIO
) -> None:
    """Load the messages; each state is written to `out` once everything before it is durable."""
    if name not in registry.DESTINATIONS:
        raise _unknown(name, destinations())
    module = registry.destination(name)
    given = _read(config)
    definition = about(name, "loader")
    defaults = {item.name: item.value for item in definition.settings if item.value is not None}
    settings = decode(module, _rooted(definition, {**defaults, **given}, folder), name=name, root=folder)
    with scratch() as private:
        request = OpenRequest(pipeline=pipeline, run_id=str(uuid.uuid4()), source="main", folder=private)
        depth = flattening.flatten_depth(given)
        roots = batch.named_roots(given, folder)
        faces.serve_target(
            module,
            settings,
            read=messages,
            out=out,
            request=request,
            options=ParseOptions(
                flatten_depth=FLATTEN_DEPTH if depth is None else depth,
                open_batch=batch.opener(roots) if roots else None,
            ),
            stages=mapper.stages(given, owner=f"target `{name}`"),
        )


def _rooted(definition: Definition, config: dict[str, Any], folder: Path) -> dict[str, Any]:
    files = {item.name for item in definition.settings if item.kind is not None and item.kind.value == "file"}
    return {
        key: str(folder / value) if key in files and isinstance(value, str) and "://" not in value else value
        for key, value in config.items()
    }


def _read(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        found = msgspec.json.decode(path.read_bytes())
    except msgspec.DecodeError as error:
        raise InputError("bad-json", "the file is not JSON", where=Where(str(path)), why=str(error)) from error
    if not isinstance(found, dict):
        raise InputError("bad-json", "the file holds no JSON object", where=Where(str(path)))
    return found


def _unknown(name: str, known: list[str]) -> InputError:
    guess = did_you_mean(name, known)
    return InputError(
        "unknown-connector",
        f"there is no native connector `{name}`",
        hint=f"did you mean `{guess}`?" if guess else f"there are: {', '.join(known)}",
    )
