"""Reads tables and views of MariaDB and MySQL: in full, what is new by a replication key, or what changed by the binary
log.

All streams of a read show the data of one moment where the server allows it. Rows are decoded a column at a time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from headwater.base.errors import EnvironmentProblemError
from headwater.connect.contract import Message, ReadRequest
from headwater.connect.sources.mysql.settings import Settings
from headwater.model.catalog import Catalog

__all__ = ["Settings", "discover", "read", "signature"]

# The driver is an extra: who reads from no MySQL does without.
# ruff: noqa: PLC0415


def discover(settings: Settings) -> Catalog:
    """A stream `DATABASE-TABLE` for each table and view that the user may read, by name."""
    with _with_driver():
        from headwater.connect.sources.mysql import look
    return look.discover(settings)


def signature(settings: Settings) -> str:
    """A digest of what the server says of its tables, and the settings."""
    with _with_driver():
        from headwater.connect.sources.mysql import look
    return look.signature(settings)


def read(settings: Settings, request: ReadRequest) -> Iterator[Message]:
    """See `streams.read`."""
    with _with_driver():
        from headwater.connect.sources.mysql import streams
        from headwater.connect.sources.mysql.address import address_of
    yield from streams.read(settings, address_of(settings, request.folder), request)


@contextlib.contextmanager
def _with_driver() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in ("pymysql", "pymysqlreplication"):
            raise
        raise EnvironmentProblemError(
            "driver-missing",
            f"`tap-mysql` needs the package `{error.name}`, which is not installed",
            hint="install it where headwater is: pip install 'headwater[mysql]'",
        ) from error
