"""The database goes down in the middle of a load and comes back: the load goes on by itself."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from .conftest import LAST, rest, times


@pytest.fixture(scope="session")
def restart():
    """Has the server at a port crash and start again, by the very command that had started it."""
    started = []

    def crash_and_start(port, number):
        pid = listener(port)
        proc = Path(f"/proc/{pid}")
        argv = (proc / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        folder, owner = (proc / "cwd").resolve(), proc.stat().st_uid
        os.kill(pid, number)
        while is_open(port) or (proc.exists() and " Z " not in (proc / "stat").read_text()):
            time.sleep(0.01)
        until = time.monotonic() + 30
        while not is_open(port):
            assert time.monotonic() < until, "the server does not come back"
            process = subprocess.Popen(
                argv, cwd=folder, user=owner, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            while process.poll() is None and not is_open(port):
                time.sleep(0.02)
        started.append(process)

    yield crash_and_start
    for process in started:
        process.terminate()
        process.wait(30)


# An immediate stop, without a checkpoint: PostgreSQL's way to crash that takes its children with it.
SIGNALS = {"postgres": signal.SIGQUIT, "mysql": signal.SIGKILL}


@pytest.mark.parametrize("method", ["append", "upsert"])
@pytest.mark.parametrize("warehouse", SIGNALS, indirect=True)
def test_a_database_that_crashes_in_the_middle_of_a_load(
    pipeline, warehouse, method, chance, figures, restart, until, hw
):
    made = pipeline(method)
    upto = 0
    for _ in range(times(1, 25)):
        upto += LAST
        if warehouse.name == "mysql":  # for speed, the tests' server is set to forget its last second
            warehouse.server.sql("set global innodb_flush_log_at_trx_commit = 1")
        process = hw.start(*made.argv(anew=False), TAP_NUMBERS_UPTO=upto, TAP_NUMBERS_PAUSE=0.0025)
        until(lambda p=process, last=upto: p.poll() is not None or warehouse.reached() > last - LAST, what="a commit")
        rest(chance.uniform(0, 0.5))
        crashed = time.monotonic()
        restart(warehouse.server.port, SIGNALS[warehouse.name])
        assert process.wait(60) == 0, hw.stderr
        seconds = round(time.monotonic() - crashed, 1)
        figures.most("database restarted in mid-load", "seconds from the crash to the end of the load", seconds)
        assert warehouse.rows() == made.expected("number", upto)
        assert made.kept_state() == warehouse.reached() == upto
        figures("database restarted in mid-load", f"{method} × {warehouse.name}")


LOGGED = """\
default_environment: dev
environments: [{name: dev}]
plugins:
  extractors:
  - name: tap-postgres
    variant: headwater
    config: {filter_schemas: [public], default_replication_method: LOG_BASED}
    select: ['*.*']
  loaders:
  - name: target-duckdb
    variant: headwater
    commit_bytes: 20000
    config: {default_target_schema: lake, filepath: warehouse.duckdb}
"""
CHANGES = 4000


def test_a_source_that_crashes_while_its_log_is_read(hw, postgres, chance, figures, restart):
    postgres.sql("drop database if exists crashing with (force)")
    postgres.sql("create database crashing")
    postgres.sql("create table t (id int primary key, n int, note text)", "crashing")
    hw.write("headwater.yml", LOGGED)
    at = {"HOST": postgres.host, "PORT": postgres.port, "USER": postgres.user, "PASSWORD": postgres.password}
    hw.environ |= {f"TAP_POSTGRES_{name}": str(value) for name, value in (at | {"DATABASE": "crashing"}).items()}
    hw.ok("run", "tap-postgres", "target-duckdb")
    for turn in range(times(2, 25)):
        first = turn * CHANGES
        # Each turn of the loop is a transaction of its own.
        postgres.sql(
            f"do $$ begin for i in {first + 1}..{first + CHANGES} loop insert into t values (i, 0, repeat('x', 200)); "
            "update t set n = n + 1 where id in (i - 1, i - 7); delete from t where id = i - 9 and i % 5 = 0; "
            "commit; end loop; end $$",
            "crashing",
        )
        process = hw.start("run", "tap-postgres", "target-duckdb")
        rest(chance.uniform(0.3, 1.5))
        restart(postgres.port, signal.SIGQUIT)
        # It may have ended before; or it tells that the source is gone. No third thing.
        assert process.wait(120) in (0, 1, 3), hw.stderr
        assert "Traceback" not in hw.stderr
        hw.ok("run", "tap-postgres", "target-duckdb")
        loaded = 'select id, n from lake."public-t" where _sdc_deleted_at is null order by id'
        assert hw.query(loaded) == postgres.sql("select id, n from t order by id", "crashing")
        figures("source that crashes", "log of PostgreSQL × duckdb")
    postgres.drop_slots("crashing")


def listener(port):
    """The process that listens at a port of this machine, the oldest if there are several."""
    wanted = f"0100007F:{port:04X}"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inode = next(fields[9] for fields in lines if fields[1] == wanted and fields[3] == "0A")
    holders = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if any(link.readlink().name == f"socket:[{inode}]" for link in (folder / "fd").iterdir()):
                holders.append(int(folder.name))
    return min(holders)


def is_open(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
