"""What programs look for in the log of Meltano."""

from __future__ import annotations

import json
import re
from contextlib import closing
from pathlib import Path

import pytest

from headwater.cli.meltano_words import beside
from headwater.cli.settings import Settings
from headwater.cli.words import Line
from headwater.model.event import Install
from headwater.model.plugin import Plugin, PluginKind
from headwater.model.project import Project
from headwater.ops.workspace import Workspace
from headwater.store.runs import Runs
from headwater.store.system_db import SystemDb

PLAIN = Settings(cwd=None, environment=None, no_environment=False, env_file=None, log_level="info", log_format="plain")

FAIL = {"TAP_NUMBERS_DIE_AFTER": "1"}


@pytest.fixture
def theirs(hw):
    """The same project in a file of Meltano's name."""
    (hw.root / "headwater.yml").rename(hw.root / "meltano.yml")
    return hw


def said(done):
    return [line.split("headwater    ", 1)[1] for line in done.err.splitlines() if " headwater    " in line]


def test_a_run_says_what_is_looked_for(theirs):
    lines = said(theirs.ok("run", "tap-numbers", "target-lines"))
    assert any(
        line.startswith("Running job with name 'dev:tap-numbers-to-target-lines' and run ID '") for line in lines
    )
    assert any(line.startswith("Incremental state has been updated at 20") for line in lines)
    assert (lines.count("Block run completed"), lines[-1]) == (1, "Run completed")


def test_a_run_says_what_it_starts_from(theirs):
    first = said(theirs.ok("run", "tap-numbers", "target-lines"))
    wanted = ["Environment 'dev' is active", "Using systemdb state backend", "Reading state from Database"]
    assert [line for line in first if line in wanted] == wanted
    assert {"No state was found, complete import.", "Running catalog discovery"} <= set(first)
    again = said(theirs.ok("run", "--full-refresh", "tap-numbers", "target-lines"))
    assert "Performing full refresh, ignoring state left behind by any previous runs." in again
    (theirs.root / "state.json").write_text("{}")
    found = said(theirs.ok("el", "tap-numbers", "target-lines", "--state", "state.json", "--state-id", "x"))
    assert f"Found state in {theirs.root / 'state.json'}" in found


def test_an_installation_says_of_what():
    heard = []
    project = Project(root="", file="/x/meltano.yml", plugins=(Plugin(name="tap-x", kind=PluginKind.EXTRACTOR),))
    workspace = Workspace(project, environ={}, dotenv_path=Path(".env"), environment=None)
    with beside(heard.append, workspace, PLAIN) as hear:
        for status in ("started", "installed", "skipped", "failed"):
            hear(Install(plugin="tap-x", status=status))
    assert [(line.level.value, line.text) for line in heard if isinstance(line, Line)] == [
        ("info", "Installing extractor 'tap-x'"),
        ("info", "Installed extractor 'tap-x'"),
        ("info", "Skipped installing extractor 'tap-x'. Requirements have not changed."),
        ("error", "Installation failed extractor 'tap-x'"),
        ("warning", "Installed 1/3 plugins"),
        ("warning", "Skipped installing 1/3 plugins"),
    ]


def test_a_run_says_which_catalog_it_takes_and_that_another_was_killed(theirs):
    theirs.ok("run", "tap-numbers", "target-lines")
    with closing(SystemDb(theirs.root / ".headwater")) as db:
        Runs(db, theirs.root / ".headwater").begin("dead", "x", trigger="cli", environment=None)._owner.release()
    (theirs.root / "catalog.json").write_text(json.dumps({"streams": []}))
    lines = said(theirs("el", "tap-numbers", "target-lines", "--catalog", "catalog.json", "--state-id", "x"))
    assert f"Using custom catalog in {theirs.root / 'catalog.json'}" in lines
    assert any(re.fullmatch(r"Marked stale run that started at 20\S+ as failed: The .*", line) for line in lines)


def test_a_run_that_fails_says_who(theirs, monkeypatch):
    monkeypatch.setenv("TAP_NUMBERS_DIE_AFTER", "1")
    done = theirs("run", "tap-numbers", "target-lines")
    lines = said(done)
    assert lines[lines.index("Extractor failed") + 1] == "Block run completed"
    assert lines[-1] == "Run completed"
    assert "Run completed" not in theirs("logs", "show", "last").out


def test_json_lines_have_them_as_event(theirs):
    done = theirs.ok("--log-format", "json", "run", "say:hi")
    assert [line["event"] for line in map(json.loads, done.err.splitlines())][-1] == "Run completed"


def records(done, *keys):
    """Of the JSON lines that have all of these keys: their values."""
    lines = [json.loads(line) for line in done.err.splitlines()]
    return [tuple(line[key] for key in keys) for line in lines if set(keys) <= line.keys()]


ENDS = ("event", "level", "block_type", "set_number", "success", "err")


def test_json_lines_hold_the_fields_that_tools_read(theirs):
    done = theirs.ok("--log-format", "json", "run", "tap-numbers", "target-lines", "say:hi")
    assert records(done, *ENDS) == [
        ("Block run completed", "info", "ExtractLoadBlocks", 0, True, None),
        ("Block run completed", "info", "InvokerCommand", 1, True, None),
    ]
    assert records(done, "event", "name", "stdio", "cmd_type")[-1] == ("hi there", "say", "stdout", "command")
    assert len({run_id for (run_id,) in records(done, "run_id")}) == 1
    assert all(seconds > 0 for (seconds,) in records(done, "duration_seconds"))
    assert records(done, "event", "status") == [("Run completed", "success")]


def test_json_lines_of_a_run_that_fails_say_so(theirs, monkeypatch):
    monkeypatch.setenv("TAP_NUMBERS_DIE_AFTER", "1")
    done = theirs("--log-format", "json", "run", "tap-numbers", "target-lines")
    failed = ("Block run completed", "error", "ExtractLoadBlocks", 0, False, "Extractor failed")
    assert records(done, *ENDS) == [failed]
    assert records(done, "exit_codes", "err") == [({"extractors": 7}, "Extractor failed")]
    told = set(records(done, "name", "string_id", "cmd_type", "job_name"))
    assert told == {("tap-numbers", "tap-numbers", "elb", "dev:tap-numbers-to-target-lines")}
    assert records(done, "event", "status") == [("Run completed", "failure")]


def test_a_project_of_our_own_does_not_say_them(hw):
    assert "Run completed" not in hw.ok("run", "say:hi").err
