from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headwater.base import process
from headwater.base.errors import EnvironmentProblemError
from headwater.base.process import Child

ENV = {"PATH": os.environ["PATH"]}


def sh(script, **kw):
    return Child(["/bin/sh", "-c", script], name="x", env=ENV, **kw)


def is_alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def eventually(check, seconds=5.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if check():
            return True
        time.sleep(0.02)
    return False


def test_stderr_is_handed_on_line_by_line_and_its_tail_is_kept():
    lines = []
    child = sh("for i in $(seq 1 50); do echo line $i >&2; done; printf 'cut' >&2; exit 3", on_line=lines.append)
    assert child.wait(60) == 3
    assert lines == [f"line {i}" for i in range(1, 51)] + ["cut"]
    assert child.tail == tuple(lines[-40:])


def test_a_flood_on_stderr_neither_blocks_nor_keeps_a_line_without_end():
    lines = []
    child = sh("head -c 5000000 /dev/zero | tr '\\0' a >&2; echo >&2; echo end >&2", on_line=lines.append)
    assert child.wait(60) == 0
    assert [len(lines[0]), lines[1]] == [process.LINE_BYTES, "end"]


def test_a_missing_program_is_named_with_the_command_that_brings_it():
    with pytest.raises(EnvironmentProblemError) as error:
        Child(["/nowhere/tap-x"], name="tap-x", env={})
    assert (error.value.what, error.value.hint) == (
        "cannot start `tap-x`: `/nowhere/tap-x` was not found",
        "headwater install tap-x, or correct its `executable`",
    )


def test_terminate_kills_what_ignores_term_with_its_children():
    lines = []
    child = sh("trap '' TERM; (trap '' TERM; echo $$ >&2; sleep 60) & sleep 60; sleep 60", on_line=lines.append)
    assert eventually(lambda: lines)
    assert child.terminate(0.2) == -signal.SIGKILL


def test_terminate_leaves_time_to_end_well():
    lines = []
    child = sh("trap 'exit 7' TERM; echo ready >&2; sleep 60 & wait", on_line=lines.append)
    assert eventually(lambda: lines)
    assert child.terminate(5) == 7


def test_children_and_their_children_die_with_a_killed_parent(tmp_path):
    pids = tmp_path / "pids"
    script = (
        "import os, sys, time\n"
        "from headwater.base.process import Child\n"
        f"Child(['/bin/sh', '-c', 'sleep 61 & echo $$ $! > {pids}; wait'], name='x', env=dict(os.environ))\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script])
    assert eventually(lambda: pids.exists() and pids.read_text().endswith("\n"))
    found = [int(word) for word in pids.read_text().split()]
    assert all(map(is_alive, found))
    parent.kill()
    parent.wait()
    assert eventually(lambda: not any(map(is_alive, found)))


def test_a_guard_leaves_no_process_behind():
    child = sh("exit 0")
    guard = child._guard
    assert child.wait(60) == 0
    assert eventually(lambda: guard.returncode is not None)


def test_a_pipe_tells_whether_its_reader_has_had_everything():
    reader, writer = process.pipe()
    assert not process.ended_and_empty(reader)
    os.write(writer, b"x")
    os.close(writer)
    assert not process.ended_and_empty(reader)
    os.read(reader, 9)
    assert process.ended_and_empty(reader)
    os.close(reader)
