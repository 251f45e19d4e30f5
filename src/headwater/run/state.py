"""The state that a load starts from, and what becomes of those that it reaches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from headwater.base.errors import EnvironmentProblemError, HeadwaterError
from headwater.base.files import write_atomic
from headwater.model.event import CheckpointSaved, Level
from headwater.model.plan import ExtractLoad
from headwater.run.runner import Run
from headwater.run.singer_files import read_json
from headwater.store.locks import file_name
from headwater.store.states import StateBackend, is_empty, merged, save


def start_state(
    step: ExtractLoad, run: Run, backend: StateBackend, *, checkpoint: str | None, has_checkpoints: bool
) -> str | None:
    """Strongest first: full refresh (none) · the state file of the plan · what a person set or cleared · the
    checkpoint that stands with the data · the state kept. None means from the beginning.

    `has_checkpoints` is true for a loader that keeps the checkpoint with the data. Its destination is then the
    truth: when it has no checkpoint but we keep a copy of one, its data are gone or it is another destination, and
    going on from the copy would leave a gap for ever.
    """

    def tell(level: Level, text: str) -> None:
        run.tell(step.name, level, text)

    if step.full_refresh:
        tell(Level.INFO, "full refresh: the state is ignored")
        return None
    if step.state_file is not None:
        text, _ = read_json(Path(run.plan.root) / step.state_file, "state")
        tell(Level.INFO, f"starting from the state in `{step.state_file}`")
        return None if is_empty(text) else text
    if step.state_id is None:
        return None
    try:
        kept = backend.read(step.state_id)
    except EnvironmentProblemError as error:
        if error.reference != "damaged-state" or checkpoint is None:
            raise
        tell(Level.WARNING, f"{error.what}; going on from the checkpoint that stands with the data")
        return checkpoint
    found = merged(kept)
    if kept is not None and kept.by_user:
        tell(Level.INFO, "starting from the state that was set by hand" if found else "the state was cleared by hand")
    elif has_checkpoints and checkpoint is not None:
        if found is not None and found != checkpoint:
            tell(Level.INFO, f"the {backend.label} has another state than the destination: the destination's counts")
        if found != checkpoint:
            _catch_up(step, run, backend, checkpoint)
        found = checkpoint
    elif has_checkpoints and kept is not None and kept.with_data:
        tell(
            Level.WARNING,
            "the destination has no data of this pipeline any more: loading from the beginning "
            f"(to go on from the last state instead: headwater state get '{step.state_id}', then headwater state set)",
        )
        found = None
    if is_empty(found):
        tell(Level.INFO, "no state: extracting from the beginning")
        return None
    return found


def _catch_up(step: ExtractLoad, run: Run, backend: StateBackend, checkpoint: str) -> None:
    """Make the copy again: a run that was killed between a commit and its copy left an older one, and a run that
    finds nothing new would leave it so."""
    assert step.state_id is not None
    try:
        save(backend, step.state_id, checkpoint, run_id=run.plan.run_id, with_data=True)
    except HeadwaterError as error:
        run.tell(step.name, Level.WARNING, f"the copy of the state was not kept: {error.what}")


def state_saver(step: ExtractLoad, run: Run, backend: StateBackend) -> Callable[[str], None]:
    """Keeps the states of a loader that vouches for them by printing them."""
    told = False

    def keep(text: str) -> None:
        nonlocal told
        if step.state_id is None:
            return
        try:
            is_kept = save(backend, step.state_id, text, run_id=run.plan.run_id, partial=is_partial(step))
        except EnvironmentProblemError as error:
            raise _set_aside(step, run, text, error) from error
        if is_kept:
            run.emit(CheckpointSaved(step=step.name, state_id=step.state_id, state=text))
        elif not told:
            told = True
            run.tell(step.name, Level.WARNING, "the loader wrote an empty state: the one before is kept")

    return keep


def _set_aside(step: ExtractLoad, run: Run, text: str, error: EnvironmentProblemError) -> EnvironmentProblemError:
    """The loader has nothing that tells where it came to, so the state goes into a file."""
    assert step.state_id is not None
    path = Path(run.plan.home) / "unkept" / f"{file_name(step.state_id)}.json"
    write_atomic(path, f'{{"singer_state":{text}}}\n'.encode(), mode=0o600)
    verb = "merge" if is_partial(step) else "set --force"
    return EnvironmentProblemError(
        "state-not-kept",
        f"the state that `{step.loader.name}` reached was not kept: {error.what}",
        why=error.why,
        hint=f"headwater state {verb} '{step.state_id}' --input-file {path}",
    )


def is_partial(step: ExtractLoad) -> bool:
    """Whether the state of this run says something of the streams that it touched only."""
    return step.state_strategy == "merge" or (step.state_strategy == "auto" and step.full_refresh)
