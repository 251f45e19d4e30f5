"""Where states are kept between runs, and what may be done with them.

A state is opaque: its text is kept byte for byte. Only what Meltano calls a partial state (the state of a full
refresh) is ever merged, because that is its meaning. Every change is one atomic read-modify-write, and five
generations are kept, one a run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from functools import partial as bound
from typing import Any, NamedTuple, Protocol

import msgspec

from headwater.base import clock
from headwater.base.errors import EnvironmentProblemError, InputError
from headwater.base.failpoint import reach
from headwater.model.run import State
from headwater.store import state_form


class StateBackend(Protocol):
    """`label` is what messages call it. `change` gets the State that stands and answers with the new one, or None
    to leave things as they are; nobody else can write in between."""

    label: str

    def read(self, state_id: str) -> State | None: ...

    def generations(self, state_id: str) -> list[State | None]:
        """The one that stands (cleared, when there is none any more) and those before it; None for what is damaged."""
        ...

    def update(self, state_id: str, change: Callable[[State | None], State | None]) -> State | None:
        """Returns what was written, None when nothing was."""
        ...

    def ids(self) -> list[str]:
        """All ids that may have a state, sorted: a cleared one can be among them."""
        ...

    def hold(self, state_id: str, owner: str) -> Held | None:
        """Keep others off the pipeline, also those on other machines, until `release` or the end of this process or
        session. None when somebody holds it."""
        ...

    def close(self) -> None: ...


class Held(Protocol):
    def release(self) -> None: ...


class Unguarded:
    """Where nobody else can be kept off: what is held is nothing."""

    def release(self) -> None:
        """Nothing is held."""


class Listed(NamedTuple):
    """`state` is None when none of its generations is readable."""

    state_id: str
    state: State | None


_AT_ONCE = 8  # reads


def listed(backend: StateBackend, pattern: str = "*") -> list[Listed]:
    """The states whose id matches the glob, sorted, without those that were cleared."""

    def read(state_id: str) -> Listed | None:
        try:
            state = backend.read(state_id)
        except EnvironmentProblemError as error:
            if error.reference != "damaged-state":
                raise
            return Listed(state_id, None)
        return None if state is None or is_cleared(state) else Listed(state_id, state)

    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - the start of a run needs none

    wanted = [state_id for state_id in backend.ids() if fnmatchcase(state_id, pattern)]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return [found for found in pool.map(read, wanted) if found is not None]


def is_cleared(state: State) -> bool:
    return state.value is None and state.partial is None and state.raw is None


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


def set_state(backend: StateBackend, state_id: str, text: str, *, validate: bool = True) -> None:
    """A person's word, as `{"singer_state": …}`: replaces what stands, also by an empty one. Raises InputError
    (`invalid-state`); without validation only for what is no JSON object."""
    value, raw = _given(text)
    if validate and (raw is not None or value is None):
        raise _unwrapped(text)
    if value is not None and validate:
        _checked(value)
    backend.update(state_id, lambda _old: _now(State(state_id=state_id, value=value, raw=raw, by_user=True)))


def replace_state(backend: StateBackend, state_id: str, text: str, *, instead_of: str | None) -> None:
    """Set a state if the one that stands is still `instead_of`, as `shown` gives it. Raises InputError
    (`invalid-state`, `state-changed`)."""
    value, raw = _given(text)
    if raw is not None or value is None:
        raise _unwrapped(text)
    _checked(value)

    def change(old: State | None) -> State:
        if shown(old) != instead_of and not (old is not None and old.by_user and old.value == value):
            raise _changed(state_id)
        return _now(State(state_id=state_id, value=value, by_user=True))

    backend.update(state_id, change)


def merge_state(backend: StateBackend, state_id: str, text: str) -> None:
    """Add a state to the one that stands, as a partial one. Raises InputError (`invalid-state`)."""
    over, raw = _given(text)
    if raw is not None or over is None:
        raise _unwrapped(text)
    added = _checked(over)

    def change(old: State | None) -> State:
        value, before, odd = (old.value, old.partial, old.raw) if old else (None, None, None)
        partial = merge_text(before, added)
        return _now(State(state_id=state_id, value=value, partial=partial, raw=odd, by_user=True))

    backend.update(state_id, change)


def clear_state(backend: StateBackend, state_id: str) -> bool:
    """The next run starts from the beginning. False when there was no state, and then nothing is written."""
    found = False

    def change(old: State | None) -> State | None:
        nonlocal found
        found = old is not None and not is_cleared(old)
        return _now(State(state_id=state_id, value=None, by_user=True)) if found else None

    try:
        backend.read(state_id)
    except EnvironmentProblemError as error:
        if error.reference != "damaged-state":
            raise
        backend.update(state_id, lambda _old: _now(State(state_id=state_id, value=None, by_user=True)))
        return True
    backend.update(state_id, change)
    return found


def copy_state(backend: StateBackend, source: str, target: str) -> None:
    """Raises InputError (`no-such-state`)."""
    value = merged(backend.read(source))
    if value is None:
        raise InputError("no-such-state", f"there is no state for `{source}`", hint="headwater state list")
    backend.update(target, lambda _old: _now(State(state_id=target, value=value, by_user=True)))


def move_state(backend: StateBackend, source: str, target: str) -> None:
    """Raises InputError (`no-such-state`)."""
    copy_state(backend, source, target)
    if source != target:
        clear_state(backend, source)


def restore_state(backend: StateBackend, state_id: str, back: int = 1) -> State:
    """Set the state that stood `back` generations before, as a person's word; that one is a generation of its own.
    Raises InputError (`no-such-generation`, `state-changed`)."""
    found = backend.generations(state_id)
    wanted = found[back] if 0 < back < len(found) else None
    if wanted is None:
        raise InputError(
            "no-such-generation",
            f"there is no readable state of `{state_id}` from {back} generation{'' if back == 1 else 's'} before",
            hint=f"headwater state history '{state_id}'",
        )
    standing = found[0]

    def change(old: State | None) -> State:
        if old is not None and standing is not None and old.updated_at != standing.updated_at:
            raise _changed(state_id)
        return _now(msgspec.structs.replace(wanted, by_user=True, with_data=False, run_id=None))

    backend.update(state_id, change)
    return wanted


def import_states(
    backend: StateBackend, states: Mapping[str, tuple[str | None, str | None]], *, by_user: bool = True
) -> int:
    """Set states by id from what Meltano calls `completed` and `partial`, as JSON. All are checked before the first
    is written. Raises InputError (`invalid-state`)."""
    found = [_imported(state_id, *texts, by_user=by_user) for state_id, texts in states.items()]
    for state in found:
        backend.update(state.state_id, bound(_put, state))
    return len(found)


def _put(state: State, _old: State | None) -> State:
    return _now(state)


def _imported(state_id: str, completed: str | None, partial: str | None, *, by_user: bool) -> State:
    value, raw = _given(completed) if completed is not None else (None, None)
    over, odd = _given(partial) if partial is not None else (None, None)
    if odd is not None:
        raise InputError("invalid-state", f"the partial state of `{state_id}` has no `singer_state`", why=odd[:80])
    return State(state_id=state_id, value=value, partial=over, raw=raw, by_user=by_user)


def shown(state: State | None) -> str:
    """What `state get` prints: `{"singer_state": …}`, `{}` when there is none."""
    if state is None:
        return "{}"
    if state.raw is None:
        return state_form.wrapped(merged(state))
    return merge_text(state.raw, state_form.wrapped(state.partial)) if state.partial else state.raw


def is_valid(state: State | None) -> bool:
    """Whether a tap can be given it."""
    value = merged(state)
    return value is not None and value.lstrip()[:1] == "{"


def _given(text: str) -> tuple[str | None, str | None]:
    try:
        return state_form.unwrapped(text)
    except ValueError as error:
        raise InputError(
            "invalid-state",
            "the state is not a JSON object",
            why=str(error),
            hint="""headwater state set ID '{"singer_state": {}}'""",
        ) from error


def _unwrapped(text: str) -> InputError:
    return InputError(
        "invalid-state",
        "the state has no `singer_state`",
        why=text[:80],
        hint="""wrap it as {"singer_state": {…}}, or set it as it is: headwater state set --no-validate ID JSON""",
    )


def _changed(state_id: str) -> InputError:
    return InputError(
        "state-changed",
        f"the state of `{state_id}` has changed meanwhile: it is left as it is",
        hint=f"headwater state get '{state_id}'",
    )


def _checked(value: str) -> str:
    if value.lstrip()[:1] != "{":
        raise InputError("invalid-state", "the `singer_state` is not a JSON object", why=value[:80])
    return value


def _now(state: State) -> State:
    return msgspec.structs.replace(state, updated_at=clock.iso(clock.now()))


def _merge(base: Any, over: Any) -> Any:
    if not (isinstance(base, dict) and isinstance(over, dict)):
        return over
    return base | {key: _merge(base[key], value) if key in base else value for key, value in over.items()}
