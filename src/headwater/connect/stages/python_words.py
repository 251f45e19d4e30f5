"""What Python expressions of stream maps can reach: these functions, these members of modules, these methods, and
nothing else. All of them are pure."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any


def _digest(algorithm: str) -> Callable[[str], str]:
    def digest(text: str) -> str:
        return hashlib.new(algorithm, text.encode(), usedforsecurity=False).hexdigest()

    return digest


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": bool,
    "len": len,
    "abs": abs,
    "round": round,
    "min": min,
    "max": max,
    "sum": sum,
    "sorted": sorted,
    "any": any,
    "all": all,
    "md5": _digest("md5"),
    "sha256": _digest("sha256"),
}
CHANGING = ("rand", "randint", "now", "today", "utcnow")


def _from_timestamp(seconds: float, tz: dt.tzinfo = dt.UTC) -> dt.datetime:
    """UTC where the SDK takes the machine's own zone: a row's values must not hang on where it is mapped."""
    made = dt.datetime.fromtimestamp(float(seconds), tz)
    return made if tz is not dt.UTC else made.replace(tzinfo=None)


_DATE = {"": dt.date, "fromisoformat": dt.date.fromisoformat}
_DATETIME = {
    "": dt.datetime,
    "fromisoformat": dt.datetime.fromisoformat,
    "strptime": dt.datetime.strptime,
    "fromtimestamp": _from_timestamp,
    "utcfromtimestamp": _from_timestamp,
    "combine": dt.datetime.combine,
}
# Modules as dicts; the member "" is what a call of the thing itself does.
MODULES: Mapping[str, Mapping[str, Any]] = {
    "datetime": {
        "date": _DATE,
        "datetime": _DATETIME,
        "time": {"": dt.time, "fromisoformat": dt.time.fromisoformat},
        "timedelta": {"": dt.timedelta},
        "timezone": {"": dt.timezone, "utc": dt.UTC},
        "UTC": dt.UTC,
    },
    "json": {"dumps": json.dumps, "loads": json.loads},
}
_TEXT = (
    "capitalize casefold center count encode endswith find index isalnum isalpha isascii isdecimal isdigit "
    "isidentifier islower isnumeric isprintable isspace istitle isupper join ljust lower lstrip partition removeprefix "
    "removesuffix replace rfind rindex rjust rpartition rsplit rstrip split splitlines startswith strip swapcase title "
    "upper zfill"
)
_MOMENT = (
    "isoformat strftime date time replace timestamp year month day hour minute second microsecond weekday isoweekday "
    "isocalendar toordinal utcoffset"
)
_NUMBER = "is_integer bit_length as_integer_ratio real imag numerator denominator conjugate hex quantize normalize"
METHODS: tuple[tuple[type, frozenset[str]], ...] = (
    (str, frozenset(_TEXT.split())),
    (bytes, frozenset({"decode", "hex"})),
    (bool, frozenset()),
    (int, frozenset(_NUMBER.split())),
    (float, frozenset(_NUMBER.split())),
    (Decimal, frozenset(_NUMBER.split())),
    (dict, frozenset({"get", "keys", "values", "items"})),
    (list, frozenset({"index", "count"})),
    (tuple, frozenset({"index", "count"})),
    (dt.datetime, frozenset(_MOMENT.split())),
    (dt.date, frozenset(_MOMENT.split())),
    (dt.time, frozenset(_MOMENT.split())),
    (dt.timedelta, frozenset({"days", "seconds", "microseconds", "total_seconds"})),
)
ALL_METHODS = frozenset(name for _, names in METHODS for name in names)
PADDING = frozenset({"center", "ljust", "rjust", "zfill"})


def method(owner: Any, name: str) -> Any:
    """A member of a value. Raises LookupError for one that can't be reached."""
    for kind, names in METHODS:
        if isinstance(owner, kind):
            if name not in names:
                break
            if name == "timestamp" and isinstance(owner, dt.datetime) and owner.tzinfo is None:
                # As everywhere here: what has no zone is UTC, never the machine's zone.
                return owner.replace(tzinfo=dt.UTC).timestamp
            return getattr(owner, name)
    raise LookupError(f"a value of type `{type(owner).__name__}` has no `{name}`")
