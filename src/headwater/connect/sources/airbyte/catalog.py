"""An Airbyte connector's catalog as ours, and what of ours is selected as the one that it reads by."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Struct, field

from headwater.base.errors import RunFailedError
from headwater.connect.sources import catalog_entry
from headwater.connect.stages.select import table_keys
from headwater.model.catalog import Catalog, CatalogStream, Metadata

# The mark of a stream in the catalog that only this source reads: what the connector said of it.
_SAID = "airbyte-stream"


class Offered(Struct, kw_only=True, omit_defaults=True):
    """A stream as the connector describes it, without its schema."""

    name: str
    namespace: str | None = None
    supported_sync_modes: list[str] = field(default_factory=list)
    source_defined_cursor: bool = False
    default_cursor_field: list[str] = field(default_factory=list)
    source_defined_primary_key: list[list[str]] = field(default_factory=list)
    is_resumable: bool = False


class Stream(Struct, frozen=True, kw_only=True):
    """A stream that is read. `keys` and `cursor` name top-level columns."""

    offered: Offered
    schema: dict[str, Any]
    keys: tuple[str, ...]
    cursor: str | None
    is_full: bool

    @property
    def name(self) -> str:
        return self.offered.name


def ours(said: msgspec.Raw) -> Catalog:
    """The connector's catalog. A stream that it can go on with is INCREMENTAL, every other one FULL_TABLE. All are
    selected but where the catalog's user says otherwise. Raises RunFailedError (`bad-catalog`)."""
    try:
        raw = msgspec.json.decode(said, type=dict[str, list[dict[str, Any]]])["streams"]
        found = [(msgspec.convert(_present(one), Offered), one.get("json_schema") or {}) for one in raw]
    except (msgspec.DecodeError, msgspec.ValidationError, KeyError) as error:
        raise RunFailedError("bad-catalog", "the connector's catalog can't be read", why=str(error)) from error
    names = [offered.name for offered, _ in found]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise RunFailedError("bad-catalog", f"the connector has two streams `{twice}`, in different namespaces")
    return Catalog(streams=[_entry(offered, schema) for offered, schema in found])


def _present(raw: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in raw.items() if value is not None}


def _entry(offered: Offered, schema: dict[str, Any]) -> CatalogStream:
    columns = schema.get("properties") or {}
    keys = _keys(offered, columns)
    cursor = _top(offered.default_cursor_field)
    is_incremental = "incremental" in offered.supported_sync_modes and bool(offered.source_defined_cursor or cursor)
    method = "INCREMENTAL" if is_incremental else "FULL_TABLE"
    automatic = {*keys, cursor}
    top: dict[str, Any] = {
        "inclusion": "available",
        "selected-by-default": True,
        "table-key-properties": list(keys),
        "forced-replication-method": method,
        _SAID: msgspec.to_builtins(offered),
    }
    if cursor in columns:
        top["valid-replication-keys"] = [cursor]
    return CatalogStream(
        tap_stream_id=offered.name,
        stream=offered.name,
        schema=schema,
        metadata=[
            Metadata(breadcrumb=[], metadata=top),
            *(
                Metadata(
                    breadcrumb=["properties", name],
                    metadata={"inclusion": "automatic" if name in automatic else "available"},
                )
                for name in columns
            ),
        ],
        key_properties=list(keys),
        replication_method=method,
        replication_key=cursor if cursor in columns else None,
    )


def _keys(offered: Offered, columns: dict[str, Any]) -> tuple[str, ...]:
    """None at all when a part of the key lies within an object: half a key would merge rows that differ."""
    named = [_top(path) for path in offered.source_defined_primary_key]
    return tuple(name for name in named if name) if all(name in columns for name in named) else ()


def _top(path: Sequence[str]) -> str | None:
    return path[0] if len(path) == 1 else None


def streams(entries: Iterable[CatalogStream]) -> list[Stream]:
    """What is to be read of these streams, all of which are selected. Raises RunFailedError (`bad-catalog`)."""
    found = []
    for entry in entries:
        top: dict[str, Any] = next((mark.metadata for mark in entry.metadata if not mark.breadcrumb), {})
        if _SAID not in top:
            raise RunFailedError(
                "bad-catalog", f"stream `{entry.name}` is not as the connector described it", hint="headwater select"
            )
        columns = entry.schema.get("properties") or {}
        cursor = top.get("replication-key") or entry.replication_key
        found.append(
            Stream(
                offered=msgspec.convert(top[_SAID], Offered),
                schema=entry.schema,
                keys=tuple(table_keys(entry) or ()),
                cursor=cursor if cursor in columns else None,
                is_full=catalog_entry.is_full(entry),
            )
        )
    return found


def configured(found: Iterable[Stream]) -> dict[str, Any]:
    """What `read --catalog` takes."""
    return {"streams": [_configured(one) for one in found]}


def _configured(one: Stream) -> dict[str, Any]:
    cursor = (
        one.offered.default_cursor_field if one.offered.source_defined_cursor or one.cursor is None else [one.cursor]
    )
    return {
        "stream": {**msgspec.to_builtins(one.offered), "json_schema": one.schema},
        "sync_mode": "full_refresh" if one.is_full else "incremental",
        "destination_sync_mode": "overwrite" if one.is_full else "append_dedup" if one.keys else "append",
        "cursor_field": cursor,
        "primary_key": one.offered.source_defined_primary_key or [[key] for key in one.keys],
    }


def schema_lines(found: Iterable[Stream]) -> bytes:
    """What stands before the connector's output: a SCHEMA message, as Singer's, of each stream."""
    said = [
        {
            "type": "SCHEMA",
            "stream": one.name,
            "schema": one.schema,
            "key_properties": list(one.keys),
            "bookmark_properties": [one.cursor] if one.cursor else [],
        }
        for one in found
    ]
    return b"".join(msgspec.json.encode(line) + b"\n" for line in said)
