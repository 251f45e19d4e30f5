"""The rows of the database, for a comparison with what was loaded from them."""

from __future__ import annotations

from msgspec.structs import replace

from headwater.connect.contract import ReadRequest
from headwater.connect.sources.rows_digest import ReadRows, of_database
from headwater.connect.sources.sqlite import Settings, read


def open(settings: Settings, request: ReadRequest) -> ReadRows:  # noqa: A001 - the contract's word
    """Reads all selected streams. Raises as a read does, and EnvironmentProblemError (`no-scratch-space`)."""
    return of_database(read(settings, replace(request, state=None)), request.state, request.folder)
