"""Nobody reads any more: what the run says goes nowhere, what it loads and how it ends stay the same. And when a
program of the run goes away, it is named, not the pipe that broke."""

from __future__ import annotations

import subprocess

import pytest

from .conftest import LAST, times
from .test_kill_matrix import Story, hurt, programs


@pytest.mark.parametrize("log_format", ["plain", "json"])
@pytest.mark.parametrize("warehouse", ["duckdb"], indirect=True)
def test_a_reader_of_the_log_that_goes_away(pipeline, warehouse, log_format, chance, figures, hw):
    made = pipeline("append")
    upto = 0
    for _ in range(times(2, 20)):
        upto += LAST
        with subprocess.Popen(
            hw.argv("--log-format", log_format, *made.argv(anew=False)),
            cwd=hw.root,
            env=hw._env({"TAP_NUMBERS_UPTO": upto}),
            stderr=subprocess.PIPE,
        ) as run:
            assert run.stderr.read(chance.randrange(1, 200))
            run.stderr.close()
            assert run.wait(60) == 0
        assert warehouse.rows() == made.expected("number", upto)
        assert made.kept_state() == warehouse.reached() == upto
        figures("broken pipe", f"reader of the {log_format} log")


@pytest.mark.parametrize("warehouse", ["duckdb"], indirect=True)
def test_a_failed_run_without_a_reader_stays_failed(pipeline, warehouse, figures, hw):
    made = pipeline("append")
    argv = hw.argv("--log-level", "disabled", *made.argv(anew=False))
    with subprocess.Popen(argv, cwd=hw.root, env=hw._env({"TAP_NUMBERS_UPTO": "many"}), stderr=subprocess.PIPE) as run:
        run.stderr.close()
        assert run.wait(60) == 2
    assert warehouse.rows() == []
    figures("broken pipe", "reader of the error")


@pytest.mark.parametrize("name", ["tap_numbers", "target"])
@pytest.mark.parametrize("warehouse", ["duckdb"], indirect=True)
def test_the_side_that_died_is_named(pipeline, warehouse, name, chance, until, figures, hw):
    """Of two programs joined by a pipe, each sees the other's end as a broken pipe or as the end of its input."""
    made = pipeline("upsert", as_target=True)
    story = Story(made)
    for _ in range(times(2, 20)):
        process = hw.start(*story.argv(), **story.env(), TAP_NUMBERS_PAUSE=0.01)
        until(lambda: programs(hw.root, name), what=name)
        until(lambda p=process: "counting from" in hw.stderr or p.poll() is not None, what="the first row")
        assert hurt(programs(hw.root, name), 9)
        assert process.wait(60) == 1
        dead = "extractor `tap-numbers`" if name == "tap_numbers" else f"loader `{made.loader}`"
        error = hw.stderr[hw.stderr.index("error: ") :]
        assert error.startswith(f"error: {dead} was killed by SIGKILL")
        assert "BrokenPipe" not in error
        figures("broken pipe", f"{'tap' if name == 'tap_numbers' else 'target'} gone")
