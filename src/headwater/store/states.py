"""Where states are kept between runs, and what may be done with them.

A state is opaque: its text is kept byte for byte. Only what Meltano calls a partial state (the state of a full
refresh) is ever merged, because that is its meaning. Every change is one atomic read-modify-write, and five
generations are kept, one a run.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, cast
from urllib.parse import unquote, urlsplit

import msgspec

from headwater.base import clock
from headwater.base.errors import InputError
from headwater.base.failpoint import reach
from headwater.model.run import State
from headwater.store.state_folder import (
    GENERATIONS,
    FolderStates,
    damaged_text,
    digest,
    is_same_generation,
    none_left,
)
from headwater.store.system_db import SystemDb


class StateBackend(Protocol):
    """`label` is what messages call it. `change` gets the State that stands and answers with the new one, or None
    to leave things as they are; nobody else can write in between."""

    label: str

    def read(self, state_id: str) -> State | None: ...

    def update(self, state_id: str, change: Callable[[State | None], State | None]) -> State | None:
        """Returns what was written, None when nothing was."""
        ...

    def ids(self) -> list[str]:
        """All ids that have a state, sorted."""
        ...


def open_backend(uri: str, db: SystemDb, *, warn: Callable[[str], None] = lambda _text: None) -> StateBackend:
    """`systemdb` or `file:///folder`. `warn` hears of damaged states that an older generation stood in for."""
    if uri == "systemdb":
        return SystemDbStates(db, warn)
    parts = urlsplit(uri)
    if parts.scheme == "file" and parts.path:
        return FolderStates(Path(unquote(parts.netloc + parts.path)), warn)
    raise InputError(
        "unknown-state-backend",
        f"states can't be kept at `{uri}`",
        hint="headwater config set meltano state_backend.uri systemdb (or file:///a/folder)",
    )


def merged(state: State | None) -> str | None:
    """The state to start from: the value itself, byte for byte, or with the partial state merged over it."""
    if state is None:
        return None
    if state.partial is None:
        return state.value
    return merge_text(state.value, state.partial)


def merge_text(base: str | None, over: str) -> str:
    """Objects are merged at every depth; anything else in `over` replaces what stands in `base`."""
    if base is None:
        return over
    return json.dumps(_merge(json.loads(base), json.loads(over)), ensure_ascii=False, separators=(",", ":"))


def is_empty(text: str | bytes | None) -> bool:
    """A state that says nothing: absent, `null` or `{}`."""
    return text is None or text.strip() in ("", "null", "{}", b"", b"null", b"{}")


def save(
    backend: StateBackend,
    state_id: str,
    text: str,
    *,
    run_id: str,
    partial: bool = False,
    with_data: bool = False,
) -> bool:
    """Keep the state that a run reached. False when it was empty and one that isn't stands: that one is kept."""

    def change(old: State | None) -> State | None:
        if is_empty(text) and (partial or not is_empty(merged(old))):
            return None
        if not partial:
            return _now(State(state_id=state_id, value=text, run_id=run_id, with_data=with_data))
        value, before = (old.value, old.partial) if old else (None, None)
        return _now(State(state_id=state_id, value=value, partial=merge_text(before, text), run_id=run_id))

    reach("state.begun")
    written = backend.update(state_id, change)
    reach("state.done")
    return written is not None


def set_state(backend: StateBackend, state_id: str, text: str) -> None:
    """A person's word: replaces what stands, also by `{}`. Raises InputError (`invalid-state`)."""
    value = singer_state(text)
    backend.update(state_id, lambda _old: _now(State(state_id=state_id, value=value, by_user=True)))


def merge_state(backend: StateBackend, state_id: str, text: str) -> None:
    """Merge a state over the one that stands. Raises InputError (`invalid-state`)."""
    over = singer_state(text)

    def change(old: State | None) -> State:
        return _now(State(state_id=state_id, value=merge_text(merged(old), over), by_user=True))

    backend.update(state_id, change)


