"""Runs in the environment of a plugin: loads dbt once, then runs each command in a fork of itself.

A fork is a process of its own: what a command does to dbt's module state, its variables or its folder is gone with it.
Started as `python worker.py PROGRAM ADAPTER` with one end of a SOCK_SEQPACKET pair as standard input. A request is
JSON (`argv`, `env`, `cwd`) with the descriptor that takes the command's output; answers are `{"pid": …}`, then
`{"code": …}`, or `{"odd": why}` when a command can't be run here. Ends when the other side is gone.

Imports nothing but dbt and the standard library: the Python here is another than that of this program.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import json
import os
import select
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, NoReturn

_PR_SET_PDEATHSIG = 1
_REQUEST_BYTES = 1 << 20
# A project of one model and one test: parsing it makes dbt build what it builds late (its classes' parsers and
# schemas), half of the time of a first command. Nothing is connected to.
_PROJECT = 'name: warm\nversion: "1.0"\nprofile: warm\nflags: {send_anonymous_usage_stats: false}\n'
_MODEL = "select 1 as id\n"
_PROPERTIES = "models:\n- name: m\n  columns:\n  - name: id\n    data_tests: [not_null]\n"
_SERVER = {"host": "localhost", "port": 5432, "user": "nobody", "password": "none", "dbname": "none"}
_PROFILES: dict[str, dict[str, Any]] = {
    "duckdb": {"type": "duckdb", "path": ":memory:"},
    "postgres": {"type": "postgres", "schema": "none", **_SERVER},
    "redshift": {"type": "redshift", "schema": "none", **_SERVER},
}


class _Worker:
    def __init__(self, program: str, adapter: str) -> None:
        self.control = socket.socket(fileno=os.dup(0))
        self.program = program
        self.adapter = adapter
        self.child = 0
        self.is_warm = False
        self.main: Any = None

    def load(self) -> str | None:
        """Import dbt; what is wrong when that fails."""
        try:
            self.main = importlib.import_module("dbt.cli.main")
            if self.adapter:
                importlib.import_module(f"dbt.adapters.{self.adapter}")
        except Exception as error:  # noqa: BLE001 - whatever it is, the other side goes on without us
            return f"{type(error).__name__}: {error}"
        return None

    def answer(self, **fields: object) -> None:
        with contextlib.suppress(OSError):  # nobody there any more: the loop will see that too
            self.control.send(json.dumps(fields).encode())

    def reap(self, *_: object) -> None:
        """Tell of the command's end: from a signal handler, for the loop may be busy with `warm_up`."""
        if not self.child:
            return
        pid, status = os.waitpid(self.child, os.WNOHANG)
        if pid:
            self.child = 0
            self.answer(code=os.waitstatus_to_exitcode(status))

    def serve(self) -> int:
        """Returns when the other side is gone."""
        problem = self.load()
        gc.collect()
        gc.freeze()  # the collector would copy every page by writing its marks
        signal.signal(signal.SIGCHLD, self.reap)
        # A signal that comes just before a blocking call would wait for the call's end; this wakes it.
        woken, waker = socket.socketpair()
        waker.setblocking(False)
        signal.set_wakeup_fd(waker.fileno())
        while True:
            ready, _, _ = select.select([self.control, woken], [], [])
            if woken in ready:
                woken.recv(1 << 10)
            if self.control not in ready:
                continue
            data, descriptors, _, _ = socket.recv_fds(self.control, _REQUEST_BYTES, 1)
            if not data:
                return 0
            problem = problem or _odd()
            if problem or len(descriptors) != 1:
                self.answer(odd=problem or "no output given")
                continue
            request = json.loads(data)
            sys.stdout.flush()
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
            pid = os.fork()
            if pid == 0:
                _end(self.command(request, descriptors[0]))
            os.close(descriptors[0])
            self.child = pid
            self.answer(pid=pid)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
            if not self.is_warm:
                self.is_warm = True
                self.warm_up()

    def command(self, request: dict[str, Any], output: int) -> int:
        """What `PROGRAM ARGV…` would do, in this process, which is a fork."""
        worker = os.getppid()
        os.setpgid(0, 0)
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != worker:
            return 1  # the worker was killed before it could take us along
        for number, action in ((signal.SIGCHLD, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
            signal.signal(number, action)
        signal.set_wakeup_fd(-1)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        self.control.close()
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(source, target)
        os.close(nothing)
        os.close(output)
        os.environ.clear()
        os.environ.update(request["env"])
        time.tzset()
        os.chdir(request["cwd"])
        sys.argv = [self.program, *request["argv"]]
        try:
            self.main.cli()
        except SystemExit as exit_:
            if exit_.code is None or isinstance(exit_.code, int):
                return exit_.code or 0
            sys.stderr.write(f"{exit_.code}\n")
            return 1
        return 0

    def warm_up(self) -> None:
        """Parse a project of our own, beside the first command. A failure only costs the time it would have saved."""
        profile = _PROFILES.get(self.adapter)
        if profile is None:
            return
        before = Path.cwd()
        folder = Path(tempfile.mkdtemp(prefix="headwater-dbt-"))
        try:
            (folder / "models").mkdir()
            (folder / "dbt_project.yml").write_text(_PROJECT)
            (folder / "profiles.yml").write_text(json.dumps({"warm": {"target": "t", "outputs": {"t": profile}}}))
            (folder / "models" / "m.sql").write_text(_MODEL)
            (folder / "models" / "m.yml").write_text(_PROPERTIES)
            places = [("project", "dir"), ("profiles", "dir"), ("target", "path"), ("log", "path")]
            options = [f"--{name}-{kind}={folder}" for name, kind in places]
            # The static parser starts threads of its own, which a fork would wait for in vain.
            options += ["--quiet", "--log-level-file=none", "--no-static-parser"]
            for mode in ("--no-partial-parse", "--partial-parse"):
                self.main.dbtRunner().invoke(["parse", mode, *options])
        except Exception:  # noqa: BLE001, S110 - see above
            pass
        finally:
            os.chdir(before)
            shutil.rmtree(folder, ignore_errors=True)
        gc.collect()
        gc.freeze()


def _end(code: int) -> NoReturn:
    """End a command's process as Python would: its threads, what modules asked to be done at the end. Only the taking
    apart of modules is left out, which would copy every page of the worker."""
    with contextlib.suppress(Exception):
        threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 - what Python itself calls first
    with contextlib.suppress(Exception):
        atexit._run_exitfuncs()  # noqa: SLF001 - and second
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _odd() -> str | None:
    """Why this process can't be forked safely: another thread may hold a lock that the fork would wait for."""
    threads = sum(1 for _ in Path("/proc/self/task").iterdir())
    return f"{threads} threads" if threads != 1 else None


if __name__ == "__main__":
    sys.path[0] = str(Path(sys.argv[1]).parent)  # as for the program itself; not the folder of this file
    sys.exit(_Worker(sys.argv[1], sys.argv[2]).serve())
