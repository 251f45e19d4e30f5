"""The project a command works on, with everything around it: variables, stores, folders.

The only module that reads `os.environ`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from headwater.base.errors import EnvironmentProblemError, InputError, Where
from headwater.base.text import did_you_mean
from headwater.model.project import Environment, Project
from headwater.plan.project_settings import is_readonly
from headwater.plan.requires import KNOWN, newer_than_known
from headwater.store import dotenv, plugin_settings, project_file

HOME = ".headwater"


class Workspace:
    """A loaded project and what belongs to it. The project is read once; `again()` reads it anew after an edit.

    `environ` is the process environment as it was at the start, `dotenv` the content of the env file.
    `home` is where the program keeps what it makes: environments, runs, states, logs.
    """

    def __init__(
        self,
        project: Project,
        *,
        environ: Mapping[str, str],
        dotenv_path: Path,
        environment: Environment | None,
    ) -> None:
        self.project = project
        self.environ = environ
        self.dotenv_path = dotenv_path
        self.environment = environment
        self.root = Path(project.root)

    @cached_property
    def dotenv(self) -> dict[str, str]:
        return dotenv.read(self.dotenv_path, outside=self.environ)

    @cached_property
    def home(self) -> Path:
        return home(self.root, self.environ)

    @property
    def environment_name(self) -> str | None:
        return self.environment.name if self.environment else None

    @cached_property
    def stored_settings(self) -> dict[str, dict[str, Any]]:
        """The settings that are kept in the system database, by plugin; those of the project under `meltano`."""
        return plugin_settings.read(self.home)

    def again(self) -> Workspace:
        """The same workspace with the project files read anew."""
        project = project_file.load(self.root)
        return Workspace(
            replace(project, readonly=self.project.readonly),
            environ=self.environ,
            dotenv_path=self.dotenv_path,
            environment=project.environment(self.environment_name),
        )


def environment_variables() -> dict[str, str]:
    """The process environment, copied."""
    return dict(os.environ)


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Where the program keeps, for this user, what it can fetch again."""
    chosen = environ.get("XDG_CACHE_HOME")
    # A relative path there counts for nothing, says the standard for these folders.
    base = Path(chosen) if chosen and Path(chosen).is_absolute() else Path.home() / ".cache"
    return base / "headwater"


def root(start: Path, environ: Mapping[str, str]) -> Path | None:
    """The folder of the project around `start`, or of the one that a variable names; None outside of projects."""
    chosen = environ.get("HEADWATER_PROJECT_ROOT") or environ.get("MELTANO_PROJECT_ROOT")
    return project_file.find_root(Path(chosen) if chosen else start)


def home(root: Path, environ: Mapping[str, str]) -> Path:
    """Where the program keeps what it makes for a project."""
    chosen = environ.get("HEADWATER_HOME") or environ.get("MELTANO_SYS_DIR_ROOT")
    return root / (chosen or HOME)


def find(
    start: Path,
    *,
    environment: str | None = None,
    no_environment: bool = False,
    default_environment: bool = True,
    env_file: Path | None = None,
    database_uri: str | None = None,
) -> Workspace:
    """The workspace of the project around `start`.

    Environment, strongest first: the argument, `HEADWATER_ENVIRONMENT` or `MELTANO_ENVIRONMENT` in the shell, the
    same in `.env`, the file's `default_environment` (left out when `default_environment` is false). Raises
    InputError `no-project`, `unknown-environment`, or what the project file's reader finds. `database_uri` counts as
    the variable of that setting would.
    """
    environ = environment_variables()
    if database_uri is not None:
        environ["HEADWATER_DATABASE_URI"] = database_uri
    folder = root(start, environ)
    if folder is None:
        raise InputError(
            "no-project",
            f"no project here: neither `{start}` nor a folder above it holds headwater.yml or meltano.yml",
            hint="headwater init (a new project here) or headwater demo (one with data)",
        )
    if env_file is not None and not env_file.is_file():
        raise InputError("file-not-found", f"there is no file `{env_file}`", hint="correct --env-file")
    project = project_file.load(folder)
    _check_version(project)
    workspace = Workspace(
        project,
        environ=environ,
        dotenv_path=env_file.absolute() if env_file else folder / ".env",
        environment=None,
    )
    name = None if no_environment else environment or _from_variables(environ) or _from_variables(workspace.dotenv)
    if name is None and default_environment and not no_environment:
        name = environ.get("MELTANO_DEFAULT_ENVIRONMENT") or project.default_environment
    if name and name.lower() != "null":
        workspace.environment = _environment(project, name)
    readonly = is_readonly(project, env=environ, dotenv=workspace.dotenv, environment=workspace.environment)
    workspace.project = replace(project, readonly=readonly)
    return workspace


def _check_version(project: Project) -> None:
    clause = newer_than_known(project.requires_meltano or "")
    if clause is not None:
        known = ".".join(map(str, KNOWN))
        raise EnvironmentProblemError(
            "meltano-too-new",
            f"the project asks for Meltano {clause}",
            where=Where(project.file_name, project.lines.get("requires_meltano", 0)),
            why=f"projects of Meltano up to {known} are understood",
            hint="upgrade headwater, or correct `requires_meltano`",
        )


def _from_variables(variables: Mapping[str, str]) -> str | None:
    return variables.get("HEADWATER_ENVIRONMENT") or variables.get("MELTANO_ENVIRONMENT")


def _environment(project: Project, name: str) -> Environment:
    found = project.environment(name)
    if found is None:
        guess = did_you_mean(name, [item.name for item in project.environments])
        raise InputError(
            "unknown-environment",
            f"environment `{name}` not found",
            where=Where(project.file_name),
            hint=f"did you mean `{guess}`?" if guess else f"headwater environment add {name}",
        )
    return found
