"""Schedules on the command line, and what orchestrators read of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest


def test_a_schedule_of_a_job(hw):
    hw.ok("schedule", "add", "nightly", "--job", "daily", "--interval", "@daily")
    assert hw.ok("schedule", "list", "--format", "json").json == {
        "schedules": {
            "job": [
                {
                    "name": "nightly",
                    "interval": "@daily",
                    "cron_interval": "0 0 * * *",
                    "env": {},
                    "job": {"name": "daily", "tasks": ["tap-numbers target-lines", "say:hi"]},
                }
            ],
            "elt": [],
        }
    }


def test_a_schedule_of_plugins_without_the_word_add(hw):
    hw.ok("schedule", "often", "--extractor", "tap-numbers", "--loader", "target-lines", "--interval", "*/5 * * * *")
    assert hw.ok("schedule", "list", "--json").json["schedules"]["elt"] == [
        {
            "name": "often",
            "extractor": "tap-numbers",
            "loader": "target-lines",
            "transform": "skip",
            "interval": "*/5 * * * *",
            "env": {},
            "cron_interval": "*/5 * * * *",
            "last_successful_run_ended_at": None,
            "elt_args": ["tap-numbers", "target-lines", "--transform=skip", "--state-id=often"],
        }
    ]


def test_set_and_remove(hw):
    hw.ok("schedule", "add", "x", "--job", "daily", "--interval", "@once")
    hw.ok("schedule", "set", "x", "--interval", "0 0 L * ?")
    assert "x         0 0 L * ?  0 0 L * ?  daily" in hw.ok("schedule", "list").out
    hw.ok("schedule", "remove", "x")
    assert "the project has no schedules" in hw.ok("schedule", "list").err


def test_adding_it_again_is_no_error_and_adding_another_is(hw):
    words = ("schedule", "add", "x", "--job", "daily", "--interval")
    hw.ok(*words, "@daily")
    before = (hw.root / "headwater.yml").read_text()
    assert hw.ok(*words, "@daily").out == "Schedule 'x' already exists.\n"
    assert "there is already a schedule named `x` [duplicate-name]" in hw(*words, "@hourly").err
    assert (hw.root / "headwater.yml").read_text() == before


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("add x --job daily --interval nope", "`nope` is no interval [bad-interval]"),
        ("add x --interval @daily", "schedule `x` says nothing of what to run: missing --job"),
        (
            "add x --extractor tap-numbers --interval @daily",
            "schedule `x` says nothing of what to run: missing --loader",
        ),
        ("add x --job daily --loader target-lines --interval @daily", "a schedule is one of a job, or"),
        ("set x --interval @daily", "headwater.yml: schedule `x` not found [unknown-schedule]"),
        ("remove x", "headwater.yml: schedule `x` not found [unknown-schedule]"),
        ("run x", "headwater.yml: schedule `x` not found [unknown-schedule]"),
    ],
)
def test_what_is_wrong(hw, words, error):
    done = hw("schedule", *words.split())
    assert (done.code, done.err.startswith(f"error: {error}")) == (2, True), done.err


def test_a_job_may_come_after_its_schedule_but_not_after_the_list_is_read(hw):
    hw.ok("schedule", "add", "x", "--job", "later", "--interval", "@daily")
    assert "[unknown-job]" in hw("schedule", "list", "--json").err
    hw.ok("job", "add", "later", "--tasks", "[tap-numbers target-lines, [say:hi, say:hi]]")
    assert hw.ok("schedule", "list", "--json").json["schedules"]["job"][0]["job"] == {
        "name": "later",
        "tasks": ["tap-numbers target-lines", ["say:hi", "say:hi"]],
    }


def started(hw, *words, **env):
    return subprocess.run(
        [sys.executable, "-m", "headwater", "--cwd", hw.root, *words],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )


def test_running_one_has_its_env_its_options_and_its_exit_code(hw):
    hw.ok("schedule", "add", "x", "--job", "daily", "--interval", "@daily")
    text = (hw.root / "headwater.yml").read_text()
    hw.write("headwater.yml", text.replace("  job: daily\n", "  job: daily\n  env: {TAP_NUMBERS_UPTO: '5'}\n"))
    done = started(hw, "schedule", "run", "x", "--full-refresh")
    assert done.returncode == 0, done.stderr
    assert "full refresh: the state is ignored" in done.stderr
    assert json.loads(started(hw, "state", "get", "dev:tap-numbers-to-target-lines").stdout) != {}
    failed = started(hw, "schedule", "run", "x", "--full-refresh", TAP_NUMBERS_DIE_AFTER="1")
    assert failed.returncode == 1, failed.stderr
