"""Checks that compare with former runs, with the run store that keeps them."""

from datetime import UTC, datetime, timedelta
from textwrap import dedent, indent

import duckdb
import pytest

from headwater.base import clock
from headwater.base.errors import RunFailedError
from headwater.connect.destinations.duckdb.warehouse import DuckDBSession
from headwater.model.event import Checked, Outcome, RunStarted, StepFinished, StepStarted, StreamFigures, StreamStored
from headwater.quality import history
from headwater.quality.check import run_checks
from headwater.quality.read import read_checks
from headwater.run.cancel import Cancel
from headwater.store.runs import Runs
from headwater.store.system_db import SystemDb

MONDAY = datetime(2026, 6, 1, tzinfo=UTC)
STEP = "tap-shop to target-duckdb"


class Site:
    """A table `shop.orders`, and the runs that filled and checked it."""

    def __init__(self, root, monkeypatch) -> None:
        self._root = root
        self._runs = Runs(SystemDb(root), root)
        self._count = 0
        self._now = MONDAY
        monkeypatch.setattr(clock, "now", lambda: self._now)
        self.sql("create schema shop; create table shop.orders as select n as id from range(100) t(n)")

    def sql(self, text: str) -> None:
        with duckdb.connect(str(self._root / "w.duckdb")) as connection:
            connection.execute(text)

    def wait(self, **length: float) -> None:
        self._now += timedelta(**length)

    def load(self, rows: int, *, outcome: Outcome = Outcome.SUCCESS, environment: str | None = "prod") -> None:
        """A run that brings rows into `shop.orders`, and others elsewhere."""
        with self._run(environment) as log:
            for stream, place in (("Orders", "shop.orders"), ("others", "shop.others")) if rows else ():
                log.append(StreamStored(step=STEP, stream=stream, place=place, method="append"))
            # What a stream brings nothing of is not mentioned.
            figures = tuple(
                StreamFigures(stream=stream, loaded=count) for stream, count in (("Orders", rows), ("o", 1)) if count
            )
            log.append(StepFinished(step=STEP, outcome=outcome, seconds=1, streams=figures))

    def leave_out(self, *patterns: str) -> None:
        """A run with these words behind `--select` that brought no rows."""
        with self._run("prod") as log:
            log.append(StepStarted(step=STEP, streams=patterns))
            log.append(StepFinished(step=STEP, outcome=Outcome.SUCCESS, seconds=1))

    def verify(self) -> None:
        """A run that compares the loaded tables with their source: it has the step of a load, and loads nothing."""
        with self._run("prod") as log:
            log.append(Checked(step=STEP, check="Orders equals its source", outcome=Outcome.SUCCESS))
            log.append(StepFinished(step=STEP, outcome=Outcome.SUCCESS, seconds=1))

    def check(self, text: str, *, environment: str | None = "prod") -> Checked:
        (self._root / "models").mkdir(exist_ok=True)
        tables = indent(dedent(text), "    ")
        (self._root / "models" / "m.yml").write_text(
            f"sources:\n- name: shop\n  tables:\n  - name: orders\n    checks:\n{tables}"
        )
        found = read_checks(self._root / "models", "analytics")
        events: list = []
        self.error = None
        with self._run(environment) as log, duckdb.connect(str(self._root / "w.duckdb")) as connection:

            def emit(event) -> None:
                events.append(event)
                log.append(event)

            try:
                run_checks(
                    DuckDBSession(connection, self._root / "w.duckdb"),
                    found,
                    step="models:check",
                    emit=emit,
                    cancel=Cancel(),
                    past=history.read(self._runs, environment),
                )
            except RunFailedError as error:
                self.error = error
        (event,) = events
        return event

    def _run(self, environment: str | None):
        self._count += 1
        self.wait(seconds=1)
        log = self._runs.begin(f"r{self._count}", "x", trigger="cli", environment=environment)
        log.append(RunStarted(run_id=f"r{self._count}", environment=environment, steps=(STEP,), version="1"))
        return _Ended(log)


