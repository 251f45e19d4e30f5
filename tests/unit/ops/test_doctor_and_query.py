import duckdb
import pytest

from headwater.base.errors import InputError
from headwater.ops import doctor, query, runs

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
        if found.subject not in ("headwater", "machine", "disk")
    }


def test_doctor_tells_what_is_missing_and_what_is_mistyped(lab):
    project = lab(PROJECT)
    assert findings(project) == {
        ("project", "ok"): (f"{project.root}/headwater.yml, no environment", None),
        ("tap-files", "warning"): ("headwater.yml:5: `pth` is no setting of it", "did you mean `path`?"),
        ("tap-files", "failed"): ("needs `path`", "headwater config set tap-files path VALUE"),
        ("target-duckdb", "ok"): ("its settings are complete", None),
    }


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
        "error: one native DuckDB loader is needed to read from, found none [no-warehouse]\n"
        "hint: headwater add target-duckdb"
    )
    project = lab(PROJECT + "  - {name: second, inherit_from: target-duckdb}\n")
    assert project.refusal(query.query, project.workspace(), "select 1").startswith(
        "error: one native DuckDB loader is needed to read from, found `target-duckdb`, `second`"
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
