from pathlib import Path

import duckdb
import pytest

from headwater.base.errors import InputError
from headwater.model.event import SourceChanged
from headwater.ops import doctor, query, runs
from headwater.run.prepared import own_program

PROJECT = """\
plugins:
  extractors:
  - name: tap-files
    variant: headwater
    config: {pth: x}
  loaders:
  - {name: target-duckdb, variant: headwater}
"""


def findings(project):
    return {
        (found.subject, found.status): (found.text, found.hint)
        for found in doctor.examine(project.workspace)
        if found.subject not in ("headwater", "machine", "disk", "states")
    }


def test_doctor_tells_what_is_missing_and_what_is_mistyped(lab):
    project = lab(PROJECT)
    assert findings(project) == {
        ("project", "ok"): (f"{project.root}/headwater.yml, no environment", None),
        ("tap-files", "warning"): ("headwater.yml:5: `pth` is no setting of it", "did you mean `path`?"),
        ("tap-files", "failed"): ("needs `path`", "headwater config set tap-files path VALUE"),
        ("target-duckdb", "ok"): ("it can be opened; nothing was written", None),
    }
    assert not (project.root / "warehouse.duckdb").exists()


MAPPED = """\
plugins:
  mappers:
  - name: map-x
    namespace: map_x
    settings: [{name: maps, required: true}, {name: host, required: true}]
    config: {host: here}
    mappings:
    - {name: a, config: {maps: x}}
"""


def test_doctor_finds_in_mappings_what_a_mapper_needs(lab):
    assert findings(lab(MAPPED))["map-x", "ok"] == ("its settings are complete", None)
    assert findings(lab(MAPPED + "    - {name: b}\n"))["map-x", "failed"][0] == "needs `maps`"


def test_doctor_goes_on_when_there_is_no_project(tmp_path):
    def workspace():
        raise InputError("no-project", "no project here", hint="headwater init")

    found = doctor.examine(workspace)[-1]
    assert (found.subject, found.status, found.text, found.hint) == (
        "project",
        "failed",
        "no project here",
        "headwater init",
    )


PIPELINE = """\
plugins:
  extractors:
  - name: tap-files
    variant: headwater
    config: {path: "*.csv"}
    select: [%s]
  loaders:
  - {name: target-duckdb, variant: headwater}
"""


@pytest.fixture
def loaded(lab):
    """A project whose pipeline has run, with two streams."""

    def make(select):
        project = lab(PIPELINE % select)
        project.write("users.csv", "id,name\n1,a\n")
        project.write("orders.csv", "id,price\n1,2\n")
        request = runs.Request(blocks=("tap-files", "target-duckdb"))
        result = runs.start(project.workspace(), request, emit=project.emit, cancel=project.cancel)
        assert result.exit_code == 0
        return project

    return make


def problems(project):
    found = doctor.examine(project.workspace)
    return [(one.subject, one.status, one.text) for one in found if one.status != "ok" and one.subject != "machine"]


def test_doctor_opens_sources_and_destinations_and_is_content(loaded):
    project = loaded('"*.*"')
    assert problems(project) == []
    texts = [(one.subject, one.text) for one in doctor.examine(project.workspace)]
    assert ("tap-files", "answers, and offers 2 streams") in texts
    assert ("target-duckdb", "it can be opened; nothing was written") in texts
    assert ("states", "`systemdb` answers, and has 1 state") in texts


def test_doctor_tells_what_changed_at_the_source_until_a_run_has_seen_it(loaded):
    project = loaded('"*.*"')
    project.write("users.csv", "id,email\n1,a@b\n")
    told = [
        ("tap-files", "warning", "`users.email` is new since the source was last looked at"),
        ("tap-files", "warning", "`users.name` is gone since the source was last looked at"),
    ]
    assert problems(project) == told
    assert problems(project) == told


def test_a_run_tells_what_changed_at_a_native_source(loaded):
    project = loaded('"*.*"')
    project.write("users.csv", "id,email\n1,a@b\n")
    runs.start(
        project.workspace(),
        runs.Request(blocks=("tap-files", "target-duckdb")),
        emit=project.emit,
        cancel=project.cancel,
    )
    changes = [event.change for event in project.events if isinstance(event, SourceChanged)]
    assert [(one.stream, one.column, one.change) for one in changes] == [
        ("users", "email", "column-added"),
        ("users", "name", "column-removed"),
    ]


def test_doctor_refuses_patterns_that_select_nothing_unless_they_may(loaded):
    project = loaded("users.*, ordres.*, users.nmae, '!gone.*', 'x_*.*'")
    assert problems(project) == [
        ("tap-files", "failed", f"`{pattern}` selects nothing: no stream or property is called so")
        for pattern in ("ordres.*", "users.nmae", "x_*.*")
    ]
    text = (project.root / "headwater.yml").read_text()
    project.write("headwater.yml", text.replace("    select:", "    select_may_miss: true\n    select:"))
    assert problems(project) == []


