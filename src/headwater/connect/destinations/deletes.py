"""Rows that the source no longer has: when they may go, and how.

Once rows of a newer table version stand (Singer's ACTIVATE_VERSION), those of older versions are gone from the source.
They are deleted, or marked with the moment at which that was found; where a table keeps history their versions are
closed. The SQL is what all databases have in common.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from decimal import Decimal
from typing import Annotated, Any

from msgspec import Meta, Struct

from headwater.base.errors import RunFailedError
from headwater.connect.contract import ActivateVersion, Change
from headwater.connect.destinations.history import CURRENT, VALID_FROM, VALID_TO
from headwater.connect.staging import VERSION

# When the source no longer had the row; only where rows are marked.
DELETED_AT = "__deleted_at"
# The same, said by the source with the row: taps that read a database's log send it.
SENT_DELETED_AT = "_sdc_deleted_at"
# A setting of every database.
Share = Annotated[float, Meta(ge=0, le=1)]
# The guard does not ask for fewer rows than these.
_LEAST_ROWS = 100


def standing(columns: Collection[str]) -> str | None:
    """The condition that a row `t` is current and was not marked as gone; None for a table that has no others."""
    marks = [f"t.{one} is null" for one in (DELETED_AT, SENT_DELETED_AT) if one in columns]
    if VALID_TO in columns:
        marks.insert(0, f"t.{CURRENT}")
    return " and ".join(marks) or None


class Rules(Struct, frozen=True, kw_only=True):
    """What the destination's settings say: `hard` deletes rows instead of marking them, `share` of a stream's rows may
    go at once. `loader` is the destination's name."""

    hard: bool
    share: float
    loader: str


class Loaded(Struct, frozen=True, kw_only=True):
    """A stream's table: its quoted name and the columns that it has. `moment` is SQL for that of the commit, `tick`
    for a microsecond, `instant` the type of a moment."""

    at: str
    columns: Collection[str]
    has_keys: bool
    moment: str
    tick: str
    instant: str


def activate(
    activation: ActivateVersion,
    table: Loaded | None,
    rules: Rules,
    *,
    fetch: Callable[[str], Sequence[Any] | None],
    run: Callable[[str], object],
) -> Change:
    """Retire the stream's rows of older versions, in the caller's transaction and after its rows are in.

    Nothing is touched, and the answer says why, when the table is unknown, when its rows carry no version, when it
    holds a newer version, or when no row of the activated version has come: a message alone must not empty a table.
    Rows without a version stay. Raises RunFailedError (`mass-delete`) before anything is changed.
    """
    if table is None:
        return _ignored(activation, "nothing was ever loaded for the stream")
    if VERSION not in table.columns:
        return _ignored(activation, "its rows carry no version")
    version = int(activation.version)
    alive = _alive(table)
    # What was marked once is deleted too when that has become the rule.
    going = f"{VERSION} < {version}" + (f" and {alive}" if _stays(table, rules) else "")
    kinds = (f"{VERSION} = {version}", alive, f"{alive} and {VERSION} < {version}", going)
    counted = ", ".join(f"count(case when {kind} then 1 end)" for kind in kinds)
    found = fetch(f"select max({VERSION}), {counted} from {table.at}")
    newest, of_this, before, old, count = found or (None, 0, 0, 0, 0)
    if newest is not None and newest > version:
        return _ignored(activation, f"the table holds version {newest}")
    if not of_this:
        return _ignored(activation, "no row of that version has come")
    # Without keys no row takes another's place: those of the new version came on top.
    stood = before if table.has_keys else before - of_this
    guard(activation.stream, rules, before=stood, after=before - old)
    how = _retire(table, rules, going, run)
    return Change(
        stream=activation.stream, column=None, change=how, detail=f"of versions before {version}", count=count
    )


def guard(stream: str, rules: Rules, *, before: int, after: int) -> None:
    """Raises RunFailedError (`mass-delete`) when of the rows `before` more than the allowed share would be gone
    `after`."""
    gone = before - after
    if before < _LEAST_ROWS or gone <= Decimal(str(rules.share)) * before:
        return
    raise RunFailedError(
        "mass-delete",
        f"{gone:,} of the {before:,} rows of stream `{stream}` would be gone",
        why=f"`max_delete_share` is {rules.share:g}, and a source that sends a few rows as if they were all looks the "
        "same; none was touched",
        hint=f"if the source has lost them, for one run: headwater config set {rules.loader} max_delete_share 1",
    )


def _alive(table: Loaded) -> str:
    if VALID_TO in table.columns:
        return CURRENT
    return f"{DELETED_AT} is null" if DELETED_AT in table.columns else "1 = 1"


def _stays(table: Loaded, rules: Rules) -> bool:
    return VALID_TO in table.columns or not rules.hard


def _retire(table: Loaded, rules: Rules, going: str, run: Callable[[str], object]) -> str:
    if VALID_TO in table.columns:
        end = f"greatest({table.moment}, {VALID_FROM} + {table.tick})"
        run(f"update {table.at} set {VALID_TO} = {end} where {going}")
        return "rows-closed"
    if rules.hard:
        run(f"delete from {table.at} where {going}")
        return "rows-deleted"
    if DELETED_AT not in table.columns:
        run(f"alter table {table.at} add column {DELETED_AT} {table.instant}")
    run(f"update {table.at} set {DELETED_AT} = {table.moment} where {going}")
    return "rows-marked"


def _ignored(activation: ActivateVersion, why: str) -> Change:
    return Change(
        stream=activation.stream,
        column=None,
        change="version-ignored",
        detail=f"version {activation.version} is not activated: {why}",
    )
