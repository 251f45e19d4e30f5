"""Bookmarks as JSON and back, as both sides of the pipe write and read them."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

_MOMENTS: dict[str, Any] = {"$datetime": dt.datetime, "$date": dt.date, "$time": dt.time}


def to_json(value: Any) -> Any:
    """A bookmark as plain JSON. Raises TypeError for a value that has no such form. What has no zone is UTC."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, dt.datetime):
        return {"$datetime": (value if value.tzinfo else value.replace(tzinfo=dt.UTC)).isoformat()}
    if isinstance(value, dt.date):
        return {"$date": value.isoformat()}
    if isinstance(value, dt.time):
        return {"$time": value.isoformat()}
    if isinstance(value, Decimal):
        return {"$decimal": str(value)}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if isinstance(value, dict):
        return {str(name): to_json(item) for name, item in value.items()}
    raise TypeError(f"a bookmark can't hold a value of type `{type(value).__name__}`")


def from_json(value: Any) -> Any:
    if isinstance(value, list):
        return [from_json(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((mark, text),) = value.items()
        if mark in _MOMENTS:
            return _MOMENTS[mark].fromisoformat(text)
        if mark == "$decimal":
            return Decimal(text)
    return {name: from_json(item) for name, item in value.items()}
