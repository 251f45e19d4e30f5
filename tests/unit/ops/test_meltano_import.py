"""What Meltano's database holds comes along, once, and never over what is there."""

from __future__ import annotations

import pickle
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from headwater.base.errors import EnvironmentProblemError, InputError
from headwater.cli.main import run
from headwater.ops import logs, meltano_import, planning, states
from headwater.ops.workspace import find
from headwater.store import states as kept

SQL = (Path(__file__).parents[2] / "fixtures" / "meltano_db.sql").read_text()
# As Meltano wrote them: `devtok`, 7 and {"a": 1}.
PICKLES = {"token": "8005950A000000000000008C06646576746F6B942E", "limit": "80054B072E"}
PICKLES["deep.er"] = "8005950A000000000000007D948C0161944B01732E"
NUMBERS = "dev:tap-numbers-to-target-lines"


class Evil:
    def __reduce__(self):
        return print, ("this must never run",)


def settings():
    """Rows of `plugin_settings`: name, namespace, value."""
    yield from ((name, "extractors.tap-numbers.default", bytes.fromhex(text)) for name, text in PICKLES.items())
    yield "project_readonly", "meltano", pickle.dumps(True)
    yield "python", "meltano", pickle.dumps("3.12")
    yield "evil", "extractors.tap-numbers.default", pickle.dumps(Evil())


@pytest.fixture
def workspace(tmp_path):
    """A project with a database of Meltano's."""
    (tmp_path / "meltano.yml").write_text("version: 1\n")
    file = tmp_path / ".meltano" / "meltano.db"
    file.parent.mkdir()
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(SQL)
        connection.executemany(
            "insert into plugin_settings (name, namespace, value, enabled) values (?, ?, ?, 1)", settings()
        )
        connection.commit()
    return find(tmp_path)


PLUGIN = "plugins: {extractors: [{name: tap-numbers, namespace: n, executable: x, settings: [{name: limit}]}]}\n"
LINE = (
    "took 3 states, 4 settings and 2 runs over from `.meltano/meltano.db`; not taken: "
    "meltano project_readonly and tap-numbers evil"
)


def shown(workspace):
    with states.opened(workspace) as backend:
        return {found.state_id: kept.shown(found.state) for found in kept.listed(backend)}


def test_the_first_command_takes_all_and_says_so_in_one_line(workspace):
    said = []
    for _ in range(2):
        meltano_import.first(workspace, said.append)
    assert said == [LINE]
    assert shown(workspace) == {
        NUMBERS: '{"singer_state":{"n": 1.0,"m": 2}}'.replace(": ", ":"),
        "odd": '{"bookmarks": 1}',
        "only-partial": '{"singer_state":{"k": [1]}}',
    }
    assert workspace.stored_settings == {
        "tap-numbers": {"token": "devtok", "limit": 7, "deep.er": {"a": 1}},
        "meltano": {"python": "3.12"},
    }
    python = planning.settings(workspace)["python"]
    assert (python.value, python.source) == ("3.12", "the system database")
    runs = logs.listing(workspace, 9)
    assert [(run.name, run.outcome.value, run.seconds) for run in runs] == [
        ("dev:tap-other-to-target-lines", "failed", 1.0),
        (NUMBERS, "success", pytest.approx(0.387056)),
    ]
    assert {run.run_id for run in runs} == {
        "01a1fe47-e279-7974-91b8-e6d8a7e2ccd7",
        "01a1fe47-e279-7974-91b8-e6d8a7e2ccd7.2",
    }


def test_a_state_that_came_along_counts_less_than_a_checkpoint_beside_the_data(workspace):
    meltano_import.first(workspace, print)
    with states.opened(workspace) as backend:
        assert (backend.read(NUMBERS).by_user, backend.read(NUMBERS).with_data) == (False, False)


def test_where_we_have_states_none_come_by_themselves(workspace):
    states.set_value(workspace, NUMBERS, '{"singer_state":{"n":9}}')
    said = []
    meltano_import.first(workspace, said.append)
    assert said == [LINE.replace("3 states, ", "")]
    assert shown(workspace) == {NUMBERS: '{"singer_state":{"n":9}}'}


def test_by_command_what_is_missing_comes_and_nothing_is_overwritten(workspace):
    states.set_value(workspace, NUMBERS, '{"singer_state":{"n":9}}')
    taken = meltano_import.take(workspace)
    assert (taken.states, taken.kept) == (2, (NUMBERS,))
    assert shown(workspace)[NUMBERS] == '{"singer_state":{"n":9}}'
    assert meltano_import.take(workspace).text().startswith("nothing new in `.meltano/meltano.db`; left as they are: ")


