"""The two steps of a native transformer against a real warehouse with its lease."""

from pathlib import Path

import pytest

from headwater.base.errors import EnvironmentProblemError, RunFailedError
from headwater.connect import warehouse
from headwater.model.event import Checked, ModelBuilt
from headwater.model.plan import Block, Build, Plan
from headwater.model.plugin import PluginKind
from headwater.quality import step as checks
from headwater.run.cancel import Cancel
from headwater.run.runner import Run
from headwater.transform import step as models


def block(kind: PluginKind, **config: object) -> Block:
    return Block(kind=kind, name="x", namespace="x", variant=None, native="duckdb", argv=(), env={}, config=config)


def run(root: Path, verb: str, **config: object) -> list:
    events: list = []
    step = Build(
        name=f"models:{verb}",
        block=block(PluginKind.TRANSFORMER, **config),
        verb=verb,
        folder=str(root / "models"),
        warehouse=block(PluginKind.LOADER, filepath=str(root / "warehouse.duckdb")),
    )
    plan = Plan(run_id="r", root=str(root), home=str(root), environment=None, steps=(step,))
    moved = (models if verb == "build" else checks).execute(step, Run(plan=plan, emit=events.append, cancel=Cancel()))
    assert moved == ()
    return events


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "days.sql").write_text("select unnest([1, 2, 2]) as day")
    (tmp_path / "models" / "models.yml").write_text("models: [{name: days, columns: [{name: day, checks: [unique]}]}]")
    return tmp_path


def test_models_are_built_where_nothing_was_loaded_yet_and_then_checked(root):
    assert [event.rows for event in run(root, "build") if isinstance(event, ModelBuilt)] == [3]
    with pytest.raises(RunFailedError, match="1 of 1 checks failed"):
        run(root, "check")


def test_the_schema_is_a_setting_of_both_steps(root):
    run(root, "build", schema="Odd Schema, 2")
    (root / "models" / "twice.sql").write_text("select day * 2 as day from days")
    run(root, "build", schema="Odd Schema, 2")
    with warehouse.reading(root / "warehouse.duckdb", who="test") as connection:
        assert connection.execute('select sum(day) from "Odd Schema, 2".twice').fetchall() == [(10,)]
    with pytest.raises(RunFailedError):
        run(root, "check", schema="Odd Schema, 2")


def test_a_second_build_takes_no_write_lease(root):
    run(root, "build")
    with warehouse.reading(root / "warehouse.duckdb", who="a dashboard"):
        pass
    before = (root / "warehouse.duckdb").stat().st_mtime_ns
    assert [event.skipped for event in run(root, "build") if isinstance(event, ModelBuilt)] == [True]
    assert (root / "warehouse.duckdb").stat().st_mtime_ns == before


def test_checks_need_a_warehouse(root):
    with pytest.raises(EnvironmentProblemError) as caught:
        run(root, "check")
    assert caught.value.reference == "warehouse-missing"


def test_a_folder_without_checks_is_said(root):
    (root / "models" / "models.yml").unlink()
    (event,) = run(root, "check")
    assert not isinstance(event, Checked)
    assert event.text == f"no checks in {root / 'models'}"
