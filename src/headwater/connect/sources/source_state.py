"""States that are a struct of their source, as JSON."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from headwater.base.errors import InputError

State = TypeVar("State", bound=msgspec.Struct)


def decoded(raw: bytes | None, form: type[State], *, of: str) -> State:
    """The state, that of a first run when there is none. Raises InputError (`unreadable-state`) for one that is not
    `of`, as `the files source`."""
    if raw is None or not raw.strip():
        return form()
    try:
        return msgspec.json.decode(raw, type=form)
    except msgspec.DecodeError as error:
        raise InputError(
            "unreadable-state", f"the state is not one of {of}", why=str(error), hint="headwater state list"
        ) from error