def test_doctor_misses_tables_and_columns_that_a_run_left(loaded):
    project = loaded('"*.*"')
    with duckdb.connect(str(project.root / "warehouse.duckdb")) as connection:
        schema = connection.execute("select schema_name from _headwater.tables").fetchone()[0]
        connection.execute(f"drop table {schema}.orders")
        connection.execute(f"alter table {schema}.users drop name")
    assert sorted(problems(project)) == [
        ("target-duckdb", "failed", f"{schema}.orders, which the last run left, is gone"),
        ("target-duckdb", "warning", f"{schema}.users no longer has `name`, which the last run left"),
    ]


def test_doctor_tells_that_the_place_of_states_does_not_answer(lab):
    project = lab("state_backend: {uri: 'postgresql://nobody:hushhush@127.0.0.1:9/x'}\nplugins: {}\n")
    ((subject, status, text),) = problems(project)
    assert (subject, status) == ("states", "failed")
    assert "hushhush" not in text


def test_doctor_names_a_lock_file_that_cannot_be_read(lab):
    project = lab("plugins:\n  extractors:\n  - {name: tap-x, variant: v}\n")
    project.write("plugins/extractors/tap-x--v.lock", "{")
    assert ("tap-x", "failed") in [(subject, status) for subject, status, _ in problems(project)]


def test_doctor_names_another_program_that_dags_would_call(lab):
    project = lab(PROJECT)
    link = project.root / ".meltano/run/bin"
    link.parent.mkdir(parents=True)
    link.symlink_to(own_program())
    assert ("orchestration", "warning") not in findings(project)
    link.unlink()
    link.symlink_to("/bin/sh")
    text, hint = findings(project)["orchestration", "warning"]
    assert text == f"DAGs that call `.meltano/run/bin` run {Path('/bin/sh').resolve()}"
    assert hint == f"ln -sfn {own_program()} {link}"


def test_doctor_compares_that_program_with_none_where_there_is_none_of_ours(lab, monkeypatch):
    project = lab(PROJECT)
    link = project.root / ".meltano/run/bin"
    link.parent.mkdir(parents=True)
    link.symlink_to("/bin/sh")
    monkeypatch.setattr("sys.executable", str(project.root / "python"))
    assert ("orchestration", "warning") not in findings(project)


def test_doctor_asks_to_install(lab):
    project = lab("plugins:\n  utilities:\n  - {name: u, namespace: u, pip_url: some-package}\n")
    assert findings(project)["u", "warning"] == ("not installed", "headwater install u")


@pytest.fixture
def filled(lab):
    project = lab(PROJECT)
    with duckdb.connect(str(project.root / "warehouse.duckdb")) as connection:
        connection.execute("create table t as select range as id, 'n' || range as name from range(5)")
    return project


def test_rows_are_read(filled):
    answer = query.query(filled.workspace(), "select * from t order by id", limit=2)
    assert (answer.columns, answer.rows, answer.cut) == (("id", "name"), ((0, "n0"), (1, "n1")), True)


@pytest.mark.parametrize("sql", ["delete from t", "create table u (a int)", "selec 1", "from nothing"])
def test_sql_that_changes_or_is_wrong_is_refused(filled, sql):
    assert filled.refusal(query.query, filled.workspace(), sql).startswith(
        "error: the warehouse refuses this SQL [bad-sql]\n  "
    )


def test_other_files_are_out_of_reach(filled):
    filled.write("x.csv", "a\n1\n")
    assert "[bad-sql]" in filled.refusal(query.query, filled.workspace(), "select * from 'x.csv'")


def test_a_query_needs_one_warehouse(lab):
    project = lab("plugins: {}\n")
    assert project.refusal(query.query, project.workspace(), "select 1") == (
        "error: one native loader of DuckDB or PostgreSQL is needed to read from, found none [no-warehouse]\n"
        "hint: headwater add target-duckdb"
    )
    project = lab(PROJECT + "  - {name: second, inherit_from: target-duckdb}\n")
    assert project.refusal(query.query, project.workspace(), "select 1").startswith(
        "error: one native loader of DuckDB or PostgreSQL is needed to read from, found `target-duckdb`, `second`"
    )


def test_a_plan_shows_no_secret(lab):
    project = lab(
        "state_backend: {uri: 'postgresql://me:pgsecret@db/x'}\n"
        "plugins:\n"
        "  utilities:\n"
        "  - name: u\n"
        "    namespace: u\n"
        "    executable: u\n"
        "    settings: [{name: token, sensitive: true}, {name: url}]\n"
        "    config: {token: hushhush, url: 'https://x/?t=hushhush'}\n"
        "    commands: {go: 'go --token=$U_TOKEN'}\n"
    )
    body = runs.describe(project.workspace(), runs.Request(blocks=("u:go",)))
    assert body["state_uri"] == "postgresql://(redacted)@db/x"
    assert body["steps"][0]["argv"] == ["u", "go", "--token=(redacted)"]
    assert body["steps"][0]["block"]["config"] == {"token": "(redacted)", "url": "https://x/?t=(redacted)"}
    assert "hushhush" not in str(body)
