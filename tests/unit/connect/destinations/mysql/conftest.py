"""A database of its own for each test, and loads into it."""

from __future__ import annotations

import pyarrow as pa
import pytest

from headwater.connect.contract import OpenRequest, Rows, Schema
from headwater.connect.destinations import mysql as destination


class Shop:
    """Sessions of the pipeline `dev:shop` into the database `shop`, and SQL beside them."""

    def __init__(self, server, folder):
        self.server = server
        self.folder = folder
        self.opened = []
        self.waits = []
        self.notices = []

    def open(self, run_id="run-1", pipeline="dev:shop", **settings):
        at = self.server
        given = {"host": at.host, "port": at.port, "user": at.user, "password": at.password, "database": "shop"}
        request = OpenRequest(
            pipeline=pipeline,
            run_id=run_id,
            source="tap_shop",
            folder=self.folder / f"scratch-{len(self.opened)}",
            on_wait=self.waits.append,
            on_notice=self.notices.append,
        )
        session = destination.open(destination.Settings(**{**given, **settings}), request)
        self.opened.append(session)
        return session

    def sql(self, statement):
        return self.server.sql(statement, "shop")

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
            "select column_type from information_schema.columns "
            f"where table_schema = 'shop' and table_name = '{table}' and column_name = '{column}'"
        )
        return found


@pytest.fixture
def shop(mariadb, tmp_path):
    mariadb.sql("drop database if exists shop")
    mariadb.sql("create database shop character set latin1")
    shop = Shop(mariadb, tmp_path)
    yield shop
    for session in shop.opened:
        session.close()
