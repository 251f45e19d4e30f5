"""The settings that say how objects become columns."""

from __future__ import annotations

from typing import Any

from headwater.base.errors import InputError, Where
from headwater.connect.singer import schema


def flatten_depth(config: dict[str, Any]) -> int | None:
    """How many levels of objects become columns by these settings; None when they do not say."""
    enabled, depth = config.get("flattening_enabled"), config.get("flattening_max_depth")
    if enabled is False:
        return 0
    if depth is not None:
        return int(depth)
    return schema.FLATTEN_DEPTH if enabled else None


def refuse_separator(config: dict[str, Any], *, name: str, where: Where | None = None) -> None:
    """Raise InputError (`wrong-setting-type`) when objects are to be flattened with another separator than ours."""
    if config.get("flattening_separator") not in (None, schema.SEPARATOR) and flatten_depth(config):
        raise InputError(
            "wrong-setting-type",
            f"`flattening_separator` of `{name}` can only be `{schema.SEPARATOR}`",
            where=where,
            why="each column has one name on every road, whoever flattens it",
            hint="rename the columns with the `stages` of a mapper, or use the plugin's public variant",
        )
