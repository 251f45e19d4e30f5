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
