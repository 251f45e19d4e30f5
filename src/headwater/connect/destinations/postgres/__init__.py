"""Loads into PostgreSQL. Rows, checkpoint, ledger and all changes of tables commit in one transaction."""

from __future__ import annotations

from headwater.connect.contract import OpenRequest
from headwater.connect.destinations.postgres.session import PostgresWriter
from headwater.connect.destinations.postgres.settings import Settings
from headwater.connect.destinations.staged import StagedSession
from headwater.connect.staging import Staging

__all__ = ["CAPABILITIES", "Settings", "open"]

# What the contract's tests may expect of it.
CAPABILITIES = frozenset(
    {"upsert", "replace", "evolve", "versions", "history", "exactly-once", "one-at-a-time", "no-nul", "jsonb"}
)


def open(settings: Settings, request: OpenRequest) -> StagedSession:  # noqa: A001 - the contract's word
    """Connect, take the pipeline and read where it stands. The session at the server lives until `close`."""
    writer = PostgresWriter(settings, request)
    # Room for the rows of an ordinary commit; the rest is for those that are being encoded and sent.
    staging = Staging(request.folder, request.memory_bytes * 2 // 5, settings.load_method)
    return StagedSession(
        writer,
        staging,
        request,
        takes_versions=settings.activate_version,
        send_ahead=writer.send_ahead,
        takes=writer.takes,
    )
