"""Pipelines side by side in one run, into one file of DuckDB: each commits while it holds the lease of the file."""

from __future__ import annotations

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
    - {name: die_after, kind: integer}
    config: {upto: 200, keyed: true, state_every: 10, pause: 0.005}
    load_schema: counted
  - name: tap-numbers--more
    inherit_from: tap-numbers
    config: {upto: 150}
    load_schema: more
  loaders:
  - name: target-duckdb
    variant: headwater
    config: {filepath: warehouse.duckdb, _commit_seconds: 0.05}
"""
BOTH = ("run", "--parallel", "2", "tap-numbers", "target-duckdb", "tap-numbers--more", "target-duckdb")
LEDGER = """
    select pipeline, count(*) > 2, sum(rows_in), list(sequence order by sequence) = range(1, count(*) + 1)
    from _headwater.ledger group by 1 order by 1
"""
FIRST, SECOND = (f"dev:tap-numbers{more}-to-target-duckdb" for more in ("", "--more"))


@pytest.fixture
def two(project):
    hw = project(PROJECT)
    hw.script("tap_numbers")
    return hw


def counted(hw, schema):
    return hw.query(f"select count(*), count(distinct id), max(id) from {schema}.numbers")


def test_both_finish_with_commits_of_their_own(two):
    two.ok(*BOTH)
    assert (counted(two, "counted"), counted(two, "more")) == ([(200, 200, 200)], [(150, 150, 150)])
    assert two.query(LEDGER) == [(SECOND, True, 150, True), (FIRST, True, 200, True)]
    assert [two.state(name)["bookmarks"]["numbers"]["id"] for name in (FIRST, SECOND)] == [200, 150]


def test_one_that_fails_keeps_what_it_did_and_the_other_ends_well(two):
    done = two(*BOTH, TAP_NUMBERS__MORE_DIE_AFTER=75)
    assert done.code == 1
    assert "extractor `tap-numbers--more` failed with exit code 7" in done.error
    assert (counted(two, "counted"), counted(two, "more")) == ([(200, 200, 200)], [(70, 70, 70)])
    # The next run goes on from there, and the one that was done has nothing more to do.
    two.ok(*BOTH)
    assert (counted(two, "counted"), counted(two, "more")) == ([(200, 200, 200)], [(150, 150, 150)])