def test_states_in_a_place_that_both_programs_use_are_not_taken_over(workspace, tmp_path):
    (tmp_path / "meltano.yml").write_text(f"version: 1\nstate_backend:\n  uri: file://{tmp_path}/states\n")
    assert meltano_import.take(workspace.again()).states == 0


def test_a_project_without_one_is_told(tmp_path):
    (tmp_path / "meltano.yml").write_text("version: 1\n")
    meltano_import.first(find(tmp_path), print)
    assert not (tmp_path / ".headwater").exists()
    with pytest.raises(InputError, match="no database of Meltano's"):
        meltano_import.take(find(tmp_path))


def test_a_file_that_is_no_database_is_told(workspace, tmp_path):
    (tmp_path / ".meltano" / "meltano.db").write_bytes(b"nonsense" * 200)
    with pytest.raises(EnvironmentProblemError, match="can't be read"):
        meltano_import.first(workspace, print)


def test_a_database_elsewhere_is_found_and_ours_lies_beside_it(workspace, tmp_path):
    (tmp_path / "shared").mkdir()
    shutil.move(tmp_path / ".meltano" / "meltano.db", tmp_path / "shared" / "our.db")
    (tmp_path / "meltano.yml").write_text("version: 1\ndatabase_uri: sqlite:///shared/our.db\n")
    again = workspace.again()
    said = []
    meltano_import.first(again, said.append)
    assert said == [LINE.replace(".meltano/meltano.db", "shared/our.db")]
    assert len(shown(again)) == 3
    assert (tmp_path / "shared" / "our.headwater.db").exists()


@pytest.mark.parametrize("uri", ["sqlite:///$MELTANO_SYS_DIR_ROOT/meltano.db", "sqlite:///.meltano/meltano.db"])
def test_meltanos_usual_place_may_be_written_out(workspace, tmp_path, uri):
    (tmp_path / "meltano.yml").write_text(f"version: 1\ndatabase_uri: {uri}\n")
    said = []
    meltano_import.first(workspace.again(), said.append)
    assert said == [LINE]
    assert (tmp_path / ".headwater" / "headwater.db").exists()


def test_postgres(workspace, tmp_path, postgres):
    shutil.rmtree(tmp_path / ".meltano")
    postgres.sql("create database meltano_import")
    postgres.sql(SQL.replace(" blob,", " bytea,"), "meltano_import")
    with postgres.connect("meltano_import") as connection:
        for row in settings():
            connection.execute(
                "insert into plugin_settings (name, namespace, value, enabled) values (%s, %s, %s, true)", row
            )
    uri = f"postgresql://{postgres.user}:{postgres.password}@{postgres.host}:{postgres.port}/meltano_import"
    (tmp_path / ".env").write_text(f"MELTANO_DATABASE_URI='{uri}'\n")
    said = []
    again = find(tmp_path)
    meltano_import.first(again, said.append)
    place = f"postgresql://(redacted)@{postgres.host}:{postgres.port}/meltano_import"
    assert said == [LINE.replace(".meltano/meltano.db", place)]
    assert len(shown(again)) == 3
    assert postgres.sql("select count(*) from headwater_states", "meltano_import") == [(3,)]


@pytest.mark.parametrize(
    "words",
    [("config", "list", "tap-numbers", "--json"), ("schedule", "list"), ("invoke", "--dump", "config", "tap-numbers")],
    ids=" ".join,
)
def test_commands_that_read_settings_bring_them_along(workspace, capsys, words):
    (workspace.root / "meltano.yml").write_text(PLUGIN)
    assert run(["--cwd", str(workspace.root), *words]) == 0
    assert LINE in capsys.readouterr().err
    assert run(["--cwd", str(workspace.root), "config", "print", "tap-numbers"]) == 0
    printed = capsys.readouterr()
    assert '"limit": 7' in printed.out
    assert LINE not in printed.err


def test_a_database_that_cannot_be_read_does_not_keep_a_setting_from_being_set(workspace, capsys):
    (workspace.root / "meltano.yml").write_text(PLUGIN)
    (workspace.root / ".meltano" / "meltano.db").write_text("this is no database")
    assert run(["--cwd", str(workspace.root), "config", "set", "tap-numbers", "limit", "3"]) == 0
    assert "warning: the settings in Meltano's database are left out: " in capsys.readouterr().err
