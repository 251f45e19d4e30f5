"""The files that dbt leaves behind: `run_results.json` and `manifest.json`, as far as they are of use here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from headwater.base import yaml
from headwater.base.errors import HeadwaterError
from headwater.model.event import LineageNode

_TYPES = ("model", "seed", "snapshot", "test", "unit_test", "source", "exposure")
_TARGET = "target"
_RESULTS = "run_results.json"


class Result(Struct, frozen=True, kw_only=True):
    """How one node went. `key` is dbt's unique id, `type` its kind of resource, `status` in dbt's words."""

    key: str
    name: str
    type: str
    status: str
    message: str | None = None
    seconds: float = 0.0
    rows: int | None = None
    failing: int = 0


class Places(Struct, frozen=True, kw_only=True):
    """The folder of a dbt project, the one that dbt writes its files to, and the one with its profiles, as far as that
    is said."""

    project: Path
    target: Path
    profiles: Path | None = None


class _Needs(Struct):
    nodes: list[str] = field(default_factory=list)


class _Node(Struct):
    unique_id: str
    name: str
    resource_type: str
    original_file_path: str | None = None
    relation_name: str | None = None
    depends_on: _Needs = field(default_factory=_Needs)


class _Manifest(Struct):
    nodes: dict[str, _Node] = field(default_factory=dict)
    sources: dict[str, _Node] = field(default_factory=dict)
    exposures: dict[str, _Node] = field(default_factory=dict)
    unit_tests: dict[str, _Node] = field(default_factory=dict)


class _Ran(Struct):
    unique_id: str
    status: str
    message: str | None = None
    failures: int | None = None
    execution_time: float = 0.0
    adapter_response: dict[str, Any] = field(default_factory=dict)


class _Results(Struct):
    results: list[_Ran] = field(default_factory=list)


def places(argv: Sequence[str], env: dict[str, str], cwd: str) -> Places:
    """Where a command of dbt works: its flags, its variables, what its project file says."""
    project = Path(cwd, _option(argv, "--project-dir") or env.get("DBT_PROJECT_DIR") or "")
    target = _option(argv, "--target-path") or env.get("DBT_TARGET_PATH") or _said(project)
    profiles = _option(argv, "--profiles-dir") or env.get("DBT_PROFILES_DIR")
    return Places(project=project, target=project / target, profiles=Path(cwd, profiles) if profiles else None)


def stamp(places: Places) -> tuple[int, ...] | None:
    """Changes when a command writes results; None when there are none."""
    try:
        found = (places.target / _RESULTS).stat()
    except OSError:
        return None
    return (found.st_ino, found.st_mtime_ns, found.st_size)


def results(places: Places) -> list[Result]:
    """The nodes of the last command that wrote results; none when they can't be read."""
    try:
        found = msgspec.json.decode((places.target / _RESULTS).read_bytes(), type=_Results)
    except (OSError, msgspec.MsgspecError):
        return []
    return [
        Result(
            key=ran.unique_id,
            name=_name(ran.unique_id),
            type=ran.unique_id.partition(".")[0],
            status=ran.status.lower(),
            message=ran.message,
            seconds=ran.execution_time,
            rows=row_count(ran.adapter_response.get("rows_affected")),
            failing=ran.failures or 0,
        )
        for ran in found.results
    ]


def lineage(places: Places) -> tuple[LineageNode, ...]:
    """Every node of the project's manifest, in its order; none when there is no manifest that can be read."""
    try:
        manifest = msgspec.json.decode((places.target / "manifest.json").read_bytes(), type=_Manifest)
    except (OSError, msgspec.MsgspecError):
        return ()
    groups = (manifest.sources, manifest.nodes, manifest.unit_tests, manifest.exposures)
    return tuple(
        LineageNode(
            key=node.unique_id,
            name=node.name,
            type=node.resource_type,
            place=node.relation_name,
            file=node.original_file_path,
            needs=tuple(node.depends_on.nodes),
        )
        for group in groups
        for node in group.values()
        if node.resource_type in _TYPES
    )


def lacks_packages(project: Path) -> bool:
    """Whether the project names packages and none was ever fetched."""
    named = any((project / name).is_file() for name in ("packages.yml", "dependencies.yml"))
    return named and not (project / _said(project, "packages-install-path", "dbt_packages")).exists()


def _said(project: Path, key: str = "target-path", default: str = _TARGET) -> str:
    try:
        data = yaml.read(project / "dbt_project.yml").data
    except (HeadwaterError, OSError):  # dbt itself will say what is wrong with it
        return default
    value = data.get(key) if isinstance(data, dict) else None
    return value if isinstance(value, str) and "{{" not in value else default


def _option(argv: Sequence[str], name: str) -> str | None:
    for place, word in enumerate(argv):
        if word == name and place + 1 < len(argv):
            return argv[place + 1]
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
    return None


def _name(key: str) -> str:
    """`not_null_u_id` of `test.shop.not_null_u_id.1a2b3c4d5e`, `orders` of `model.shop.orders`."""
    parts = key.split(".")
    tail = parts[2:-1] if parts[0] == "test" and re.fullmatch(r"[0-9a-f]{10}", parts[-1]) else parts[2:]
    return ".".join(tail) or key


def row_count(rows: object) -> int | None:
    """Rows as adapters tell them: a number (2.0 in the log) or its text, -1 when they do not know."""
    try:
        found = int(float(str(rows)))
    except ValueError:
        return None
    return found if found >= 0 else None
