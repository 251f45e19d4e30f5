"""A disk that is full, whatever it is that does not fit: rows that wait, the state, the run's log, the warehouse. To
get there without a disk of one's own, no file may grow beyond a size that is drawn anew for each run."""

from __future__ import annotations

import pytest

from .conftest import DATABASES, times
from .test_kill_loaders import TargetStory
from .test_kill_matrix import Story


@pytest.mark.parametrize("method", ["append", "upsert"])
@pytest.mark.parametrize("warehouse", DATABASES, indirect=True)
def test_files_that_may_not_grow(pipeline, warehouse, method, chance, figures, hw):
    made = pipeline(method)
    story = Story(made)
    # What does not fit into this memory waits in a file.
    small = {f"TARGET_{warehouse.name.upper()}__MEMORY_BYTES": 1000}
    seen = tried(hw, story, small, chance)
    figures("full disk", f"{method} × {warehouse.name}", seen)
    hw.ok(*story.argv(), **story.env(), **small, TAP_NUMBERS_PAUSE=0)
    assert warehouse.rows() == story.finished()
    assert made.kept_state() == warehouse.reached() == story.upto


@pytest.mark.parametrize("warehouse", ["duckdb", "postgres"], indirect=True)
def test_files_that_may_not_grow_behind_a_target(pipeline, warehouse, chance, figures, hw):
    made = pipeline("append", as_target=True)
    story = TargetStory(made)
    figures("full disk", f"Singer target × append × {warehouse.name}", tried(hw, story, {}, chance))
    hw.ok(*story.argv(), **story.env(), TAP_NUMBERS_PAUSE=0)
    story.check()
    assert {*warehouse.rows()} == {*story.finished()}


def tried(hw, story, env, chance):
    """How many runs it hit."""
    wanted = times(4, 50)
    hits = 0
    for _ in range(4 * wanted):
        hw.file_bytes = int(2 ** chance.uniform(10, 22))
        done = hw(*story.argv(), **story.env(), **env, TAP_NUMBERS_PAUSE=0)
        hw.file_bytes = None
        assert "Traceback" not in done.err
        assert "[bug]" not in done.err, done.err
        if done.code:
            hits += 1
            assert f"\n{done.err}".count("\nerror: ") == 1, done.err
        story.check()
        story.go_on(ended_well=done.code == 0)
        if hits == wanted:
            break
    assert hits
    return hits
