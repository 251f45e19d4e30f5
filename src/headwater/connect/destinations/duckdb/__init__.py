"""Loads into a DuckDB file. Rows, checkpoint and ledger commit in one transaction of the file they speak of."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from headwater.connect.contract import OpenRequest
from headwater.connect.destinations import deletes
from headwater.connect.destinations.deletes import Share
from headwater.connect.destinations.duckdb.session import DuckDBWriter
from headwater.connect.destinations.staged import StagedSession
from headwater.connect.staging import Staging

# What the contract's tests may expect of it.
CAPABILITIES = frozenset({"upsert", "replace", "evolve", "versions", "history", "exactly-once"})


class Settings(Struct, frozen=True, kw_only=True):
    filepath: str = "warehouse.duckdb"
    default_target_schema: str | None = None
    load_method: Literal["upsert", "append-only", "overwrite", "history"] = "upsert"
    hard_delete: bool = False
    max_delete_share: Share = 0.5


def open(settings: Settings, request: OpenRequest) -> StagedSession:  # noqa: A001 - the contract's word
    """Read where the pipeline stands. The file is opened only for that and while committing."""
    writer = DuckDBWriter(
        settings.filepath,
        schema=settings.default_target_schema or request.source,
        keeps_history=settings.load_method == "history",
        rules=deletes.Rules(hard=settings.hard_delete, share=settings.max_delete_share, loader="target-duckdb"),
        request=request,
    )
    # Room for the rows of an ordinary commit: those that do not find any are written to the disk and read again.
    staging = Staging(request.folder, request.memory_bytes // 2, settings.load_method)
    return StagedSession(writer, staging, request)
