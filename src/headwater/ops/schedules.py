"""The project's schedules: when something is due, and what. They are read by orchestrators, and run by name."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import datetime
from typing import Any

from msgspec import Struct

from headwater.base.errors import InputError, Where
from headwater.base.text import did_you_mean
from headwater.model.event import Outcome
from headwater.model.project import Job, Schedule
from headwater.ops.workspace import Workspace, environment_variables
from headwater.plan import blocks, intervals
from headwater.store import project_edit
from headwater.store.runs import Runs
from headwater.store.system_db import SystemDb

TRANSFORMS = ("skip", "only", "run")


class Wanted(Struct, frozen=True, kw_only=True):
    """What a schedule is to say; None leaves as it is what stands."""

    interval: str | None = None
    job: str | None = None
    extractor: str | None = None
    loader: str | None = None
    transform: str | None = None


def add(workspace: Workspace, name: str, wanted: Wanted) -> bool:
    """Add a schedule of a job, or of an extractor and a loader. False when just that schedule is there already.

    Raises InputError: `bad-interval`, `bad-schedule`, `missing-option`, `duplicate-name` for another one of that name.
    """
    assert wanted.interval is not None
    intervals.check(wanted.interval)
    _refuse_mixed(wanted)
    if wanted.job is None and not (wanted.extractor and wanted.loader):
        missing = "--loader" if wanted.extractor else "--job, or --extractor with --loader"
        raise InputError(
            "missing-option",
            f"schedule `{name}` says nothing of what to run: missing {missing}",
            hint=f"headwater schedule add {name} --job JOB --interval {wanted.interval}",
        )
    entry: dict[str, Any] = {"name": name, "interval": wanted.interval}
    if wanted.job is not None:
        entry["job"] = wanted.job
    else:
        transform = wanted.transform or TRANSFORMS[0]
        entry |= {"extractor": wanted.extractor, "loader": wanted.loader, "transform": transform}
    there = next((item for item in workspace.project.schedules if item.name == name), None)
    if there is not None and _entry(there) == entry:
        return False
    project_edit.add_schedule(workspace.project, entry)
    return True


def change(workspace: Workspace, name: str, wanted: Wanted) -> None:
    """Raises InputError: `unknown-schedule`, `bad-interval`, `bad-schedule`."""
    schedule = one(workspace, name)
    if wanted.interval is not None:
        intervals.check(wanted.interval)
    _refuse_mixed(wanted)
    of_plugins = wanted.extractor or wanted.loader or wanted.transform
    if (schedule.job is None and wanted.job) or (schedule.job is not None and of_plugins):
        kind = "an extractor and a loader" if schedule.job is None else "a job"
        raise InputError(
            "bad-schedule",
            f"schedule `{name}` is one of {kind}",
            where=Where(schedule.file, schedule.line),
            hint=f"headwater schedule remove {name}, then headwater schedule add {name} …",
        )
    changes = {field: value for field in wanted.__struct_fields__ if (value := getattr(wanted, field)) is not None}
    if changes:
        project_edit.update_schedule(workspace.project, name, changes)


def remove(workspace: Workspace, name: str) -> None:
    """Raises InputError (`unknown-schedule`)."""
    one(workspace, name)
    project_edit.remove_schedule(workspace.project, name)


def one(workspace: Workspace, name: str) -> Schedule:
    """Raises InputError (`unknown-schedule`)."""
    found = next((item for item in workspace.project.schedules if item.name == name), None)
    if found is None:
        guess = did_you_mean(name, [item.name for item in workspace.project.schedules])
        raise InputError(
            "unknown-schedule",
            f"schedule `{name}` not found",
            where=Where(workspace.project.file_name),
            hint=f"did you mean `{guess}`?" if guess else "headwater schedule list",
        )
    return found


def job_of(workspace: Workspace, schedule: Schedule) -> Job | None:
    """The job that a schedule names, None when it names none or the project has no such job."""
    return next((job for job in workspace.project.jobs if job.name == schedule.job), None)


def plugin_names(workspace: Workspace, name: str) -> frozenset[str]:
    """The plugins that a schedule runs."""
    schedule = one(workspace, name)
    words = [schedule.job] if schedule.job else [schedule.extractor, schedule.loader]
    groups = blocks.group(workspace.project, [word for word in words if word])
    found: list[blocks.Word] = []
    for item in groups:
        found += (item.extractor, *item.mappers, item.loader) if isinstance(item, blocks.Pipeline) else (item.word,)
    return frozenset(word.plugin.name for word in found)


def listing(workspace: Workspace) -> dict[str, Any]:
    """The schedules in the form that generators of orchestrator code read (Airflow, Dagster); what they are of is told
    apart. Raises InputError (`unknown-job`) for a schedule whose job is not there."""
    jobs, pairs = [], []
    with closing(SystemDb(workspace.home)) as db:
        runs = Runs(db, workspace.home)
        for schedule in workspace.project.schedules:
            if schedule.job is not None:
                jobs.append(_of_job(workspace, schedule))
            else:
                pairs.append(_of_plugins(schedule, runs))
    return {"schedules": {"job": jobs, "elt": pairs}}


def command(workspace: Workspace, name: str, options: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The arguments of the program that do what a schedule says, and the whole environment to do it in: ours, with
    the schedule's `env` over it. `options` are handed on to `run`, or to `elt`."""
    schedule = one(workspace, name)
    env = {**environment_variables(), **schedule.env}
    if schedule.job is not None:
        return ["run", *options, schedule.job], env
    return ["elt", *_elt_arguments(schedule), *options], env


