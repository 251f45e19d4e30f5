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


def contexts(command=root, name="headwater", parent=None):
    """A context for each command, with those above it: options of the group hold for all below."""
    context = click.Context(
        command, info_name=name, parent=parent, terminal_width=100, max_content_width=100, **command.context_settings
    )
    yield context
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            yield from contexts(command.get_command(context, below), below, context)


CONTEXTS = {tuple(context.command_path.split()): context for context in contexts()}
ALL = {path: context.command for path, context in CONTEXTS.items()}


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_help(path):
    text = CONTEXTS[path].get_help() + "\n"
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
