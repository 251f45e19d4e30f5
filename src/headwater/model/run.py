"""What is kept of runs and of states."""

from __future__ import annotations

from msgspec import Struct

from headwater.model.event import Outcome


class RunRecord(Struct, frozen=True, kw_only=True):
    """A run in the history. Times are RFC 3339 in UTC; `ended_at` is None while it runs."""

    run_id: str
    name: str
    outcome: Outcome
    started_at: str
    ended_at: str | None
    seconds: float | None
    trigger: str
    environment: str | None


class State(Struct, frozen=True, kw_only=True):
    """A Singer state as kept for a state id.

    `value` is the raw JSON text of the state, byte for byte as the plugin wrote it; None after `state clear`.
    `by_user` is true when a person set or cleared it: it then outranks the checkpoint that stands with the data,
    once. `partial` holds a state to be merged over `value` when read (Meltano's merge strategy). `with_data` is
    true for a copy of a checkpoint that stands with the data: a destination without that checkpoint has lost its
    data too, or is another one. `raw` is what a person set without validation and what has no Singer state in it: it
    is shown, and a run starts as if there were nothing.
    """

    state_id: str
    value: str | None
    partial: str | None = None
    raw: str | None = None
    by_user: bool = False
    with_data: bool = False
    run_id: str | None = None
    updated_at: str = ""
