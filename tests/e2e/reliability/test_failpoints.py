"""The program dies at each step of a load that has a name: what stands then is whole, and the next run completes it."""

from __future__ import annotations

import signal

import pytest

from headwater.base.failpoint import POINTS

from .conftest import DATABASES, IS_LONG, METHODS, times
from .test_kill_matrix import Story

# How often a point is tried, each time a pass later.
TIMES = {"spool.written": 1, "file.written": 1}
# Where it matters how rows are put in place; at the other points, one method is as good as another.
BY_METHOD = ("commit.loaded", "commit.booked", "commit.done")
CELLS = [
    (method, point) for method in METHODS for point in POINTS if IS_LONG or method == "append" or point in BY_METHOD
]


@pytest.mark.parametrize(("method", "point"), CELLS)
@pytest.mark.parametrize("warehouse", DATABASES, indirect=True)
def test_a_death_at_each_step(pipeline, warehouse, method, point, figures, hw):
    hw.environ["MELTANO_STATE_BACKEND_URI"] = f"file://{hw.root}/states"
    made = pipeline(method)
    story = Story(made)
    for number in range(1, TIMES.get(point, times(2, 3)) + 1):
        small = {f"TARGET_{warehouse.name.upper()}__MEMORY_BYTES": 1000} if point == "spool.written" else {}
        done = hw(*story.argv(), **story.env(), **small, HEADWATER_FAILPOINT=f"{point}:{number}")
        if done.code == 0:
            break  # a run that replaces commits once
        assert done.code == -signal.SIGKILL, done.err
        figures("fail-points", f"{point} × {method} × {warehouse.name}")
        story.check()
        story.go_on(ended_well=False)
    else:
        number += 1
    assert number > 1, f"a load into {warehouse.name} never comes to {point}"
    hw.ok(*story.argv(), **story.env(), TAP_NUMBERS_PAUSE=0)
    assert warehouse.rows() == story.finished()
    assert made.kept_state() == warehouse.reached() == story.upto
