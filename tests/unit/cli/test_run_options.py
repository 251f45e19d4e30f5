"""The options of `run` and `el`, with real small plugins."""

from __future__ import annotations

import json

import pytest

TWO = """
  - name: tap-more
    inherit_from: tap-numbers
    config: {upto: 2}
"""


def lines(hw, name="loaded.jsonl"):
    path = hw.root / name
    return [json.loads(line)["id"] for line in path.read_text().splitlines()] if path.exists() else []


def run_again(hw, *words):
    (hw.root / "loaded.jsonl").unlink(missing_ok=True)
    return hw(*words)


def state(hw, state_id):
    return hw.ok("state", "get", state_id).json["singer_state"]


@pytest.fixture
def two(hw):
    text = (hw.root / "headwater.yml").read_text()
    hw.write("headwater.yml", text.replace("  loaders:\n", f"{TWO.lstrip(chr(10))}  loaders:\n", 1))
    return hw


def test_el_keeps_its_state_under_the_name_it_is_given(hw):
    done = hw.ok("el", "tap-numbers", "target-lines", "--state-id", "mine")
    assert (lines(hw), done.out, "warning" in done.err) == ([1, 2, 3], "", False)
    assert hw.ok("state", "list", "--json").json[0]["state_id"] == "mine"
    run_again(hw, "el", "tap-numbers", "target-lines", "--state-id=mine")
    assert lines(hw) == []


def test_el_without_a_state_id_says_that_it_forgets(hw):
    done = hw.ok("el", "tap-numbers", "target-lines")
    assert "warning: no state id: the state is kept as `20" in done.err
    assert hw.ok("state", "list", "--json").json[0]["state_id"].endswith("--tap-numbers--target-lines")


@pytest.mark.parametrize(
    ("what", "found"),
    [
        ("extractor-config", {"upto": 3, "secret": "s3cret-word"}),
        ("loader-config", {}),
        ("state", {"bookmarks": {"numbers": {"id": 3}}}),
    ],
)
def test_el_dumps_what_the_programs_get(hw, monkeypatch, what, found):
    monkeypatch.setenv("TAP_NUMBERS_SECRET", "s3cret-word")
    hw.ok("el", "tap-numbers", "target-lines", "--state-id", "mine")
    assert hw.ok("el", "tap-numbers", "target-lines", "--state-id", "mine", "--dump", what).json == found


def test_el_dumps_the_catalog_of_this_run(hw):
    done = hw.ok("el", "tap-numbers", "target-lines", "--dump", "catalog", "--select", "numbers")
    assert done.json["streams"][0]["stream"] == "numbers"


def test_el_from_a_catalog_and_a_state_of_files(hw):
    catalog = hw.ok("el", "tap-numbers", "target-lines", "--dump", "catalog").out
    hw.write("catalog.json", catalog)
    hw.write("state.json", '{"bookmarks": {"numbers": {"id": 2}}}')
    hw.ok("el", "tap-numbers", "target-lines", "--catalog", "catalog.json", "--state", "state.json", "--state-id", "x")
    assert (lines(hw), state(hw, "x")) == ([3], {"bookmarks": {"numbers": {"id": 3}}})


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("el tap-numbers say", "loader missing before `say`"),
        ("el say say", "`say` and `say` are no extractor and loader [not-a-pipeline]"),
        ("el tap-numbers", "missing argument `TARGET` [bad-usage]"),
        ("el tap-numbers target-lines --dump state --state-id x", "there is no state for `x` [no-such-state]"),
        ("el tap-numbers target-lines --state no.json", "the state file"),
        ("el tap-numbers target-lines --merge-state --state-strategy overwrite", "--merge-state and --state-strategy"),
        ("elt tap-numbers target-lines --transform run", "headwater.yml: `--transform` needs one transformer"),
        ("run tap-numbers target-lines --run-id 7", "invalid value for `--run-id`: `7` is not a valid UUID"),
        ("run tap-numbers target-lines --continue", "no run of `tap-numbers target-lines` with these steps"),
        ("run tap-numbers target-lines --select nothing", "no stream is selected"),
    ],
)
def test_what_is_wrong_is_told(hw, words, error):
    done = hw(*words.split())
    assert done.code == 2, done.err
    assert error in done.error


