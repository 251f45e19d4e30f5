"""States by hand: list, show, set, clear, copy, move."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from fnmatch import fnmatchcase

from headwater.base.errors import InputError
from headwater.base.text import did_you_mean
from headwater.model.run import State
from headwater.model.setting import Value
from headwater.ops import planning
from headwater.ops.workspace import Workspace
from headwater.store import states
from headwater.store.state_backends import OWN_SCHEMES, Place, open_backend
from headwater.store.states import StateBackend
from headwater.store.system_db import SystemDb

Warn = Callable[[str], None]


def place(workspace: Workspace, uri: str | None = None) -> Place:
    """Where the project's states are kept: `state_backend.uri`, unless `uri` is given."""
    values = planning.settings(workspace)
    start = "state_backend."
    own = {name.removeprefix(start): value for name, value in values.items() if name.startswith(start)}
    own |= _of_package(workspace, str(uri or own["uri"].value))
    return Place(
        home=workspace.home,
        uri=str(uri or own["uri"].value or "systemdb"),
        database_uri=values["database_uri"].value or None,
        database_tries=int(values["database_max_retries"].value or 0),
        database_pause=float(values["database_retry_timeout"].value or 0),
        settings={name: value.value for name, value in own.items() if value.value is not None and name != "uri"},
        secrets=tuple(str(value.value) for value in own.values() if value.secret and value.value),
        environ=workspace.environ,
    )


def _of_package(workspace: Workspace, uri: str) -> dict[str, Value]:
    """The settings that a package of a third party declares for its scheme."""
    scheme = uri.partition(":")[0]
    if scheme in OWN_SCHEMES:
        return {}
    from headwater.store import state_addons  # noqa: PLC0415 - it looks through all packages

    found = planning.settings(workspace, more=state_addons.settings(scheme))
    start = f"state_backend.{scheme}."
    return {f"{scheme}.{name.removeprefix(start)}": value for name, value in found.items() if name.startswith(start)}


def backend(
    workspace: Workspace, db: SystemDb, *, uri: str | None = None, warn: Warn = lambda _text: None
) -> StateBackend:
    """The project's state backend. `warn` hears of damaged states that an older generation stands in for."""
    return open_backend(place(workspace, uri), db, warn=warn)


@contextmanager
def opened(workspace: Workspace, *, warn: Warn = lambda _text: None) -> Iterator[StateBackend]:
    """The project's state backend, closed after use."""
    with closing(SystemDb(workspace.home)) as db, closing(backend(workspace, db, warn=warn)) as found:
        yield found


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
