"""The rows of files, for a comparison with what was loaded from them: there are as many ways to write a CSV as there
are programs."""

from __future__ import annotations

from pathlib import Path

from headwater.connect.contract import ReadRequest
from headwater.connect.sources.files import read
from headwater.connect.sources.files.settings import Settings
from headwater.connect.sources.rows_digest import ReadRows
from headwater.model.catalog import Catalog

_REMARK = "files are compared as they are now: what has changed since the last run differs"


def open(  # noqa: A001 - the contract's word
    settings: Settings, *, catalog: Catalog, state: bytes | None, folder: Path
) -> ReadRows:
    """Reads all selected streams. Raises as a read does, and EnvironmentProblemError (`no-scratch-space`)."""
    del state
    folder.mkdir(parents=True, exist_ok=True)
    rows = ReadRows(folder / "files.duckdb", remark=_REMARK)
    try:
        rows.take(read(settings, ReadRequest(catalog=catalog, state=None, folder=folder)))
    except BaseException:
        rows.close()
        raise
    return rows
