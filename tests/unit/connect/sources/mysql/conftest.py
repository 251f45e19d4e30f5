"""A database of its own for each test, and what the source makes of it."""

from __future__ import annotations

import json

import pytest

from headwater.connect.contract import Checkpoint, ReadRequest, Rows, Schema
from headwater.connect.sources import mysql as source
from headwater.model.catalog import Catalog

NAME = "source"


class Shop:
    """`heard` has what the reads told people."""

    def __init__(self, server, folder, **settings):
        self.server = server
        self.folder = folder
        self.heard = []
        self._settings = settings

    def sql(self, statement):
        return self.server.sql(statement, NAME)

    def settings(self, **more):
        at = self.server
        given = {"host": at.host, "port": at.port, "user": at.user, "password": at.password, "database": NAME}
        return source.Settings(**{**given, **self._settings, **more})

    def catalog(self, *tables, **settings):
        """What is offered, of those tables only when some are named."""
        found = source.discover(self.settings(**settings))
        return Catalog(streams=[one for one in found.streams if not tables or one.table_name in tables])

    def read(self, *tables, state=None, stop_after=None, batch_bytes=8 << 20, jobs=1, catalog=None, **settings):
        asked = iter(range(10_000))
        request = ReadRequest(
            catalog=catalog or self.catalog(*tables, **settings),
            state=None if state is None else json.dumps(state).encode(),
            folder=self.folder,
            batch_bytes=batch_bytes,
            jobs=jobs,
            should_stop=lambda: stop_after is not None and next(asked) >= stop_after,
            on_line=self.heard.append,
        )
        return Read(list(source.read(self.settings(**settings), request)))


class Read:
    """Messages of a read: `rows` of all streams in order, `schema` the last one, `state` the last one, decoded."""

    def __init__(self, messages):
        self.messages = messages

    @property
    def rows(self):
        return [row for one in self.messages if isinstance(one, Rows) for row in one.batch.to_pylist()]

    @property
    def ids(self):
        return [row["id"] for row in self.rows]

    @property
    def schema(self):
        return [one for one in self.messages if isinstance(one, Schema)][-1]

    @property
    def state(self):
        return [json.loads(one.state) for one in self.messages if isinstance(one, Checkpoint)][-1]

    @property
    def repaired(self):
        counts = {}
        for one in self.messages:
            if isinstance(one, Rows):
                for name, count in one.repaired.items():
                    counts[name] = counts.get(name, 0) + count
        return counts


def _shop(server, folder, **settings):
    server.sql(f"drop database if exists {NAME}")
    server.sql(f"create database {NAME} character set utf8mb4")
    return Shop(server, folder, **settings)


@pytest.fixture
def shop(mariadb, tmp_path):
    return _shop(mariadb, tmp_path)


@pytest.fixture
def log(logging_mariadb, tmp_path):
    """Its streams are read from the log unless they are set otherwise."""
    return _shop(logging_mariadb, tmp_path, default_replication_method="LOG_BASED")
