"""Going on where the last run of the same blocks failed."""

from __future__ import annotations

from collections import Counter
from contextlib import closing

from headwater.base.errors import InputError
from headwater.model.event import Outcome, RunStarted, StepFinished
from headwater.model.plan import Step
from headwater.ops.workspace import Workspace
from headwater.store.runs import Runs
from headwater.store.system_db import SystemDb


def rest(workspace: Workspace, name: str, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """The steps that the last run of that name, in the same environment, has not done.

    A run that went on from another one counts together with it. Raises InputError (`nothing-to-continue`) when there
    was no such run, when it did all, or when the steps are no longer those of then.
    """
    done, is_known = _done(workspace, name, [step.name for step in steps])
    if not is_known:
        raise _nothing(name, f"no run of `{name}` with these steps")
    left = []
    for step in steps:
        if done[step.name]:
            done[step.name] -= 1
        else:
            left.append(step)
    if not left:
        raise _nothing(name, f"the last run of `{name}` did all it had to do")
    return tuple(left)


def _done(workspace: Workspace, name: str, wanted: list[str]) -> tuple[Counter[str], bool]:
    """How often a step of each name succeeded since the last run that had all the steps; False when there is none."""
    done: Counter[str] = Counter()
    with closing(SystemDb(workspace.home)) as db:
        runs = Runs(db, workspace.home)
        for record in runs.records(most=1000, name=name):
            if record.environment != workspace.environment_name:
                continue
            began: tuple[str, ...] = ()
            for stored in runs.outline(record.run_id):
                if isinstance(stored.event, RunStarted):
                    began = stored.event.steps
                elif isinstance(stored.event, StepFinished) and stored.event.outcome is Outcome.SUCCESS:
                    done[stored.event.step] += 1
            if list(began) == wanted:
                return done, True
            if Counter(began) - Counter(wanted):
                break  # other steps than now: the job was changed
    return done, False


def _nothing(name: str, what: str) -> InputError:
    return InputError("nothing-to-continue", f"{what}: nothing to continue", hint=f"headwater run {name}")
