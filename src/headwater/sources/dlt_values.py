"""Between values of a project file and of dlt: arguments of its functions, and what its column hints say of rows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from headwater.sources.declared import as_type, bare
from headwater.sources.rows import JSON_FIELD, TIMESTAMP

# Only these hints say something that the values do not say themselves.
_TYPES: Mapping[str, pa.DataType] = {"timestamp": TIMESTAMP, "date": pa.date32(), "time": pa.time64("us")}


def argument(hint: Any, value: Any) -> Any:
    """A setting as the type that a parameter asks for, where that is one of Python's own."""
    wanted = bare(hint)
    if not isinstance(wanted, type):
        return value
    if wanted.__module__.startswith("pendulum"):
        import pendulum  # noqa: PLC0415 - only where the function itself asks for it

        return pendulum.parse(value) if isinstance(value, str) else value
    if wanted.__module__ not in ("builtins", "datetime", "decimal", "pathlib"):
        return value
    return as_type(wanted, value)


def declared(columns: Mapping[str, Any]) -> pa.Schema | None:
    """What the hints declare; None when nothing."""
    fields = []
    for name, column in columns.items():
        kind = column.get("data_type")
        if kind in ("json", "complex"):
            fields.append(pa.field(name, pa.string(), metadata=JSON_FIELD))
        elif kind in _TYPES:
            fields.append(pa.field(name, _TYPES[kind]))
    return pa.schema(fields) if fields else None


class Coercion:
    """What the hints of a resource do to its rows. A number in a moment's place is seconds since 1970."""

    def __init__(self, resource: Any) -> None:
        try:
            columns = resource.compute_table_schema().get("columns") or {}
        except Exception:  # noqa: BLE001 - hints that only a row can tell
            columns = {}
        self.schema = declared(columns)
        self._moments = [name for name, column in columns.items() if column.get("data_type") == "timestamp"]

    def of(self, items: Sequence[Any]) -> Sequence[Any]:
        for name in self._moments:
            for item in items:
                if isinstance(item, dict) and isinstance(item.get(name), int | float):
                    item[name] = dt.datetime.fromtimestamp(item[name], dt.UTC)
        return items
