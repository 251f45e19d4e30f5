"""The form of a state in a file or an object, which Meltano reads and writes too.

`{"completed": {"singer_state": …}, "partial": {"singer_state": …}, "headwater": {…}}`: the last one is what only we
keep. Meltano does not look at it, and leaves it out when it writes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec
from msgspec import Struct

from headwater.base.errors import EnvironmentProblemError
from headwater.model.run import State

GENERATIONS = 5
NAME = "state.json"


class Kept(Struct, omit_defaults=True):
    """What only we keep. `generation` numbers the states of an id in an object store."""

    by_user: bool = False
    with_data: bool = False
    run_id: str | None = None
    updated_at: str = ""
    digest: str | None = None
    generation: int = 0


class _Form(Struct, forbid_unknown_fields=True):
    completed: msgspec.Raw = msgspec.Raw(b"{}")  # also `null`
    partial: msgspec.Raw = msgspec.Raw(b"{}")
    headwater: Kept | None = None


def read(state_id: str, text: bytes) -> tuple[State, int]:
    """The state and its generation. Raises ValueError for a text that is not what was once written. One without the
    part that only we keep, as Meltano or a person writes it, is taken as it is."""
    form = msgspec.json.decode(text, type=_Form)
    value, raw = unwrapped(form.completed)
    partial, odd = unwrapped(form.partial)
    if odd is not None:
        raise ValueError("the partial state has no `singer_state`")
    kept = form.headwater or Kept()
    state = State(
        state_id=state_id,
        value=value,
        partial=partial,
        raw=raw,
        by_user=kept.by_user,
        with_data=kept.with_data,
        run_id=kept.run_id,
        updated_at=kept.updated_at,
    )
    if form.headwater is not None and kept.digest != digest(state):
        raise ValueError("the digest is that of another state")
    return state, kept.generation


def generations(state_id: str, standing: bytes | None, older: Iterable[bytes]) -> list[State | None]:
    """Texts as states, None for what is damaged. One that was removed while others are left was cleared."""
    found = [_or_none(state_id, text) for text in older]
    if standing is not None:
        return [_or_none(state_id, standing), *found]
    return [State(state_id=state_id, value=None), *found] if found else []


def _or_none(state_id: str, text: bytes) -> State | None:
    try:
        return read(state_id, text)[0]
    except ValueError:
        return None


def written(state: State, generation: int = 0) -> bytes:
    kept = Kept(
        by_user=state.by_user,
        with_data=state.with_data,
        run_id=state.run_id,
        updated_at=state.updated_at,
        digest=digest(state),
        generation=generation,
    )
    return msgspec.json.encode(
        _Form(
            completed=msgspec.Raw(completed(state).encode()),
            partial=msgspec.Raw(wrapped(state.partial).encode()),
            headwater=kept,
        )
    )


def completed(state: State) -> str:
    """What Meltano calls the completed state, as JSON."""
    return wrapped(state.value) if state.raw is None else state.raw


def wrapped(text: str | None) -> str:
    return "{}" if text is None else f'{{"singer_state":{text}}}'


def unwrapped(text: msgspec.Raw | str) -> tuple[str | None, str | None]:
    """The Singer state in `{"singer_state": …}`, or the whole when there is none in it; both None when it is empty.
    Raises ValueError for what is no JSON object."""
    found = msgspec.json.decode(text, type=dict[str, msgspec.Raw] | None)
    if not found:
        return None, None
    if "singer_state" in found:
        return bytes(found["singer_state"]).decode(), None
    return None, text if isinstance(text, str) else bytes(text).decode()


def digest(state: State) -> str:
    """Tells whether a state is still the one that was kept: a flipped bit may well leave it readable."""
    kept = (state.value, state.partial, state.by_user, state.with_data, state.run_id, state.updated_at)
    whole = kept if state.raw is None else (*kept, state.raw)
    return hashlib.blake2b(msgspec.json.encode(whole), digest_size=16).hexdigest()


def is_same_generation(old: State, new: State) -> bool:
    """Within a run only the newest state counts; between runs each is kept."""
    return new.run_id is not None and old.run_id == new.run_id and old.by_user == new.by_user


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
