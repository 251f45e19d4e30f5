"""The project's environments."""

from __future__ import annotations

from msgspec import Struct

from headwater.base.errors import InputError, Where
from headwater.ops.workspace import Workspace
from headwater.store import project_edit


class ListedEnvironment(Struct, frozen=True, kw_only=True):
    """`is_default`: commands that name no environment use it."""

    name: str
    is_default: bool


def listing(workspace: Workspace) -> list[ListedEnvironment]:
    """The environments, in file order."""
    default = workspace.project.default_environment
    return [
        ListedEnvironment(name=item.name, is_default=item.name == default) for item in workspace.project.environments
    ]


def add(workspace: Workspace, name: str) -> None:
    """Raises InputError: `duplicate-name`, `bad-name`."""
    project_edit.add_environment(workspace.project, name)


def remove(workspace: Workspace, name: str) -> None:
    """Remove an environment with all that it says; states and data stay.

    Raises InputError: `unknown-environment`, `environment-in-use` for the default one.
    """
    project = workspace.project
    if name == project.default_environment and project.environment(name) is not None:
        raise InputError(
            "environment-in-use",
            f"`{name}` is the default environment",
            where=Where(project.file_name, project.lines.get("default_environment", 0)),
            hint="headwater config set headwater default_environment OTHER",
        )
    project_edit.remove_environment(project, name)
