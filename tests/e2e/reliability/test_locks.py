"""Others in the way: a session that holds the table, a program that holds the file, and a writer that was thought
dead."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from headwater.base.failpoint import POINTS

from .conftest import DATABASES, IS_LONG, LAST, rest, times, wait_for_end
from .test_kill_loaders import end_sessions
from .test_kill_matrix import Story

# The server's own limit of a wait is 15 s: the first hold is within it, the second beyond. The third is longer than
# anybody waits.
HOLDS = [1, 17, 170] if IS_LONG else [1, 17]
LOCKS = {
    "postgres": ("begin", "lock table numbers.numbers in access exclusive mode"),
    "mysql": ("lock tables numbers write",),
}


@pytest.mark.parametrize("seconds", HOLDS)
@pytest.mark.parametrize("method", ["append", "upsert"])
@pytest.mark.parametrize("warehouse", LOCKS, indirect=True)
def test_a_session_that_holds_the_table(pipeline, warehouse, method, seconds, until, group_members, figures, hw):
    made = pipeline(method)
    hw.ok(*made.argv(anew=False), TAP_NUMBERS_UPTO=25)
    for number in range(1, times(1, 5 if seconds == 17 else 2) + 1):
        upto = 25 + number * LAST
        with warehouse.server.connect("reliability") as other, other.cursor() as cursor:
            for statement in LOCKS[warehouse.name]:
                cursor.execute(statement)
            process = hw.start(*made.argv(anew=False), TAP_NUMBERS_UPTO=upto)
            until(lambda: "counting from" in hw.stderr, what="the tap")
            rest(seconds)
        code = wait_for_end(process, until, group_members, hw.root)
        assert ("another session" in hw.stderr or "process " in hw.stderr) == (seconds > 15)
        if seconds > 150:
            assert (code, "[table-locked]" in hw.stderr) == (1, True), hw.stderr
            assert warehouse.rows() == made.expected("number", upto - LAST)
            hw.ok(*made.argv(anew=False), TAP_NUMBERS_UPTO=upto)
        else:
            assert code == 0, hw.stderr
        assert warehouse.rows() == made.expected("number", upto)
        assert made.kept_state() == warehouse.reached() == upto
        figures("lock held by others", f"table for {seconds} s × {method} × {warehouse.name}")


HOLDER = """
import sys, duckdb
while True:
    try:
        connection = duckdb.connect(sys.argv[1])
    except duckdb.IOException:  # a load is at it just now
        continue
    break
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("warehouse", ["duckdb"], indirect=True)
def test_another_program_that_holds_the_file(pipeline, warehouse, chance, until, figures, hw):
    """A notebook, a shell: it knows nothing of our lease, and is waited for."""
    made = pipeline("append")
    hw.ok(*made.argv(anew=False), TAP_NUMBERS_UPTO=25)
    for number in range(1, times(2, 20) + 1):
        upto = 25 + number * LAST
        process = hw.start(*made.argv(anew=False), TAP_NUMBERS_UPTO=upto, TAP_NUMBERS_PAUSE=0.0025)
        until(lambda: "counting from" in hw.stderr, what="the tap")
        rest(chance.uniform(0, 0.5))
        command = [sys.executable, "-c", HOLDER, str(hw.root / "warehouse.duckdb")]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
            assert holder.stdout.readline() == "held\n"
            rest(1)
            holder.communicate()
        assert process.wait(60) == 0, hw.stderr
        assert warehouse.rows() == made.expected("number", upto)
        assert made.kept_state() == warehouse.reached() == upto
        figures("lock held by others", "file × duckdb")


# Where a writer can be that loses its session, or has none, while it does nothing.
ZOMBIES = [point for point in POINTS if point.startswith(("stage.", "commit.", "state."))]


@pytest.mark.parametrize("method", ["append", "upsert"] if IS_LONG else ["append"])
@pytest.mark.parametrize("point", ZOMBIES)
@pytest.mark.parametrize("warehouse", DATABASES, indirect=True)
def test_a_writer_that_was_thought_dead(pipeline, warehouse, point, method, until, group_members, figures, hw):
    """The first run stands still in the middle of a load and loses its session; a second one does the work; the first
    goes on. It may write nothing any more."""
    if warehouse.name == "duckdb" and point.startswith("commit.") and point != "commit.done":
        pytest.skip("holds the file as long as it lives: nobody can come between")
    made = pipeline(method)
    story = Story(made)
    for number in range(2, times(1, 5) + 2):
        first = hw.start(*story.argv(), **story.env(), HEADWATER_FAILPOINT=f"{point}:{number}:stop")
        until(lambda p=first: p.poll() is not None or is_stopped(p.pid), what=point)
        assert first.poll() is None, hw.stderr
        if warehouse.name != "duckdb":
            end_sessions(warehouse)
        story.check()
        argv = made.argv(anew=method == "upsert" and not story.fresh())
        done = hw("run", "--force", *argv[1:], **story.env(), TAP_NUMBERS_PAUSE=0)
        assert done.code == 0, done.err
        assert warehouse.rows() == story.finished()
        commits = warehouse.checkpoint()
        os.kill(first.pid, signal.SIGCONT)
        code = wait_for_end(first, until, group_members, hw.root)
        assert code == 1, hw.stderr
        assert "[another-writer]" in hw.stderr
        assert warehouse.checkpoint() == commits
        assert warehouse.rows() == story.finished()
        assert made.kept_state() <= warehouse.reached() == story.upto
        story.go_on(ended_well=True)
        figures("zombie writer", f"{point} × {method} × {warehouse.name}")
    hw.ok(*story.argv(), **story.env(), TAP_NUMBERS_PAUSE=0)
    assert warehouse.rows() == story.finished()
    assert made.kept_state() == warehouse.reached() == story.upto


def is_stopped(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
