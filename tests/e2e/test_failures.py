"""What happens when a part of a pipeline fails: who is blamed, what is kept, and what the next run does."""

from __future__ import annotations

import json

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
    - {name: state_every, kind: integer}
    - {name: die_after, kind: integer}
    - {name: padding, kind: integer}
  loaders:
  - name: target-lines
    namespace: lines
    executable: ./bin/target_lines
    settings:
    - {name: die_after, kind: integer}
    - {name: quit_after, kind: integer}
  - name: target-duckdb
    variant: headwater
"""


@pytest.fixture
def counting(project):
    hw = project(PROJECT)
    hw.script("tap_numbers")
    hw.script("target_lines")
    return hw


def lines(hw):
    file = hw.root / "loaded.jsonl"
    return [json.loads(line)["id"] for line in file.read_text().splitlines()] if file.exists() else []


def numbers(hw):
    return [number for (number,) in hw.query("select id from numbers.numbers order by id")]


def test_a_tap_that_dies_is_blamed_with_its_last_line(counting):
    done = counting("run", "tap-numbers", "target-lines", TAP_NUMBERS_DIE_AFTER=4)
    assert done.code == 1
    assert done.error == (
        "error: extractor `tap-numbers` failed with exit code 7 [extractor-failed]\n"
        "  CRITICAL the source has hung up\n"
        "hint: headwater config test tap-numbers\n"
    )


def test_what_came_before_a_tap_died_is_not_asked_for_again(counting):
    counting("run", "tap-numbers", "target-lines", TAP_NUMBERS_DIE_AFTER=4)
    assert counting.state("dev:tap-numbers-to-target-lines") == {"bookmarks": {"numbers": {"id": 4}}}
    counting.ok("run", "tap-numbers", "target-lines")
    assert lines(counting) == list(range(1, 11))
    counting.ok("run", "tap-numbers", "target-lines")
    assert lines(counting) == list(range(1, 11))


def test_in_the_warehouse_a_dead_tap_leaves_the_rows_of_its_last_state(counting):
    done = counting("run", "tap-numbers", "target-duckdb", TAP_NUMBERS_DIE_AFTER=5, TAP_NUMBERS_STATE_EVERY=2)
    assert (done.code, numbers(counting)) == (1, [1, 2, 3, 4])
    assert "extractor `tap-numbers` failed with exit code 7" in done.error
    assert "CRITICAL the source has hung up" in done.error
    assert counting.state("dev:tap-numbers-to-target-duckdb") == {"bookmarks": {"numbers": {"id": 4}}}
    counting.ok("run", "tap-numbers", "target-duckdb")
    assert numbers(counting) == list(range(1, 11))


def test_a_tap_that_dies_before_its_first_state_leaves_nothing(counting):
    done = counting("run", "tap-numbers", "target-duckdb", TAP_NUMBERS_DIE_AFTER=5, TAP_NUMBERS_STATE_EVERY=100)
    assert done.code == 1
    counting.ok("run", "tap-numbers", "target-duckdb", TAP_NUMBERS_STATE_EVERY=100)
    assert numbers(counting) == list(range(1, 11))


def test_a_target_that_dies_is_blamed_and_not_the_tap_before_it(counting):
    done = counting(
        *("run", "tap-numbers", "target-lines"),
        TARGET_LINES_DIE_AFTER=3,
        TAP_NUMBERS_UPTO=100_000,  # more than a pipe holds: the tap is stopped in the middle
    )
    assert done.code == 1
    assert done.error == (
        "error: loader `target-lines` failed with exit code 5 [loader-failed]\n"
        "  CRITICAL the warehouse is on fire\n"
        "hint: headwater config test target-lines\n"
    )


def test_a_target_that_ends_early_and_says_all_is_well_has_failed(counting):
    done = counting("run", "tap-numbers", "target-lines", TARGET_LINES_QUIT_AFTER=3, TAP_NUMBERS_UPTO=100_000)
    assert done.code == 1
    assert done.error == (
        "error: loader `target-lines` ended before it had read everything [loader-quit-early]\n"
        "  it reported success (exit code 0) with data left unread\n"
        "hint: headwater invoke target-lines --help\n"
    )


def test_after_a_target_died_the_next_run_loads_the_rest(counting):
    counting("run", "tap-numbers", "target-lines", TARGET_LINES_DIE_AFTER=3, TAP_NUMBERS_UPTO=2000)
    counting.ok("run", "tap-numbers", "target-lines", TAP_NUMBERS_UPTO=2000)
    # A target that promises nothing may get rows again, but loses none.
    assert sorted(set(lines(counting))) == list(range(1, 2001))


def test_a_lost_system_database_costs_no_state_of_a_native_load(counting):
    counting.ok("run", "tap-numbers", "target-duckdb")
    for file in (counting.root / ".headwater").glob("headwater.db*"):
        file.unlink()
    counting.ok("run", "tap-numbers", "target-duckdb")
    assert numbers(counting) == list(range(1, 11))
    assert counting.state("dev:tap-numbers-to-target-duckdb") == {"bookmarks": {"numbers": {"id": 10}}}


def test_a_lost_warehouse_is_loaded_from_the_beginning(counting):
    counting.ok("run", "tap-numbers", "target-duckdb")
    (counting.root / "warehouse.duckdb").unlink()
    done = counting.ok("run", "tap-numbers", "target-duckdb")
    assert "the destination has no data of this pipeline any more: loading from the beginning" in done.err
    assert numbers(counting) == list(range(1, 11))


def test_the_run_history_tells_the_failure(counting):
    counting("run", "tap-numbers", "target-lines", TAP_NUMBERS_DIE_AFTER=4)
    (run,) = json.loads(counting.ok("logs", "list", "--json").out)
    assert (run["outcome"], run["name"]) == ("failed", "tap-numbers target-lines")
    assert "CRITICAL the source has hung up" in counting.ok("logs", "show", "last").out