class _Ended:
    def __init__(self, log) -> None:
        self._log = log

    def __enter__(self):
        return self._log

    def __exit__(self, *_trouble: object) -> None:
        self._log.finish(Outcome.SUCCESS)


@pytest.fixture
def site(tmp_path, monkeypatch) -> Site:
    return Site(tmp_path, monkeypatch)


def test_a_table_that_lost_rows_fails_until_they_are_back(site):
    assert site.check("- row_count_change: 20%").message == "100 rows; nothing to compare with yet"
    site.sql("delete from shop.orders where id < 21")
    for _ in range(2):  # a failing check is nothing to compare with
        event = site.check("- row_count_change: 20%")
        assert (event.outcome, event.observed) == ("failed", "79")
        assert event.message == "shop.orders has 79 rows, had 100 (-21.0%); expected at least 80 and at most 120"
    assert site.error.hint == "if it is to be so, write into the check: since: 2026-06-01T00:00:03Z"
    site.sql("insert into shop.orders values (7)")
    assert (site.check("- row_count_change: 20%").outcome, site.error) == ("success", None)


def test_what_was_before_since_is_forgotten(site):
    site.check("- row_count_change: 20%")
    site.sql("delete from shop.orders where id < 50")
    site.wait(hours=1)
    event = site.check("- row_count_change: {within: 20%, since: 2026-06-01T00:30:05Z}")
    assert (event.outcome, event.message) == ("success", "50 rows; nothing to compare with yet")
    site.sql("delete from shop.orders where id < 80")
    event = site.check("- row_count_change: {within: 20%, since: 2026-06-01T00:30:05Z}")
    assert event.message == "shop.orders has 20 rows, had 50 (-60.0%); expected at least 40 and at most 60"


@pytest.mark.parametrize(
    ("change", "rows", "outcome"),
    [
        ("{min: -10%}", 90, "success"),
        ("{min: -10%}", 89, "failed"),
        ("{min: -10%}", 900, "success"),
        ("{min: 0%, max: 10%}", 110, "success"),
        ("{min: 0%, max: 10%}", 111, "failed"),
        ("{min: 0%, max: 10%}", 99, "failed"),
        ("{max: 10%, where: id < 50}", 200, "success"),
    ],
)
def test_more_and_less_have_bounds_of_their_own(site, change, rows, outcome):
    site.check(f"- row_count_change: {change}")
    site.sql(f"create or replace table shop.orders as select n as id from range({rows}) t(n)")
    assert site.check(f"- row_count_change: {change}").outcome == outcome


def test_environments_do_not_know_of_each_other(site):
    site.check("- row_count_change: 20%")
    site.sql("delete from shop.orders")
    assert site.check("- row_count_change: 20%", environment=None).message == "0 rows; nothing to compare with yet"
    assert site.check("- row_count_change: 20%").outcome == "failed"


def test_columns_that_drift_are_named(site):
    assert site.check("- schema_drift").message == "1 columns; nothing to compare with yet"
    site.sql("alter table shop.orders alter id type varchar; alter table shop.orders add note date")
    event = site.check("- schema_drift")
    assert (event.outcome, event.failing) == ("failed", 2)
    assert event.message == "columns of shop.orders: `id` is varchar, not bigint, `note` is new"
    assert site.check("- schema_drift: {added: true}").failing == 1
    site.sql("alter table shop.orders drop id")
    assert site.check("- schema_drift: {added: true}").message == "columns of shop.orders: `id` is gone"
    site.wait(days=1)
    assert site.check("- schema_drift: {since: 2026-06-02}").outcome == "success"
    assert site.check("- schema_drift").outcome == "success"


def test_columns_can_be_said(site):
    assert site.check("- schema_drift: {columns: {ID: BIGINT}}").message is None
    assert site.check("- schema_drift: [id]").outcome == "success"
    event = site.check("- schema_drift: {columns: {id: integer, name: }}")
    assert event.message == "columns of shop.orders: `name` is gone, `id` is bigint, not integer"


