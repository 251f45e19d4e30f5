"""Config files that are made for a start, and are gone after it."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from headwater.base.errors import CancelledError, InputError, RunFailedError
from headwater.model.plan import Block
from headwater.model.plugin import PluginKind
from headwater.run.cancel import Cancel
from headwater.run.prepared import (
    airflow_config,
    database_command,
    link_program,
    own_program,
    prepared,
    superset_config,
)
from headwater.store.run_folders import RunFolders

PROGRAM = """\
#!/bin/sh
case "$1" in
  version) echo "a warning of 1.2 things"; echo "2.9.1" ;;
  config) echo "[core]"; echo "fernet_key = %s" ;;
  *) echo "$SAID: no such table, key hunter22" >&2; exit $CODE ;;
esac
"""


def block(folder: Path, *, code: int = 0, setup: str = "airflow", **fields: object) -> Block:
    program = folder / "program"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    return Block(
        kind=PluginKind.ORCHESTRATOR,
        name="airflow",
        variant=None,
        namespace="airflow",
        native=None,
        argv=(str(program),),
        env={"PATH": "/usr/bin:/bin", "CODE": str(code)},
        config={"core": {"fernet_key": "hunter22"}},
        secrets=("hunter22",),
        setup=setup,
        **fields,
    )


def test_the_file_is_for_its_owner_only_and_gone_at_the_end(tmp_path):
    with prepared(block(tmp_path), RunFolders(tmp_path / "home"), cwd=str(tmp_path), cancel=Cancel()) as ready:
        file = Path(ready.env["AIRFLOW_CONFIG"])
        assert (file.stat().st_mode & 0o777, file.read_text()) == (0o600, "[core]\nfernet_key = hunter22\n\n")
        assert Path(ready.env["AIRFLOW_HOME"]).is_dir()
    assert not file.exists()


def test_dags_find_this_program_where_no_other_one_is(tmp_path):
    link = tmp_path / ".meltano/run/bin"
    link_program(tmp_path)
    assert link.readlink() == own_program()
    link.unlink()
    link.symlink_to("/no/such/program")
    link_program(tmp_path)
    assert link.readlink() == own_program()
    link.unlink()
    link.symlink_to("/bin/sh")
    link_program(tmp_path)
    assert link.readlink() == Path("/bin/sh")


def test_a_block_that_needs_none_is_as_it_was(tmp_path):
    plain = block(tmp_path, setup=None)
    with prepared(plain, RunFolders(tmp_path / "home"), cwd=str(tmp_path), cancel=Cancel()) as ready:
        assert ready is plain


def test_what_fails_is_told_without_secrets(tmp_path):
    with (
        pytest.raises(RunFailedError) as caught,
        prepared(block(tmp_path, code=3), RunFolders(tmp_path / "home"), cwd=str(tmp_path), cancel=Cancel()),
    ):
        pass
    assert caught.value.what == "`airflow db migrate`, which comes before every start, failed with exit code 3"
    assert "no such table" in caught.value.why
    assert "hunter22" not in caught.value.why


def test_a_cancelled_run_starts_nothing_more(tmp_path):
    cancel = Cancel()
    cancel.set(15)
    with (
        pytest.raises(CancelledError),
        prepared(block(tmp_path), RunFolders(tmp_path / "home"), cwd=str(tmp_path), cancel=cancel),
    ):
        pass


def test_settings_stand_in_their_sections_new_ones_too(tmp_path):
    text = airflow_config("[core]\na = 1\n", {"core": {"a": "50%", "b": True}, "new": {"x": 2}, "odd": 1})
    assert text == "[core]\na = 50%\nb = True\n\n[new]\nx = 2\n\n"


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("1.10.15\n", ("initdb",)),
        ("2.6.3", ("db", "init")),
        ("a warning\n2.10.1\n", ("db", "migrate")),
        ("3.0.1", ("db", "migrate")),
        ("?", ("db", "migrate")),
    ],
)
def test_the_database_is_made_as_the_version_does_it(version, words):
    assert database_command(version) == words


def test_a_file_of_the_project_beats_the_settings(tmp_path):
    (tmp_path / "own.py").write_text("A = 2\nlower = 3\n")
    (tmp_path / "made.py").write_text(superset_config({"A": 1, "B": "x'", "ui": {"port": 1}}, tmp_path / "own.py"))
    found = runpy.run_path(str(tmp_path / "made.py"))
    assert {key: value for key, value in found.items() if key.isupper()} == {"A": 2, "B": "x'"}
    assert "lower" not in found


def test_a_file_of_the_project_has_to_be_there(tmp_path):
    superset = block(tmp_path, setup="superset", extras={"config_path": "nope.py"})
    with (
        pytest.raises(InputError, match=r"there is no file `nope.py`"),
        prepared(superset, RunFolders(tmp_path / "home"), cwd=str(tmp_path), cancel=Cancel()),
    ):
        pass
