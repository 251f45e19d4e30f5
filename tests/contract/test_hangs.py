"""Servers that hang, and servers that only take long: seen through a proxy that can hold everything back."""

from __future__ import annotations

import contextlib
import socket
import threading

import pyarrow as pa
import pytest

from headwater.base.errors import EnvironmentProblemError, RunFailedError
from headwater.connect import encoded
from headwater.connect.contract import OpenRequest, ReadRequest, Rows, Schema
from headwater.connect.destinations import mysql, postgres
from headwater.connect.sources import postgres as source

COLUMNS = pa.schema([("id", pa.int64())])
SECONDS = 1.5


class Holder:
    """Forwards to `port`, until it is told to hold back what comes by the connections of now, or by any."""

    def __init__(self, port):
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._sockets = []
        self._held = set()
        self._holds_all = False
        threading.Thread(target=self._accept, daemon=True).start()

    def hold(self, *, new=True):
        self._holds_all = new
        self._held.update(self._sockets)

    def close(self):
        for one in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._forward, args=(one, other), daemon=True).start()

    def _forward(self, one, other):
        with contextlib.suppress(OSError):
            while data := one.recv(1 << 16):
                if self._holds_all or one in self._held:
                    return  # it is open, and nothing moves any more
                other.sendall(data)
        if one not in self._held:
            for each in (one, other):
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)


class Shop:
    """Loads into one database through a proxy."""

    def __init__(self, name, server, folder):
        self.name = name
        self.server = server
        self.folder = folder
        self.proxy = Holder(server.port)
        self.opened = []
        server.sql("drop database if exists hangs" + (" with (force)" if name == "PostgreSQL" else ""))
        server.sql("create database hangs")

    def open(self):
        module = postgres if self.name == "PostgreSQL" else mysql
        at = self.server
        settings = module.Settings(
            host=at.host,
            port=self.proxy.port,
            user=at.user,
            password=at.password,
            database="hangs",
            default_target_schema="hangs",
        )
        folder = self.folder / str(len(self.opened))
        request = OpenRequest(pipeline="dev:p", run_id="r", source="s", folder=folder, idle_seconds=SECONDS)
        self.opened.append(module.open(settings, request))
        return self.opened[-1]

    def send(self, session, *numbers):
        session.prepare(Schema(stream="t", columns=COLUMNS, keys=("id",)))
        session.stage(Rows(stream="t", batch=pa.RecordBatch.from_pydict({"id": numbers}, schema=COLUMNS)))

    def ids(self):
        table = "hangs.t" if self.name == "PostgreSQL" else "t"
        return [number for (number,) in self.server.sql(f"select id from {table} order by id", "hangs")]

    def error(self):
        return f"{self.name} at 127.0.0.1:{self.proxy.port} did nothing for 1.5 s"


@pytest.fixture(params=["PostgreSQL", "MySQL"])
def shop(request, tmp_path):
    made = Shop(
        request.param, request.getfixturevalue("postgres" if request.param == "PostgreSQL" else "mariadb"), tmp_path
    )
    yield made
    for session in made.opened:
        session.close()
    made.proxy.close()


def test_a_load_into_a_server_that_hangs_ends_and_names_it(shop):
    session = shop.open()
    shop.send(session, 1, 2)
    shop.proxy.hold()
    with pytest.raises(RunFailedError) as caught:
        session.commit(b"{}", final=True)
    assert (caught.value.reference, caught.value.what) == ("no-sign-of-life", shop.error())
    assert "_idle_timeout_seconds" in caught.value.hint


def test_a_load_whose_connection_is_swallowed_goes_on_over_another(shop):
    session = shop.open()
    shop.send(session, 1, 2)
    session.commit(b'{"n": 1}')
    shop.send(session, 3)
    shop.proxy.hold(new=False)
    assert session.commit(b'{"n": 2}', final=True).streams["t"].rows_out == 1
    assert shop.ids() == [1, 2, 3]


def test_a_statement_that_takes_long_is_waited_for(shop):
    session = shop.open()
    shop.send(session, 1)
    session.commit(b'{"n": 1}')
    if shop.name == "PostgreSQL":
        shop.server.sql(
            "create function hangs.doze() returns trigger language plpgsql as "
            "'begin perform pg_catalog.pg_sleep(4); return null; end'",
            "hangs",
        )
        shop.server.sql("create trigger doze after insert on hangs.t execute function hangs.doze()", "hangs")
    else:
        shop.server.sql("create trigger doze after insert on t for each row do sleep(4)", "hangs")
    shop.send(session, 2)
    session.commit(b'{"n": 2}', final=True)
    assert shop.ids() == [1, 2]


class Read:
    """A read of what is in `hangs`, through a proxy; of rows as they are when it `may_ask`."""

    def __init__(self, server, folder, *, may_ask):
        self.may_ask = may_ask
        self.sql = lambda statement: server.sql(statement, "hangs")
        server.sql("drop database if exists hangs with (force)")
        server.sql("create database hangs")
        self.proxy = Holder(server.port)
        self.folder = folder
        self.is_to_stop = False
        self.settings = source.Settings(
            host=server.host, port=self.proxy.port, user=server.user, password=server.password, database="hangs"
        )

    def messages(self):
        catalog = source.discover(self.settings)
        request = ReadRequest(
            catalog=catalog,
            state=None,
            folder=self.folder,
            idle_seconds=SECONDS,
            batch_bytes=100_000,
            should_stop=lambda: self.is_to_stop,
            may_start_over=self.may_ask,
            may_ask=self.may_ask,
        )
        for message in source.read(self.settings, request):
            if isinstance(message, Schema) and message.forms is not None:
                message.forms.set_result(frozenset([encoded.POSTGRES_COPY]))
            yield message

    def rows(self, messages):
        return [row for one in messages if isinstance(one, Rows) for row in one.batch.to_pylist()]


@pytest.fixture(params=[False, True], ids=["looked-at", "passed-on"])
def read(request, postgres, tmp_path):
    made = Read(postgres, tmp_path, may_ask=request.param)
    yield made
    made.proxy.close()


def begun(read):
    """A read that has come to its first rows, of many."""
    read.sql("create table t as select n as id, repeat('x', 500) as x from generate_series(1, 100000) n")
    messages = read.messages()
    next(one for one in messages if isinstance(one, Rows))
    return messages


def test_a_read_from_a_server_that_hangs_ends_and_names_it(read):
    messages = begun(read)
    read.proxy.hold()
    with pytest.raises(RunFailedError) as caught:
        list(messages)
    what = f"PostgreSQL at 127.0.0.1:{read.proxy.port} did nothing for 1.5 s"
    assert (caught.value.reference, caught.value.what) == ("no-sign-of-life", what)


def test_a_read_whose_connection_is_swallowed_is_lost(read):
    messages = begun(read)
    read.proxy.hold(new=False)
    with pytest.raises(EnvironmentProblemError) as caught:
        list(messages)
    assert caught.value.reference == "connection-lost"


def test_a_read_from_a_server_that_hangs_can_be_stopped(read):
    messages = begun(read)
    read.proxy.hold()
    read.is_to_stop = True
    assert read.rows(messages) is not None


def test_a_query_that_takes_long_is_waited_for(read):
    read.sql("create view v as select 1 as id, pg_sleep(4)::text as x")
    assert len(read.rows(read.messages())) == 1
