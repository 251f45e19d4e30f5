"""Large files on their way into PostgreSQL, when their rows are kept nowhere else."""

from __future__ import annotations

import pytest

from headwater.connect.destinations import staged
from headwater.connect.destinations.postgres import send
from headwater.connect.sources import files
from headwater.model.event import Outcome

NAME = "sent_ahead"
ROWS = 4000


@pytest.fixture
def load(lab, postgres, monkeypatch):
    """Runs a load of two files. `sent` is called after each piece, with how many there were."""
    postgres.sql(f"drop database if exists {NAME} with (force)")
    postgres.sql(f"create database {NAME}")
    monkeypatch.setattr(files.delivery, "SAMPLE", 256)
    monkeypatch.setattr(files, "_LEAST_SAMPLE", 256)
    monkeypatch.setattr(files.delivery.csv, "_BLOCK", 1024)
    monkeypatch.setattr(staged, "PORTION_BYTES", 1)
    lines = "\n".join(["id,v", *(f"{number},{number / 8}" for number in range(ROWS))])
    for name in ("a", "b"):
        (lab.root / f"{name}.csv").write_text(lines + "\n")
    at = {"host": postgres.host, "port": postgres.port, "user": postgres.user, "password": postgres.password}
    streams = [{"name": name, "path": f"{name}.csv"} for name in ("a", "b")]
    tap = lab.block("extractor", native="files", argv=(), config={"streams": streams, "root": str(lab.root)})
    config = {**at, "database": NAME, "default_target_schema": "s"}
    loader = lab.block("loader", native="postgres", argv=(), config=config)
    write = send._Copy.write
    pieces = []

    def written(self, piece):
        write(self, piece)
        pieces.append(len(piece))
        run.on_piece(len(pieces))

    monkeypatch.setattr(send._Copy, "write", written)

    def run(**fields):
        pieces.clear()
        return lab.run(tap, loader, **fields)

    run.on_piece = lambda _count: None
    run.sql = lambda statement: postgres.sql(statement, NAME)
    return run


def counted(load):
    return [load.sql(f"select count(*), count(distinct id), sum(v) from s.{name}") for name in ("a", "b")]


ALL = [[(ROWS, ROWS, sum(range(ROWS)) / 8)]] * 2


def test_all_arrives_and_the_second_run_has_nothing_to_do(lab, load):
    for _ in range(2):
        assert load(memory_bytes=1) is Outcome.SUCCESS
        assert counted(load) == ALL
    assert not any("reading again" in text for text in lab.notices)


@pytest.mark.parametrize("piece", [2, 20, 45])
def test_when_the_server_ends_the_session_the_file_is_read_again(lab, load, piece):
    def end_once(count):
        if count == piece:
            load.on_piece = lambda _count: None
            load.sql("select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'headwater %'")

    load.on_piece = end_once
    assert load() is Outcome.SUCCESS
    assert counted(load) == ALL
    assert (lab.figures["a"].loaded, lab.figures["b"].loaded) == (ROWS, ROWS)
    assert any("reading again from the last checkpoint" in text for text in lab.notices)
