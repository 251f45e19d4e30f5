"""Reads tables and views of a PostgreSQL database: in full, or what is new by a replication key.

All streams of a read show the data of one moment. Rows come as Arrow out of binary COPY.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import psycopg

from headwater.base.errors import InputError
from headwater.base.scratch import scratch
from headwater.connect.contract import Message, ReadRequest
from headwater.connect.destinations.postgres.address import Address, address
from headwater.connect.destinations.postgres.connection import Connection, cannot_connect, connect
from headwater.connect.sources.postgres import catalog
from headwater.connect.sources.postgres.read import read as read_streams
from headwater.connect.sources.postgres.settings import Settings
from headwater.model.catalog import Catalog

__all__ = ["Settings", "discover", "read", "signature"]

_PLUGIN = "tap-postgres"
# Queries of the server's own catalog.
_DISCOVERY_IDLE_SECONDS = 60.0


def discover(settings: Settings) -> Catalog:
    """A stream `SCHEMA-TABLE` for each table and view that the user may read, by name."""
    with _connected(settings) as connection:
        return catalog.catalog(catalog.tables(connection, settings), settings)


def signature(settings: Settings) -> str:
    """A digest that the server makes of its own catalog, and the settings."""
    with _connected(settings) as connection:
        return catalog.digest(connection, settings)


def read(settings: Settings, request: ReadRequest) -> Iterator[Message]:
    """See `read.read`."""
    yield from read_streams(settings, address_of(settings, request.folder), request)


def address_of(settings: Settings, folder: Path) -> Address:
    """Where the database is; certificates are put into files below `folder`, which is private. Raises InputError."""
    if settings.ssh_tunnel.get("enable"):
        raise InputError(
            "no-ssh-tunnel",
            f"`{_PLUGIN}` opens no SSH tunnel itself, and `ssh_tunnel.enable` asks for one",
            why="with `ssh -N -L 5433:DATABASE_HOST:5432 USER@BASTION` the database is at localhost, port 5433",
            hint=f"open it so, then headwater config set {_PLUGIN} ssh_tunnel.enable false",
        )
    return address(settings, folder / "tls", plugin=_PLUGIN)


@contextlib.contextmanager
def _connected(settings: Settings) -> Iterator[Connection]:
    with scratch() as folder:
        at = address_of(settings, folder)
        try:
            connection = connect(at, application="headwater: discovery", idle_seconds=_DISCOVERY_IDLE_SECONDS)
        except psycopg.OperationalError as error:
            raise cannot_connect(at, error) from error
        with contextlib.closing(connection):
            yield connection
