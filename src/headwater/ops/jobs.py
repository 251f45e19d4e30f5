"""The project's jobs: named lists of tasks, each a list of block words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from headwater.base import yaml
from headwater.base.errors import InputError, Where
from headwater.base.text import did_you_mean
from headwater.model.project import Job
from headwater.ops.workspace import Workspace
from headwater.plan import blocks
from headwater.store import project_edit


class ListedJob(Struct, frozen=True, kw_only=True):
    """`tasks` is what stands in the file: a text, or a list of texts and lists of texts."""

    job_name: str
    tasks: Any

    @property
    def lines(self) -> tuple[str, ...]:
        """A text for each task."""
        tasks = [self.tasks] if isinstance(self.tasks, str) else self.tasks
        return tuple(task if isinstance(task, str) else " ".join(task) for task in tasks)


def listing(workspace: Workspace) -> list[ListedJob]:
    """The jobs, in file order."""
    return [_listed(job) for job in workspace.project.jobs]


def one(workspace: Workspace, name: str) -> ListedJob:
    """Raises InputError (`unknown-job`)."""
    return _listed(_job(workspace, name))


def add(workspace: Workspace, name: str, tasks: Sequence[str]) -> ListedJob:
    """Add a job. Nothing is written when a block of it is unknown or out of order, or the name is taken.

    A task is words, or a YAML list of them: `tap target`, `[tap target, dbt:run]`.
    """
    if workspace.project.plugin(name) is not None:
        raise InputError("duplicate-name", f"there is already a plugin named `{name}`", hint="choose another name")
    written = _checked(workspace, tasks)
    project_edit.add_job(workspace.project, {"name": name, "tasks": written})
    return ListedJob(job_name=name, tasks=written)


def change(workspace: Workspace, name: str, tasks: Sequence[str]) -> ListedJob:
    """Give a job other tasks. Raises InputError (`unknown-job`) and as `add`."""
    _job(workspace, name)
    written = _checked(workspace, tasks)
    project_edit.update_job(workspace.project, name, {"tasks": written})
    return ListedJob(job_name=name, tasks=written)


def remove(workspace: Workspace, name: str) -> None:
    """Raises InputError (`unknown-job`)."""
    project_edit.remove_job(workspace.project, name)


def _job(workspace: Workspace, name: str) -> Job:
    found = next((job for job in workspace.project.jobs if job.name == name), None)
    if found is None:
        guess = did_you_mean(name, [job.name for job in workspace.project.jobs])
        raise InputError(
            "unknown-job",
            f"job `{name}` not found",
            where=Where(workspace.project.file_name),
            hint=f"did you mean `{guess}`?" if guess else f"headwater job add {name} --tasks 'TAP TARGET'",
        )
    return found


def _listed(job: Job) -> ListedJob:
    return ListedJob(job_name=job.name, tasks=job.written)


def _checked(workspace: Workspace, tasks: Sequence[str]) -> list[Any]:
    """The tasks as they are written to the file."""
    written = [task for text in tasks for task in _tasks(text)]
    words = [word for task in written for line in ([task] if isinstance(task, str) else task) for word in line.split()]
    if not words:
        raise InputError("nothing-to-run", "the job has no task", hint="headwater job add NAME --tasks 'TAP TARGET'")
    blocks.group(workspace.project, words)
    return written


def _tasks(text: str) -> list[Any]:
    if not text.lstrip().startswith("["):
        return [text.strip()]
    found: list[Any] = yaml.parse(text, "--tasks").data
    return [list(map(str, item)) if isinstance(item, list) else str(item) for item in found]
