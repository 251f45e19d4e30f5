"""What `tap test` says of extractors that go on in the middle of a stream which is read in full."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from headwater.ops import tap_tests

_PROJECT = """plugins:
  extractors:
  - name: tap-sqlite
    variant: headwater
    config: {database: shop.db}
"""


def test_rows_that_a_state_covers_need_not_come_again(lab):
    project = lab(_PROJECT)
    with closing(sqlite3.connect(project.root / "shop.db")) as connection:
        connection.execute("create table t (id integer primary key, v text)")
        connection.executemany("insert into t values (?, ?)", ((n, "x" * 100) for n in range(5000)))
        connection.commit()
    checks = list(tap_tests.run(project.workspace(), "tap-sqlite", emit=project.emit, cancel=project.cancel))
    assert not [(check.name, check.detail) for check in checks if check.outcome == "failed"]
    (killed,) = [check for check in checks if check.name == "nothing is lost when it is killed"]
    assert killed.detail.endswith("no row is lost")


def test_where_it_is_not_known_what_is_offered_there_is_nothing_to_hold_to_the_contract(lab):
    project = lab(_PROJECT)
    checks = list(tap_tests.run(project.workspace(), "tap-sqlite", emit=project.emit, cancel=project.cancel))
    assert (checks[0].outcome, checks[0].detail) == (
        "failed",
        f"there is no file `{project.root / 'shop.db'}` [file-not-found]",
    )
    assert {check.outcome for check in checks[1:]} == {"skipped"}
    assert checks[1].detail == "what it offers is not known"
