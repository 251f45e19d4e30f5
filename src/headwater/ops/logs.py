"""Past runs and what they said."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from headwater.base.errors import InputError
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
