"""`test`, `compile`, and what `logs` says to programs."""

from __future__ import annotations

import json

import pytest

PLUGINS = """
  - name: fine
    namespace: fine
    executable: "true"
    commands: {test: "", test-more: "", other: ""}
  - name: broken
    namespace: broken
    executable: "false"
    commands: {test: ""}
"""

CHECKED = """\
plugins:
  extractors:
  - {name: tap-files, variant: headwater, config: {path: "data/*.csv"}}
  loaders:
  - {name: target-duckdb, variant: headwater}
  transformers:
  - {name: models, variant: headwater}
"""
CHECKS = """\
sources:
- name: tap_files
  tables:
  - name: orders
    columns:
    - {name: id, checks: [unique]}
    - {name: amount, checks: [range: {min: 0}]}
    checks:
    - row_count_change: 10%
    - schema_drift
    - volume_anomaly: {least: 3, tolerance: 2}
"""


@pytest.fixture
def tested(hw):
    hw.write("headwater.yml", (hw.root / "headwater.yml").read_text().replace("jobs:", f"{PLUGINS[1:]}jobs:"))
    return hw


@pytest.mark.parametrize(
    ("words", "code", "summary"),
    [
        ("fine", 0, "Testing completed successfully. 2 test(s) successful. 0 test(s) failed."),
        ("fine:test-more", 0, "Testing completed successfully. 1 test(s) successful. 0 test(s) failed."),
        ("fine:other", 0, "Testing completed successfully. 1 test(s) successful. 0 test(s) failed."),
        ("fine:test fine", 0, "Testing completed successfully. 2 test(s) successful. 0 test(s) failed."),
        ("--all", 1, "Testing completed with failures. 2 test(s) successful. 1 test(s) failed."),
        ("", 0, "Testing completed successfully. 0 test(s) successful. 0 test(s) failed."),
    ],
)
def test_the_tests_of_plugins(tested, words, code, summary):
    done = tested("test", *words.split())
    assert (done.code, done.out.splitlines()[-1]) == (code, summary)
    assert ("broken:test" + "." * 49 + " failure" in done.out) is (code == 1)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("say", "headwater.yml:28: `say` has no tests [no-such-test]"),
        ("fine:another", "`fine` has no test `another` [no-such-test]"),
        ("nope", "headwater.yml: the project has no plugin `nope` [unknown-plugin]"),
    ],
)
def test_a_test_that_is_not_there(tested, words, error):
    done = tested("test", *words.split())
    assert (done.code, error in done.err) == (2, True), done.err


def manifest(hw, name=""):
    return json.loads((hw.root / ".meltano" / "manifests" / f"meltano-manifest{name}.json").read_text())


def test_a_manifest_for_each_environment_and_for_none(hw):
    done = hw.ok("compile")
    assert done.out.splitlines()[0] == "Compiling manifest for environments: no environment, dev, prod"
    found = manifest(hw, ".prod")
    tap = found["plugins"]["extractors"][0]
    assert tap["env"]["TAP_NUMBERS_UPTO"] == tap["env"]["MELTANO_EXTRACT_UPTO"] == "3"
    assert (found["schedules"], "environments" in found, found["plugins"]["files"]) == ([], False, [])
    assert manifest(hw)["jobs"] == [{"name": "daily", "tasks": ["tap-numbers target-lines", "say:hi"]}]


def test_a_manifest_has_what_its_environment_and_its_included_files_say_and_no_secret(hw, monkeypatch):
    text = (hw.root / "headwater.yml").read_text()
    prod = """- name: prod
  env: {STAGE: production, WHERE: in $MELTANO_PROJECT_ROOT, DSN: db://$TAP_NUMBERS_SECRET@host}
  config:
    plugins:
      extractors:
      - {name: tap-numbers, config: {upto: 9}, env: {COLOUR: blue}}
"""
    hw.write("headwater.yml", "include_paths: [more.yml]\n" + text.replace("- name: prod\n", prod))
    hw.write("more.yml", "schedules:\n- {name: nightly, interval: '@daily', job: daily}\n")
    monkeypatch.setenv("TAP_NUMBERS_SECRET", "s3cret-word")
    hw.ok("--environment", "prod", "compile", "--indent", "-1", "--directory", "out")
    file = hw.root / "out" / "meltano-manifest.prod.json"
    found = json.loads(file.read_text())
    tap = found["plugins"]["extractors"][0]
    assert (tap["config"], tap["env"]["TAP_NUMBERS_UPTO"], tap["env"]["COLOUR"]) == ({"upto": 9}, "9", "blue")
    assert found["env"]["WHERE"] == "in ${MELTANO_PROJECT_ROOT}"
    assert found["env"]["DSN"] == "db://(redacted)@host"
    assert found["schedules"] == [{"name": "nightly", "interval": "@daily", "job": "daily", "env": {}}]
    assert (len(file.read_text().splitlines()), "s3cret-word" in file.read_text()) == (1, False)
    assert "include_paths" not in found
    hw.ok("--environment", "prod", "compile", "--unsafe")
    assert manifest(hw, ".prod")["plugins"]["extractors"][0]["env"]["TAP_NUMBERS_SECRET"] == "s3cret-word"


