"""A hub's pages, made from definitions: for a folder that any web server serves, or for one of our own.

Below `meltano/api/v1/plugins/` stand `index`, `<section>/index` and `<section>/<name>--<variant>`. The same definitions
give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from headwater.base import yaml
from headwater.base.errors import EnvironmentProblemError, InputError, Where
from headwater.base.files import cannot_write, files_below, write_atomic
from headwater.base.text import did_you_mean
from headwater.model.plugin import SECTIONS, Definition, PluginKind
from headwater.store import lock_files
from headwater.store.hub import guess_kind
from headwater.store.hub_client import FOR_PAGES, NAME

API = "meltano/api/v1"
PLUGINS = f"{API}/plugins"
DEFAULTS = "default_variants.yml"
_SUFFIXES = (".yml", ".yaml", ".json", ".lock")

_Key = tuple[PluginKind, str]


class Shelf(Struct, frozen=True):
    """Definitions by kind and name, then by variant, the default one first."""

    plugins: dict[_Key, dict[str, Definition]]

    def __len__(self) -> int:
        return sum(len(variants) for variants in self.plugins.values())


def read(places: Iterable[Path]) -> Shelf:
    """The definitions in these files and folders: YAML, JSON, lock files, and pages that `write` made.

    A definition says its kind itself (`plugin_type`), by a folder above it (`extractors`) or by its name (`tap-`). The
    default variant is the one that `default_variants.yml` names (`extractors: {tap-x: mine}`), else the first by name.
    Raises InputError (`bad-definition`, `duplicate-name`, `file-not-found`) and those of `base.yaml.read`.
    """
    found: dict[tuple[PluginKind, str, str], tuple[Definition, Path]] = {}
    defaults: dict[_Key, str] = {}
    for place in places:
        for file in _files(place):
            if file.name == DEFAULTS:
                defaults |= _defaults(file)
                continue
            if _is_index(file):
                defaults |= _defaults_of_index(file)
                continue
            definition = _definition(file)
            key = (definition.plugin_type, definition.name, definition.variant)
            if key in found:
                raise InputError(
                    "duplicate-name",
                    f"`{definition.name}` variant `{definition.variant}` is defined twice",
                    where=Where(str(file)),
                    why=f"the other one is {found[key][1]}",
                    hint="remove one of the two",
                )
            found[key] = definition, file
    return shelve((definition for definition, _ in found.values()), defaults)


def shelve(definitions: Iterable[Definition], defaults: Mapping[_Key, str] | None = None) -> Shelf:
    """Definitions in order. Raises InputError (`unknown-variant`) for a default that is not there."""
    plugins: dict[_Key, dict[str, Definition]] = {}
    for definition in definitions:
        plugins.setdefault((definition.plugin_type, definition.name), {})[definition.variant] = definition
    for key, variant in (defaults or {}).items():
        if key in plugins and variant not in plugins[key]:
            guess = did_you_mean(variant, plugins[key])
            raise InputError(
                "unknown-variant",
                f"the default variant `{variant}` of `{key[1]}` is not defined",
                hint=f"did you mean `{guess}`?" if guess else f"correct {DEFAULTS}",
            )
    chosen = defaults or {}
    return Shelf(
        {
            key: dict(sorted(plugins[key].items(), key=lambda item: (item[0] != chosen.get(key), item[0])))
            for key in sorted(plugins)
        }
    )


def below(first: Shelf, second: Shelf) -> Shelf:
    """Both; where they differ, the first counts."""
    keys = sorted({*first.plugins, *second.plugins})
    return Shelf({key: {**first.plugins.get(key, {}), **_others(first, second, key)} for key in keys})


def _others(first: Shelf, second: Shelf, key: _Key) -> dict[str, Definition]:
    known = first.plugins.get(key, {})
    return {variant: found for variant, found in second.plugins.get(key, {}).items() if variant not in known}


def page(shelf: Shelf, path: str, url: str) -> bytes | None:
    """What stands at a path below `plugins/` on a hub whose address is `url`, None when nothing does."""
    if path == "index":
        return _json({kind.section: _index(shelf, kind, url) for kind in PluginKind})
    section, _, rest = path.partition("/")
    kind = SECTIONS.get(section)
    if kind is None:
        return None
    if rest == "index":
        return _json(_index(shelf, kind, url))
    name, _, variant = rest.rpartition("--")
    definition = shelf.plugins.get((kind, name), {}).get(variant)
    return None if definition is None else _shown(definition)


def paths(shelf: Shelf) -> Iterator[str]:
    """Every path that has a page: the definitions, then the indexes."""
    for (kind, name), variants in shelf.plugins.items():
        yield from (f"{kind.section}/{name}--{variant}" for variant in variants)
    yield from (f"{kind.section}/index" for kind in PluginKind)
    yield "index"


def write(shelf: Shelf, folder: Path, url: str) -> int:
    """Write every page below `folder`, which will stand at `url`, and remove pages of plugins that are gone. Returns
    how many pages there are. Whoever reads meanwhile finds an old page or a new one, never half of one."""
    base = folder / PLUGINS
    written = set()
    for path in paths(shelf):
        content = page(shelf, path, url)
        assert content is not None
        write_atomic(base / path, content)
        written.add(base / path)
    for file in base.rglob("*"):
        if file.is_file() and file not in written:
            try:
                file.unlink()
            except OSError as error:
                raise cannot_write(file, error) from error
    return len(written)


def _index(shelf: Shelf, kind: PluginKind, url: str) -> dict[str, Any]:
    return {
        name: {
            "default_variant": next(iter(variants)),
            "logo_url": next(iter(variants.values())).logo_url or "",
            "variants": {variant: {"ref": f"{url}/{PLUGINS}/{kind.section}/{name}--{variant}"} for variant in variants},
        }
        for (one, name), variants in shelf.plugins.items()
        if one is kind
    }


def _shown(definition: Definition) -> bytes:
    """As a lock file, without its kind: the address says it."""
    shown = msgspec.json.decode(lock_files.encode(definition))
    del shown["plugin_type"]
    return _json(shown)


def _json(value: Any) -> bytes:
    return msgspec.json.encode(value) + b"\n"


def _files(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    if not place.is_dir():
        raise InputError("file-not-found", f"there is no file or folder `{place}`", hint="correct the path")
    exported = place / PLUGINS
    if exported.is_dir():
        return sorted(file for file in exported.glob("*/*") if file.is_file())
    return files_below(place, *_SUFFIXES)


def _is_index(file: Path) -> bool:
    return file.name == "index" and file.parent.name in SECTIONS


def _defaults_of_index(file: Path) -> dict[_Key, str]:
    kind = SECTIONS[file.parent.name]
    return {(kind, name): item["default_variant"] for name, item in _data(file).items()}


def _defaults(file: Path) -> dict[_Key, str]:
    found: dict[_Key, str] = {}
    for section, chosen in _data(file).items():
        kind = SECTIONS.get(section)
        if kind is None or not isinstance(chosen, dict):
            raise _invalid(file, f"`{section}` is not one of {', '.join(SECTIONS)} with plugins below it")
        found |= {(kind, str(name)): str(variant) for name, variant in chosen.items()}
    return found


def _definition(file: Path) -> Definition:
    raw = {key: value for key, value in _data(file).items() if key not in FOR_PAGES}
    name = raw.get("name")
    above = next((SECTIONS[part] for part in reversed(file.parts[:-1]) if part in SECTIONS), None)
    kind = raw.get("plugin_type") or above or guess_kind(str(name))
    if kind is None:
        raise _invalid(file, "what kind of plugin it is: say `plugin_type: utilities`, or put it below `utilities/`")
    try:
        definition = lock_files.from_builtins(raw, where=Where(str(file)), kind=kind)
    except InputError as error:
        raise _invalid(file, error.why or error.what) from error
    for word in (definition.name, definition.variant):
        if not NAME.fullmatch(word) or "--" in word:
            raise _invalid(file, f"`{word}` cannot be part of an address")
    return definition


def _data(file: Path) -> dict[str, Any]:
    if file.suffix in (".yml", ".yaml"):
        data = yaml.read(file).data
    else:
        try:
            data = msgspec.json.decode(file.read_bytes())
        except msgspec.DecodeError as error:
            raise _invalid(file, str(error)) from error
        except OSError as error:
            raise EnvironmentProblemError(
                "cannot-read", f"cannot read `{file}`: {(error.strerror or str(error)).lower()}"
            ) from error
    if not isinstance(data, dict):
        raise _invalid(file, "expected a mapping")
    return dict(data)


def _invalid(file: Path, why: str) -> InputError:
    return InputError(
        "bad-definition",
        "this is no definition of a plugin",
        where=Where(str(file)),
        why=why,
        hint="correct the file, or leave its folder out of --from",
    )