def interpreter() -> list[str]:
    """How this program starts itself. `-P`: not with modules from the folder it is called in."""
    return [sys.executable, "-P", "-m", "headwater"]


def _of_job(workspace: Workspace, schedule: Schedule) -> dict[str, Any]:
    job = job_of(workspace, schedule)
    if job is None:
        raise InputError(
            "unknown-job",
            f"schedule `{schedule.name}` is one of the job `{schedule.job}`, which is not there",
            where=Where(schedule.file, schedule.line),
            hint=f"headwater job add {schedule.job} --tasks 'TAP TARGET'",
        )
    return {
        "name": schedule.name,
        "interval": schedule.interval,
        "cron_interval": intervals.cron(schedule.interval),
        "env": schedule.env,
        "job": {"name": job.name, "tasks": job.written},
    }


def _of_plugins(schedule: Schedule, runs: Runs) -> dict[str, Any]:
    return {
        "name": schedule.name,
        "extractor": schedule.extractor,
        "loader": schedule.loader,
        "transform": schedule.transform or TRANSFORMS[0],
        "interval": schedule.interval,
        "env": schedule.env,
        "cron_interval": intervals.cron(schedule.interval),
        "last_successful_run_ended_at": _last_success(runs, schedule.name),
        "elt_args": _elt_arguments(schedule),
    }


def _elt_arguments(schedule: Schedule) -> list[str]:
    assert schedule.extractor is not None
    assert schedule.loader is not None
    transform = schedule.transform or TRANSFORMS[0]
    return [schedule.extractor, schedule.loader, f"--transform={transform}", f"--state-id={schedule.name}"]


def _last_success(runs: Runs, state_id: str) -> str | None:
    """A run of an extractor and a loader has the name of its state id."""
    found = runs.records(most=1, name=state_id, outcome=Outcome.SUCCESS)
    ended_at = found[0].ended_at if found else None
    return datetime.fromisoformat(ended_at).isoformat() if ended_at else None


def _entry(schedule: Schedule) -> Mapping[str, Any]:
    """What `add` would write for it."""
    head = {"name": schedule.name, "interval": schedule.interval}
    if schedule.job is not None:
        return {**head, "job": schedule.job}
    transform = schedule.transform or TRANSFORMS[0]
    return {**head, "extractor": schedule.extractor, "loader": schedule.loader, "transform": transform}


def _refuse_mixed(wanted: Wanted) -> None:
    if wanted.job is not None and (wanted.extractor or wanted.loader):
        raise InputError(
            "bad-schedule",
            "a schedule is one of a job, or one of an extractor and a loader: not both",
            hint="leave out --job, or --extractor and --loader",
        )
