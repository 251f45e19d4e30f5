"""Tables that keep every version of a row (slowly changing dimension, type 2): what holds on each database alike.

A version is open from `__valid_from` (included) to `__valid_to` (not included); the current one has no `__valid_to`.
The versions of one key never overlap: each begins where the one before ended, or later, also when the clock was
turned back or stood still between two commits.
"""

from __future__ import annotations

from headwater.base.errors import InputError
from headwater.connect.contract import Change

VALID_FROM = "__valid_from"
VALID_TO = "__valid_to"
# A row's state, as a condition.
CURRENT = f"{VALID_TO} is null"


def refuse_without_keys(stream: str, keys: tuple[str, ...]) -> None:
    """Raises InputError (`history-needs-keys`): without keys no row is a version of another."""
    if not keys:
        raise InputError(
            "history-needs-keys",
            f"stream `{stream}` has no keys, so `load_method: history` can't tell whose version a row is",
            hint="name the columns of its key in the tap's metadata (`table-key-properties`), "
            "or set `load_method` to `append-only`",
        )


def other_method(place: str, stream: str) -> InputError:
    """A table of versions, met by a load that would overwrite or mix them."""
    return InputError(
        "unsupported-change",
        f"stream `{stream}` can't be loaded into the table that is there",
        why=f"`{place}` keeps history, which another `load_method` would spoil",
        hint=f"set `load_method` to `history`, or move `{place}` out of the way and load it anew",
    )


def not_convertible(place: str, stream: str, why: str, hint: str | None = None) -> InputError:
    """A table without versions that can't be given some."""
    return InputError(
        "unsupported-change",
        f"stream `{stream}` can't keep its history in the table that is there",
        why=why,
        hint=hint or f"move `{place}` out of the way and load it anew",
    )


def started(stream: str) -> Change:
    detail = "rows that were there are valid since they were loaded"
    return Change(stream=stream, column=None, change="history-started", detail=detail)
