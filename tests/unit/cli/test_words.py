from typing import get_args

import pytest

from headwater.cli import words
from headwater.model import event as e
from headwater.model.catalog import CatalogChange

OK, FAILED = e.Outcome.SUCCESS, e.Outcome.FAILED
STEP = "tap → target"


def shown(event):
    line = words.line(event)
    return f"{line.level} {line.who}: {line.text}"


LINES = [
    (
        e.RunStarted(run_id="r1", environment="dev", steps=(STEP,), version="1"),
        "info headwater: run r1 started in environment `dev`",
    ),
    (e.RunStarted(run_id="r1", environment=None, steps=(), version="1"), "info headwater: run r1 started"),
    (e.StepStarted(step=STEP), "info headwater: tap → target: started"),
    (
        e.PluginLine(step=STEP, plugin="tap", level=e.Level.WARNING, text="slow down"),
        "warning tap: slow down",
    ),
    (e.Notice(step=None, level=e.Level.DEBUG, text="cached"), "debug headwater: cached"),
    (
        e.Adjusted(step=STEP, stream="users", column="age", change="column-added", detail="bigint"),
        "info headwater: users.age: column-added, bigint",
    ),
    (
        e.Adjusted(step=STEP, stream="users", column=None, change="table-created", detail="a.users"),
        "info headwater: users: table-created, a.users",
    ),
    (
        e.SourceChanged(step=STEP, change=CatalogChange(stream="users", change="column-removed", column="age")),
        "warning headwater: source schema drifted: `users.age` is gone",
    ),
    (
        e.StreamStored(step=STEP, stream="users", place="a.users", method="upsert"),
        "debug headwater: users: in a.users, upsert",
    ),
    (
        e.CheckpointSaved(step=STEP, state_id="dev:tap-to-target", state="{}"),
        "debug headwater: checkpoint of `dev:tap-to-target` saved",
    ),
    (
        e.ModelBuilt(step="models", model="m", outcome=OK, rows=1200, seconds=0.25),
        "info headwater: model m: built, 1,200 rows, 0.2 s",
    ),
    (e.ModelBuilt(step="models", model="m", outcome=OK, skipped=True), "info headwater: model m: unchanged"),
    (
        e.ModelBuilt(step="models", model="m", outcome=FAILED, message="no table t"),
        "error headwater: model m: failed, no table t",
    ),
    (e.Lineage(step="dbt:build", nodes=()), "debug headwater: dbt:build: lineage of 0 nodes"),
    (e.Checked(step="models", check="unique", outcome=OK), "info headwater: check unique: passed"),
    (
        e.Checked(step="models", check="unique", outcome=FAILED, failing=3, message="id 1, 2"),
        "error headwater: check unique: 3 failing rows, id 1, 2",
    ),
    (
        e.Checked(step="models", check="unique", outcome=FAILED, severity="warn", failing=1),
        "warning headwater: check unique: 1 failing row",
    ),
    (
        e.Checked(step="dbt:test", check="unique", outcome=FAILED, message="there is no column `shpo`"),
        "error headwater: check unique: failed, there is no column `shpo`",
    ),
    (e.Install(plugin="tap", status="started"), "info headwater: tap: installing"),
    (e.Install(plugin="tap", status="installed", seconds=2.5), "info headwater: tap: installed in 2.5 s"),
    (e.Install(plugin="tap", status="skipped"), "info headwater: tap: is up to date"),
    (e.Install(plugin="tap", status="failed", detail="no wheel"), "error headwater: tap: failed, no wheel"),
    (e.StepFinished(step=STEP, outcome=OK, seconds=75), "info headwater: tap → target: done in 1 min 15 s"),
    (
        e.StepFinished(step=STEP, outcome=FAILED, seconds=1, problem=e.Problem(reference="r", what="`tap` failed")),
        "error headwater: tap → target: failed after 1.0 s, `tap` failed",
    ),
    (e.RunFinished(run_id="r1", outcome=OK, seconds=3), "info headwater: run success after 3.0 s"),
    (
        e.RunFinished(run_id="r1", outcome=e.Outcome.CANCELLED, seconds=3),
        "error headwater: run cancelled after 3.0 s",
    ),
]


@pytest.mark.parametrize(("event", "line"), LINES)
def test_every_event_in_words(event, line):
    assert shown(event) == line


def test_no_kind_of_event_is_left_out():
    assert {type(event) for event, _ in LINES} | {e.Progress} == set(get_args(e.Event))


@pytest.mark.parametrize(
    ("streams", "size", "text"),
    [
        ((), 0, "extracting: 3.0 s"),
        ((e.StreamFigures(stream="a"),), 0, "extracting: 1 stream, 3.0 s"),
        (
            (e.StreamFigures(stream="a", read=90_000), e.StreamFigures(stream="b", read=30_000)),
            9_300_000,
            "extracting: 2 streams, 120,000 rows, 40,000 rows/s, 3.1 MB/s, 3.0 s",
        ),
    ],
)
def test_progress_leaves_out_what_is_unknown(streams, size, text):
    assert words.progress(e.Progress(step=STEP, phase="extracting", streams=streams, size=size, seconds=3)) == text


def test_figures_that_a_road_cannot_know_stay_empty():
    (row,) = words.summary([e.StreamFigures(stream="a", read=0)], saved=False)
    assert row == ("a", 0, None, None, None, None, 0.0, None)


@pytest.mark.parametrize(
    ("own", "saved", "text"),
    [(None, False, None), (None, True, "saved"), ("id 7", True, "id 7"), ("x" * 50, False, "x" * 39 + "…")],
)
def test_the_checkpoint_of_a_stream(own, saved, text):
    (row,) = words.summary([e.StreamFigures(stream="a", checkpoint=own)], saved=saved)
    assert row[-1] == text
