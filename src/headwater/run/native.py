"""Native connectors: modules of ours that read or load within this process."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from headwater import __version__
from headwater.base.errors import HeadwaterError, InputError
from headwater.connect import registry
from headwater.connect.contract import Message, OpenRequest, ReadRequest, Session, SourceModule
from headwater.connect.digest import Tables
from headwater.connect.rejects import Quarantine
from headwater.connect.settings import decode
from headwater.connect.warehouses import Warehouse
from headwater.model.catalog import Catalog, CatalogChange
from headwater.model.plan import Block
from headwater.plan import drift
from headwater.run.looking import Patience
from headwater.store.catalogs import Catalogs

Json = dict[str, Any]


def offered_catalog(
    block: Block,
    *,
    root: Path,
    catalogs: Catalogs,
    patience: Patience,
    refresh: bool = False,
    on_change: Callable[[CatalogChange], None] = lambda _change: None,
) -> Json:
    """What the source offers, as plain JSON. A kept catalog is used again while the source's signature is the same,
    unless `refresh`. `on_change` hears what is new since the source was last looked at with the same settings."""
    module = registry.source(_known(block, registry.SOURCES))
    settings = _settings(module, block, root)
    with _named_in_hints(block):
        signature = patience.look(lambda: module.signature(settings), name=block.name)
    source = _source_key(block)
    kept = catalogs.read(block.name)
    if kept is not None and signature is not None and kept.key == f"{source}{signature}" and not refresh:
        return kept.catalog
    with _named_in_hints(block):
        found: Json = msgspec.to_builtins(patience.look(lambda: module.discover(settings), name=block.name))
    if kept is not None and kept.key.startswith(source):
        for change in drift.changes(kept.catalog, found):
            on_change(change)
    catalogs.write(block.name, f"{source}{signature or ''}", found)
    return found


def changes(block: Block, *, root: Path, catalogs: Catalogs, patience: Patience) -> tuple[Json, list[CatalogChange]]:
    """What the source offers now, and what is new since it was last looked at with the same settings. Keeps nothing."""
    module = registry.source(_known(block, registry.SOURCES))
    settings = _settings(module, block, root)
    with _named_in_hints(block):
        found: Json = msgspec.to_builtins(patience.look(lambda: module.discover(settings), name=block.name))
    kept = catalogs.read(block.name)
    if kept is None or not kept.key.startswith(_source_key(block)):
        return found, []
    return found, drift.changes(kept.catalog, found)


def _source_key(block: Block) -> str:
    """The beginning of a kept catalog's key: this program, this source, these settings."""
    config = json.dumps(block.config, sort_keys=True, default=str)
    return f"{__version__}:{block.native}:{hashlib.sha256(config.encode()).hexdigest()}:"


def decoded_catalog(catalog: Json) -> Catalog:
    """Raises InputError (`bad-catalog`)."""
    try:
        return msgspec.convert(catalog, Catalog)
    except msgspec.ValidationError as error:
        raise InputError("bad-catalog", "the catalog is not as a native source needs it", why=str(error)) from error


def read(block: Block, *, root: Path, request: ReadRequest) -> Iterator[Message]:
    module = registry.source(_known(block, registry.SOURCES))
    return _read(block, module.read(_settings(module, block, root), request))


def _read(block: Block, messages: Iterator[Message]) -> Iterator[Message]:
    with _named_in_hints(block):
        yield from messages


@contextmanager
def _named_in_hints(block: Block) -> Iterator[None]:
    """A source knows neither what it is called in the project nor whether there are two of it: where a command of its
    hints says `EXTRACTOR`, or `tap-postgres`, this extractor's name goes."""
    try:
        yield
    except HeadwaterError as error:
        if error.hint is not None:
            error.hint = re.sub(rf"(?<![\w-])(EXTRACTOR|tap-{block.native})(?![\w-])", block.name, error.hint)
        raise


def open_session(block: Block, *, root: Path, request: OpenRequest) -> Session:
    module = registry.destination(_known(block, registry.DESTINATIONS))
    return module.open(decode(module, block.config, name=block.name, root=root, venv=block.venv), request)


def refuse_one_file(extractor: Block, loader: Block, *, root: Path) -> None:
    """Raises InputError (`same-database`) for a DuckDB file that one pipeline is to read and to load into: who writes
    is alone with it, so both ends would wait for each other."""
    if (extractor.native, loader.native) != ("duckdb", "duckdb"):
        return
    ends = (extractor.config.get("path"), loader.config.get("filepath"))
    source, destination = (root / Path(str(file)).expanduser() for file in ends)
    if source.resolve() == destination.resolve():
        raise InputError(
            "same-database",
            f"`{extractor.name}` reads the file that `{loader.name}` loads into",
            where=extractor.where,
            why=f"`{source}` can't be written while it is read",
            hint="what becomes of tables within one file is a model: headwater add models",
        )


def quarantine(block: Block, *, root: Path, source: str, folder: Path, on_wait: Callable[[str], None]) -> Quarantine:
    """What the destination has set aside. `source` and `folder` as in `OpenRequest`."""
    name = _known(block, registry.QUARANTINES)
    settings = decode(registry.destination(name), block.config, name=block.name, root=root, venv=block.venv)
    return registry.quarantine(name).open(settings, source=source, folder=folder, on_wait=on_wait)


def source_tables(block: Block, request: ReadRequest, *, root: Path) -> Tables:
    """What a source holds of the selected streams, up to the bookmarks in the request's state, to be compared. Where it
    is read for that, `should_stop` ends it, and some of it is missing."""
    name = _known(block, registry.SOURCE_DIGESTS)
    settings = _settings(registry.source(name), block, root)
    return registry.source_digests(name).open(settings, request)


def loaded_tables(
    block: Block, *, root: Path, source: str, pipeline: str | None, folder: Path, on_wait: Callable[[str], None]
) -> Tables:
    """What a destination holds, to be compared. `source` and `folder` as in `OpenRequest`."""
    name = _known(block, registry.DESTINATION_DIGESTS)
    settings = decode(registry.destination(name), block.config, name=block.name, root=root, venv=block.venv)
    return registry.destination_digests(name).open(
        settings, source=source, pipeline=pipeline, folder=folder, on_wait=on_wait
    )


def warehouse(block: Block, *, root: Path, who: str, on_wait: Callable[[str], None]) -> Warehouse:
    """The database of a loader, to build models in. `who` is what others are told who wait for it."""
    name = _known(block, registry.WAREHOUSES)
    settings = decode(registry.destination(name), block.config, name=block.name, root=root, venv=block.venv)
    return registry.warehouse(name).open(settings, who=who, plugin=block.name, on_wait=on_wait)


def _settings(source: SourceModule, block: Block, root: Path) -> msgspec.Struct:
    return decode(
        source, block.config, name=block.name, root=root, venv=block.venv, env=block.env, secrets=block.secrets
    )


def _known(block: Block, modules: dict[str, str]) -> str:
    if block.native not in modules:
        raise InputError(
            "unknown-connector",
            f"there is no native {block.kind.value} `{block.native}`, which `{block.name}` asks for",
            hint=f"there are: {', '.join(sorted(modules))}",
        )
    return block.native
