"""Many small scheduled runs, one after another, of which some are hurt: what a run makes for itself is gone with it."""

from __future__ import annotations

import re
import signal

import pytest

from .conftest import DATABASES, rest, times, wait_for_end
from .test_kill_matrix import hurt, taps

ROWS = 25  # that are new in each run, and one state
FAULTS = 0.05
SIGNALS = (signal.SIGKILL, signal.SIGTERM)


@pytest.mark.parametrize("warehouse", DATABASES, indirect=True)
def test_scheduled_runs_leave_nothing_behind(pipeline, warehouse, chance, until, group_members, figures, hw, tmp_path):
    made = pipeline("append")
    hw.environ["TMPDIR"] = str(tmp_path / "tmp")
    (tmp_path / "tmp").mkdir()
    hw.ok("schedule", "add", "often", "--extractor", "tap-numbers", "--loader", made.loader, "--interval", "@hourly")
    # A schedule's state has its own id.
    made.state_id = "often"
    upto = ROWS
    hw.ok("schedule", "run", "often", TAP_NUMBERS_UPTO=upto)
    former = left(hw, warehouse, tmp_path)
    wanted = times(5, 667)
    faults = 0
    for number in range(wanted):
        upto = warehouse.reached() + ROWS
        process = hw.start("schedule", "run", "often", TAP_NUMBERS_UPTO=upto, TAP_NUMBERS_PAUSE=0.002)
        if number == 1 or chance.random() < FAULTS:
            until(lambda p=process: p.poll() is not None or taps(hw.root), what="the tap")
            rest(chance.uniform(0, 0.3))
            faults += hurt(chance.choice(([process.pid], taps(hw.root))), chance.choice(SIGNALS))
            wait_for_end(process, until, group_members, hw.root)
            assert warehouse.rows() == made.expected("number", warehouse.reached())
            continue
        assert wait_for_end(process, until, group_members, hw.root) == 0, hw.stderr
        assert warehouse.reached() == upto
    hw.ok("schedule", "run", "often", TAP_NUMBERS_UPTO=upto)
    assert warehouse.rows() == made.expected("number", upto)
    assert made.kept_state() == upto
    assert left(hw, warehouse, tmp_path) == former
    figures("soak", f"scheduled runs × {warehouse.name}", wanted)
    figures("soak", f"of these hurt × {warehouse.name}", faults)


def left(hw, warehouse, tmp_path):
    """Files, tables and sessions that are there between two runs. Of files the names, without what is made up."""
    files = {
        re.sub(r"[0-9a-f]{8,}", "…", path.relative_to(tmp_path).as_posix())
        for folder in (hw.root, tmp_path / "tmp")
        for path in folder.rglob("*")
        if "/bin/" not in path.as_posix()
    }
    match warehouse.name:
        case "postgres":
            named, open_ = (
                "table_schema || '.' || table_name",
                "pg_stat_activity where application_name like 'headwater%'",
            )
        case "mysql":
            named, open_ = (
                "concat(table_schema, '.', table_name)",
                "information_schema.processlist where db = 'reliability'",
            )
        case _:
            named, open_ = "table_schema || '.' || table_name", None
    tables = {name for (name,) in warehouse.query(f"select {named} from information_schema.tables")}
    sessions = warehouse.query(f"select count(*) from {open_}")[0][0] if open_ else 0
    return files, tables, sessions
