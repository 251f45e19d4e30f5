"""Runs in the environment of a plugin: loads dbt once, then runs each command in a fork of itself; or one alone.

A fork is a process of its own: what a command does to dbt's module state, its variables or its folder is gone with it.
Started as `python worker.py PROGRAM ADAPTER FOLDER` with one end of a SOCK_SEQPACKET pair as standard input. A request
is JSON (`argv`, `env`, `cwd`) with the descriptor that takes the command's output; answers are `{"pid": …}`, then
`{"code": …}`, or `{"odd": why}` when a command can't be run here. Ends when the other side is gone, which also wipes
the FOLDER that it works in.
Started as `python worker.py PROGRAM --alone ARGV…` it is that one command; where dbt is not as expected, PROGRAM
itself.

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
import re
import select
import shutil
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any, NoReturn

_PR_SET_PDEATHSIG = 1
# Macros by which dbt itself begins: to make a node, to test one, to ask a database.
_CALLED = re.compile(
    r"materialization_(view|table|incremental|test|seed)_\w+|(\w+__)?test_(unique|not_null|accepted_values|relationships)|"
    r"(\w+__)?(list_schemas|create_schema|list_relations_without_caching|rename_relation|drop_relation)|"
    r"(\w+__)?(generate_(schema|alias|database)_name|get_columns_in_relation|get_where_subquery)"
)
_PARSED = "partial_parse.msgpack"
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
    def __init__(self, program: str, adapter: str, folder: str) -> None:
        self.control = socket.socket(fileno=os.dup(0))
        self.program = program
        self.adapter = adapter
        self.folder = Path(folder)
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
        _quicken()
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
        return _run(self.main, [self.program, *request["argv"]])

    def warm_up(self) -> None:
        """Parse a project of our own and build nothing of it, beside the first command: what dbt loads and makes late
        is then there for the next. A failure only costs the time it would have saved."""
        profile = _PROFILES.get(self.adapter)
        if profile is None:
            return
        before = Path.cwd()
        folder = self.folder
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
            # To read dbt's own macros takes longer than many a first command: it is done once for an environment.
            parsed, kept = folder / _PARSED, Path(sys.prefix, f"headwater-{self.adapter}-{_PARSED}")
            with contextlib.suppress(OSError):
                shutil.copyfile(kept, parsed)
            before_it = _changed(parsed)
            manifest = self.main.dbtRunner().invoke(["parse", *options]).result
            if _changed(parsed) != before_it:  # there was none, or one of another dbt
                _put(parsed, kept)
            self.main.dbtRunner().invoke(["build", "--exclude", "fqn:*", *options])
            for name in ("test", "run", "compile", "docs.generate"):
                importlib.import_module(f"dbt.task.{name}")
            _compile_macros(manifest.macros)
        except Exception:  # noqa: BLE001, S110 - see above
            pass
        finally:
            os.chdir(before)
        gc.collect()
        gc.freeze()


def _compile_macros(macros: dict[str, Any]) -> None:
    """Let Jinja make Python of the macros that most commands call, and of those that they call."""
    compiled = importlib.import_module("dbt_common.clients.jinja").template_cache
    left = [key for key, macro in macros.items() if _CALLED.fullmatch(macro.name)]
    seen = set(left)
    while left:
        macro = macros[left.pop()]
        compiled.get_node_template(macro)
        more = [key for key in macro.depends_on.macros if key in macros and key not in seen]
        seen.update(more)
        left += more


def _changed(path: Path) -> int:
    """When a file was written, in ns; 0 where there is none."""
    return path.stat().st_mtime_ns if path.exists() else 0


def _put(path: Path, to: Path) -> None:
    """Copy a file, so that others see all of it or nothing."""
    new = to.with_name(f"{to.name}.{os.getpid()}")
    shutil.copyfile(path, new)
    new.replace(to)


def _alone(program: str, argv: list[str]) -> int:
    """What `PROGRAM ARGV…` would do, in this process."""
    try:
        main = importlib.import_module("dbt.cli.main")
    except Exception:  # noqa: BLE001 - not a dbt that we know, or a broken one, which tells of that itself
        os.execv(program, [program, *argv])  # noqa: S606 - the program that was asked for
    _quicken()
    return _run(main, [program, *argv])


def _run(main: Any, argv: list[str]) -> int:
    """A command of dbt's, to its exit code."""
    sys.argv = argv
    try:
        ended = main.cli()
    except SystemExit as exit_:
        ended = exit_.code
    if ended is None or isinstance(ended, int):
        return ended or 0
    sys.stderr.write(f"{ended}\n")
    return 1


def _quicken() -> None:
    """Spare dbt a third of a small command's time, with the same results and the same files.

    - `json.dump` walks what it writes in Python; `dumps` writes the same text in C.
    - dbt makes a line of every debug event for its JSON log; of those, only the ends of nodes are read by anyone.
    - Most of dbt's objects live as long as the command: looking for circles among them every 700 is for nothing.

    Where dbt has changed, nothing is replaced.
    """

    def dump(obj: Any, fp: Any, **options: Any) -> None:
        fp.write(json.dumps(obj, **options))

    json.dump = dump
    gc.set_threshold(50_000, 20, 50)
    try:
        logger = importlib.import_module("dbt_common.events.logger")
        write_line, by_json = logger._Logger.write_line, logger._JsonLogger  # noqa: SLF001 - there is no public way
    except (ImportError, AttributeError):
        return

    def write_what_is_read(self: Any, msg: Any) -> None:
        is_for_us = isinstance(self, by_json) and self.name == "stdout_log"  # the log file keeps everything
        if is_for_us and msg.info.level == "debug" and msg.info.name != "NodeFinished":
            return
        write_line(self, msg)

    logger._Logger.write_line = write_what_is_read  # noqa: SLF001 - as above


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
    if sys.argv[2] == "--alone":
        sys.exit(_alone(sys.argv[1], sys.argv[3:]))
    # Nothing is left to do, and to take all of dbt apart takes a while.
    os._exit(_Worker(*sys.argv[1:4]).serve())
