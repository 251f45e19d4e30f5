"""What a load tells at its end: where each stream stands, column by column, and what is between source and table."""

from __future__ import annotations

from typing import Any

from headwater.connect.contract import Session, StoredColumn
from headwater.model.event import ColumnStored, StreamStored
from headwater.model.plan import ExtractLoad
from headwater.run.load import Load
from headwater.run.runner import Run

Json = dict[str, Any]

_SEPARATOR = "__"


def tell(step: ExtractLoad, run: Run, session: Session, load: Load, catalog: Json | None) -> None:
    """An event for each stream that a commit of this load took rows of."""
    for stream, stored in session.stored().items():
        repaired = load.repaired(stream)
        properties = _properties(catalog, stream)
        run.emit(
            StreamStored(
                step=step.name,
                stream=stream,
                place=stored.place,
                method=stored.method,
                keys=stored.keys,
                cursor=stored.cursor,
                commits=load.commits,
                columns=tuple(
                    ColumnStored(
                        source=column.source,
                        name=column.name,
                        declared="json" if column.is_json else column.declared,
                        type=column.type,
                        why=_why(column, properties),
                        repaired=repaired.get(column.source, 0),
                    )
                    for column in stored.columns
                ),
            )
        )


def _why(column: StoredColumn, properties: Json) -> tuple[str, ...]:
    found = []
    path = _path(column.source, properties)
    if path is not None:
        found.append(f"flattened from `{path}`")
    if column.name != column.source:
        found.append("renamed: its name is taken or not possible there")
    if column.is_inexact:
        found.append("text: a value does not survive the type it was to have")
    elif column.declared != column.sent:
        found.append(f"widened to {column.sent} by its values")
    if column.is_json:
        found.append("kept as JSON")
    return tuple(found)


def _path(name: str, properties: Json) -> str | None:
    """Where a flattened column is in the records; None for one that the catalog has as it is, or has not at all."""
    if name in properties or _SEPARATOR not in name:
        return None
    # Names may hold the separator themselves: each that fits may be the beginning.
    for start in properties:
        rest = name.removeprefix(start + _SEPARATOR)
        if rest != name and isinstance(properties[start], dict):
            inner = properties[start].get("properties") or {}
            below = rest if rest in inner else _path(rest, inner)
            if below is not None:
                return f"{start}.{below}"
    return None


def _properties(catalog: Json | None, stream: str) -> Json:
    for entry in (catalog or {}).get("streams") or ():
        if isinstance(entry, dict) and stream in (entry.get("stream"), entry.get("tap_stream_id")):
            found: Json = (entry.get("schema") or {}).get("properties") or {}
            return found
    return {}
