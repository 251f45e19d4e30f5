"""State backends of third parties: what packages in this environment offer as `meltano.state_backends`.

Such a class is built for Meltano and most of them import it, so their packages bring it along as a library. It is
asked for no more than `get`, `set`, `get_state_ids`, `acquire_lock` and `close`. What we keep beside a state goes into
its completed state, below `headwater`. A class like that has no generations, reads and writes JSON, not bytes, and
its lock is as good as its author made it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import msgspec

from headwater.base.errors import EnvironmentProblemError, HeadwaterError, InputError
from headwater.base.redact import Redactor
from headwater.model.run import State
from headwater.model.setting import Setting, SettingKind
from headwater.store import state_form
from headwater.store.states import Unguarded

GROUP = "meltano.state_backends"


def schemes() -> list[str]:
    return sorted(point.name for point in entry_points(group=GROUP))


def settings(scheme: str) -> list[Setting]:
    """The settings that a package declares for its scheme. Raises EnvironmentProblemError (`state-addon-failed`)."""
    found = []
    offering = {point.dist and point.dist.name for point in entry_points(group=GROUP, name=scheme)}
    for point in entry_points(group="meltano.settings"):
        if (point.dist and point.dist.name) not in offering:
            continue  # Meltano itself declares those of its own, with a library each
        definition = _loaded(point, scheme)
        name = str(getattr(definition, "name", ""))
        if name.startswith(f"state_backend.{scheme}."):
            kind = str(getattr(definition, "kind", None) or "string")
            found.append(
                Setting(
                    name=name,
                    kind=SettingKind(kind) if kind in set(SettingKind) else None,
                    value=getattr(definition, "value", None),
                    sensitive=bool(getattr(definition, "sensitive", False)),
                    env_specific=True,
                )
            )
    return found


class AddonState:
    """What Meltano hands to a backend, and takes from it."""

    def __init__(self, state_id: str, completed_state: dict[str, Any], partial_state: dict[str, Any]) -> None:
        self.state_id = state_id
        self.completed_state = completed_state
        self.partial_state = partial_state

    def to_dict(self) -> dict[str, Any]:
        return {"completed": self.completed_state, "partial": self.partial_state}

    def json(self) -> str:
        return json.dumps(self.to_dict())

    def is_complete(self) -> bool:
        return bool(self.completed_state)


class AddonStates:
    """Raises EnvironmentProblemError (`state-addon-failed`) with what the class said."""

    def __init__(self, scheme: str, given: Mapping[str, Any], secrets: tuple[str, ...]) -> None:
        self.label = f"state backend `{scheme}`"
        self._scheme = scheme
        self._redact = Redactor(secrets)
        (point,) = entry_points(group=GROUP, name=scheme)
        made = _loaded(point, scheme)
        with self._asked():
            self._made = made(**given)
            self.label = str(self._made.label)

    def read(self, state_id: str) -> State | None:
        with self._asked():
            found = self._made.get(state_id)
        return None if found is None else self._state(state_id, found)

    def generations(self, state_id: str) -> list[State | None]:
        """Only the one that stands: a class like that keeps no other."""
        state = self.read(state_id)
        return [] if state is None else [state]

    def update(self, state_id: str, change: Callable[[State | None], State | None]) -> State | None:
        with self._asked(), self._made.acquire_lock(state_id, retry_seconds=1):
            found = self._made.get(state_id)
            new = change(None if found is None else self._state(state_id, found))
            if new is not None:
                self._made.set(_given(new))
            return new

    def ids(self) -> list[str]:
        with self._asked():
            return sorted(self._made.get_state_ids())

    def hold(self, _state_id: str, _owner: str) -> Unguarded:
        return Unguarded()

    def close(self) -> None:
        with self._asked():
            self._made.close()

    def _state(self, state_id: str, found: Any) -> State:
        completed = dict(found.completed_state or {})
        kept = msgspec.convert(completed.pop("headwater", {}), state_form.Kept)
        value, raw = state_form.unwrapped(_text(completed))
        partial, _ = state_form.unwrapped(_text(found.partial_state))
        return State(
            state_id=state_id,
            value=None if value == "null" else value,
            partial=partial,
            raw=raw,
            by_user=kept.by_user,
            with_data=kept.with_data,
            run_id=kept.run_id,
            updated_at=kept.updated_at,
        )

    @contextmanager
    def _asked(self) -> Iterator[None]:
        try:
            yield
        except HeadwaterError:
            raise
        except Exception as error:  # noqa: BLE001 - the class is anybody's
            raise _failed(self._scheme, self._redact(f"{type(error).__name__}: {error}")) from None


def _given(state: State) -> AddonState:
    kept = state_form.Kept(
        by_user=state.by_user, with_data=state.with_data, run_id=state.run_id, updated_at=state.updated_at
    )
    completed = json.loads(state_form.completed(state)) or {"singer_state": None}
    completed["headwater"] = msgspec.to_builtins(kept)
    return AddonState(state.state_id, completed, json.loads(state_form.wrapped(state.partial)))


def _text(part: Mapping[str, Any] | None) -> str:
    return json.dumps(part or {}, ensure_ascii=False, separators=(",", ":"))


def _loaded(point: EntryPoint, scheme: str) -> Any:
    try:
        return point.load()
    except Exception as error:
        raise _failed(scheme, f"{point.value}: {type(error).__name__}: {error}") from error


def _failed(scheme: str, why: str) -> EnvironmentProblemError:
    return EnvironmentProblemError(
        "state-addon-failed",
        f"the state backend `{scheme}` failed",
        why=why[:500],
        hint="install its package with all that it needs into this environment, Meltano too if it imports it",
    )


def unknown(uri: str, own: tuple[str, ...]) -> InputError:
    known = ", ".join([*own, *schemes()])
    return InputError(
        "unknown-state-backend",
        f"states can't be kept at `{uri}`",
        why=f"known here: {known}",
        hint="headwater config set meltano state_backend.uri systemdb, or install the package that offers this scheme",
    )
