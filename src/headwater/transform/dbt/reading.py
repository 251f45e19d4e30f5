"""A dbt project as its files say it: models, seeds, snapshots, tests and sources, with their configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from headwater.base import yaml
from headwater.base.errors import InputError
from headwater.base.files import files_below

_FILE = "dbt_project.yml"
_SECTIONS = ("models", "seeds", "snapshots", "sources")


class Node(Struct, kw_only=True):
    """A model, seed, snapshot or single test: its file, what YAML says of it, and the configuration of its folders
    (the farthest first)."""

    name: str
    path: Path | None
    told: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)


class Project(Struct, kw_only=True):
    """`sources` are the entries of the YAML files. `compiled` has, by name, the SQL that dbt itself made of a model, as
    far as there is any, and `relations` what tables are called there, by what we call them. `macros` are the texts of
    files with macros, by package; those of the project under an empty name."""

    root: Path
    variables: dict[str, Any]
    models: dict[str, Node] = field(default_factory=dict)
    seeds: dict[str, Node] = field(default_factory=dict)
    snapshots: dict[str, Node] = field(default_factory=dict)
    tests: dict[str, Node] = field(default_factory=dict)
    sources: list[dict[str, Any]] = field(default_factory=list)
    compiled: dict[str, str] = field(default_factory=dict)
    relations: dict[str, str] = field(default_factory=dict)
    macros: dict[str, list[str]] = field(default_factory=dict)


def read(root: Path) -> Project:
    """Raises InputError: `no-dbt-project`, and what reading YAML raises."""
    file = root / _FILE
    if not file.is_file():
        raise InputError(
            "no-dbt-project",
            f"there is no dbt project in `{root}`",
            why=f"it would have a file {_FILE}",
            hint="headwater models import FOLDER",
        )
    told = yaml.read(file, shown=str(file)).data or {}
    name = str(told.get("name", ""))
    found = Project(root=root, variables=_variables(told.get("vars") or {}, name))
    kinds = (
        ("models", "model", (".sql",), found.models),
        ("seeds", "seed", (".csv",), found.seeds),
        ("snapshots", "snapshot", (".sql",), found.snapshots),
        ("tests", "test", (".sql",), found.tests),
    )
    entries: list[tuple[str, dict[str, Any]]] = []
    for section, kind, suffixes, nodes in kinds:
        configured = told.get(section) or {}
        for folder in told.get(f"{kind}-paths") or [section]:
            for path in _below(root / folder, *suffixes):
                if kind == "test" and path.relative_to(root / folder).parts[0] == "generic":
                    continue  # definitions of tests, which are read as macros are
                config = dict(_configured(configured, (name, *path.relative_to(root / folder).with_suffix("").parts)))
                nodes[path.stem] = Node(name=path.stem, path=path, config=config)
            entries += _entries(root / folder)
    for section, entry in entries:
        if section == "sources":
            found.sources.append(entry)
            continue
        nodes = getattr(found, section)
        if section == "snapshots" and entry.get("relation"):
            nodes.setdefault(entry["name"], Node(name=entry["name"], path=None))
        if entry.get("name") in nodes:
            nodes[entry["name"]].told = entry
    found.macros[""] = _macros(root, told)
    for folder in told.get("test-paths") or ["tests"]:
        found.macros[""] += [path.read_text("utf-8") for path in _below(root / folder / "generic", ".sql")]
    for package in sorted((root / (told.get("packages-install-path") or "dbt_packages")).glob(f"*/{_FILE}")):
        of_package = yaml.read(package, shown=str(package)).data or {}
        found.macros[str(of_package.get("name", package.parent.name))] = _macros(package.parent, of_package)
    _add_compiled(found)
    return found


def settings(node: Node, own: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration that holds: folders, then YAML, then the file itself (`own`)."""
    return {**node.config, **(node.told.get("config") or {}), **own}


def _macros(root: Path, told: Mapping[str, Any]) -> list[str]:
    folders = told.get("macro-paths") or ["macros"]
    return [path.read_text("utf-8") for folder in folders for path in _below(root / folder, ".sql")]


def _below(folder: Path, *suffixes: str) -> list[Path]:
    return files_below(folder, *suffixes) if folder.is_dir() else []


def _variables(told: dict[str, Any], name: str) -> dict[str, Any]:
    own = told.get(name)
    return {**told, **own} if isinstance(own, dict) else told


def _configured(tree: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """The configuration along a path of folders, the nearest last."""
    while isinstance(tree, dict):
        yield from ((key.removeprefix("+"), value) for key, value in tree.items() if key.startswith("+"))
        yield from ((key, tree[key]) for key in ("materialized", "unique_key") if isinstance(tree.get(key), str))
        if not path:
            return
        first, *rest = path
        tree, path = tree.get(first), tuple(rest)


def _entries(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in _below(folder, ".yml", ".yaml"):
        data = yaml.read(path, shown=str(path)).data
        for section in _SECTIONS:
            found = data.get(section) if isinstance(data, dict) else None
            yield from ((section, entry) for entry in found or [] if isinstance(entry, dict))


def _add_compiled(found: Project) -> None:
    """From the last `dbt compile`, `run` or `build`."""
    file = found.root / "target" / "manifest.json"
    if not file.is_file():
        return
    manifest = msgspec.json.decode(file.read_bytes())
    for node in manifest.get("nodes", {}).values():
        if node.get("relation_name"):
            found.relations[node["name"]] = node["relation_name"]
        if node.get("resource_type") in ("model", "test") and node.get("compiled_code"):
            found.compiled[node["name"]] = node["compiled_code"]
    for source in manifest.get("sources", {}).values():
        found.relations[f"{source['schema']}.{source['identifier']}"] = source["relation_name"]
