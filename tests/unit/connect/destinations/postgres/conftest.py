"""A database of its own for each test, and loads into it."""

from __future__ import annotations

import pyarrow as pa
import pytest

from headwater.connect.contract import OpenRequest, Rows, Schema
from headwater.connect.destinations import postgres as destination

NAME = "unit"


class Shop:
    """Sessions of the pipeline `dev:shop` into the schema `shop`, and SQL beside them."""

    def __init__(self, server, folder):
        self.server = server
        self.folder = folder
        self.opened = []
        self.waits = []

    def open(self, run_id="run-1", pipeline="dev:shop", memory_bytes=256 << 20, **settings):
        at = self.server
        given = {"host": at.host, "port": at.port, "user": at.user, "password": at.password, "database": NAME}
        request = OpenRequest(
            pipeline=pipeline,
            run_id=run_id,
            source="shop",
            folder=self.folder / f"scratch-{len(self.opened)}",
            memory_bytes=memory_bytes,
            on_wait=self.waits.append,
        )
        session = destination.open(destination.Settings(**{**given, **settings}), request)
        self.opened.append(session)
        return session

    def sql(self, statement):
        return self.server.sql(statement, NAME)

    def send(self, session, rows, columns=None, *, stream="users", keys=("id",), **more):
        columns = columns or pa.schema([("id", pa.int64()), ("name", pa.string())])
        session.prepare(Schema(stream=stream, columns=columns, keys=keys, **more))
        session.stage(Rows(stream=stream, batch=pa.RecordBatch.from_pylist(rows, schema=columns)))

    def load(self, rows, columns=None, *, run_id="run-1", state=None, settings=None, **more):
        """A whole run."""
        session = self.open(run_id, **(settings or {}))
        try:
            self.send(session, rows, columns, **more)
            return session.commit(state, final=True)
        finally:
            session.close()

    def type_of(self, column, table="users"):
        ((found,),) = self.sql(
            "select format_type(atttypid, atttypmod) from pg_attribute "
            f"where attrelid = 'shop.\"{table}\"'::regclass and attname = '{column}'"
        )
        return found


@pytest.fixture
def shop(postgres, tmp_path):
    postgres.sql(f"drop database if exists {NAME} with (force)")
    postgres.sql(f"create database {NAME}")
    shop = Shop(postgres, tmp_path)
    yield shop
    for session in shop.opened:
        session.close()
