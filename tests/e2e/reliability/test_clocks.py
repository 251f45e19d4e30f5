"""The clock jumps between two runs, by minutes or by years: what was loaded, and what comes next, does not depend on
it."""

from __future__ import annotations

import sys

import pytest

from .conftest import DATABASES, LAST, times
from .test_kill_matrix import Story

# The program as it is, in a process whose clock is off by so many seconds.
AT = """
import datetime, os, sys
from headwater.base import clock
real, off = clock.now, datetime.timedelta(seconds=float(os.environ["CLOCK_OFF"]))
clock.now = lambda: real() + off
from headwater.cli.main import main
main()
"""
DAY = 86_400
JUMPS = [400 * DAY, -3 * DAY, 0, -3600, -20 * 365 * DAY, DAY]


@pytest.mark.parametrize("method", ["append", "upsert", "history"])
@pytest.mark.parametrize("warehouse", DATABASES, indirect=True)
def test_a_clock_that_jumps_between_runs(pipeline, warehouse, method, chance, figures, hw, monkeypatch):
    made = pipeline(method)
    story = Story(made)
    monkeypatch.setattr(hw, "argv", lambda *args: [sys.executable, "-c", AT, *map(str, args)])
    jumps = JUMPS[:3] if not times(0, 1) else JUMPS + [chance.randint(-5, 5) * DAY for _ in range(times(0, 20))]
    for jump in jumps:
        done = hw.ok(*story.argv(), **story.env(), TAP_NUMBERS_PAUSE=0, CLOCK_OFF=jump)
        assert "warning" not in done.err
        assert warehouse.rows() == story.finished()
        assert made_state(hw, made) == warehouse.reached() == story.upto
        story.check_versions()
        story.go_on(ended_well=True)
        figures("clock that jumps", f"{method} × {warehouse.name}")
    if method == "append":
        assert len(warehouse.rows()) == LAST * len(jumps)


def made_state(hw, made):
    hw.environ["CLOCK_OFF"] = "0"
    return made.kept_state()
