"""The help of every command, as it stands in tests/snapshots/help. `HEADWATER_SNAPSHOTS=renew pytest …/test_help.py`
writes the files anew: then look at what has changed."""

from __future__ import annotations

import os
from pathlib import Path

import click
import pytest

from headwater.cli.main import COMMANDS, root

SNAPSHOTS = Path(__file__).parents[2] / "snapshots" / "help"
# Read here, at import: the tests themselves run without any variable of ours.
RENEW = os.environ.get("HEADWATER_SNAPSHOTS") == "renew"


def commands(command=root, path=("headwater",)):
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=path[-1])
        for name in command.list_commands(context):
            yield from commands(command.get_command(context, name), (*path, name))


ALL = dict(commands())


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_help(path):
    context = click.Context(ALL[path], info_name=" ".join(path), terminal_width=100, max_content_width=100)
    text = ALL[path].get_help(context) + "\n"
    file = SNAPSHOTS / f"{'-'.join(path)}.txt"
    if RENEW:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert text == file.read_text()


def test_there_is_no_snapshot_of_a_command_that_is_gone():
    assert {file.stem for file in SNAPSHOTS.glob("*.txt")} == {"-".join(path) for path in ALL}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_the_command_says(name):
    """Help loads no command, so the one line is written twice; both have to be there."""
    assert COMMANDS[name][1]
    assert ALL["headwater", name].help


def test_every_option_is_explained():
    silent = [
        f"{' '.join(path)} {option.opts[0]}"
        for path, command in ALL.items()
        for option in command.params
        if isinstance(option, click.Option) and not option.help and not option.hidden
    ]
    assert silent == []


LISTINGS = [path for path, command in ALL.items() if path[-1] == "list"]


@pytest.mark.parametrize("path", [*LISTINGS, *[("headwater", *words.split()) for words in (
    "plugin hub", "select", "logs show", "doctor", "query", "demo", "config test",
)]], ids=" ".join)  # fmt: skip
def test_every_listing_can_be_json(path):
    assert any("--json" in option.opts for option in ALL[path].params)
