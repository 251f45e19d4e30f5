"""Exit codes: the one table, and that of Meltano around a `meltano.yml`."""

import json
from pathlib import Path

import pytest

from headwater.base.errors import ExitCode
from headwater.cli.exits import spelled
from headwater.cli.settings import Settings


def settings(folder: Path) -> Settings:
    return Settings(
        cwd=folder, environment=None, no_environment=False, env_file=None, log_level="info", log_format="plain"
    )


@pytest.mark.parametrize(
    ("code", "theirs"),
    [
        (ExitCode.DONE, 0),
        (ExitCode.FAILED, 1),
        (ExitCode.INPUT, 1),
        (ExitCode.ENVIRONMENT, 1),
        (ExitCode.INTERRUPTED, 1),
        (ExitCode.TERMINATED, 143),
    ],
)
def test_a_project_of_meltanos_has_meltanos_codes_and_any_other_the_table(
    tmp_path: Path, code: ExitCode, theirs: int
) -> None:
    assert spelled(code, settings(tmp_path)) == int(code)
    (tmp_path / "meltano.yml").write_text("version: 1\n")
    assert spelled(code, settings(tmp_path)) == theirs
    assert spelled(code, None) == int(code)
    (tmp_path / "headwater.yml").write_text("version: 1\n")
    assert spelled(code, settings(tmp_path)) == int(code)


def test_a_folder_below_the_project_and_a_broken_file_are_the_project(tmp_path: Path) -> None:
    (tmp_path / "meltano.yml").write_text("{")
    (tmp_path / "below").mkdir()
    assert spelled(ExitCode.INPUT, settings(tmp_path / "below")) == 1


def test_what_both_say_stays(tmp_path: Path) -> None:
    (tmp_path / "meltano.yml").write_text("version: 1\n")
    assert spelled(ExitCode.ENVIRONMENT, settings(tmp_path), "meltano-too-new") == 3
    assert spelled(ExitCode.INPUT, settings(tmp_path), "file-not-found") == 2


def test_arguments_that_click_refuses_end_with_two_in_both(hw) -> None:
    assert hw("run", "--nothing").code == 2
    (hw.root / "headwater.yml").rename(hw.root / "meltano.yml")
    assert hw("run", "--nothing").code == 2


def test_the_json_line_of_an_error_has_the_code_of_the_process(hw) -> None:
    assert json.loads(hw("--log-format", "json", "run", "nothing").err.splitlines()[-1])["exit_code"] == 2
    (hw.root / "headwater.yml").rename(hw.root / "meltano.yml")
    done = hw("--log-format", "json", "run", "nothing")
    assert (done.code, json.loads(done.err.splitlines()[-1])["exit_code"]) == (1, 1)


def test_the_code_of_a_plugins_program_stays(hw) -> None:
    text = (hw.root / "headwater.yml").read_text()
    (hw.root / "headwater.yml").unlink()
    (hw.root / "meltano.yml").write_text(text)
    hw.write("meltano.yml", "plugins:\n  utilities:\n  - name: sh\n    namespace: sh\n    executable: /bin/sh\n")
    assert hw("invoke", "sh", "-c", "exit 3").code == 3
    assert hw("invoke", "sh", "-c", "exit 2").code == 2