def clear_state(backend: StateBackend, state_id: str) -> bool:
    """The next run starts from the beginning. False when there was no state."""
    before = backend.read(state_id)
    backend.update(state_id, lambda _old: _now(State(state_id=state_id, value=None, by_user=True)))
    return merged(before) is not None


def copy_state(backend: StateBackend, source: str, target: str) -> None:
    """Raises InputError (`no-such-state`)."""
    state = backend.read(source)
    value = merged(state)
    if value is None:
        raise InputError("no-such-state", f"there is no state for `{source}`", hint="headwater state list")
    backend.update(target, lambda _old: _now(State(state_id=target, value=value, by_user=True)))


def move_state(backend: StateBackend, source: str, target: str) -> None:
    """Raises InputError (`no-such-state`)."""
    copy_state(backend, source, target)
    clear_state(backend, source)


def singer_state(text: str) -> str:
    """A state's own text, taken out of Meltano's `{"singer_state": …}` where it stands in one. Raises InputError."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise InputError(
            "invalid-state",
            "the state is not JSON",
            why=str(error),
            hint="""headwater state set ID '{"bookmarks": {}}'""",
        ) from error
    if not isinstance(found, dict):
        raise InputError("invalid-state", "the state is not a JSON object", why=text[:80])
    if set(found) == {"singer_state"}:
        if not isinstance(found["singer_state"], dict):
            raise InputError("invalid-state", "the `singer_state` is not a JSON object", why=text[:80])
        return bytes(msgspec.json.decode(text, type=dict[str, msgspec.Raw])["singer_state"]).decode()
    return text


class SystemDbStates:
    """States in the system database."""

    label = "system database"

    def __init__(self, db: SystemDb, warn: Callable[[str], None] = lambda _text: None) -> None:
        self._db = db
        self._warn = warn

    def read(self, state_id: str) -> State | None:
        rows = self._db.rows(f"{_SELECT} where state_id = ? order by generation desc", state_id)
        for row in rows:
            state = _from_row(state_id, row)
            if row[-1] in (None, digest(state)):  # those of former releases have none
                return state
            self._warn(damaged_text(f"the state of `{state_id}` in `{self._db.path}`"))
        if rows:
            raise none_left(state_id, f"`{self._db.path}`")
        return None

    def update(self, state_id: str, change: Callable[[State | None], State | None]) -> State | None:
        with self._db.transaction() as connection:
            row = connection.execute(
                f"{_SELECT} where state_id = ? order by generation desc limit 1", (state_id,)
            ).fetchone()
            old = _from_row(state_id, row) if row else None
            new = change(old)
            if new is None:
                return None
            generation = row[0] if row else 0
            if not (old and is_same_generation(old, new)):
                generation += 1
            connection.execute(
                "insert or replace into states values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    state_id,
                    generation,
                    new.value,
                    new.partial,
                    int(new.by_user),
                    int(new.with_data),
                    new.run_id,
                    new.updated_at,
                    digest(new),
                ),
            )
            connection.execute(
                "delete from states where state_id = ? and generation <= ?", (state_id, generation - GENERATIONS)
            )
            return new

    def ids(self) -> list[str]:
        rows = self._db.rows(
            "select state_id from states s where (value is not null or partial is not null) and generation = "
            "(select max(generation) from states t where t.state_id = s.state_id) order by state_id"
        )
        return [cast("str", state_id) for (state_id,) in rows]


_SELECT = "select generation, value, partial, by_user, with_data, run_id, updated_at, digest from states"


def _from_row(state_id: str, row: tuple[Any, ...]) -> State:
    _, value, partial, by_user, with_data, run_id, updated_at, _ = row
    return State(
        state_id=state_id,
        value=value,
        partial=partial,
        by_user=bool(by_user),
        with_data=bool(with_data),
        run_id=run_id,
        updated_at=updated_at,
    )


def _now(state: State) -> State:
    return msgspec.structs.replace(state, updated_at=clock.iso(clock.now()))


def _merge(base: Any, over: Any) -> Any:
    if not (isinstance(base, dict) and isinstance(over, dict)):
        return over
    return base | {key: _merge(base[key], value) if key in base else value for key, value in over.items()}
