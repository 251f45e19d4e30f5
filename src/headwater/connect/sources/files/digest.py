"""The rows of files, for a comparison with what was loaded from them: there are as many ways to write a CSV as there
are programs."""

from __future__ import annotations

from msgspec.structs import replace

from headwater.connect.contract import ReadRequest
from headwater.connect.sources.files import read
from headwater.connect.sources.files.settings import Settings
from headwater.connect.sources.rows_digest import ReadRows

_REMARK = "files are compared as they are now: what has changed since the last run differs"


def open(settings: Settings, request: ReadRequest) -> ReadRows:  # noqa: A001 - the contract's word
    """Reads all selected streams. Raises as a read does, and EnvironmentProblemError (`no-scratch-space`)."""
    request.folder.mkdir(parents=True, exist_ok=True)
    rows = ReadRows(request.folder / "files.duckdb", remark=_REMARK)
    try:
        rows.take(read(settings, replace(request, state=None)))
    except BaseException:
        rows.close()
        raise
    return rows
