"""States in an object store: S3 and what speaks like it, Google Cloud Storage, Azure Blob Storage."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from obstore import exceptions
from obstore.store import ObjectStore

from headwater.base import object_errors
from headwater.base.errors import EnvironmentProblemError
from headwater.model.run import State
from headwater.store import state_form
from headwater.store.state_form import GENERATIONS, NAME, damaged_text, is_same_generation, none_left
from headwater.store.states import Unguarded

_TRIES = 60
_LONGEST_PAUSE = 1.0  # second

_HINTS = object_errors.Hints(
    bucket="make the bucket, or correct `state_backend.uri`",
    region="set AWS_REGION to the region of the bucket",
    access="check the keys of `state_backend`, and that they may list, read, write and delete there: "
    "headwater config list meltano",
)


class ObjectStates:
    """`<prefix>/<state id>/state.json`, where Meltano has it too; `state.json.7` is an older generation.

    A change is written on the condition that the object still is the one that was read; else it is made anew. So
    nothing is locked, and nothing a dead process left behind is in the way.

    Raises EnvironmentProblemError: `no-such-bucket`, `wrong-region`, `store-refused`, `credentials-expired`,
    `store-unreachable`, `store-failed`, `damaged-state`, `busy-state`.
    """

    def __init__(
        self,
        store: ObjectStore,
        address: str,
        prefix: str,
        warn: Callable[[str], None],
        *,
        secrets: tuple[str, ...] = (),
    ) -> None:
        self.label = f"object store {address}"
        self._store = store
        self._address = address
        self._prefix = f"{prefix.strip('/')}/".lstrip("/")
        self._warn = warn
        self._secrets = secrets

    def read(self, state_id: str) -> State | None:
        text, _ = self._get(self._path(state_id))
        return None if text is None else self._state(state_id, text)[0]

    def generations(self, state_id: str) -> list[State | None]:
        older = (self._get(path)[0] for _, path in self._older(state_id))
        standing = self._get(self._path(state_id))[0]
        return state_form.generations(state_id, standing, (text for text in older if text is not None))

    def update(self, state_id: str, change: Callable[[State | None], State | None]) -> State | None:
        path = self._path(state_id)
        for attempt in range(_TRIES):
            text, mode = self._get(path)
            old, generation = self._standing(state_id, text)
            new = change(old)
            if new is None:
                return None
            is_next = text is not None and not (old and is_same_generation(old, new))
            if text is not None and is_next:
                self._put(f"{path}.{generation}", text, "overwrite")
                generation += 1
            if self._put(path, state_form.written(new, generation), mode):
                if is_next and generation > GENERATIONS:
                    self._forget(f"{path}.{generation - GENERATIONS}")
                return new
            time.sleep(random.uniform(0, min(_LONGEST_PAUSE, 0.01 * 2**attempt)))  # noqa: S311 - no secret
        raise EnvironmentProblemError(
            "busy-state",
            f"the state of `{state_id}` in `{self._address}` is changed by others all the time",
            hint="end the other runs of this pipeline, then run it again",
        )

    def ids(self) -> list[str]:
        ending = f"/{NAME}"
        start = len(self._prefix)
        return sorted(path[start : -len(ending)] for path in self._paths(self._prefix) if path.endswith(ending))

    def hold(self, _state_id: str, _owner: str) -> Unguarded:
        return Unguarded()

    def close(self) -> None:
        """Nothing is open."""

    def _path(self, state_id: str) -> str:
        return f"{self._prefix}{state_id}/{NAME}"

    def _standing(self, state_id: str, text: bytes | None) -> tuple[State | None, int]:
        """What a change starts from: a damaged state counts as none when nothing older is readable."""
        state, generation = None, 0
        if text is not None:
            try:
                state, generation = self._state(state_id, text)
            except EnvironmentProblemError as error:
                if error.reference != "damaged-state":
                    raise
        # Meltano does not number what it writes; nor has what is damaged a number to trust.
        return state, generation or max((number for number, _ in self._older(state_id)), default=0) + 1

    def _state(self, state_id: str, text: bytes) -> tuple[State, int]:
        """The state and its number, 0 for one that has none or that an older one stands in for."""
        path = self._path(state_id)
        with suppress(ValueError):
            return state_form.read(state_id, text)
        self._warn(damaged_text(f"`{path}` in `{self._address}`"))
        for _, older in self._older(state_id):
            found, _ = self._get(older)
            if found is not None:
                with suppress(ValueError):
                    return state_form.read(state_id, found)[0], 0
                self._warn(damaged_text(f"`{older}` in `{self._address}`"))
        raise none_left(state_id, f"`{self._address}`")

    def _older(self, state_id: str) -> list[tuple[int, str]]:
        """The older generations by number, newest first."""
        start = f"{self._path(state_id)}."
        ends = ((path.removeprefix(start), path) for path in self._paths(f"{self._prefix}{state_id}/"))
        return sorted(((int(end), path) for end, path in ends if end.isdecimal()), reverse=True)

    def _paths(self, prefix: str) -> list[str]:
        with self._asked():
            return [found["path"] for batch in self._store.list(prefix or None) for found in batch]

    def _get(self, path: str) -> tuple[bytes | None, Any]:
        """The object, and the mode of a put that replaces nothing else than it."""
        with self._asked():
            try:
                found = self._store.get(path)
                text = bytes(found.bytes())
            except FileNotFoundError as error:
                if object_errors.is_no_bucket(str(error)):
                    raise
                return None, "create"
            versions = {name: found.meta.get(name) for name in ("e_tag", "version")}
            return text, {name: value for name, value in versions.items() if value}

    def _put(self, path: str, text: bytes, mode: Any) -> bool:
        """False when the object is no longer the one that `mode` names."""
        with self._asked():
            try:
                self._store.put(path, text, attributes={"Content-Type": "application/json"}, mode=mode)
            except (exceptions.AlreadyExistsError, exceptions.PreconditionError):
                return False
            return True

    def _forget(self, path: str) -> None:
        """An older generation that stays longer does no harm."""
        with suppress(FileNotFoundError, exceptions.BaseError):
            self._store.delete(path)

    @contextmanager
    def _asked(self) -> Iterator[None]:
        try:
            yield
        except (exceptions.BaseError, OSError) as error:
            # From None: its text may hold what must not be shown.
            raise object_errors.problem(self._address, str(error), _HINTS, secrets=self._secrets) from None
