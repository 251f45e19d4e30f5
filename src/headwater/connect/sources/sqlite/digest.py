"""The rows of the database, for a comparison with what was loaded from them."""

from __future__ import annotations

from pathlib import Path

from headwater.connect.contract import ReadRequest
from headwater.connect.sources.rows_digest import ReadRows, of_database
from headwater.connect.sources.sqlite import Settings, read
from headwater.model.catalog import Catalog


def open(  # noqa: A001 - the contract's word
    settings: Settings, *, catalog: Catalog, state: bytes | None, folder: Path
) -> ReadRows:
    """Reads all selected streams. Raises as a read does, and EnvironmentProblemError (`no-scratch-space`)."""
    return of_database(read(settings, ReadRequest(catalog=catalog, state=None, folder=folder)), state, folder)
