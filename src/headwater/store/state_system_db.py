"""States in the system database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from headwater.model.run import State
from headwater.store.locks import file_name, try_lock
from headwater.store.state_form import GENERATIONS, damaged_text, digest, is_same_generation, none_left
from headwater.store.states import Held, Unguarded
from headwater.store.system_db import SystemDb

COLUMNS = "generation, value, partial, by_user, with_data, run_id, updated_at, digest, raw"


class SystemDbStates:
    """`owns` says that closing these closes the database too."""

    label = "system database"

    def __init__(self, db: SystemDb, warn: Callable[[str], None] = lambda _text: None, *, owns: bool = False) -> None:
        self._db = db
        self._warn = warn
        self._owns = owns

    def read(self, state_id: str) -> State | None:
        rows = self._db.rows(f"{_SELECT} where state_id = ? order by generation desc", state_id)
        return newest(state_id, rows, f"`{self._db.path}`", self._warn)

    def generations(self, state_id: str) -> list[State | None]:
        rows = self._db.rows(f"{_SELECT} where state_id = ? order by generation desc", state_id)
        return [readable(state_id, row) for row in rows]

    def update(self, state_id: str, change: Callable[[State | None], State | None]) -> State | None:
        with self._db.transaction() as connection:
            row = connection.execute(
                f"{_SELECT} where state_id = ? order by generation desc limit 1", (state_id,)
            ).fetchone()
            old = from_row(state_id, row) if row else None
            new = change(old)
            if new is None:
                return None
            generation = next_generation(row[0] if row else 0, old, new)
            connection.execute(
                _INSERT,
                (state_id, *to_row(generation, new)),
            )
            connection.execute(
                "delete from states where state_id = ? and generation <= ?", (state_id, generation - GENERATIONS)
            )
            return new

    def ids(self) -> list[str]:
        rows = self._db.rows(
            "select state_id from states s where (value is not null or partial is not null or raw is not null) and "
            "generation = (select max(generation) from states t where t.state_id = s.state_id) order by state_id"
        )
        return [cast("str", state_id) for (state_id,) in rows]

    def hold(self, state_id: str, owner: str) -> Held | None:
        if not self._owns:  # it lies in the home of this project, whose runs have a lock of their own
            return Unguarded()
        return try_lock(self._db.path.parent / "locks" / f"state-{file_name(state_id)}.lock", owner)

    def close(self) -> None:
        if self._owns:
            self._db.close()


_SELECT = f"select {COLUMNS} from states"  # noqa: S608 - own constant
_INSERT = f"insert or replace into states (state_id, {COLUMNS}) values ({', '.join('?' * 10)})"  # noqa: S608 - likewise


def newest(state_id: str, rows: list[tuple[Any, ...]], place: str, warn: Callable[[str], None]) -> State | None:
    """The first row, newest first, whose digest is right. Raises EnvironmentProblemError (`damaged-state`)."""
    for row in rows:
        state = readable(state_id, row)
        if state is not None:
            return state
        warn(damaged_text(f"the state of `{state_id}` in {place}"))
    if rows:
        raise none_left(state_id, place)
    return None


def readable(state_id: str, row: tuple[Any, ...]) -> State | None:
    """The state of a row, None when its digest is that of another one."""
    state = from_row(state_id, row)
    return state if row[7] in (None, digest(state)) else None  # those of former releases have none


def next_generation(generation: int, old: State | None, new: State) -> int:
    return generation if old and is_same_generation(old, new) else generation + 1


def from_row(state_id: str, row: tuple[Any, ...]) -> State:
    _, value, partial, by_user, with_data, run_id, updated_at, _, raw = row
    return State(
        state_id=state_id,
        value=value,
        partial=partial,
        raw=raw,
        by_user=bool(by_user),
        with_data=bool(with_data),
        run_id=run_id,
        updated_at=updated_at,
    )


def to_row(generation: int, state: State) -> tuple[Any, ...]:
    return (
        generation,
        state.value,
        state.partial,
        int(state.by_user),
        int(state.with_data),
        state.run_id,
        state.updated_at,
        digest(state),
        state.raw,
    )
