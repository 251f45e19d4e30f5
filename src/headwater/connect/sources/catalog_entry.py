"""The catalog entry of a stream whose source describes it in a file of the project."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from headwater.base.errors import InputError
from headwater.base.text import did_you_mean, listed
from headwater.connect.contract import JSON_FIELD
from headwater.connect.singer.schema import Family, json_schema, leaves
from headwater.model.catalog import CatalogStream, Metadata


def entry(
    name: str,
    schema: pa.Schema,
    *,
    keys: Sequence[str],
    cursor: str | None,
    is_incremental: bool,
    marks: dict[str, Any],
    selected: bool = True,
) -> CatalogStream:
    """`marks` are what only the source knows to read. Raises InputError (`unknown-column`) for a key or cursor that is
    no column, where columns are known."""
    for column in (*keys, *([cursor] if cursor else ())):
        if len(schema) and column not in schema.names:
            near = did_you_mean(column, schema.names)
            raise InputError(
                "unknown-column",
                f"the {'cursor' if column == cursor else 'key'} `{column}` is not a column of stream `{name}`",
                hint=f"did you mean `{near}`?" if near else f"the columns are {listed(schema.names)}",
            )
    top: dict[str, Any] = {
        "inclusion": "available",
        "selected-by-default": selected,
        "table-key-properties": list(keys),
        "forced-replication-method": "INCREMENTAL" if is_incremental else "FULL_TABLE",
        **marks,
    }
    if cursor:
        top["valid-replication-keys"] = [cursor]
    automatic = {*keys, cursor}
    return CatalogStream(
        tap_stream_id=name,
        stream=name,
        schema=json_schema(schema),
        metadata=[
            Metadata(breadcrumb=[], metadata=top),
            *(
                Metadata(
                    breadcrumb=["properties", column],
                    metadata={"inclusion": "automatic" if column in automatic else "available"},
                )
                for column in schema.names
            ),
        ],
        key_properties=list(keys),
        replication_method=top["forced-replication-method"],
        replication_key=cursor,
    )


def columns(stream: CatalogStream) -> pa.Schema:
    """The columns that the catalog knows, as far as JSON Schema can tell their types."""
    if not stream.schema.get("properties"):
        return pa.schema([])
    return pa.schema(
        [
            pa.field("__".join(leaf.path), leaf.type, metadata=JSON_FIELD if leaf.family is Family.JSON else None)
            for leaf in leaves(stream.schema)
            if leaf.family is not Family.NULL
        ]
    )


def is_full(stream: CatalogStream) -> bool:
    """Whether the stream is read whole: as the catalog's user says, else as the source does."""
    top: dict[str, Any] = next((mark.metadata for mark in stream.metadata if not mark.breadcrumb), {})
    method = top.get("replication-method") or top.get("forced-replication-method") or stream.replication_method
    return bool(method == "FULL_TABLE")
