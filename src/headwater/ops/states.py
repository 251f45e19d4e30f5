"""Where a project keeps its states, and states by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import msgspec

from headwater.base.errors import InputError
from headwater.base.text import did_you_mean
from headwater.model.run import State
from headwater.model.setting import Origin, Value
from headwater.ops import planning
from headwater.ops.workspace import Workspace
from headwater.store import state_form, states
from headwater.store.state_backends import OWN_SCHEMES, Place, open_backend
from headwater.store.states import Listed, StateBackend
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
        root=workspace.root,
        uri=str(uri or own["uri"].value or "systemdb"),
        database_uri=database_uri(workspace),
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


def database_uri(workspace: Workspace) -> str | None:
    """What the project says of the system database; None for Meltano's default, in its own folder."""
    value = planning.settings(workspace)["database_uri"]
    written = workspace.project.settings.get("database_uri")
    if not value.value or (value.origin is Origin.PROJECT and "MELTANO_SYS_DIR_ROOT" in str(written)):
        return None
    return str(value.value)


def listing(workspace: Workspace, pattern: str = "*", *, warn: Warn) -> list[Listed]:
    """The states whose id matches the glob, by id."""
    with opened(workspace, warn=warn) as backend:
        return states.listed(backend, pattern)


def get(workspace: Workspace, state_id: str, *, warn: Warn) -> str:
    """`{"singer_state": …}` with the state as the plugin wrote it. `{}` when there is none, which `warn` hears."""
    with opened(workspace, warn=warn) as backend:
        state = backend.read(state_id)
        if state is None:
            warn(_unknown(backend, state_id))
        return states.shown(state)


def set_value(workspace: Workspace, state_id: str, text: str, *, validate: bool = True) -> None:
    """Set a state. The next run starts from it, whatever checkpoint stands with the data."""
    with opened(workspace) as backend:
        states.set_state(backend, state_id, text, validate=validate)


def replace(workspace: Workspace, state_id: str, text: str, *, instead_of: str) -> None:
    """Set a state unless it has changed since it was `instead_of`. Raises InputError (`state-changed`)."""
    with opened(workspace) as backend:
        states.replace_state(backend, state_id, text, instead_of=instead_of)


def merge(workspace: Workspace, state_id: str, *, text: str | None = None, source: str | None = None) -> None:
    """Add a text, or the state of another id, to the state. Raises InputError (`no-such-state`)."""
    with opened(workspace) as backend:
        if text is None:
            assert source is not None
            text = states.shown(_known(backend, source))
        states.merge_state(backend, state_id, text)


def clear(workspace: Workspace, state_id: str) -> bool:
    """Forget a state: the next run starts from the beginning, whatever checkpoint stands with the data. False when
    there was none."""
    with opened(workspace) as backend:
        return states.clear_state(backend, state_id)


def clear_all(workspace: Workspace) -> int:
    """Forget all states; returns how many there were."""
    with opened(workspace) as backend:
        return sum(states.clear_state(backend, found.state_id) for found in states.listed(backend))


def copy(workspace: Workspace, source: str, destination: str) -> None:
    """Raises InputError (`no-such-state`)."""
    with opened(workspace) as backend:
        _known(backend, source)
        states.copy_state(backend, source, destination)


def move(workspace: Workspace, source: str, destination: str) -> None:
    """Raises InputError (`no-such-state`)."""
    with opened(workspace) as backend:
        _known(backend, source)
        states.move_state(backend, source, destination)


def history(workspace: Workspace, state_id: str) -> list[State | None]:
    """The state that stands and those before it, newest first; None for what is damaged."""
    with opened(workspace) as backend:
        return backend.generations(state_id)


def restore(workspace: Workspace, state_id: str, back: int) -> State:
    """Set the state of `back` generations before; answers with it. The next run starts from it, whatever checkpoint
    stands with the data. Raises InputError (`no-such-generation`, `state-changed`)."""
    with opened(workspace) as backend:
        return states.restore_state(backend, state_id, back)


def exported(workspace: Workspace, *, warn: Warn) -> str:
    """All states as `{id: {"completed": …, "partial": …}}`. Raises EnvironmentProblemError (`damaged-state`)."""
    with opened(workspace, warn=warn) as backend:
        found: dict[str, dict[str, msgspec.Raw]] = {}
        for state_id, state in states.listed(backend):
            if state is None:
                backend.read(state_id)
            assert state is not None
            parts = {"completed": state_form.completed(state), "partial": state_form.wrapped(state.partial)}
            found[state_id] = {name: msgspec.Raw(part.encode()) for name, part in parts.items()}
        return msgspec.json.format(msgspec.json.encode(found), indent=-1).decode()


def import_text(workspace: Workspace, text: str) -> int:
    """Set the states of what `exported` gave, here or in Meltano; all or, when one is no state, none. Returns how many.
    Raises InputError (`invalid-state`)."""
    try:
        given = msgspec.json.decode(text, type=dict[str, dict[str, msgspec.Raw]])
    except (msgspec.DecodeError, UnicodeError) as error:
        raise InputError(
            "invalid-state",
            "this is no export of states",
            why=str(error),
            hint='headwater state export, or write {"ID": {"completed": {"singer_state": {}}, "partial": {}}}',
        ) from error
    found = {
        state_id: (_text(parts.get("completed")), _text(parts.get("partial"))) for state_id, parts in given.items()
    }
    with opened(workspace) as backend:
        return states.import_states(backend, found)


def _text(part: msgspec.Raw | None) -> str | None:
    return None if part is None else bytes(part).decode()


def _known(backend: StateBackend, state_id: str) -> State:
    state = backend.read(state_id)
    if state is None:
        raise InputError("no-such-state", _unknown(backend, state_id), hint="headwater state list")
    return state


def _unknown(backend: StateBackend, state_id: str) -> str:
    guess = did_you_mean(state_id, backend.ids())
    return f"there is no state `{state_id}`" + (f": did you mean `{guess}`?" if guess else "")
