"""States in files: a folder per state id, which may lie on a disk that several machines share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, unquote

from headwater.base.errors import EnvironmentProblemError
from headwater.base.files import cannot_write, locked, write_atomic
from headwater.model.run import State
from headwater.store import state_form
from headwater.store.locks import Lock, try_lock
from headwater.store.state_form import GENERATIONS, NAME, damaged_text, is_same_generation, none_left


class FolderStates:
    """A folder per state id with `state.json`, in the form that Meltano reads too.

    `state.json.1` is the generation before, and so on. A file that is not readable is passed over with a warning. One
    that is not there is no state, whatever is left of older ones: so Meltano and people clear one.
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
            text = _bytes(path)
            if text is None:
                if generation == 0:
                    return None
                continue
            try:
                return state_form.read(state_id, text)[0]
            except ValueError:
                self._warn(damaged_text(f"`{path}`"))
                damaged = True
        if damaged:
            raise none_left(state_id, f"`{file.parent}`")
        return None

    def generations(self, state_id: str) -> list[State | None]:
        file = self._file(state_id)
        texts = [_bytes(_generation(file, number)) for number in range(GENERATIONS)]
        return state_form.generations(state_id, texts[0], [text for text in texts[1:] if text is not None])

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
            write_atomic(file, state_form.written(new), mode=0o600)
            return new

    def ids(self) -> list[str]:
        return sorted(unquote(path.parent.name) for path in self._root.glob(f"*/{NAME}"))

    def hold(self, state_id: str, owner: str) -> Lock | None:
        return try_lock(self._file(state_id).parent / ".run.lock", owner)

    def close(self) -> None:
        """Nothing is open."""

    def _file(self, state_id: str) -> Path:
        folder = quote(state_id, safe=" :@+,=~!()[]{}&;'$^").replace("..", "%2E%2E")
        return self._root / folder / NAME


def _generation(file: Path, number: int) -> Path:
    return file if number == 0 else file.with_name(f"{file.name}.{number}")


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise cannot_write(path, error) from error


def _shift(file: Path) -> None:
    """Number every generation one up; `state.json` itself never ceases to exist."""
    for number in range(GENERATIONS - 2, 0, -1):
        if (path := _generation(file, number)).exists():
            path.replace(_generation(file, number + 1))
    if file.exists():
        write_atomic(_generation(file, 1), file.read_bytes(), mode=0o600)
