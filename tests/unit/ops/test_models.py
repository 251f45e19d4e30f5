"""Models behind the checks of what they read."""

from pathlib import Path

import duckdb
import pytest

from headwater.base.errors import InputError, RunFailedError
from headwater.model.event import Checked, Lineage, ModelBuilt
from headwater.model.plan import Block, Build, Plan
from headwater.model.plugin import PluginKind
from headwater.ops import models
from headwater.ops.definitions import lookup
from headwater.ops.workspace import find
from headwater.run.cancel import Cancel
from headwater.run.runner import Run

TEXTS = {
    "first.sql": "select * from shop.orders",
    "second.sql": "select * from first",
    "third.sql": "select * from second",
    "aside.sql": "select 1 as x",
}


class Project:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.runs = 0

    def write(self, **texts: str) -> None:
        (self.root / "models").mkdir(exist_ok=True)
        for name, text in {**TEXTS, **{f"{name}.yml": text for name, text in texts.items()}}.items():
            (self.root / "models" / name).write_text(text)

    def sql(self, text: str) -> list[tuple]:
        with duckdb.connect(str(self.root / "warehouse.duckdb")) as connection:
            return connection.execute(text).fetchall()

    def build(self) -> list[str]:
        """`first`, `-second` (left as it was), `~third` (can't be built), `unique?` and `unique!` of a check."""
        step = Build(
            name="models:build",
            block=block(PluginKind.TRANSFORMER, jobs=1),
            verb="build",
            folder=str(self.root / "models"),
            warehouse=block(PluginKind.LOADER, filepath=str(self.root / "warehouse.duckdb")),
        )
        self.runs += 1
        plan = Plan(run_id=f"r{self.runs}", root=str(self.root), home=str(self.root), environment=None, steps=(step,))
        self.events: list = []
        try:
            models.build(step, Run(plan=plan, emit=self.events.append, cancel=Cancel()))
        finally:
            self.told = [_word(event) for event in self.events if isinstance(event, ModelBuilt | Checked)]
        return self.told


def block(kind: PluginKind, **config: object) -> Block:
    return Block(kind=kind, name="x", namespace="x", variant=None, native="duckdb", argv=(), env={}, config=config)


def _word(event: ModelBuilt | Checked) -> str:
    if isinstance(event, Checked):
        return event.check.rpartition(".")[2] + ("?" if event.outcome == "success" else "!")
    return {"cancelled": "~", "failed": "!"}.get(event.outcome, "-" if event.skipped else "") + event.model


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    made.sql("create schema shop")
    made.sql("create table shop.orders as select unnest([1, 2, 2]) as id")
    return made


UNIQUE = "models: [{name: first, columns: [{name: id, checks: [unique]}]}]"


def test_a_failing_check_stops_what_is_downstream_until_its_rows_are_mended(project):
    project.write(models=UNIQUE)
    with pytest.raises(RunFailedError) as caught:
        project.build()
    error = caught.value
    assert project.told == ["aside", "first", "unique!", "~second", "~third"]
    assert (error.reference, str(error.where), error.what) == (
        "checks-failed",
        "models/models.yml:1",
        "the check `analytics.first.id.unique` failed",
    )
    assert (
        error.why
        == "2 rows of analytics.first share their `id` (id=2, rows=2)\nnot built, because they need it: second, third"
    )
    assert (error.hint or "").startswith('headwater query \'select "id", count(*)')

    # Nothing changed, and the check is asked again.
    with pytest.raises(RunFailedError):
        project.build()
    assert project.told == ["-aside", "unique!", "-first", "~second", "~third"]

    project.sql("delete from shop.orders where id = 2")
    assert project.build() == ["-aside", "first", "unique?", "second", "third"]
    assert project.build() == ["-aside", "-first", "-second", "-third"]


def test_an_age_is_asked_for_by_every_build(project):
    project.sql("alter table shop.orders add column day date default current_date")
    project.write(models="models: [{name: first, columns: [{name: day, checks: [freshness: 3 days]}]}]")
    assert project.build() == ["aside", "first", "freshness?", "second", "third"]
    assert project.build() == ["-aside", "freshness?", "-first", "-second", "-third"]


def test_a_new_check_is_asked_of_a_table_that_stands(project):
    project.write()
    project.build()
    project.write(models=UNIQUE.replace("unique", "not_null"))
    assert project.build() == ["-aside", "not_null?", "-first", "-second", "-third"]


def test_a_warning_stops_nothing(project):
    project.write(models=UNIQUE.replace("unique", "unique: {severity: warn}"))
    assert project.build() == ["aside", "first", "unique!", "second", "third"]