def test_runs_in_the_words_of_programs_that_read_those_of_meltano(hw):
    hw.ok("run", "daily")
    hw("run", "tap-numbers", "target-lines", "--full-refresh", "--state-id-suffix", "x")
    found = hw.ok("logs", "list", "--format", "json").json
    assert found["total"] == 2
    (newest, first) = found["runs"]
    assert (newest["job_name"], first["job_name"]) == (
        "dev:tap-numbers-to-target-lines:x",
        "dev:tap-numbers-to-target-lines",
    )
    assert (first["state"], first["trigger"], list(first)) == (
        "SUCCESS",
        "cli",
        ["log_id", "job_name", "state", "started_at", "ended_at", "duration_seconds", "trigger"],
    )
    shown = hw.ok("logs", "show", first["log_id"], "--format", "json").out
    head, _, lines = shown.partition("\n\nLog content:\n------------\n")
    assert json.loads(head)["run_id"] == first["log_id"]
    assert "tap-numbers → target-lines: done" in lines
    assert len(hw.ok("logs", "show", "last", "-n", "2").out.splitlines()) == 2
    assert hw.ok("logs", "dir").out == f"{hw.root}/.headwater\n"


def test_invoke_prints_variables_and_goes_on(hw):
    done = hw.ok("invoke", "--print-var", "MELTANO_UTILITY_NAME", "--print-var", "NOPE", "say:hi")
    assert done.out == "MELTANO_UTILITY_NAME=say\nNOPE=None\n"


def test_invoke_dumps_the_config_as_the_plugin_gets_it_into_a_file(hw, monkeypatch):
    monkeypatch.setenv("TAP_NUMBERS_SECRET", "s3cret-word")
    assert hw.ok("invoke", "--dump", "config", "tap-numbers").json["secret"] == "s3cret-word"


def test_a_command_with_a_container_is_not_run_without_it(hw):
    text = (hw.root / "headwater.yml").read_text()
    boxed = "      boxed: {args: hi, container_spec: {image: alpine}}\n"
    hw.write("headwater.yml", text.replace("    commands:\n", f"    commands:\n{boxed}"))
    assert "`say:boxed` has a container" in hw("invoke", "--containers", "say:boxed").error


def test_the_checks_of_models_are_their_test(empty):
    empty.write("headwater.yml", CHECKED)
    empty.write("models/checks.yml", CHECKS)
    orders = empty.write("data/orders.csv", "id,amount\n1,10\n2,20\n3,30\n4,40\n")
    for _ in range(4):
        empty.ok("run", "tap-files", "target-duckdb", "--full-refresh")
    fine = empty("test", "models")
    assert (fine.code, fine.out.splitlines()[-1].split(". ", 1)[1]) == (0, "1 test(s) successful. 0 test(s) failed.")
    assert "check tap_files.orders.row_count_change: passed, 4 rows; nothing to compare with yet\n" in fine.err

    orders.write_text("id,amount\n1,10\n2,-20\n")
    empty.ok("run", "tap-files", "target-duckdb", "--full-refresh")
    bad = empty("test", "--all")
    assert (bad.code, bad.out.splitlines()[-1].split(". ", 1)[1]) == (1, "0 test(s) successful. 1 test(s) failed.")
    for told in (
        "1 row of tap_files.orders with `amount` below 0 (id=2) (models/checks.yml:7)",
        "tap_files.orders has 2 rows, had 4 (-50.0%); expected at least 4 and at most 4",
        "the last load of tap_files.orders brought 2 rows; expected 3 to 5 (median 4 of 4 loads)",
    ):
        assert told in bad.err
