"""Timing whole processes: wall seconds and the CPU seconds of a command with all its children."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple


class Run(NamedTuple):
    wall: float
    cpu: float


class Median(NamedTuple):
    wall: float
    cpu: float
    runs: int


def once(command: list[str], *, cwd: Path, env: dict[str, str] | None = None) -> Run:
    """Run a command to its end. Raises when it fails: a failed run has no time."""
    before = os.times()
    start = time.perf_counter()
    done = subprocess.run(command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    wall = time.perf_counter() - start
    after = os.times()
    if done.returncode:
        sys.stderr.write(done.stdout.decode(errors="replace")[-3000:])
        raise SystemExit(f"{command} exited with {done.returncode}")
    cpu = after.children_user - before.children_user + after.children_system - before.children_system
    return Run(wall, cpu)


def alternating(
    commands: dict[str, list[str]], *, rounds: int, cwd: dict[str, Path], env: dict[str, dict[str, str]]
) -> dict[str, Median]:
    """Each command once a round, in turn, so that a machine that drifts slows all of them; one round to warm up."""
    seen: dict[str, list[Run]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            run = once(command, cwd=cwd[name], env=env[name])
            if number:
                seen[name].append(run)
    return {
        name: Median(statistics.median(run.wall for run in runs), statistics.median(run.cpu for run in runs), len(runs))
        for name, runs in seen.items()
    }
