"""The measured figures as tables: ratios first, and at the end every goal with what was reached."""

from __future__ import annotations

from typing import NamedTuple

from loading.bench import Role
from loading.processes import Run
from loading.results import JobResult, WayResult


class Verdict(NamedTuple):
    """`limit` is what the job's limit, which knows nothing of rows, reaches of a goal that it misses itself."""

    job: str
    goal: str
    reached: str
    holds: bool | None
    by_work: str = ""
    limit: str = ""


def report(results: list[JobResult]) -> str:
    sections = ["## Loading, beside limits and other tools", "", INTRODUCTION, ""]
    for result in results:
        sections += [
            f"### {result.title}",
            "",
            result.about,
            "",
            *table(result),
            "",
            f"{result.records:,} rows; {result.setting}.",
            "",
        ]
    return "\n".join([*sections, *goals(results)])


INTRODUCTION = (
    "Whole processes in rounds, every second one backwards; medians. `× ours` is a way's wall time as a multiple of "
    "ours: read this, seconds say little on a shared machine. `work` compares the CPU seconds of command and server "
    "together, which other programs on the machine hardly touch. `CPU` is that of the command with all its children, "
    "`server` that of PostgreSQL meanwhile, `MB` the highest sum of resident memory of the command's processes. "
    "Whatever arrived was counted and compared by a checksum after every run."
)


def table(result: JobResult) -> list[str]:
    ours = _ours(result)
    base = result.scaled(ours) if ours else None
    lines = ["| | | × ours | work × | wall s | CPU s | server s | MB |", "|---|---|---|---|---|---|---|---|"]
    for way in sorted(result.ways, key=lambda way: result.scaled(way).wall if way.runs else 1e9):
        name = f"**{way.name}**" if way.role == Role.OURS else way.name
        if way.records != result.records:
            name += f" ({way.records:,} records, scaled)"
        if way.wrong or not way.runs:
            lines.append(f"| {name} | {way.role} | wrong: {way.wrong} | | | | | |")
            continue
        run = result.scaled(way)
        ratio = f"{run.wall / base.wall:.2f} | {_work(run) / _work(base):.2f}" if base else "– | –"
        lines.append(f"| {name} | {way.role} | {ratio} | {_figures(run)} |")
    return lines


def goals(results: list[JobResult]) -> list[str]:
    lines = ["### Goals", "", "| job | goal | reached | by work | |", "|---|---|---|---|---|"]
    lines += [
        f"| {verdict.job} | {verdict.goal} | {verdict.reached} | {verdict.by_work} | "
        f"{ {True: 'yes', False: '**no**', None: 'not known'}[verdict.holds] }{verdict.limit} |"
        for result in results
        for verdict in verdicts(result)
    ]
    return [*lines, ""]


def verdicts(result: JobResult) -> list[Verdict]:
    ours = _ours(result)
    found = []
    for goal in result.goals:
        others = [way for name in goal.against if (way := result.way(name))]
        named = goal.against[0] if len(goal.against) == 1 else f"the best of {', '.join(goal.against)}"
        text = f"at most {goal.most:g} × {named}" if goal.most else f"{goal.least:g} × faster than {named}"
        if ours is None or not others:
            found.append(Verdict(result.name, text, "–", None))
            continue
        mine, theirs = result.scaled(ours), min(result.scaled(way) for way in others)
        wall, work = mine.wall / theirs.wall, _work(mine) / _work(theirs)
        if goal.most:
            found.append(Verdict(result.name, text, f"{wall:.2f} ×", wall <= goal.most, f"{work:.2f} ×"))
        else:
            least = goal.least or 0
            holds = 1 / wall >= least
            limit = "" if holds else _of_limit(result, theirs, least)
            found.append(Verdict(result.name, text, f"{1 / wall:.2f} ×", holds, f"{1 / work:.2f} ×", limit))
    if ours is not None:
        peak = ours.median().peak_mb
        found.append(Verdict(result.name, f"under {result.most_mb} MB", f"{peak:.0f} MB", peak < result.most_mb))
        found += _leaner(result, ours)
    return found


def _of_limit(result: JobResult, theirs: Run, least: float) -> str:
    limits = [result.scaled(way).wall for way in result.ways if way.role == Role.LIMIT and way.runs and not way.wrong]
    if not limits or theirs.wall / min(limits) >= least:
        return ""
    return f"; nor does the limit: {theirs.wall / min(limits):.2f} ×"


def _leaner(result: JobResult, ours: WayResult) -> list[Verdict]:
    """Peers of like speed: those that take at most twice as long as we do."""
    alike = [
        way
        for way in result.ways
        if way.role == Role.PEER
        and way.runs
        and not way.wrong
        and result.scaled(way).wall <= 2 * result.scaled(ours).wall
    ]
    if not alike:
        return []
    least = min(alike, key=lambda way: way.median().peak_mb)
    mine, theirs = ours.median().peak_mb, least.median().peak_mb
    return [
        Verdict(
            result.name,
            "less memory than peers of like speed",
            f"{mine:.0f} MB, {least.name} {theirs:.0f} MB",
            mine < theirs,
        )
    ]


def _work(run: Run) -> float:
    return max(run.cpu + run.server, 0.001)


def _figures(run: Run) -> str:
    return f"{run.wall:.2f} | {run.cpu:.2f} | {run.server:.2f} | {run.peak_mb:.0f}"


def _ours(result: JobResult) -> WayResult | None:
    return next((way for way in result.ways if way.role == Role.OURS and way.runs and not way.wrong), None)
