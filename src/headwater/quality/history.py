"""Checks that compare with former runs: nothing is trained, the same history gives the same answer.

What a check saw last time counts only if it passed then. So a table that lost half of its rows fails until it is put
right, or until somebody writes `since` into the check: what was before that moment is forgotten.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from itertools import pairwise
from math import ceil, floor
from pathlib import Path

from msgspec import Struct, field

from headwater.base import clock
from headwater.base.text import duration
from headwater.connect.warehouses import Session
from headwater.model.event import Checked, Outcome, RunStarted, StepFinished, StepStarted, StreamStored
from headwater.plan.select import passes
from headwater.quality.checks import OF_HISTORY, Check, row_count
from headwater.run.runner import Run
from headwater.store.runs import Runs
from headwater.store.system_db import SystemDb

# So many runs of the project are looked through: each may hold other streams.
_MOST_RUNS = 400
# Makes the median of deviations comparable with a standard deviation.
_NORMAL = 1.4826
# A history without any change would make the first change an anomaly: so much is always allowed for.
_LEAST_SPREAD = 0.05


class Load(Struct, frozen=True):
    """A load of one table that succeeded: when it ended, and how many rows it brought."""

    at: str
    rows: int


class Seen(Struct, frozen=True):
    at: str
    observed: str


class Past(Struct, frozen=True, kw_only=True):
    """`loads` by table in small letters, `seen` by the names of checks that passed, each oldest first. `moment` is the
    present."""

    loads: Mapping[str, Sequence[Load]] = field(default_factory=dict)
    seen: Mapping[str, Sequence[Seen]] = field(default_factory=dict)
    moment: datetime = field(default_factory=clock.now)


class Verdict(Struct, frozen=True, kw_only=True):
    """`wrong`: how much is; 0 passes. `message` says what was compared, also of a check that passes for want of a
    history."""

    wrong: int = 0
    message: str | None = None
    observed: str | None = None


class Expected(Struct, frozen=True):
    median: float
    low: float
    high: float


def of_run(run: Run, checks: Sequence[Check]) -> Past:
    """What former runs of this environment, and this one so far, say; empty when no check asks for it."""
    if not any(check.kind in OF_HISTORY for check in checks):
        return Past()
    home = Path(run.plan.home)
    with closing(SystemDb(home)) as db:
        return read(Runs(db, home), run.plan.environment)


def read(runs: Runs, environment: str | None) -> Past:
    kinds = ("run-started", "step-started", "checked", "stream-stored", "step-finished")
    compared: set[str] = set()  # steps of this run that did not load: they compared tables with their source
    filters: dict[str, Sequence[str]] = {}
    places: dict[str, dict[str, str]] = {}
    loads: dict[str, list[Load]] = {}
    seen: dict[str, list[Seen]] = {}
    for stored in runs.recent(kinds, environment=environment, runs=_MOST_RUNS):
        match stored.event:
            case RunStarted():
                compared.clear()
            case StepStarted(step=step, streams=taken):
                filters[step] = taken
            case StreamStored(step=step, stream=stream, place=place):
                places.setdefault(step, {})[stream] = place.casefold()
            case Checked() as event:
                compared.add(event.step)
                if event.outcome is Outcome.SUCCESS and event.observed is not None:
                    seen.setdefault(event.check, []).append(Seen(stored.at, event.observed))
            case StepFinished(outcome=Outcome.SUCCESS, step=step, streams=streams) if step not in compared:
                # A stream that brought nothing is not mentioned; once it was loaded it is known where it would be.
                rows = {figures.stream: figures.loaded for figures in streams}
                for stream, place in places.get(step, {}).items():
                    is_asked = stream in rows or passes(stream, filters.get(step, ()))
                    if is_asked and (count := rows.get(stream, 0)) is not None:
                        loads.setdefault(place, []).append(Load(stored.at, count))
    return Past(loads=loads, seen=seen, moment=clock.now())


def judge(session: Session, check: Check, past: Past) -> Verdict:
    """Raises SqlError."""
    since = check.parameters["since"]
    loads = [load for load in past.loads.get(check.relation.words.casefold(), ()) if load.at >= since]
    seen = [one.observed for one in past.seen.get(check.name, ()) if one.at >= since]
    match check.kind:
        case "row_count_change":
            ((rows,),) = session.rows(row_count(check))
            return _change(check, int(rows), seen[-1] if seen else None)
        case "schema_drift":
            return _drift(check, session.columns(f"select * from {check.relation.sql}"), seen[-1] if seen else None)  # noqa: S608 - quoted
        case "volume_anomaly":
            return _volume(check, loads)
        case _:
            return _freshness(check, loads, past.moment)


def expected(values: Sequence[float], tolerance: float) -> Expected:
    """The range around the median of the values, `tolerance` spreads wide to each side.

    The spread is the median of the distances from the median, so a few odd values in the past change nothing; it is
    at least 5 % of the median.
    """
    middle = _median(values)
    spread = max(_NORMAL * _median([abs(value - middle) for value in values]), _LEAST_SPREAD * abs(middle))
    return Expected(middle, middle - tolerance * spread, middle + tolerance * spread)


def _change(check: Check, rows: int, before: str | None) -> Verdict:
    if before is None or before == "0":
        why = "nothing to compare with yet" if before is None else "it was empty before"
        return Verdict(message=f"{rows:,} rows; {why}", observed=str(rows))
    had, given = int(before), check.parameters
    # Whole numbers, so that 110 rows are no more than 10 % above 100.
    low = ceil(round(had * (1 + given["min"]), 6)) if "min" in given else None
    high = floor(round(had * (1 + given["max"]), 6)) if "max" in given else None
    wrong = (low is not None and rows < low) or (high is not None and rows > high)
    bounds = " and ".join(
        f"{word} {bound:,}" for word, bound in (("at least", low), ("at most", high)) if bound is not None
    )
    message = f"{check.relation.words} has {rows:,} rows, had {had:,} ({rows / had - 1:+.1%}); expected {bounds}"
    return Verdict(wrong=int(wrong), message=message if wrong else None, observed=str(rows))


def _drift(check: Check, columns: Mapping[str, str], before: str | None) -> Verdict:
    present = {name: type_.lower() for name, type_ in columns.items()}
    observed = json.dumps(present)
    wanted: dict[str, str | None] | None = check.parameters["columns"]
    if wanted is None and before is None:
        return Verdict(message=f"{len(present)} columns; nothing to compare with yet", observed=observed)
    if wanted is None:
        wanted = json.loads(before or "{}")
    now = {name.casefold(): type_ for name, type_ in present.items()}
    known = {name.casefold() for name in wanted}
    found = [f"`{name}` is gone" for name in wanted if name.casefold() not in now]
    found += [
        f"`{name}` is {now[name.casefold()]}, not {type_}"
        for name, type_ in wanted.items()
        if type_ is not None and now.get(name.casefold(), type_) != type_
    ]
    if not check.parameters["added"]:
        found += [f"`{name}` is new" for name in present if name.casefold() not in known]
    message = f"columns of {check.relation.words}: {', '.join(found)}" if found else None
    return Verdict(wrong=len(found), message=message, observed=observed)


def _volume(check: Check, loads: Sequence[Load]) -> Verdict:
    """Where most loads bring nothing, as those of every hour may, only those that bring rows are compared."""
    given = check.parameters
    counts = [load.rows for load in loads[-given["runs"] - 1 :]]
    if counts and not _median(counts):
        if not counts[-1]:
            return Verdict()
        counts = [load.rows for load in loads if load.rows][-given["runs"] - 1 :]
    *former, last = counts or [0]
    if len(former) < given["least"]:
        return Verdict(message=_too_few(len(former), given["least"]))
    usual = expected(former, given["tolerance"])
    low, high = max(0, floor(usual.low)), ceil(usual.high)
    if low <= last <= high:
        return Verdict()
    return Verdict(
        wrong=1,
        message=f"the last load of {check.relation.words} brought {last:,} rows; expected {low:,} to {high:,} "
        f"(median {usual.median:,.0f} of {len(former)} loads)",
    )


def _freshness(check: Check, loads: Sequence[Load], moment: datetime) -> Verdict:
    """How long ago rows came, compared with the times between loads that brought any."""
    given = check.parameters
    moments = [datetime.fromisoformat(load.at) for load in loads if load.rows][-given["runs"] - 1 :]
    gaps = [(later - earlier) / timedelta(seconds=1) for earlier, later in pairwise(moments)]
    if len(gaps) < given["least"]:
        return Verdict(message=_too_few(max(len(moments) - 1, 0), given["least"]))
    usual, age = expected(gaps, given["tolerance"]), (moment - moments[-1]).total_seconds()
    if age <= usual.high:
        return Verdict()
    return Verdict(
        wrong=1,
        message=f"no rows came into {check.relation.words} for {duration(age)}; expected some within "
        f"{duration(usual.high)} (median {duration(usual.median)} between {len(moments)} loads)",
    )


def _too_few(there: int, least: int) -> str:
    return f"not judged yet: {there} former loads, {least} needed"


def _median(values: Sequence[float]) -> float:
    ordered, half = sorted(values), len(values) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
