from headwater.cli.explain import text
from headwater.model import event as e
from headwater.ops.explain import explain

STEP = "tap-shop → target-duckdb"
COLUMNS = (
    e.ColumnStored(source="id", name="id", declared="int64", type="BIGINT"),
    e.ColumnStored(
        source="price", name="price", declared="int64", type="DOUBLE", why=("widened to double by its values",)
    ),
    e.ColumnStored(
        source="place__city",
        name="place__city",
        declared="string",
        type="VARCHAR",
        why=("flattened from `place.city`",),
        repaired=2,
    ),
    e.ColumnStored(source="rowid", name="rowid__1", declared="int64", type="BIGINT", why=("renamed: taken",)),
)
EVENTS = (
    e.RunStarted(run_id="r", environment=None, steps=(STEP,), version="1"),
    e.StepStarted(step=STEP, state_id="dev:shop", road="tap-shop ═► target-duckdb"),
    e.Adjusted(step=STEP, stream="orders", column=None, change="table-created", detail="shop.orders"),
    e.Adjusted(step=STEP, stream="orders", column="rowid", change="renamed", detail="rowid → rowid__1"),
    e.CheckpointSaved(step=STEP, state_id="dev:shop", state='{"n":1}'),
    e.Adjusted(step=STEP, stream="orders", column="price", change="column-widened", detail="BIGINT → DOUBLE"),
    e.CheckpointSaved(step=STEP, state_id="dev:shop", state='{"n":2}'),
    e.StreamStored(
        step=STEP,
        stream="orders",
        place="shop.orders",
        method="upsert",
        keys=("id",),
        cursor="updated_at",
        commits=2,
        columns=COLUMNS,
    ),
    e.StepFinished(
        step=STEP,
        outcome=e.Outcome.SUCCESS,
        seconds=4.2,
        streams=(
            e.StreamFigures(stream="orders", read=2_000, loaded=1_990, rejected=3, filtered=7, repaired=2, seconds=2.0),
        ),
    ),
)

SCREEN = """\
tap-shop → target-duckdb: success after 4.2 s
  road   tap-shop ═► target-duckdb
  state  `dev:shop`: saved 2 times, last {"n":2}

  orders → shop.orders
    method   upsert
    keys     id
    cursor   updated_at
    rows     2,000 read, 7 filtered, 3 rejected, 1,990 loaded, 2 values repaired, in 2.0 s, 1,000 rows/s
    commits  2
    table-created, shop.orders

    column       as        declared  stored   why
    ───────────  ────────  ────────  ───────  ────────────────────────────────────────────────────────────────
    id                     int64     BIGINT
    price                  int64     DOUBLE   widened to double by its values; column-widened: BIGINT → DOUBLE
    place__city            string    VARCHAR  flattened from `place.city`; 2 values changed to fit string
    rowid        rowid__1  int64     BIGINT   renamed: taken"""


def test_a_run_is_told_stream_by_stream_and_column_by_column():
    assert text(explain(EVENTS)) == SCREEN


def test_a_run_that_failed_says_why_and_that_no_state_was_saved():
    problem = e.Problem(reference="tap-failed", what="`tap-shop` exited with 1")
    (step,) = explain(
        [EVENTS[1], e.StepFinished(step=STEP, outcome=e.Outcome.FAILED, seconds=1.0, problem=problem)],
    )
    assert text([step]) == (
        "tap-shop → target-duckdb: failed after 1.0 s\n"
        "  `tap-shop` exited with 1 [tap-failed]\n"
        "  road   tap-shop ═► target-duckdb\n"
        "  state  `dev:shop`: none was saved by this run"
    )


def test_a_road_between_programs_tells_what_it_can_count():
    events = [
        e.StepStarted(step=STEP, road="tap-shop ═► target-jsonl"),
        e.StepFinished(
            step=STEP,
            outcome=e.Outcome.SUCCESS,
            seconds=2.0,
            streams=(e.StreamFigures(stream="orders", read=10, seconds=2.0),),
        ),
    ]
    assert text(explain(events)).splitlines()[2:] == [
        "  state  none is kept",
        "",
        "  orders",
        "    rows     10 read, in 2.0 s, 5 rows/s",
    ]


def test_steps_that_move_no_rows_are_left_out():
    assert text(explain([e.StepStarted(step="dbt:run")])) == "no step of this run moved rows"
