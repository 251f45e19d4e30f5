"""Reads tables and views of a PostgreSQL database: in full, or what is new by a replication key.

All streams of a read show the data of one moment. Rows come as Arrow out of binary COPY.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import psycopg

from headwater.base.scratch import scratch
from headwater.connect.contract import Message, ReadRequest
from headwater.connect.destinations.postgres.address import Address, address
from headwater.connect.destinations.postgres.connection import Connection, cannot_connect, connect
from headwater.connect.sources.postgres import catalog, tunnel
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
    with reached(settings, request.folder) as at:
        yield from read_streams(settings, at, request)


@contextlib.contextmanager
def reached(settings: Settings, folder: Path) -> Iterator[Address]:
    """Where the database is, as long as its tunnel is open if it has one; certificates and keys are put into files
    below `folder`, which is private. Raises InputError, EnvironmentProblemError."""
    at = address(settings, folder / "tls", plugin=_PLUGIN)
    with tunnel.opened(settings.ssh_tunnel, at, folder / "ssh", settings.env) as way:
        yield way


@contextlib.contextmanager
def _connected(settings: Settings) -> Iterator[Connection]:
    with scratch() as folder, reached(settings, folder) as at:
        try:
            connection = connect(at, application="headwater: discovery", idle_seconds=_DISCOVERY_IDLE_SECONDS)
        except psycopg.OperationalError as error:
            raise cannot_connect(at, error) from error
        with contextlib.closing(connection):
            yield connection
