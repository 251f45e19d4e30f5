"""States by hand: list, show, set, clear, copy, move."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from fnmatch import fnmatchcase

from headwater.base.errors import InputError
from headwater.base.text import did_you_mean
from headwater.model.run import State
from headwater.ops import planning
from headwater.ops.workspace import Workspace
from headwater.store import states
from headwater.store.states import StateBackend
from headwater.store.system_db import SystemDb

Warn = Callable[[str], None]


@contextmanager
def opened(workspace: Workspace, *, warn: Warn = lambda _text: None) -> Iterator[StateBackend]:
    """The project's state backend. `warn` hears of damaged states that an older generation stands in for."""
    with closing(SystemDb(workspace.home)) as db:
        yield states.open_backend(planning.state_uri(workspace), db, warn=warn)


def listing(workspace: Workspace, pattern: str = "*", *, warn: Warn) -> list[State]:
    """The states whose id matches the glob, by id."""
    with opened(workspace, warn=warn) as backend:
        found = [backend.read(state_id) for state_id in backend.ids() if fnmatchcase(state_id, pattern)]
        return [state for state in found if state is not None]


def get(workspace: Workspace, state_id: str, *, warn: Warn) -> str:
    """`{"singer_state": …}` with the state as the plugin wrote it, or `{}` when it was cleared.

    Raises InputError (`unknown-state`).
    """
    with opened(workspace, warn=warn) as backend:
        state = _known(backend, state_id)
        text = states.merged(state)
        return "{}" if text is None else f'{{"singer_state":{text}}}'


def set_value(workspace: Workspace, state_id: str, text: str) -> None:
    """Set a state. The next run starts from it, whatever checkpoint stands with the data."""
    with opened(workspace) as backend:
        states.set_state(backend, state_id, text)


def clear(workspace: Workspace, state_id: str) -> None:
    """Forget a state: the next run starts from the beginning, whatever checkpoint stands with the data."""
    with opened(workspace) as backend:
        _known(backend, state_id)
        states.clear_state(backend, state_id)


def copy(workspace: Workspace, source: str, destination: str) -> None:
    with opened(workspace) as backend:
        _known(backend, source)
        states.copy_state(backend, source, destination)


def move(workspace: Workspace, source: str, destination: str) -> None:
    with opened(workspace) as backend:
        _known(backend, source)
        states.move_state(backend, source, destination)


def _known(backend: StateBackend, state_id: str) -> State:
    state = backend.read(state_id)
    if state is None:
        guess = did_you_mean(state_id, backend.ids())
        raise InputError(
            "unknown-state",
            f"there is no state `{state_id}`",
            hint=f"did you mean `{guess}`?" if guess else "headwater state list",
        )
    return state
