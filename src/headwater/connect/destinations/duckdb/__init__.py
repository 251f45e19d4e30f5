"""Loads into a DuckDB file. Rows, checkpoint and ledger commit in one transaction of the file they speak of."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from headwater.connect.contract import OpenRequest
from headwater.connect.destinations import deletes
from headwater.connect.destinations.deletes import Share
from headwater.connect.destinations.duckdb.session import DuckDBSession

# What the contract's tests may expect of it.
CAPABILITIES = frozenset({"upsert", "replace", "evolve", "versions", "history", "exactly-once"})


class Settings(Struct, frozen=True, kw_only=True):
    filepath: str = "warehouse.duckdb"
    default_target_schema: str | None = None
    load_method: Literal["upsert", "append-only", "overwrite", "history"] = "upsert"
    hard_delete: bool = False
    max_delete_share: Share = 0.5


def open(settings: Settings, request: OpenRequest) -> DuckDBSession:  # noqa: A001 - the contract's word
    """Read where the pipeline stands. The file is opened only for that and while committing."""
    return DuckDBSession(
        settings.filepath,
        schema=settings.default_target_schema or request.source,
        load_method=settings.load_method,
        rules=deletes.Rules(hard=settings.hard_delete, share=settings.max_delete_share, loader="target-duckdb"),
        request=request,
    )
