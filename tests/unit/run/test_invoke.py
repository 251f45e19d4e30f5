from __future__ import annotations

import os
import signal
import subprocess
import sys

from headwater.model.event import Outcome, PluginLine
from headwater.model.plan import Invoke

PASS = """
import sys
from headwater.model.plan import Block
from headwater.model.plugin import PluginKind
from headwater.run.invoke import passthrough
kind = PluginKind.UTILITY
block = Block(kind=kind, name="tool", variant=None, namespace="tool", native=None, argv=(), env={}, config={})
sys.exit(passthrough(["/bin/sh", "-c", sys.argv[1]], block, cwd="/"))
"""


def invoke(lab, script):
    block = lab.block("utility", script)
    return lab.do(Invoke(name="tool:go", block=block, command="go", argv=block.argv, cwd=str(lab.root)))


def test_both_streams_become_lines_without_secrets(lab):
    script = (
        "import sys; print('out hunter22'); print('cut', end='', flush=True); print('WARNING err', file=sys.stderr)"
    )
    assert invoke(lab, script) is Outcome.SUCCESS
    lines = {(event.stdout, event.level.value, event.text) for event in lab.of(PluginLine)}
    assert lines == {(True, "info", "out (redacted)"), (True, "info", "cut"), (False, "warning", "WARNING err")}


def test_a_command_that_fails_says_why(lab):
    assert invoke(lab, "raise ValueError('no such model')") is Outcome.FAILED
    assert (lab.problem.reference, lab.problem.what, lab.problem.why) == (
        "command-failed",
        "`tool:go` failed with exit code 1",
        "ValueError: no such model",
    )


def test_a_cancelled_command_is_told_to_stop(lab):
    lab.later(lambda: "ready" in lab.lines, lambda: lab.cancel.set(signal.SIGTERM))
    assert invoke(lab, "import time; print('ready', flush=True); time.sleep(60)") is Outcome.CANCELLED


def passthrough(script, **kw):
    return subprocess.run([sys.executable, "-c", PASS, script], capture_output=True, text=True, check=False, **kw)


def test_passthrough_has_our_streams_and_gives_back_the_exit_code():
    done = passthrough("cat; echo err >&2; exit 7", input="in")
    assert (done.returncode, done.stdout, done.stderr) == (7, "in", "err\n")
    assert passthrough("kill -TERM $$").returncode == 143


def test_a_command_that_handles_ctrl_c_decides_how_it_ends():
    run = [sys.executable, "-c", PASS, "trap 'echo tidy; exit 5' INT; echo ready; while :; do sleep 0.1; done"]
    with subprocess.Popen(run, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout.readline() == "ready\n"
        os.killpg(process.pid, signal.SIGINT)
        assert (process.communicate(timeout=60)[0], process.returncode) == ("tidy\n", 5)
