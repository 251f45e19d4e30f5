"""What changed in a source between two discoveries."""

from __future__ import annotations

from typing import Any

from headwater.model.catalog import CatalogChange


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[CatalogChange]:
    """Differences in streams and top-level columns, in the order of `after`, removals last. Selection and other
    metadata don't count: only what the source offers does."""
    old, new = _columns(before), _columns(after)
    found: list[CatalogChange] = []
    for stream, columns in new.items():
        if stream not in old:
            found.append(CatalogChange(stream=stream, change="stream-added"))
            continue
        for column, schema in columns.items():
            if column not in old[stream]:
                found.append(CatalogChange(stream=stream, change="column-added", column=column, after=schema))
            elif old[stream][column] != schema:
                found.append(
                    CatalogChange(
                        stream=stream, change="column-changed", column=column, before=old[stream][column], after=schema
                    )
                )
        found += [
            CatalogChange(stream=stream, change="column-removed", column=column, before=schema)
            for column, schema in old[stream].items()
            if column not in columns
        ]
    found += [CatalogChange(stream=stream, change="stream-removed") for stream in old if stream not in new]
    return found


def sentence(change: CatalogChange) -> str:
    """`users.age changed from integer to string`."""
    place = f"`{change.stream}.{change.column}`" if change.column else f"stream `{change.stream}`"
    match change.change:
        case "stream-added" | "column-added":
            return f"{place} is new"
        case "stream-removed" | "column-removed":
            return f"{place} is gone"
        case _:
            return f"{place} changed from {_type(change.before)} to {_type(change.after)}"


def _columns(catalog: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        str(stream.get("tap_stream_id") or stream.get("stream")): (stream.get("schema") or {}).get("properties") or {}
        for stream in catalog.get("streams", ())
    }


def _type(schema: Any) -> str:
    if not isinstance(schema, dict):
        return "anything"
    kinds = schema.get("type", "anything")
    words = [kinds] if isinstance(kinds, str) else [str(kind) for kind in kinds if kind != "null"] or ["null"]
    text = " or ".join(words)
    return f"{text} ({schema['format']})" if "format" in schema else text
