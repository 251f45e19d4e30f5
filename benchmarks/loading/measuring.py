"""Runs a job's ways in turn, round after round, and looks at what arrived after every single run."""

from __future__ import annotations

import sys

from loading.bench import Bench, Job, Way, environment
from loading.processes import CommandFailedError, Run, run
from loading.results import JobResult, WayResult

SECONDS = 1200


def measure(bench: Bench, job: Job, rounds: int) -> JobResult:
    """Every second round goes backwards, for who comes behind a way that has just written a lot finds a busy disk: an
    even number of rounds is fair to all. A way that fails or delivers something wrong is not run again."""
    runs: dict[str, list[Run]] = {way.name: [] for way in job.ways}
    wrong: dict[str, str] = {}
    if job.continues is not None:
        for way in job.ways:
            way.before()
            _try(bench, way, wrong)
    for number in range(1, rounds + 1):
        if job.continues is not None:
            job.continues(number)
        for way in job.ways if number % 2 else job.ways[::-1]:
            if way.name in wrong:
                continue
            if job.continues is None:
                way.before()
            else:
                bench.server.settle()
            found = _try(bench, way, wrong)
            if found is not None:
                runs[way.name].append(found)
    for way in job.ways:
        if job.continues is None:
            way.before()  # gives the disk back
    return JobResult(
        name=job.name,
        title=job.title,
        about=job.about,
        records=job.records,
        most_mb=job.most_mb,
        ways=[
            WayResult(
                name=way.name,
                role=way.role.value,
                runs=runs[way.name],
                records=way.records or job.records,
                wrong=wrong.get(way.name, ""),
            )
            for way in job.ways
        ],
        goals=job.goals,
    )


def _try(bench: Bench, way: Way, wrong: dict[str, str]) -> Run | None:
    sys.stderr.write(f"  {way.name}: ")
    sys.stderr.flush()
    env = environment(way.env)
    try:
        found = run(way.command, cwd=way.cwd, env=env, server_cpu=bench.server.cpu, seconds=SECONDS)
        problem = way.check()
    except CommandFailedError as error:
        found, problem = None, str(error)
    if found is None or problem:
        wrong[way.name] = problem
        sys.stderr.write(f"wrong: {problem}\n")
        return None
    sys.stderr.write(
        f"{found.wall:.2f} s, CPU {found.cpu:.2f} s, server {found.server:.2f} s, {found.peak_mb:.0f} MB\n"
    )
    return found
