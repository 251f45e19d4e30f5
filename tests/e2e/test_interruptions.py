"""Kills, signals and two runs at once: nothing is lost, nothing comes twice, nobody stays behind."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import time

import pytest

PROJECT = """\
default_environment: dev
environments: [{name: dev}]
plugins:
  extractors:
  - name: tap-numbers
    namespace: numbers
    executable: ./bin/tap_numbers
    capabilities: [discover, catalog, state]
    settings:
    - {name: upto, kind: integer}
    - {name: pause}
    - {name: padding, kind: integer}
    - {name: stubborn, kind: boolean}
    config: {upto: 1000000, pause: 0.01}
  loaders:
  - name: target-lines
    namespace: lines
    executable: ./bin/target_lines
  - name: target-duckdb
    variant: headwater
"""

SINGER = ("run", "tap-numbers", "target-lines")
NATIVE = ("run", "tap-numbers", "target-duckdb")


@pytest.fixture
def counting(project, group_members):
    hw = project(PROJECT)
    hw.script("tap_numbers")
    hw.script("target_lines")
    group_members(hw.root)
    return hw


def lines(hw):
    file = hw.root / "loaded.jsonl"
    return file.read_text().splitlines() if file.exists() else []


def position(hw, loader):
    return hw.state(f"dev:tap-numbers-to-{loader}")["bookmarks"]["numbers"]["id"]


def warehouse(hw):
    """Rows, and up to where the checkpoint that stands with them vouches."""
    if not hw.query("select 1 from information_schema.tables where table_name = 'numbers'"):
        return [], 0
    rows = [number for (number,) in hw.query("select id from numbers.numbers order by id")]
    ((state,),) = hw.query("select state from _headwater.checkpoint")
    return rows, json.loads(state)["bookmarks"]["numbers"]["id"]


def test_killed_at_any_moment_a_load_is_completed_exactly_once_by_the_next_run(counting, group_members, until):
    last = 4000
    # A commit every MB, some twenty in all.
    big = {
        "TAP_NUMBERS_UPTO": last,
        "TAP_NUMBERS_PAUSE": 0,
        "TAP_NUMBERS_PADDING": 5_000,
        "TARGET_DUCKDB__COMMIT_BYTES": 1_000_000,
    }
    reached = [0]
    for delay in (0.4, *(random.uniform(0.4, 1.2) for _ in range(4))):  # noqa: S311 - no secret
        process = counting.start(*NATIVE, **big)
        time.sleep(delay)
        process.kill()
        process.wait()
        until(lambda: not group_members(counting.root), what="the end of the tap")
        if (counting.root / "warehouse.duckdb").exists():
            rows, vouched = warehouse(counting)
            assert rows == list(range(1, vouched + 1))
            assert vouched >= reached[-1]
            reached.append(vouched)
    counting.ok(*NATIVE, **big)
    assert warehouse(counting) == (list(range(1, last + 1)), last), f"after kills at {reached}"
    assert position(counting, "target-duckdb") == last


def test_of_two_runs_of_one_pipeline_exactly_one_runs(counting, until):
    first = counting.start(*SINGER)
    until(lambda: lines(counting), what="the first run to load")
    second = counting(*SINGER)
    assert second.code == 1
    (run,) = [run for run in json.loads(counting.ok("logs", "list", "--json").out) if run["outcome"] == "running"]
    assert re.sub(r"since \S+Z", "since …", second.error) == (
        "error: `dev:tap-numbers-to-target-lines` is already running [already-running]\n"
        f"  run {run['run_id']}, process {first.pid}, since …\n"
        "hint: wait for it to end, or run beside it: headwater run --force …\n"
    )
    assert first.poll() is None
    first.terminate()
    assert first.wait(60) == 143
    numbers = [json.loads(line)["id"] for line in lines(counting)]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_singer_run_in_order(counting, group_members, until, number, code):
    process = counting.start(*SINGER)
    until(lambda: len(lines(counting)) > 20, what="rows")
    os.killpg(process.pid, number)  # as a terminal does it
    assert process.wait(60) == code
    assert group_members(counting.root) == []
    assert "Traceback" not in counting.stderr
    assert f"stopped by {number.name}" in counting.stderr
    # What the target was given is loaded, what it vouched for is the state: the next run goes on from there.
    assert position(counting, "target-lines") == len(lines(counting))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_native_load_with_what_was_vouched_for(counting, group_members, until, number, code):
    process = counting.start(*NATIVE)
    until(lambda: any("tap_numbers" in command for command in group_members(counting.root)), what="the tap")
    time.sleep(3)
    os.killpg(process.pid, number)
    assert process.wait(60) == code
    assert group_members(counting.root) == []
    assert "Traceback" not in counting.stderr
    rows, vouched = warehouse(counting)
    assert rows == list(range(1, vouched + 1))
    assert len(rows) > 10
    assert position(counting, "target-duckdb") == vouched
    counting.ok(*NATIVE, TAP_NUMBERS_UPTO=vouched + 5, TAP_NUMBERS_PAUSE=0)
    assert warehouse(counting)[0] == list(range(1, vouched + 6))


def test_a_second_ctrl_c_stops_a_plugin_that_does_not_listen(counting, group_members, until):
    process = counting.start(*SINGER, TAP_NUMBERS_STUBBORN="true")
    until(lambda: len(lines(counting)) > 5, what="rows")
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None
    started = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(60) == 130
    assert time.monotonic() - started < 40
    assert group_members(counting.root) == []
    assert "Traceback" not in counting.stderr


def test_after_a_kill_between_two_programs_the_next_run_goes_on_and_nothing_private_stays(
    counting, group_members, until
):
    secret = {"TAP_NUMBERS_SECRET": "hush-hush-hush"}
    counting.ok(*SINGER, TAP_NUMBERS_UPTO=3, TAP_NUMBERS_PAUSE=0)
    process = counting.start(*SINGER, **secret)
    until(lambda: len(lines(counting)) > 20, what="rows")
    process.kill()
    process.wait()
    until(lambda: not group_members(counting.root), what="the end of tap and target")
    run = json.loads(counting.ok("logs", "list", "--json").out)[0]
    assert run["outcome"] == "failed"
    assert position(counting, "target-lines") >= 3  # no state is lost, that of the run before least
    last = len(lines(counting)) + 5
    counting.ok(*SINGER, TAP_NUMBERS_UPTO=last, TAP_NUMBERS_PAUSE=0, **secret)  # nobody holds its lock
    assert {json.loads(line)["id"] for line in lines(counting)} == set(range(1, last + 1))
    assert position(counting, "target-lines") == last
    assert [path.name for path in (counting.root / ".headwater/run").iterdir()] == [".lock"]
    holding = [path for path in counting.root.rglob("*") if path.is_file() and b"hush-hush" in path.read_bytes()]
    assert holding == []


def test_a_time_limit_ends_a_run(counting, group_members):
    done = counting("run", "--timeout", "2", "tap-numbers", "target-lines")
    assert done.code == 1
    assert done.error == (
        "error: stopped after 2.0 s, the time limit of the run [timed-out]\nhint: headwater run --timeout 7200\n"
    )
    assert position(counting, "target-lines") == len(lines(counting))
    assert group_members(counting.root) == []
