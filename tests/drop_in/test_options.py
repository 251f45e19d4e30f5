"""Every command of Meltano with every option and every choice is understood."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import click
import pytest

from drop_in import ANSWERS, MODE
from headwater.cli.main import database_uri_first, root

FILE = ANSWERS / "options.json"
# There is nothing that they could change: the program is upgraded by what installed it.
NO_VARIABLE = {"MELTANO_UPGRADE_PIP_URL", "MELTANO_UPGRADE_FORCE"}


@pytest.fixture(scope="session")
def theirs(request):
    if MODE in ("record", "live"):
        python = Path(request.getfixturevalue("meltano")[0]).parent / "python"
        script = [python, Path(__file__).with_name("meltano_options.py")]
        found = subprocess.run(script, capture_output=True, text=True, check=True).stdout
        if MODE == "record":
            FILE.write_text(found)
        assert FILE.read_text() == found, "Meltano's answer is not the one that is kept"
    return json.loads(FILE.read_text())


def ours(path):
    """The command, or None."""
    found = root
    for word in path.split():
        if not isinstance(found, click.Group) or word not in found.list_commands(click.Context(found)):
            return None
        found = found.get_command(click.Context(found), word)
    return found


def test_every_command_is_there(theirs):
    assert len(theirs) > 60
    assert [path for path in theirs if ours(path) is None] == []


def test_every_option_is_taken_with_or_without_a_value_as_there(theirs):
    missing = []
    for path, their in theirs.items():
        options = [item for item in ours(path).params if isinstance(item, click.Option)]
        names = {name: item for item in options for name in (*item.opts, *item.secondary_opts)}
        for name in their["options"]:
            item = names.get(name.replace("_", "-"), names.get(name))
            # What every command takes is brought before the command.
            is_global = database_uri_first([*path.split(), name, "x"])[0] == name
            if item is None and not is_global:
                missing.append(f"{path} {name}")
            elif item is not None and name in their["flags"]:
                assert item.is_flag, f"{path} {name}"
    assert missing == []


def test_every_choice_is_one(theirs):
    for path, their in theirs.items():
        command = ours(path)
        for name, choices in their["choices"].items():
            for choice in choices:
                item = next(item for item in command.params if name in item.opts)
                item.process_value(click.Context(command), choice)


def test_every_variable_counts(theirs):
    for path, their in theirs.items():
        known = str([item.envvar for item in ours(path).params])
        assert [name for name in their["variables"] if name not in known and name not in NO_VARIABLE] == [], path
