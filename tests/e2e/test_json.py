"""What programs read: `--json` of every listing, and the log as JSON lines."""

from __future__ import annotations

import json
from datetime import datetime

import pytest

PROJECT = """\
default_environment: dev
environments: [{name: dev}]
jobs:
- {name: all, tasks: [tap-files target-duckdb]}
plugins:
  extractors:
  - name: tap-files
    variant: headwater
    config: {path: data/*.csv}
  loaders:
  - name: target-duckdb
    variant: headwater
"""


@pytest.fixture
def ran(project):
    hw = project(PROJECT)
    hw.write("data/people.csv", "id,name\n1,Ada\n2,Zoë\n")
    hw.ok("run", "all")
    return hw


@pytest.mark.parametrize(
    "command",
    [
        ("plugin", "list"),
        ("plugin", "hub"),
        ("config", "list", "tap-files"),
        ("config", "list", "tap-files", "--extras"),
        ("select", "tap-files", "--list", "--all"),
        ("state", "list"),
        ("logs", "list"),
        ("logs", "show", "last"),
        ("doctor",),
    ],
    ids=" ".join,
)
def test_every_listing_as_json(ran, command):
    done = ran.ok(*command, "--json")
    assert json.loads(done.out)


def test_every_command_with_a_table_has_json(ran):
    """A listing without `--json` would show here: each command that lists is in the test above."""
    tried = {" ".join(command[:2]) for command in (("plugin", "list"), ("plugin", "hub"), ("state", "list"))}
    tried |= {"logs list", "logs show", "config list"}
    for group in ("plugin", "state", "logs", "config"):
        lines = ran.ok(group, "--help").out.partition("Commands:")[2].splitlines()
        names = [line.split()[0] for line in lines if line.strip()]
        lists = {f"{group} {name}" for name in names if name in ("list", "hub", "show")}
        assert lists <= tried


def test_the_dry_run_is_a_plan_in_json(ran):
    plan = json.loads(ran.ok("run", "--dry-run", "all").out)
    (step,) = plan["steps"]
    assert (plan["environment"], step["state_id"]) == ("dev", "dev:tap-files-to-target-duckdb")


def test_the_log_as_json_lines(ran):
    done = ran.ok("--log-format", "json", "--log-level", "debug", "run", "--full-refresh", "tap-files", "target-duckdb")
    lines = [json.loads(line) for line in done.err.splitlines()]
    assert len(lines) > 3
    for line in lines:
        assert list(line)[:3] == ["timestamp", "level", "event"]
        assert datetime.fromisoformat(line["timestamp"]).utcoffset().total_seconds() == 0
        assert line["level"] in ("debug", "info", "warning", "error")
        assert line["event"]
    kinds = [line["kind"] for line in lines]
    assert (kinds[0], kinds[-1]) == ("run-started", "run-finished")


def test_a_failure_is_a_json_line_too(ran):
    (ran.root / "data/people.csv").unlink()
    done = ran("--log-format", "json", "run", "all")
    assert done.code == 2
    lines = [json.loads(line) for line in done.err.splitlines()]
    assert all({"timestamp", "level", "event"} <= set(line) for line in lines)
    assert lines[-1] == {
        "timestamp": lines[-1]["timestamp"],
        "level": "error",
        "event": "no file matches `data/*.csv`",
        "reference": "no-file-found",
        "where": None,
        "why": f"looked in {ran.root}",
        "hint": "ls data/*.csv",
        "exit_code": 2,
    }
    (line,) = ran("--log-format", "json", "run", "nothing").err.splitlines()
    assert json.loads(line)["reference"] == "unknown-block"


def test_a_terminal_less_screen_has_no_colour_codes(ran):
    assert "\x1b" not in (done := ran.ok("run", "all")).out + done.err
    assert "\x1b" not in ran.ok("plugin", "list").out
