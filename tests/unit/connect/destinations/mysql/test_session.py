"""Whose turn it is, and what happens when connections break at the worst moments."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import sys
import threading
import time

import pyarrow as pa
import pytest

from headwater.base.errors import EnvironmentProblemError, HeadwaterError, RunFailedError
from headwater.connect.contract import ActivateVersion, Rejected, Rows, Schema, StreamReceipt
from headwater.connect.destinations.mysql import connection, replace
from headwater.connect.destinations.mysql.session import MySQLWriter

A, B, C = {"id": 1, "name": "a"}, {"id": 2, "name": "b"}, {"id": 3, "name": "c"}


class Proxy:
    """Passes bytes to the server and back, until a message to the server holds `fatal`. Then the client's connection is
    cut: before the message is passed on, or after the server has answered it."""

    def __init__(self, port, *, fatal, after):
        self.fatal = fatal
        self.after = after
        self.cuts = 0
        self._server = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server))
                dead = threading.Event()
                for source, sink, is_up in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._pass, args=(source, sink, is_up, dead), daemon=True).start()

    def _pass(self, source, sink, is_up, dead):
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if is_up and self.fatal in data and not self.cuts:
                    self.cuts += 1
                    dead.set()
                    if self.after:
                        sink.sendall(data)
                        time.sleep(0.3)
                    source.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    source.close()
                    if not self.after:
                        time.sleep(1)  # the server does not know yet
                    break
                if not is_up and dead.is_set():
                    continue
                sink.sendall(data)
            sink.close()

    def close(self):
        self._listener.close()


def end_sessions(shop):
    for (number,) in shop.sql(
        "select id from information_schema.processlist where user = 'loader' and id <> connection_id()"
    ):
        with contextlib.suppress(Exception):
            shop.sql(f"kill {number}")


@pytest.mark.parametrize("after", [False, True], ids=["before it arrives", "after it was done"])
@pytest.mark.parametrize("fatal", [b"\x03commit", b"\x03load data", b"_headwater_checkpoint` set"], ids=repr)
def test_a_connection_that_breaks_loads_exactly_once(shop, fatal, after):
    shop.load([A], keys=(), state=b"1")
    proxy = Proxy(shop.server.port, fatal=fatal, after=after)
    session = shop.open("run-2", port=proxy.port)
    shop.send(session, [B], keys=())
    receipt = session.commit(b"2")
    session.close()
    proxy.close()
    assert proxy.cuts == 1
    assert receipt.streams == {"users": StreamReceipt(rows_in=1, rows_out=1)}
    assert shop.sql("select id, name from users order by id") == [(1, "a"), (2, "b")]
    assert shop.sql("select sequence, run_id from _headwater_ledger order by 1") == [(1, "run-1"), (2, "run-2")]


@pytest.mark.parametrize("after", [False, True], ids=["before it arrives", "after it was done"])
@pytest.mark.parametrize("fatal", [b"\x03commit", b"\x03rename table", b"_old`"], ids=repr)
def test_a_connection_that_breaks_at_the_swap_swaps_once(shop, fatal, after):
    shop.load([A, B])
    proxy = Proxy(shop.server.port, fatal=fatal, after=after)
    session = shop.open("run-2", port=proxy.port)
    shop.send(session, [C], replace=True)
    session.commit(b"2", final=True)
    session.close()
    proxy.close()
    assert proxy.cuts == 1
    assert shop.sql("select id from users") == [(3,)]
    assert shop.sql("show tables like '%aside%'") == []
    assert shop.sql("select * from _headwater_replacing") == []


@pytest.mark.parametrize("step", ["commit", "rename table", "drop table if exists", "update `shop`.`_headwater_tables"])
def test_a_run_that_dies_in_the_swap_leaves_it_to_the_next(shop, monkeypatch, step):
    shop.load([A, B], pa.schema([("id", pa.int64()), ("name", pa.string())]))
    run, finish = connection.Connection.run, replace.finish
    is_armed = []

    def deadly_run(self, statement, values=None):
        if is_armed and str(statement).startswith(step):
            if step == "commit":
                run(self, statement, values)
            raise SystemExit
        return run(self, statement, values)

    def armed_finish(*arguments):
        is_armed.append(1)
        return finish(*arguments)

    session = shop.open("run-2")
    shop.send(session, [C], replace=True)
    monkeypatch.setattr(connection.Connection, "run", deadly_run)
    if step == "commit":
        is_armed.append(1)
    else:
        real_wait = replace.wait

        def armed_wait(*arguments):
            real_wait(*arguments)
            monkeypatch.setattr(replace, "finish", armed_finish)

        monkeypatch.setattr(replace, "wait", armed_wait)
    with pytest.raises(SystemExit):
        session.commit(b"2", final=True)
    monkeypatch.undo()
    session.close()
    assert shop.sql("select id from users order by id") in ([(1,), (2,)], [(3,)])
    following = shop.open("run-3")
    assert following.checkpoint() == b"2"
    following.close()
    assert shop.sql("select id from users") == [(3,)]
    assert shop.sql("show tables like '%aside%'") == []
    assert shop.sql("select * from _headwater_replacing") == []


def test_a_replaced_stream_may_change_its_key_and_a_run_that_dies_before_leaves_the_old_one(shop):
    columns = pa.schema([("id", pa.int64()), ("name", pa.string())])
    shop.load([A, B])
    session = shop.open("run-2")
    shop.send(session, [C], columns, keys=("name",), replace=True)
    session.commit(None)
    session.close()
    shop.load([{"id": 1, "name": "new"}], run_id="run-3")
    assert shop.sql("select name from users where id = 1") == [("new",)]
    shop.load([{"id": 1, "name": "x"}, {"id": 1, "name": "y"}], keys=("name",), replace=True, run_id="run-4")
    assert shop.sql("select id, name from users order by name") == [(1, "x"), (1, "y")]
    shop.load([{"id": 2, "name": "y"}], keys=("name",), run_id="run-5")
    assert shop.sql("select id, name from users order by name") == [(1, "x"), (2, "y")]


def test_a_replaced_table_with_triggers_stays_where_it_is(shop):
    shop.load([A, B])
    shop.sql("create table seen (id bigint)")
    shop.sql("create trigger see after insert on users for each row insert into seen values (new.id)")
    session = shop.open("run-2")
    shop.send(session, [C], replace=True)
    session.commit(b"1")
    assert shop.sql("select id from users order by id") == [(1,), (2,)]
    session.commit(b"2", final=True)
    assert shop.sql("select id from users") == [(3,)]
    assert shop.sql("select id from seen") == [(3,)]
    assert shop.sql("show tables like '%aside%'") == []


def test_a_replaced_table_with_triggers_takes_long_keys(shop):
    columns = pa.schema([("id", pa.string()), ("n", pa.int64())])
    shop.load([{"id": "a", "n": 1}], columns)
    shop.sql("create table seen (n bigint)")
    shop.sql("create trigger see after insert on users for each row insert into seen values (new.n)")
    long = "x" * 5000
    shop.load([{"id": long + "y", "n": 2}, {"id": long + "z", "n": 3}], columns, replace=True, run_id="run-2")
    shop.load([{"id": long + "z", "n": 4}], columns, run_id="run-3")
    assert shop.sql("select right(id, 1), n from users order by 1") == [("y", 2), ("z", 4)]
    assert shop.sql("select n from seen order by 1") == [(2,), (3,)]


def test_rows_of_older_versions_are_marked_and_live_again_when_they_come_again(shop):
    def run(run_id, rows, version):
        columns = pa.schema([("id", pa.int64()), ("name", pa.string())])
        session = shop.open(run_id)
        session.prepare(Schema(stream="users", columns=columns, keys=("id",)))
        batch = pa.RecordBatch.from_pylist(rows, schema=columns)
        session.stage(Rows(stream="users", batch=batch, version=version))
        session.activate(ActivateVersion(stream="users", version=version))
        (change,) = [one for one in session.commit(None, final=True).changes if one.change.startswith(("rows", "ver"))]
        session.close()
        return change.change, change.count

    gone = "select id from users where __deleted_at is not null order by id"
    assert run("run-1", [A, B], 1) == ("rows-marked", 0)
    assert run("run-2", [B], 2) == ("rows-marked", 1)
    assert shop.sql(gone) == [(1,)]
    assert run("run-3", [A], 3) == ("rows-marked", 1)
    assert shop.sql(gone) == [(2,)]


def test_a_session_that_an_administrator_ends_goes_on_and_loads_exactly_once(shop):
    session = shop.open()
    shop.send(session, [A], keys=())
    session.commit(b"1")
    end_sessions(shop)
    shop.send(session, [B], keys=())
    session.commit(b"2")
    assert shop.sql("select id from users order by id") == [(1,), (2,)]


def test_a_second_run_is_refused_and_told_who_runs(shop, monkeypatch):
    monkeypatch.setattr(connection, "_PATIENCE_SECONDS", 0.2)
    first = shop.open("run-1")
    with pytest.raises(RunFailedError) as caught:
        shop.open("run-2")
    assert caught.value.reference == "already-running"
    assert caught.value.why.startswith("the database says: connection ")
    assert "`loader` from " in caught.value.why
    assert len(shop.waits) == 1
    shop.open("run-2", pipeline="dev:other").close()
    shop.open("run-2", database="elsewhere").close()
    first.close()
    shop.open("run-2")


def test_the_lock_of_a_holder_that_died_is_free_and_the_dead_can_write_no_more(shop, monkeypatch):
    monkeypatch.setattr(connection, "_PATIENCE_SECONDS", 0.2)
    zombie = shop.open("run-1")
    shop.send(zombie, [A], keys=())
    zombie.commit(b"1")
    end_sessions(shop)
    time.sleep(0.2)
    successor = shop.open("run-2")
    assert successor.checkpoint() == b"1"
    shop.send(zombie, [B], keys=())
    with pytest.raises(RunFailedError) as caught:
        zombie.commit(b"2")
    assert caught.value.reference == "already-running"
    shop.send(successor, [B], keys=())
    successor.commit(b"3")
    successor.close()
    with pytest.raises(RunFailedError) as caught:
        zombie.commit(b"2")
    assert caught.value.reference == "another-writer"
    assert shop.sql("select id from users order by id") == [(1,), (2,)]


def test_a_deadlock_is_tried_again(shop):
    shop.load([A, B])
    with shop.server.connect("shop") as other, other.cursor() as cursor:
        cursor.execute("begin")
        cursor.execute("update users set name = 'other' where id = 2")
        cursor.execute("insert into users (id, name, __loaded_at) select seq + 9, 'x', now() from seq_1_to_1000")
        session = shop.open("run-2")
        shop.send(session, [{"id": 1, "name": "x"}, {"id": 2, "name": "y"}])
        load = threading.Thread(target=session.commit, args=(b"2",))
        load.start()
        time.sleep(0.4)  # it waits for the second row and holds the first; the other one has changed more
        cursor.execute("update users set name = 'other' where id = 1")
        cursor.execute("rollback")
        load.join()
    assert shop.sql("select name from users order by id") == [("x",), ("y",)]
    assert shop.sql("select count(*) from _headwater_ledger") == [(2,)]


def test_a_reader_in_the_way_of_a_change_is_waited_for(shop, monkeypatch):
    monkeypatch.setitem(connection._SETTINGS, "lock_wait_timeout", "1")
    shop.load([A])
    reader = shop.server.connect("shop")
    with reader.cursor() as cursor:
        cursor.execute("begin")
        cursor.execute("select * from users")
    threading.Timer(1.5, reader.close).start()
    shop.load([{"id": 2, "age": 5}], pa.schema([("id", pa.int64()), ("age", pa.int64())]), run_id="run-2")
    assert shop.waits == ["another session that uses the tables"]
    assert shop.sql("select id, age from users order by id") == [(1, None), (2, 5)]


def test_two_pipelines_load_one_table_in_turn(shop):
    sessions = [shop.open(f"run-{number}", pipeline=f"dev:{number}") for number in range(4)]
    for number, session in enumerate(sessions):
        for stream in ("a", "b") if number % 2 else ("b", "a"):
            shop.send(session, [{"id": key, "name": str(number)} for key in range(500)], stream=stream)
    threads = [threading.Thread(target=session.commit, args=(b"1",)) for session in sessions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert shop.sql("select count(*), count(distinct name) from a") == [(500, 1)]
    assert shop.sql("select count(*) from _headwater_ledger") == [(8,)]


def test_records_that_were_set_aside_are_kept_as_text(shop):
    session = shop.open()
    session.reject(Rejected(stream="users", record=b"{\0 \xff", reason="not UTF-8"))
    session.commit(b"1")
    assert shop.sql("select stream, record, reason from _headwater_rejects") == [("users", "{\0 \\xff", "not UTF-8")]


@pytest.mark.parametrize(
    ("settings", "reference"),
    [
        ({"password": "wrong-canary"}, "wrong-password"),
        ({"user": "nobody", "password": "wrong-canary"}, "wrong-password"),
        ({"host": "no-such-host.invalid"}, "unknown-host"),
        ({"port": 1}, "cannot-connect"),
        ({"ssl": True}, "tls-refused"),
        ({"ssl_ca": "/no/such/file.pem"}, "tls-refused"),
        ({"database": "mysql"}, "reserved-schema"),
    ],
    ids=["password", "user", "host", "port", "tls", "authority", "system"],
)
def test_why_it_cannot_connect_and_never_the_password(shop, settings, reference):
    with pytest.raises(HeadwaterError) as caught:
        shop.open(**settings)
    error = caught.value
    assert error.reference == reference
    assert error.hint
    told = "".join(str(part) for part in (error, error.what, error.why, error.hint, repr(error.__cause__)))
    assert "canary" not in told


def test_a_user_without_rights_is_told_which(shop):
    shop.sql("create or replace user guest identified by 'guest'")
    shop.sql("grant select on shop.* to guest")
    session = shop.open(user="guest", password="guest")
    shop.send(session, [A])
    with pytest.raises(EnvironmentProblemError) as caught:
        session.commit(b"1")
    assert caught.value.reference == "no-permission"
    assert caught.value.hint.endswith("on `shop`.* to guest")
    shop.sql(caught.value.hint)
    session.commit(b"1")
    assert shop.sql("select id from users") == [(1,)]


def test_without_its_driver_it_says_how_to_get_it():
    script = (
        "import sys; sys.modules['pymysql'] = None\n"
        "from headwater.connect.destinations import mysql\n"
        "from headwater.base.errors import EnvironmentProblemError\n"
        "try: mysql.open(mysql.Settings(), None)\n"
        "except EnvironmentProblemError as error: print(error.reference, error.hint)\n"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=os.environ)
    assert told.stdout == "driver-missing install it where headwater is: pip install 'headwater[mysql]'\n"


def test_what_a_run_that_died_had_collected_is_dropped_by_the_next_of_any_pipeline(shop, monkeypatch):
    shop.load([A])
    session = shop.open("run-2")
    shop.send(session, [B], replace=True)
    with monkeypatch.context() as dying:
        dying.setattr(MySQLWriter, "_load", None)
        with pytest.raises(TypeError):
            session.commit(b"2", final=True)
    asides = "show tables like '%aside%'"
    assert len(shop.sql(asides)) == 1
    shop.open("run-3", pipeline="dev:other").close()
    assert len(shop.sql(asides)) == 1  # it lives: its session holds the pipeline
    session.close()
    shop.open("run-4", pipeline="dev:other").close()
    assert shop.sql(asides) == []
    assert shop.sql("select * from _headwater_replacing") == []
    assert shop.sql("select id from users") == [(1,)]


def test_a_column_without_its_rows_does_no_harm(shop):
    # What changes a table is durable at once on this server, before the rows are.
    shop.load([A], state=b"1")
    wider = pa.schema([("id", pa.int64()), ("name", pa.string()), ("age", pa.int64())])
    dying = shop.open("run-2")
    shop.send(dying, [{"id": 2, "name": "b", "age": 7}], wider)
    dying.close()
    assert shop.sql("select id, name from users") == [(1, "a")]
    shop.load([{"id": 2, "name": "b", "age": 7}], wider, run_id="run-3", state=b"2")
    assert shop.sql("select id, name, age from users order by id") == [(1, "a", None), (2, "b", 7)]
