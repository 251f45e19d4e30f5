"""One command as a whole process tree: wall seconds, CPU seconds with all its children, peak memory."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

SAMPLES_EACH_SECOND = 20
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


class Run(NamedTuple):
    """`server` is the CPU that the database server spent meanwhile; `peak_mb` is the largest sum of the resident
    memory of all processes of the command, in 10^6 bytes."""

    wall: float
    cpu: float
    server: float
    peak_mb: float


class CommandFailedError(Exception):
    """A command that did not end well; its text is the end of what it printed."""


def run(command: list[str], *, cwd: Path, env: dict[str, str], server_cpu: Callable[[], float], seconds: float) -> Run:
    """Run a command to its end. Raises CommandFailedError when it fails or takes longer than `seconds`."""
    output = cwd / "output.log"
    server = server_cpu()
    before = os.times()
    start = time.perf_counter()
    with (
        output.open("wb") as log,
        subprocess.Popen(
            command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        ) as process,
    ):
        sampler = _Sampler(process.pid)
        sampler.start()
        try:
            process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            _end(process.pid)
            process.wait()
            raise CommandFailedError(f"not done after {seconds:.0f} s") from None
        except BaseException:  # the benchmark itself is told to end
            _end(process.pid)
            raise
        finally:
            wall = time.perf_counter() - start
            sampler.stop()
    after = os.times()
    if process.returncode:
        sys.stderr.write(output.read_text(errors="replace")[-3000:])
        last = [line for line in output.read_text(errors="replace").splitlines() if line.strip()][-1:]
        raise CommandFailedError(f"exit code {process.returncode}: {' '.join(last)[:200]}")
    cpu = after.children_user - before.children_user + after.children_system - before.children_system
    return Run(wall, cpu, server_cpu() - server, sampler.peak / 1e6)


def tree_cpu(pid: int) -> float:
    """CPU seconds of a process and its children, those that ended included."""
    total = sum(_stat(pid)[11:15])
    return (total + sum(sum(_stat(child)[11:13]) for child in _children(pid))) / TICKS


class _Sampler(threading.Thread):
    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.peak = 0
        self._pid = pid
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(1 / SAMPLES_EACH_SECOND):
            self.peak = max(self.peak, sum(map(_resident, _tree(self._pid))))

    def stop(self) -> None:
        self._ended.set()
        self.join()


def _end(pid: int) -> None:
    for each in reversed(_tree(pid)):
        try:
            os.kill(each, 9)
        except ProcessLookupError:
            continue


def _tree(pid: int) -> list[int]:
    found = [pid]
    for each in found:
        found += _children(each)
    return found


def _children(pid: int) -> list[int]:
    children: list[int] = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            children += map(int, (task / "children").read_text().split())
    except OSError:
        pass  # ended meanwhile
    return children


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0


def _stat(pid: int) -> list[int]:
    """The numbers of /proc/PID/stat after the name and the state; [11:15] are user, system, and the children's."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return [0] * 15
    return [0, *map(int, text.rpartition(")")[2].split()[1:])]
