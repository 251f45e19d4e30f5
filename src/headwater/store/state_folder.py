"""States in files: a folder per state id, which may lie on a disk that several machines share."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, unquote

import msgspec
from msgspec import Struct

from headwater.base.errors import EnvironmentProblemError
from headwater.base.files import cannot_write, locked, write_atomic
from headwater.model.run import State

GENERATIONS = 5


class FolderStates:
    """A folder per state id with `state.json`, as Meltano writes it plus what only we keep, below `headwater`.

    `state.json.1` is the generation before, and so on. A file that is not readable is passed over with a warning.
    """

    def __init__(self, root: Path, warn: Callable[[str], None]) -> None:
        self.label = f"folder {root}"
        self._root = root
        self._warn = warn

    def read(self, state_id: str) -> State | None:
        file = self._file(state_id)
        damaged = False
        for generation in range(GENERATIONS):
            path = _generation(file, generation)
            try:
                text = path.read_bytes()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise cannot_write(path, error) from error
            try:
                return _from_file(state_id, text)
            except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
                self._warn(damaged_text(f"`{path}`"))
                damaged = True
        if damaged:
            raise none_left(state_id, f"`{file.parent}`")
        return None

    def update(self, state_id: str, change: Callable[[State | None], State | None]) -> State | None:
        file = self._file(state_id)
        with locked(file.parent / ".lock"):
            new: State | None
            try:
                old = self.read(state_id)
            except EnvironmentProblemError:
                old = None
            new = change(old)
            if new is None:
                return None
            if old and not is_same_generation(old, new):
                _shift(file)
            write_atomic(file, _to_file(new), mode=0o600)
            return new

    def ids(self) -> list[str]:
        if not self._root.is_dir():
            return []
        known = [unquote(path.parent.name) for path in self._root.glob("*/state.json")]
        return sorted(state_id for state_id in known if self._has_state(state_id))

    def _has_state(self, state_id: str) -> bool:
        try:
            state = self.read(state_id)
        except EnvironmentProblemError:
            return True
        return state is not None and (state.value is not None or state.partial is not None)

    def _file(self, state_id: str) -> Path:
        folder = quote(state_id, safe=" :@+,=~!()[]{}&;'$^").replace("..", "%2E%2E")
        return self._root / folder / "state.json"


def digest(state: State) -> str:
    """Tells whether a state is still the one that was kept: a flipped bit may well leave it readable."""
    kept = (state.value, state.partial, state.by_user, state.with_data, state.run_id, state.updated_at)
    return hashlib.blake2b(msgspec.json.encode(kept), digest_size=16).hexdigest()


def damaged_text(place: str) -> str:
    return (
        f"{place} is damaged, or was edited without `headwater state`: going on from the generation before it, so "
        "rows may come again"
    )


def none_left(state_id: str, place: str) -> EnvironmentProblemError:
    return EnvironmentProblemError(
        "damaged-state",
        f"no readable state of `{state_id}` is left at {place}",
        hint=f"headwater state set '{state_id}' JSON, or headwater state clear '{state_id}'",
    )


class _Wrapped(Struct, forbid_unknown_fields=True):
    singer_state: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Kept(Struct, omit_defaults=True, forbid_unknown_fields=True):
    by_user: bool = False
    with_data: bool = False
    run_id: str | None = None
    updated_at: str = ""
    digest: str | None = None


class _File(Struct, forbid_unknown_fields=True):
    completed: _Wrapped = msgspec.field(default_factory=_Wrapped)
    partial: _Wrapped = msgspec.field(default_factory=_Wrapped)
    headwater: _Kept = msgspec.field(default_factory=_Kept)


def _from_file(state_id: str, text: bytes) -> State:
    """Raises ValueError for a text that is not what was once written. One without a digest, as Meltano or a person
    writes it, is taken as it is."""
    file = msgspec.json.decode(text, type=_File)
    state = State(
        state_id=state_id,
        value=_unwrapped(file.completed),
        partial=_unwrapped(file.partial),
        by_user=file.headwater.by_user,
        with_data=file.headwater.with_data,
        run_id=file.headwater.run_id,
        updated_at=file.headwater.updated_at,
    )
    if file.headwater.digest not in (None, digest(state)):
        raise ValueError("the digest is that of another state")
    return state


def _to_file(state: State) -> bytes:
    kept = _Kept(
        by_user=state.by_user,
        with_data=state.with_data,
        run_id=state.run_id,
        updated_at=state.updated_at,
        digest=digest(state),
    )
    return msgspec.json.encode(_File(completed=_wrapped(state.value), partial=_wrapped(state.partial), headwater=kept))


def _wrapped(text: str | None) -> _Wrapped:
    return _Wrapped(msgspec.UNSET if text is None else msgspec.Raw(text.encode()))


def _unwrapped(wrapped: _Wrapped) -> str | None:
    return None if wrapped.singer_state is msgspec.UNSET else bytes(wrapped.singer_state).decode()


def _generation(file: Path, number: int) -> Path:
    return file if number == 0 else file.with_name(f"{file.name}.{number}")


def _shift(file: Path) -> None:
    """Number every generation one up; `state.json` itself never ceases to exist."""
    for number in range(GENERATIONS - 2, 0, -1):
        if (path := _generation(file, number)).exists():
            path.replace(_generation(file, number + 1))
    if file.exists():
        os.link(file, _generation(file, 1))


def is_same_generation(old: State, new: State) -> bool:
    """Within a run only the newest state counts; between runs each is kept."""
    return new.run_id is not None and old.run_id == new.run_id and old.by_user == new.by_user
