"""What a project wants its log to be."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from headwater.model.setting import Origin
from headwater.ops.workspace import Workspace
from headwater.plan.project_settings import alone


class Wanted(Struct, frozen=True, kw_only=True):
    """None where the project has no say. A `file` that it names may be missing."""

    level: str | None
    format: str | None
    file: Path | None


def wanted(workspace: Workspace) -> Wanted:
    """The settings `cli.log_level`, `cli.log_format` and `cli.log_config`; `.yml` and `.yaml` are the same.

    Raises InputError (`wrong-setting-type`).
    """
    return Wanted(
        level=_said(workspace, "cli.log_level"),
        format=_said(workspace, "cli.log_format"),
        file=_file(workspace),
    )


def _said(workspace: Workspace, name: str) -> str | None:
    value = alone(
        workspace.project,
        name,
        env=workspace.environ,
        dotenv=workspace.dotenv,
        environment=workspace.environment,
    )
    return None if value.origin is Origin.DEFAULT or value.value is None else str(value.value)


def _file(workspace: Workspace) -> Path | None:
    said = _said(workspace, "cli.log_config")
    path = workspace.root / (said or "logging.yaml")
    other = path.with_suffix({".yaml": ".yml", ".yml": ".yaml"}.get(path.suffix, path.suffix))
    return next((item for item in (path, other) if item.is_file()), path if said else None)
