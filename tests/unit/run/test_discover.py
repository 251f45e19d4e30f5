from __future__ import annotations

import json

import pytest

from headwater.connect.sources import files
from headwater.model.event import Outcome, SourceChanged


def tap(columns):
    catalog = {"streams": [{"tap_stream_id": "s", "schema": {"properties": {name: {} for name in columns.split()}}}]}
    return f"""
import sys
if '--discover' in sys.argv:
    open('discovered', 'a').write('x')
    print('''{json.dumps(catalog)}''')
    sys.exit()
"""


@pytest.fixture
def run(lab):
    def run(columns="id", **fields):
        block = lab.block("extractor", "say(schema)", **fields.pop("block", {}))
        file = lab.root / "tap-x.py"
        file.write_text(tap(columns) + file.read_text())
        return lab.run(block, **fields)

    run.times = lambda: len((lab.root / "discovered").read_text()) if (lab.root / "discovered").exists() else 0
    return run


def test_a_catalog_is_used_again_for_the_same_config_and_plugin(lab, run):
    assert run() is Outcome.SUCCESS
    assert run() is Outcome.SUCCESS
    assert run.times() == 1
    run(block={"config": {"other": 1}})
    assert run.times() == 2
    run(block={"config": {"other": 1}, "fingerprint": "f2"})
    assert run.times() == 3


@pytest.mark.parametrize(
    "fields",
    [
        {"refresh_catalog": True},
        {"full_refresh": True},
        {"use_cached_catalog": False},
        {"catalog_max_age_seconds": 0},
        {"block": {"fingerprint": ""}},
    ],
)
def test_a_catalog_is_asked_for_again(run, fields):
    run()
    run(**fields)
    assert run.times() == 2


def test_what_changed_at_the_source_is_told(lab, run):
    run()
    run("id name", refresh_catalog=True)
    (event,) = lab.of(SourceChanged)
    assert (event.change.stream, event.change.change, event.change.column) == ("s", "column-added", "name")


def test_what_changed_is_told_of_a_program_that_may_change_unseen_too(lab, run):
    run(block={"fingerprint": ""})
    run("id name", block={"fingerprint": ""})
    (event,) = lab.of(SourceChanged)
    assert (run.times(), event.change.column) == (2, "name")


def test_a_catalog_of_ones_own_needs_no_discovery(lab, run):
    own = {"streams": [{"tap_stream_id": "mine", "metadata": [{"breadcrumb": [], "metadata": {"selected": True}}]}]}
    (lab.root / "own.json").write_text(json.dumps(own))
    assert run(catalog_file="own.json") is Outcome.SUCCESS
    assert run.times() == 0
    assert run(catalog_file="nope.json") is Outcome.FAILED
    assert lab.problem.reference == "bad-catalog-file"


def test_a_plugin_that_cannot_discover_is_run_without_a_catalog(lab):
    assert lab.run("log(str(sys.argv[1:]))", tap_fields={"capabilities": ()}) is Outcome.SUCCESS
    assert "--catalog" not in lab.lines[0]


def test_older_plugins_get_their_catalog_by_the_older_name(lab):
    lab.run("log(sys.argv[3])", tap_fields={"capabilities": ("discover", "properties")})
    assert lab.lines == ["--properties"]


def script(lab, text):
    block = lab.block("extractor")
    (lab.root / "tap-x.py").write_text(text)
    return block


def test_a_discovery_that_fails_says_what_the_plugin_said(lab):
    assert lab.run(script(lab, "raise SystemExit('CRITICAL no such host')")) is Outcome.FAILED
    assert (lab.problem.reference, lab.problem.why) == ("discovery-failed", "CRITICAL no such host")


@pytest.mark.parametrize(("text", "begins"), [("INFO starting\n{}", "INFO starting"), ("", "(nothing)")])
def test_a_discovery_that_is_no_json_shows_how_it_begins(lab, text, begins):
    assert lab.run(script(lab, f"print({text!r})")) is Outcome.FAILED
    assert (lab.problem.reference, lab.problem.why) == ("tap-logs-to-stdout", f"it begins with: {begins}")


def test_a_native_source_is_asked_again_when_its_files_change(lab, monkeypatch):
    asked = []
    found = files.discover
    monkeypatch.setattr(files, "discover", lambda settings: asked.append(1) or found(settings))
    (lab.root / "s.csv").write_text("id\n1\n")
    tap = lab.block("extractor", native="files", argv=(), config={"path": "*.csv"})
    loader = lab.block("loader", native="jsonl", argv=(), config={"destination_path": str(lab.root / "out")})
    lab.run(tap, loader)
    lab.run(tap, loader)
    assert len(asked) == 1
    (lab.root / "s.csv").write_text("id\n1\n2\n")
    lab.run(tap, loader)
    assert len(asked) == 2
