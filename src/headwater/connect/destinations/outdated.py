"""When a row that comes out of quarantine must leave the one alone that has its key."""

from __future__ import annotations

from headwater.connect.destinations.deletes import DELETED_AT
from headwater.connect.destinations.history import VALID_FROM, VALID_TO

_LOADED_AT = "__loaded_at"


def newer(since: str, *, keeps_history: bool, is_marked: bool) -> str:
    """The condition that a row `t` was loaded, or was found to be gone, at the moment `since` (SQL) or later. Of a row
    that others put there nobody knows: it counts as newer."""
    if keeps_history:
        return f"(t.{VALID_FROM} >= {since} or t.{VALID_TO} >= {since})"
    gone = f" or t.{DELETED_AT} >= {since}" if is_marked else ""
    return f"(coalesce(t.{_LOADED_AT} >= {since}, true){gone})"