def test_elt_calls_dbt_after_the_load_with_the_variables_of_both_plugins(hw):
    hw.write("bin/dbt", '#!/bin/sh\necho "$1 $MELTANO_EXTRACTOR_NAME $MELTANO_LOAD_FILE" >> dbt.log\n').chmod(0o755)
    commands = "{clean: clean, deps: deps, run: run}"
    hw.write(
        "headwater.yml",
        (hw.root / "headwater.yml")
        .read_text()
        .replace(
            "jobs:",
            f"  transformers:\n  - {{name: dbt, namespace: dbt, executable: ./bin/dbt, commands: {commands}}}\njobs:",
        )
        .replace(
            "    - {name: die_after, kind: integer}\n  - name: target-duckdb",
            "    - {name: file}\n    config: {file: a.jsonl}\n  - name: target-duckdb",
        ),
    )
    words = ("elt", "tap-numbers", "target-lines", "--state-id", "x", "--transform")
    hw.ok(*words, "run")
    log = hw.root / "dbt.log"
    assert log.read_text() == "clean tap-numbers a.jsonl\ndeps tap-numbers a.jsonl\nrun tap-numbers a.jsonl\n"
    assert lines(hw, "a.jsonl") == [1, 2, 3]
    log.unlink()
    (hw.root / "a.jsonl").unlink()
    hw.ok(*words, "only")
    assert (len(log.read_text().splitlines()), lines(hw, "a.jsonl")) == (3, [])


def test_continue_leaves_out_what_was_done(two, monkeypatch):
    words = ("run", "tap-numbers", "target-lines", "tap-more", "target-lines", "say")
    monkeypatch.setenv("TAP_MORE_DIE_AFTER", "1")
    assert two(*words).code == 1
    monkeypatch.delenv("TAP_MORE_DIE_AFTER")
    done = run_again(two, *words, "--continue")
    assert done.code == 0, done.err
    assert "tap-numbers → target-lines: started" not in done.err
    assert "tap-more → target-lines: started" in done.err
    assert lines(two) == [2]
    assert "nothing to continue [nothing-to-continue]" in two(*words, "--continue").error


def test_a_step_is_tried_again_from_where_it_stopped(hw, monkeypatch):
    monkeypatch.setenv("TAP_NUMBERS_DIE_AFTER", "2")
    done = hw.ok("run", "tap-numbers", "target-lines", "--retries", "1", "--retry-seconds", "0")
    assert "attempt 1 of 2 failed: extractor `tap-numbers` failed" in done.err
    assert lines(hw) == [1, 2, 3]


@pytest.mark.parametrize("where", ["job", "plugin"])
def test_retries_of_a_job_or_a_plugin(hw, monkeypatch, where):
    monkeypatch.setenv("TAP_NUMBERS_DIE_AFTER", "2")
    text = (hw.root / "headwater.yml").read_text()
    if where == "job":
        text = text.replace("- name: daily\n", "- name: daily\n  retries: 1\n")
    else:
        text = text.replace("  - name: tap-numbers\n", "  - name: tap-numbers\n    retries: 1\n")
    hw.write("headwater.yml", text)
    hw.ok("run", "daily", "--retry-seconds", "0")
    assert lines(hw) == [1, 2, 3]


def test_pipelines_side_by_side(two):
    done = two.ok("run", "--parallel", "2", "tap-numbers", "target-lines", "tap-more", "target-lines", "say")
    assert sorted(lines(two)) == [1, 1, 2, 2, 3]
    started = [line for line in done.err.splitlines() if line.endswith(": started")]
    ended = next(index for index, line in enumerate(done.err.splitlines()) if "→" in line and ": done in" in line)
    assert len(started) == 3
    assert "say: started" not in "\n".join(done.err.splitlines()[:ended])


def test_one_stream_anew_leaves_the_state_of_the_others(hw):
    hw.ok("run", "tap-numbers", "target-lines")
    state_id = "dev:tap-numbers-to-target-lines"
    both = '{"singer_state": {"bookmarks": {"numbers": {"id": 3}, "letters": {"id": 7}}}}'
    hw.ok("state", "set", state_id, both, "--force")
    run_again(hw, "run", "tap-numbers", "target-lines", "--full-refresh", "--stream", "numbers")
    assert (lines(hw), state(hw, state_id)) == ([1, 2, 3], json.loads(both)["singer_state"])


def test_merge_state_and_only_install(hw):
    hw.ok("run", "tap-numbers", "target-lines", "--only-install")
    assert lines(hw) == []
    hw.ok("run", "tap-numbers", "target-lines", "--merge-state")
    assert lines(hw) == [1, 2, 3]


def test_a_dry_run_counts_its_blocks_as_it_did(hw):
    done = hw.ok("run", "daily", "--dry-run")
    assert done.err == ("Dry run, but would have run block 1/2.\nDry run, but would have run block 2/2.\n")
    assert [step["name"] for step in done.json["steps"]] == ["tap-numbers → target-lines", "say:hi"]
