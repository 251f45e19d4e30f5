"""Past runs and what they said."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime

from msgspec import Struct

from headwater.base.errors import InputError
from headwater.model.event import Outcome, StepFinished, StepStarted
from headwater.model.run import RunRecord
from headwater.ops import explain as explained
from headwater.ops.explain import StepExplained
from headwater.ops.workspace import Workspace
from headwater.store.runs import Runs, StoredEvent
from headwater.store.system_db import SystemDb


@contextmanager
def opened(workspace: Workspace) -> Iterator[Runs]:
    with closing(SystemDb(workspace.home)) as db:
        yield Runs(db, workspace.home)


def listing(workspace: Workspace, limit: int) -> list[RunRecord]:
    """The latest runs, newest first."""
    with opened(workspace) as runs:
        return runs.records(most=limit)


class Pipeline(Struct, frozen=True, kw_only=True):
    """A pipeline of a run, in the words of programs that read the runs of Meltano. `job_name` is its state id; a run
    without pipelines counts as one of its own name. `state` is SUCCESS, FAIL or RUNNING."""

    log_id: str
    job_name: str
    state: str
    started_at: str
    ended_at: str | None
    duration_seconds: float | None
    trigger: str


def pipelines(workspace: Workspace, limit: int) -> list[Pipeline]:
    """The latest pipelines, newest first."""
    with opened(workspace) as runs:
        return [item for record in runs.records(most=limit) for item in _pipelines(runs, record)][:limit]


def pipelines_of(workspace: Workspace, run_id: str) -> list[Pipeline]:
    """The pipelines of one run, newest first. `run_id` as for `show`."""
    with opened(workspace) as runs:
        return _pipelines(runs, runs.record(_full_id(runs, run_id)))


_STATES = {Outcome.SUCCESS: "SUCCESS", Outcome.RUNNING: "RUNNING", Outcome.FAILED: "FAIL", Outcome.CANCELLED: "FAIL"}


def _pipelines(runs: Runs, record: RunRecord) -> list[Pipeline]:
    began: dict[str, tuple[str, str]] = {}
    found: list[Pipeline] = []
    for stored in runs.outline(record.run_id):
        event = stored.event
        if isinstance(event, StepStarted) and event.state_id is not None:
            began[event.step] = (stored.at, event.state_id)
        elif isinstance(event, StepFinished) and event.step in began:
            at, state_id = began.pop(event.step)
            found.append(_pipeline(record, state_id, event.outcome, at, stored.at, event.seconds))
    # What has no end yet runs, or died with its run.
    found += [_pipeline(record, state_id, record.outcome, at, record.ended_at, None) for at, state_id in began.values()]
    return found[::-1] or [
        _pipeline(record, record.name, record.outcome, record.started_at, record.ended_at, record.seconds)
    ]


def _pipeline(
    record: RunRecord, name: str, outcome: Outcome, began: str, ended: str | None, seconds: float | None
) -> Pipeline:
    return Pipeline(
        log_id=record.run_id,
        job_name=name,
        state=_STATES[outcome],
        started_at=_iso(began),
        ended_at=_iso(ended) if ended else None,
        duration_seconds=seconds,
        trigger=record.trigger,
    )


def _iso(text: str) -> str:
    return datetime.fromisoformat(text).isoformat()


def show(workspace: Workspace, run_id: str) -> list[StoredEvent]:
    """A run's events in order.

    `run_id` may be the first characters of one run's id, or `last`. Raises InputError (`no-such-run`).
    """
    with opened(workspace) as runs:
        return runs.events(_full_id(runs, run_id))


def explain(workspace: Workspace, run_id: str) -> list[StepExplained]:
    """What a run did to each stream. `run_id` as for `show`."""
    return explained.explain(stored.event for stored in show(workspace, run_id))


def _full_id(runs: Runs, text: str) -> str:
    records = runs.records(most=10_000)
    if text == "last" and records:
        return records[0].run_id
    found = [record.run_id for record in records if record.run_id.startswith(text)]
    if len(found) != 1:
        what = f"`{text}` is the beginning of {len(found)} runs" if found else f"there is no run `{text}`"
        raise InputError("no-such-run", what, hint="headwater logs list")
    return found[0]
