from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time
from datetime import timedelta

import pytest

from headwater.base import clock
from headwater.base.errors import EnvironmentProblemError, InputError
from headwater.model.event import Level, Notice, Outcome, PluginLine, StepStarted
from headwater.store.locks import is_held, try_lock
from headwater.store.run_folders import RunFolders
from headwater.store.runs import Runs
from headwater.store.system_db import MIGRATIONS, SystemDb

NOTICE = Notice(step="a", level=Level.INFO, text="hello")
LINE = PluginLine(step="a", plugin="tap-x", level=Level.INFO, text="x")

KILLED = """
import os, pathlib, signal, sys
from headwater.store.runs import Runs
from headwater.store.run_folders import RunFolders
from headwater.store.system_db import SystemDb
home = pathlib.Path(sys.argv[1])
with RunFolders(home).opened("dead") as folder:
    (folder / "config.json").write_text("secret")
    Runs(SystemDb(home), home).begin("dead", "a-to-b", trigger="cli", environment=None)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def runs(tmp_path):
    return Runs(SystemDb(tmp_path), tmp_path)


def begin(runs, run_id="r1"):
    return runs.begin(run_id, "a-to-b", trigger="cli", environment="dev")


def test_a_run_is_kept_with_its_events_in_order(runs):
    log = begin(runs)
    assert runs.record("r1").outcome is Outcome.RUNNING
    for event in (StepStarted(step="a"), LINE, NOTICE):
        log.append(event)
    log.finish(Outcome.SUCCESS)
    log.finish(Outcome.FAILED)
    record = runs.record("r1")
    assert (record.name, record.outcome, record.environment) == ("a-to-b", Outcome.SUCCESS, "dev")
    assert record.seconds is not None
    assert [stored.event for stored in runs.events("r1")] == [StepStarted(step="a"), LINE, NOTICE]
    assert [stored.position for stored in runs.events("r1", after=1)] == [2, 3]


def test_a_line_is_written_within_half_a_second(runs):
    log = begin(runs)
    log.append(LINE)
    assert runs.events("r1") == []
    time.sleep(0.8)
    assert len(runs.events("r1")) == 1
    log.finish(Outcome.SUCCESS)


def full(db, *, pages):
    """The database of `db` may have no more than so many pages: 1 is "as many as there are"."""
    with db.transaction() as connection:
        connection.execute(f"pragma max_page_count = {pages}")


def test_what_no_thread_could_write_is_told_and_written_by_the_next_event(tmp_path, monkeypatch):
    monkeypatch.setattr("headwater.store.runs._FLUSH_SECONDS", 0.0)
    crashed = []
    monkeypatch.setattr(threading, "excepthook", crashed.append)
    db = SystemDb(tmp_path)
    runs = Runs(db, tmp_path)
    log = begin(runs)
    full(db, pages=1)
    long = PluginLine(step="a", plugin="tap-x", level=Level.INFO, text="x" * 50_000)
    log.append(long)
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.join()
    assert (crashed, runs.events("r1")) == ([], [])
    with pytest.raises(EnvironmentProblemError, match="full"):
        log.append(NOTICE)
    full(db, pages=10_000)
    log.finish(Outcome.SUCCESS)
    assert [stored.event for stored in runs.events("r1")] == [long, NOTICE]


def test_a_run_whose_outcome_can_t_be_written_counts_as_failed(tmp_path):
    db = SystemDb(tmp_path)
    runs = Runs(db, tmp_path)
    log = begin(runs)
    full(db, pages=1)
    with pytest.raises(EnvironmentProblemError, match="full"):
        log.append(Notice(step="a", level=Level.INFO, text="x" * 50_000))
    with pytest.raises(EnvironmentProblemError, match="full"):
        log.finish(Outcome.SUCCESS)
    full(db, pages=10_000)
    assert runs.record("r1").outcome is Outcome.FAILED


def test_a_commit_that_fails_leaves_no_transaction_open(tmp_path):
    db = SystemDb(tmp_path)

    def fail_at_the_commit():
        with db.transaction() as connection:
            connection.execute("pragma defer_foreign_keys = on")
            connection.execute("insert into events values ('no run', 1, '', '')")

    with pytest.raises(EnvironmentProblemError, match="FOREIGN KEY"):
        fail_at_the_commit()
    with db.transaction() as connection:
        connection.execute("select 1")
    assert db.rows("select count(*) from events") == [(0,)]


def test_a_run_that_was_killed_is_failed_as_soon_as_somebody_looks(runs, tmp_path):
    begin(runs, "alive")
    subprocess.run([sys.executable, "-c", KILLED, tmp_path], check=False)
    outcomes = {record.run_id: record.outcome for record in runs.records()}
    assert outcomes == {"alive": Outcome.RUNNING, "dead": Outcome.FAILED}


def test_the_next_run_takes_the_lock_file_of_a_killed_one_away(runs, tmp_path):
    begin(runs, "alive")
    subprocess.run([sys.executable, "-c", KILLED, tmp_path], check=False)
    begin(runs, "next")
    assert {path.name for path in tmp_path.rglob("run-*.lock")} == {"run-alive.lock", "run-next.lock"}


def test_the_folder_of_a_killed_run_goes_with_it(tmp_path):
    subprocess.run([sys.executable, "-c", KILLED, tmp_path], check=False)
    deadline = time.monotonic() + 60
    while (tmp_path / "run/dead").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not (tmp_path / "run/dead").exists()


def test_a_folder_that_nobody_holds_is_wiped_by_the_next_run(tmp_path):
    (tmp_path / "run/dead").mkdir(parents=True)
    (tmp_path / "run/dead/config.json").write_text("secret")
    with RunFolders(tmp_path).opened("next") as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        assert RunFolders(tmp_path).sweep() == 0
        assert [path.name for path in (tmp_path / "run").iterdir() if path.is_dir()] == ["next"]
    assert not folder.exists()


def test_recent_events_of_a_kind_stand_in_the_order_of_their_runs(runs):
    for number in (1, 2, 3):
        log = runs.begin(f"r{number}", "x", trigger="cli", environment="dev" if number < 3 else None)
        for event in (NOTICE, StepStarted(step=str(number)), LINE):
            log.append(event)
        log.finish(Outcome.SUCCESS)

    def steps(**asked):
        return [stored.event.step for stored in runs.recent(["step-started", "step-finished"], **asked)]

    assert steps(environment="dev", runs=9) == ["1", "2"]
    assert steps(environment="dev", runs=1) == ["2"]
    assert steps(environment=None, runs=9) == ["3"]


def test_an_id_is_used_once(runs):
    begin(runs).finish(Outcome.SUCCESS)
    with pytest.raises(InputError, match="already a run `r1`"):
        begin(runs)


def test_what_old_runs_said_is_forgotten_and_how_they_went_is_not(runs):
    running, ended = begin(runs, "r0"), begin(runs, "r1")
    for log in (running, ended):
        for event in (StepStarted(step="a"), LINE, NOTICE):
            log.append(event)
    ended.finish(Outcome.SUCCESS)
    assert runs.forget_lines(clock.now() - timedelta(days=1)) == 0
    assert runs.forget_lines(clock.now() + timedelta(days=1)) == 2
    assert [stored.event for stored in runs.events("r1")] == [StepStarted(step="a")]
    assert {record.run_id for record in runs.records()} == {"r0", "r1"}
    running.finish(Outcome.SUCCESS)
    assert len(runs.events("r0")) == 3


def test_a_database_of_a_newer_version_is_refused(tmp_path):
    SystemDb(tmp_path).close()
    with sqlite3.connect(tmp_path / "headwater.db") as connection:
        connection.execute(f"pragma user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(EnvironmentProblemError, match="written by a newer version"):
        SystemDb(tmp_path)


def test_a_file_that_is_no_database_is_named(tmp_path):
    (tmp_path / "headwater.db").write_text("x" * 5000)
    with pytest.raises(EnvironmentProblemError, match="file is not a database"):
        SystemDb(tmp_path)


def test_a_lock_is_held_by_one_and_free_again_after(tmp_path):
    lock = try_lock(tmp_path / "x.lock", "me")
    assert try_lock(tmp_path / "x.lock") is None
    assert is_held(tmp_path / "x.lock")
    lock.release()
    lock.release()
    assert not is_held(tmp_path / "x.lock")