def test_the_checks_of_a_loaded_table_come_before_what_reads_it(project):
    project.write(models="sources: [{name: shop, tables: [{name: orders, columns: [{name: id, checks: [unique]}]}]}]")
    with pytest.raises(RunFailedError, match=r"shop\.orders\.id\.unique"):
        project.build()
    assert (project.told[0], sorted(project.told[1:])) == ("unique!", ["aside", "~first", "~second", "~third"])
    (lineage,) = (event for event in project.events if isinstance(event, Lineage))
    assert [(node.key, node.needs) for node in lineage.nodes if node.type == "test"] == [
        ("test.shop.orders.id.unique", ("source.shop.orders",))
    ]


def test_a_new_check_of_a_loaded_table_is_asked_though_what_reads_it_stands(project):
    check = "sources: [{{name: shop, tables: [{{name: orders, columns: [{{name: {0}, checks: [{1}]}}]}}]}}]"
    project.write()
    project.build()
    project.write(models=check.format("id", "not_null"))
    assert sorted(project.build()) == ["-aside", "-first", "-second", "-third", "not_null?"]
    assert project.build() == ["-aside", "-first", "-second", "-third"]

    project.write(models=check.format("id", "unique"))
    with pytest.raises(RunFailedError, match=r"shop\.orders\.id\.unique"):
        project.build()
    assert sorted(project.told) == ["-aside", "unique!", "~first", "~second", "~third"]

    project.write(models=check.format("idd", "unique"))
    with pytest.raises(InputError, match="has no column `idd`"):
        project.build()


def test_the_age_of_a_loaded_table_is_asked_before_it_is_read_and_not_when_nothing_is_built(project):
    project.sql("alter table shop.orders add column day date default current_date")
    project.write(
        models="sources: [{name: shop, tables: [{name: orders, columns: [{name: day, checks: [freshness: 3 days]}]}]}]"
    )
    assert sorted(project.build()) == ["aside", "first", "freshness?", "second", "third"]
    assert project.build() == ["-aside", "-first", "-second", "-third"]


def test_a_check_that_looks_at_a_later_model_is_asked_when_that_stands(project):
    project.write(
        models="models: [{name: first, columns: [{name: id, checks: [relationship: {to: third, field: id}]}]}]"
    )
    assert project.build() == ["aside", "first", "second", "third", "relationship?"]
    assert project.build()[-1] == "-third"
    project.write(
        models="models: [{name: first, checks: [sql: {name: same, query: select * from third where id > 1}]}]"
    )
    with pytest.raises(RunFailedError, match="`same` failed"):
        project.build()
    assert project.told[-1] == "same!"


def test_a_check_of_a_column_that_is_not_there_is_said_with_its_line(project):
    project.write(models="models:\n- name: first\n  columns:\n  - name: idd\n    checks: [unique]")
    with pytest.raises(Exception, match="has no column `idd`") as caught:
        project.build()
    assert (str(caught.value.where), caught.value.hint) == ("models/models.yml:5", "did you mean `id`?")


def test_of_several_checks_that_cannot_be_asked_each_is_said(project):
    project.write(models="models:\n- name: first\n  columns:\n  - name: idd\n    checks: [unique, not_null]")
    with pytest.raises(InputError) as caught:
        project.build()
    assert caught.value.why == (
        "`analytics.first` has no column `idd` (models/models.yml:5)\nnot built, because they need it: second, third"
    )


def test_python_models_share_an_environment_with_all_packages_that_they_name(tmp_path):
    for name, package in {"a": "polars>=1", "b": "scikit-learn"}.items():
        path = tmp_path / "models" / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'# /// script\n# dependencies = ["{package}"]\n# ///\ndef model(): ...\n')
    found = lookup(tmp_path)(PluginKind.TRANSFORMER, "models", None)
    assert found is not None
    assert found.pip_url == "polars>=1 scikit-learn"


PROJECT = """\
plugins:
  loaders: [{{name: target-{0}, variant: headwater}}]
  transforms: [{{name: nycflights13, variant: headwater}}]
"""


def test_a_ready_made_transform_becomes_files_of_the_project(tmp_path):
    (tmp_path / "headwater.yml").write_text(PROJECT.format("duckdb"))
    first = models.bring(find(tmp_path), "nycflights13")
    assert first is not None
    assert "models/nycflights13/flights_enriched.sql" in first.created
    assert (first.kept, first.has_models) == ((), False)
    (tmp_path / "models" / "nycflights13" / "weather_hours.sql").write_text("select 1 as mine")
    again = models.bring(find(tmp_path), "nycflights13")
    assert again == models.Copied(kept=("models/nycflights13/weather_hours.sql",), has_models=False)


def test_a_transform_for_another_database_is_refused(tmp_path):
    (tmp_path / "headwater.yml").write_text(PROJECT.format("postgres"))
    with pytest.raises(InputError) as caught:
        models.bring(find(tmp_path), "nycflights13")
    assert (caught.value.reference, caught.value.why) == ("wrong-dialect", "it is written for duckdb")
