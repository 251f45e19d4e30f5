from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from headwater.base.errors import EnvironmentProblemError
from headwater.base.lease import holders, lease

HOLD = """
import sys, time
from pathlib import Path
from headwater.base.lease import lease
with lease(Path(sys.argv[1]), exclusive=sys.argv[2] == "x", who=sys.argv[3]):
    print("held", flush=True)
    time.sleep(60)
"""


def hold(path, mode, who):
    child = subprocess.Popen([sys.executable, "-c", HOLD, str(path), mode, who], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "held\n"
    return child


def kill(child):
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()


def test_readers_share(tmp_path):
    path = tmp_path / "w.duckdb"
    with (
        lease(path, exclusive=False, who="a", timeout=0),
        lease(path, exclusive=False, who="b", timeout=0),
    ):
        assert sorted(holders(path)) == [f"a (pid {os.getpid()})", f"b (pid {os.getpid()})"]
    assert holders(path) == []


@pytest.mark.parametrize(("first", "second"), [(True, True), (True, False), (False, True)])
def test_a_writer_is_alone_also_between_threads(tmp_path, first, second):
    path = tmp_path / "w.duckdb"
    with (
        lease(path, exclusive=first, who="load of github"),
        pytest.raises(EnvironmentProblemError) as caught,
        lease(path, exclusive=second, who="me", timeout=0.05),
    ):
        pass
    assert caught.value.reference == "warehouse-busy"
    assert caught.value.why == f"held by load of github (pid {os.getpid()})"


def test_the_waiter_says_once_for_whom_it_waits_and_then_gets_in(tmp_path):
    path = tmp_path / "w.duckdb"
    child = hold(path, "x", "load of shop")
    said = []
    threading.Timer(0.3, kill, [child]).start()
    with lease(path, exclusive=True, who="me", on_wait=said.append):
        assert said == [f"load of shop (pid {child.pid})"]


def test_the_kernel_frees_the_lease_of_a_killed_process(tmp_path):
    path = tmp_path / "w.duckdb"
    kill(hold(path, "x", "a zombie"))
    with lease(path, exclusive=True, who="me", timeout=0):
        assert holders(path) == [f"me (pid {os.getpid()})"]


def test_a_waiting_writer_is_not_overtaken_by_new_readers(tmp_path):
    path = tmp_path / "w.duckdb"
    order = []
    writer_waits = threading.Event()

    def write():
        with lease(path, exclusive=True, who="writer", on_wait=lambda _: writer_waits.set()):
            order.append("writer")

    def read():
        with lease(path, exclusive=False, who="late reader"):
            order.append("reader")

    with lease(path, exclusive=False, who="early reader"):
        writer = threading.Thread(target=write)
        writer.start()
        assert writer_waits.wait(60)
        reader = threading.Thread(target=read)
        reader.start()
        time.sleep(0.2)
        assert order == []
    writer.join()
    reader.join()
    assert order == ["writer", "reader"]


def test_a_writer_gets_in_among_readers_that_never_leave_a_gap(tmp_path):
    path = tmp_path / "w.duckdb"
    done = threading.Event()

    def read_for_ever():
        while not done.is_set():
            with lease(path, exclusive=False, who="reader"):
                time.sleep(0.02)

    readers = [threading.Thread(target=read_for_ever) for _ in range(4)]
    for reader in readers:
        reader.start()
    try:
        with lease(path, exclusive=True, who="writer", timeout=60):
            pass
    finally:
        done.set()
        for reader in readers:
            reader.join()


def test_a_link_to_the_file_leads_to_the_same_lease(tmp_path):
    path, link = tmp_path / "w.duckdb", tmp_path / "link.duckdb"
    path.touch()
    link.symlink_to(path)
    with (
        lease(path, exclusive=True, who="a"),
        pytest.raises(EnvironmentProblemError),
        lease(link, exclusive=False, who="b", timeout=0),
    ):
        pass