VOLUME = "- volume_anomaly"


def test_a_load_of_odd_size_is_a_warning_that_says_what_was_expected(site):
    for rows in (1000, 1040, 980, 1010, 30_000, 1000, 990):  # one odd load of the past changes nothing
        site.load(rows)
    assert site.check(VOLUME).message == "not judged yet: 6 former loads, 7 needed"
    site.load(1030)
    assert (site.check(VOLUME).outcome, site.check(VOLUME).message) == ("success", None)
    site.load(400)
    event = site.check(VOLUME)
    assert (event.outcome, event.severity, event.failing, site.error) == ("failed", "warn", 1, None)
    assert event.message == (
        "the last load of shop.orders brought 400 rows; expected 829 to 1,181 (median 1,005 of 8 loads)"
    )
    site.load(1000)
    assert site.check(VOLUME).outcome == "success"


def test_a_load_without_rows_is_odd_where_rows_are_usual(site):
    for _ in range(7):
        site.load(1000)
    site.load(0)
    assert site.check(VOLUME).message == (
        "the last load of shop.orders brought 0 rows; expected 825 to 1,175 (median 1,000 of 7 loads)"
    )


def test_a_run_does_not_count_for_streams_that_it_leaves_out(site):
    for _ in range(8):
        site.load(1000)
    site.leave_out("oth*")
    site.leave_out("!Orders")
    assert (site.check(VOLUME).outcome, site.check(VOLUME).message) == ("success", None)
    site.leave_out("Ord*", "!others")
    assert site.check(VOLUME).outcome == "failed"


def test_where_most_loads_bring_nothing_those_that_do_are_compared(site):
    for _ in range(9):
        for rows in (1000, 0, 0, 0):
            site.load(rows)
    assert (site.check(VOLUME).outcome, site.check(VOLUME).message) == ("success", None)
    site.load(100)
    assert site.check(VOLUME).message == (
        "the last load of shop.orders brought 100 rows; expected 825 to 1,175 (median 1,000 of 9 loads)"
    )
    site.load(0)
    assert site.check(VOLUME).outcome == "success"


def test_loads_that_failed_or_are_of_another_environment_and_comparisons_do_not_count(site):
    for _ in range(8):
        site.load(1000)
    site.load(1, outcome=Outcome.FAILED)
    site.load(1, environment="dev")
    site.verify()
    assert (site.check(VOLUME).outcome, site.check(VOLUME).message) == ("success", None)


def test_the_settings_of_an_anomaly(site):
    for rows in (10, 10, 10, 1000, 1000, 1000, 1300):
        site.load(rows)
        site.wait(days=1)
    assert site.check("- volume_anomaly: {runs: 3, least: 3}").message == (
        "the last load of shop.orders brought 1,300 rows; expected 825 to 1,175 (median 1,000 of 3 loads)"
    )
    assert site.check("- volume_anomaly: {runs: 3, least: 3, tolerance: 6}").outcome == "success"
    assert site.check("- volume_anomaly: {least: 3, severity: error, since: 2026-06-04}").outcome == "failed"
    assert site.error is not None


def test_rows_that_stay_away_longer_than_usual_are_a_warning(site):
    for minutes in (0, 3, -2, 1, 0, 5, 0, -4):
        site.load(10)
        site.load(0)  # brings nothing, so it is no sign of life
        site.wait(hours=1, minutes=minutes)
    assert site.check("- freshness_anomaly").outcome == "success"
    site.wait(hours=3)
    event = site.check("- freshness_anomaly")
    assert (event.outcome, event.severity) == ("failed", "warn")
    assert event.message == (
        "no rows came into shop.orders for 3 h 56 min; expected some within 1 h 10 min "
        "(median 1 h 0 min between 8 loads)"
    )
    assert site.check("- freshness_anomaly: {since: 2026-06-01T05:00Z}").message == (
        "not judged yet: 2 former loads, 7 needed"
    )
