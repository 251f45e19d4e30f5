"""A database of its own for each test, and what the source makes of it."""

from __future__ import annotations

import json

import pytest

from headwater.connect.contract import Checkpoint, ReadRequest, Rows, Schema
from headwater.connect.sources import postgres as source
from headwater.model.catalog import Catalog

NAME = "source"


class Shop:
    def __init__(self, server, folder):
        self.server = server
        self.folder = folder

    def sql(self, statement):
        return self.server.sql(statement, NAME)

    def drop_slots(self):
        self.server.drop_slots(NAME)

    def settings(self, **more):
        at = self.server
        given = {"host": at.host, "port": at.port, "user": at.user, "password": at.password, "database": NAME}
        return source.Settings(**{**given, **more})

    def catalog(self, *streams, **settings):
        """What is offered, of those streams only when some are named."""
        found = source.discover(self.settings(**settings))
        return Catalog(streams=[one for one in found.streams if not streams or one.name in streams])

    def read(self, *streams, state=None, stop_after=None, batch_bytes=8 << 20, jobs=1, **settings):
        asked = iter(range(10_000))
        request = ReadRequest(
            catalog=self.catalog(*streams, **settings),
            state=None if state is None else json.dumps(state).encode(),
            folder=self.folder,
            batch_bytes=batch_bytes,
            jobs=jobs,
            should_stop=lambda: stop_after is not None and next(asked) >= stop_after,
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
    def states(self):
        return [json.loads(one.state) for one in self.messages if isinstance(one, Checkpoint)]

    @property
    def state(self):
        return self.states[-1]

    @property
    def repaired(self):
        counts = {}
        for one in self.messages:
            if isinstance(one, Rows):
                for name, count in one.repaired.items():
                    counts[name] = counts.get(name, 0) + count
        return counts


@pytest.fixture
def shop(postgres, tmp_path):
    postgres.sql(f"drop database if exists {NAME} with (force)")
    postgres.sql(f"create database {NAME}")
    return Shop(postgres, tmp_path)
