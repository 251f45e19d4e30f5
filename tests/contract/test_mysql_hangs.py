"""Reads from MariaDB whose server hangs, or only takes long: seen through a proxy that can hold everything back."""

from __future__ import annotations

import pytest

from headwater.base.errors import EnvironmentProblemError, RunFailedError
from headwater.connect.contract import ReadRequest, Rows
from headwater.connect.sources import mysql

from .test_hangs import SECONDS, Holder


class Read:
    """A read of what is in `hangs`, through a proxy."""

    def __init__(self, server, folder):
        server.sql("drop database if exists hangs")
        server.sql("create database hangs")
        self.sql = lambda statement: server.sql(statement, "hangs")
        self.proxy = Holder(server.port)
        self.folder = folder
        self.is_to_stop = False
        at = {"host": server.host, "port": self.proxy.port, "user": server.user, "password": server.password}
        self.settings = mysql.Settings(**at, database="hangs")

    def messages(self):
        catalog = mysql.discover(self.settings)
        request = ReadRequest(
            catalog=catalog,
            state=None,
            folder=self.folder,
            idle_seconds=SECONDS,
            batch_bytes=100_000,
            should_stop=lambda: self.is_to_stop,
        )
        return mysql.read(self.settings, request)

    def begun(self):
        """A read that has come to its first rows, of many."""
        self.sql("create table t as select seq as id, repeat('x', 500) as x from seq_1_to_100000")
        messages = self.messages()
        next(one for one in messages if isinstance(one, Rows))
        return messages


@pytest.fixture
def read(mariadb, tmp_path):
    made = Read(mariadb, tmp_path)
    yield made
    made.proxy.close()


def test_a_read_from_a_server_that_hangs_ends_and_names_it(read):
    messages = read.begun()
    read.proxy.hold()
    with pytest.raises(RunFailedError) as caught:
        list(messages)
    what = f"MySQL at 127.0.0.1:{read.proxy.port} did nothing for 1.5 s"
    assert (caught.value.reference, caught.value.what) == ("no-sign-of-life", what)


def test_a_read_whose_connection_is_swallowed_is_lost(read):
    messages = read.begun()
    read.proxy.hold(new=False)
    with pytest.raises(EnvironmentProblemError) as caught:
        list(messages)
    assert caught.value.reference == "connection-lost"


def test_a_read_from_a_server_that_hangs_can_be_stopped(read):
    messages = read.begun()
    read.proxy.hold()
    read.is_to_stop = True
    assert sum(one.batch.num_rows for one in messages if isinstance(one, Rows)) < 100_000


def test_a_query_that_takes_long_is_waited_for(read):
    read.sql("create view v as select 1 as id, sleep(4) as x")
    assert [one.batch.num_rows for one in read.messages() if isinstance(one, Rows)] == [1]
