"""Meltano 3's order of words for `config`."""

from __future__ import annotations

import pytest

from headwater.cli.commands.config_words import in_order

COMMANDS = ("list", "print", "set", "unset", "reset", "test")


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("set tap-x a b", "set tap-x a b"),
        ("tap-x set a b", "set tap-x a b"),
        ("tap-x", "print tap-x"),
        ("tap-x --format env", "print tap-x --format env"),
        ("--unsafe tap-x list --all", "--unsafe list tap-x --all"),
        ("--plugin-type loader target-x unset a", "unset --plugin-type loader target-x a"),
        ("--unsafe list tap-x", "--unsafe list tap-x"),
        ("print set", "print set"),
        ("--help", "--help"),
        ("", ""),
    ],
)
def test_the_command_comes_before_the_plugin(given: str, meant: str) -> None:
    assert in_order(given.split(), COMMANDS) == meant.split()
