"""Whose turn it is, and what happens when connections break at the worst moments."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time

import psycopg
import pyarrow as pa
import pytest

from headwater.base.errors import EnvironmentProblemError, HeadwaterError, RunFailedError
from headwater.connect.contract import Rejected, StreamReceipt
from headwater.connect.destinations import bookkeeping
from headwater.connect.destinations.postgres import Settings, books, connection, tables
from headwater.connect.destinations.postgres.address import address

A, B = {"id": 1, "name": "a"}, {"id": 2, "name": "b"}


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


@pytest.mark.parametrize("after", [False, True], ids=["before it arrives", "after it was done"])
def test_a_connection_that_breaks_at_the_commit_loads_exactly_once(shop, after):
    shop.load([A], keys=(), state=b"1")
    proxy = Proxy(shop.server.port, fatal=b"commit\0", after=after)
    session = shop.open("run-2", port=proxy.port)
    shop.send(session, [B], keys=())
    receipt = session.commit(b"2")
    session.close()
    proxy.close()
    assert proxy.cuts == 1
    assert receipt.streams == {"users": StreamReceipt(rows_in=1, rows_out=1)}
    assert shop.sql("select id, name from shop.users order by id") == [(1, "a"), (2, "b")]
    assert shop.sql("select sequence, run_id from _headwater.ledger order by 1") == [(1, "run-1"), (2, "run-2")]


def test_a_commit_of_only_a_state_is_found_again_too(shop):
    proxy = Proxy(shop.server.port, fatal=b"commit\0", after=True)
    session = shop.open(port=proxy.port)
    assert session.commit(b"1").sequence == 1
    proxy.close()
    session.close()
    assert shop.open("run-2").checkpoint() == b"1"


def test_a_session_that_an_administrator_ends_goes_on_and_loads_exactly_once(shop):
    session = shop.open()
    shop.send(session, [A], keys=())
    session.commit(b"1")
    shop.sql("select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'headwater%'")
    shop.send(session, [B], keys=())
    session.commit(b"2")
    assert shop.sql("select id from shop.users order by id") == [(1,), (2,)]


def test_a_session_that_ends_amid_several_queries_at_once_is_renewed(shop, monkeypatch):
    look, cuts = tables.look, []

    def cut_once(connection, *place):
        if not cuts:
            cuts.append(connection.info.backend_pid)
            connection.pgconn.enter_pipeline_mode()  # as libpq is left when the server's last words come in between
            raise psycopg.OperationalError("cannot exit pipeline mode while busy")
        return look(connection, *place)

    monkeypatch.setattr(tables, "look", cut_once)
    shop.load([A], state=b"1")
    assert len(cuts) == 1
    assert shop.sql("select id from shop.users") == [(1,)]
    assert not shop.sql(f"select pid from pg_stat_activity where pid = {cuts[0]}")


def test_a_second_run_is_refused_and_told_who_runs(shop, monkeypatch):
    monkeypatch.setattr(connection, "_PATIENCE_SECONDS", 0.2)
    first = shop.open("run-1")
    with pytest.raises(RunFailedError) as caught:
        shop.open("run-2")
    assert caught.value.reference == "already-running"
    assert caught.value.why.startswith("the database says: headwater dev:shop run-1, process ")
    assert len(shop.waits) == 1
    shop.open("run-2", pipeline="dev:other").close()
    first.close()
    shop.open("run-2")


def test_the_lock_of_a_holder_that_died_is_free_and_the_dead_can_write_no_more(shop, monkeypatch):
    monkeypatch.setattr(connection, "_PATIENCE_SECONDS", 0.2)
    zombie = shop.open("run-1")
    shop.send(zombie, [A], keys=())
    zombie.commit(b"1")
    shop.sql("select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'headwater%'")
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
    assert shop.sql("select id from shop.users order by id") == [(1,), (2,)]


def test_a_reader_in_the_way_is_named_and_waited_for(shop, monkeypatch):
    monkeypatch.setitem(connection._SETTINGS, "lock_timeout", "200ms")
    shop.load([A])
    reader = shop.server.connect("unit")
    reader.execute("set application_name = 'a report'")
    reader.execute("begin")
    reader.execute("select * from shop.users")
    threading.Timer(1, reader.close).start()
    session = shop.open("run-2")
    shop.send(session, [{"id": 2, "age": 5}], pa.schema([("id", pa.int64()), ("age", pa.int64())]))
    session.commit(None)
    assert any(wait.endswith("of `postgres` (a report)") for wait in shop.waits)
    assert shop.sql("select id, age from shop.users order by id") == [(1, None), (2, 5)]


def test_a_deadlock_is_tried_again(shop):
    shop.load([A, B])
    other = shop.server.connect("unit")
    other.execute("set deadlock_timeout = '20s'")  # so the load is the one that gives way
    other.execute("begin")
    other.execute("update shop.users set name = 'other' where id = 2")
    session = shop.open("run-2")
    shop.send(session, [{"id": 1, "name": "x"}, {"id": 2, "name": "y"}])
    load = threading.Thread(target=session.commit, args=(b"2",))
    load.start()
    time.sleep(0.4)  # it waits for the second row and holds the first
    other.execute("update shop.users set name = 'other' where id = 1")
    other.execute("commit")
    load.join()
    assert shop.sql("select name from shop.users order by id") == [("x",), ("y",)]
    assert shop.sql("select count(*) from _headwater.ledger") == [(2,)]


def test_of_two_writers_without_locks_the_later_is_refused_all_the_same(shop):
    shop.open().commit(b"1")
    entry = bookkeeping.Entry(pipeline="dev:shop", run_id="run-2", sequence=2)
    with shop.server.connect("unit") as first, shop.server.connect("unit") as second:
        first.execute("begin")
        books.write_checkpoint(first, entry, b"2")
        later = threading.Timer(0.3, lambda: first.execute("commit"))
        later.start()
        with pytest.raises(RunFailedError) as caught:
            books.write_checkpoint(second, entry, b"other")
        later.join()
    assert caught.value.reference == "another-writer"


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
    assert shop.sql("select count(*), count(distinct name) from shop.a") == [(500, 1)]
    assert shop.sql("select count(*) from _headwater.ledger") == [(8,)]


def test_records_that_were_set_aside_are_kept_as_text(shop):
    session = shop.open()
    session.reject(Rejected(stream="users", record=b"{\0 \xff", reason="not UTF-8"))
    session.commit(b"1")
    assert shop.sql("select stream, record, reason from _headwater.rejects") == [("users", "{\\0 \\xff", "not UTF-8")]


@pytest.mark.parametrize(
    ("settings", "reference"),
    [
        ({"password": "wrong-canary"}, "wrong-password"),
        ({"user": "nobody", "password": "wrong-canary"}, "wrong-password"),
        ({"database": "nothing"}, "unknown-database"),
        ({"host": "no-such-host.invalid"}, "unknown-host"),
        ({"port": 1}, "cannot-connect"),
        ({"ssl_enable": True}, "tls-refused"),
    ],
    ids=["password", "user", "database", "host", "port", "tls"],
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
    shop.sql("drop role if exists guest")
    shop.sql("create role guest login password 'guest'")
    session = shop.open(user="guest", password="guest")
    shop.send(session, [A])
    with pytest.raises(EnvironmentProblemError) as caught:
        session.commit(b"1")
    assert caught.value.reference == "no-permission"
    assert caught.value.what == "`guest` may not load into `shop`"
    assert caught.value.why == "permission denied for database unit"


def test_a_full_disk_is_said_to_be_one(tmp_path):
    error = psycopg.errors.DiskFull("could not extend file")
    at = address(Settings(host="db.example", user="me", database="shop"), tmp_path)
    found = connection.trouble(at, error, doing="load")
    assert (found.reference, found.what) == ("disk-full", "the disk of PostgreSQL at db.example:5432 is full")
