"""One extractor into one loader, as `el` and `elt` ask for it. The plan and the runner are those of `run`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from headwater.base import clock
from headwater.base.errors import InputError
from headwater.model.event import Event
from headwater.model.plan import ExtractLoad
from headwater.ops import planning, plugins, runs, selection
from headwater.ops import states as project_states
from headwater.ops.workspace import Workspace
from headwater.plan import blocks
from headwater.run.singer_files import read_json
from headwater.store import states


def request(workspace: Workspace, extractor: str, loader: str, **fields: Any) -> runs.Request:
    """What `el` asks a run for. Its name is its state id: one of this moment when none is given.

    Raises InputError: `not-a-pipeline` unless the two words are an extractor and a loader, and as `blocks.group`.
    """
    groups = blocks.group(workspace.project, (extractor, loader))
    if len(groups) != 1 or not isinstance(groups[0], blocks.Pipeline):
        raise InputError(
            "not-a-pipeline",
            f"`{extractor}` and `{loader}` are no extractor and loader",
            hint=f"headwater run {extractor} {loader}",
        )
    # Meltano's form has whole seconds: two runs in one of them would share a state.
    state_id = fields.pop("state_id") or f"{clock.now():%Y-%m-%dT%H%M%S.%f}--{extractor}--{loader}"
    return runs.Request(blocks=(extractor, loader), name=state_id, state_id=state_id, **fields)


def dump(workspace: Workspace, wanted: runs.Request, what: str) -> Any:
    """A file that the pipeline's programs would get: `catalog`, `state`, `extractor-config` or `loader-config`, with
    its secrets. Raises InputError (`no-such-state`) when there is none to start from."""
    plugins.install_missing(workspace, runs.plugins_of(workspace, wanted), emit=_quiet)
    (step,) = planning.plan(workspace, wanted.blocks, wanted.options).steps
    assert isinstance(step, ExtractLoad)
    match what:
        case "extractor-config":
            return step.extractor.config
        case "loader-config":
            return step.loader.config
        case "catalog":
            return selection.catalog_of(workspace, step, emit=_quiet)
        case _:
            return _state(workspace, step)


def _state(workspace: Workspace, step: ExtractLoad) -> Any:
    text = None
    if step.full_refresh:
        pass
    elif step.state_file is not None:
        text, _ = read_json(Path(step.state_file), "state")
    elif step.state_id is not None:
        with project_states.opened(workspace) as backend:
            text = states.merged(backend.read(step.state_id))
    if text is None:
        raise InputError("no-such-state", f"there is no state for `{step.state_id}`", hint="headwater state list")
    return json.loads(text)


def _quiet(_event: Event) -> None:
    """Standard output is the file, and nobody reads the rest."""
