"""What people write for a check that needs more than plain values: ages, percentages, moments, columns."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from headwater.base import clock

_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d|w|(?:second|minute|hour|day|week)s?)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_PERCENT = re.compile(r"([+-]?\d+(?:\.\d+)?)\s*%")

Json = dict[str, Any]


class WrongError(Exception):
    def __init__(self, what: str, hint: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint


def _freshness(given: Json) -> Json:
    written = given.get("max_age")
    found = _AGE.fullmatch(str(written).strip())
    seconds = int(float(found[1]) * _SECONDS[found[2][0]]) if found else 0
    if seconds < 1:
        raise WrongError("`freshness` needs how old the newest value may be", "freshness: 24 hours")
    return {"max_age": str(written).strip(), "seconds": seconds}


def _row_count_change(given: Json) -> Json:
    """`min` and `max` as parts: -0.1 and 0.5."""
    within = _percent(given, "within")
    if within is not None and (within < 0 or "min" in given or "max" in given):
        raise WrongError("`row_count_change` takes one percentage, or `min` and `max`", "row_count_change: 20%")
    sides = {"min": -within, "max": within} if within is not None else {}
    sides |= {side: value for side in ("min", "max") if (value := _percent(given, side)) is not None}
    if not sides:
        raise WrongError("`row_count_change` needs how much more or less it may be", "row_count_change: 20%")
    return {**sides, "since": _since(given)}


def _schema_drift(given: Json) -> Json:
    """`columns` as a mapping from names to types in small letters, None for any type; None when they are not said."""
    columns, added = given.get("columns"), given.get("added", False)
    if isinstance(columns, list) and all(isinstance(name, str) for name in columns):
        columns = dict.fromkeys(columns)
    is_right = isinstance(columns, dict) and all(isinstance(key, str) for key in columns)
    if columns is not None and (not is_right or not all(isinstance(type_, str | None) for type_ in columns.values())):
        raise WrongError("`columns` are names with their types, or a list of names", "columns: {id: bigint, name: }")
    if not isinstance(added, bool):
        raise WrongError("`added` says whether columns may be added: true or false")
    types = {name: type_ and type_.lower() for name, type_ in columns.items()} if columns else None
    return {"columns": types, "added": added, "since": _since(given)}


def _anomaly(given: Json) -> Json:
    runs, least, tolerance = given.get("runs", 30), given.get("least", 7), given.get("tolerance", 3.5)
    if not (_is_whole(runs) and _is_whole(least) and 3 <= least <= runs <= 1000):
        raise WrongError("`least` must be 3 or more, and `runs` no less than `least` and 1000 at most")
    if isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or tolerance <= 0:
        raise WrongError(f"`tolerance` is a number above 0, not `{tolerance}`", "tolerance: 3.5")
    return {"runs": runs, "least": least, "tolerance": float(tolerance), "since": _since(given)}


READERS: dict[str, Callable[[Json], Json]] = {
    "freshness": _freshness,
    "row_count_change": _row_count_change,
    "schema_drift": _schema_drift,
    "volume_anomaly": _anomaly,
    "freshness_anomaly": _anomaly,
}


def _percent(given: Json, key: str) -> float | None:
    if given.get(key) is None:
        return None
    found = _PERCENT.fullmatch(str(given[key]).strip())
    if not found:
        raise WrongError(f"`{given[key]}` is no percentage", f"{key}: 20%")
    return float(found[1]) / 100


def _since(given: Json) -> str:
    """RFC 3339 in UTC, which sorts as text; empty when everything counts."""
    written = given.get("since")
    if written is None:
        return ""
    try:
        moment = datetime.fromisoformat(str(written))
    except ValueError:
        raise WrongError(
            f"`{written}` is no date or moment", "since: 2026-01-31, or since: 2026-01-31T12:00Z"
        ) from None
    return clock.iso(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
