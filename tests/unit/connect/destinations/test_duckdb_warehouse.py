from threading import Event, Thread

import duckdb
import pytest

from headwater.connect import warehouse as file
from headwater.connect.destinations.duckdb import warehouse
from headwater.connect.destinations.duckdb.warehouse import DuckDBWarehouse
from headwater.connect.warehouses import SqlError


def opened(path):
    return DuckDBWarehouse(path, who="builder", on_wait=lambda _holder: None)


def test_several_threads_write_at_a_time_and_see_what_was_committed(tmp_path):
    place = opened(tmp_path / "w.duckdb")
    with place.writing("main") as one, place.writing("main") as other:
        one.rows("begin")
        one.rows("create table t as select 1 as x")
        assert ("main", "t") not in other.relations()
        one.rows("commit")
        assert other.rows("from t") == [(1,)]
    place.close()


def test_what_was_not_committed_is_gone(tmp_path):
    place = opened(tmp_path / "w.duckdb")
    with place.writing("main") as session:
        session.rows("begin")
        session.rows("create table t as select 1 as x")
        with pytest.raises(SqlError, match="syntax error"):
            session.rows("nonsense")
    with place.writing("main") as session:
        assert session.relations() == {}
    place.close()


def test_whoever_waits_gets_the_file_between_two_models(tmp_path, monkeypatch):
    monkeypatch.setattr(warehouse, "_HOLD_SECONDS", 0.0)
    place = opened(tmp_path / "w.duckdb")
    waits, order = Event(), []

    def read():
        def on_wait(holder):
            order.append(holder.partition(" (")[0])
            waits.set()

        with file.reading(tmp_path / "w.duckdb", who="reader", on_wait=on_wait):
            order.append("read")

    with place.writing("main") as session:
        session.rows("create table t as select 1 as x")
        reader = Thread(target=read)
        reader.start()
        assert waits.wait(60)
    with place.writing("main"):
        order.append("written")
    place.close()
    reader.join()
    assert order == ["builder", "read", "written"]


def test_the_file_is_given_free_when_nobody_works(tmp_path, monkeypatch):
    monkeypatch.setattr(warehouse, "_HOLD_SECONDS", 0.05)
    place = opened(tmp_path / "w.duckdb")
    with place.writing("main") as session:
        session.rows("create table t as select 1 as x")
    with file.reading(tmp_path / "w.duckdb", who="reader", timeout=10) as connection:
        assert connection.execute("from t").fetchall() == [(1,)]
    place.close()


def test_the_file_is_given_free_when_duckdb_refuses_to_close_a_session(tmp_path, monkeypatch):
    def refuse(session):
        raise duckdb.FatalException("invalidated")

    place = opened(tmp_path / "w.duckdb")
    with place.writing("main") as session:
        session.rows("create table main.t as select 1 as x")
    with place.writing("main"):
        pass
    monkeypatch.setattr(warehouse.DuckDBSession, "close", refuse)
    place.close()
    with file.reading(tmp_path / "w.duckdb", who="reader", timeout=10) as connection:
        assert connection.execute("from t").fetchall() == [(1,)]
